"""The batch of a step, drawn until it is worth learning from (DAPO's dynamic sampling)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from speechrl.algorithms.credit import spread_mask

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from speechrl.types import Group, Output, Prompt, Sample, Score


class PromptSource(Protocol):
    """An endless, resumable stream of prompts."""

    def draw(self, count: int) -> list[Prompt]:
        """The next `count` prompts."""
        ...

    def learn(self, prompts: Sequence[Prompt], scores: Sequence[Sequence[Score]]) -> None:
        """Hear how the model did on prompts that were drawn."""
        ...


@dataclass(frozen=True, slots=True)
class Batch:
    """What a step learns from, one entry a group."""

    prompts: list[Prompt]
    groups: list[Group]
    outputs: list[Sequence[Output]]
    scores: list[Sequence[Score]]


@dataclass(frozen=True, slots=True)
class Scored:
    """One prompt with everything the stages made of it."""

    prompt: Prompt
    group: Group
    outputs: Sequence[Output]
    scores: Sequence[Score]


class Collection:
    """Gathers the groups of one step.

    `draws` first asks for a batch of prompts. While groups of it have no spread, it asks for as many new ones, at most
    `max_redraws` times; groups that are still without spread at the end fill the batch up, so that its size never
    changes. DAPO (Yu et al. 2025, arXiv:2503.14476), eq. 11, with a bound on the draws.

    Example:
        collection = Collection(batch_size=8, max_redraws=2)
        for draw, missing in collection.draws():
            prompts = source.draw(missing)
            ...
            collection.add(prompts, groups, outputs, scores)
    """

    def __init__(self, *, batch_size: int, max_redraws: int) -> None:
        self._batch_size = batch_size
        self._max_redraws = max_redraws
        self._useful: list[Scored] = []
        self._flat: list[Scored] = []

    def draws(self) -> Iterator[tuple[int, int]]:
        """Number of the draw and how many prompts it wants, until the batch is full or the redraws are spent."""
        for draw in range(self._max_redraws + 1):
            missing = self._batch_size - len(self._useful)
            if missing <= 0:
                return
            yield draw, missing

    def add(
        self,
        prompts: Sequence[Prompt],
        groups: Sequence[Group],
        outputs: Sequence[Sequence[Output]],
        scores: Sequence[Sequence[Score]],
    ) -> None:
        """Take in a draw."""
        for scored, spread in zip(
            map(Scored, prompts, groups, outputs, scores), spread_mask(scores), strict=True
        ):
            keep = self._useful if self._max_redraws == 0 or spread else self._flat
            keep.append(scored)

    def batch(self) -> Batch:
        """At most `batch_size` groups, those with spread first."""
        chosen = [*self._useful, *self._flat][: self._batch_size]
        return Batch(
            prompts=[scored.prompt for scored in chosen],
            groups=[scored.group for scored in chosen],
            outputs=[scored.outputs for scored in chosen],
            scores=[scored.scores for scored in chosen],
        )

    def counts(self) -> dict[str, float]:
        """`redrawn_groups`: groups without spread that other prompts replaced; nothing where redrawing is off."""
        if self._max_redraws == 0:
            return {}
        return {"redrawn_groups": float(max(0, len(self._useful) + len(self._flat) - self._batch_size))}


def credited(groups: Sequence[Group], samples: Sequence[Sample]) -> list[list[float]]:
    """Advantage of every rollout of every group; NaN for one in no loss: its score failed, or MWER has its equal."""
    known = {id(sample.rollout): sample.advantage for sample in samples}
    return [[known.get(id(rollout), math.nan) for rollout in group.rollouts] for group in groups]


def rollout_seed(seed: int, step: int, draw: int) -> int:
    """Seed of a draw's rollouts: a hash of its three arguments, so that a resumed run samples the same."""
    return int(np.random.SeedSequence([seed, step, draw]).generate_state(1)[0])
