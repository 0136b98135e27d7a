"""The whole selection for a synthesiser: texts are spoken, read, scored, chosen; the toy speaks in tones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pytest
import soundfile as sf
import torch
from speaking_toys import ToySynthesiser, words_of
from torch import nn
from toys import END, WORDS

from speechrl.config.load import load_as
from speechrl.config.selection import Kind, SelectionConfig
from speechrl.data.curriculum import DIFFICULTY
from speechrl.data.derive import read_set
from speechrl.data.prompts import to_prompt
from speechrl.errors import ConfigError, DataError, ModelError
from speechrl.rewards.registry import REWARDS
from speechrl.rewards.verdict import Verdict
from speechrl.selection import probe
from speechrl.selection.run import Selection, select
from speechrl.selection.utterances import _read_metrics
from speechrl.text.alignment import align_texts
from speechrl.text.hard import RULES

TEXTS = ["red cat", "blue dog moon", "sun", "moon moon moon", "green cat sun dog", "dog red", "cat dog"]


class Speaking(ToySynthesiser):
    """With codes that a Token2Text can be held against; counts what it is asked to say."""

    codebook = "tones"
    codes = END

    def __init__(self) -> None:
        super().__init__()
        self.encoded: list[str] = []

    def encode(self, prompts):
        self.encoded += [prompt.text for prompt in prompts]
        return super().encode(prompts)


class Reader(nn.Module):
    """Reads a tone as its word, or every tone as one word."""

    def __init__(self, codebook: str = "tones", always: int = -1) -> None:
        super().__init__()
        self.config = SimpleNamespace(vocabulary=END, codebook=codebook)
        self.register_buffer("always", torch.tensor(always))

    def transcribe(self, utterances):
        always = int(self.always)
        return [" ".join(WORDS[token if always < 0 else always] for token in tokens) for tokens in utterances]


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "load_token2text", lambda path: Reader())


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    return write(tmp_path / "data", TEXTS)


def write(folder: Path, texts: list[str]) -> Path:
    """Texts that one voice is to speak."""
    folder.mkdir()
    sf.write(folder / "voice.wav", np.full(8000, 0.25), 16_000)
    rows = [{"id": f"{folder.name}-{i}", "text": text, "audio": "voice.wav"} for i, text in enumerate(texts)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "texts.jsonl"


def rules(**changes) -> SelectionConfig:
    tree = {
        "probe": {"samples": 6, "max_new_tokens": 5, "batch_size": 2, "shard_size": 4},
        "rewards": {"terms": [{"name": "duration"}]},
        "subsets": {"every": {"order": "difficulty"}},
        **changes,
    }
    return SelectionConfig.model_validate(tree)


def chosen(config: SelectionConfig, pool: Path, out: Path, model: Speaking | None = None) -> Selection:
    model = model or Speaking()
    quiet = lambda *_: None  # noqa: E731
    return select(config, "toy", [str(pool)], out, torch.device("cpu"), quiet, load=lambda path: model)


def test_what_is_measured_follows_from_what_was_said(pool: Path, tmp_path: Path) -> None:
    found = chosen(rules(), pool, tmp_path / "out")
    assert [one.reference for one in found.utterances] == TEXTS
    assert found.dropped == {}  # one voice for all is no copy of a sound
    shards = sorted((tmp_path / "out" / "probe").rglob("shard-*.jsonl"))
    kept = {row["id"]: row for path in shards for row in map(json.loads, path.read_text().splitlines())}
    for one in found.utterances:
        said = kept[one.id]
        assert said["samples"] == [
            " ".join(WORDS[int(token)] for token in tokens.split()) for tokens in said["speech"]
        ]
        rates = [
            min(1, align_texts(one.reference, text, "en", "letter").error_rate) for text in said["samples"]
        ]
        assert one.difficulty == pytest.approx(np.mean(rates), abs=1e-6)
        assert one.wer == pytest.approx(one.errors / one.words)
        assert one.words == len(one.reference.replace(" ", ""))
        assert one.cut_share == np.mean([ending == "length" for ending in said["endings"]])
        assert one.tokens_per_char == pytest.approx(np.mean(said["lengths"]) / len(one.reference), abs=1e-4)
        middle = np.median(said["lengths"])
        assert one.rewards == pytest.approx(
            [max(-1, -abs(n - middle) / max(middle, 1)) for n in said["lengths"]]
        )
        assert one.pause_s is None
    assert found.utterances[3].kinds == ("repetition",)


def test_nothing_is_spoken_twice_and_another_text_of_the_voice_is_spoken_anew(
    pool: Path, tmp_path: Path
) -> None:
    first = chosen(rules(), pool, tmp_path / "out")
    pool.write_text(pool.read_text().replace("blue dog moon", "blue dog sun"))
    again = Speaking()
    second = chosen(rules(), pool, tmp_path / "out", again)
    assert again.encoded == ["blue dog sun"]  # no reward listens, so it is not spoken again to be scored
    same = [i for i in range(len(TEXTS)) if i != 1]
    assert [first.utterances[i] for i in same] == [second.utterances[i] for i in same]


class Hearing:
    """1 where the sound says what the tokens say, in the voice of the prompt."""

    def __init__(self, *, model: str = "", precision: str = "") -> None:
        pass

    def judge(self, outputs, prompts):
        return [
            Verdict(
                float(
                    [WORDS.index(word) for word in words_of(output.waveform)] == list(output.token_ids)
                    and abs(np.abs(output.waveform).max(initial=0.25) - np.abs(prompt.audio).max()) < 0.02
                )
            )
            for output, prompt in zip(outputs, prompts, strict=True)
        ]


def test_a_reward_that_listens_hears_what_the_probe_said(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REWARDS, "quality", replace(REWARDS["quality"], function=Hearing, form="batch"))
    found = chosen(rules(rewards={"terms": [{"name": "quality"}]}), pool, tmp_path / "out")
    assert all(one.rewards == (1.0,) * 6 for one in found.utterances)


def test_a_subset_is_a_manifest_to_speak_and_says_how_hard_each_text_is(pool: Path, tmp_path: Path) -> None:
    found = chosen(rules(), pool, tmp_path / "out")
    cuts = list(read_set(tmp_path / "out" / "subsets" / "every.jsonl"))
    prompts = [to_prompt(cut, task="tts") for cut in cuts]
    assert [prompt.text for prompt in prompts] == [one.reference for one in found.subsets["every"]]
    assert all(np.allclose(prompt.audio, 0.25, atol=1e-3) for prompt in prompts)
    hardest = [cut.supervisions[0].custom[DIFFICULTY] for cut in cuts]
    assert hardest == sorted(hardest, reverse=True)
    assert hardest[0] > hardest[-1]


def test_texts_are_held_out_and_voices_are_not(pool: Path, tmp_path: Path) -> None:
    never = write(tmp_path / "test", ["Blue dog, moon!", "green sun"])
    found = chosen(rules(never=[str(never)]), pool, tmp_path / "out")
    assert list(found.dropped.values()) == ["held_out_text"]
    assert "blue dog moon" not in {one.reference for one in found.subsets["every"]}


def test_a_card_for_texts_speaks_of_speaking(pool: Path, tmp_path: Path) -> None:
    found = chosen(rules(subsets={"loops": {"any": [{"kinds": ["repetition"]}]}}), pool, tmp_path / "out")
    assert [one.reference for one in found.subsets["loops"]] == ["moon moon moon"]
    assert found.card["kinds"]["repetition"]["utterances"] == 1
    shown = (tmp_path / "out" / "card.md").read_text()
    assert "were spoken" in shown
    assert "CER read in tokens" in shown
    assert "Verdicts" not in shown


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"judges": {"recognisers": [{"name": "whisper-base"}]}}, ConfigError, "judges listen to recordings"),
        ({"labels": "judges"}, ConfigError, "judges listen to recordings"),
        ({"probe": {"keep_contexts_gb": 1}}, ConfigError, "keep_contexts_gb"),
        ({"rewards": {"terms": [{"name": "accuracy"}]}}, ConfigError, "accuracy.* judges asr"),
    ],
)
def test_what_makes_no_sense_for_texts_is_refused(
    pool: Path, tmp_path: Path, changes: dict, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        chosen(rules(**changes), pool, tmp_path / "out")


def test_a_text_that_cannot_be_spoken_is_named_before_any_is_spoken(tmp_path: Path) -> None:
    model = Speaking()
    with pytest.raises(DataError, match=r"row 2 \(data-1\), text: digits in 'room 42'"):
        chosen(rules(), write(tmp_path / "data", ["red", "room 42"]), tmp_path / "out", model)
    assert model.encoded == []


def test_a_reader_of_other_codes_is_refused(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "load_token2text", lambda path: Reader("clicks"))
    with pytest.raises(ModelError, match=r"probe\.reader, .*clicks"):
        chosen(rules(), pool, tmp_path / "out")


def test_a_reward_that_reads_other_codes_is_refused(pool: Path, tmp_path: Path) -> None:
    model = Speaking()
    with pytest.raises(ModelError, match=r"option `model` of the reward 'token_accuracy', .*speech codes"):
        chosen(rules(rewards={"terms": [{"name": "token_accuracy"}]}), pool, tmp_path / "out", model)
    assert model.encoded == []


def test_what_another_reader_wrote_down_is_not_taken_over(
    pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen(rules(), pool, tmp_path / "out")
    monkeypatch.setattr(probe, "load_token2text", lambda path: Reader(always=0))
    found = chosen(rules(), pool, tmp_path / "out")
    assert {word for one in found.utterances for word in one.hypothesis.split()} == {WORDS[0]}


def test_letters_are_counted_and_number_words_are_words() -> None:
    """Normalised, seven words would be seven digits, and a slip in one of them another."""
    said, read = "one two three four five six seven", "one to threfour five six seven"
    found = _read_metrics(said, read, "en")
    assert (found["words"], found["insertions"]) == (27, 0)
    assert found["wer"] == pytest.approx(2 / 27)
    assert not found["loop"]
    assert _read_metrics("one", "one one one one one", "en")["loop"]


def test_rules_may_ask_for_every_kind_that_there_is() -> None:
    assert get_args(Kind) == tuple(RULES)


def test_the_rules_that_ship_take_from_every_kind() -> None:
    config = load_as(SelectionConfig, "package:configs/data/select_tts.yaml")
    lines = [line for subset in config.subsets.values() for line in subset.any]
    assert {kind for line in lines for kind in line.kinds or ()} == set(RULES) - {"long"}
