"""Rows of the ASR study in another language, to show that nothing is English-only.

    python data/asterisk/build.py --language it
    python -m speechrl.starter.asr --language it
    python benchmarks/asr_second_language.py

The first makes the human speech, the second a recogniser around the multilingual Whisper base, the third writes
`benchmarks/results/asr_second_language.json`: data chosen from the train split by the rules of the study, then GRPO
by rows of it (`--rows`, as in `asr_study.py`) and, as control, supervised training continued on the data of the first
one, from the same start for as many steps. The first row is compared with all others. The work goes on where it was
interrupted, and the result holds every run that is finished.

    python benchmarks/asr_second_language.py --page

prints the tables of the result.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from asr_study import (
    R1,
    ROOT,
    ROWS,
    SETS,
    UNSUPPORTED,
    Recipe,
    Study,
    choose_data,
    composition,
    keep_contexts,
    train_and_write,
)
from asr_study_folder import START, finished, folder_of, report, rows_of
from asr_study_table import COLUMNS, compare, line, page

SFT = "SFT continued"
BEST = ("regular", "D0", "cool long, R1+unsupported")
"""The best row in English of those that need no judges, random data for the same rewards, and the best on long audio.

What is hard but within reach cannot be told without judges: of that subset only speech that repeats itself is left.
"""


@dataclass(frozen=True)
class OtherLanguage(Study):
    """The study, of a few rows; the first is the one that the others are compared with."""

    row_names: tuple[str, ...]

    def selection(self, folder: Path) -> list[str]:
        """The command that chooses the subsets: by the rules of the study, but without judges.

        It takes two to agree, and the packages bring only one that knows other languages than English.
        """
        return [*super().selection(folder), "judges.recognisers=[]"]

    @property
    def recipes(self) -> dict[str, Recipe]:
        """What is trained: the rows, and supervised training on the data of the first."""
        rows = {name: ROWS[name] for name in self.row_names}
        heard = {
            name: replace(row, terms=tuple(self._own_listener(term) for term in row.terms))
            for name, row in rows.items()
        }
        return {**heard, SFT: Recipe(rows[self.row_names[0]].data, (R1,), "sft")}

    def _own_listener(self, term: dict[str, Any]) -> dict[str, Any]:
        """A term, heard by the start where it needs a listener: the one that ships hears English."""
        if term["name"] != UNSUPPORTED["name"]:
            return term
        return {**term, "options": {**term.get("options", {}), "model": self.start}}


def main() -> None:
    """Choose data, train, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="build/starter_asr_it/model", help="what every run starts from")
    parser.add_argument(
        "--data", default="build/asterisk_it", help="folder of train, dev and test.jsonl in its language"
    )
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=list(BEST), metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--split", choices=SETS, default="test", help="held-out split")
    parser.add_argument("--work", type=Path, default=Path("runs/asr_second_language"), help="run directories")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "results" / "asr_second_language.json"
    )
    parser.add_argument("--workers", type=int, default=2, help="runs at once, one thread each")
    parser.add_argument(
        "--page", action="store_true", help="only print the tables of the result that is there"
    )
    chosen = parser.parse_args()
    if chosen.page:
        print(page(json.loads(chosen.out.read_text())))
        return
    study = OtherLanguage(chosen.model, chosen.data, chosen.split, chosen.steps, tuple(chosen.rows))
    choose_data(study, study.recipes, chosen.work)
    keep_contexts(study, chosen.work)
    train_and_write(study, study.recipes, chosen, lambda: collect(study, chosen.work, chosen.seeds))


def collect(study: OtherLanguage, work: Path, seeds: list[int]) -> dict[str, Any]:
    """Every finished run, the table, the first row against the others, and what they practised on."""
    done = finished(work, study.recipes, seeds)
    runs = {name: [rows_of(folder_of(work, name, seed)) for seed in found] for name, found in done.items()}
    start = runs.pop(START, None)
    first = study.row_names[0]
    pairs = [
        {
            "row": first,
            "against": other,
            "columns": {column.title: compare(runs[other], runs[first], column) for column in COLUMNS},
        }
        for other in runs
        if first in runs and other != first
    ]
    made_of = composition(work / "data")
    return {
        "rows": [report(work, name, seed, study.recipes) for name, found in done.items() for seed in found],
        "summary": [
            *([line(START, start, None)] if start else []),
            *(line(name, system, start) for name, system in runs.items()),
        ],
        "pairs": pairs,
        "data": {name: made_of[name] for name in ("pool", *(one.data for one in study.recipes.values()))},
    }


if __name__ == "__main__":
    main()
