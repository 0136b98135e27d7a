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

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from speechrl.rl.chunks import row_chunks

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

    A token that the policy masks with a logit of -inf has probability 0 and adds nothing.

    Half-precision logits are raised to float32, a few rows at a time, going forward and again going backward: nothing
    of the size of the logits is kept but they themselves.
    """
    rows = (-1, logits.shape[-1])
    kl_P: Tensor = _FullKL.apply(logits.reshape(rows), reference_logits.reshape(rows))  # type: ignore[no-untyped-call]
    return kl_P.view(logits.shape[:-1])


class _FullKL(torch.autograd.Function):
    """KL(pi || q) of rows of logits a and b: d KL / d a = pi (log pi - log q - KL), d KL / d b = q - pi."""

    @staticmethod
    def forward(ctx: Any, logits_PV: Tensor, reference_PV: Tensor) -> Tensor:
        kl_P = logits_PV.new_empty(len(logits_PV), dtype=_raised(logits_PV))
        for rows in row_chunks(logits_PV):
            logprobs, difference = _logprobs_and_difference(logits_PV[rows], reference_PV[rows])
            kl_P[rows] = logprobs.exp_().mul_(difference).sum(-1)
        ctx.save_for_backward(logits_PV, reference_PV, kl_P)
        return kl_P

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_P: Tensor) -> tuple[Tensor | None, Tensor | None]:
        logits_PV, reference_PV, kl_P = ctx.saved_tensors
        wanted, reference_wanted = ctx.needs_input_grad
        grad_PV = torch.empty_like(logits_PV) if wanted else None
        reference_grad_PV = torch.empty_like(reference_PV) if reference_wanted else None
        for rows in row_chunks(logits_PV):
            logprobs, difference = _logprobs_and_difference(logits_PV[rows], reference_PV[rows])
            grad = grad_P[rows, None]
            if reference_grad_PV is not None:
                reference_grad_PV[rows] = grad * ((logprobs - difference).exp() - logprobs.exp())
            if grad_PV is not None:
                grad_PV[rows] = logprobs.exp_().mul_(difference.sub_(kl_P[rows, None])).mul_(grad)
        return grad_PV, reference_grad_PV


def _logprobs_and_difference(logits_RV: Tensor, reference_RV: Tensor) -> tuple[Tensor, Tensor]:
    logprobs_RV = logits_RV.log_softmax(-1, dtype=_raised(logits_RV))
    reference_logprobs_RV = reference_RV.log_softmax(-1, dtype=logprobs_RV.dtype)
    difference_RV = torch.sub(logprobs_RV, reference_logprobs_RV, out=reference_logprobs_RV)
    return logprobs_RV, difference_RV.masked_fill_(logprobs_RV.isneginf(), 0.0)


def _raised(logits: Tensor) -> torch.dtype:
    return torch.promote_types(logits.dtype, torch.float32)
