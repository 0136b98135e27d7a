"""A corpus of synthetic speech on disk, the same for both starters: built shard by shard, and read back.

A directory holds `shard-00000.npy` (int16 mono speech, utterances end to end), `shard-00000.jsonl` (its rows),
`manifest.jsonl` (the rows of all finished shards, replaced as a whole after each) and `corpus.json` (settings, counts,
hours). A row has at least id, text, voice, source, shard, offset and samples; the last two count samples. A stopped
build goes on where it was.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from speechrl.errors import DataError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from speechrl.starter.asr.texts import Sentence

log = logging.getLogger("speechrl.starter.corpus")
Planned = TypeVar("Planned")


def choose_sentences(
    sentences: Iterable[Sentence],
    hours: float,
    shares: Mapping[str, float],
    seconds_of: Callable[[Sentence], float],
    rng: random.Random,
) -> list[Sentence]:
    """About `hours` of sentences, by the shares of their sources, shuffled.

    Raises:
        DataError: The sources are too small for 90 % of the hours.
    """
    left_s = {source: share * hours * 3600 for source, share in shares.items()}
    chosen: list[Sentence] = []
    for sentence in sentences:
        if left_s[sentence.source] > 0:
            left_s[sentence.source] -= seconds_of(sentence)
            chosen.append(sentence)
    if sum(max(0.0, left) for left in left_s.values()) > 0.1 * hours * 3600:
        raise DataError(f"--hours {hours}: the sentences found suffice for less; ask for fewer hours")
    rng.shuffle(chosen)
    return chosen


def write_shard(
    directory: Path, index: int, spoken: Iterable[tuple[Mapping[str, Any], NDArray[np.float32]]]
) -> None:
    """Write rows and their speech in [-1, 1]; the shard's `.jsonl` comes last and marks it as whole."""
    parts: list[NDArray[np.int16]] = []
    rows: list[str] = []
    offset, name = 0, _shard_name(index)
    for row, speech in spoken:
        parts.append(np.round(speech * 32767).astype(np.int16))
        place = {"shard": name, "offset": offset, "samples": int(speech.size)}
        rows.append(json.dumps({**row, **place}))
        offset += int(speech.size)
    partial = directory / f"{name}.partial.npy"
    np.save(partial, np.concatenate(parts))
    os.replace(partial, directory / f"{name}.npy")
    _replace(directory / f"{name}.jsonl", "\n".join(rows) + "\n")


def build_shards(
    directory: Path,
    settings: Mapping[str, Any],
    found: Mapping[str, int],
    planned: Sequence[Planned],
    speak_shard: Callable[[Path, int, Sequence[Planned]], Mapping[str, float]],
    *,
    shard_utterances: int,
    sample_rate_hz: int,
    workers: int,
) -> dict[str, Any]:
    """Build what is missing of a corpus, and return what `corpus.json` says.

    Args:
        directory: Of the corpus; made if needed.
        settings: What the plan depends on.
        found: Sentences by source and fate.
        planned: Utterances, in an order that makes any prefix balanced.
        speak_shard: Speaks some of them and calls `write_shard`; a function of a module, since it runs in other
            processes. Returns CPU seconds by voice.
        shard_utterances: Of each shard.
        sample_rate_hz: Of the speech.
        workers: Processes, each with one thread.

    Raises:
        DataError: The directory holds a corpus of other settings.
    """
    directory.mkdir(parents=True, exist_ok=True)
    _check_settings(directory, settings)
    shards = -(-len(planned) // shard_utterances)
    summary: dict[str, Any] = {"settings": settings, "sentences_found": found, "planned": len(planned)}
    _replace(directory / "corpus.json", json.dumps(summary | {"complete": False}, indent=2))
    log.info("planned %d utterances in %d shards; sentences %s", len(planned), shards, found)
    started_s, cpu_s = time.monotonic(), Counter[str]()
    missing = sorted(set(range(shards)) - set(_finished(directory, shards)))
    with ProcessPoolExecutor(max_workers=workers) as pool:
        pending = [
            pool.submit(
                speak_shard,
                directory,
                index,
                planned[index * shard_utterances : (index + 1) * shard_utterances],
            )
            for index in missing
        ]
        for done, future in enumerate(as_completed(pending), start=1):
            cpu_s.update(future.result())
            hours = _hours(_write_manifest(directory, shards), sample_rate_hz)
            left_s = (time.monotonic() - started_s) / done * (len(missing) - done)
            log.info("%d of %d shards, %.2f h, %.0f s left", done, len(missing), hours, left_s)
    rows = _write_manifest(directory, shards)
    summary |= {
        "complete": True,
        "utterances": len(rows),
        "left_out": len(planned) - len(rows),
        "hours": round(_hours(rows, sample_rate_hz), 3),
        **{
            f"hours_by_{key}": _hours_by(rows, key, sample_rate_hz)
            for key in ("voice", "source", "split")
            if rows and key in rows[0]
        },
        "cpu_minutes_by_voice_of_this_run": {voice: round(s / 60, 2) for voice, s in sorted(cpu_s.items())},
        "minutes_of_this_run": round((time.monotonic() - started_s) / 60, 1),
    }
    _replace(directory / "corpus.json", json.dumps(summary, indent=2))
    return summary


def read_manifest(directory: Path, builder: str) -> list[dict[str, Any]]:
    """Rows of all shards that are finished so far, in corpus order.

    Args:
        directory: Of the corpus.
        builder: Module that makes it, for the error.

    Raises:
        DataError: There is no manifest.
    """
    path = directory / "manifest.jsonl"
    if not path.is_file():
        raise DataError(f"{path}: not found; build it with python -m {builder} --out {directory}")
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def read_utterance(directory: Path, row: Mapping[str, Any]) -> NDArray[np.float32]:
    """Speech of one manifest row: float32 [samples] in [-1, 1], from a memory-mapped shard."""
    offset = int(row["offset"])
    pcm = _shard(directory / f"{row['shard']}.npy")[offset : offset + int(row["samples"])]
    return pcm.astype(np.float32) / 32768.0


@functools.lru_cache(maxsize=256)
def _shard(path: Path) -> NDArray[np.int16]:
    return np.asanyarray(np.load(path, mmap_mode="r"))


def _shard_name(index: int) -> str:
    return f"shard-{index:05d}"


def _replace(path: Path, content: str) -> None:
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(content, "utf-8")
    os.replace(partial, path)


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


def _hours(rows: Iterable[Mapping[str, Any]], sample_rate_hz: int) -> float:
    return float(sum(row["samples"] for row in rows)) / sample_rate_hz / 3600


def _hours_by(rows: Sequence[Mapping[str, Any]], key: str, sample_rate_hz: int) -> dict[str, float]:
    names = sorted({row[key] for row in rows})
    return {
        name: round(_hours([row for row in rows if row[key] == name], sample_rate_hz), 3) for name in names
    }


def _check_settings(directory: Path, settings: Mapping[str, Any]) -> None:
    path = directory / "corpus.json"
    if path.is_file() and (before := json.loads(path.read_text("utf-8"))["settings"]) != settings:
        raise DataError(
            f"{path}: was begun with {before}, not {settings}; use another --out or the same settings"
        )
