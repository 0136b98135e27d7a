"""Splits a batch into backward passes that fit a budget of positions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechrl.types import Context, Sample


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Whole groups that go through one forward and backward pass.

    Attributes:
        groups: The samples of each group; those of one group share their context.
        weights_N: Loss weight of each completion, in the order of `samples`; see `rl.reduce.token_weights`.
    """

    groups: tuple[tuple[Sample, ...], ...]
    weights_N: tuple[float, ...]

    @property
    def samples(self) -> list[Sample]:
        """All N samples, group by group."""
        return [sample for group in self.groups for sample in group]

    @property
    def contexts(self) -> list[Context]:
        """One context per group."""
        return [group[0].context for group in self.groups]

    @property
    def completions(self) -> list[list[tuple[int, ...]]]:
        """Token ids of each group's completions."""
        return [[sample.rollout.token_ids for sample in group] for group in self.groups]


def pack(samples: Sequence[Sample], weights: Sequence[float], budget: int) -> list[MicroBatch]:
    """Put groups of like size together, as many as the budget allows.

    A group is never split, since it shares one prefill; one that is larger than the budget goes alone.

    Args:
        samples: The batch; samples of a group need not be neighbours.
        weights: Loss weight of each sample.
        budget: Most positions of a micro-batch, padding counted: contexts once, and all completions.
    """
    ordered = sorted(zip(samples, weights, strict=True), key=lambda pair: pair[0].group)
    groups = [list(pairs) for _, pairs in groupby(ordered, key=lambda pair: pair[0].group)]
    groups.sort(key=lambda pairs: (len(pairs[0][0].context.embeddings_TD), pairs[0][0].group))
    packed: list[list[list[tuple[Sample, float]]]] = []
    for group in groups:
        if packed and _positions([*packed[-1], group]) <= budget:
            packed[-1].append(group)
        else:
            packed.append([group])
    return [
        MicroBatch(
            groups=tuple(tuple(sample for sample, _ in group) for group in chosen),
            weights_N=tuple(weight for group in chosen for _, weight in group),
        )
        for chosen in packed
    ]


def _positions(groups: Sequence[Sequence[tuple[Sample, float]]]) -> int:
    """Positions a forward pass reads: padded contexts plus padded completions."""
    context = max(len(group[0][0].context.embeddings_TD) for group in groups)
    completion = max(len(sample.rollout.token_ids) for group in groups for sample, _ in group)
    return len(groups) * context + sum(map(len, groups)) * completion
