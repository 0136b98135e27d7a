"""Sampling that gradients pass through: Gumbel-Softmax over the codes of speech, and its noise.

Axes: N completions, L tokens, K codes of the reward model, D width of its embeddings. The policy's vocabulary is the K
codes first, then whatever only it knows (the end token), so that "the codes" are the first K columns of its logits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

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


def gumbel_softmax(logits_NLK: Tensor, noise_NLK: Tensor, temperature: float, *, hard: bool) -> Tensor:
    """Relaxed one-hot draws from softmax(logits), shape (N, L, K); every row of K sums to 1.

    Soft: softmax((logits + noise) / temperature), Jang et al. 2017 (arXiv 1611.01144) eq. 2. Hard (straight-through):
    the one-hot of its largest entry, an exact draw from softmax(logits) at any temperature, with the gradient of the
    soft one. DiffRO (arXiv 2507.05911) uses hard at temperature 1. Half-precision logits are raised to float32.

    Args:
        logits_NLK: Predictions of the policy over the codes alone: what it would say given that it goes on.
        noise_NLK: Standard Gumbel noise; 0 gives the most likely code, or the tempered softmax itself.
        temperature: > 0; the smaller, the nearer soft is to hard and the more its gradient varies.
        hard: Which of the two.
    """
    dtype = torch.promote_types(logits_NLK.dtype, torch.float32)
    soft_NLK = ((logits_NLK.to(dtype) + noise_NLK) / temperature).softmax(dim=-1)
    if not hard:
        return soft_NLK
    hard_NLK = torch.zeros_like(soft_NLK).scatter_(-1, soft_NLK.argmax(dim=-1, keepdim=True), 1.0)
    # The bracket is exactly 0: the forward pass sees the one-hot to the last bit.
    return hard_NLK + (soft_NLK - soft_NLK.detach())


def relaxed_embeddings(weights_NLK: Tensor, embedding_KD: Tensor, lengths_N: Tensor) -> Tensor:
    """What the reward model reads in place of a look-up: weights times its embedding matrix, 0 on padding; (N, L, D).

    With one-hot weights this is the look-up itself.
    """
    exists_NL = torch.arange(weights_NLK.shape[1], device=weights_NLK.device) < lengths_N[:, None]
    embedded_NLD = weights_NLK.to(embedding_KD.dtype) @ embedding_KD
    return torch.where(exists_NL[..., None], embedded_NLD, 0.0)


def annealed(start: float, final: float | None, progress: float) -> float:
    """Temperature on the straight line from `start` at progress 0 to `final` at 1; `start` throughout without one."""
    return start if final is None else start + (final - start) * progress
