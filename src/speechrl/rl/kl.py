"""Divergence of the policy pi from the reference q, per token: KL(pi || q) = E_{y ~ pi} log pi(y)/q(y).

Three estimators from the sampled token alone (J. Schulman, "Approximating KL Divergence", 2020) and the sum
over the whole vocabulary. With x = log pi(y) - log q(y), y ~ pi:

| name | value | value unbiased | as a loss, its gradient is on average that of |
|---|---|---|---|
| k1 | x | yes; may be negative, high variance | nothing: E grad log pi = 0. For reporting |
| k2 | x^2 / 2 | no, but close when pi is near q | KL(pi to q): E[x grad log pi]. Unbiased |
| k3 | exp(-x) - 1 + x | yes; never negative, low variance | KL(q to pi), the other direction; agrees near pi = q |
| full | sum_v pi_v log(pi_v / q_v) | exact | KL(pi to q). Exact |

"Gradient" means what backpropagation sees, the sampling held fixed. All are conditional on the sampled
prefix: the effect of a token on the divergence of later ones is left out, as is usual. All but `full` assume
tokens sampled from pi; neither truncated sampling nor a stale behaviour policy is corrected for. DeepSeekMath
(arXiv 2402.03300) eq. 4 uses k3; DiffRO uses full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def kl_k1(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Estimator x = log pi - log q, any shape. Unbiased in value; as a loss its expected gradient is zero."""
    return logprobs - reference_logprobs


def kl_k2(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Estimator x^2 / 2, any shape, >= 0. Biased in value; its expected gradient is that of KL(pi || q)."""
    return (logprobs - reference_logprobs).square() / 2


def kl_k3(logprobs: Tensor, reference_logprobs: Tensor) -> Tensor:
    """Estimator exp(-x) - 1 + x, any shape, >= 0. Unbiased in value; its expected gradient is that of KL(q || pi)."""
    minus_x = reference_logprobs - logprobs
    # expm1 keeps the digits that exp(d) - 1 - d loses for nearly equal policies, where training begins.
    return torch.expm1(minus_x) - minus_x


def kl_full(logits: Tensor, reference_logits: Tensor) -> Tensor:
    """Sum over the vocabulary, (..., V), (..., V) -> (...), >= 0. Exact in value and gradient; needs both logits.

    Half-precision logits are raised to float32 first.
    """
    dtype = torch.promote_types(logits.dtype, torch.float32)
    logprobs = logits.log_softmax(dim=-1, dtype=dtype)
    return (logprobs.exp() * (logprobs - reference_logits.log_softmax(dim=-1, dtype=dtype))).sum(dim=-1)
