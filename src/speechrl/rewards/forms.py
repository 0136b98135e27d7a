"""The forms a reward may have: of one output, of a group, or of a whole batch at once.

All are scorers to the mixer, which asks every scorer before it waits for the first answer, so that those in
processes of their own (`worker.py`) work side by side.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from speechrl.rewards.verdict import Verdict, check_value, check_verdict, describe_exception, failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from speechrl.types import Output, Prompt

    Groups = Sequence[Sequence[Output]]
    Answer = Callable[[], list[list[Verdict]]]


class Scorer(Protocol):
    """Judges the groups of a batch."""

    def ask(self, groups: Groups, prompts: Sequence[Prompt]) -> Answer:
        """Hand a batch over; what this returns waits for the verdicts, a list a group in the order of its outputs.

        Args:
            groups: `groups[i]` are the outputs that answer `prompts[i]`.
            prompts: As many as groups.
        """
        ...

    def close(self) -> None:
        """Free what it holds."""
        ...


class Judge(Protocol):
    """Judges many outputs at once, such as a model that works in batches."""

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """One verdict an output, in order; `outputs[i]` answers `prompts[i]`."""
        ...


class OutputReward:
    """`function(output, prompt, **options) -> float`, here."""

    def __init__(self, function: Callable[..., float], options: Mapping[str, object]) -> None:
        self._function = partial(function, **options)

    def ask(self, groups: Groups, prompts: Sequence[Prompt]) -> Answer:
        """See `Scorer`; an exception fails its own output only."""
        return lambda: [
            [self._judge(output, prompt) for output in group]
            for group, prompt in zip(groups, prompts, strict=True)
        ]

    def close(self) -> None:
        """Nothing to free."""

    def _judge(self, output: Output, prompt: Prompt) -> Verdict:
        try:
            return check_value(self._function(output, prompt))
        except Exception as error:
            # One odd row must not end a run of hours; the reason is kept, counted, and stops the run if it is common.
            return failed(describe_exception(error))


class GroupReward:
    """`function(outputs, prompt, **options) -> list[float]` of the outputs of one prompt, here."""

    def __init__(self, function: Callable[..., Sequence[float]], options: Mapping[str, object]) -> None:
        self._function = partial(function, **options)

    def ask(self, groups: Groups, prompts: Sequence[Prompt]) -> Answer:
        """See `Scorer`; an exception fails its own group only."""
        return lambda: [self._judge(group, prompt) for group, prompt in zip(groups, prompts, strict=True)]

    def close(self) -> None:
        """Nothing to free."""

    def _judge(self, outputs: Sequence[Output], prompt: Prompt) -> list[Verdict]:
        if not outputs:
            return []
        try:
            values = self._function(outputs, prompt)
        except Exception as error:
            return [failed(describe_exception(error))] * len(outputs)
        return exactly(len(outputs), [check_value(value) for value in values])


class BatchReward:
    """A `Judge` in this process.

    Attributes:
        judge: As given.
    """

    def __init__(self, judge: Judge) -> None:
        self.judge = judge

    def ask(self, groups: Groups, prompts: Sequence[Prompt]) -> Answer:
        """See `Scorer` and `judge_all`."""
        return lambda: regroup(judge_all(self.judge, *flatten(groups, prompts)), groups)

    def close(self) -> None:
        """Nothing to free."""


def judge_all(judge: Judge, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
    """Judge a batch; where that raises, each output alone, so that one odd output does not fail the others."""
    try:
        verdicts = judge.judge(outputs, prompts)
    except Exception as error:
        if len(outputs) <= 1:
            return [failed(describe_exception(error))] * len(outputs)
        pairs = zip(outputs, prompts, strict=True)
        return [verdict for output, prompt in pairs for verdict in judge_all(judge, [output], [prompt])]
    return [check_verdict(verdict) for verdict in exactly(len(outputs), verdicts)]


def flatten(groups: Groups, prompts: Sequence[Prompt]) -> tuple[list[Output], list[Prompt]]:
    """One flat batch, each output beside its prompt."""
    outputs = [output for group in groups for output in group]
    return outputs, [prompt for group, prompt in zip(groups, prompts, strict=True) for _ in group]


def regroup(verdicts: Sequence[Verdict], groups: Groups) -> list[list[Verdict]]:
    """The inverse of `flatten`."""
    remaining = iter(verdicts)
    return [[next(remaining) for _ in group] for group in groups]


def exactly(count: int, verdicts: list[Verdict]) -> list[Verdict]:
    """A scorer that loses or adds one has mixed up which output is which: none of its verdicts can be used."""
    if len(verdicts) == count:
        return verdicts
    return [failed(f"gave {len(verdicts)} values for {count} outputs")] * count
