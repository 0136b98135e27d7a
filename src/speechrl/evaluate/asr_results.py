"""A recogniser on a set: counts per utterance, and every rate as a view of their sums."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Self

from speechrl.evaluate.bootstrap import interval, paired
from speechrl.evaluate.keywords import KeywordCounts
from speechrl.text.normalise import is_by_character

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True, slots=True)
class Row:
    """One utterance: a line of `evaluation/MOMENT/SET.jsonl`.

    Attributes:
        words: Reference tokens: words, or characters for zh, ja and ko.
        ending: How decoding ended (`stop`, `length`, `unparsable`), or `unknown` for texts from elsewhere.
        length: Tokens of the hypothesis in the model's vocabulary.
        empty: Nothing was recognised.
        loop: A word or phrase repeats beyond what the reference repeats (`rewards.asr.asr_metrics`, like the next).
        hallucination: The reward of that name finds something.
        wrong_language: It reads as another language than the reference's.
        keyword_hits: Keywords spoken and recognised; `keyword_misses` and `keyword_false_alarms` likewise.
    """

    id: str
    language: str
    reference: str
    hypothesis: str
    substitutions: int
    deletions: int
    insertions: int
    words: int
    ending: str
    length: int
    empty: bool
    loop: bool
    hallucination: bool
    wrong_language: bool
    keyword_hits: int
    keyword_misses: int
    keyword_false_alarms: int

    @property
    def errors(self) -> int:
        """Substitutions + deletions + insertions."""
        return self.substitutions + self.deletions + self.insertions


@dataclass(frozen=True)
class SetResult:
    """A set after decoding.

    Attributes:
        rows: One per utterance, in the order of the manifest.
        CURVES: Numbers of `to_json` that are worth a curve over training steps.
    """

    CURVES: ClassVar = ("wer", "insertions")

    rows: tuple[Row, ...]

    @classmethod
    def from_lines(cls, lines: Iterable[Mapping[str, Any]]) -> Self:
        """The set whose rows were written as `lines`."""
        return cls(tuple(Row(**line) for line in lines))

    @cached_property
    def words(self) -> int:
        """Reference tokens."""
        return sum(row.words for row in self.rows)

    @cached_property
    def errors(self) -> int:
        """All edits."""
        return sum(row.errors for row in self.rows)

    @property
    def wer(self) -> float | None:
        """Corpus error rate, a ratio of sums; empty references count by their insertions. None without words."""
        return self.errors / self.words if self.words else None

    @property
    def unit(self) -> str:
        """What errors are counted in: `word`, `character` or `mixed`."""
        units = {"character" if is_by_character(row.language) else "word" for row in self.rows}
        return units.pop() if len(units) == 1 else "mixed"

    @property
    def keywords(self) -> KeywordCounts:
        """Keyword counts of the set."""
        return KeywordCounts(
            sum(row.keyword_hits for row in self.rows),
            sum(row.keyword_misses for row in self.rows),
            sum(row.keyword_false_alarms for row in self.rows),
        )

    def to_json(self, resamples: int = 2000, seed: int = 1) -> dict[str, Any]:
        """The set's numbers in `evaluation.json`. A rate that does not exist is null.

        `wer` is the corpus rate with its 95 % interval, `mean_utterance_wer` the mean over utterances with
        words of their rates; `insertion_rate` is per reference word; the other rates are shares of utterances.
        """
        rows = self.rows
        spread = (
            interval([row.errors for row in rows], [row.words for row in rows], resamples, seed)
            if rows
            else None
        )
        insertions = sum(row.insertions for row in rows)
        keywords = self.keywords
        return {
            "wer": self.wer,
            "wer_low": spread and spread.low,
            "wer_high": spread and spread.high,
            "unit": self.unit,
            "mean_utterance_wer": _mean([row.errors / row.words for row in rows if row.words]),
            "substitutions": sum(row.substitutions for row in rows),
            "deletions": sum(row.deletions for row in rows),
            "insertions": insertions,
            "words": self.words,
            "utterances": len(rows),
            "insertion_rate": insertions / self.words if self.words else None,
            "hallucination_rate": _mean([row.hallucination for row in rows]),
            "loop_rate": _mean([row.loop for row in rows]),
            "wrong_language_rate": _mean([row.wrong_language for row in rows]),
            "non_empty_rate": _mean([not row.empty for row in rows]),
            "length_cut_rate": _mean([row.ending == "length" for row in rows]),
            "keyword_precision": keywords.precision,
            "keyword_recall": keywords.recall,
            "keyword_f1": keywords.f1,
        }

    def since(self, before: SetResult, resamples: int, seed: int) -> dict[str, Any] | None:
        """How the set changed, on the utterances that both have; None where nothing can be compared.

        Returns:
            `relative_change`, `low`, `high`, `p` and the `measure` they are of: `wer`, or `insertions` per utterance
            for a set without words (silence, noise).
        """
        first = {row.id: row for row in before.rows}
        pairs = [(first[row.id], row) for row in self.rows if row.id in first]
        measure = "wer" if self.words else "insertions"
        change = paired(
            [row.errors if self.words else row.insertions for row, _ in pairs],
            [row.errors if self.words else row.insertions for _, row in pairs],
            [row.words if self.words else 1 for row, _ in pairs],
            resamples,
            seed,
        )
        return asdict(change) | {"measure": measure} if change else None


def _mean(values: list[float] | list[bool]) -> float | None:
    return fmean(values) if values else None
