"""What `asr_study.py` reports of a system: its columns, how systems compare, and the tables of its page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from result_file import markdown_table

from speechrl.evaluate.bootstrap import interval, paired, paired_ratios

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from speechrl.evaluate.results import Row

    System = Sequence[Mapping[str, Sequence[Row]]]
    """Rows by set of each of its runs; a run a training seed."""

RESAMPLES = 5000


@dataclass(frozen=True, slots=True)
class Column:
    """A number of a system: a ratio of sums over the utterances of one set.

    Attributes:
        title: Of the column.
        part: The set.
        count: What an utterance adds to numerator and denominator.
        relative: Also compared as a relative change; for that the denominator must be the reference's.
    """

    title: str
    part: str
    count: Callable[[Row], tuple[float, float]]
    relative: bool = False


def _errors(row: Row) -> tuple[float, float]:
    return row.errors, row.words


def _insertions(row: Row) -> tuple[float, float]:
    return row.insertions, row.words


def _keywords(row: Row) -> tuple[float, float]:
    twice = 2 * row.keyword_hits
    return twice, twice + row.keyword_misses + row.keyword_false_alarms


COLUMNS = (
    Column("WER human", "human", _errors, relative=True),
    Column("WER long", "long", _errors, relative=True),
    Column("WER noise", "noise", _errors, relative=True),
    Column("WER telephone", "telephone", _errors, relative=True),
    Column("keyword F1", "human", _keywords),
    Column("insertions, long", "long", _insertions, relative=True),
    Column("hallucinated, long", "long", lambda row: (row.hallucination, 1)),
    Column("silence not empty", "silence", lambda row: (not row.empty, 1)),
)


def values(system: System, column: Column) -> list[float]:
    """The column of each run of a system."""
    counts = [np.sum([column.count(row) for row in run[column.part]], axis=0) for run in system]
    return [float(top / bottom) for top, bottom in counts]


def spread(found: Sequence[float]) -> dict[str, float]:
    """Mean over runs and their sample standard deviation, 0 for one run."""
    return {"mean": float(np.mean(found)), "sd": float(np.std(found, ddof=1)) if len(found) > 1 else 0.0}


def interval_of(system: System, column: Column) -> dict[str, float]:
    """The 95 % interval of a bootstrap over utterances, whose runs are averaged as in `compare`."""
    found = interval(*_by_utterance(system, column), RESAMPLES)
    assert found is not None, column
    return {"low": found.low, "high": found.high}


def compare(ours: System, theirs: System, column: Column) -> dict[str, Any]:
    """How `theirs` differs from `ours`, with 95 % intervals of a paired bootstrap over utterances.

    Runs of a system are averaged utterance by utterance, so the interval does not tell how much training seeds differ;
    the spread of the table does.
    """
    (before, words), (after, later_words) = _by_utterance(ours, column), _by_utterance(theirs, column)
    change = paired_ratios((before, words), (after, later_words), RESAMPLES)
    assert change is not None, column
    found: dict[str, Any] = asdict(change)
    if column.relative:
        relative = paired(before, after, words, RESAMPLES)
        assert relative is not None, column
        found["relative"] = {
            "change": relative.relative_change,
            "low": relative.low,
            "high": relative.high,
            "p": relative.p,
        }
    return found


def line(name: str, system: System, start: System | None) -> dict[str, Any]:
    """A line of the table: every column with its interval, and how it differs from the start."""
    found: dict[str, Any] = {}
    for column in COLUMNS:
        found[column.title] = spread(values(system, column)) | {"interval": interval_of(system, column)}
        if start is not None:
            found[column.title]["against_start"] = compare(start, system, column)
    return {"row": name, "runs": len(system), "columns": found}


def page(content: Mapping[str, Any]) -> str:
    """The tables of a result in Markdown: numbers, their intervals, pairs of rows, and what each row practised on."""
    lines = content["summary"]
    titles = list(lines[0]["columns"])
    trained = [one for one in lines if "against_start" in one["columns"][titles[0]]]
    tables = [
        markdown_table(["%", *titles], [[one["row"], *_numbers(one, titles)] for one in lines]),
        markdown_table(
            ["95 % interval", *titles], [[one["row"], *_intervals(one["columns"], titles)] for one in lines]
        ),
        markdown_table(
            ["points against the start", *titles],
            [[one["row"], *_differences(one["columns"], titles)] for one in trained],
        ),
        markdown_table(
            ["points between rows", *titles],
            [
                [f"{one['row']} against {one['against']}", *_changes(one["columns"], titles)]
                for one in content["pairs"]
            ],
        ),
        markdown_table(
            ["subset", "utterances", "minutes", "keywords", "WER of the start", "with spread", "made of"],
            [_subset(name, one) for name, one in content["data"].items()],
        ),
    ]
    return "\n\n".join(tables)


def _by_utterance(system: System, column: Column) -> tuple[list[float], list[float]]:
    """Numerators and denominators of the utterances, means over runs."""
    ids = [[row.id for row in run[column.part]] for run in system]
    assert all(one == ids[0] for one in ids), "runs that were evaluated on other utterances"
    counts_RU2 = np.array([[column.count(row) for row in run[column.part]] for run in system], np.float64)
    top_U, bottom_U = counts_RU2.mean(axis=0).T
    return top_U.tolist(), bottom_U.tolist()


def _numbers(one: Mapping[str, Any], titles: Sequence[str]) -> list[str]:
    """Mean and deviation in per cent; bold where the interval of the difference from the start is off zero."""
    cells = []
    for title in titles:
        found = one["columns"][title]
        text = f"{found['mean']:.1%}".rstrip("%")
        if one["runs"] > 1:
            text += f" ± {100 * found['sd']:.1f}"
        against = found.get("against_start")
        cells.append(f"**{text}**" if against and against["low"] * against["high"] > 0 else text)
    return cells


def _intervals(columns: Mapping[str, Any], titles: Sequence[str]) -> list[str]:
    ends = [columns[title]["interval"] for title in titles]
    return [f"{100 * end['low']:.1f} to {100 * end['high']:.1f}" for end in ends]


def _differences(columns: Mapping[str, Any], titles: Sequence[str]) -> list[str]:
    return _changes({title: columns[title]["against_start"] for title in titles}, titles)


def _changes(columns: Mapping[str, Any], titles: Sequence[str]) -> list[str]:
    """Differences in points with their intervals; of insertions the relative change in per cent."""
    cells = []
    for title in titles:
        found, unit = columns[title], ""
        keys = ("difference", "low", "high")
        if title.startswith("insertions") and found["relative"]["change"] is not None:
            found, keys, unit = found["relative"], ("change", "low", "high"), " %"
        value, low, high = (100 * found[key] for key in keys)
        cells.append(f"{value:+.1f}{unit} [{low:.1f}, {high:.1f}]")
    return cells


def _subset(name: str, one: Mapping[str, Any]) -> list[str]:
    made = ", ".join(f"{kind} {count}" for kind, count in one["made_of"].items())
    wer = "" if one["wer"] is None else f"{one['wer']:.1%}"
    counts = (str(one["utterances"]), f"{one['minutes']:.1f}", str(one["keywords"]))
    share = "" if one["spread_share"] is None else f"{one['spread_share']:.0%}"
    return [name, *counts, wer, share, made]
