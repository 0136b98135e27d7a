"""Log-probability and entropy of tokens from logits, in float32, without keeping a float32 copy of the logits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from speechrl.rl.chunks import row_chunks

if TYPE_CHECKING:
    from torch import Tensor

_LOWEST = torch.finfo(torch.float32).min


class _TokenLogprobs(torch.autograd.Function):
    """log p(target) = logit(target) - logsumexp(logits); only the logits and one number per token are kept."""

    @staticmethod
    def forward(ctx: Any, logits_PV: Tensor, targets_P: Tensor) -> tuple[Tensor, Tensor]:
        logsumexp_P = logits_PV.new_empty(len(targets_P), dtype=torch.float32)
        logprobs_P, entropy_P = torch.empty_like(logsumexp_P), torch.empty_like(logsumexp_P)
        for rows in row_chunks(logits_PV):
            logits = logits_PV[rows].float()
            logsumexp_P[rows] = logits.logsumexp(-1)
            logprobs_P[rows] = logits.gather(-1, targets_P[rows, None])[:, 0] - logsumexp_P[rows]
            probs = (logits - logsumexp_P[rows, None]).exp_()
            # A logit of -inf has probability 0 and adds nothing, where 0 * -inf would give NaN.
            entropy_P[rows] = logsumexp_P[rows] - probs.mul_(logits.clamp_min(_LOWEST)).sum(-1)
        ctx.save_for_backward(logits_PV, targets_P, logsumexp_P)
        ctx.mark_non_differentiable(entropy_P)
        return logprobs_P, entropy_P

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_P: Tensor, _entropy: Tensor) -> tuple[Tensor, None]:
        logits_PV, targets_P, logsumexp_P = ctx.saved_tensors
        grad_PV = torch.empty_like(logits_PV)
        for rows in row_chunks(logits_PV):
            grad = (logits_PV[rows].float() - logsumexp_P[rows, None]).exp_().mul_(-grad_P[rows, None])
            grad.scatter_add_(-1, targets_P[rows, None], grad_P[rows, None])
            grad_PV[rows] = grad.to(grad_PV.dtype)
        return grad_PV, None


def token_logprobs(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability of each target and entropy of its distribution, both in nats and float32.

    Args:
        logits: Any floating dtype, shape (..., V).
        targets: Token ids, shape (...).

    Returns:
        log p(target), with gradient to the logits, and the entropy, detached; both of shape (...).
    """
    logprobs_P, entropy_P = _TokenLogprobs.apply(logits.flatten(0, -2), targets.flatten())  # type: ignore[no-untyped-call]
    return logprobs_P.view(targets.shape), entropy_P.view(targets.shape)
