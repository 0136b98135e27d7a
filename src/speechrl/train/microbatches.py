"""What each part of the loss takes of a batch, and backward passes that fit a budget of positions."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from speechrl.rl.reduce import token_weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from speechrl.algorithms.base import Part
    from speechrl.types import Context, Sample


@dataclass(frozen=True, slots=True)
class Share:
    """What one part of the loss takes of a batch.

    Attributes:
        part: The part.
        weights: Of each sample of the batch; see `rl.reduce.token_weights`.
        count: What the part is divided by; 0 when it takes nothing.
        read: Places of the samples that can move the policy through this part.
    """

    part: Part
    weights: Sequence[float]
    count: float
    read: tuple[int, ...]


def weigh(parts: Mapping[str, Part], samples: Sequence[Sample]) -> dict[str, Share]:
    """The share of every part in a whole batch, before anything is split."""
    lengths = [len(sample.rollout.token_ids) for sample in samples]
    groups = [sample.group for sample in samples]
    shares = {}
    for name, part in parts.items():
        include = [part.include(sample) for sample in samples]
        weights, count = token_weights(lengths, groups, include, part.loss_mean)
        read = [p for p, sample in enumerate(samples) if weights[p] > 0 and part.moves(sample)]
        shares[name] = Share(part, weights, count, tuple(read))
    return shares


def to_read(shares: Iterable[Share]) -> list[int]:
    """Places of the samples that any part reads.

    When none can move the policy although some count, it is the first of those: the step on a gradient of zero is
    taken, momentum and all, as if everything had been read.
    """
    shares = list(shares)
    read = sorted({place for share in shares for place in share.read})
    counted = (place for share in shares for place, weight in enumerate(share.weights) if weight > 0)
    return read or [place for place, _ in zip(counted, range(1), strict=False)]


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Groups, or what is read of them, that go through one forward and backward pass.

    Attributes:
        groups: The samples of each group; those of one group share their context.
        places: Where each sample stands in the whole batch, in the order of `samples`.
    """

    groups: tuple[tuple[Sample, ...], ...]
    places: tuple[int, ...]

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


def pack(samples: Sequence[Sample], places: Iterable[int], budget: int) -> list[MicroBatch]:
    """Put groups of like size together, as many as the budget allows.

    A group is never split, since it shares one prefill; one that is larger than the budget goes alone.

    Args:
        samples: The whole batch; samples of a group need not be neighbours.
        places: Which of them are to be read, by their index in `samples`.
        budget: Most positions of a micro-batch, padding counted: contexts once, and all completions.
    """
    ordered = sorted(places, key=lambda place: samples[place].group)
    groups = [list(found) for _, found in groupby(ordered, key=lambda place: samples[place].group)]
    groups.sort(key=lambda group: (len(samples[group[0]].context.embeddings_TD), samples[group[0]].group))
    packed: list[list[list[int]]] = []
    for group in groups:
        if packed and _positions(samples, [*packed[-1], group]) <= budget:
            packed[-1].append(group)
        else:
            packed.append([group])
    return [
        MicroBatch(
            groups=tuple(tuple(samples[place] for place in group) for group in chosen),
            places=tuple(place for group in chosen for place in group),
        )
        for chosen in packed
    ]


def _positions(samples: Sequence[Sample], groups: Sequence[Sequence[int]]) -> int:
    """Positions a forward pass reads: padded contexts plus padded completions."""
    context = max(len(samples[group[0]].context.embeddings_TD) for group in groups)
    completion = max(len(samples[place].rollout.token_ids) for group in groups for place in group)
    return len(groups) * context + sum(map(len, groups)) * completion
