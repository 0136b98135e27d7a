"""The mixer: named rewards, what their values make together, and what happens when one of them fails.

A reward that could not be computed is no bad answer. Its output gets `ScoreStatus.FAILED`, a total of NaN and
the reason; above `max_failed_share` the run stops and says why.
"""

from __future__ import annotations

import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING, Self, cast

from speechrl.errors import ConfigError, RewardError
from speechrl.rewards import asr, tts
from speechrl.rewards.combine import harmonic_mean, normalised_sums, weighted_sum
from speechrl.rewards.forms import BatchReward, GroupReward, exactly, flatten
from speechrl.rewards.registry import REWARDS, check_term, find_reward, make_scorer, replaces, rewards_of
from speechrl.rewards.tts_judges import TokenReader
from speechrl.rewards.verdict import describe_exception
from speechrl.types import Score, ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from speechrl.config.schema import RewardConfig, RewardsConfig
    from speechrl.models.base import SpeechModel
    from speechrl.models.tts.token2text import SpeaksCodes, Token2Text
    from speechrl.rewards.forms import Scorer
    from speechrl.rewards.verdict import Verdict
    from speechrl.types import Output, Prompt, Task


@dataclass(frozen=True, slots=True)
class Term:
    """One reward of the total.

    Attributes:
        name: Like its reward, or like the function of `module:function`.
        weight: Its factor.
        task: What it can judge; None for a user's own, which may judge anything.
        hears: Whether it needs a waveform.
        hears_prompt: Whether it needs the audio of the prompt.
        replaces: The mode `replace` of a penalty.
        scorer: Who judges.
    """

    name: str
    weight: float
    task: Task | None
    hears: bool
    hears_prompt: bool
    replaces: bool
    scorer: Scorer


