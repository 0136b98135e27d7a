"""A hypothesis laid against its reference, token by token, for coloured reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechrl.text.alignment import align_texts
from speechrl.text.normalise import is_by_character

if TYPE_CHECKING:
    from speechrl.text.alignment import Kind


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of the reading line: what was said and what was recognised; one of the two is empty for an edit."""

    kind: Kind
    said: str
    heard: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A hypothesis as cells.

    Attributes:
        cells: In reading order; equal neighbours are one cell.
        errors: Edits.
        words: Reference tokens.
        unit: What a token is: `word` or `character`.
    """

    cells: tuple[Cell, ...]
    errors: int
    words: int
    unit: str

    @property
    def described(self) -> str:
        """The count in words."""
        if not self.words:
            return "silence kept" if not self.errors else f"{self.errors} {self.unit}s out of nothing"
        if not self.errors:
            return "no errors"
        return f"{self.errors} error{'s' * (self.errors > 1)} in {self.words} {self.unit}s"


def read(reference: str, hypothesis: str, language: str) -> Reading:
    """Align a hypothesis with its reference, both normalised as they are for counting."""
    alignment = align_texts(reference, hypothesis, language)
    unit, gap = ("character", "") if is_by_character(language) else ("word", " ")
    cells: list[Cell] = []
    for edit in alignment.operations:
        said = alignment.reference[edit.reference_start : edit.reference_end]
        heard = alignment.hypothesis[edit.hypothesis_start : edit.hypothesis_end]
        if edit.kind == "substitute":
            cells += [Cell("substitute", was, now) for was, now in zip(said, heard, strict=True)]
        else:
            cells.append(Cell(edit.kind, gap.join(said), gap.join(heard)))
    return Reading(tuple(cells), alignment.errors, alignment.words, unit)
