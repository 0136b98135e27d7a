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


class KeywordSpotter:
    """Finds the keywords of a set in any of its texts."""

    def __init__(self, prompts: Iterable[Prompt]) -> None:
        # Phrases by language and first word: only these few can occur in a text with that word.
        self._phrases: dict[str, defaultdict[str, set[str]]] = {}
        for prompt in prompts:
            known = self._phrases.setdefault(prompt.language, defaultdict(set))
            for keyword in prompt.keywords:
                for words in _forms(keyword, prompt.language):
                    known[words[0]].add(keyword)

    def count(self, reference: str, hypothesis: str, language: str) -> KeywordCounts:
        """Compare how often each keyword of the set occurs in both texts."""
        known = self._phrases.get(language)
        if not known:
            return KeywordCounts()
        words = {word for text in (reference, hypothesis) for form in _forms(text, language) for word in form}
        candidates = sorted({phrase for word in words if word in known for phrase in known[word]})
        hits, said, wanted = keyword_counts(reference, hypothesis, candidates, language)
        return KeywordCounts(hits, wanted - hits, said - hits)


def _forms(text: str, language: str) -> list[list[str]]:
    """The two forms that `keyword_counts` looks at, where they are not empty."""
    return [form for form in (tokens(text, language), plain(text).split()) if form]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