class RewardMixer:
    """Judges groups of outputs with the rewards of a configuration.

    The total is, by `combine`: the sum of weight x term (`sum`), where terms of mode `replace` that are negative
    are the only ones; the weighted harmonic mean (`harmonic`); or the weighted sum of terms that were normalised
    inside their group (`normalised`). A term is called like its reward, or like the function of
    `module:function`; a second one of that name gets `_2`.

    Rewards with a model run in processes of their own, side by side. `with` ends them.

    Args:
        config: Terms, weights, options.

    Raises:
        ConfigError: An unknown reward, an unknown or unfit option, a user's function that cannot be imported, or a
            term that `combine` cannot take.
        SpeechRLError: A model of a reward cannot be loaded.
    """

    def __init__(self, config: RewardsConfig) -> None:
        self._combine = config.combine
        self._max_failed_share = config.max_failed_share
        self._terms: list[Term] = []
        check_rewards(config)
        # Models load side by side.
        with ThreadPoolExecutor(max(1, len(config.terms))) as pool:
            futures = [pool.submit(make_scorer, term) for term in config.terms]
        names = _names(config.terms)
        for name, term, future in zip(names, config.terms, futures, strict=True):
            if future.exception() is None:
                known = REWARDS.get(term.name)
                task = known.task if known else None
                hears, hears_prompt = (known.hears, known.hears_prompt) if known else (True, True)
                self._terms.append(
                    Term(name, term.weight, task, hears, hears_prompt, replaces(term), future.result())
                )
        for future in futures:
            if (error := future.exception()) is not None:
                self.close()
                raise error

    @property
    def hears(self) -> bool:
        """Whether any term needs a waveform. One of the user's own is thought to."""
        return any(term.hears for term in self._terms)

    @property
    def hears_prompt(self) -> bool:
        """Whether any term needs the audio of prompts. One of the user's own is thought to."""
        return any(term.hears_prompt for term in self._terms)

    @property
    def group_terms(self) -> frozenset[str]:
        """Terms that compare the outputs of a group: of another group they would say something else."""
        return frozenset(term.name for term in self._terms if isinstance(term.scorer, GroupReward))

    def check(self, model: SpeechModel) -> None:
        """Make sure that what reads speech tokens reads those of this model.

        Raises:
            ModelError: A Token2Text was trained on other codes.
        """
        # Here, so that rewards can be made without torch.
        from speechrl.models.tts.token2text import check_vocabulary

        for name, reader in self._readers().items():
            named = f"option `model` of the reward {name!r}, {reader.folder}"
            check_vocabulary(reader.token2text, cast("SpeaksCodes", model), named)

    @property
    def token2texts(self) -> dict[str, Token2Text]:
        """Token2Text models that rewards read with, by term."""
        return {name: reader.token2text for name, reader in self._readers().items()}

    def _readers(self) -> dict[str, TokenReader]:
        judges = {
            term.name: term.scorer.judge for term in self._terms if isinstance(term.scorer, BatchReward)
        }
        return {name: judge for name, judge in judges.items() if isinstance(judge, TokenReader)}

    def score(self, outputs: Sequence[Sequence[Output]], prompts: Sequence[Prompt]) -> list[list[Score]]:
        """Judge the outputs of each prompt.

        Args:
            outputs: One group of outputs a prompt.
            prompts: As many as groups.

        Returns:
            One list of scores a group, in the order of its outputs. Metrics are for `asr` prompts those of
            `asr.asr_metrics`, for `tts` those of `tts.speech_metrics`, of `tts.hearing_metrics` where a recogniser
            listened, and what the terms add; of one name, the first term's.

        Raises:
            ConfigError: A term cannot judge the task of a prompt.
            RewardError: More than `max_failed_share` of the scores failed.
        """
        for task in {prompt.task for prompt in prompts}:
            for term in self._terms:
                if term.task is not None:
                    _check_task(term.name, term.task, task)
        columns = self._ask(outputs, prompts)
        flat, asked = flatten(outputs, prompts)
        judged = [
            self._judge({name: verdicts[i] for name, verdicts in columns.items()}, output, prompt)
            for i, (output, prompt) in enumerate(zip(flat, asked, strict=True))
        ]
        remaining = iter(judged)
        scores = [self._score_group([next(remaining) for _ in group]) for group in outputs]
        flat_scores = [score for group in scores for score in group]
        stop_if_too_many_failed(failures(flat_scores), len(flat_scores), self._max_failed_share)
        return scores

    def close(self) -> None:
        """End the workers."""
        for term in self._terms:
            term.scorer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ask(self, groups: Sequence[Sequence[Output]], prompts: Sequence[Prompt]) -> dict[str, list[Verdict]]:
        """The verdicts of each term, flat."""
        wanted = sum(map(len, groups))
        try:
            # All are asked before any is waited for: those in other processes work meanwhile.
            answers = {term.name: term.scorer.ask(groups, prompts) for term in self._terms}
            return {
                name: exactly(wanted, [verdict for group in answer() for verdict in group])
                for name, answer in answers.items()
            }
        except BaseException:
            # Ctrl-C: answers that are still under way must not meet the next batch.
            self.close()
            raise

    def _judge(self, verdicts: Mapping[str, Verdict], output: Output, prompt: Prompt) -> _Judgement:
        problems = [f"{name} {verdict.problem}" for name, verdict in verdicts.items() if verdict.problem]
        if self._combine == "harmonic":
            problems += [
                f"{name} is {verdict.value:g}, outside of [0, 1], which combine harmonic needs"
                for name, verdict in verdicts.items()
                if not verdict.problem and not 0 <= verdict.value <= 1
            ]
        heard, read = (self._transcript(verdicts, hears=hears) for hears in (True, False))
        # What Token2Text reads in tokens is nothing that was heard: its rate is in the metrics of its verdict.
        metrics, trouble = _metrics(output, prompt, heard)
        for verdict in verdicts.values():
            for name, value in verdict.metrics.items():
                metrics.setdefault(name, value)
        if trouble:
            problems.append(f"metrics {trouble}")
        terms = {name: verdict.value for name, verdict in verdicts.items()}
        return _Judgement(terms, metrics, heard or read or "", "; ".join(problems))

    def _transcript(self, verdicts: Mapping[str, Verdict], *, hears: bool) -> str | None:
        """What the first term understood of the waveform, or of the tokens; None where none has a transcript."""
        transcripts = (verdicts[term.name].heard for term in self._terms if term.hears == hears)
        return next((heard for heard in transcripts if heard is not None), None)

    def _score_group(self, judged: Sequence[_Judgement]) -> list[Score]:
        totals = iter(self._totals([each.terms for each in judged if not each.problem]))
        return [
            Score(math.nan, each.terms, ScoreStatus.FAILED, each.problem, each.metrics, each.heard)
            if each.problem
            else Score(next(totals), each.terms, metrics=each.metrics, heard=each.heard)
            for each in judged
        ]

    def _totals(self, rows: Sequence[Mapping[str, float]]) -> list[float]:
        """Totals of the outputs of one group that did not fail."""
        weights = [term.weight for term in self._terms]
        table = [[row[term.name] for term in self._terms] for row in rows]
        if self._combine == "harmonic":
            return [harmonic_mean(values, weights) for values in table]
        if self._combine == "normalised":
            return normalised_sums(table, weights)
        totals = []
        for values in table:
            pairs = list(zip(self._terms, values, strict=True))
            counted = [pair for pair in pairs if pair[0].replaces and pair[1] < 0] or pairs
            totals.append(weighted_sum([value for _, value in counted], [term.weight for term, _ in counted]))
        return totals


