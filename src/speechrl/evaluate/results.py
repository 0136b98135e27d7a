"""Counts per utterance, and every rate of a set as a view of their sums."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

from speechrl.errors import DataError
from speechrl.evaluate.bootstrap import interval, paired
from speechrl.evaluate.keywords import KeywordCounts
from speechrl.text.normalise import is_by_character

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


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
    """

    rows: tuple[Row, ...]

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


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model on its sets.

    Attributes:
        sets: Result by set name.
        seconds: Wall-clock seconds of decoding by set name.
    """

    sets: Mapping[str, SetResult]
    seconds: Mapping[str, float]

    def to_json(self, resamples: int = 2000, seed: int = 1) -> dict[str, dict[str, Any]]:
        """`{SET: {"wer": ...}}`, see `SetResult.to_json`."""
        return {name: result.to_json(resamples, seed) for name, result in self.sets.items()}

    def write(self, folder: Path) -> None:
        """Write `SET.jsonl`, a line an utterance, and `seconds.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, result in self.sets.items():
            lines = (json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in result.rows)
            (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        (folder / "seconds.json").write_text(json.dumps(dict(self.seconds)) + "\n", encoding="utf-8")


def read_evaluation(folder: Path) -> Evaluation | None:
    """Read back what `Evaluation.write` wrote (a resumed run does not evaluate twice); None if it was not finished.

    Raises:
        DataError: A file is not what was written.
    """
    finished = folder / "seconds.json"
    if not finished.is_file():
        return None
    try:
        seconds: dict[str, float] = json.loads(finished.read_text(encoding="utf-8"))
        sets = {name: SetResult(_rows(folder / f"{name}.jsonl")) for name in seconds}
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"{folder}: not a whole evaluation ({error}). Remove the folder to evaluate again."
        ) from error
    return Evaluation(sets, seconds)


def assemble(
    before: Evaluation | None, after: Evaluation, resamples: int = 2000, seed: int = 1
) -> dict[str, Any]:
    """The content of `evaluation.json`.

    Args:
        before: The model as it was loaded; None leaves `before` and `paired` empty.
        after: The model after training.
        resamples: Of every interval and test.
        seed: Of the resampling.

    Returns:
        `before`, `after`, `paired`, `seconds` in the shape that DESIGN fixes. `paired` compares the measure it names:
        `wer`, or `insertions` per utterance for a set without words (silence, noise).
    """
    moments = {"before": before, "after": after}
    return {
        "before": before.to_json(resamples, seed) if before else {},
        "after": after.to_json(resamples, seed),
        "paired": _paired(before, after, resamples, seed) if before else {},
        "seconds": {moment: dict(done.seconds) for moment, done in moments.items() if done},
    }


def _paired(before: Evaluation, after: Evaluation, resamples: int, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, result in after.sets.items():
        if name not in before.sets or not result.rows:
            continue
        first = {row.id: row for row in before.sets[name].rows}
        pairs = [(first[row.id], row) for row in result.rows if row.id in first]
        count: Callable[[Row], int] = _errors if result.words else _insertions
        change = paired(
            [count(row) for row, _ in pairs],
            [count(row) for _, row in pairs],
            [row.words if result.words else 1 for row, _ in pairs],
            resamples,
            seed,
        )
        if change:
            found[name] = asdict(change) | {"measure": "wer" if result.words else "insertions"}
    return found


def _errors(row: Row) -> int:
    return row.errors


def _insertions(row: Row) -> int:
    return row.insertions


def _rows(path: Path) -> tuple[Row, ...]:
    return tuple(Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines())


def _mean(values: list[float] | list[bool]) -> float | None:
    return fmean(values) if values else None
