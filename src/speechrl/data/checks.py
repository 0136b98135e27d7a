"""Look at every row and every sample of a manifest before training, and say what is wrong and how to mend it."""

from __future__ import annotations

import copy
import gzip
import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile as sf
from lhotse.audio.utils import AudioLoadingError, DurationMismatchError

from speechrl.data.fit import Fitness
from speechrl.data.manifests import to_cut
from speechrl.data.prompts import brief
from speechrl.data.rows import Problem, Row, read_rows

if TYPE_CHECKING:
    from lhotse.cut import Cut
    from numpy.typing import NDArray

    from speechrl.models.base import SpeechModel

FULL_SCALE = 0.999
"""Samples at or above this, and their neighbour, count as clipped."""
LEAST_FULL_SCALE = 0.97
"""A clip's own largest sample is full scale from here on: mu-law and A-law end at 0.980 and 0.984."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What `check_manifest` accepts.

    Attributes:
        allow_empty_text: Empty text is a clip in which nobody speaks, not a mistake.
        min_duration_s: Shortest item.
        max_duration_s: Longest item.
        min_sample_rate_hz: Lowest rate; below 16 kHz audio is resampled, which is noted.
        max_sample_rate_hz: Highest rate.
        max_clipped_share: Share of samples in runs at full scale.
    """

    allow_empty_text: bool = False
    min_duration_s: float = 0.1
    max_duration_s: float = 60.0
    min_sample_rate_hz: int = 8_000
    max_sample_rate_hz: int = 96_000
    max_clipped_share: float = 0.01


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    Example: `report.ok` is False, `report.bad[0].reason` is `"a.wav cannot be opened (No such file or directory)"`.

    Attributes:
        manifest: What was checked.
        good: Rows that can be used, in order.
        bad: Rows that cannot, in order.
        notes: Sentences about what is unusual and allowed.
        duration_s: Seconds of audio in the good rows.
    """

    manifest: str
    good: tuple[Row, ...]
    bad: tuple[Problem, ...]
    notes: tuple[str, ...]
    duration_s: float

    @property
    def ok(self) -> bool:
        """Whether every row can be used, and there is one."""
        return bool(self.good) and not self.bad

    def to_json(self) -> dict[str, Any]:
        """The report without the good rows, for `--json`."""
        return {
            "manifest": self.manifest,
            "ok": self.ok,
            "rows": len(self.good) + len(self.bad),
            "good": len(self.good),
            "bad": [asdict(problem) for problem in self.bad],
            "reasons": dict(Counter(problem.field for problem in self.bad)),
            "notes": list(self.notes),
            "duration_s": round(self.duration_s, 3),
        }

    def write_good(self, path: str | Path) -> None:
        """Write the rows that can be used: a CutSet stays one, everything else becomes plain JSONL."""
        _write_lines(path, [_plain(row) if row.cut is None else _with_language(row) for row in self.good])

    def write_bad(self, path: str | Path) -> None:
        """Write the other rows' numbers, ids, fields, reasons and mends as JSONL."""
        _write_lines(path, [asdict(problem) for problem in self.bad])


def check_manifest(
    path: str | Path, limits: Limits | None = None, language: str = "en", model: SpeechModel | None = None
) -> CheckReport:
    """Check every row of a manifest, and its audio from the first to the last sample.

    Args:
        path: As in `read_manifest`.
        limits: What is accepted; by default `Limits()`.
        language: Of rows that do not say theirs.
        model: If given, rows that it cannot take (`SpeechModel.fault`) are bad as well.

    Raises:
        DataError: The manifest as a whole cannot be read.
    """
    limits = limits or Limits()
    fitness = None if model is None else Fitness(model)
    good: list[Row] = []
    bad: list[Problem] = []
    rates: Counter[int] = Counter()
    duration_s = 0.0
    for row in read_rows(path, language):
        if isinstance(row, Problem):
            bad.append(row)
            continue
        cut = to_cut(row)
        if isinstance(cut, Problem):
            bad.append(cut)
        elif (problem := _check(row, cut, limits)) is not None:
            bad.append(problem)
        elif fitness is not None and (fault := fitness.fault(cut)) is not None:
            bad.append(Problem(row.number, row.id, fault.field, fault.reason, fault.mend))
        else:
            good.append(row)
            rates[int(cut.sampling_rate)] += 1
            duration_s += float(cut.duration)
    notes = [
        f"{count} of {len(good)} rows {'is' if count == 1 else 'are'} at {rate} Hz and will be resampled; "
        f"speech above {rate // 2} Hz is missing from them"
        for rate, count in sorted(rates.items())
        if rate < 16_000
    ]
    if len(rates) > 1:
        notes.append(
            f"sample rates differ: {', '.join(f'{r} Hz ({n} of {len(good)} rows)' for r, n in sorted(rates.items()))}"
        )
    return CheckReport(str(path), tuple(good), tuple(bad), tuple(notes), duration_s)


