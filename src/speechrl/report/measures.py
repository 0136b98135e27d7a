"""Numbers of `evaluation.json` for people: their names, how they are written, and what else changed beside errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Numbers = Mapping[str, Any]

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
    "judge_wer": ("word error rate by the judge", True),
    "judge_cer": ("character error rate by the judge", True),
    "similarity": ("similarity to the reference voice", False),
    "quality": ("quality, DistillMOS", False),
    "dnsmos": ("quality, DNSMOS", False),
    "tokens_per_char": ("speech tokens per character", False),
    "no_stop_rate": ("did not stop by itself", True),
    "silent_rate": ("silent", True),
    "log_f0_std": ("spread of log F0", False),
    "speaking_rate": ("characters a second of sound", False),
    "duration_s": ("seconds", False),
    "sentences": ("sentences", False),
}
"""Numbers of a set that the page names, with whether they are shares; others are shown under their key."""
UNUSUAL = ("silent_rate",)
"""Shares of a synthesiser that tables show only where they are above 0."""


@dataclass(frozen=True, slots=True)
class Beside:
    """A number of a synthesiser that must not be paid for fewer errors: how it moved, as text.

    Attributes:
        clear: Whether the test finds any difference.
    """

    name: str
    before: str
    after: str
    change: str
    interval: str
    p: str
    clear: bool


def what_else_changed(before: Numbers, after: Numbers, paired: Numbers) -> tuple[Beside, ...]:
    """Other judges, length and every measured difference of a synthesiser's set; nothing for a recogniser's."""
    rows = []
    for judge, moved in list((paired.get("judges") or {}).items())[1:]:
        first, second = (
            _number((numbers.get("judges") or {}).get(judge, {}).get("wer"), share=True)
            for numbers in (before, after)
        )
        rows.append(
            _beside(f"word error rate heard by {judge}", first, second, moved, "relative_change", signed)
        )
    length = paired.get("length_ratio")
    if length:
        rows.append(_beside("length in speech tokens, after / before", "", "", length, "ratio", _plain))
    for key, moved in (paired.get("differences") or {}).items():
        if key in UNUSUAL and not (before.get(key) or after.get(key)):
            continue
        name, share = MEASURES.get(key, (key, False))
        first, second = (_number(numbers.get(key), share) for numbers in (before, after))
        rows.append(_beside(name, first, second, moved, "difference", _points if share else _difference))
    return tuple(rows)


def details(before: Numbers, after: Numbers) -> tuple[tuple[str, str, str], ...]:
    """(name, before, after) of every number of a set but the ends of intervals."""
    before, after = _flat(before), _flat(after)
    shown = []
    for key in dict.fromkeys([*MEASURES, *before, *after]):
        first, second = before.get(key), after.get(key)
        rate, _, end = key.rpartition("_")
        is_end = end in ("low", "high") and (rate in before or rate in after)
        if key == "unit" or is_end or (first is None and second is None):
            continue
        name, share = MEASURES.get(key, (key, key.startswith("error rate")))
        shown.append((name, _number(first, share), _number(second, share)))
    return tuple(shown)


def signed(value: float | None) -> str:
    """A relative change in percent with its sign."""
    return "–" if value is None else _with_minus(f"{value + 0.0:+.1%}")


def p_value(p: float | None) -> str:
    """A p-value; below a thousandth it says just that."""
    return "–" if p is None else ("< 0.001" if p < 0.001 else f"{p:.3f}")


def span(low: float | None, high: float | None, show: Callable[[float], str]) -> str:
    """An interval, its ends written by `show`; one without an upper end goes on for ever."""
    if low is None:
        return "–"
    return f"{show(low)} and more" if high is None else f"{show(low)} to {show(high)}"


def _beside(
    name: str, first: str, second: str, moved: Numbers, key: str, show: Callable[[float], str]
) -> Beside:
    return Beside(
        name=name,
        before=first,
        after=second,
        change="–" if moved[key] is None else show(moved[key]),
        interval=span(moved["low"], moved["high"], show),
        p=p_value(moved["p"]),
        clear=moved["p"] < SIGNIFICANT,
    )


def _flat(numbers: Numbers) -> dict[str, Any]:
    """A set's numbers without nesting: those of judges, and counts of failures, under names of their own."""
    flat = {key: value for key, value in numbers.items() if not isinstance(value, dict)}
    for judge, rates in (numbers.get("judges") or {}).items():
        flat |= {
            f"error rate by word, {judge}": rates["wer"],
            f"error rate by character, {judge}": rates["cer"],
        }
    return flat | {f"not judged by {name}": count for name, count in (numbers.get("failed") or {}).items()}


def _number(value: Any, share: bool) -> str:
    if value is None:
        return "–"
    if isinstance(value, int | float):
        return f"{value:.1%}" if share else f"{value:.4g}"
    return str(value)


def _plain(value: float) -> str:
    return f"{value:.3f}"


def _difference(value: float) -> str:
    return _with_minus(f"{value + 0.0:+.3g}")


def _points(value: float) -> str:
    """A difference of shares in percentage points."""
    return _with_minus(f"{100 * value + 0.0:+.1f} pp")


def _with_minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
