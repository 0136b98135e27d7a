"""`speechrl data import|check`."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from speaking_toys import ToySynthesiser
from toys import ToyRecogniser

from speechrl.errors import DataError
from speechrl.selection import run


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Two good rows, one whose audio is missing, one that is a text file in disguise."""
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        sf.write(tmp_path / f"{name}.wav", 0.1 * rng.standard_normal(16_000), 16_000)
    (tmp_path / "text.wav").write_text("this is no sound")
    path = tmp_path / "rows.jsonl"
    rows = [{"audio": f"{name}.wav", "text": "hello", "id": name} for name in ("a", "missing", "b", "text")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_check_separates_good_from_bad(speechrl, manifest, tmp_path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    ended = speechrl("data", "check", manifest, "--good", good, "--bad", bad, "--json")
    assert ended.code == 3
    report = json.loads(ended.out)
    assert (report["rows"], report["good"], report["ok"]) == (4, 2, False)
    assert [json.loads(line)["id"] for line in bad.read_text().splitlines()] == ["missing", "text"]
    again = speechrl("data", "check", good)
    assert again.code == 0
    assert "2 good rows (0.0 minutes), 0 bad rows" in again.out


def test_check_says_row_reason_and_mend(speechrl, manifest) -> None:
    ended = speechrl("data", "check", manifest)
    second, fourth = ended.out.splitlines()[:2]
    assert second.startswith("row 2 (missing), audio: ")
    assert "text file" in fourth


def test_empty_text_is_bad_unless_it_is_meant(speechrl, manifest) -> None:
    manifest.write_text('{"audio": "a.wav", "text": ""}\n')
    assert speechrl("data", "check", manifest).code == 3
    assert speechrl("data", "check", manifest, "--allow-empty-text").code == 0
    short = speechrl("data", "check", manifest, "--allow-empty-text", "--max-duration", "0.5")
    assert short.code == 3
    assert "split it below 0.5 s" in short.out


def test_import_writes_rows_that_check_accepts(speechrl, manifest, tmp_path) -> None:
    manifest.write_text('{"audio_filepath": "a.wav", "text": "hello", "duration": 1.0}\n')
    out = tmp_path / "elsewhere" / "cuts.jsonl"
    ended = speechrl("data", "import", manifest, out, "--json")
    assert json.loads(ended.out) == {"manifest": str(out), "rows": 1}
    assert speechrl("data", "check", out).code == 0


def test_import_of_a_bad_row_names_it_and_writes_nothing(speechrl, manifest, tmp_path) -> None:
    out = tmp_path / "cuts.jsonl"
    ended = speechrl("data", "import", manifest, out)
    assert ended.code == 3
    assert "row 2 (missing)" in ended.err
    assert not out.exists()


RULES = """
probe: {samples: 2, max_new_tokens: 3}
subsets:
  every: {}
  control: {same_size_as: every}
"""


@pytest.fixture
def rules(tmp_path, monkeypatch) -> Path:
    """Rules without judges, for a toy."""
    monkeypatch.setattr(run, "select", functools.partial(run.select, load=lambda path: ToyRecogniser()))
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


def test_select_writes_subsets_and_a_card_and_says_so(speechrl, manifest, rules, tmp_path) -> None:
    speechrl("data", "check", manifest, "--good", tmp_path / "good.jsonl")
    out = tmp_path / "chosen"
    ended = speechrl(
        "data", "select", "toy", tmp_path / "good.jsonl", "max_per_text=null", "--out", out, "--config", rules
    )
    assert ended.code == 0
    # Both say hello; with no limit on equal texts it is the sound that tells them apart.
    assert "2 of 2 utterances kept" in ended.out
    assert "decode 2/2" in ended.err
    assert {path.name for path in (out / "subsets").iterdir()} == {"every.jsonl", "control.jsonl"}
    again = speechrl(
        "data", "select", "toy", tmp_path / "good.jsonl", "--out", out, "--config", rules, "--json"
    )
    assert json.loads(again.out) == json.loads((out / "card.json").read_text())
    assert json.loads(again.out)["dropped"]["same_text"]["utterances"] == 1
    assert again.err == ""


def test_select_refuses_bad_rules_and_bad_manifests_before_it_decodes(
    speechrl, manifest, rules, tmp_path
) -> None:
    starter = "package:starter/asr"
    unknown = speechrl("data", "select", starter, manifest, "probe.sample=3", "--out", tmp_path / "out")
    assert unknown.code == 2
    assert "probe.samples" in unknown.err
    missing = speechrl("data", "select", "toy", manifest, "--config", rules, "--out", tmp_path / "out")
    assert missing.code == 3
    assert "row 2 (missing)" in missing.err
    assert not (tmp_path / "out" / "probe").exists()
    nowhere = speechrl("data", "select", "nowhere", manifest, "--out", tmp_path / "out")
    assert nowhere.code != 0
    assert "no model there" in nowhere.err


@pytest.mark.parametrize(
    ("model", "reward"), [("package:starter/asr", "accuracy"), ("package:starter/tts", "token")]
)
def test_select_takes_the_rules_that_fit_the_model(speechrl, tmp_path, model, reward, monkeypatch) -> None:
    taken = []

    def watched(rules, *_, **options):
        taken.append(rules)
        raise DataError("enough is seen")

    monkeypatch.setattr("speechrl.selection.run.select", watched)
    assert speechrl("data", "select", model, "pool.jsonl", "--out", tmp_path).code == 3
    assert taken[0].rewards.terms[0].name.startswith(reward)


def test_augment_writes_a_manifest_that_check_accepts(speechrl, manifest, tmp_path) -> None:
    manifest.write_text('{"audio": "a.wav", "text": "hello you", "id": "a"}\n')
    out = tmp_path / "made"
    ended = speechrl(
        "data",
        "augment",
        manifest,
        "--out",
        out,
        "--kind",
        "pauses",
        "--kind",
        "speed",
        "--seed",
        7,
        "--json",
    )
    assert ended.code == 0
    assert json.loads(ended.out)["by_kind"]["speed"]["rows"] == 1
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == ["a-pauses@7", "a-speed@7"]
    assert rows[1]["made"]["of"] == ["a"]
    assert speechrl("data", "check", out / "manifest.jsonl").code == 0
    again = speechrl("data", "augment", manifest, "--out", out, "--kind", "speed")
    assert again.code == 3
    assert "not empty" in again.err


def test_texts_are_chosen_and_counted(speechrl, tmp_path) -> None:
    pool = tmp_path / "pool.txt"
    pool.write_text("Call 555 0199.\nVery, very slowly.\nThe meeting is at noon.\n")
    out = tmp_path / "hard.jsonl"
    ended = speechrl("data", "texts", pool, "--out", out, "--json")
    assert json.loads(ended.out) == {
        "texts": str(out),
        "rows": 2,
        "by_kind": {"repetition": 1, "digits": 1},
        "left_out": 0,
    }
    nothing = speechrl("data", "texts", pool, "--out", out, "--kind", "long")
    assert nothing.code == 3
    assert "no text is of the kinds long" in nothing.err
    held_out = out.read_text()
    over = speechrl("data", "texts", pool, "--without", out, "--out", out)
    assert over.code == 3
    assert "is what is read" in over.err
    assert out.read_text() == held_out


def test_check_and_texts_keep_what_a_model_can_take(speechrl, manifest, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("speechrl.models.load.load_model", lambda path: ToySynthesiser())
    rows = [{"audio": "a.wav", "id": text[0], "text": text} for text in ("one two three", "call 5 5 5")]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert speechrl("data", "check", manifest).code == 0
    good = tmp_path / "good.jsonl"
    ended = speechrl("data", "check", manifest, "--for", "toy", "--good", good)
    assert ended.code == 3
    assert ended.out.startswith("row 2 (c), text: digits in 'call 5 5 5'; spell them out")
    assert speechrl("data", "check", good, "--for", "toy").code == 0
    out = tmp_path / "hard.jsonl"
    voices = ("--voices", "package:data/tts_en/voices.jsonl")
    ended = speechrl("data", "texts", manifest, "--out", out, "--for", "toy", *voices)
    assert "1 text of the pool left out: toy cannot speak them" in ended.out
    assert speechrl("data", "check", out, "--for", "toy").code == 0
    nothing = speechrl("data", "texts", manifest, "--out", out, "--for", "toy", "--kind", "repetition")
    assert "can be spoken by toy" in nothing.err
