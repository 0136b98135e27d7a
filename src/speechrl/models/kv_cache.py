"""Rows of a transformers cache: copied with gradients for scoring, or into storage with room to grow for decoding."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from speechrl.models.decode_attention import pays_off

if TYPE_CHECKING:
    from torch import Tensor

ROOM = 32
"""Smallest number of positions that storage grows by; afterwards it grows by half of what is filled."""


class GrowingLayer(DynamicLayer):
    """A full-attention cache layer that appends in place instead of copying everything it holds at every token.

    For decoding only: writing in place would corrupt a gradient. Where `decode_attention` pays off, keys are stored
    with positions innermost, the order in which it multiplies them.

    Args:
        layer: The layer to copy rows from.
        rows_N: Which rows, any number of times each.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, layer: DynamicLayer, rows_N: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        assert layer.keys is not None
        assert layer.values is not None
        self.dtype, self.device, self.is_initialized = layer.keys.dtype, layer.keys.device, True
        self._adopt(layer.keys, layer.values, rows_N)

    def _adopt(self, keys: Tensor, values: Tensor, rows_N: Tensor) -> None:
        """Copy rows of `keys` and `values` to fresh storage that has room for more positions."""
        heads, filled, key_width = keys.shape[1:]
        rows, capacity = len(rows_N), filled + max(ROOM, filled // 2)
        if pays_off(keys.device, keys.dtype):
            self._key_storage = keys.new_empty(rows, heads, key_width, capacity).transpose(2, 3)
        else:
            self._key_storage = keys.new_empty(rows, heads, capacity, key_width)
        self._value_storage = values.new_empty(rows, heads, capacity, values.shape[3])
        self._show(filled)
        self.keys.copy_(keys[rows_N])
        self.values.copy_(values[rows_N])

    def _show(self, filled: int) -> None:
        self.keys = self._key_storage[:, :, :filled]
        self.values = self._value_storage[:, :, :filled]

    def update(
        self,
        key_states: Tensor,
        value_states: Tensor,
        *args: Any,  # noqa: ARG002 - the signature of transformers
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[Tensor, Tensor]:
        """Append positions, shape (N, heads, new, head width); return all that is held, as views."""
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        if end > self._key_storage.shape[-2]:
            self._adopt(self.keys, self.values, torch.arange(len(self.keys), device=self.keys.device))
        self._key_storage[:, :, start:end] = key_states
        self._value_storage[:, :, start:end] = value_states
        self._show(end)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keep the named rows, in that order; rows may repeat or be left out."""
        self._adopt(self.keys, self.values, beam_idx)


def select_rows(cache: Cache, rows_N: Tensor, *, in_place_growth: bool) -> Cache:
    """A new cache that holds the named rows of `cache`, which stays as it is.

    Args:
        cache: Any decoder-only transformers cache.
        rows_N: Row indices; a row that is named twice is held twice, and its gradients add up.
        in_place_growth: Let full-attention layers append in place (`GrowingLayer`): fast, without gradients.
    """
    selected = copy.copy(cache)
    selected.layers = [_select_layer(layer, rows_N, in_place_growth) for layer in cache.layers]
    return selected


def _select_layer(layer: Any, rows_N: Tensor, in_place_growth: bool) -> Any:
    # Subclasses (sliding window, quantised, hybrid) have their own bookkeeping and keep their own `update`.
    if in_place_growth and type(layer) in (DynamicLayer, GrowingLayer) and layer.is_initialized:
        return GrowingLayer(layer, rows_N)
    selected = copy.copy(layer)
    # Recurrent layers hold their states in dictionaries, which a shallow copy would share with the original.
    for name, value in vars(selected).items():
        if isinstance(value, dict | list):
            setattr(selected, name, copy.copy(value))
    selected.reorder_cache(rows_N)
    return selected
