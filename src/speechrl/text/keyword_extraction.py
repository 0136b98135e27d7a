"""Words that matter, found in the texts of a pool by three rules that need no model.

| kind | what it finds |
|---|---|
| `rare` | content words (four letters or more, no function word) in at most a share of the texts, or in one alone |
| `proper` | runs of words with a capital in the middle of a sentence, where the pool hardly ever writes them small |
| `product` | tokens of letters and digits (`H323`), with a capital inside (`iPhone`), or all capitals (`PBX`) |

`rare` needs spaces between words; `proper` and `product` need texts that use capitals as usual, so texts all in one
case have none, and German, which writes every noun with a capital, has no `proper`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import regex

from speechrl.text.language import FUNCTION_WORDS
from speechrl.text.normalise import is_by_character, plain, primary_language

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Kind = Literal["rare", "proper", "product"]

LEAST_LETTERS = 4
PROPER_SHARE = 0.9
"""Of a word's uses in the middle of a sentence, so many begin with a capital."""

_WORD = regex.compile(r"[\p{L}\p{N}][\p{L}\p{N}\p{M}'’-]*")
_SENTENCE_END = regex.compile(r"[.?!:;…]")
_INNER_CAPITAL = regex.compile(r"\p{Ll}\p{Lu}")
_NAMED_LIKE_I = frozenset({"i", "i'm", "i'll", "i've", "i'd", "ok"})


@dataclass(frozen=True, slots=True)
class _Word:
    """A word as it is written, and whether it begins a sentence."""

    text: str
    first: bool

    @property
    def capital(self) -> bool:
        return self.text[0].isupper()


class KeywordExtractor:
    """Knows how often the words of a pool occur and how they are written.

    Args:
        texts: (text, language) of the pool.
        kinds: What to look for.
        rare_share: A rare word is in at most this share of the texts of its language, or in a single one.
        most: Keywords of a text, at most; products come first, then proper nouns, then the rarest words.
    """

    def __init__(
        self, texts: Iterable[tuple[str, str]], kinds: Sequence[Kind], rare_share: float = 0.01, most: int = 5
    ) -> None:
        self._kinds = tuple(kinds)
        self._most = most
        self._rare_share = rare_share
        self._texts: Counter[str] = Counter()
        self._documents: Counter[tuple[str, str]] = Counter()
        self._inside: Counter[tuple[str, str]] = Counter()
        self._capital_inside: Counter[tuple[str, str]] = Counter()
        for text, language in texts:
            self._texts[language] += 1
            words = _words(text)
            self._documents.update({(language, plain(word.text)) for word in words})
            inside = [word for word in words if not word.first]
            self._inside.update((language, plain(word.text)) for word in inside)
            self._capital_inside.update((language, plain(word.text)) for word in inside if word.capital)

    def extract(self, text: str, language: str = "en") -> tuple[str, ...]:
        """The keywords of one text of the pool, as it writes them, in the order in which they are said."""
        words = _words(text)
        found: dict[str, int] = {}
        if "product" in self._kinds and _mixed_case(text):
            self._add(found, [word.text for word in words if _is_product(word.text)])
        if "proper" in self._kinds and _mixed_case(text) and primary_language(language) != "de":
            self._add(found, self._proper(text, words, language))
        if "rare" in self._kinds and not is_by_character(language):
            self._add(found, self._rare(words, language))
        kept = list(found)[: self._most]
        return tuple(sorted(kept, key=text.find))

    def _add(self, found: dict[str, int], phrases: Iterable[str]) -> None:
        known = {word for phrase in found for word in plain(phrase).split()}
        for phrase in phrases:
            if not set(plain(phrase).split()) <= known:
                found.setdefault(phrase, len(found))
                known |= set(plain(phrase).split())

    def _proper(self, text: str, words: Sequence[_Word], language: str) -> list[str]:
        """Neighbours that are all proper nouns are one phrase, as in `New York`."""
        phrases: list[list[str]] = []
        joined = False
        for word in words:
            if self._is_proper(word, language):
                if joined and f"{phrases[-1][-1]} {word.text}" in text:
                    phrases[-1].append(word.text)
                else:
                    phrases.append([word.text])
                joined = True
            else:
                joined = False
        return [" ".join(phrase) for phrase in phrases]

    def _is_proper(self, word: _Word, language: str) -> bool:
        key = (language, plain(word.text))
        if word.first or not word.capital or word.text.lower().replace("’", "'") in _NAMED_LIKE_I:
            return False
        return len(word.text) > 1 and self._capital_inside[key] >= PROPER_SHARE * self._inside[key]

    def _rare(self, words: Sequence[_Word], language: str) -> list[str]:
        most = max(1.0, self._rare_share * self._texts[language])
        function_words = FUNCTION_WORDS.get(primary_language(language), frozenset())
        content = [
            word.text
            for word in words
            if len(word.text) >= LEAST_LETTERS
            and word.text.isalpha()
            and plain(word.text) not in function_words
            and self._documents[language, plain(word.text)] <= most
        ]
        return sorted(content, key=lambda word: (self._documents[language, plain(word)], -len(word)))


def _words(text: str) -> list[_Word]:
    """The words of a text; what follows the end of a sentence, or nothing, begins one."""
    words: list[_Word] = []
    end = 0
    for match in _WORD.finditer(text):
        between = text[end : match.start()]
        words.append(_Word(match.group(), not words or bool(_SENTENCE_END.search(between))))
        end = match.end()
    return words


def _mixed_case(text: str) -> bool:
    """Whether capitals tell something here: the text also has small letters."""
    return any(letter.islower() for letter in text)


def _is_product(word: str) -> bool:
    letters = sum(letter.isalpha() for letter in word)
    digits = sum(letter.isdigit() for letter in word)
    ordinal = bool(regex.fullmatch(r"\d+(st|nd|rd|th|s)", word.lower()))
    if letters and digits:
        return not ordinal
    parts = word.replace("-", "")
    acronym = letters >= 2 and parts.isupper() and parts.isalpha()
    return acronym or bool(_INNER_CAPITAL.search(word))
