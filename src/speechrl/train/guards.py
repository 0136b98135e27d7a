"""What watches the numbers of a run: alarms for drift and collapse, and a stop for updates that are not finite."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from speechrl.errors import TrainingError
from speechrl.train.speech_guards import SpeechGuards

if TYPE_CHECKING:
    from collections.abc import Mapping

    from speechrl.config.schema import GuardsConfig
    from speechrl.types import StepReport

BASELINE_STEPS = 5
QUIET_STEPS = 20
MOST_CUT = 0.5
"""A recogniser's rollouts that reach the limit are loops, up to a quarter of a step's in the quickstart.

Where it is most of them, the limit is too low.
"""
MOST_IMPOSSIBLE = 0.2

NOTHING = (
    "no rollout took part in the update: all failed, were cut by length while algorithm.length_cut is mask, or were "
    "left out by algorithm.diffro.filter. Raise rollout.max_new_tokens, or look at samples/."
)

DRIFT = (
    "KL to the reference is {value:.2f} nats per token (limit {limit:g}): the policy drifts far from where it began. "
    "Raise algorithm.kl_weight or lower train.learning_rate."
)
COLLAPSE = (
    "entropy of the policy is {value:.4f} nats per token (limit {limit:g}): rollouts become copies of each other. "
    "Raise rollout.temperature or lower train.learning_rate."
)
NO_SPREAD = (
    "{value:.0%} of the groups have no spread in their rewards (limit {limit:.0%}), so no advantage comes of them. "
    "Use harder data, a higher rollout.temperature, more rollout.group_size, or algorithm.resample_zero_spread."
)
DISAGREE = (
    "rollouts and learner disagree by {value:.3f} nats per token (limit {limit:g}): they should be the same policy on "
    "the same context. Try train.precision=fp32; if it stays, the two see different inputs."
)
CUT = (
    "{value:.0%} of the rollouts are cut at the limit of tokens (more than {limit:.0%}). If they end in the middle of "
    "what is said, raise rollout.max_new_tokens, or rollout.tokens_per_second, and evaluation.max_new_tokens; if they "
    "loop, add the reward `hallucination`."
)
IMPOSSIBLE = (
    "{value:.0%} of the rollouts have too few tokens for their text (more than {limit:.0%}): Token2Text gives them "
    "probability 0, and DiffRO learns nothing of them. Look whether texts are spelled as they are spoken, raise "
    "rollout.max_new_tokens and rollout.tokens_per_character, or begin with algorithm.name: grpo."
)
UNPASSED = (
    "no rollout passed algorithm.diffro.filter in this step, so DiffRO had no part in it. Where that stays: "
    "algorithm.diffro.filter: none or advantage, more rollout.group_size, or a higher rollout.max_new_tokens."
)
RAMBLE = (
    "rollouts have {value:.1f} tokens on average (limit {limit:.1f}, from the first steps): the policy may be learning "
    "to ramble. Look at samples/, add the hallucination reward, or lower rollout.max_new_tokens."
)
DRAWL = (
    "rollouts have {value:.1f} tokens on average (limit {limit:.1f}, from the first steps): the policy may be learning "
    "to drawl, or not to stop. Listen to audio/rollouts/, add the reward `duration`, or lower rollout.max_new_tokens."
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One alarm: a metric, the side of its limit that is bad, and what the user reads."""

    metric: str
    bad: Literal["above", "below"]
    limit: float
    sentence: str

    def broken(self, value: float) -> bool:
        """Whether the value is on the bad side."""
        return value > self.limit if self.bad == "above" else value < self.limit


