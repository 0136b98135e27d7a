"""Sampling that gradients pass through: Gumbel-Softmax over the codes of speech, and its noise.

Axes: N completions, L tokens, K codes of the reward model, D width of its embeddings. The policy's vocabulary is the K
codes first, then whatever only it knows (the end token), so that "the codes" are the first K columns of its logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.autograd.function import once_differentiable

from speechrl.rl.chunks import row_chunks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def gumbel_noise(key: Sequence[int], length: int, codes: int) -> Tensor:
    """Standard Gumbel noise of one completion, float32 on the host, shape (length, codes).

    It depends on the numbers of the key alone (seed, step, place in the batch), never on which other completions share
    the micro-batch or on the device, and a longer draw begins with the shorter one.
    """
    # NumPy's SeedSequence mixes the key, so that neighbouring seeds, steps and places are unrelated.
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(key))))
    exponential = generator.standard_exponential((length, codes), dtype=np.float32)
    # A draw of exactly 0 would be noise without bound, and NaN after the softmax.
    return -torch.from_numpy(np.maximum(exponential, np.finfo(np.float32).tiny)).log()


def padded_noise(
    keys: Sequence[Sequence[int]], lengths: Sequence[int], codes: int, device: torch.device
) -> Tensor:
    """`gumbel_noise` of N completions, zeros on padding, float32, shape (N, longest, codes)."""
    noise_NLK = torch.zeros(len(keys), max(lengths), codes)
    for row, (key, length) in enumerate(zip(keys, lengths, strict=True)):
        noise_NLK[row, :length] = gumbel_noise(key, length, codes)
    return noise_NLK.to(device)


def gumbel_softmax(logits_NLK: Tensor, noise_NLK: Tensor, temperature: float) -> Tensor:
    """Relaxed one-hot draws, softmax((logits + noise) / temperature), shape (N, L, K); every row of K sums to 1.

    Jang et al. 2017 (arXiv 1611.01144) eq. 2. Half-precision logits are raised to float32.

    Args:
        logits_NLK: Predictions of the policy over the codes alone: what it would say given that it goes on.
        noise_NLK: Standard Gumbel noise; 0 gives the tempered softmax itself.
        temperature: > 0; the smaller, the nearer to one-hot and the more its gradient varies.
    """
    dtype = torch.promote_types(logits_NLK.dtype, torch.float32)
    return ((logits_NLK.to(dtype) + noise_NLK) / temperature).softmax(dim=-1)


def soft_embeddings(
    logits_NLK: Tensor, noise_NLK: Tensor, temperature: float, embedding_KD: Tensor, lengths_N: Tensor
) -> Tensor:
    """What the reward model reads in place of a look-up: draws times its embeddings; 0 on padding, (N, L, D)."""
    weights_NLK = gumbel_softmax(logits_NLK, noise_NLK, temperature)
    return _without_padding(weights_NLK.to(embedding_KD.dtype) @ embedding_KD, lengths_N)


def straight_through_embeddings(
    logits_NLK: Tensor, noise_NLK: Tensor, temperature: float, embedding_KD: Tensor, lengths_N: Tensor
) -> Tensor:
    """The same with hard draws, the paper's choice: embeddings of the largest entries of logits + noise; (N, L, D).

    Such an entry is an exact draw from softmax(logits) at any temperature. Going forward it is looked up; the gradient
    to the logits is that of `soft_embeddings` for the same gradient of what was read (DiffRO, arXiv 2507.05911, at
    temperature 1). No one-hot is ever made. The embeddings are the frozen reward model's and receive no gradient.
    """
    logits_PK, noise_PK = logits_NLK.flatten(0, 1), noise_NLK.flatten(0, 1)
    embedded_PD = _StraightThrough.apply(logits_PK, noise_PK, temperature, embedding_KD)  # type: ignore[no-untyped-call]
    return _without_padding(embedded_PD.view(*logits_NLK.shape[:2], -1), lengths_N)


class _StraightThrough(torch.autograd.Function):
    """Forward: a look-up. Backward, with y the soft draw and u = grad . embedding: y (u - sum(y u)) / temperature."""

    @staticmethod
    def forward(
        ctx: Any, logits_PK: Tensor, noise_PK: Tensor, temperature: float, embedding_KD: Tensor
    ) -> Tensor:
        largest = [(logits_PK[rows] + noise_PK[rows]).max(-1) for rows in row_chunks(logits_PK)]
        codes_P = torch.cat([found.indices for found in largest])
        ctx.save_for_backward(logits_PK, noise_PK, embedding_KD)
        ctx.temperature = temperature
        # A look-up would hide logits that are not numbers; times zero they show.
        values_P = torch.cat([found.values for found in largest]).to(embedding_KD.dtype)
        return embedding_KD[codes_P] + 0.0 * values_P[:, None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_PD: Tensor) -> tuple[Tensor, None, None, None]:
        logits_PK, noise_PK, embedding_KD = ctx.saved_tensors
        grad_PK = torch.empty_like(logits_PK)
        for rows in row_chunks(logits_PK):
            soft = gumbel_softmax(logits_PK[rows], noise_PK[rows], ctx.temperature)
            upstream = (grad_PD[rows] @ embedding_KD.T).to(soft.dtype)
            mean = (soft * upstream).sum(-1, keepdim=True)
            grad_PK[rows] = soft.mul_(upstream.sub_(mean)).div_(ctx.temperature)
        return grad_PK, None, None, None


def _without_padding(embedded_NLD: Tensor, lengths_N: Tensor) -> Tensor:
    exists_NL = torch.arange(embedded_NLD.shape[1], device=embedded_NLD.device) < lengths_N[:, None]
    return torch.where(exists_NL[..., None], embedded_NLD, 0.0)


def annealed(start: float, final: float | None, progress: float) -> float:
    """Temperature on the straight line from `start` at progress 0 to `final` at 1; `start` throughout without one."""
    return start if final is None else start + (final - start) * progress
