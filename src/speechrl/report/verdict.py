"""What the evaluation says, in plain words: one verdict per set from the numbers of `evaluation.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from speechrl.report.measures import SIGNIFICANT, Beside, details, p_value, signed, span, what_else_changed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechrl.report.measures import Numbers

Judgement = Literal["better", "worse", "unclear", "same", "unpaired"]


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
        measure: What `before` and `after` are rates of; `short` is the same without the judge's name.
        change: Relative change, as text; `interval` and `p` likewise.
        sentence: The verdict in words.
        details: (name, before, after) of every number of the set.
        beside: What else changed; empty for a recogniser.
    """

    name: str
    judgement: Judgement
    measure: str
    short: str
    utterances: int
    before: Point | None
    after: Point | None
    change: str
    interval: str
    p: str
    sentence: str
    details: tuple[tuple[str, str, str], ...]
    beside: tuple[Beside, ...] = ()


def verdicts(evaluation: Numbers) -> list[Verdict]:
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
    key, measure, noun = _measure(present)
    change, low, high = ((paired or {}).get(part) for part in ("relative_change", "low", "high"))
    p = (paired or {}).get("p")
    judgement = _judge(change, p)
    return Verdict(
        name=name,
        judgement=judgement,
        measure=measure,
        short=measure.partition(" heard by ")[0],
        utterances=int(present.get("utterances", 0)),
        before=_point(before, key, whole),
        after=_point(after, key, whole),
        change=signed(change),
        interval=span(low, high, signed),
        p=p_value(p),
        sentence=_sentence(judgement, change, noun),
        details=details(before or {}, after or {}),
        beside=what_else_changed(before or {}, after or {}, paired or {}),
    )


def _measure(numbers: Numbers) -> tuple[str, str, str]:
    """The number that a set is judged by: its key, its name, and what fewer of is better."""
    if "judge_wer" in numbers:
        judge = next(iter(numbers.get("judges") or {}), "a judge")
        return "judge_wer", f"word error rate heard by {judge}", "errors"
    if numbers.get("wer") is not None or numbers.get("words"):
        unit = {"character": "character error rate", "mixed": "error rate"}
        return "wer", unit.get(numbers.get("unit", ""), "word error rate"), "errors"
    return "non_empty_rate", "answers with text", "words out of nothing"


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
    rates = [numbers.get(key) for key in ("wer", "wer_high", "judge_wer", "judge_wer_high")]
    if all(rate is None for rate in rates):
        rates = [numbers.get("non_empty_rate")]
    return max((rate for rate in rates if rate is not None), default=0.0)
