"""An endless, seeded stream of batches that can be stopped and resumed without changing what comes next."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from lhotse import CutSet
from lhotse.dataset import DynamicBucketingSampler

from speechrl.data.curriculum import Curriculum
from speechrl.data.prompts import to_prompt
from speechrl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lhotse.cut import Cut

    from speechrl.types import Prompt, Score, Task

MAX_BUCKETS = 10


@dataclass(frozen=True, slots=True)
class Kept:
    """The cuts within limits of duration, and how many are outside."""

    cuts: CutSet
    left_out: int


def within_duration(cuts: CutSet, min_s: float, max_s: float | None) -> Kept:
    """Keep the cuts of at least `min_s` and, unless None, at most `max_s` seconds.

    Raises:
        DataError: None is left.
    """
    kept = [cut for cut in cuts if min_s <= cut.duration <= (float("inf") if max_s is None else max_s)]
    if not kept:
        upper = "no upper limit" if max_s is None else f"{max_s} s"
        raise DataError(
            f"none of {len(cuts)} utterances lies between {min_s} s and {upper}: change the limits"
        )
    return Kept(CutSet.from_cuts(kept), len(cuts) - len(kept))


class PromptStream:
    """Endless batches of prompts; every epoch is a new order, drawn from the seed and the epoch's number.

    Batches hold `batch_size` prompts, or with `batch_duration_s` up to so many seconds of clips of similar length
    (lhotse's dynamic bucketing). With `batch_size` the rest of an epoch that fills no batch is left out of that
    epoch, so no prompt is twice in a batch; a set smaller than a batch gives batches of the whole set.

    The state is two integers, epoch and batch within it, a digest of the ids, and what a refreshed curriculum has
    learnt: a stream made from the same cuts with the same seed continues from it exactly.
    """

    def __init__(
        self,
        cuts: CutSet,
        *,
        batch_size: int | None = None,
        batch_duration_s: float | None = None,
        seed: int = 0,
        sample_rate_hz: int = 16_000,
        task: Task = "asr",
        curriculum: Curriculum | None = None,
    ) -> None:
        """Set up the order; no audio is read.

        Args:
            cuts: Items with unique ids.
            batch_size: Prompts a batch.
            batch_duration_s: Or seconds a batch, instead of `batch_size`.
            seed: Of the order.
            sample_rate_hz: Of the prompts' audio.
            task: Of the prompts.
            curriculum: Orders the utterances of an epoch by difficulty; takes `batch_size`.

        Raises:
            DataError: There are no cuts, not exactly one of the two sizes is given, or a curriculum without
                `batch_size`.
        """
        if (batch_size is None) == (batch_duration_s is None):
            raise DataError("a stream needs either batch_size or batch_duration_s")
        self._curriculum = curriculum or Curriculum()
        if self._curriculum.active and batch_size is None:
            raise DataError("a curriculum orders single utterances: give batch_size, not batch_duration_s")
        self._cuts: list[Cut] = list(cuts)
        if not self._cuts:
            raise DataError("a stream needs at least one utterance: the manifest is empty")
        self._batch_size = batch_size
        self._batch_duration_s = batch_duration_s
        self._seed = seed
        self._sample_rate_hz = sample_rate_hz
        self._task: Task = task
        ids = "\n".join([str(batch_size), str(batch_duration_s), str(seed), *(cut.id for cut in self._cuts)])
        self._digest = hashlib.sha256((ids + self._curriculum.identity).encode()).hexdigest()[:16]
        self._epoch = 0
        self._batch = 0
        self._plan = self._make_plan()
        # Whether the present plan is to be made anew, when it is asked for: an epoch ends with its last draw, but what
        # that batch teaches a curriculum comes after it.
        self._stale = False

    @property
    def batches_per_epoch(self) -> int:
        """Batches of the present epoch."""
        self._begin_epoch()
        return len(self._plan)

    def next_batch(self) -> list[Prompt]:
        """Load the next batch.

        Raises:
            DataError: The audio of an item cannot be loaded; the position is not moved.
        """
        self._begin_epoch()
        prompts = [
            to_prompt(self._cuts[index], self._sample_rate_hz, self._task)
            for index in self._plan[self._batch]
        ]
        self._batch += 1
        if self._batch == len(self._plan):
            self._epoch, self._batch, self._stale = self._epoch + 1, 0, True
        return prompts

    def _begin_epoch(self) -> None:
        if self._stale:
            self._curriculum.begin_epoch()
            self._plan, self._stale = self._make_plan(), False

    def learn(self, prompts: Sequence[Prompt], scores: Sequence[Sequence[Score]]) -> None:
        """Tell the curriculum how the model did on prompts."""
        self._curriculum.measure(prompts, scores)

    def __iter__(self) -> Iterator[list[Prompt]]:
        """Batches without end."""
        while True:
            yield self.next_batch()

    def state_dict(self) -> dict[str, Any]:
        """Where the stream is, for JSON."""
        position = {
            "epoch": self._epoch, "batch": self._batch, "digest": self._digest, "begun": not self._stale
        }  # fmt: skip
        learnt = self._curriculum.state_dict()
        return {**position, "curriculum": learnt} if learnt else position

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict()` of a stream over the same cuts with the same settings.

        Raises:
            DataError: The state is of other cuts, another seed or another batch size.
        """
        if state["digest"] != self._digest:
            raise DataError(
                "the saved position belongs to other data, another seed or another batch size: resume with the"
                " manifest and settings the run began with, or begin a new run"
            )
        self._epoch, self._batch = int(state["epoch"]), int(state["batch"])
        self._curriculum.load_state_dict(state.get("curriculum", {}))
        self._plan, self._stale = self._make_plan(), not state.get("begun", True)

    def _make_plan(self) -> list[list[int]]:
        """Indices of the cuts of every batch of the present epoch."""
        if self._batch_duration_s is not None:
            return self._bucketed_plan(self._batch_duration_s)
        assert self._batch_size is not None
        drawn = np.random.default_rng([self._seed, self._epoch]).permutation(len(self._cuts)).tolist()
        order = [drawn[place] for place in self._curriculum.arrange([self._cuts[i].id for i in drawn])]
        size = min(self._batch_size, len(order))
        return [order[first : first + size] for first in range(0, len(order) - size + 1, size)]

    def _bucketed_plan(self, batch_duration_s: float) -> list[list[int]]:
        index_of = {cut.id: index for index, cut in enumerate(self._cuts)}
        rng = np.random.default_rng([self._seed, self._epoch])
        order = rng.permutation(len(self._cuts))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="You are using DynamicBucketingSampler with an eagerly")
            sampler = DynamicBucketingSampler(
                CutSet.from_cuts([self._cuts[index] for index in order]),
                max_duration=batch_duration_s,
                num_buckets=min(MAX_BUCKETS, len(self._cuts)),
                shuffle=True,
                seed=self._seed + self._epoch,
                world_size=1,
                rank=0,
            )
            batches = [[index_of[cut.id] for cut in batch] for batch in sampler]
        return [batches[index] for index in rng.permutation(len(batches))]
