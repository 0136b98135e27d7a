"""Keyword precision and recall of a whole set.

The reward compares one hypothesis with the keywords of its own reference. Over a set, precision also needs what was
recognised *wrongly* as a keyword, so every keyword of the set is looked for in every hypothesis.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from speechrl.rewards.asr import keyword_counts
from speechrl.text.normalise import plain, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speechrl.types import Prompt


@dataclass(frozen=True, slots=True)
class KeywordCounts:
    """Occurrences of keywords, to be added up before any division.

    Attributes:
        hits: In the reference and in the hypothesis.
        misses: In the reference only.
        false_alarms: In the hypothesis only.
    """

    hits: int = 0
    misses: int = 0
    false_alarms: int = 0

    @property
    def precision(self) -> float | None:
        """Hits / recognised; None when no keyword was recognised."""
        return _share(self.hits, self.hits + self.false_alarms)

    @property
    def recall(self) -> float | None:
        """Hits / spoken; None when no keyword was spoken."""
        return _share(self.hits, self.hits + self.misses)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two; None when there is nothing to find and nothing was found."""
        return _share(2 * self.hits, 2 * self.hits + self.misses + self.false_alarms)


class PhraseIndex:
    """Phrases of one language by their first word: only those few can occur in a text that has it."""

    def __init__(self, language: str) -> None:
        self._language = language
        self._by_first_word: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, phrases: Iterable[str]) -> None:
        """Phrases to look for from now on."""
        for phrase in phrases:
            for words in _forms(phrase, self._language):
                self._by_first_word[words[0]].add(phrase)

    def candidates(self, *texts: str) -> set[str]:
        """The phrases that may occur in any of the texts."""
        words = {word for text in texts for form in _forms(text, self._language) for word in form}
        return {
            phrase for word in words if word in self._by_first_word for phrase in self._by_first_word[word]
        }


class KeywordSpotter:
    """Finds the keywords of a set in any of its texts."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        self._phrases: dict[str, PhraseIndex] = {}
        for prompt in prompts:
            if prompt.language not in self._phrases:
                self._phrases[prompt.language] = PhraseIndex(prompt.language)
            self._phrases[prompt.language].add(prompt.keywords)

    def count(self, reference: str, hypothesis: str, language: str) -> KeywordCounts:
        """Compare how often each keyword of the set occurs in both texts."""
        if language not in self._phrases:
            return KeywordCounts()
        candidates = sorted(self._phrases[language].candidates(reference, hypothesis))
        hits, said, wanted = keyword_counts(reference, hypothesis, candidates, language)
        return KeywordCounts(hits, wanted - hits, said - hits)


def _forms(text: str, language: str) -> list[list[str]]:
    """The two forms that `keyword_counts` looks at, where they are not empty."""
    return [form for form in (tokens(text, language), plain(text).split()) if form]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
