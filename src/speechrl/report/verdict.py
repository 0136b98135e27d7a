"""What the evaluation says, in plain words: one verdict per set from the numbers of `evaluation.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Numbers = Mapping[str, Any]

Judgement = Literal["better", "worse", "unclear", "same", "unpaired"]

SIGNIFICANT = 0.05
MEASURES = {
    "wer": ("error rate", True),
    "mean_utterance_wer": ("error rate, mean over utterances", True),
    "substitutions": ("substitutions", False),
    "deletions": ("deletions", False),
    "insertions": ("insertions", False),
    "insertion_rate": ("insertions per reference word", True),
    "hallucination_rate": ("utterances with a hallucination", True),
    "loop_rate": ("utterances with a loop", True),
    "wrong_language_rate": ("utterances in another language", True),
    "non_empty_rate": ("utterances with any text", True),
    "length_cut_rate": ("cut at the token limit", True),
    "keyword_precision": ("keyword precision", True),
    "keyword_recall": ("keyword recall", True),
    "keyword_f1": ("keyword F1", True),
    "words": ("reference words", False),
    "utterances": ("utterances", False),
}
"""Numbers of a set that the page names, with whether they are shares; others are shown under their key."""


@dataclass(frozen=True, slots=True)
class Point:
    """A rate with its interval, placed on the set's scale: positions are in percent of the scale's width."""

    text: str
    at: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A row of the verdict table.

    Attributes:
        judgement: Which way it went, as far as the test can tell.
        measure: What `before` and `after` are rates of.
        change: Relative change, as text; `interval` and `p` likewise.
        sentence: The verdict in words.
        details: (name, before, after) of every number of the set.
    """

    name: str
    judgement: Judgement
    measure: str
    utterances: int
    before: Point | None
    after: Point | None
    change: str
    interval: str
    p: str
    sentence: str
    details: tuple[tuple[str, str, str], ...]


def verdicts(evaluation: Mapping[str, Any]) -> list[Verdict]:
    """One verdict per set, in the order of `evaluation.json`."""
    before, after, paired = (evaluation.get(key) or {} for key in ("before", "after", "paired"))
    names = list(dict.fromkeys([*after, *before]))
    whole = (
        max([_top(numbers) for moment in (before, after) for numbers in moment.values()], default=1.0) or 1.0
    )
    return [_verdict(name, before.get(name), after.get(name), paired.get(name), whole) for name in names]


def headline(found: Sequence[Verdict]) -> str:
    """One sentence on the first set; empty without any."""
    if not found:
        return ""
    first = found[0]
    sentence = f"{first.sentence} on {first.name}"
    if first.before and first.after:
        sentence += f", from {first.before.text} to {first.after.text} {first.measure}"
    return sentence + "."


def _verdict(
    name: str, before: Numbers | None, after: Numbers | None, paired: Numbers | None, whole: float
) -> Verdict:
    present = after or before or {}
    spoken = present.get("wer") is not None or bool(present.get("words"))
    key = "wer" if spoken else "non_empty_rate"
    unit = {"character": "character error rate", "mixed": "error rate"}.get(
        present.get("unit", ""), "word error rate"
    )
    change, low, high = ((paired or {}).get(part) for part in ("relative_change", "low", "high"))
    p = (paired or {}).get("p")
    judgement = _judge(change, p)
    noun = "errors" if spoken else "words out of nothing"
    return Verdict(
        name=name,
        judgement=judgement,
        measure=unit if spoken else "answers with text",
        utterances=int(present.get("utterances", 0)),
        before=_point(before, key, whole),
        after=_point(after, key, whole),
        change=_signed(change),
        interval="–" if low is None or high is None else f"{_signed(low)} to {_signed(high)}",
        p="–" if p is None else ("< 0.001" if p < 0.001 else f"{p:.3f}"),
        sentence=_sentence(judgement, change, noun),
        details=_details(before or {}, after or {}),
    )


def _judge(change: float | None, p: float | None) -> Judgement:
    if p is None:
        return "unpaired"
    if change == 0 and p == 1:
        return "same"
    if p >= SIGNIFICANT:
        return "unclear"
    return "better" if change is not None and change < 0 else "worse"


def _sentence(judgement: Judgement, change: float | None, noun: str) -> str:
    amount = "" if change is None else f"{abs(change):.0%} "
    match judgement:
        case "better":
            return f"Better: {amount}fewer {noun}"
        case "worse":
            return f"Worse: {amount}more {noun}"
        case "unclear":
            return f"No clear change in {noun}"
        case "same":
            return f"No change in {noun}"
        case "unpaired":
            return "Not compared"


def _point(numbers: Numbers | None, key: str, whole: float) -> Point | None:
    if not numbers or numbers.get(key) is None:
        return None
    value = numbers[key]
    low, high = numbers.get(f"{key}_low"), numbers.get(f"{key}_high")
    ends = [100 * min(1.0, (value if end is None else end) / whole) for end in (low, high)]
    return Point(f"{value:.1%}", 100 * value / whole, *ends)


def _top(numbers: Numbers) -> float:
    rates = [numbers.get(key) for key in ("wer", "wer_high")]
    if all(rate is None for rate in rates):
        rates = [numbers.get("non_empty_rate")]
    return max((rate for rate in rates if rate is not None), default=0.0)


def _details(before: Numbers, after: Numbers) -> tuple[tuple[str, str, str], ...]:
    keys = dict.fromkeys([*MEASURES, *before, *after])
    shown = []
    for key in keys:
        first, second = before.get(key), after.get(key)
        if key in ("wer_low", "wer_high", "unit") or (first is None and second is None):
            continue
        name, share = MEASURES.get(key, (key, False))
        shown.append((name, _number(first, share), _number(second, share)))
    return tuple(shown)


def _number(value: Any, share: bool) -> str:
    if value is None:
        return "–"
    if isinstance(value, int | float):
        return f"{value:.1%}" if share else f"{value:.4g}"
    return str(value)


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value + 0.0:+.1%}".replace("-", "\N{MINUS SIGN}")
