"""The mixer: named rewards, their weighted sum, and what happens when one of them fails.

A reward that could not be computed is no bad answer. Its output gets `ScoreStatus.FAILED`, a total of NaN and
the reason; above `max_failed_share` the run stops and says why.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, Self, get_type_hints

from pydantic import TypeAdapter, ValidationError

from speechrl.errors import ConfigError, RewardError
from speechrl.rewards import asr
from speechrl.rewards.custom import CustomReward
from speechrl.rewards.verdict import Verdict, check_value, describe_exception, failed
from speechrl.types import Output, Prompt, Score, ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from speechrl.config.schema import RewardConfig, RewardsConfig

    RewardFunction = Callable[..., float]

Mode = Literal["add", "replace"]

REWARDS: dict[str, RewardFunction] = {
    "accuracy": asr.accuracy_term,
    "hallucination": asr.hallucination_term,
    "keywords": asr.keywords_term,
    "language": asr.language_term,
    "silence": asr.silence_term,
}
"""Built-in rewards: `function(output, prompt, **options) -> float`, run in this process."""

PENALTIES = frozenset({"hallucination", "language"})
"""Rewards that are 0 unless something is wrong. They also take the option `mode`: `add` (default) makes them
a term of the sum like any other; `replace` makes them the whole total of an output on which they are
negative. Which of the two arXiv 2509.18569 uses is not known."""


class Scorer(Protocol):
    """Judges a flat batch: one verdict an output, in order."""

    def score(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """`prompts[i]` is what `outputs[i]` answers."""
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class BuiltinReward:
    """A function of `REWARDS` with its options."""

    def __init__(self, function: RewardFunction, options: Mapping[str, object]) -> None:
        self._function = function
        self._options = dict(options)

    def score(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """One verdict an output; an exception becomes a failed one."""
        return [self._judge(output, prompt) for output, prompt in zip(outputs, prompts, strict=True)]

    def close(self) -> None:
        """Nothing to free."""

    def _judge(self, output: Output, prompt: Prompt) -> Verdict:
        try:
            return check_value(self._function(output, prompt, **self._options))
        except Exception as error:
            # One odd row must not end a run of hours; the reason is kept, counted, and stops the run if it is common.
            return failed(describe_exception(error))


@dataclass(frozen=True, slots=True)
class Term:
    """One reward in the sum; `replaces` is the mode `replace` of `PENALTIES`."""

    name: str
    weight: float
    scorer: Scorer
    replaces: bool = False


class RewardMixer:
    """Judges groups of outputs with the rewards of a configuration.

    The total is the sum of weight x term. Where terms of mode `replace` are negative it is the weighted sum
    of those alone. A term is called like its reward, or like the function of `module:function`; a second one
    of that name gets `_2`.

    Args:
        config: Terms, weights, options.

    Raises:
        ConfigError: An unknown reward, an unknown or unfit option, a user's function that cannot be imported.
    """

    def __init__(self, config: RewardsConfig) -> None:
        self._max_failed_share = config.max_failed_share
        self._terms: list[Term] = []
        try:
            for term in config.terms:
                self._terms.append(_make_term(term, [known.name for known in self._terms]))
        except ConfigError:
            self.close()
            raise

    def score(self, outputs: Sequence[Sequence[Output]], prompts: Sequence[Prompt]) -> list[list[Score]]:
        """Judge the outputs of each prompt.

        Args:
            outputs: One group of outputs a prompt.
            prompts: As many as groups.

        Returns:
            One list of scores a group, in the order of its outputs. For `asr` prompts the metrics are those
            of `asr.asr_metrics`.

        Raises:
            RewardError: More than `max_failed_share` of the scores failed.
        """
        flat = [output for group in outputs for output in group]
        asked = [prompt for group, prompt in zip(outputs, prompts, strict=True) for _ in group]
        verdicts = {term.name: _exactly(len(flat), term.scorer.score(flat, asked)) for term in self._terms}
        scores = [
            self._mix({name: column[i] for name, column in verdicts.items()}, output, prompt)
            for i, (output, prompt) in enumerate(zip(flat, asked, strict=True))
        ]
        self._stop_if_too_many_failed(scores)
        remaining = iter(scores)
        return [[next(remaining) for _ in group] for group in outputs]

    def close(self) -> None:
        """End the workers of users' rewards."""
        for term in self._terms:
            term.scorer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _mix(self, verdicts: Mapping[str, Verdict], output: Output, prompt: Prompt) -> Score:
        terms = {name: verdict.value for name, verdict in verdicts.items()}
        problems = [f"{name} {verdict.problem}" for name, verdict in verdicts.items() if verdict.problem]
        metrics, trouble = _metrics(output, prompt)
        if trouble:
            problems.append(f"metrics {trouble}")
        if problems:
            return Score(math.nan, terms, ScoreStatus.FAILED, "; ".join(problems), metrics)
        replacing = [term for term in self._terms if term.replaces and terms[term.name] < 0]
        total = sum(term.weight * terms[term.name] for term in replacing or self._terms)
        return Score(total, terms, metrics=metrics)

    def _stop_if_too_many_failed(self, scores: Sequence[Score]) -> None:
        reasons = Counter(score.reason for score in scores if score.status is ScoreStatus.FAILED)
        count = reasons.total()
        if not count or count / len(scores) <= self._max_failed_share:
            return
        listed = "\n".join(f"  {times} x {reason}" for reason, times in reasons.most_common(5))
        raise RewardError(
            f"{count} of {len(scores)} scores could not be computed, more than rewards.max_failed_share "
            f"({self._max_failed_share:g}) allows:\n{listed}\nMend the reward, or give it more time (timeout_s)"
        )


