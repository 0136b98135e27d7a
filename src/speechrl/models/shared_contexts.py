"""Keys and values of contexts that many rows continue: held once, and read once a token, whatever the number of rows.

A group of G samples has one context, which of half a minute of audio is far longer than what is written about it. With
a copy of its keys and values for every sample, decoding spends most of its time on reading copies of the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Places:
    """Which row continues which context, as a table of C contexts with as many places each as the largest group.

    Attributes:
        context_N: Context of each row.
        row_P: Row in each place, context by context; row 0 in a place that is empty.
        place_N: Place of each row.
        contexts: C.
    """

    context_N: Tensor
    row_P: Tensor
    place_N: Tensor
    contexts: int

    def by_context(self, of_NHQX: Tensor) -> Tensor:
        """What each row has, (N, heads, Q, X), side by side for its context: (C, heads, places * Q, X)."""
        _, heads, queries, width = of_NHQX.shape
        of_CGHQX = of_NHQX[self.row_P].view(self.contexts, -1, heads, queries, width)
        return of_CGHQX.transpose(1, 2).reshape(self.contexts, heads, -1, width)

    def by_row(self, of_CHRX: Tensor) -> Tensor:
        """The way back: (C, heads, places * Q, X) to (N, heads, Q, X)."""
        contexts, heads, _, width = of_CHRX.shape
        places = len(self.row_P) // contexts
        of_CHGQX = of_CHRX.view(contexts, heads, places, -1, width)
        return of_CHGQX.transpose(1, 2).reshape(contexts * places, heads, -1, width)[self.place_N]


def make_places(context_N: Tensor, contexts: int) -> Places:
    """The table of rows whose contexts are numbered from 0 to `contexts` - 1, in any order, none of them missing."""
    order_N = torch.argsort(context_N, stable=True)
    sizes_C = torch.bincount(context_N, minlength=contexts)
    first_C = sizes_C.cumsum(0) - sizes_C
    sorted_N = context_N[order_N]
    places = int(sizes_C.max())
    rank_N = torch.arange(len(context_N), device=context_N.device) - first_C[sorted_N]
    place_N = torch.empty_like(context_N)
    place_N[order_N] = sorted_N * places + rank_N
    row_P = torch.zeros(contexts * places, dtype=torch.long, device=context_N.device)
    row_P[place_N] = torch.arange(len(context_N), device=context_N.device)
    return Places(context_N, row_P, place_N, contexts)


@dataclass(frozen=True, slots=True)
class SharedContexts:
    """What one attention layer holds of C contexts of T positions.

    Attributes:
        keys_CHDT: Keys, positions innermost: the order in which a product with few queries reads them.
        values_CHTD: Values.
        places: Whose they are.
    """

    keys_CHDT: Tensor
    values_CHTD: Tensor
    places: Places

    @property
    def positions(self) -> int:
        """T."""
        return self.keys_CHDT.shape[-1]

    def scores(self, query_NHQD: Tensor) -> Tensor:
        """Products of each row's queries with the keys of its context: (N, heads, Q, T)."""
        return self.places.by_row(self.places.by_context(query_NHQD) @ self.keys_CHDT)

    def mix(self, weights_NHQT: Tensor) -> Tensor:
        """The values of each row's context, by its weights: (N, heads, Q, D)."""
        return self.places.by_row(self.places.by_context(weights_NHQT) @ self.values_CHTD)


class Handed:
    """Contexts as a cache layer hands them to the attention, which must not pass over them.

    Attributes:
        unread: Whether they were handed out and not read yet.
    """

    def __init__(self, contexts: SharedContexts) -> None:
        self._contexts = contexts
        self.unread = False

    def read(self) -> SharedContexts:
        """The contexts."""
        self.unread = False
        return self._contexts
