"""A labelled set for detectors of hallucination: labels by alignment, corruptions, and grades.

The reference is used for labels. It says which runs of words nobody said; a detector then has to find them, with the
reference or without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechrl.evaluate.bootstrap import Interval, interval
from speechrl.text.made_up import made_up_words, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MIN_RUN = 3
"""Words in a row that make a hallucination where somebody speaks; over silence every word is one."""


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
    """Which words of a hypothesis nobody said, by `text.made_up.made_up_words` against the reference.

    Over silence every word is one, however few they are.

    Args:
        reference: What is said; empty for silence.
        hypothesis: Text to label.
        min_run: Shortest run.
    """
    return made_up_words(reference, hypothesis, min_run if words_of(reference) else 1)


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
