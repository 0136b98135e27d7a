"""Loops: a word or a phrase that comes again and again without a pause."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from operator import eq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_REPEATS = 3
"""`no no` and `bye bye` are speech: a short unit loops from three times in a row."""
PHRASE_TOKENS = 4
"""A unit of this many tokens loops when it comes twice in a row."""


@dataclass(frozen=True, slots=True)
class Loop:
    """A unit of tokens that repeats without a break.

    Example: in `go try it try it try it try` the loop is `Loop(start=1, unit=("try", "it"), span=7)`, three
    whole repeats.

    Attributes:
        start: Index of its first token.
        unit: The shortest sequence that repeats.
        span: Tokens from the first to the last, an unfinished last repeat included.
    """

    start: int
    unit: tuple[str, ...]
    span: int

    @property
    def repeats(self) -> int:
        """Whole repeats of the unit, the first one counted."""
        return self.span // len(self.unit)


def needed_repeats(unit_tokens: int, phrase_tokens: int = PHRASE_TOKENS) -> int:
    """How often a unit of this length has to come in a row to be a loop."""
    return 2 if unit_tokens >= phrase_tokens else MIN_REPEATS


def find_loops(tokens: Sequence[str], phrase_tokens: int = PHRASE_TOKENS) -> list[Loop]:
    """All loops of a sequence, by start; a loop inside a longer one of a shorter unit is not reported again.

    Args:
        tokens: The sequence.
        phrase_tokens: Units from this length on loop at two repeats, shorter ones at `MIN_REPEATS`.
    """
    found: list[Loop] = []
    if len(set(tokens)) == len(tokens):
        return found
    for size in range(1, len(tokens) // 2 + 1):
        for start, span in _periodic_stretches(tokens, size):
            if span // size < needed_repeats(size, phrase_tokens):
                continue
            if not any(loop.start <= start and start + span <= loop.start + loop.span for loop in found):
                found.append(Loop(start, tuple(tokens[start : start + size]), span))
    return sorted(found, key=lambda loop: loop.start)


def unsupported_loops(
    reference: Sequence[str], hypothesis: Sequence[str], phrase_tokens: int = PHRASE_TOKENS
) -> list[tuple[Loop, int]]:
    """Loops of the hypothesis that the reference does not have, each with its number of tokens too many.

    What the reference itself repeats is allowed as often as it repeats it: a loop counts when it goes beyond
    that by as many repeats as it would need beyond a single mention.
    """
    bad = []
    for loop in find_loops(hypothesis, phrase_tokens):
        size = len(loop.unit)
        allowed = max(_longest_run(reference, loop.unit), 1)
        if loop.repeats - allowed >= needed_repeats(size, phrase_tokens) - 1:
            bad.append((loop, loop.span - allowed * size))
    return bad


def _periodic_stretches(tokens: Sequence[str], size: int) -> list[tuple[int, int]]:
    """(start, span) of the maximal stretches in which each token equals the one `size` later."""
    stretches = []
    start = 0
    for same, run in groupby(map(eq, tokens, tokens[size:])):
        length = sum(1 for _ in run)
        if same:
            stretches.append((start, length + size))
        start += length
    return stretches


def _longest_run(tokens: Sequence[str], unit: tuple[str, ...]) -> int:
    """How often `unit`, or a rotation of it, comes in a row at most."""
    size, best = len(unit), 0
    rotations = {unit[shift:] + unit[:shift] for shift in range(size)}
    for start in range(len(tokens) - size + 1):
        window = tuple(tokens[start : start + size])
        if window not in rotations:
            continue
        count = 1
        while tuple(tokens[start + count * size : start + (count + 1) * size]) == window:
            count += 1
        best = max(best, count)
    return best
