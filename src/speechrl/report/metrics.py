"""Metrics of a step, and how a metric is combined over steps or ranks: each name carries its reducer.

A row of `metrics.jsonl` has at least `STABLE_KEYS`, `reward/TERM` and `seconds/STAGE`. `null` means "not measured".
"""

from __future__ import annotations

import math
from collections import defaultdict
from enum import StrEnum
from statistics import fmean
from typing import TYPE_CHECKING, Any

from speechrl.types import Ending, ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from speechrl.types import Output, Prompt, Score, StepReport

STABLE_KEYS = (
    "step",
    "reward",
    "zero_spread_share",
    "kl",
    "logprob_gap",
    "failed_scores",
    "grad_norm",
    "loss",
)
RATES: dict[str, tuple[tuple[str, ...], str]] = {
    "wer": (("substitutions", "deletions", "insertions"), "words"),
    "cer": (("character_errors",), "characters"),
    "token_cer": (("letter_errors",), "letters"),
}
"""Error rates: the counts above the line, and the one below it."""
COUNTS = tuple(count for errors, total in RATES.values() for count in (*errors, total))


class Reducer(StrEnum):
    """How values of one metric become one value."""

    MEAN = "mean"
    SUM = "sum"
    MAX = "max"
    LAST = "last"
    CORPUS = "corpus"
    """Recomputed from its summed counts: an error rate is a ratio of sums, never a mean of ratios."""


REDUCERS: dict[str, Reducer] = {
    "step": Reducer.LAST,
    "learning_rate": Reducer.LAST,
    "failed_scores": Reducer.SUM,
    "rollouts": Reducer.SUM,
    **dict.fromkeys(RATES, Reducer.CORPUS),
    **dict.fromkeys(COUNTS, Reducer.SUM),
}
PREFIX_REDUCERS: dict[str, Reducer] = {"seconds/": Reducer.SUM, "memory/": Reducer.MAX}


def reducer_of(name: str) -> Reducer:
    """The reducer that a metric's name carries; the mean where the tables say nothing."""
    by_prefix = (reducer for prefix, reducer in PREFIX_REDUCERS.items() if name.startswith(prefix))
    return REDUCERS.get(name) or next(by_prefix, Reducer.MEAN)


def merge(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Combine rows (of neighbouring steps, or of ranks) into one, every metric by its reducer.

    Nulls are left out of their metric; values that are not numbers (alarms) are dropped.
    """
    values: defaultdict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                values[name].append(value)
    merged: dict[str, Any] = {name: _reduce(reducer_of(name), numbers) for name, numbers in values.items()}
    return merged | corpus_rates(merged)


def corpus_rates(counts: Mapping[str, float]) -> dict[str, float | None]:
    """Those of `RATES` whose counts are there, from summed counts; None without anything to be wrong about."""
    return {
        name: sum(counts.get(error, 0) for error in errors) / counts[total] if counts[total] else None
        for name, (errors, total) in RATES.items()
        if total in counts
    }


def step_metrics(
    prompts: Sequence[Prompt], outputs: Sequence[Sequence[Output]], scores: Sequence[Sequence[Score]]
) -> dict[str, Any]:
    """What rollouts and their scores say about a step.

    Failed scores are counted and leave every mean. Metrics of the scores are averaged over rollouts, their counts
    summed, and error rates are the corpus rates of those counts.

    Args:
        prompts: One per group.
        outputs: One list per group.
        scores: One list per group, aligned with `outputs`.

    Returns:
        `reward`, `reward/TERM`, `length` (tokens), `length_cut_share`, `rollouts`, `failed_scores`, and what
        `Score.metrics` carries. For synthesis also `tokens_per_char`, a ratio of sums.
    """
    flat_outputs = [output for group in outputs for output in group]
    flat_scores = [score for group in scores for score in group]
    judged = [score for score in flat_scores if score.status is ScoreStatus.OK]
    values: defaultdict[str, list[float]] = defaultdict(list)
    for score in judged:
        for name, value in score.metrics.items():
            values[name].append(value)
        for name, value in score.terms.items():
            values[f"reward/{name}"].append(value)
    row: dict[str, Any] = {
        "reward": fmean(score.total for score in judged) if judged else None,
        "rollouts": len(flat_scores),
        "failed_scores": len(flat_scores) - len(judged),
    }
    if flat_outputs:
        row["length"] = fmean(output.length for output in flat_outputs)
        row["length_cut_share"] = fmean(output.ending is Ending.LENGTH for output in flat_outputs)
    asked = [prompt for prompt, group in zip(prompts, outputs, strict=True) for _ in group]
    characters = sum(len(prompt.text) for prompt in asked if prompt.task == "tts")
    if characters:
        row["tokens_per_char"] = sum(output.length for output in flat_outputs) / characters
    row |= {name: sum(numbers) if name in COUNTS else fmean(numbers) for name, numbers in values.items()}
    return row | corpus_rates(row)


def make_row(
    step: int,
    prompts: Sequence[Prompt],
    outputs: Sequence[Sequence[Output]],
    scores: Sequence[Sequence[Score]],
    report: StepReport,
    seconds: Mapping[str, float],
    memory: Mapping[str, float],
) -> dict[str, Any]:
    """The row of `metrics.jsonl` of one step: plain JSON values, with NaN and infinity as null.

    Args:
        step: Counted from 1.
        prompts: One per group.
        outputs: One list per group.
        scores: One list per group.
        report: What the update did; its metrics win over those computed from the scores.
        seconds: Wall-clock seconds by stage.
        memory: Peak bytes by stage.
    """
    row: dict[str, Any] = dict.fromkeys(STABLE_KEYS)
    row |= {"step": step} | step_metrics(prompts, outputs, scores) | dict(report.metrics)
    row |= {f"seconds/{stage}": value for stage, value in seconds.items()}
    row |= {f"memory/{stage}": value for stage, value in memory.items()}
    row = {name: finite(value) for name, value in row.items()}
    if not report.updated:
        row["updated"] = False
    if report.alarms:
        row["alarms"] = list(report.alarms)
    return row


def finite(value: float | None) -> float | None:
    """The value, or None where JSON has no number for it."""
    return value if value is not None and math.isfinite(value) else None


def _reduce(reducer: Reducer, numbers: Sequence[float]) -> float:
    match reducer:
        case Reducer.SUM:
            return sum(numbers)
        case Reducer.MAX:
            return max(numbers)
        case Reducer.LAST:
            return numbers[-1]
        case _:
            return fmean(numbers)
