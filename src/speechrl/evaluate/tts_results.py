"""A synthesiser on a set: what judges heard and scorers measured, and every rate as a view of sums over sentences.

A sentence may be spoken several times, once per sampling seed. Its renderings resemble each other, so intervals and
tests draw sentences, each with all of its renderings.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from speechrl.evaluate.bootstrap import interval, paired, paired_difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Parts = tuple[float, float]
    """A row's share in a rate: what is added above the line, and below it."""
    View = Callable[["SpokenRow"], Parts | None]
    """A rate's parts of a row; None where the row does not have it."""


AUDIBLE_S = 0.1
"""A shorter clip is silence: judges hear nothing in it, and it has no voice to measure."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one judge took an utterance for, and its errors.

    Attributes:
        text: The judge's transcript, raw.
        words: Tokens of the sentence: words, or characters for zh, ja and ko.
        character_errors: Edits between the characters of transcript and sentence, spaces not counted.
        characters: Characters of the sentence, in the same form.
    """

    text: str
    substitutions: int
    deletions: int
    insertions: int
    words: int
    character_errors: int
    characters: int

    @property
    def errors(self) -> int:
        """Substitutions + deletions + insertions."""
        return self.substitutions + self.deletions + self.insertions


@dataclass(frozen=True, slots=True)
class SpokenRow:
    """One rendering of a sentence: a line of `evaluation/MOMENT/SET.jsonl`. None is "could not be measured".

    Attributes:
        id: The sentence's.
        seed: Sampling seed.
        language: ISO 639-1 code.
        text: What was to be spoken.
        voice: CRC-32 of the reference voice's samples, in hexadecimal; empty without one.
        judges: What each judge heard, in the order of the configuration; None where it failed.
        similarity: Cosine of speaker embeddings between this and the reference voice.
        quality: DistillMOS, 1 to 5.
        dnsmos: DNSMOS overall, 1 to 5.
        log_f0_std: Standard deviation of log F0 over voiced frames: how lively it is.
        speaking_rate: Characters a second of sound, pauses left out; None where nothing sounds.
        duration_s: Seconds, pauses included.
        tokens: Speech tokens.
        characters: Characters of `text`.
        no_stop: Cut at the token limit: the model did not end by itself.
        token_ids: The speech tokens, from which the sound can be made again.
        problems: Judge or scorer -> why it failed.
    """

    id: str
    seed: int
    language: str
    text: str
    voice: str
    judges: Mapping[str, Heard | None]
    similarity: float | None
    quality: float | None
    dnsmos: float | None
    log_f0_std: float | None
    speaking_rate: float | None
    duration_s: float
    tokens: int
    characters: int
    no_stop: bool
    token_ids: tuple[int, ...]
    problems: Mapping[str, str]

    @property
    def silent(self) -> bool:
        """Whether there is nothing to hear: to judges it is deletions, and it has no voice, quality or pitch."""
        return self.duration_s < AUDIBLE_S or self.speaking_rate is None


def _value(name: str) -> View:
    def view(row: SpokenRow) -> Parts | None:
        value = getattr(row, name)
        return None if value is None else (float(value), 1.0)

    return view


def _words(judge: str) -> View:
    def view(row: SpokenRow) -> Parts | None:
        heard = row.judges.get(judge)
        return None if heard is None else (heard.errors, heard.words)

    return view


def _characters(judge: str) -> View:
    def view(row: SpokenRow) -> Parts | None:
        heard = row.judges.get(judge)
        return None if heard is None else (heard.character_errors, heard.characters)

    return view


MEASURES: Mapping[str, View] = {
    "similarity": _value("similarity"),
    "quality": _value("quality"),
    "dnsmos": _value("dnsmos"),
    "tokens_per_char": lambda row: (row.tokens, row.characters),
    "no_stop_rate": _value("no_stop"),
    "silent_rate": _value("silent"),
    "log_f0_std": _value("log_f0_std"),
    "speaking_rate": _value("speaking_rate"),
    "duration_s": _value("duration_s"),
}
"""What is measured beside the judges' errors. Means over renderings, but `tokens_per_char`, a ratio of sums."""


