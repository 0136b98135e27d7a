"""Builds the synthetic-speech corpus of the starter synthesiser, shard by shard, and reads it back.

    python -m speechrl.starter.tts.corpus --out DIR --hours 11.5 --seed 1 --workers 1

A directory holds `shard-00000.npy` (int16 mono speech at 22.05 kHz, utterances end to end), `shard-00000.jsonl` (its
rows), `manifest.jsonl` (the rows of all finished shards, replaced as a whole after each), `corpus.json` (settings,
counts, hours) and `STATUS` ("running 3.20 hours", at last "done"). A row has id, text, voice, source, shard, start,
samples, split; start and samples count samples; split is train or dev (2 %). Voices and sources are shuffled, so any
prefix is balanced and can be read while the rest is made. A stopped build goes on where it was.

No sentence is in `data/tts_en`, and none comes near one of its evaluation sets.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import random
import time
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from speechrl.config.load import resolve_path
from speechrl.errors import DataError
from speechrl.starter.tts.texts import HELD_OUT_SETS, HeldOut, count_words, pool, read_texts
from speechrl.starter.tts.voices import SAMPLE_RATE_HZ, speak

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechrl.starter.asr.texts import Sentence

log = logging.getLogger("speechrl.starter.corpus")

SHARD_UTTERANCES = 500
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
    return [
        Planned(
            f"speech-{index:06d}",
            sentence,
            rng.choices(names, weights)[0],
            "dev" if rng.random() < DEV_SHARE else "train",
        )
        for index, sentence in enumerate(chosen)
    ]


def _shard_name(index: int) -> str:
    return f"shard-{index:05d}"


def _replace(path: Path, content: str) -> None:
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(content, "utf-8")
    os.replace(partial, path)


def build_shard(directory: Path, index: int, utterances: Sequence[Planned]) -> dict[str, float]:
    """Speak one shard and write it; its `.jsonl` comes last and marks it as whole.

    Utterances outside of `DURATION_RANGE_S` are left out. Returns the CPU seconds spent on each voice.
    """
    parts: list[npt.NDArray[np.int16]] = []
    rows: list[str] = []
    start, cpu_s = 0, defaultdict[str, float](float)
    for item in utterances:
        before_s = sum(os.times()[:4])
        speech = speak(item.sentence.raw, item.voice)
        cpu_s[item.voice] += sum(os.times()[:4]) - before_s
        if not DURATION_RANGE_S[0] <= speech.size / SAMPLE_RATE_HZ <= DURATION_RANGE_S[1]:
            continue
        parts.append(np.round(speech * 32767).astype(np.int16))
        row = {
            "id": item.id,
            "text": item.sentence.text,
            "voice": item.voice,
            "source": item.sentence.source,
            "shard": _shard_name(index),
            "start": start,
            "samples": int(speech.size),
            "split": item.split,
        }
        rows.append(json.dumps(row))
        start += int(speech.size)
    partial = directory / f"{_shard_name(index)}.partial.npy"
    np.save(partial, np.concatenate(parts))
    os.replace(partial, directory / f"{_shard_name(index)}.npy")
    _replace(directory / f"{_shard_name(index)}.jsonl", "\n".join(rows) + "\n")
    return dict(cpu_s)


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


def hours_by(rows: Sequence[dict[str, Any]], key: str) -> dict[str, float]:
    """Hours of speech by the values of one field of manifest rows."""
    samples: Counter[str] = Counter()
    for row in rows:
        samples[row[key]] += row["samples"]
    return {name: round(count / SAMPLE_RATE_HZ / 3600, 3) for name, count in sorted(samples.items())}


def _check_settings(directory: Path, settings: dict[str, Any]) -> None:
    path = directory / "corpus.json"
    if path.is_file() and (before := json.loads(path.read_text("utf-8"))["settings"]) != settings:
        raise DataError(
            f"{path}: was begun with {before}, not {settings}; use another --out or the same settings"
        )


def build(directory: Path, hours: float, seed: int, workers: int) -> dict[str, Any]:
    """Build the corpus, or what is missing of it, and return what `corpus.json` says.

    Args:
        directory: where shards go; made if needed.
        hours: duration aimed at.
        seed: of the choice of sentences and voices.
        workers: processes, each with one thread.

    Raises:
        DataError: the directory holds a corpus of other settings, or a source or voice is missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    settings = {"hours": hours, "seed": seed, "shard_utterances": SHARD_UTTERANCES}
    _check_settings(directory, settings)
    sentences, counts = permitted(pool(seed), resolve_path("package:data/tts_en"))
    utterances = plan(sentences, hours, seed)
    shards = -(-len(utterances) // SHARD_UTTERANCES)
    summary: dict[str, Any] = {"settings": settings, "sentences_found": counts, "planned": len(utterances)}
    _replace(directory / "corpus.json", json.dumps(summary | {"complete": False}, indent=2))
    _replace(directory / "STATUS", "running 0.00 hours\n")
    log.info("planned %d utterances in %d shards; sentences %s", len(utterances), shards, counts)

    started_s, cpu_s = time.monotonic(), defaultdict[str, float](float)
    missing = sorted(set(range(shards)) - set(_finished(directory, shards)))
    with ProcessPoolExecutor(max_workers=workers) as executor:
        pending = [
            executor.submit(
                build_shard,
                directory,
                index,
                utterances[index * SHARD_UTTERANCES : (index + 1) * SHARD_UTTERANCES],
            )
            for index in missing
        ]
        for done, future in enumerate(as_completed(pending), start=1):
            for voice, seconds in future.result().items():
                cpu_s[voice] += seconds
            rows = _write_manifest(directory, shards)
            made_h = sum(hours_by(rows, "voice").values())
            _replace(directory / "STATUS", f"running {made_h:.2f} hours\n")
            left_s = (time.monotonic() - started_s) / done * (len(missing) - done)
            log.info("%d of %d shards, %.2f h, %.0f s left", done, len(missing), made_h, left_s)

    rows = _write_manifest(directory, shards)
    summary |= {
        "complete": True,
        "utterances": len(rows),
        "too_short_or_long": len(utterances) - len(rows),
        "hours": round(sum(row["samples"] for row in rows) / SAMPLE_RATE_HZ / 3600, 3),
        "hours_by_voice": hours_by(rows, "voice"),
        "hours_by_source": hours_by(rows, "source"),
        "hours_by_split": hours_by(rows, "split"),
        "cpu_minutes_by_voice_of_this_run": {voice: round(s / 60, 2) for voice, s in sorted(cpu_s.items())},
        "minutes_of_this_run": round((time.monotonic() - started_s) / 60, 1),
    }
    _replace(directory / "corpus.json", json.dumps(summary, indent=2))
    _replace(directory / "STATUS", "done\n")
    return summary


@functools.lru_cache(maxsize=256)
def _shard(path: Path) -> npt.NDArray[np.int16]:
    return np.asanyarray(np.load(path, mmap_mode="r"))


def read_manifest(directory: Path, split: str | None = None) -> list[dict[str, Any]]:
    """Rows of all shards that are finished so far, in corpus order; of one split if it is named.

    Raises:
        DataError: there is no manifest.
    """
    path = directory / "manifest.jsonl"
    if not path.is_file():
        raise DataError(
            f"{path}: not found; build it with python -m speechrl.starter.tts.corpus --out {directory}"
        )
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [row for row in rows if split is None or row["split"] == split]


def read_utterance(directory: Path, row: dict[str, Any]) -> npt.NDArray[np.float32]:
    """Speech of one manifest row: float32 [samples] in [-1, 1] at 22.05 kHz, from a memory-mapped shard."""
    start = int(row["start"])
    pcm = _shard(directory / f"{row['shard']}.npy")[start : start + int(row["samples"])]
    return pcm.astype(np.float32) / 32768.0


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the build."""
    parser = argparse.ArgumentParser(
        description="Build the synthetic-speech corpus of the starter synthesiser."
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of the corpus")
    parser.add_argument("--hours", type=float, default=11.5, help="hours of speech aimed at")
    parser.add_argument("--seed", type=int, default=1, help="seed of sentences and voices")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    summary = build(options.out, options.hours, options.seed, options.workers)
    log.info("finished: %s", json.dumps(summary))


if __name__ == "__main__":
    main()
