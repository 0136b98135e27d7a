"""How one token is chosen: pure functions of logits and of numbers drawn beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor


def uniforms(seed: int, context: int, rollout: int, length: int) -> Tensor:
    """The random numbers of one rollout, one per token: uniform in [0, 1), float64, shape (length,).

    They depend on the three numbers alone, never on which other rows are in the batch, and a longer draw begins with
    the shorter one.
    """
    # NumPy's SeedSequence mixes the three, so that neighbouring seeds and rows are unrelated.
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, context, rollout])))
    return torch.from_numpy(generator.random(length))


def keep_likely(logits_NV: Tensor, top_k: int, top_p: float) -> Tensor:
    """Logits with -inf for tokens that top-k, and then top-p among what is left, throw away.

    Top-p keeps the smallest set of most likely tokens whose mass reaches `top_p` (Holtzman et al. 2020, nucleus
    sampling), so always the best one. Tokens as likely as the k-th are kept with it.
    """
    vocabulary = logits_NV.shape[-1]
    if 0 < top_k < vocabulary:
        kth_N1 = logits_NV.topk(top_k, dim=-1).values[:, -1:]
        logits_NV = logits_NV.masked_fill(logits_NV < kth_N1, -torch.inf)
    if top_p < 1.0:
        sorted_NV, order_NV = logits_NV.sort(dim=-1, descending=True)
        probs_NV = sorted_NV.softmax(-1)
        mass_before_NV = probs_NV.cumsum(-1) - probs_NV
        drop_NV = (mass_before_NV >= top_p).scatter(-1, order_NV, mass_before_NV >= top_p)
        logits_NV = logits_NV.masked_fill(drop_NV, -torch.inf)
    return logits_NV


def draw(
    logits_NV: Tensor, uniform_N: Tensor, temperature: float, top_k: int = 0, top_p: float = 1.0
) -> Tensor:
    """Draw one token per row by inverting the cumulative distribution at `uniform_N`.

    Args:
        logits_NV: Predictions, any floating dtype.
        uniform_N: Float64 in [0, 1), on the same device.
        temperature: Divides the logits before top-k and top-p; 0 takes the most likely token.
        top_k: See `keep_likely`.
        top_p: See `keep_likely`.

    Returns:
        Token ids of shape (N,); a token of probability 0 is never drawn. Of a row with NaN it is any token.
    """
    if temperature == 0.0:
        return logits_NV.argmax(-1)
    probs_NV = keep_likely(logits_NV.float() / temperature, top_k, top_p).softmax(-1)
    mass_NV = probs_NV.cumsum(-1)
    total_N = mass_NV[:, -1]
    # Rounding must not carry the target to the total: what follows there has probability 0.
    target_N = torch.minimum((uniform_N * total_N).float(), total_N.nextafter(torch.zeros_like(total_N)))
    tokens_N = torch.searchsorted(mass_NV, target_N[:, None], right=True)[:, 0]
    return tokens_N.clamp(max=mass_NV.shape[-1] - 1)
