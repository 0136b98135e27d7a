"""Percentile bootstrap over utterances: intervals of a corpus rate, and a paired test of two systems.

A corpus rate is a ratio of sums (errors over words), so an utterance is drawn with its errors *and* its words. Source:
Bisani and Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation", ICASSP 2004.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

DRAWS_AT_ONCE = 2_000_000
"""Indices held in memory at a time (16 MB)."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A corpus rate with its percentile interval.

    Attributes:
        value: Sum of errors over sum of words.
        low: Lower end.
        high: Upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """How a corpus rate changed between two systems on the same utterances.

    Attributes:
        relative_change: after / before - 1; negative is better. None where `before` made no error and `after` did.
        low: Lower end of its interval, or None likewise.
        high: Upper end of its interval, or None likewise, and where it is beyond every number: more than a share
            (1 - level) / 2 of the resamples have errors after and none before.
        p: Two-sided p-value of "no difference"; 1 for identical systems, never below 2 / (resamples + 1).
    """

    relative_change: float | None
    low: float | None
    high: float | None
    p: float


@dataclass(frozen=True, slots=True)
class Difference:
    """How a mean changed between two systems on the same utterances.

    Attributes:
        difference: after - before.
        low: Lower end of its interval.
        high: Upper end of its interval.
        p: As in `Paired`.
    """

    difference: float
    low: float
    high: float
    p: float


def interval(
    errors: Sequence[float], words: Sequence[float], resamples: int = 2000, seed: int = 1, level: float = 0.95
) -> Interval | None:
    """Percentile interval of `sum(errors) / sum(words)` over utterances.

    Args:
        errors: Errors of each utterance.
        words: Reference words of each utterance (ones give a rate per utterance).
        resamples: Bootstrap resamples.
        seed: The same seed gives the same interval.
        level: Coverage aimed at, in (0, 1).

    Returns:
        The interval, or None when there are no words at all: the rate does not exist.
    """
    errors_U, words_U = _columns(errors, words)
    if words_U.sum() <= 0:
        return None
    rates_B = np.concatenate(
        [
            _ratio(errors_U[draw].sum(-1), words_U[draw].sum(-1))
            for draw in _draws(len(words_U), resamples, seed)
        ]
    )
    low, high = np.nanquantile(rates_B, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(errors_U.sum() / words_U.sum()), float(low), float(high))


def paired(
    before: Sequence[float],
    after: Sequence[float],
    words: Sequence[float],
    resamples: int = 2000,
    seed: int = 1,
    level: float = 0.95,
) -> Paired | None:
    """Paired bootstrap: the same utterances are drawn for both systems.

    The p-value is the inverted percentile interval: twice the smaller share of resamples on either side of zero, with
    one added to count and resamples so that it is never 0 (Davison and Hinkley 1997, 4.2.3).

    Args:
        before: Errors of each utterance under the first system.
        after: Errors of the same utterances under the second.
        words: Their reference words.
        resamples: Bootstrap resamples.
        seed: The same seed gives the same answer.
        level: Coverage of the interval of the relative change.

    Returns:
        The change, or None when there are no words at all.
    """
    before_U, words_U = _columns(before, words)
    after_U, _ = _columns(after, words)
    if words_U.sum() <= 0:
        return None
    changes, not_better, not_worse = [], 0, 0
    for draw_BU in _draws(len(words_U), resamples, seed):
        first_B, second_B = before_U[draw_BU].sum(-1), after_U[draw_BU].sum(-1)
        not_better += int((second_B >= first_B).sum())
        not_worse += int((second_B <= first_B).sum())
        changes.append(_change(first_B, second_B))
    p = _p_value(not_better, not_worse, resamples)
    change = float(_change(before_U.sum(keepdims=True), after_U.sum(keepdims=True))[0])
    if np.isinf(change):
        return Paired(None, None, None, p)
    ends = _quantiles(np.concatenate(changes), [(1 - level) / 2, (1 + level) / 2])
    return Paired(change, *ends, p)


