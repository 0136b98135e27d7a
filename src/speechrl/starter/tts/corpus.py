"""Builds the synthetic-speech corpus of the starter synthesiser, shard by shard, and reads it back.

    python -m speechrl.starter.tts.corpus --out DIR --hours 11.5 --seed 1 --workers 1

Its shape on disk is that of `speechrl.starter.speech_corpus`, at 22.05 kHz; rows also have split, which is train or dev
(2 %). Voices and sources are shuffled, so any prefix is balanced and can be read while the rest is made.

No sentence is in `data/tts_en`, and none comes near one of its evaluation sets.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechrl.config.load import resolve_path
from speechrl.starter import speech_corpus
from speechrl.starter.speech_corpus import build_shards, choose_sentences, log, write_shard
from speechrl.starter.tts.texts import HELD_OUT_SETS, HeldOut, count_words, pool, read_texts
from speechrl.starter.tts.voices import SAMPLE_RATE_HZ, speak

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from speechrl.starter.asr.texts import Sentence

SHARD_UTTERANCES = 500
HOURS, FURTHER_HOURS = 11.5, 12.0
DURATION_RANGE_S = (1.0, 9.0)
WORD_RANGE = (3, 20)
DEV_SHARE = 0.02
# Mean over the voices below; only the number of sentences drawn depends on it.
_SECONDS_PER_CHARACTER, _SECONDS_PER_UTTERANCE = 0.06, 0.2
SOURCE_SHARES = {"fortunes": 0.44, "wordnet": 0.38, "packages": 0.07, "templates": 0.08, "chatterbot": 0.03}
# Piper is five times as slow as the others.
VOICE_SHARES = {
    "hibari-heart": 0.22,
    "flite-slt": 0.21,
    "flite-rms": 0.2,
    "flite-awb": 0.21,
    "piper-joe": 0.16,
}
# A language model knows 11 hours by heart before it can read, and what it lacks is words: so these are what the sources
# have left, in the voices that are quick to make.
FURTHER_SOURCE_SHARES = {"fortunes": 0.34, "wordnet": 0.58, "packages": 0.08}
FURTHER_VOICE_SHARES = {
    "hibari-heart": 0.36,
    "flite-slt": 0.18,
    "flite-rms": 0.18,
    "flite-awb": 0.18,
    "piper-joe": 0.1,
}


@dataclass(frozen=True)
class Planned:
    """One utterance before it is spoken."""

    id: str
    sentence: Sentence
    voice: str
    split: str


def permitted(sources: dict[str, list[Sentence]], data: Path) -> tuple[list[Sentence], dict[str, int]]:
    """Sentences of 3 to 20 words that are not in `data` and not near its evaluation sets; counts by source and fate.

    Raises:
        DataError: a set of `data` is missing.
    """
    held_out = HeldOut.of(text for name in HELD_OUT_SETS for text in read_texts(data / f"{name}.jsonl"))
    # The texts of reinforcement learning are to be new to the model, but need not be far from what it knows.
    reserved = frozenset(read_texts(data / "train.jsonl"))
    allowed: list[Sentence] = []
    counts: Counter[str] = Counter()
    for sentence in (sentence for found in sources.values() for sentence in found):
        if not WORD_RANGE[0] <= count_words(sentence.text) <= WORD_RANGE[1]:
            continue
        if sentence.text in reserved:
            counts["reserved_for_rl"] += 1
        elif held_out.is_near(sentence.text):
            counts["dropped_for_test_overlap"] += 1
        else:
            counts[sentence.source] += 1
            allowed.append(sentence)
    return allowed, dict(counts)


def plan(sentences: Sequence[Sentence], hours: float, further_hours: float, seed: int) -> list[Planned]:
    """Choose about `hours` of sentences by `SOURCE_SHARES` and `VOICE_SHARES`, and then further ones, all for training.

    Raises:
        DataError: the sources are too small for 90 % of the hours.
    """
    rng = random.Random(seed)
    chosen = choose_sentences(sentences, hours, SOURCE_SHARES, _expected_s, rng)
    planned = [
        Planned(
            f"speech-{index:06d}",
            sentence,
            _one_of(VOICE_SHARES, rng),
            "dev" if rng.random() < DEV_SHARE else "train",
        )
        for index, sentence in enumerate(chosen)
    ]
    known = {sentence.text for sentence in chosen}
    unspoken = [s for s in sentences if s.text not in known and s.source in FURTHER_SOURCE_SHARES]
    further = choose_sentences(unspoken, further_hours, FURTHER_SOURCE_SHARES, _expected_s, rng)
    return planned + [
        Planned(f"speech-{index:06d}", sentence, _one_of(FURTHER_VOICE_SHARES, rng), "train")
        for index, sentence in enumerate(further, start=len(planned))
    ]


def _one_of(shares: Mapping[str, float], rng: random.Random) -> str:
    return rng.choices(list(shares), list(shares.values()))[0]


def _expected_s(sentence: Sentence) -> float:
    return _SECONDS_PER_UTTERANCE + _SECONDS_PER_CHARACTER * len(sentence.text)


def build_shard(directory: Path, index: int, utterances: Sequence[Planned]) -> dict[str, float]:
    """Speak one shard and write it, without utterances outside of `DURATION_RANGE_S`; CPU seconds by voice."""
    cpu_s = defaultdict[str, float](float)
    spoken = []
    for item in utterances:
        before_s = sum(os.times()[:4])
        speech = speak(item.sentence.raw, item.voice)
        cpu_s[item.voice] += sum(os.times()[:4]) - before_s
        if not DURATION_RANGE_S[0] <= speech.size / SAMPLE_RATE_HZ <= DURATION_RANGE_S[1]:
            continue
        row = {
            "id": item.id,
            "text": item.sentence.text,
            "voice": item.voice,
            "source": item.sentence.source,
            "split": item.split,
        }
        spoken.append((row, speech))
    write_shard(directory, index, spoken)
    return dict(cpu_s)


def build(directory: Path, hours: float, further_hours: float, seed: int, workers: int) -> dict[str, Any]:
    """Build the corpus, or what is missing of it, and return what `corpus.json` says.

    Args:
        directory: where shards go; made if needed.
        hours: duration aimed at.
        further_hours: of other sentences, for training alone.
        seed: of the choice of sentences and voices.
        workers: processes, each with one thread.

    Raises:
        DataError: the directory holds a corpus of other settings, or a source or voice is missing.
    """
    sentences, found = permitted(pool(seed), resolve_path("package:data/tts_en"))
    return build_shards(
        directory,
        {
            "hours": hours,
            "further_hours": further_hours,
            "seed": seed,
            "shard_utterances": SHARD_UTTERANCES,
        },
        found,
        plan(sentences, hours, further_hours, seed),
        build_shard,
        shard_utterances=SHARD_UTTERANCES,
        sample_rate_hz=SAMPLE_RATE_HZ,
        workers=workers,
    )


def read_manifest(directory: Path) -> list[dict[str, Any]]:
    """See `speech_corpus.read_manifest`."""
    return speech_corpus.read_manifest(directory, "speechrl.starter.tts.corpus")


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the build."""
    parser = argparse.ArgumentParser(
        description="Build the synthetic-speech corpus of the starter synthesiser."
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of the corpus")
    parser.add_argument("--hours", type=float, default=HOURS, help="hours of speech aimed at")
    parser.add_argument(
        "--further-hours",
        type=float,
        default=FURTHER_HOURS,
        help="and of other sentences, for training alone",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of sentences and voices")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    summary = build(options.out, options.hours, options.further_hours, options.seed, options.workers)
    log.info("finished: %s", json.dumps(summary))


if __name__ == "__main__":
    main()