def failures(scores: Iterable[Score]) -> Counter[str]:
    """How many scores failed, by reason."""
    return Counter(score.reason for score in scores if score.status is ScoreStatus.FAILED)


def stop_if_too_many_failed(reasons: Counter[str], scores: int, max_failed_share: float) -> None:
    """See that what failed is no more than may fail.

    Args:
        reasons: See `failures`.
        scores: How many there are, failed ones too.
        max_failed_share: Of them that may fail.

    Raises:
        RewardError: More failed.
    """
    failed_scores = reasons.total()
    if not failed_scores or failed_scores / scores <= max_failed_share:
        return
    listed = "\n".join(f"  {times} x {reason}" for reason, times in reasons.most_common(5))
    raise RewardError(
        f"{failed_scores} of {scores} scores could not be computed, more than rewards.max_failed_share "
        f"({max_failed_share:g}) allows:\n{listed}\nMend the reward, or give it more time (timeout_s)"
    )


@dataclass(frozen=True, slots=True)
class _Judgement:
    """All that is known of one output before its group is looked at; `problem` is empty where nothing failed."""

    terms: dict[str, float]
    metrics: dict[str, float]
    heard: str
    problem: str


def check_rewards(config: RewardsConfig, task: Task | None = None) -> None:
    """Look at names, options and their combination, without loading a model or importing a user's function.

    Args:
        config: The rewards of a run.
        task: What the run does, if that is to be looked at too.

    Raises:
        ConfigError: Something cannot work.
    """
    for term in config.terms:
        check_term(term)
        _check_combination(config.combine, term)
        if task is not None and term.name in REWARDS:
            _check_task(term.name, REWARDS[term.name].task, task)
    if config.combine == "harmonic" and not any(term.weight for term in config.terms):
        raise ConfigError("rewards.combine harmonic needs a term whose weight is not 0")


def _check_task(name: str, judges: Task, task: Task) -> None:
    if judges != task:
        raise ConfigError(
            f"reward {name!r} judges {judges}, and these are outputs of {task}; rewards for {task}: "
            f"{', '.join(rewards_of(task))}"
        )


def _names(terms: Sequence[RewardConfig]) -> list[str]:
    """NAME, NAME_2, NAME_3 ...: the first that no earlier term has."""
    names: list[str] = []
    for term in terms:
        name = term.name.rpartition(":")[2]
        numbered = (f"{name}_{number}" for number in count(2))
        names.append(next(free for free in chain([name], numbered) if free not in names))
    return names


def _check_combination(combine: str, term: RewardConfig) -> None:
    """See that `combine` can take a term.

    Raises:
        ConfigError: It cannot, or the term's mode is unknown.
    """
    if replaces(term) and combine != "sum":
        raise ConfigError(
            f"reward {term.name!r}: mode replace makes the total of a sum; use `combine: sum`, or mode add"
        )
    if combine != "harmonic":
        return
    if term.weight < 0:
        raise ConfigError(
            f"reward {term.name!r}: its weight {term.weight:g} is negative, which combine harmonic cannot take"
        )
    if ":" not in term.name:
        reward = find_reward(term.name)
        low, high = reward.span({**reward.options(), **term.options})
        if low < 0 or high > 1:
            raise ConfigError(
                f"reward {term.name!r} gives values from {low:g} to {high:g}, and combine harmonic takes [0, 1] only; "
                "set `floor: 0` or a shape of tanh or exp where the reward has them, or use combine sum or normalised"
            )


def _metrics(output: Output, prompt: Prompt, heard: str | None) -> tuple[dict[str, float], str]:
    """The metrics of the task, or none and the problem."""
    try:
        if prompt.task == "asr":
            return asr.asr_metrics(prompt.text, output.text, prompt.language), ""
        metrics = tts.speech_metrics(output)
        if heard is not None:
            metrics |= tts.hearing_metrics(prompt.text, heard, prompt.language)
        return metrics, ""
    except Exception as error:
        # As for a built-in reward: the row fails, with its reason.
        return {}, describe_exception(error)
