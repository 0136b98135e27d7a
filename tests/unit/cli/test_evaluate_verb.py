"""`speechrl evaluate` for a synthesiser, and how sets get their names."""

from __future__ import annotations

import json

import pytest
import soundfile as sf
from speaking_toys import RATE_HZ, ToySynthesiser, tone, toy_ears, words_of

from speechrl.cli import evaluate
from speechrl.errors import ConfigError, RewardError
from speechrl.evaluate import dispatch
from speechrl.report.writers import read_rows


@pytest.fixture
def manifest(tmp_path):
    sf.write(tmp_path / "voice.flac", tone(0), RATE_HZ)
    texts = ("red cat", "blue dog sun", "moon")
    rows = [{"id": f"s{i}", "text": text, "audio": "voice.flac"} for i, text in enumerate(texts)]
    path = tmp_path / "sentences.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def toy(monkeypatch):
    asked = []
    monkeypatch.setattr("speechrl.models.load.load_model", lambda path: ToySynthesiser())
    monkeypatch.setattr(
        "speechrl.evaluate.ears.load_ears",
        lambda judges, *, measures, **_: asked.append((list(judges), list(measures))) or toy_ears(),
    )
    return asked


def test_a_synthesiser_is_judged_and_can_be_heard(speechrl, manifest, toy, tmp_path) -> None:
    output = tmp_path / "out"
    arguments = ("--vocoder", "fast", "--judge", "perfect", "--seed", 3, "--seed", 4, "--max-new-tokens", 5)
    ended = speechrl("evaluate", "toy", manifest, *arguments, "--output", output, "--json")
    assert ended.code == 0, ended.err
    numbers = json.loads(ended.out)["sentences"]
    assert numbers["utterances"] == 6
    assert set(numbers["judges"]) == {"perfect", "deaf"}
    assert numbers["judges"]["deaf"]["wer"] == 1.0
    assert toy == [(["perfect"], ["similarity", "quality", "log_f0_std"])]
    rows = read_rows(output / "sentences.jsonl")
    assert [(row["seed"], row["id"]) for row in rows[::3]] == [(3, "s0"), (4, "s0")]
    sounds = [sf.read(path, dtype="float32")[0] for path in (output / "audio" / "sentences").iterdir()]
    heard = sorted(row["judges"]["perfect"]["text"] for row in rows if row["tokens"])
    assert sorted(" ".join(words_of(samples)) for samples in sounds) == heard
    assert json.loads((output / "evaluation.json").read_text())["after"]["sentences"] == numbers


def test_judges_get_the_time_that_is_asked_for(speechrl, manifest, toy, monkeypatch) -> None:
    asked = {}
    monkeypatch.setattr("speechrl.evaluate.ears.load_ears", lambda *_, **how: asked.update(how) or toy_ears())
    arguments = ("--vocoder", "fast", "--max-new-tokens", 5, "--timeout-s", 30)
    assert speechrl("evaluate", "toy", manifest, *arguments).code == 0
    assert asked["timeout_s"] == 30.0
    assert "--timeout-s" in asked["too_slow"]


def test_its_table_has_a_column_for_each_judge(speechrl, manifest, toy) -> None:
    arguments = ("--vocoder", "fast", "--max-new-tokens", 5, "--dnsmos")
    ended = speechrl("evaluate", "toy", manifest, "--set", f"again={manifest}", *arguments)
    assert ended.code == 0, ended.err
    head, *rows = ended.out.splitlines()
    assert "WER, perfect" in head
    assert "tokens per character" in head
    assert [row.split()[0] for row in rows] == ["sentences", "again"]
    assert toy == [(["whisper-tiny.en"], ["similarity", "quality", "dnsmos", "log_f0_std"])]


@pytest.mark.parametrize(
    ("manifest", "name"),
    [
        ("package:data/tts_en/test.jsonl", "test"),
        ("data/asterisk_en/test.jsonl#long", "test-long"),
        ("test.jsonl#noise@7", "test-noise-7"),
        ("a/kaldi dir", "kaldi-dir"),
        ("cuts.jsonl.gz", "cuts"),
    ],
)
def test_a_set_is_named_after_its_manifest(manifest, name) -> None:
    assert evaluate._set_name(manifest) == name


def test_without_a_set_there_is_nothing_to_evaluate(speechrl, toy) -> None:
    ended = speechrl("evaluate", "toy")
    assert ended.code == ConfigError.exit_code
    assert "held-out set" in ended.err


def test_what_the_model_cannot_speak_is_refused_before_it_speaks(speechrl, manifest, toy) -> None:
    manifest.write_text('{"id": "s9", "text": "room 42", "audio": "voice.flac"}\n')
    ended = speechrl("evaluate", "toy", manifest)
    assert ended.code == 3
    assert "row 1 (s9), text: digits in 'room 42'; spell them out" in ended.err
    assert not toy


def test_a_set_that_fails_leaves_those_before_it(speechrl, manifest, toy, tmp_path, monkeypatch) -> None:
    measure = dispatch.evaluate_model

    def fail(model, sets, *arguments, **options):
        if "second" in sets:
            raise RewardError("deaf failed on 3 of 3")
        return measure(model, sets, *arguments, **options)

    monkeypatch.setattr(dispatch, "evaluate_model", fail)
    arguments = ("--vocoder", "fast", "--max-new-tokens", 5, "--output", tmp_path / "out")
    ended = speechrl(
        "evaluate", "toy", "--set", f"first={manifest}", "--set", f"second={manifest}", *arguments
    )
    assert ended.code == RewardError.exit_code
    assert len(read_rows(tmp_path / "out" / "first.jsonl")) == 3
