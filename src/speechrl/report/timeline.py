"""`timeline.json`: stages of every step in Chrome's trace format, which Perfetto and chrome://tracing open as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from speechrl.report.metrics import merge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MICROSECONDS = 1_000_000


def timeline(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Lay the stages of the steps end to end.

    Args:
        rows: Rows of `metrics.jsonl`.

    Returns:
        `traceEvents` (a complete event per stage and step; `ts` and `dur` in microseconds of stage time, waiting
        between stages left out), `stages` (`{"STAGE": {"seconds", "share", "peak_bytes"}}` over the run) and `steps`.
    """
    events: list[dict[str, Any]] = []
    now_s = 0.0
    for row in rows:
        for stage, seconds in stages_of(row, "seconds").items():
            events.append(
                {
                    "name": stage,
                    "ph": "X",
                    "pid": 1,
                    "tid": 1,
                    "ts": round(now_s * MICROSECONDS),
                    "dur": round(seconds * MICROSECONDS),
                    "args": {"step": row["step"]},
                }
            )
            now_s += seconds
    return {"traceEvents": events, "stages": stage_totals(rows), "steps": len(rows)}


def stage_totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Seconds, share of the whole and peak bytes of every stage, in the order in which stages first appear."""
    merged = merge(rows)
    seconds, peaks = stages_of(merged, "seconds"), stages_of(merged, "memory")
    whole = sum(seconds.values())
    return {
        stage: {"seconds": value, "share": value / whole if whole else 0.0, "peak_bytes": peaks.get(stage)}
        for stage, value in seconds.items()
    }


def stages_of(row: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """The values `prefix/STAGE` of a row, by stage; `total` is not a stage."""
    names = (name for name in row if name.startswith(f"{prefix}/") and not name.endswith("/total"))
    return {name.removeprefix(f"{prefix}/"): row[name] for name in names if row[name] is not None}


def duration(seconds: float) -> str:
    """Seconds for people: `0.42 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
