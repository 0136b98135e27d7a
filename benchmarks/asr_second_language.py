"""A row of the ASR study in another language, to show that nothing is English-only.

    python data/asterisk/build.py --language it
    python -m speechrl.starter.asr --language it
    python benchmarks/asr_second_language.py

The first makes the human speech, the second a recogniser around the multilingual Whisper base, the third writes
`benchmarks/results/asr_second_language.json`: data chosen from the train split by the rules of the study, then GRPO
with the rewards of a row (`--row`, as in `asr_study.py`) and, as control, supervised training continued on the same
data, from the same start for as many steps. The work goes on where it was interrupted.

    python benchmarks/asr_second_language.py --page

prints the tables of the result.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_study import (
    MIXED,
    R1,
    ROOT,
    ROWS,
    SETS,
    START,
    Recipe,
    Study,
    claim,
    composition,
    folder_of,
    report,
    rows_of,
    train_all,
)
from asr_study_table import Column, compare, line, page
from result_file import write_result
from training_runs import run_once

if TYPE_CHECKING:
    from speechrl.evaluate.results import Row

SFT = "SFT continued"
PARTS = ("human", "long", "silence")


def _errors(row: Row) -> tuple[float, float]:
    return row.errors, row.words


def _insertions(row: Row) -> tuple[float, float]:
    return row.insertions, row.words


COLUMNS = (
    *(Column(f"WER {part}", part, _errors, relative=True) for part in PARTS[:2]),
    *(Column(f"insertions, {part}", part, _insertions, relative=True) for part in PARTS[:2]),
    *(Column(f"hallucinated, {part}", part, lambda row: (row.hallucination, 1)) for part in PARTS[:2]),
    Column("silence not empty", "silence", lambda row: (not row.empty, 1)),
)


@dataclass(frozen=True)
class OtherLanguage(Study):
    """The study on fewer held-out sets."""

    row: str

    @property
    def sets(self) -> dict[str, str]:
        """The held-out sets, those of one part being one column as in the study."""
        wanted = {name: end for name, end in SETS[self.split].items() if name.partition("-")[0] in PARTS}
        return {name: f"{self.data}/{self.split}.jsonl{end}" for name, end in wanted.items()}

    def selection(self, folder: Path) -> list[str]:
        """The command that chooses the subsets: by the rules of the study, but without judges.

        It takes two to agree, and the packages bring only one that knows other languages than English.
        """
        return [*super().selection(folder), "judges.recognisers=[]"]

    @property
    def recipes(self) -> dict[str, Recipe]:
        """What is trained: the row, and its control."""
        return {self.row: ROWS[self.row], SFT: Recipe(ROWS[self.row].data, (R1,), "sft")}


def main() -> None:
    """Choose data, train, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="build/starter_asr_it/model", help="what every run starts from")
    parser.add_argument(
        "--data", default="build/asterisk_it", help="folder of train, dev and test.jsonl in its language"
    )
    parser.add_argument("--row", choices=ROWS, default=MIXED, metavar="ROW", help=", ".join(ROWS))
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
    study = OtherLanguage(chosen.model, chosen.data, chosen.split, chosen.steps, chosen.row)
    work = chosen.work
    claim(work, study)
    run_once(study.selection(work / "data"), work / "data", result="card.json", resumable=False)
    train_all(study, study.recipes, chosen.seeds, work, chosen.workers)
    write_result(
        chosen.out,
        seeds=chosen.seeds,
        settings=asdict(study),
        **collect(study, work, chosen.seeds),
    )


def collect(study: OtherLanguage, work: Path, seeds: list[int]) -> dict[str, Any]:
    """Every run, the table, the row against its control, and what they practised on."""
    runs = {name: [rows_of(folder_of(work, name, seed)) for seed in seeds] for name in study.recipes}
    start = [rows_of(folder_of(work, START, 0))]
    pair = {column.title: compare(runs[SFT], runs[study.row], column) for column in COLUMNS}
    reports = [report(work, name, seed, study.recipes) for name in runs for seed in seeds]
    practised = composition(work / "data")[ROWS[study.row].data]
    return {
        "rows": [report(work, START, 0), *reports],
        "summary": [
            line(START, start, None, COLUMNS),
            *(line(name, system, start, COLUMNS) for name, system in runs.items()),
        ],
        "pairs": [{"row": study.row, "against": SFT, "columns": pair}],
        "data": {ROWS[study.row].data: practised},
    }


if __name__ == "__main__":
    main()