def _check(row: Row, cut: Cut, limits: Limits) -> Problem | None:
    """The first thing that is wrong with a row, or None."""

    def problem(field: str, reason: str, mend: str) -> Problem:
        return Problem(row.number, row.id, field, reason, mend)

    if not row.text.strip() and not limits.allow_empty_text:
        return problem("text", "empty", "write the transcript, or allow empty text if nobody speaks")
    rate_hz = int(cut.sampling_rate)
    if not limits.min_sample_rate_hz <= rate_hz <= limits.max_sample_rate_hz:
        allowed = f"{limits.min_sample_rate_hz} to {limits.max_sample_rate_hz} Hz are usual"
        return problem("audio", f"sampled at {rate_hz} Hz ({allowed})", "correct the header or resample it")
    if cut.duration < limits.min_duration_s:
        return problem(
            "duration", f"{cut.duration:.3f} s is too short", f"keep {limits.min_duration_s} s or more"
        )
    if cut.duration > limits.max_duration_s:
        return problem(
            "duration", f"{cut.duration:.1f} s is too long", f"split it below {limits.max_duration_s} s"
        )
    try:
        audio_CS = cut.load_audio()
    except (AudioLoadingError, DurationMismatchError, sf.SoundFileError, OSError) as error:
        return problem("audio", f"cannot be decoded ({brief(error)})", "make the file again, or drop the row")
    if audio_CS is None or audio_CS.shape[0] != 1:
        channels = 0 if audio_CS is None else audio_CS.shape[0]
        return problem(
            "audio", f"{channels} channels, one is wanted", "mix or pick one, e.g. ffmpeg -i IN -ac 1 OUT.wav"
        )
    return _check_samples(row, audio_CS[0], limits)


def _check_samples(row: Row, audio_S: NDArray[np.float32], limits: Limits) -> Problem | None:
    if not np.isfinite(audio_S).all():
        count = int((~np.isfinite(audio_S)).sum())
        return Problem(
            row.number,
            row.id,
            "audio",
            f"{count} of {audio_S.size} samples are NaN or infinite",
            "make the file again",
        )
    if row.text.strip() and not audio_S.any():
        return Problem(
            row.number, row.id, "audio", "digital silence, but the row has text", "record it again"
        )
    clipped = clipped_share(audio_S)
    if clipped > limits.max_clipped_share:
        reason = f"{clipped:.1%} of the samples are clipped"
        return Problem(row.number, row.id, "audio", reason, "record it at a lower level, or drop the row")
    return None


def clipped_share(audio_S: NDArray[np.float32]) -> float:
    """Share of samples in runs of two or more at full scale; a single peak of a normalised file is no clipping."""
    if not len(audio_S):
        return 0.0
    loud_S = (audio_S >= _full_scale(audio_S.max())) | (-audio_S >= _full_scale(-audio_S.min()))
    beside_S = np.zeros_like(loud_S)
    beside_S[1:] |= loud_S[:-1]
    beside_S[:-1] |= loud_S[1:]
    return float(np.mean(loud_S & beside_S))


def _full_scale(largest: float) -> float:
    """What counts as full scale on one side of a clip; either side of an encoding may end lower than 1."""
    return min(FULL_SCALE, float(largest)) if largest >= LEAST_FULL_SCALE else FULL_SCALE


def _plain(row: Row) -> dict[str, Any]:
    item: dict[str, Any] = {"audio": str(row.audio), "text": row.text, "language": row.language}
    if row.named:  # one that was made of the file's name would pass for the manifest's own
        item = {"id": row.id, **item}
    if row.keywords:
        item["keywords"] = list(row.keywords)
    if row.start_s:
        item["start"] = row.start_s
    if row.duration_s is not None:
        item["duration"] = row.duration_s
    if row.licence:
        item["licence"] = row.licence
    if row.made is not None:
        item["made"] = dict(row.made)
    return item | dict(row.labels)


def _with_language(row: Row) -> dict[str, Any]:
    """The cut of a row, whose supervisions that name no language get the row's."""
    assert row.cut is not None
    cut = copy.deepcopy(dict(row.cut))
    for part in (cut, *(track["cut"] for track in cut.get("tracks") or ())):
        for said in part.get("supervisions") or ():
            said["language"] = said.get("language") or row.language
    return cut


def _write_lines(path: str | Path, rows: list[dict[str, Any]]) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(lines) if path.suffix == ".gz" else lines)
