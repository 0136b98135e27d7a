"""Three ways to make one number of several rewards: plain functions of values and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def weighted_sum(values: Sequence[float], weights: Sequence[float]) -> float:
    """sum_k w_k r_k."""
    return sum(weight * value for value, weight in zip(values, weights, strict=True))


def harmonic_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Weighted harmonic mean sum w_k / sum (w_k / r_k), as in arXiv 2509.18798, in [0, 1].

    The worst term rules: a good one cannot buy out a bad one. 0, the limit, where a term is 0.

    Args:
        values: In [0, 1] each.
        weights: Not negative, and not all 0.

    Raises:
        ValueError: A value lies outside.
    """
    if not all(0.0 <= value <= 1.0 for value in values):
        raise ValueError("the harmonic mean is of values in [0, 1]")
    weighed = [(value, weight) for value, weight in zip(values, weights, strict=True) if weight]
    if any(value == 0.0 for value, _ in weighed):
        return 0.0
    return sum(weight for _, weight in weighed) / sum(weight / value for value, weight in weighed)


def normalised_sums(rows: Sequence[Sequence[float]], weights: Sequence[float]) -> list[float]:
    """Each reward relative to its group, then the weighted sum (GLM-TTS, arXiv 2512.14291), one total a row.

    z_ik = (r_ik - mean_k) / (std_k + 1e-6) with the sample standard deviation (ddof 1) over the rows; a reward
    without spread gives 0. So a weight says how much a reward counts, whatever its scale. GLM-TTS normalises
    the sum once more: that is the advantage's part. Totals have mean 0 in each group.

    Args:
        rows: Values of one group, an output a row; those that failed are left out beforehand.
        weights: One a column.
    """
    if not rows:
        return []
    import torch

    from speechrl.rl.advantage import group_advantages

    values_KG = torch.tensor(rows, dtype=torch.float64).T
    scaled_KG = group_advantages(values_KG, torch.ones_like(values_KG, dtype=torch.bool)).advantages_PG
    totals: list[float] = (torch.tensor(weights, dtype=torch.float64) @ scaled_KG).tolist()
    return totals
