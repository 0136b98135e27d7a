"""The tables of an evaluation, from the content of `evaluation.json`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from rich.table import Table

from speechrl.cli.output import console
from speechrl.report.measures import UNUSUAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Numbers = Mapping[str, Any]

SPOKEN = (
    ("similarity", "similarity", ".3f"),
    ("quality", "DistillMOS", ".2f"),
    ("dnsmos", "DNSMOS", ".2f"),
    ("tokens_per_char", "tokens per character", ".2f"),
    ("no_stop_rate", "no stop", ".1%"),
    ("silent_rate", "silent", ".1%"),
    ("log_f0_std", "log-F0 spread", ".3f"),
)
"""Numbers of a synthesiser beside the judges' errors: key, title, shape. What nobody measured is left out.

So is one of `measures.UNUSUAL` that is 0.
"""


def print_comparison(evaluation: Mapping[str, Any]) -> None:
    """Print what every set was before and after, with 95 % intervals, the change, its interval and p.

    A recogniser's set without words (silence, noise) has no error rate: it shows how often the model said something,
    and the change of its insertions. A synthesiser's set shows the judges' word error rates, and what else changed.
    """
    after: Mapping[str, Numbers] = evaluation.get("after", {})
    if not after:
        return
    before: Mapping[str, Numbers] = evaluation.get("before", {})
    paired: Mapping[str, Numbers] = evaluation.get("paired", {})
    table = Table("set", "measure", box=None, pad_edge=False, header_style="bold")
    for title in ("before", "after", "change", "p"):
        table.add_column(title, justify="right")
    for name, numbers in after.items():
        first, change = before.get(name, {}), paired.get(name)
        rows = (
            _spoken(first, numbers, change or {})
            if "judge_wer" in numbers
            else _heard(first, numbers, change)
        )
        for index, row in enumerate(rows):
            table.add_row("" if index else name, *row)
    console().print(table)


def print_sets(results: Mapping[str, Numbers]) -> None:
    """Print a row per set of one evaluation."""
    for spoken in (False, True):
        sets = {name: numbers for name, numbers in results.items() if ("judge_wer" in numbers) is spoken}
        if sets:
            _print_sets(sets, _spoken_columns(sets) if spoken else _HEARD_COLUMNS)


def _print_sets(results: Mapping[str, Numbers], columns: Mapping[str, Callable[[Numbers], str]]) -> None:
    table = Table("set", box=None, pad_edge=False, header_style="bold")
    for title in columns:
        table.add_column(title, justify="right")
    for name, numbers in results.items():
        table.add_row(name, *(show(numbers) for show in columns.values()))
    console().print(table)


def _spoken_columns(results: Mapping[str, Numbers]) -> dict[str, Callable[[Numbers], str]]:
    judges = dict.fromkeys(judge for numbers in results.values() for judge in numbers.get("judges", {}))
    columns: dict[str, Callable[[Numbers], str]] = {"utterances": lambda numbers: str(numbers["utterances"])}
    for judge in judges:
        columns[f"WER, {judge}"] = partial(_judge_rate, judge=judge)
    for key, title, shape in SPOKEN:
        if not any(_is_shown(key, numbers) for numbers in results.values()):
            continue
        columns[title] = partial(_value, key=key, shape=shape)
    return columns


def _heard(first: Numbers, numbers: Numbers, paired: Numbers | None) -> list[Sequence[str]]:
    """Rows of a recogniser's set: measure, before, after, change, p."""
    change = _change(paired), _p(paired)
    if numbers.get("words"):
        return [
            ("WER", _rate(first), _rate(numbers), *change),
            ("insertions", _count(first), _count(numbers), "", ""),
        ]
    return [
        ("says something", _share(first), _share(numbers), "", ""),
        ("insertions", _count(first), _count(numbers), *change),
    ]


def _spoken(first: Numbers, numbers: Numbers, paired: Numbers) -> list[Sequence[str]]:
    """Rows of a synthesiser's set: measure, before, after, change, p."""
    rows: list[Sequence[str]] = []
    for judge, rates in numbers.get("judges", {}).items():
        earlier, change = first.get("judges", {}).get(judge, {}), paired.get("judges", {}).get(judge)
        rows.append((f"WER, {judge}", _rate(earlier), _rate(rates), _change(change), _p(change)))
    for key, title, shape in SPOKEN:
        if not (_is_shown(key, first) or _is_shown(key, numbers)):
            continue
        moved = paired.get("differences", {}).get(key)
        before, after = (_value(which, key, shape) for which in (first, numbers))
        rows.append((title, before, after, _difference(moved, shape), _p(moved)))
    length = paired.get("length_ratio")
    if length and length["ratio"] is not None:
        ratio = f"x {length['ratio']:.3f} {_span(length, '.3f')}"
        rows.append(("length in tokens", "", "", ratio, _p(length)))
    return rows


def _is_shown(key: str, numbers: Numbers) -> bool:
    return bool(numbers.get(key)) if key in UNUSUAL else numbers.get(key) is not None


def _rate(numbers: Numbers) -> str:
    return _value(numbers, "wer", ".1%")


def _judge_rate(numbers: Numbers, judge: str) -> str:
    return _rate(numbers["judges"].get(judge, {}))


def _value(numbers: Numbers, key: str, shape: str) -> str:
    """A number with its interval, where it has one."""
    if numbers.get(key) is None:
        return "-"
    low, high = numbers.get(f"{key}_low"), numbers.get(f"{key}_high")
    interval = "" if low is None or high is None else f" [{low:{shape}}, {high:{shape}}]"
    return f"{numbers[key]:{shape}}{interval}"


def _count(numbers: Numbers, key: str = "insertions") -> str:
    return str(numbers.get(key, "-"))


def _share(numbers: Numbers, key: str = "non_empty_rate") -> str:
    share = numbers.get(key)
    return "-" if share is None else f"{share:.1%}"


def _change(paired: Numbers | None) -> str:
    if not paired or paired.get("relative_change") is None:
        return "-"
    return f"{paired['relative_change']:+.1%} {_span(paired, '+.1%')}"


def _span(found: Numbers, shape: str) -> str:
    """An interval; one without an upper end goes on for ever."""
    high = "infinite" if found["high"] is None else format(found["high"], shape)
    return f"[{found['low']:{shape}}, {high}]"


def _difference(moved: Numbers | None, shape: str) -> str:
    if not moved:
        return "-"
    return f"{moved['difference']:+{shape}} [{moved['low']:+{shape}}, {moved['high']:+{shape}}]"


def _p(paired: Numbers | None) -> str:
    return "-" if not paired or paired.get("p") is None else f"{paired['p']:.4f}"


_HEARD_COLUMNS: dict[str, Callable[[Numbers], str]] = {
    "utterances": lambda numbers: _count(numbers, "utterances"),
    "WER": _rate,
    "sub": lambda numbers: _count(numbers, "substitutions"),
    "del": lambda numbers: _count(numbers, "deletions"),
    "ins": lambda numbers: _count(numbers, "insertions"),
    "hallucinated": lambda numbers: _share(numbers, "hallucination_rate"),
    "loops": lambda numbers: _share(numbers, "loop_rate"),
    "says something": lambda numbers: _share(numbers, "non_empty_rate"),
    "keyword F1": lambda numbers: _share(numbers, "keyword_f1"),
}
