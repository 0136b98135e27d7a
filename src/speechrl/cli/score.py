"""`speechrl score`: the rewards on any recogniser's output."""

from __future__ import annotations

import json as json_format
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from speechrl.cli.output import console, count, print_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    Rows = Sequence[dict[str, Any]]

WORST = 10
"""Rows that are shown to people; `--json` prints all."""


def score_command(
    file: Annotated[
        Path,
        typer.Argument(
            help='JSONL with rows {"id", "reference", "hypothesis", "language"?, "keywords"?, "audio"?}'
        ),
    ],
    config: Annotated[
        str | None,
        typer.Option(
            help="Judge with the rewards of this configuration; by default with every one at weight 1"
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object a row, all rows in order.")
    ] = False,
) -> None:
    """Judge what a recogniser wrote; needs no model and no audio."""
    from speechrl.config.load import load_config
    from speechrl.rewards.score_file import score_file

    rows = score_file(file, load_config(config).rewards if config else None)
    if json:
        for row in rows:
            print_plain(json_format.dumps(row, ensure_ascii=False, allow_nan=False))
        return
    _print_worst(rows)
    _print_summary(rows)


def _print_worst(rows: Rows) -> None:
    judged = sorted((row for row in rows if row["status"] == "ok"), key=lambda row: float(row["total"]))[
        :WORST
    ]
    if not judged:
        return
    table = Table("lowest totals", box=None, pad_edge=False, header_style="bold")
    for title in ("total", *judged[0]["terms"], "sub", "del", "ins", "words"):
        table.add_column(title, justify="right")
    table.add_column("flags")
    for row in judged:
        values = (f"{value:.2f}" for value in (row["total"], *row["terms"].values()))
        flags = ", ".join(name for name, raised in row["flags"].items() if raised)
        table.add_row(escape(str(row["id"])), *values, *map(str, row["counts"].values()), flags)
    console().print(table)


def _print_summary(rows: Rows) -> None:
    judged = [row for row in rows if row["status"] == "ok"]
    reasons = Counter(row["reason"] for row in rows if row["status"] != "ok")
    print_plain(f"\n{count(len(rows), 'row')}, {len(rows) - len(judged)} without a score")
    for reason, times in reasons.most_common():
        print_plain(f"  {times} x {reason}")
    if not judged:
        return
    counts = {name: sum(row["counts"][name] for row in judged) for name in judged[0]["counts"]}
    errors = counts["substitutions"] + counts["deletions"] + counts["insertions"]
    rate = f"{errors / counts['words']:.2%}" if counts["words"] else "does not exist (no reference words)"
    print_plain(f"error rate {rate}: " + ", ".join(f"{number} {name}" for name, number in counts.items()))
    for name in judged[0]["terms"]:
        print_plain(f"{name} {fmean(row['terms'][name] for row in judged):.3f} on average")
    for name in judged[0]["flags"]:
        print_plain(f"{name} in {count(sum(row['flags'][name] for row in judged), 'row')}")
