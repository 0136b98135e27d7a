"""One alignment of two token sequences; every count and rate is a view of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from rapidfuzz.distance import Levenshtein

from speechrl.text.normalise import Unit, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

Kind = Literal["equal", "substitute", "delete", "insert"]

_KINDS: dict[str, Kind] = {"equal": "equal", "replace": "substitute", "delete": "delete", "insert": "insert"}


@dataclass(frozen=True, slots=True)
class Operation:
    """A stretch of the alignment: a slice of the reference against a slice of the hypothesis.

    Example: `Operation("insert", 2, 2, 2, 5)`: three hypothesis tokens, from the third on, that no reference
    token answers.
    """

    kind: Kind
    reference_start: int
    reference_end: int
    hypothesis_start: int
    hypothesis_end: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """A Levenshtein alignment (all edits cost 1) and its views.

    The number of errors is unique; how it splits into substitutions, deletions and insertions is one of the
    optimal splits, as in jiwer.
    """

    reference: tuple[str, ...]
    hypothesis: tuple[str, ...]
    operations: tuple[Operation, ...]

    @property
    def hits(self) -> int:
        """Reference tokens that the hypothesis has right."""
        return sum(op.reference_end - op.reference_start for op in self.operations if op.kind == "equal")

    @property
    def substitutions(self) -> int:
        """Reference tokens that became another token."""
        return sum(op.reference_end - op.reference_start for op in self.operations if op.kind == "substitute")

    @property
    def deletions(self) -> int:
        """Reference tokens that the hypothesis lacks."""
        return sum(op.reference_end - op.reference_start for op in self.operations if op.kind == "delete")

    @property
    def insertions(self) -> int:
        """Hypothesis tokens that the reference lacks."""
        return sum(op.hypothesis_end - op.hypothesis_start for op in self.operations if op.kind == "insert")

    @property
    def words(self) -> int:
        """Length of the reference in tokens: hits + substitutions + deletions."""
        return len(self.reference)

    @property
    def errors(self) -> int:
        """Substitutions + deletions + insertions."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def error_rate(self) -> float:
        """Errors / max(words, 1), in [0, inf).

        An empty reference so counts each inserted token as a whole reference token: text on silence is never
        free. For a corpus sum `errors` and `words` first; this is the rate of one utterance.
        """
        return self.errors / max(self.words, 1)


def align(reference: Sequence[str], hypothesis: Sequence[str]) -> Alignment:
    """Align two sequences of tokens.

    Args:
        reference: Tokens of the truth, possibly none.
        hypothesis: Tokens to judge, possibly none.
    """
    reference, hypothesis = tuple(reference), tuple(hypothesis)
    operations = tuple(
        Operation(_KINDS[code.tag], code.src_start, code.src_end, code.dest_start, code.dest_end)
        for code in Levenshtein.opcodes(reference, hypothesis)
    )
    return Alignment(reference, hypothesis, operations)


@lru_cache(maxsize=8192)
def align_texts(reference: str, hypothesis: str, language: str = "en", unit: Unit = "auto") -> Alignment:
    """Normalise both texts, split them into tokens and align them; cached, since several rewards look at one pair."""
    return align(tokens(reference, language, unit), tokens(hypothesis, language, unit))
