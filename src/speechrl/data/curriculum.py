"""The order of an epoch by difficulty, and how training itself keeps the difficulty up to date."""

from __future__ import annotations

from statistics import fmean, median
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lhotse import CutSet
    from lhotse.cut import Cut

    from speechrl.types import Prompt, Score

Order = Literal["none", "easy_first", "hard_first"]

DIFFICULTY = "difficulty"
"""Key of a supervision's custom fields: mean error rate of the model's samples, each at most 1."""


class Curriculum:
    """Puts an epoch into bands of difficulty; inside a band the order stays as drawn.

    Difficulty begins as `data select` wrote it into the manifest. With `refresh`, every group of rollouts that training
    samples is a new measurement, which costs nothing; it counts from the next epoch on, so that the order of an epoch
    is settled when it begins. An utterance that was never measured counts as one in the middle.

    Args:
        order: `none` leaves epochs as they are drawn.
        bands: Bands of equal size; utterances of the same difficulty are in the same one.
        refresh: Whether to learn from `measure`.
        known: Id -> difficulty.
    """

    def __init__(
        self,
        order: Order = "none",
        bands: int = 4,
        refresh: bool = False,
        known: Mapping[str, float] | None = None,
    ) -> None:
        self._order: Order = order
        self._bands = bands
        self._refresh = refresh
        self._known = sorted((known or {}).items())
        self._used = dict(self._known)
        self._newest = dict(self._used)

    @property
    def active(self) -> bool:
        """Whether it changes any order."""
        return self._order != "none"

    @property
    def identity(self) -> str:
        """What it is made of, for telling streams apart; empty where it changes nothing."""
        return f"{self._order} {self._bands} {self._refresh} {self._known}" if self.active else ""

    def begin_epoch(self) -> None:
        """What was measured so far counts from now on."""
        self._used = dict(self._newest)

    def arrange(self, ids: Sequence[str]) -> list[int]:
        """Indices of `ids` in the order in which an epoch takes them."""
        if not self.active or not self._used:
            return list(range(len(ids)))
        middle = median(self._used.values())
        difficulty = np.array([self._used.get(name, middle) for name in ids])
        edges = np.quantile(difficulty, [number / self._bands for number in range(1, self._bands)])
        band = np.searchsorted(edges, difficulty, side="left")
        places: list[int] = np.argsort(band if self._order == "easy_first" else -band, kind="stable").tolist()
        return places

    def measure(self, prompts: Sequence[Prompt], scores: Sequence[Sequence[Score]]) -> None:
        """Learn how difficult prompts are now: the mean error rate of each group, as far as it was scored."""
        if not self._refresh:
            return
        for prompt, group in zip(prompts, scores, strict=True):
            # To speak, by letter, as `data select` does.
            rates = [score.metrics.get("token_cer", score.metrics.get("wer")) for score in group]
            known = [min(1.0, rate) for rate in rates if rate is not None]
            if known:
                self._newest[prompt.id] = fmean(known)

    def state_dict(self) -> dict[str, Any]:
        """What it has learnt, for JSON; nothing where it learns nothing."""
        return {"used": self._used, "newest": dict(self._newest)} if self._refresh else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        if self._refresh and state:
            self._used, self._newest = dict(state["used"]), dict(state["newest"])


def known_difficulties(cuts: CutSet) -> dict[str, float]:
    """Id -> difficulty of the cuts that `data select` measured."""
    found = ((cut.id, _difficulty(cut)) for cut in cuts)
    return {name: value for name, value in found if value is not None}


def _difficulty(cut: Cut) -> float | None:
    values = ((said.custom or {}).get(DIFFICULTY) for said in cut.supervisions)
    return next((float(value) for value in values if isinstance(value, int | float)), None)
