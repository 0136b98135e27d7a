"""The corpus on disk: what was spoken comes back, a stopped build goes on, other settings are refused."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from speechrl.errors import DataError
from speechrl.starter.asr import corpus
from speechrl.starter.asr.languages import LANGUAGES
from speechrl.starter.asr.texts import Sentence
from speechrl.starter.asr.voices import ENGINES, SAMPLE_RATE_HZ, UnspeakableError, speak, trim_silence
from speechrl.starter.speech_corpus import read_manifest, read_utterance

if TYPE_CHECKING:
    from pathlib import Path

SENTENCES = [
    Sentence(f"Number {index}", f"number {index}", source)
    for index in range(1500)
    for source in LANGUAGES["en"].source_shares
]


def _tone(raw: str, voice: str, *, speed: float, pitch: float, seed: int) -> np.ndarray:
    seconds = 20 if raw.endswith("13") else 1 + seed % 3
    return np.full(seconds * SAMPLE_RATE_HZ, (seed % 1000) / 2000, np.float32)


def _told(known: list[Sentence], _seed: int) -> tuple[list[Sentence], dict[str, int]]:
    return known, {"dropped_for_test_overlap": 0}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "speak", _tone)
    for code, language in LANGUAGES.items():
        known = [one for one in SENTENCES if one.source in language.source_shares]
        told = partial(_told, known)
        monkeypatch.setitem(LANGUAGES, code, replace(language, sentences=told))
    monkeypatch.setattr(corpus, "SHARD_UTTERANCES", 7)


def test_plan_holds_the_hours_and_the_shares_in_every_prefix() -> None:
    planned = corpus.plan(SENTENCES, hours=0.8, seed=3)
    assert planned == corpus.plan(SENTENCES, hours=0.8, seed=3)
    assert len({item.sentence for item in planned}) == len(planned)
    early = Counter(item.voice.split("-")[0] for item in planned[: len(planned) // 2])
    late = Counter(item.voice.split("-")[0] for item in planned[len(planned) // 2 :])
    for engine, share in {"hibari": 0.44, "piper": 0.14, "flite": 0.27, "espeak": 0.15}.items():
        for half in (early, late):
            assert half[engine] / half.total() == pytest.approx(share, abs=0.06)


def test_plan_says_when_sentences_do_not_suffice() -> None:
    with pytest.raises(DataError, match="--hours 50"):
        corpus.plan(SENTENCES, hours=50, seed=1)


@pytest.mark.parametrize("code", LANGUAGES)
def test_shares_sum_to_one_and_voices_have_an_engine(code: str) -> None:
    assert sum(LANGUAGES[code].voice_shares.values()) == pytest.approx(1)
    assert sum(LANGUAGES[code].source_shares.values()) == pytest.approx(1)
    assert {voice.partition("-")[0] for voice in LANGUAGES[code].voice_shares} <= set(ENGINES)


def test_a_language_has_its_own_voices_and_no_other() -> None:
    sentences = [one for one in SENTENCES if one.source in LANGUAGES["it"].source_shares]
    planned = corpus.plan(sentences, hours=0.5, seed=3, language="it")
    assert {item.voice for item in planned} <= set(LANGUAGES["it"].voice_shares)
    assert {item.voice.split("-")[0] for item in planned} == {"pico", "festival", "espeak"}


@pytest.mark.usefixtures("quick")
def test_a_shard_reads_back_as_it_was_spoken(tmp_path: Path) -> None:
    planned = [item for item in corpus.plan(SENTENCES, 0.5, 1) if not item.sentence.raw.endswith("13")][:5]
    corpus.build_shard(tmp_path, 0, planned)
    rows = [json.loads(line) for line in (tmp_path / "shard-00000.jsonl").read_text().splitlines()]
    assert [row["text"] for row in rows] == [item.sentence.text for item in planned]
    for row, item in zip(rows, planned, strict=True):
        expected = _tone(item.sentence.raw, item.voice, speed=1, pitch=1, seed=item.seed)
        heard = read_utterance(tmp_path, row)
        assert heard.dtype == np.float32
        np.testing.assert_allclose(heard, expected, atol=2 / 32768)


@pytest.mark.usefixtures("quick")
def test_a_resumed_build_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    summary = corpus.build(whole, 0.5, 1, 1, limit=40)
    assert summary["utterances"] + summary["left_out"] == 40
    corpus.build(resumed, 0.5, 1, 1, limit=40)
    (resumed / "shard-00002.jsonl").unlink()
    (resumed / "shard-00002.npy").unlink()
    corpus.build(resumed, 0.5, 1, 1, limit=40)
    assert (resumed / "manifest.jsonl").read_text() == (whole / "manifest.jsonl").read_text()
    for row in read_manifest(whole, "any"):
        assert row["duration_s"] <= corpus.MAX_DURATION_S
        np.testing.assert_array_equal(read_utterance(whole, row), read_utterance(resumed, row))
    with pytest.raises(DataError, match="another --out"):
        corpus.build(resumed, 0.5, 2, 1, limit=40)
    with pytest.raises(DataError, match="another --out"):
        corpus.build(resumed, 0.5, 1, 1, limit=40, language="it")


def test_reading_without_a_corpus_says_how_to_build_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"speechrl\.starter\.asr\.corpus --out"):
        read_manifest(tmp_path, "speechrl.starter.asr.corpus")


def test_trimming_leaves_the_speech_and_the_margin() -> None:
    tone = np.sin(np.arange(8000, dtype=np.float32))
    samples = np.concatenate([np.zeros(16000, np.float32), tone, np.zeros(4800, np.float32)])
    trimmed = trim_silence(samples, margin_s=0.1)
    assert trimmed.size == 8000 + 2 * 1600
    np.testing.assert_array_equal(trimmed[1600:9600], tone)
    assert trim_silence(np.zeros(16000, np.float32), 0.1).size == 0


def _fails_at_seven(raw: str, voice: str, **options) -> np.ndarray:
    if raw.endswith("7"):
        raise UnspeakableError(f"{voice} cannot speak {raw!r}")
    return _tone(raw, voice, **options)


def test_a_text_at_which_a_voice_fails_costs_that_text_alone(tmp_path: Path, quick, monkeypatch) -> None:
    monkeypatch.setattr(corpus, "speak", _fails_at_seven)
    summary = corpus.build(tmp_path, hours=0.02, seed=1, workers=1)
    rows = read_manifest(tmp_path, "x")
    assert summary["complete"]
    assert rows
    assert not any(row["text"].endswith("7") for row in rows)
    monkeypatch.setattr(corpus, "speak", _tone)
    whole = corpus.build(tmp_path / "whole", hours=0.02, seed=1, workers=1)
    assert 0 < summary["left_out"] - whole["left_out"] < 0.3 * whole["planned"]


def test_an_engine_that_crashes_names_voice_and_text(monkeypatch) -> None:
    def crash(command, **options):
        raise subprocess.CalledProcessError(-11, command)

    monkeypatch.setattr("speechrl.starter.asr.voices.subprocess.run", crash)
    with pytest.raises(UnspeakableError, match=r"festival, voice 'pc', cannot speak 'ciao'.*SIGSEGV"):
        speak("ciao", "festival-pc")
