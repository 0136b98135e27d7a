"""A few rows of logits at a time: what is computed from them stays in the cache of a processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_NUMBERS = 1 << 18
"""Logits of a chunk on the CPU: 1 MiB in float32, which its caches hold."""

ON_A_DEVICE = 1 << 26
"""And on an accelerator, where the start of a kernel costs more than memory."""


def row_chunks(logits_PV: Tensor) -> list[slice]:
    """Slices of whole rows, at least one row each, that cover all P."""
    positions, vocabulary = logits_PV.shape
    numbers = CHUNK_NUMBERS if logits_PV.device.type == "cpu" else ON_A_DEVICE
    size = max(1, numbers // vocabulary)
    return [slice(start, start + size) for start in range(0, positions, size)]
