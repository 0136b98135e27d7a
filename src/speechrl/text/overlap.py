"""Does a text say what a held-out text says? Whole texts and their sentences are compared, in their normal form."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING

import regex
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import extractOne

from speechrl.text.normalise import is_by_character, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST_TOKENS = 4
"""A shorter text may be part of another by chance; it must be equal."""
CHARACTERS_PER_WORD = 2
"""`LEAST_TOKENS` counts words; in languages that count characters it is so many times as long."""
ALIKE = 0.8
"""Texts of at least this edit similarity (1 - edits / tokens of the longer one) are near copies."""

_SENTENCE_END = regex.compile(r"(?<=[.?!;:。？！；])\s*")

Unit = tuple[str, ...]


class HeldOutTexts:
    """Texts that must not come back, ready to be looked for.

    Two texts say the same when, of the whole texts or any two of their sentences, one equals the other, one of
    `LEAST_TOKENS` tokens or more is a part of the other, or both are that long and `ALIKE`.

    Args:
        texts: (text, language) each; texts without words are left out.
    """

    def __init__(self, texts: Iterable[tuple[str, str]]) -> None:
        self._equal: dict[Unit, str] = {}
        self._starting: defaultdict[Unit, list[tuple[Unit, str]]] = defaultdict(list)
        self._holding: dict[Unit, list[tuple[Unit, str]]] = defaultdict(list)
        self._by_length: defaultdict[int, dict[Unit, str]] = defaultdict(dict)
        for text, language in texts:
            least = _least(language)
            for unit in units(text, language):
                if unit in self._equal:
                    continue
                self._equal[unit] = text
                if len(unit) < least:
                    continue
                self._by_length[len(unit)][unit] = text
                self._starting[unit[:least]].append((unit, text))
                for start in range(len(unit) - least + 1):
                    self._holding[unit[start : start + least]].append((unit, text))

    def find(self, text: str, language: str = "en") -> str | None:
        """The held-out text that `text` says again, as it was given; None if there is none."""
        return next(
            (found for unit in units(text, language) if (found := self._find(unit, _least(language)))), None
        )

    def _find(self, unit: Unit, least: int) -> str | None:
        if unit in self._equal:
            return self._equal[unit]
        if len(unit) < least:
            return None
        for other, text in self._holding.get(unit[:least], ()):
            if _is_part(unit, other):
                return text
        for start in range(len(unit) - least + 1):
            for other, text in self._starting.get(unit[start : start + least], ()):
                if unit[start : start + len(other)] == other:
                    return text
        return self._alike(unit)

    def _alike(self, unit: Unit) -> str | None:
        for length, others in self._by_length.items():
            if min(length, len(unit)) < ALIKE * max(length, len(unit)):
                continue
            # The library loses scores that are its cutoff up to rounding, so it gets a lower one.
            best = extractOne(unit, list(others), scorer=Levenshtein.normalized_similarity, score_cutoff=0.7)
            if best is not None and best[1] >= ALIKE - 1e-9:
                return others[best[0]]
        return None


@lru_cache(maxsize=65_536)
def units(text: str, language: str = "en") -> tuple[Unit, ...]:
    """The whole text and its sentences of `LEAST_TOKENS` tokens or more, as tokens; none for a text without words."""
    whole = tuple(tokens(text, language))
    if not whole:
        return ()
    sentences = (tuple(tokens(part, language)) for part in _SENTENCE_END.split(text))
    return tuple(dict.fromkeys([whole, *(part for part in sentences if len(part) >= _least(language))]))


def _least(language: str) -> int:
    return LEAST_TOKENS * (CHARACTERS_PER_WORD if is_by_character(language) else 1)


def _is_part(short: Unit, long: Unit) -> bool:
    return any(long[start : start + len(short)] == short for start in range(len(long) - len(short) + 1))