@dataclass(frozen=True)
class SpokenSet:
    """A set after speaking.

    Attributes:
        rows: One per sentence and seed.
        CURVES: Numbers of `to_json` that are worth a curve over training steps.
    """

    CURVES: ClassVar = (
        "judge_wer",
        "judge_cer",
        "similarity",
        "quality",
        "tokens_per_char",
        "no_stop_rate",
        "silent_rate",
        "log_f0_std",
        "speaking_rate",
    )

    rows: tuple[SpokenRow, ...]

    @classmethod
    def from_lines(cls, lines: Iterable[Mapping[str, Any]]) -> Self:
        """The set whose rows were written as `lines`."""
        return cls(tuple(_row(line) for line in lines))

    @property
    def judges(self) -> tuple[str, ...]:
        """Names of the judges; the first gives `judge_wer`."""
        return tuple(self.rows[0].judges) if self.rows else ()

    def to_json(self, resamples: int = 2000, seed: int = 1) -> dict[str, Any]:
        """The set's numbers in `evaluation.json`. A number that does not exist is null.

        `judge_wer` and the four counts are those of the first judge, corpus rates as all error rates here; `judges`
        has the error rates of all. Every rate and mean `X` comes with its 95 % interval, `X_low` and `X_high`.
        `failed` counts what could not be measured, by judge or scorer; such rows are in no rate of it.
        """
        numbers: dict[str, Any] = {}
        if self.judges:
            first = self.judges[0]
            numbers |= self._rate("judge_wer", _words(first), resamples, seed)
            numbers |= self._rate("judge_cer", _characters(first), resamples, seed)
            numbers["judges"] = {
                judge: self._rate("wer", _words(judge), resamples, seed)
                | self._rate("cer", _characters(judge), resamples, seed)
                for judge in self.judges
            }
            heard = [found for row in self.rows if (found := row.judges[first])]
            for count in ("substitutions", "deletions", "insertions", "words"):
                numbers[count] = sum(getattr(found, count) for found in heard)
        for name, view in MEASURES.items():
            numbers |= self._rate(name, view, resamples, seed)
        return numbers | {
            "sentences": len({row.id for row in self.rows}),
            "utterances": len(self.rows),
            "failed": dict(Counter(name for row in self.rows for name in row.problems)),
        }

    def since(self, before: SpokenSet, resamples: int, seed: int) -> dict[str, Any] | None:
        """How the set changed, on the renderings (sentence and seed) that both have; None without any.

        Returns:
            `relative_change`, `low`, `high`, `p` of the `measure` `judge_wer`; the same of every judge in `judges`;
            `differences` (after - before) of `MEASURES`, each with `difference`, `low`, `high`, `p`; and
            `length_ratio`, speech tokens after / before, with `ratio`, `low`, `high`, `p`.
        """
        first = {(row.id, row.seed): row for row in before.rows}
        pairs = [(first[row.id, row.seed], row) for row in self.rows if (row.id, row.seed) in first]
        judges = {
            judge: asdict(change)
            for judge in self.judges
            if (change := paired(*_columns(pairs, _words(judge)), resamples, seed))
        }
        if not judges:
            return None
        differences = {
            name: asdict(moved)
            for name, view in MEASURES.items()
            if (moved := paired_difference(*_columns(pairs, view), resamples, seed))
        }
        length = paired(*_columns(pairs, _value("tokens")), resamples, seed)
        found = judges.get(self.judges[0], {}) | {"measure": "judge_wer", "judges": judges}
        return found | {"differences": differences, "length_ratio": length and _as_ratio(asdict(length))}

    def _rate(self, name: str, view: View, resamples: int, seed: int) -> dict[str, float | None]:
        known = [(row.id, parts) for row in self.rows if (parts := view(row))]
        ids = [sentence for sentence, _ in known]
        above = _by_sentence(ids, [parts[0] for _, parts in known])
        below = _by_sentence(ids, [parts[1] for _, parts in known])
        spread = interval(above, below, resamples, seed) if known else None
        value, low, high = (spread.value, spread.low, spread.high) if spread else (None, None, None)
        return {name: value, f"{name}_low": low, f"{name}_high": high}


def _columns(
    pairs: Sequence[tuple[SpokenRow, SpokenRow]], view: View
) -> tuple[list[float], list[float], list[float]]:
    """Per sentence: sums before, sums after, and what both are divided by; of the pairs that have both."""
    known = [
        (after.id, first[0], second)
        for before, after in pairs
        if (first := view(before)) is not None and (second := view(after)) is not None
    ]
    ids = [sentence for sentence, _, _ in known]
    return (
        _by_sentence(ids, [first for _, first, _ in known]),
        _by_sentence(ids, [second[0] for _, _, second in known]),
        _by_sentence(ids, [second[1] for _, _, second in known]),
    )


def _by_sentence(ids: Sequence[str], values: Sequence[float]) -> list[float]:
    """Sums of the values of each id, in the order in which ids first come."""
    sums: dict[str, float] = {}
    for sentence, value in zip(ids, values, strict=True):
        sums[sentence] = sums.get(sentence, 0.0) + value
    return list(sums.values())


def _as_ratio(change: Mapping[str, float | None]) -> dict[str, float | None]:
    """A relative change as after / before."""
    moved = {key: change[key] for key in ("relative_change", "low", "high")}
    ratio, low, high = (None if value is None else 1.0 + value for value in moved.values())
    return {"ratio": ratio, "low": low, "high": high, "p": change["p"]}


def _row(line: Mapping[str, Any]) -> SpokenRow:
    judges = {name: None if heard is None else Heard(**heard) for name, heard in line["judges"].items()}
    return SpokenRow(**{**line, "judges": judges, "token_ids": tuple(line["token_ids"])})
