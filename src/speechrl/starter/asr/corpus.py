"""Builds the synthetic-speech corpus of the starter recogniser, shard by shard, and reads it back.

    python -m speechrl.starter.asr.corpus --out DIR --hours 24 --seed 1 --workers 2

Its shape on disk is that of `speechrl.starter.speech_corpus`, at 16 kHz; rows also have duration_s, speed and pitch.
Voices and sources are shuffled, so any prefix is balanced and can be read while the rest is made.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechrl.starter.asr.texts import Sentence, collect_sentences
from speechrl.starter.asr.voices import SAMPLE_RATE_HZ, speak
from speechrl.starter.speech_corpus import build_shards, choose_sentences, log, write_shard

if TYPE_CHECKING:
    from collections.abc import Sequence

SHARD_UTTERANCES = 500
MAX_DURATION_S = 16.0
# Mean over the voices below, margins of silence included; only the number of sentences drawn depends on it.
_SECONDS_PER_CHARACTER, _SECONDS_PER_UTTERANCE = 0.055, 0.6
SOURCE_SHARES = {
    "templates": 0.32,
    "fortunes": 0.33,
    "wordnet": 0.22,
    "packages": 0.08,
    "chatterbot": 0.03,
    "words": 0.02,
}
_ESPEAK_VOICES = (
    *("en-us", "en-us+f2", "en-us+f3", "en-us+m3", "en-us+m7", "en-us+Andy", "en-us+steph"),
    *("en-us-nyc", "en-us-nyc+f5", "en-gb", "en-gb+f4", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-rp+f1"),
    *("en-gb-x-gbclan", "en-029", "en-029+f3"),
)
VOICE_SHARES = {
    "hibari-heart": 0.44,
    "piper-joe": 0.14,
    "flite-slt": 0.10,
    "flite-rms": 0.07,
    "flite-awb": 0.06,
    "flite-kal16": 0.04,
    **{f"espeak-{name}": 0.15 / len(_ESPEAK_VOICES) for name in _ESPEAK_VOICES},
}


@dataclass(frozen=True)
class Planned:
    """One utterance before it is spoken."""

    id: str
    sentence: Sentence
    voice: str
    speed: float
    pitch: float
    seed: int


def plan(sentences: Sequence[Sentence], hours: float, seed: int) -> list[Planned]:
    """Choose about `hours` of sentences by `SOURCE_SHARES`, give each a voice by `VOICE_SHARES`, and shuffle.

    Raises:
        DataError: the sources are too small for 90 % of the hours.
    """
    rng = random.Random(seed)
    chosen = choose_sentences(sentences, hours, SOURCE_SHARES, _expected_s, rng)
    names, weights = list(VOICE_SHARES), list(VOICE_SHARES.values())
    planned: list[Planned] = []
    for index, sentence in enumerate(chosen):
        voice = rng.choices(names, weights)[0]
        pitch = 1.0 if rng.random() < 0.5 else rng.uniform(0.85, 1.12)
        speed = round(rng.uniform(0.85, 1.2), 3)
        planned.append(
            Planned(f"synth-{index:06d}", sentence, voice, speed, round(pitch, 3), rng.getrandbits(32))
        )
    return planned


def _expected_s(sentence: Sentence) -> float:
    return _SECONDS_PER_UTTERANCE + _SECONDS_PER_CHARACTER * len(sentence.text)


def build_shard(directory: Path, index: int, utterances: Sequence[Planned]) -> dict[str, float]:
    """Speak one shard and write it, without utterances longer than `MAX_DURATION_S`; CPU seconds by voice."""
    cpu_s = defaultdict[str, float](float)
    spoken = []
    for item in utterances:
        before_s = sum(os.times()[:4])
        speech = speak(item.sentence.raw, item.voice, speed=item.speed, pitch=item.pitch, seed=item.seed)
        cpu_s[item.voice] += sum(os.times()[:4]) - before_s
        if speech.size > MAX_DURATION_S * SAMPLE_RATE_HZ:
            continue
        row = {
            "id": item.id,
            "text": item.sentence.text,
            "voice": item.voice,
            "source": item.sentence.source,
            "duration_s": round(speech.size / SAMPLE_RATE_HZ, 4),
            "speed": item.speed,
            "pitch": item.pitch,
        }
        spoken.append((row, speech))
    write_shard(directory, index, spoken)
    return dict(cpu_s)


def build(directory: Path, hours: float, seed: int, workers: int, limit: int | None = None) -> dict[str, Any]:
    """Build the corpus, or what is missing of it, and return what `corpus.json` says.

    Args:
        directory: where shards go; made if needed.
        hours: duration aimed at.
        seed: of the choice of sentences, voices, speeds and pitches.
        workers: processes, each with one thread.
        limit: only that many utterances, for a trial.

    Raises:
        DataError: the directory holds a corpus of other settings, or a source or voice is missing.
    """
    sentences, found = collect_sentences(seed)
    return build_shards(
        directory,
        {"hours": hours, "seed": seed, "limit": limit, "shard_utterances": SHARD_UTTERANCES},
        found,
        plan(sentences, hours, seed)[:limit],
        build_shard,
        shard_utterances=SHARD_UTTERANCES,
        sample_rate_hz=SAMPLE_RATE_HZ,
        workers=workers,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the build."""
    parser = argparse.ArgumentParser(
        description="Build the synthetic-speech corpus of the starter recogniser."
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of the corpus")
    parser.add_argument("--hours", type=float, default=24.0, help="hours of speech aimed at")
    parser.add_argument("--seed", type=int, default=1, help="seed of sentences, voices, speeds and pitches")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--limit", type=int, default=None, help="only so many utterances, for a trial")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    summary = build(options.out, options.hours, options.seed, options.workers, options.limit)
    log.info("finished: %s", json.dumps(summary))


if __name__ == "__main__":
    main()
