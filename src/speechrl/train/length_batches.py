"""Batches for supervised training: utterances of similar length together, so that little is padded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence


def length_batches(lengths: Sequence[int], budget: int, rng: np.random.Generator) -> list[list[int]]:
    """Places of one epoch's items, batch after batch, in random order.

    Lengths are sorted after up to 10 % were added or taken away at random: no two epochs have the same groups.

    Args:
        lengths: Positions of each item.
        budget: Most positions of a batch, padding counted; an item that is longer is a batch of its own.
        rng: Is advanced.
    """
    noise_N = rng.uniform(0.9, 1.1, size=len(lengths))
    order_N = np.argsort(np.asarray(lengths) * noise_N, kind="stable")
    made: list[list[int]] = [[]]
    longest = 0
    for place in map(int, order_N):
        longest = max(longest, lengths[place])
        if made[-1] and longest * (len(made[-1]) + 1) > budget:
            made.append([])
            longest = lengths[place]
        made[-1].append(place)
    return [made[batch] for batch in rng.permutation(len(made))]
