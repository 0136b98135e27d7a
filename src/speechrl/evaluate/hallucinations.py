"""A labelled set for detectors of hallucination: labels by alignment, corruptions, and grades.

The reference is used for labels. It says which runs of words nobody said; a detector then has to find them, with the
reference or without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from rapidfuzz.distance import Levenshtein

from speechrl.evaluate.bootstrap import Interval, interval
from speechrl.rewards.asr_detectors import words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MIN_RUN = 3
"""Words in a row that make a hallucination where somebody speaks; over silence every word is one."""
ALIKE = 0.5
"""Words whose letters agree to this share are one word misheard."""
GARBLED = 0.4
"""A run whose letters agree to this share with the letters that it stands for is misheard speech, no hallucination."""
_LEFT_OUT = 1.0


@dataclass(frozen=True, slots=True)
class Labelled:
    """A hypothesis with its truth.

    Example: `Labelled("u1", "u1", "looped", "try again", "try try try try again", (False, True, True, True, False))`.

    Attributes:
        id: Of the audio.
        cluster: What resampling draws as one: hypotheses of the same recording.
        kind: How the hypothesis came about.
        reference: What is said.
        hypothesis: What is to be judged.
        labels: A flag a word of `words_of(hypothesis)`: nobody said it.
    """

    id: str
    cluster: str
    kind: str
    reference: str
    hypothesis: str
    labels: tuple[bool, ...]

    @property
    def hallucinated(self) -> bool:
        """Whether any word is labelled."""
        return any(self.labels)


def label_words(reference: str, hypothesis: str, min_run: int = MIN_RUN) -> tuple[bool, ...]:
    """Which words of a hypothesis nobody said, from an alignment that knows misheard words from made-up ones.

    Replacing a word costs 2 x the share of letters that differ, a word too many or too few costs 1: so `shake` answers
    `sheikh`, but `again` does not answer `try`, which a plain word alignment would call a substitution. Between two
    words that answer, at least `min_run` others are a hallucination, unless their letters are near those of the words
    that they stand for. Over silence every word is one.

    Args:
        reference: What is said; empty for silence.
        hypothesis: Text to label.
        min_run: Shortest run.
    """
    truth, words = words_of(reference), words_of(hypothesis)
    if not truth:
        return (True,) * len(words)
    flags = [False] * len(words)
    for spoken, written in _unanswered(truth, words):
        garbled = _likeness("".join(truth[i] for i in spoken), "".join(words[i] for i in written)) >= GARBLED
        if len(written) >= min_run and not garbled:
            for index in written:
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


def _likeness(a: str, b: str) -> float:
    return float(Levenshtein.normalized_similarity(a, b))


@dataclass(frozen=True, slots=True)
class Grade:
    """How a detector did: the right ones of its findings (precision), the found ones of all there are (recall).

    Each is None where there is nothing to divide by.
    """

    precision: Interval | None
    recall: Interval | None
    f1: Interval | None


def grade(
    found: Sequence[Sequence[bool]], labels: Sequence[Sequence[bool]], clusters: Sequence[str], seed: int = 1
) -> Grade:
    """Precision, recall and F1 with 95 % percentile intervals.

    Args:
        found: Flags of a detector: one an item, or one a word of each item.
        labels: The truth, of the same shape.
        clusters: Cluster of each item; whole clusters are drawn.
        seed: Of the resampling.
    """
    counts: dict[str, list[int]] = {}
    for flags, truth, cluster in zip(found, labels, clusters, strict=True):
        pairs = list(zip(flags, truth, strict=True))
        row = counts.setdefault(cluster, [0, 0, 0])
        row[0] += sum(flag and said for flag, said in pairs)
        row[1] += sum(flag for flag, _ in pairs)
        row[2] += sum(said for _, said in pairs)
    right, flagged, wanted = (list(column) for column in zip(*counts.values(), strict=True))
    both = [a + b for a, b in zip(flagged, wanted, strict=True)]
    return Grade(
        interval(right, flagged, seed=seed),
        interval(right, wanted, seed=seed),
        interval([2 * hit for hit in right], both, seed=seed),
    )


def insert_run(reference: str, run: Sequence[str], before: int) -> tuple[str, tuple[bool, ...]]:
    """The reference with words of another one in it, and their labels.

    Args:
        reference: What is said.
        run: Words to put in.
        before: Index of the word that they precede.
    """
    words = words_of(reference)
    text = [*words[:before], *run, *words[before:]]
    return " ".join(text), tuple(before <= index < before + len(run) for index in range(len(text)))


def insert_loop(reference: str, start: int, size: int, times: int) -> tuple[str, tuple[bool, ...]]:
    """The reference in which words `start` to `start + size` come `times` more, and their labels."""
    words = words_of(reference)
    return insert_run(reference, words[start : start + size] * times, start + size)
