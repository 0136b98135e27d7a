"""The table before / after, from the content of `evaluation.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from speechrl.cli.output import console

if TYPE_CHECKING:
    from collections.abc import Mapping

    Numbers = Mapping[str, Any]


def print_comparison(evaluation: Mapping[str, Any]) -> None:
    """Print a row per set: word error rate before and after with its 95 % interval, the change, its interval and p.

    A set without words (silence, noise) has no error rate: it shows how often the model said something, and the change
    of its insertions.
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
        first = before.get(name, {})
        if numbers.get("words"):
            table.add_row(
                name, "WER", _rate(first), _rate(numbers), _change(paired.get(name)), _p(paired.get(name))
            )
            table.add_row("", "insertions", _count(first), _count(numbers), "", "")
        else:
            table.add_row(name, "says something", _share(first), _share(numbers), "", "")
            change = _change(paired.get(name)), _p(paired.get(name))
            table.add_row("", "insertions", _count(first), _count(numbers), *change)
    console().print(table)


def print_sets(results: Mapping[str, Numbers]) -> None:
    """Print a row per set of one evaluation."""
    table = Table("set", box=None, pad_edge=False, header_style="bold")
    titles = (
        "utterances",
        "WER",
        "sub",
        "del",
        "ins",
        "hallucinated",
        "loops",
        "says something",
        "keyword F1",
    )
    for title in titles:
        table.add_column(title, justify="right")
    for name, numbers in results.items():
        counts = (str(numbers[key]) for key in ("substitutions", "deletions", "insertions"))
        shares = (
            _share(numbers, key)
            for key in ("hallucination_rate", "loop_rate", "non_empty_rate", "keyword_f1")
        )
        table.add_row(name, str(numbers["utterances"]), _rate(numbers), *counts, *shares)
    console().print(table)


def _rate(numbers: Numbers) -> str:
    if numbers.get("wer") is None:
        return "-"
    low, high = numbers.get("wer_low"), numbers.get("wer_high")
    interval = "" if low is None or high is None else f" [{low:.1%}, {high:.1%}]"
    return f"{numbers['wer']:.1%}{interval}"


def _count(numbers: Numbers) -> str:
    return str(numbers.get("insertions", "-"))


def _share(numbers: Numbers, key: str = "non_empty_rate") -> str:
    share = numbers.get(key)
    return "-" if share is None else f"{share:.1%}"


def _change(paired: Numbers | None) -> str:
    if not paired or paired.get("relative_change") is None:
        return "-"
    return f"{paired['relative_change']:+.1%} [{paired['low']:+.1%}, {paired['high']:+.1%}]"


def _p(paired: Numbers | None) -> str:
    return "-" if not paired or paired.get("p") is None else f"{paired['p']:.4f}"
