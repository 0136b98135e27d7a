"""What one reward says of one output: a number, or why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finite value, or NaN with the problem. Example: `Verdict(math.nan, "returned nan")`.

    Attributes:
        value: The unweighted term.
        problem: Why there is no value; empty when there is one.
        heard: What a recogniser understood, "" for nothing; None where none listened.
        metrics: Numbers worth logging that came up on the way.
    """

    value: float
    problem: str = ""
    heard: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


def failed(problem: str) -> Verdict:
    """A verdict without a value."""
    return Verdict(math.nan, problem)


def check_value(value: object) -> Verdict:
    """Take what a reward returned, and refuse all that is not a finite number: text, None, tensors, NaN, infinity."""
    if not isinstance(value, Real):
        return failed(f"returned {type(value).__name__} instead of a number")
    number = float(value)
    return Verdict(number) if math.isfinite(number) else failed(f"returned {number}")


def check_verdict(verdict: Verdict) -> Verdict:
    """Hold the value of a built-in judge to the same rule."""
    if verdict.problem or math.isfinite(verdict.value):
        return verdict
    return failed(f"returned {verdict.value}")


def describe_exception(error: BaseException) -> str:
    """`raised ValueError: message`, cut to one readable line."""
    message = " ".join(str(error).split())[:200]
    return f"raised {type(error).__name__}" + (f": {message}" if message else "")
