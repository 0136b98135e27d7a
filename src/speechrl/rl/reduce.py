"""From losses per token to one number: weights, sums, and the count of the one division."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def token_weights(
    lengths: Sequence[int],
    groups: Sequence[int],
    include: Sequence[bool],
    how: Literal["token", "sequence", "group"],
) -> tuple[list[float], float]:
    """Weight of each completion's tokens, and the count that divides the weighted sum; made once for a whole batch.

    The loss is sum_n weight_n sum_t loss_nt / count. Micro-batches only ever add to the sum, so how a batch
    is cut into them does not change the gradient. Where the literature forks:

    - `token`: weight 1, count = tokens. Every token of the batch is equal; DAPO (arXiv 2503.14476) sec. 3.3.
    - `sequence`: weight 1/length, count = completions. Every completion is equal; DeepSeekMath (arXiv
      2402.03300) eq. 3.
    - `group`: weight 1/(tokens of its group), count = groups. Every prompt is equal, tokens are equal inside
      it; the prompt average of ScaleRL (arXiv 2510.13786).

    Args:
        lengths: Tokens of each completion; one of length 0 is left out.
        groups: Group id of each completion.
        include: False leaves a completion out: weight 0, and not counted.
        how: What the mean is over.

    Returns:
        (weights, count). Count is 0 when nothing is included.
    """
    kept = [included and length > 0 for included, length in zip(include, lengths, strict=True)]
    if how == "token":
        return [float(k) for k in kept], float(sum(n for n, k in zip(lengths, kept, strict=True) if k))
    if how == "sequence":
        return [1.0 / n if k else 0.0 for n, k in zip(lengths, kept, strict=True)], float(sum(kept))
    tokens: dict[int, int] = {}
    for length, group, k in zip(lengths, groups, kept, strict=True):
        if k:
            tokens[group] = tokens.get(group, 0) + length
    weights = [1.0 / tokens[g] if k else 0.0 for g, k in zip(groups, kept, strict=True)]
    return weights, float(len(tokens))


def counted(mask_NL: Tensor, weight_N: Tensor) -> Tensor:
    """True for tokens that exist and whose completion has a weight, shape (N, L)."""
    return (mask_NL > 0) & (weight_N > 0)[:, None]


def weighted_sum(values_NL: Tensor, mask_NL: Tensor, weight_N: Tensor) -> Tensor:
    """Scalar sum of values times their completion's weight over the tokens that count.

    What does not count may hold anything, NaN too. The result stays connected to the graph of `values_NL`
    when nothing counts, so that `backward` runs on every rank.
    """
    return torch.where(counted(mask_NL, weight_N), values_NL * weight_N[:, None], 0.0).sum()


def counted_sum(values_NL: Tensor, mask_NL: Tensor, weight_N: Tensor) -> float:
    """Plain sum over the tokens that count, detached: metrics are means over tokens whatever the loss is."""
    return float(torch.where(counted(mask_NL, weight_N), values_NL.detach(), 0.0).sum())
