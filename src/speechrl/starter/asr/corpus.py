"""Builds the synthetic-speech corpus of the starter recogniser, shard by shard, and reads it back.

    python -m speechrl.starter.asr.corpus --out DIR --hours 24 --seed 1 --workers 2

A directory holds `shard-00000.npy` (int16 mono speech at 16 kHz, utterances end to end), `shard-00000.jsonl`
(its rows), `manifest.jsonl` (the rows of all finished shards, replaced as a whole after each) and `corpus.json`
(settings, counts, hours). A row has id, text, voice, source, duration_s, shard, offset, samples, speed, pitch; offset
and samples count samples. Voices and sources are shuffled, so any prefix is balanced and can be read while the rest
is made. A stopped build goes on where it was.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import random
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from speechrl.errors import DataError
from speechrl.starter.asr.texts import Sentence, collect_sentences
from speechrl.starter.asr.voices import SAMPLE_RATE_HZ, speak

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

log = logging.getLogger("speechrl.starter.corpus")

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
    left_s = {source: share * hours * 3600 for source, share in SOURCE_SHARES.items()}
    chosen: list[Sentence] = []
    for sentence in sentences:
        if left_s[sentence.source] > 0:
            left_s[sentence.source] -= _SECONDS_PER_UTTERANCE + _SECONDS_PER_CHARACTER * len(sentence.text)
            chosen.append(sentence)
    if sum(max(0.0, left) for left in left_s.values()) > 0.1 * hours * 3600:
        raise DataError(f"--hours {hours}: the sentences found suffice for less; ask for fewer hours")
    rng.shuffle(chosen)
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


def _shard_name(index: int) -> str:
    return f"shard-{index:05d}"


def _replace(path: Path, content: str) -> None:
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(content, "utf-8")
    os.replace(partial, path)


def build_shard(directory: Path, index: int, utterances: Sequence[Planned]) -> tuple[int, float]:
    """Speak one shard and write it; its `.jsonl` comes last and marks it as whole.

    Utterances longer than `MAX_DURATION_S` are left out. Returns the index and the CPU seconds spent.
    """
    started_s = sum(os.times()[:4])
    parts: list[npt.NDArray[np.int16]] = []
    rows: list[str] = []
    offset = 0
    for item in utterances:
        speech = speak(item.sentence.raw, item.voice, speed=item.speed, pitch=item.pitch, seed=item.seed)
        if speech.size > MAX_DURATION_S * SAMPLE_RATE_HZ:
            continue
        parts.append((speech * 32767).astype(np.int16))
        row = {
            "id": item.id,
            "text": item.sentence.text,
            "voice": item.voice,
            "source": item.sentence.source,
            "duration_s": round(speech.size / SAMPLE_RATE_HZ, 4),
            "shard": _shard_name(index),
            "offset": offset,
            "samples": int(speech.size),
            "speed": item.speed,
            "pitch": item.pitch,
        }
        rows.append(json.dumps(row))
        offset += int(speech.size)
    partial = directory / f"{_shard_name(index)}.partial.npy"
    np.save(partial, np.concatenate(parts))
    os.replace(partial, directory / f"{_shard_name(index)}.npy")
    _replace(directory / f"{_shard_name(index)}.jsonl", "\n".join(rows) + "\n")
    return index, sum(os.times()[:4]) - started_s


def _finished(directory: Path, shards: int) -> list[int]:
    return [index for index in range(shards) if (directory / f"{_shard_name(index)}.jsonl").is_file()]


def _write_manifest(directory: Path, shards: int) -> list[dict[str, Any]]:
    lines = [
        line
        for index in _finished(directory, shards)
        for line in (directory / f"{_shard_name(index)}.jsonl").read_text("utf-8").splitlines()
    ]
    _replace(directory / "manifest.jsonl", "".join(f"{line}\n" for line in lines))
    return [json.loads(line) for line in lines]


def _hours_by(rows: Sequence[dict[str, Any]], key: str) -> dict[str, float]:
    total_s: dict[str, float] = defaultdict(float)
    for row in rows:
        total_s[row[key]] += row["duration_s"]
    return {name: round(seconds / 3600, 3) for name, seconds in sorted(total_s.items())}


def _check_settings(directory: Path, settings: dict[str, Any]) -> None:
    path = directory / "corpus.json"
    if path.is_file() and (before := json.loads(path.read_text("utf-8"))["settings"]) != settings:
        raise DataError(
            f"{path}: was begun with {before}, not {settings}; use another --out or the same settings"
        )


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
    directory.mkdir(parents=True, exist_ok=True)
    settings = {"hours": hours, "seed": seed, "limit": limit, "shard_utterances": SHARD_UTTERANCES}
    _check_settings(directory, settings)
    sentences, counts = collect_sentences(seed)
    utterances = plan(sentences, hours, seed)[:limit]
    shards = -(-len(utterances) // SHARD_UTTERANCES)
    summary: dict[str, Any] = {"settings": settings, "sentences_found": counts, "planned": len(utterances)}
    _replace(directory / "corpus.json", json.dumps(summary | {"complete": False}, indent=2))
    log.info("planned %d utterances in %d shards; sentences %s", len(utterances), shards, counts)

    started_s, cpu_s = time.monotonic(), 0.0
    missing = sorted(set(range(shards)) - set(_finished(directory, shards)))
    with ProcessPoolExecutor(max_workers=workers) as pool:
        pending = [
            pool.submit(
                build_shard,
                directory,
                index,
                utterances[index * SHARD_UTTERANCES : (index + 1) * SHARD_UTTERANCES],
            )
            for index in missing
        ]
        for done, future in enumerate(as_completed(pending), start=1):
            index, shard_cpu_s = future.result()
            cpu_s += shard_cpu_s
            rows = _write_manifest(directory, shards)
            left_s = (time.monotonic() - started_s) / done * (len(missing) - done)
            log.info(
                "shard %d: %d of %d done, %.2f h, CPU %.0f s, %.0f s left; %s",
                *(index, done, len(missing), sum(row["duration_s"] for row in rows) / 3600, cpu_s, left_s),
                _hours_by(rows, "voice"),
            )

    rows = _write_manifest(directory, shards)
    summary |= {
        "complete": True,
        "utterances": len(rows),
        "too_long": len(utterances) - len(rows),
        "hours": round(sum(row["duration_s"] for row in rows) / 3600, 3),
        "hours_by_voice": _hours_by(rows, "voice"),
        "hours_by_source": _hours_by(rows, "source"),
        "cpu_seconds_of_this_run": round(cpu_s, 1),
    }
    _replace(directory / "corpus.json", json.dumps(summary, indent=2))
    return summary


@functools.lru_cache(maxsize=256)
def _shard(path: Path) -> npt.NDArray[np.int16]:
    return np.asanyarray(np.load(path, mmap_mode="r"))


def read_manifest(directory: Path) -> list[dict[str, Any]]:
    """Rows of all shards that are finished so far, in corpus order.

    Raises:
        DataError: there is no manifest.
    """
    path = directory / "manifest.jsonl"
    if not path.is_file():
        raise DataError(
            f"{path}: not found; build it with python -m speechrl.starter.asr.corpus --out {directory}"
        )
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def read_utterance(directory: Path, row: dict[str, Any]) -> npt.NDArray[np.float32]:
    """Speech of one manifest row: float32 [samples] in [-1, 1] at 16 kHz, from a memory-mapped shard."""
    start = int(row["offset"])
    pcm = _shard(directory / f"{row['shard']}.npy")[start : start + int(row["samples"])]
    return pcm.astype(np.float32) / 32768.0


def iterate_utterances(directory: Path) -> Iterator[tuple[dict[str, Any], npt.NDArray[np.float32]]]:
    """Manifest rows with their speech, in corpus order."""
    for row in read_manifest(directory):
        yield row, read_utterance(directory, row)


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
