"""Alarms for a synthesiser that learns to please its reward instead of to speak: what moved, and how to mend it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

BASELINE_STEPS = 5
"""A number of every step is held against its mean over the first steps, one of evaluations against the first."""
EARS = {"token_cer": "token_gap", "cer": "recogniser_gap"}
"""Character error rates of a step that the training follows, and what their distance from the judge's is called.

Token2Text's, in a reward or in DiffRO, and that of the recogniser in a reward: each may be fooled by itself.
"""
JUDGE = "judge_cer"


@dataclass(frozen=True, slots=True)
class Bound:
    """How far a number may move from its baseline.

    Attributes:
        factor: Of the baseline, plus `offset`, is the limit; with 0 it is the same whatever the beginning was.
        above: Whether exceeding the limit is bad, or falling short of it.
        sentence: What the user reads, with `{value}` and `{first}`.
        harmless: A value up to this is never bad.
    """

    factor: float
    offset: float
    above: bool
    sentence: str
    harmless: float = -math.inf

    def broken(self, value: float, first: float | None) -> bool:
        """Whether the value is beyond the limit; `first` is None while the baseline is being taken."""
        if first is None and self.factor:
            return False
        limit = self.factor * (first or 0.0) + self.offset
        return value > self.harmless and (value > limit if self.above else value < limit)


LISTEN = "Listen to audio/rollouts/, "
STOPPING = (
    "DiffRO alone does not teach when to stop: take algorithm.name: hybrid with algorithm.diffro.filter: both, add the "
    "reward `stop`, or lower train.learning_rate."
)
BOUNDS: Mapping[str, tuple[Bound, ...]] = {
    "tokens_per_char": (
        Bound(
            1.3, 0, True,
            "speech takes {value:.2f} tokens a character, {first:.2f} at first: it slows down, as recognisers like it. "
            + LISTEN + "add the reward `duration`, or raise algorithm.kl_weight.",
        ),
        Bound(
            0.75, 0, False,
            "speech takes {value:.2f} tokens a character, {first:.2f} at first: it rushes, or words go missing. "
            + LISTEN + "add the reward `duration`, or raise algorithm.kl_weight.",
        ),
    ),
    "length_cut_share": (
        Bound(
            0, 0.2, True,
            "{value:.0%} of the rollouts do not stop by themselves, more than a fifth. If speech is cut in its "
            "middle, raise rollout.max_new_tokens and rollout.tokens_per_character. If it babbles on: " + STOPPING,
        ),
        Bound(
            1, 0.1, True,
            "{value:.0%} of the rollouts do not stop by themselves, {first:.0%} at first. " + STOPPING,
        ),
    ),
    "no_stop_rate": (
        Bound(
            0, 0.2, True,
            "{value:.0%} of the sentences do not stop by themselves, more than a fifth. If speech is cut in its "
            "middle, raise evaluation.max_new_tokens. If it babbles on: " + STOPPING,
        ),
        Bound(
            1, 0.1, True,
            "{value:.0%} of the sentences do not stop by themselves, {first:.0%} at first. " + STOPPING,
        ),
    ),
    "silent_rate": (
        Bound(
            1, 0.02, True,
            "{value:.1%} of the sentences are silent, {first:.1%} at first; similarity, quality and log F0 are of the "
            "others. To say nothing may earn more than to be misheard: set `floor: 0` for `recogniser` and "
            "`token_accuracy`, or raise algorithm.kl_weight.",
        ),
    ),
    "log_f0_std": (
        Bound(
            0.7, 0, False,
            "log F0 spreads by {value:.3f}, {first:.3f} at first: the voice goes flat, which is easy to recognise. "
            + LISTEN + "add the reward `pitch` with a small weight, or raise algorithm.kl_weight.",
        ),
        Bound(
            1.5, 0, True,
            "log F0 spreads by {value:.3f}, {first:.3f} at first: the voice wavers. "
            + LISTEN + "lower the weight of `pitch`, or raise algorithm.kl_weight.",
        ),
    ),
    "speaking_rate": (
        Bound(
            0.75, 0, False,
            "{value:.1f} characters are spoken a second, {first:.1f} at first, pauses left out. "
            + LISTEN + "add the reward `duration`.",
        ),
        Bound(
            1.3, 0, True,
            "{value:.1f} characters are spoken a second, {first:.1f} at first, pauses left out. "
            + LISTEN + "add the reward `duration`.",
        ),
    ),
    "quality": (
        Bound(
            1, -0.3, False,
            "DistillMOS is {value:.2f}, {first:.2f} at first: it sounds worse than it did. "
            + LISTEN + "add the reward `quality`, or raise algorithm.kl_weight.",
        ),
    ),
    "similarity": (
        Bound(
            1, -0.05, False,
            "similarity to the reference voice is {value:.3f}, {first:.3f} at first. "
            + LISTEN + "add the reward `similarity`, or raise algorithm.kl_weight.",
        ),
    ),
    "dnsmos": (
        Bound(
            1, -0.3, False,
            "DNSMOS is {value:.2f}, {first:.2f} at first: it sounds worse than it did. "
            + LISTEN + "add the reward `quality`, or raise algorithm.kl_weight.",
        ),
    ),
    "token_gap": (
        Bound(
            1, 0.1, True,
            "the judge's character error rate is {value:+.1%} from Token2Text's, {first:+.1%} at first: the policy "
            "learns what Token2Text mishears. Train Token2Text to be robust (label smoothing, mixup, noise), lower "
            "algorithm.diffro.weight, or stop here.",
            # Rollouts that loop at first raise what the reward hears: when they end, it only comes down to the judge.
            harmless=0.0,
        ),
    ),
    "recogniser_gap": (
        Bound(
            1, 0.1, True,
            "the judge's character error rate is {value:+.1%} from that of the recogniser in the reward, {first:+.1%} "
            "at first: the policy learns what that recogniser mishears. Take another one or a second one beside it, "
            "raise algorithm.kl_weight, or stop here.",
            harmless=0.0,
        ),
    ),
}  # fmt: skip
"""What is watched, by the name of the number: of a step (`NAME`), or of an evaluation (`evaluation/SET/NAME`)."""

STEP_NAMES = {"distillmos": "quality", "reward/similarity": "similarity"}
"""What rewards call the same numbers in the row of a step."""


class SpeechGuards:
    """Holds the numbers of a synthesiser's training against those at its beginning.

    Example:
        guards = SpeechGuards()
        guards.begin({"test": {"quality": 3.9, ...}})   # the evaluation before training, if there is one
        alarms = guards.alarms(row)                     # name -> sentence, after every step
    """

    def __init__(self) -> None:
        self._first: dict[str, list[float]] = {}
        self._ears: dict[str, float] = {}

    def begin(self, before: Mapping[str, Mapping[str, Any]]) -> None:
        """Take the numbers of the sets before training as baselines (`Evaluation.to_json`)."""
        for name, numbers in before.items():
            for metric in (*BOUNDS, JUDGE):
                if isinstance(numbers.get(metric), float | int):
                    self._first.setdefault(f"evaluation/{name}/{metric}", [float(numbers[metric])])

    def alarms(self, metrics: Mapping[str, Any]) -> dict[str, str]:
        """What is out of bounds, by the full name of the number.

        Args:
            metrics: Everything that is known of a step: its row in `metrics.jsonl`, or the same numbers.
        """
        for ear in EARS:
            if metrics.get(ear) is not None:
                self._ears[ear] = float(metrics[ear])
                if len(self._first.setdefault(ear, [])) < BASELINE_STEPS:
                    self._first[ear].append(self._ears[ear])
        values = {**metrics, **self._gaps(metrics)}
        found = {}
        for name, value in values.items():
            place, _, metric = STEP_NAMES.get(name, name.removeprefix("evaluation/")).rpartition("/")
            if metric not in BOUNDS or value is None or (place and not name.startswith("evaluation/")):
                continue
            first = self._baseline(name, float(value))
            # Of several that are broken, the last: how it moved says more than where it is.
            for bound in BOUNDS[metric]:
                if bound.broken(float(value), first):
                    where = f"on {place}, " if place else ""
                    found[name] = where + bound.sentence.format(value=value, first=first)
        return found

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "first": {name: list(values) for name, values in self._first.items()},
            "ears": dict(self._ears),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._first = {
            str(name): [float(value) for value in values] for name, values in state["first"].items()
        }
        # A checkpoint of an earlier version has none: they are listened to anew.
        self._ears = {str(ear): float(value) for ear, value in state.get("ears", {}).items()}

    def _baseline(self, name: str, value: float) -> float | None:
        """The baseline of a number, or None while it is still being taken."""
        heard = next((ear for ear, gap in EARS.items() if name.endswith(f"/{gap}")), None)
        judged = self._first.get(f"{name.removesuffix(EARS[heard])}{JUDGE}") if heard else None
        if heard and judged:  # before training, when the ear had not been listened to yet
            return judged[0] - sum(self._first[heard]) / len(self._first[heard])
        known = self._first.setdefault(name, [])
        wanted = 1 if name.startswith("evaluation/") else BASELINE_STEPS
        if len(known) < wanted:
            known.append(value)
            return None
        return sum(known) / len(known)

    def _gaps(self, metrics: Mapping[str, Any]) -> dict[str, float]:
        """`evaluation/SET/GAP` of `EARS`: character errors that the judge hears on a set, less those of each ear.

        Numbers after the last step are held against what was heard in it.
        """
        return {
            f"{name.removesuffix(JUDGE)}{EARS[ear]}": float(value) - heard
            for name, value in metrics.items()
            if name.startswith("evaluation/") and name.endswith(f"/{JUDGE}") and value is not None
            for ear, heard in self._ears.items()
        }