class Guards:
    """Reviews every step.

    An alarm that was given stays silent for the next 20 steps. Rollout length is compared with its mean over the first
    5 steps.

    Args:
        config: The limits.
        teacher: Completions are references, not samples: only non-finite updates are watched.
        speaks: The policy is a synthesiser: `listen` holds its numbers against those at the beginning.
    """

    def __init__(self, config: GuardsConfig, *, teacher: bool = False, speaks: bool = False) -> None:
        self._config = config
        self._teacher = teacher
        self._speech = SpeechGuards() if speaks else None
        self._skipped_in_a_row = 0
        self._first_lengths: list[float] = []
        self._last_alarm: dict[str, int] = {}

    def review(self, step: int, report: StepReport) -> StepReport:
        """Add alarms to the report of a step; `non_finite` of its metrics counts skipped updates."""
        skipped = report.metrics.get("non_finite", 0.0) > 0
        self._skipped_in_a_row = self._skipped_in_a_row + 1 if skipped else 0
        alarms = list(report.alarms)
        if skipped:
            alarms.append(
                f"the loss or its gradient is not finite; {_skipped(report)} "
                f"({self._skipped_in_a_row} in a row, the run stops at {self._config.max_skipped_steps})."
            )
        elif not report.updated and not self._is_quiet("updated", step):
            self._last_alarm["updated"] = step
            alarms.append(NOTHING)
        elif (
            report.updated
            and report.metrics.get("samples/diffro") == 0
            and not self._is_quiet("diffro", step)
        ):
            self._last_alarm["diffro"] = step
            alarms.append(UNPASSED)
        if not self._teacher:
            alarms += self._drift(step, report.metrics)
        return replace(report, alarms=tuple(alarms))

    def begin(self, before: Mapping[str, Mapping[str, Any]]) -> None:
        """Take the numbers of the sets before training (`Evaluation.to_json`) as what `listen` compares with."""
        if self._speech is not None:
            self._speech.begin(before)

    def listen(self, step: int, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row of a step, with alarms about how a synthesiser sounds added to its `alarms`."""
        told = list(row.get("alarms", ()))
        heard = {} if self._speech is None else self._speech.alarms(row)
        for name, sentence in heard.items():
            if not self._is_quiet(name, step):
                self._last_alarm[name] = step
                told.append(sentence)
        return {**row, "alarms": told} if told else dict(row)

    def end(self, after: Mapping[str, Mapping[str, Any]]) -> list[str]:
        """Alarms about how a trained synthesiser sounds, from the sets' numbers (`Evaluation.to_json`)."""
        if self._speech is None:
            return []
        row = {
            f"evaluation/{name}/{key}": value for name, found in after.items() for key, value in found.items()
        }
        return list(self._speech.alarms(row).values())

    def stop_if_hopeless(self, step: int) -> None:
        """End the run when updates stay non-finite.

        Raises:
            TrainingError: `max_skipped_steps` steps in a row had a loss or gradient that is not finite.
        """
        if self._skipped_in_a_row >= self._config.max_skipped_steps:
            raise TrainingError(
                f"step {step}: the loss or its gradient was not finite in {self._skipped_in_a_row} steps in a row "
                f"(guards.max_skipped_steps is {self._config.max_skipped_steps}); those updates were skipped. "
                "Lower train.learning_rate, set train.precision=fp32, or look at the data of that step in samples/."
            )

    def _drift(self, step: int, metrics: Mapping[str, float]) -> list[str]:
        length = metrics.get("completion_length")
        if length is not None and len(self._first_lengths) < BASELINE_STEPS:
            self._first_lengths.append(length)
        alarms = []
        for rule in self._rules():
            value = metrics.get(rule.metric)
            if value is None or not rule.broken(value) or self._is_quiet(rule.metric, step):
                continue
            self._last_alarm[rule.metric] = step
            alarms.append(rule.sentence.format(value=value, limit=rule.limit))
        return alarms

    def _is_quiet(self, name: str, step: int) -> bool:
        return name in self._last_alarm and step - self._last_alarm[name] < QUIET_STEPS

    def _rules(self) -> list[Rule]:
        config = self._config
        rules = [
            Rule("kl", "above", config.max_kl, DRIFT),
            Rule("entropy", "below", config.min_entropy, COLLAPSE),
            Rule("zero_spread_share", "above", config.max_zero_spread_share, NO_SPREAD),
            Rule("logprob_gap", "above", config.max_logprob_gap, DISAGREE),
            Rule("diffro_impossible", "above", MOST_IMPOSSIBLE, IMPOSSIBLE),
        ]
        if self._speech is None:
            rules.append(Rule("length_cut_share", "above", MOST_CUT, CUT))
        if len(self._first_lengths) == BASELINE_STEPS:
            limit = config.max_length_ratio * sum(self._first_lengths) / BASELINE_STEPS
            sentence = RAMBLE if self._speech is None else DRAWL
            rules.append(Rule("completion_length", "above", limit, sentence))
        return rules

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "skipped_in_a_row": self._skipped_in_a_row,
            "first_lengths": list(self._first_lengths),
            "last_alarm": dict(self._last_alarm),
            "speech": None if self._speech is None else self._speech.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._skipped_in_a_row = int(state["skipped_in_a_row"])
        self._first_lengths = [float(length) for length in state["first_lengths"]]
        self._last_alarm = {str(name): int(step) for name, step in state["last_alarm"].items()}
        if self._speech is not None:
            self._speech.load_state_dict(state["speech"])


def _skipped(report: StepReport) -> str:
    """What of a step's updates was left out when one was not finite."""
    if report.updated:
        return "the updates of this batch end there, those before it stay"
    return "this update was skipped"
