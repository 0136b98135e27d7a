"""Muon and AdamW side by side, for supervised training of small models from nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor


def muon_and_adamw(
    matrices: Sequence[Tensor],
    muon_rate: float,
    *others: tuple[Sequence[Tensor], float],
    weight_decay: float = 0.01,
) -> list[torch.optim.Optimizer]:
    """Muon (Jordan 2024) for matrices inside of layers, AdamW for embeddings, predictions and vectors.

    Args:
        matrices: Two-dimensional weights; there may be none.
        muon_rate: Their peak learning rate.
        others: Further parameters, each with a peak learning rate.
        weight_decay: Of all.

    Returns:
        Optimisers whose groups know their `peak`; `set_rates` goes by it.
    """
    groups = [{"params": list(parameters), "peak": rate} for parameters, rate in others]
    made: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=0.0, betas=(0.9, 0.98), weight_decay=weight_decay)
    ]
    if matrices:
        inside = [{"params": list(matrices), "peak": muon_rate}]
        made.append(torch.optim.Muon(inside, lr=0.0, weight_decay=weight_decay))
    return made


def set_rates(optimisers: Sequence[torch.optim.Optimizer], factor: float) -> None:
    """Set every learning rate to `factor` times its peak."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = factor * group["peak"]


def update(optimisers: Sequence[torch.optim.Optimizer]) -> None:
    """Step all, and drop the gradients."""
    for optimiser in optimisers:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
