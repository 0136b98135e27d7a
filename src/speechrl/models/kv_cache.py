"""Rows of a transformers cache: copied with gradients for scoring, or into storage with room to grow for decoding."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache, DynamicLayer

from speechrl.errors import ModelError
from speechrl.models.decode_attention import CONTEXTS, pays_off
from speechrl.models.shared_contexts import Handed, Places, SharedContexts, make_places

if TYPE_CHECKING:
    from torch import Tensor

ROOM = 32
"""Smallest number of positions that storage grows by; afterwards it grows by half of what is filled."""
SHARED_POSITIONS = 128
"""Contexts of fewer positions are copied for every row: reading copies costs less than gathering for each context."""


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


class SharingLayer(GrowingLayer):
    """A `GrowingLayer` of each row's own positions, behind a context that it shares with other rows.

    For `decode_attention` alone, which is handed the contexts on the keys that `update` returns.

    Args:
        layer: The layer to take rows from: one that holds contexts, or another `SharingLayer`.
        rows_N: Which rows.
        places: What context each of them continues, of `kept_C`.
        kept_C: The contexts that are still continued.
    """

    shared: SharedContexts

    def __init__(self, layer: DynamicLayer, rows_N: Tensor, places: Places, kept_C: Tensor) -> None:
        assert layer.keys is not None
        assert layer.values is not None
        if isinstance(layer, SharingLayer):
            held = layer.shared
            keys_CHDT, values_CHTD = held.keys_CHDT, held.values_CHTD
            if len(kept_C) < len(keys_CHDT):
                keys_CHDT, values_CHTD = keys_CHDT[kept_C], values_CHTD[kept_C]
            super().__init__(layer, rows_N)
        else:
            keys_CHDT = layer.keys[kept_C].transpose(2, 3).contiguous()
            values_CHTD = layer.values[kept_C]
            own = DynamicLayer()
            own.keys, own.values = layer.keys[:, :, :0], layer.values[:, :, :0]
            super().__init__(own, rows_N)
        self.shared = SharedContexts(keys_CHDT, values_CHTD, places)
        # Not this layer: what hangs on the keys that it holds must not hold them.
        self._handed = Handed(self.shared)

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Append positions; return what the rows hold of their own.

        Raises:
            ModelError: The attention of the last token looked at nothing else.
        """
        if self._handed.unread:
            raise ModelError(
                "the attention of this language model passes over shared contexts; use precision fp32"
            )
        keys, values = super().update(key_states, value_states, *args, **kwargs)
        setattr(keys, CONTEXTS, self._handed)
        self._handed.unread = True
        return keys, values

    def get_seq_length(self) -> int:
        """Positions of context and row together."""
        return self.shared.positions + self.keys.shape[-2]

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Not from here: a row's context moves with it, which `select_rows` sees to."""
        raise NotImplementedError


def select_rows(cache: Cache, rows_N: Tensor, *, in_place_growth: bool, share: bool = False) -> Cache:
    """A new cache that holds the named rows of `cache`, which stays as it is.

    Args:
        cache: Any decoder-only transformers cache.
        rows_N: Row indices; a row that is named twice is held twice, and its gradients add up.
        in_place_growth: Let full-attention layers append in place (`GrowingLayer`): fast, without gradients.
        share: Besides, let rows that are named twice share what they have, where that is long (`SharingLayer`); the
            model must attend by `decode_attention`.
    """
    selected = copy.copy(cache)
    continued = _continued(cache, rows_N) if in_place_growth else None
    if continued is None and share and in_place_growth and cache.get_seq_length() >= SHARED_POSITIONS:
        kept_C, context_N = rows_N.unique(return_inverse=True)
        if len(kept_C) < len(rows_N):
            continued = make_places(context_N, len(kept_C)), kept_C
    selected.layers = [_select_layer(layer, rows_N, in_place_growth, continued) for layer in cache.layers]
    return selected


def _continued(cache: Cache, rows_N: Tensor) -> tuple[Places, Tensor] | None:
    """Where rows share contexts already: which of these the named ones continue."""
    sharing = next((layer for layer in cache.layers if isinstance(layer, SharingLayer)), None)
    if sharing is None:
        return None
    kept_C, context_N = sharing.shared.places.context_N[rows_N].unique(return_inverse=True)
    return make_places(context_N, len(kept_C)), kept_C


def _select_layer(
    layer: Any, rows_N: Tensor, in_place_growth: bool, continued: tuple[Places, Tensor] | None
) -> Any:
    # Subclasses (sliding window, quantised, hybrid) have their own bookkeeping and keep their own `update`.
    if in_place_growth and type(layer) in (DynamicLayer, GrowingLayer, SharingLayer) and layer.is_initialized:
        if continued is not None and type(layer) is not GrowingLayer:
            return SharingLayer(layer, rows_N, *continued)
        return GrowingLayer(layer, rows_N)
    selected = copy.copy(layer)
    # Recurrent layers hold their states in dictionaries, which a shallow copy would share with the original.
    for name, value in vars(selected).items():
        if isinstance(value, dict | list):
            setattr(selected, name, copy.copy(value))
    selected.reorder_cache(rows_N)
    return selected