def _make_term(config: RewardConfig, taken: Sequence[str]) -> Term:
    name = config.name.rpartition(":")[2]
    same = sum(other == name or other.startswith(f"{name}_") for other in taken)
    name = f"{name}_{same + 1}" if name in taken else name
    if ":" in config.name:
        return Term(name, config.weight, CustomReward(config.name, config.options, config.timeout_s))
    if config.name not in REWARDS:
        near = difflib.get_close_matches(config.name, REWARDS, n=1)
        mend = f"did you mean {near[0]!r}?" if near else "a reward of your own is named `module:function`"
        raise ConfigError(f"unknown reward {config.name!r}; {mend} Known: {', '.join(REWARDS)}")
    options = dict(config.options)
    mode = options.pop("mode", "add") if config.name in PENALTIES else "add"
    if mode not in ("add", "replace"):
        raise ConfigError(f"option `mode` of reward {config.name!r} must be 'add' or 'replace', not {mode!r}")
    function = REWARDS[config.name]
    _check_options(config.name, function, options)
    return Term(name, config.weight, BuiltinReward(function, options), replaces=mode == "replace")


def _check_options(name: str, function: RewardFunction, options: Mapping[str, object]) -> None:
    """Hold options against the keyword arguments of `function` and their types."""
    known = [key for key, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY]
    offered = [*known, "mode"] if name in PENALTIES else known
    hints = get_type_hints(function, vars(asr) | {"Output": Output, "Prompt": Prompt, "Sequence": Sequence})
    for key, value in options.items():
        if key not in known:
            near = difflib.get_close_matches(key, offered, n=1)
            mend = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(offered) or 'no options'}"
            raise ConfigError(f"reward {name!r} has no option {key!r}; {mend}")
        try:
            TypeAdapter(hints[key]).validate_python(value, strict=True)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]["msg"]
            raise ConfigError(f"option {key!r} of reward {name!r} cannot be {value!r}: {fault}") from error


def _metrics(output: Output, prompt: Prompt) -> tuple[dict[str, float], str]:
    """The metrics of the task, or none and the problem."""
    if prompt.task != "asr":
        return {}, ""
    try:
        return asr.asr_metrics(prompt.text, output.text, prompt.language), ""
    except Exception as error:
        # As for a built-in reward: the row fails, with its reason.
        return {}, describe_exception(error)


def _exactly(count: int, verdicts: list[Verdict]) -> list[Verdict]:
    """A scorer that loses or adds one has mixed up which output is which: none of its verdicts can be used."""
    if len(verdicts) == count:
        return verdicts
    return [failed(f"gave {len(verdicts)} values for {count} outputs")] * count
