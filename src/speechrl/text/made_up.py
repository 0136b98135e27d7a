"""Words that answer nothing in another text: an alignment that knows misheard words from made-up ones."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import regex
from rapidfuzz.distance import Levenshtein

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALIKE = 0.5
"""Words whose letters agree to this share are one word misheard."""
GARBLED = 0.4
"""A run whose letters agree to this share with the letters that it stands for is misheard speech, not made up."""
_LEFT_OUT = 1.0
# Letters with their marks: to `re` the vowel signs of Indic scripts are no part of a word.
# So are the joiners, with which Persian and Sinhala write other words than without.
_PART = r"[\p{L}\p{N}][\p{L}\p{M}\p{N}\u200c\u200d]*"
_WORD = regex.compile(rf"{_PART}(?:'{_PART})*")


def words_of(text: str) -> list[str]:
    """Words in lower case, numbers as they stand, without punctuation but inside a word."""
    found: list[str] = _WORD.findall(text.casefold().replace("\u2019", "'"))
    return found


@lru_cache(maxsize=8192)
def made_up_words(truth: str, hypothesis: str, min_run: int) -> tuple[bool, ...]:
    """Which words of a hypothesis answer nothing in the truth.

    Replacing a word costs 2 x the share of letters that differ, and cannot be done where less than `ALIKE` of them
    agree; a word too many or too few costs 1. So `shake` answers `sheikh`, and `again` does not answer `try`, which a
    plain word alignment would call a substitution. Between two words that answer, at least `min_run` others are made
    up, unless their letters are near those of the words that they stand for (`GARBLED`).

    Args:
        truth: Text to compare with.
        hypothesis: Text to judge.
        min_run: Shortest run.

    Returns:
        A flag a word of `words_of(hypothesis)`.
    """
    spoken, written = words_of(truth), words_of(hypothesis)
    flags = [False] * len(written)
    for missing, extra in _unanswered(spoken, written):
        letters = "".join(spoken[index] for index in missing), "".join(written[index] for index in extra)
        if len(extra) >= min_run and _likeness(*letters) < GARBLED:
            for index in extra:
                flags[index] = True
    return tuple(flags)


def _unanswered(truth: Sequence[str], words: Sequence[str]) -> Iterator[tuple[list[int], list[int]]]:
    """(indices in the truth, indices in the words) of the stretches between words that answer each other."""
    rows, columns = len(truth), len(words)
    replace = np.array([[_replacing(a, b) for b in words] for a in truth]).reshape(rows, columns)
    costs = np.zeros((rows + 1, columns + 1))
    costs[:, 0], costs[0] = _LEFT_OUT * np.arange(rows + 1), _LEFT_OUT * np.arange(columns + 1)
    for row in range(rows):
        for column in range(columns):
            costs[row + 1, column + 1] = min(
                costs[row, column] + replace[row, column],
                costs[row, column + 1] + _LEFT_OUT,
                costs[row + 1, column] + _LEFT_OUT,
            )
    spoken: list[int] = []
    written: list[int] = []
    row, column = rows, columns
    while row or column:
        if row and column and costs[row, column] == costs[row - 1, column - 1] + replace[row - 1, column - 1]:
            row, column = row - 1, column - 1
            yield spoken[::-1], written[::-1]
            spoken, written = [], []
        elif column and costs[row, column] == costs[row, column - 1] + _LEFT_OUT:
            column -= 1
            written.append(column)
        else:
            row -= 1
            spoken.append(row)
    yield spoken[::-1], written[::-1]


def _replacing(a: str, b: str) -> float:
    likeness = _likeness(a, b)
    return 2 * (1 - likeness) if likeness >= ALIKE else float("inf")


@lru_cache(maxsize=65_536)
def _likeness(a: str, b: str) -> float:
    return float(Levenshtein.normalized_similarity(a, b))
