"""The clipped policy surrogate and its two importance ratios.

Axes: N completions, L tokens. Everything is per token and unreduced; `rl.reduce` sums and one place divides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def log_ratio(logprobs_NL: Tensor, behaviour_logprobs_NL: Tensor, mask_NL: Tensor) -> Tensor:
    """Log of policy over behaviour probability per token; 0 on padding, whatever the inputs hold there."""
    return (logprobs_NL - behaviour_logprobs_NL).masked_fill(mask_NL == 0, 0.0)


def token_ratio(logprobs_NL: Tensor, behaviour_logprobs_NL: Tensor, mask_NL: Tensor) -> Tensor:
    """GRPO's and PPO's ratio, one per token: r_t = pi(y_t | y_<t) / mu(y_t | y_<t). Padding gives 1.

    With mu the policy itself every ratio is 1 and its gradient is that of log pi.
    """
    return log_ratio(logprobs_NL, behaviour_logprobs_NL, mask_NL).exp()


def sequence_ratio(logprobs_NL: Tensor, behaviour_logprobs_NL: Tensor, mask_NL: Tensor) -> Tensor:
    """GSPO's ratio, one per completion, repeated over its tokens: s = exp(mean_t log r_t).

    The gradient goes straight through the mean: d s / d log pi_t = s / length, for every token. A sum of f(s)
    over the L tokens of a completion, each weighted 1/length, is therefore one f(s) per sequence: arXiv 2507.18071
    eq. 5 with the ratio of eq. 7. A completion without tokens gives 1.
    """
    length_N = mask_NL.sum(dim=1, keepdim=True).clamp(min=1)
    mean_N1 = log_ratio(logprobs_NL, behaviour_logprobs_NL, mask_NL).sum(dim=1, keepdim=True) / length_N
    return mean_N1.exp().expand_as(logprobs_NL)


def clipped_surrogate(
    ratio_NL: Tensor, advantages_N: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """Negative clipped objective per token, and where the clip took the gradient away.

    -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A): PPO (arXiv 1707.06347) eq. 7, with the two bounds of
    DAPO (arXiv 2503.14476), sec. 3.1. At r = 1 the gradient is -A grad log pi, that of REINFORCE with A.

    Returns:
        (loss_NL, clipped_NL): the loss to minimise, and a boolean that is True where A > 0 and r > 1 +
        clip_high, or A < 0 and r < 1 - clip_low. The other two corners pass unclipped: there the policy moved
        against its advantage, and may return.
    """
    advantages_N1 = advantages_N[:, None]
    bounded_NL = ratio_NL.clamp(1 - clip_low, 1 + clip_high)
    loss_NL = -torch.minimum(ratio_NL * advantages_N1, bounded_NL * advantages_N1)
    too_likely_NL = (advantages_N1 > 0) & (ratio_NL > 1 + clip_high)
    too_unlikely_NL = (advantages_N1 < 0) & (ratio_NL < 1 - clip_low)
    return loss_NL, too_likely_NL | too_unlikely_NL
