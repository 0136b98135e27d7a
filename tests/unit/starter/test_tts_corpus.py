"""The synthesiser's corpus: what was spoken comes back, tests stay out, a stopped build goes on; levels and margins."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

from speechrl.errors import DataError
from speechrl.starter.asr.texts import Sentence
from speechrl.starter.speech_corpus import read_utterance
from speechrl.starter.tts import corpus, voices
from speechrl.starter.tts.texts import HELD_OUT_SETS
from speechrl.starter.tts.voices import SAMPLE_RATE_HZ, VOICES, level

if TYPE_CHECKING:
    from pathlib import Path

SENTENCES = [
    Sentence(f"Sentence with number {index}.", f"sentence with number {index}.", source)
    for index in range(1500)
    for source in corpus.SOURCE_SHARES
]


def _tone(raw: str, voice: str) -> np.ndarray:
    seconds = 20 if raw.endswith("13.") else 1 + len(raw) % 3
    return np.full(seconds * SAMPLE_RATE_HZ, VOICES.index(voice) / 10, np.float32)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "speak", _tone)
    monkeypatch.setattr(corpus, "pool", lambda seed: {})
    monkeypatch.setattr(corpus, "permitted", lambda sources, data: (SENTENCES, {"wordnet": 1500}))
    monkeypatch.setattr(corpus, "SHARD_UTTERANCES", 7)


def test_plan_holds_the_shares_in_every_half() -> None:
    planned = corpus.plan(SENTENCES, hours=0.8, further_hours=0, seed=3)
    assert planned == corpus.plan(SENTENCES, hours=0.8, further_hours=0, seed=3)
    assert len({item.sentence for item in planned}) == len(planned)
    assert {item.split for item in planned} == {"train", "dev"}
    for half in (planned[: len(planned) // 2], planned[len(planned) // 2 :]):
        counts = Counter(item.voice for item in half)
        for voice, share in corpus.VOICE_SHARES.items():
            assert counts[voice] / len(half) == pytest.approx(share, abs=0.06)


def test_further_sentences_are_others_and_for_training_alone() -> None:
    first = corpus.plan(SENTENCES, hours=0.5, further_hours=0, seed=3)
    planned = corpus.plan(SENTENCES, hours=0.5, further_hours=0.4, seed=3)
    further = planned[len(first) :]
    assert planned[: len(first)] == first
    assert {item.split for item in further} == {"train"}
    assert {item.sentence.source for item in further} == set(corpus.FURTHER_SOURCE_SHARES)
    assert len({item.sentence for item in planned}) == len({item.id for item in planned}) == len(planned)


def test_shares_sum_to_one_and_name_all_voices() -> None:
    for shares in (corpus.FURTHER_VOICE_SHARES, corpus.FURTHER_SOURCE_SHARES):
        assert sum(shares.values()) == pytest.approx(1)
    assert set(corpus.FURTHER_VOICE_SHARES) == set(VOICES)
    assert sum(corpus.VOICE_SHARES.values()) == pytest.approx(1)
    assert sum(corpus.SOURCE_SHARES.values()) == pytest.approx(1)
    assert set(corpus.VOICE_SHARES) == set(VOICES)


def test_plan_says_when_sentences_do_not_suffice() -> None:
    with pytest.raises(DataError, match="--hours 50"):
        corpus.plan(SENTENCES, hours=50, further_hours=0, seed=1)


def test_sentences_of_the_shipped_sets_and_their_like_are_not_permitted(tmp_path: Path) -> None:
    for name in HELD_OUT_SETS:
        row = {"text": f"a cat of the {name} set sat on the mat."}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    (tmp_path / "train.jsonl").write_text(json.dumps({"text": "the rain fell on the quiet town."}) + "\n")
    texts = [
        "a cat of the test set sat on the mat!",  # held out, whatever its signs
        "a cat of the last set sat on the mat.",  # one word away
        "the rain fell on the quiet town.",  # kept for reinforcement learning
        "the rain fell on the quiet village.",  # free
        "too short.",
    ]
    sentences = [Sentence(text.capitalize(), text, "wordnet") for text in texts]
    allowed, counts = corpus.permitted({"wordnet": sentences}, tmp_path)
    assert [sentence.text for sentence in allowed] == ["the rain fell on the quiet village."]
    assert counts == {"wordnet": 1, "reserved_for_rl": 1, "dropped_for_test_overlap": 2}


@pytest.mark.usefixtures("quick")
def test_a_shard_reads_back_as_it_was_spoken(tmp_path: Path) -> None:
    planned = corpus.plan(SENTENCES, 0.5, 0, 1)[:25]
    cpu_s = corpus.build_shard(tmp_path, 0, planned)
    rows = [json.loads(line) for line in (tmp_path / "shard-00000.jsonl").read_text().splitlines()]
    kept = [item for item in planned if not item.sentence.raw.endswith("13.")]
    assert [(row["text"], row["voice"], row["split"]) for row in rows] == [
        (item.sentence.text, item.voice, item.split) for item in kept
    ]
    assert set(cpu_s) == {item.voice for item in planned}
    for row, item in zip(rows, kept, strict=True):
        heard = read_utterance(tmp_path, row)
        np.testing.assert_allclose(heard, _tone(item.sentence.raw, item.voice), atol=2 / 32768)


@pytest.mark.usefixtures("quick")
def test_a_resumed_build_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    summary = corpus.build(whole, 0.02, 0, 1, 1)
    assert summary["utterances"] + summary["left_out"] == summary["planned"]
    assert sum(summary["hours_by_voice"].values()) == pytest.approx(summary["hours"], abs=0.003)
    corpus.build(resumed, 0.02, 0, 1, 1)
    (resumed / "shard-00002.jsonl").unlink()
    (resumed / "shard-00002.npy").unlink()
    corpus.build(resumed, 0.02, 0, 1, 1)
    assert (resumed / "manifest.jsonl").read_text() == (whole / "manifest.jsonl").read_text()
    assert len(corpus.read_manifest(whole)) == summary["utterances"]
    with pytest.raises(DataError, match="another --out"):
        corpus.build(resumed, 0.02, 0, 2, 1)


def test_reading_without_a_corpus_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"speechrl\.starter\.tts\.corpus --out"):
        corpus.read_manifest(tmp_path)


def _burst(seconds: float, amplitude: float) -> np.ndarray:
    return (amplitude * np.sin(np.arange(int(seconds * SAMPLE_RATE_HZ)))).astype(np.float32)


def test_level_is_that_of_the_speech_not_of_its_pauses() -> None:
    speech, pause = _burst(1.0, 0.5), np.zeros(2 * SAMPLE_RATE_HZ, np.float32)
    levelled = level(np.concatenate([speech, pause, speech]))
    assert 10 * np.log10(np.mean(levelled[: SAMPLE_RATE_HZ // 2] ** 2)) == pytest.approx(-23.0, abs=0.1)


def test_level_does_not_clip_a_peak_and_leaves_silence() -> None:
    speech = _burst(1.0, 0.001)
    speech[5000] = 0.5
    assert np.abs(level(speech)).max() == pytest.approx(0.95)
    assert not level(np.zeros(SAMPLE_RATE_HZ, np.float32)).any()


def test_speak_leaves_a_tenth_of_a_second_around_the_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    silence = np.zeros(SAMPLE_RATE_HZ, np.float32)
    monkeypatch.setattr(voices, "render", lambda *_: np.concatenate([silence, _burst(1.0, 0.5), silence]))
    speech = voices.speak("Anything.", "flite-slt")
    margin = round(0.1 * SAMPLE_RATE_HZ)
    # The trimming looks at frames of 10 ms, so it is exact to one of them on each side.
    assert abs(speech.size - SAMPLE_RATE_HZ - 2 * margin) <= SAMPLE_RATE_HZ // 50
    assert not speech[: margin - SAMPLE_RATE_HZ // 100].any()
    assert np.abs(speech[margin + SAMPLE_RATE_HZ // 100 :][:1000]).max() > 0.05


def test_speak_refuses_a_text_without_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "render", lambda *_: np.zeros(SAMPLE_RATE_HZ, np.float32))
    with pytest.raises(DataError, match="no sound"):
        voices.speak("?", "flite-slt")