def paired_difference(
    before: Sequence[float],
    after: Sequence[float],
    weights: Sequence[float],
    resamples: int = 2000,
    seed: int = 1,
    level: float = 0.95,
) -> Difference | None:
    """Paired bootstrap, as `paired`, of `sum(after) / sum(weights) - sum(before) / sum(weights)`.

    For what has no natural zero to be relative to (similarity, a mean opinion score), or may be zero (a share).

    Args:
        before: Sum of each utterance under the first system.
        after: Sum of the same utterances under the second.
        weights: What the sums are divided by: ones, or the number of values that an utterance has.
        resamples: Bootstrap resamples.
        seed: The same seed gives the same answer.
        level: Coverage of the interval.

    Returns:
        The difference, or None when the weights are zero.
    """
    before_U, weights_U = _columns(before, weights)
    after_U, _ = _columns(after, weights)
    whole = weights_U.sum()
    if whole <= 0:
        return None
    gained_U = after_U - before_U
    changes, not_below, not_above = [], 0, 0
    for draw_BU in _draws(len(weights_U), resamples, seed):
        gained_B = gained_U[draw_BU].sum(-1)
        not_below += int((gained_B >= 0).sum())
        not_above += int((gained_B <= 0).sum())
        changes.append(_ratio(gained_B, weights_U[draw_BU].sum(-1)))
    low, high = np.nanquantile(np.concatenate(changes), [(1 - level) / 2, (1 + level) / 2])
    p = _p_value(not_below, not_above, resamples)
    return Difference(float(gained_U.sum() / whole), float(low), float(high), p)


def paired_ratios(
    before: tuple[Sequence[float], Sequence[float]],
    after: tuple[Sequence[float], Sequence[float]],
    resamples: int = 2000,
    seed: int = 1,
    level: float = 0.95,
) -> Difference | None:
    """Paired bootstrap, as `paired_difference`, where both sums of the ratio depend on the system, as in an F1.

    Args:
        before: Numerator and denominator of each utterance under the first system.
        after: Those of the same utterances under the second.
        resamples: Bootstrap resamples; those in which a ratio does not exist are left out.
        seed: The same seed gives the same answer.
        level: Coverage of the interval.

    Returns:
        The difference of the ratios of sums, or None when one of them does not exist.
    """
    (top_U, bottom_U), (later_top_U, later_bottom_U) = _columns(*before), _columns(*after)
    if min(bottom_U.sum(), later_bottom_U.sum()) <= 0:
        return None
    gained_B = np.concatenate(
        [
            _ratio(later_top_U[draw].sum(-1), later_bottom_U[draw].sum(-1))
            - _ratio(top_U[draw].sum(-1), bottom_U[draw].sum(-1))
            for draw in _draws(len(top_U), resamples, seed)
        ]
    )
    gained_B = gained_B[~np.isnan(gained_B)]
    low, high = np.quantile(gained_B, [(1 - level) / 2, (1 + level) / 2])
    p = _p_value(int((gained_B >= 0).sum()), int((gained_B <= 0).sum()), len(gained_B))
    difference = later_top_U.sum() / later_bottom_U.sum() - top_U.sum() / bottom_U.sum()
    return Difference(float(difference), float(low), float(high), p)


def _p_value(not_below: int, not_above: int, resamples: int) -> float:
    return min(1.0, 2 * (1 + min(not_below, not_above)) / (1 + resamples))


def _columns(errors: Sequence[float], words: Sequence[float]) -> tuple[Floats, Floats]:
    errors_U, words_U = np.asarray(errors, np.float64), np.asarray(words, np.float64)
    if errors_U.shape != words_U.shape or errors_U.ndim != 1:
        raise ValueError(
            f"errors and words must be lists of one length, not {errors_U.shape} and {words_U.shape}"
        )
    return errors_U, words_U


def _draws(utterances: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Indices of shape (some resamples, utterances), `resamples` rows in all."""
    generator = np.random.default_rng(seed)
    rows = max(1, DRAWS_AT_ONCE // utterances)
    for start in range(0, resamples, rows):
        yield generator.integers(utterances, size=(min(rows, resamples - start), utterances))


def _ratio(errors: Floats, words: Floats) -> Floats:
    """Errors over words; NaN in a resample that drew empty references only."""
    return np.divide(errors, words, out=np.full_like(errors, np.nan), where=words > 0)


def _change(before: Floats, after: Floats) -> Floats:
    """Give after / before - 1; 0 where both are 0, infinite where only `before` is."""
    change = np.divide(after, before, out=np.full_like(before, np.inf), where=before > 0) - 1
    return np.where((before == 0) & (after == 0), 0.0, change)


def _quantiles(values: Floats, levels: Sequence[float]) -> tuple[float | None, float | None]:
    """A lower and an upper quantile of values of which some may be infinite; None for an end that is."""
    if np.isinf(values).any():  # between a number and infinity there is nothing to interpolate
        low = np.quantile(values, levels[0], method="lower")
        high = np.quantile(values, levels[1], method="higher")
    else:
        low, high = np.quantile(values, levels)
    return None if np.isinf(low) else float(low), None if np.isinf(high) else float(high)
