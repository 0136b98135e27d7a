"""Builds the synthetic-speech corpus of the starter recogniser, shard by shard, and reads it back.

    python -m speechrl.starter.asr.corpus --out DIR --language en --seed 1 --workers 2

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

from speechrl.starter.asr.languages import LANGUAGES
from speechrl.starter.asr.voices import SAMPLE_RATE_HZ, UnspeakableError, speak
from speechrl.starter.speech_corpus import build_shards, choose_sentences, log, write_shard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechrl.starter.asr.texts import Sentence

SHARD_UTTERANCES = 500
MAX_DURATION_S = 16.0


@dataclass(frozen=True)
class Planned:
    """One utterance before it is spoken."""

    id: str
    sentence: Sentence
    voice: str
    speed: float
    pitch: float
    seed: int


def plan(sentences: Sequence[Sentence], hours: float, seed: int, language: str = "en") -> list[Planned]:
    """Choose about `hours` of sentences by their sources' shares, give each a voice by its share, and shuffle.

    Raises:
        DataError: the sources are too small for 90 % of the hours.
    """
    rng = random.Random(seed)
    recipe = LANGUAGES[language]

    def expected_s(sentence: Sentence) -> float:
        return recipe.seconds_per_utterance + recipe.seconds_per_character * len(sentence.text)

    chosen = choose_sentences(sentences, hours, recipe.source_shares, expected_s, rng)
    names, weights = list(recipe.voice_shares), list(recipe.voice_shares.values())
    planned: list[Planned] = []
    for index, sentence in enumerate(chosen):
        voice = rng.choices(names, weights)[0]
        pitch = 1.0 if rng.random() < 0.5 else rng.uniform(0.85, 1.12)
        speed = round(rng.uniform(0.85, 1.2), 3)
        planned.append(
            Planned(f"synth-{index:06d}", sentence, voice, speed, round(pitch, 3), rng.getrandbits(32))
        )
    return planned


def build_shard(directory: Path, index: int, utterances: Sequence[Planned]) -> dict[str, float]:
    """Speak one shard and write it; CPU seconds by voice.

    Utterances longer than `MAX_DURATION_S`, and those at which a voice fails, are left out.
    """
    cpu_s = defaultdict[str, float](float)
    spoken = []
    for item in utterances:
        before_s = sum(os.times()[:4])
        try:
            speech = speak(item.sentence.raw, item.voice, speed=item.speed, pitch=item.pitch, seed=item.seed)
        except UnspeakableError as error:  # one text of hours is not worth them
            log.warning("%s is left out: %s", item.id, error)
            continue
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


def build(
    directory: Path, hours: float, seed: int, workers: int, limit: int | None = None, language: str = "en"
) -> dict[str, Any]:
    """Build the corpus, or what is missing of it, and return what `corpus.json` says.

    Args:
        directory: where shards go; made if needed.
        hours: duration aimed at.
        seed: of the choice of sentences, voices, speeds and pitches.
        workers: processes, each with one thread.
        limit: only that many utterances, for a trial.
        language: a key of `LANGUAGES`.

    Raises:
        DataError: the directory holds a corpus of other settings, or a source or voice is missing.
    """
    sentences, found = LANGUAGES[language].sentences(seed)
    return build_shards(
        directory,
        {
            "language": language,
            "hours": hours,
            "seed": seed,
            "limit": limit,
            "shard_utterances": SHARD_UTTERANCES,
        },
        found,
        plan(sentences, hours, seed, language)[:limit],
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
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="language of the sentences")
    parser.add_argument("--hours", type=float, help="hours of speech aimed at; by default the recipe's")
    parser.add_argument("--seed", type=int, default=1, help="seed of sentences, voices, speeds and pitches")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    parser.add_argument("--limit", type=int, default=None, help="only so many utterances, for a trial")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    hours = options.hours or LANGUAGES[options.language].hours
    summary = build(options.out, hours, options.seed, options.workers, options.limit, options.language)
    log.info("finished: %s", json.dumps(summary))


if __name__ == "__main__":
    main()
