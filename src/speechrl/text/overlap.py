"""Does a text say what a held-out text says? Whole texts and their sentences are compared, in their normal form."""

from __future__ import annotations

from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING

import regex
from rapidfuzz.distance import Levenshtein
from rapidfuzz.process import extractOne

from speechrl.text.normalise import is_by_character, tokens, tokens_per_word

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST_TOKENS = 4
"""A shorter text may be part of another by chance; it must be equal. Times `tokens_per_word`."""
ALIKE = 0.8
"""Texts of at least this edit similarity (1 - edits / tokens of the longer one) are near copies."""

_SENTENCE_END = regex.compile(r"(?<=[.?!;:。？！；])\s*")

_NO_SPACES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")

_LETTER = regex.compile(r"\p{L}")

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
        for text, tag in texts:
            language = _counted_in(text, tag)
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

    def find(self, text: str, language: str = "en", *, joined: bool = False) -> str | None:
        """The held-out text that `text` says again, as it was given; None if there is none.

        Args:
            text: What may be trained on.
            language: Of the text.
            joined: It was put together from texts, so that a sentence of any length may be one of them.
        """
        language = _counted_in(text, language)
        found = (self._find(unit, _least(language)) for unit in units(text, language, 1 if joined else None))
        return next((one for one in found if one), None)

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
def units(text: str, language: str = "en", least: int | None = None) -> tuple[Unit, ...]:
    """The whole text and its sentences of `least` (`LEAST_TOKENS`) tokens or more; none for a text without words."""
    whole = tuple(tokens(text, language))
    if not whole:
        return ()
    least = _least(language) if least is None else least
    sentences = (tuple(tokens(part, language)) for part in _SENTENCE_END.split(text))
    return tuple(dict.fromkeys([whole, *(part for part in sentences if len(part) >= least)]))


def _counted_in(text: str, language: str) -> str:
    """The language whose tokens count; where most letters are of scripts without spaces, Chinese, whatever the tag."""
    if is_by_character(language) or 2 * len(_NO_SPACES.findall(text)) <= len(_LETTER.findall(text)):
        return language
    return "zh"


def _least(language: str) -> int:
    return LEAST_TOKENS * tokens_per_word(language)


def _is_part(short: Unit, long: Unit) -> bool:
    return any(long[start : start + len(short)] == short for start in range(len(long) - len(short) + 1))
