"""Which data, which reward: the ASR study of arXiv 2509.18569, section 3, with the starter recogniser.

    python benchmarks/asr_study.py

writes `benchmarks/results/asr_study.json`. First `speechrl data select` chooses subsets of one size from one pool: the
human train split as it is, joined to long audio, in noise, and clips in which nobody speaks (`asr_study_data.yaml` has
the rules). Then every row trains from the same start for as many steps: the data rows with the rewards R1 (1 - WER) and
R2 (hallucination), the reward rows on the mixed set. Every run is one `speechrl train` whose folder is kept under
`--work`, so the study goes on where it was interrupted, and the result holds every run that is finished.

    python benchmarks/asr_study.py --page

prints the tables of the result. Rules, sets and steps are not to be chosen on test: `--split dev --work ... --out ...`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asr_study_table import COLUMNS, compare, line, page
from result_file import write_result
from training_runs import run_once, train_command

from speechrl.evaluate.results import Row, read_evaluation
from speechrl.report.writers import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "benchmarks" / "asr_study.yaml"
RULES = ROOT / "benchmarks" / "asr_study_data.yaml"
POOL = ("", "#long@11", "#long@12", "#long@13", "#long@14", "#noise@11", "#silence@11")
"""What is made of the train split to choose from; no seed of a held-out set."""
_DISTURBED = {name: f"#{name}" for name in ("noise", "telephone", "silence")}
SETS = {
    "test": {"human": "", "long": "#long", **_DISTURBED},
    # Nine long items would be too few: the same recordings are joined several times.
    "dev": {"human": "", **{f"long-{seed}": f"#long@{seed}" for seed in (21, 22, 23, 24)}, **_DISTURBED},
}
"""Held-out sets of a split; those that differ by what follows `-` are one column."""
R1 = {"name": "accuracy"}
# Two inserted words in a row are a finding: runs of four, the default, are rare in short answers.
R2 = {"name": "hallucination", "options": {"min_run": 2}}
R3 = {"name": "keywords", "weight": 0.5}
R4 = {"name": "language"}
# In the place of R2, without the reference: what the CTC head of the frozen starter does not hear.
UNSUPPORTED = {"name": "unsupported", "timeout_s": 600.0}


@dataclass(frozen=True)
class Recipe:
    """A row: on which subset, for which rewards, by which algorithm."""

    data: str
    terms: tuple[dict[str, Any], ...]
    algorithm: str = "grpo"


MIXED, START, SFT = "mixed, R1+R2", "start", "mixed, SFT continued"
ROWS = {
    "D0": Recipe("random", (R1, R2)),
    "D1": Recipe("hard", (R1, R2)),
    "D2 long": Recipe("long", (R1, R2)),
    "D2 short": Recipe("short", (R1, R2)),
    "D3": Recipe("keywords", (R1, R2)),
    MIXED: Recipe("mixed", (R1, R2)),
    "mixed, R1": Recipe("mixed", (R1,)),
    "mixed, R1+R2+R3": Recipe("mixed", (R1, R2, R3)),
    "mixed, R1+R2+R4": Recipe("mixed", (R1, R2, R4)),
    SFT: Recipe("mixed", (R1,), "sft"),
    "mixed, R1+unsupported": Recipe("mixed", (R1, UNSUPPORTED)),
    # The paper's claim about keywords is of data and reward together.
    "D3, R1+R2+R3": Recipe("keywords", (R1, R2, R3)),
}
PAIRS = (
    *((row, "D0") for row in ("D1", "D2 long", "D2 short", "D3", MIXED)),
    *((row, "mixed, R1") for row in (MIXED, "mixed, R1+R2+R3", "mixed, R1+R2+R4", "mixed, R1+unsupported")),
    ("mixed, R1+unsupported", MIXED),
    ("D3, R1+R2+R3", "D3"),
    (MIXED, SFT),
)
"""Rows that are compared with another than the start."""
RATES = {"grpo": 1e-4, "sft": 5e-5}
"""Learning rates, chosen on dev for asr_grpo.py."""


@dataclass(frozen=True)
class Study:
    """What all rows have in common: which model, speech, steps and held-out split."""

    start: str
    data: str
    split: str
    steps: int

    @property
    def sets(self) -> dict[str, str]:
        """The held-out sets."""
        return {name: f"{self.data}/{self.split}.jsonl{ending}" for name, ending in SETS[self.split].items()}

    def selection(self, folder: Path) -> list[str]:
        """The command that chooses the subsets."""
        first, *others = (f"{self.data}/train.jsonl{ending}" for ending in POOL)
        never = [f"{self.data}/{split}.jsonl" for split in SETS]
        also = [part for name in others for part in ("--also", name)]
        also += [part for name in never for part in ("--never", name)]
        command = [sys.executable, "-m", "speechrl.cli", "data", "select", self.start, first, *also]
        return [*command, "--config", str(RULES), "--out", str(folder)]

    def training(self, recipe: Recipe, seed: int, work: Path, folder: Path) -> list[str]:
        """The command of a run."""
        settings: dict[str, Any] = {
            "seed": seed,
            "data.train": str(work / "data" / "subsets" / f"{recipe.data}.jsonl"),
            "rewards.terms": recipe.terms,
            "train.steps": self.steps,
            "train.learning_rate": RATES[recipe.algorithm],
        }
        if recipe.algorithm == "sft":
            settings |= {"algorithm.name": "sft", "algorithm.loss_mean": "token"}
        return self._train(folder, settings)

    def evaluation(self, folder: Path) -> list[str]:
        """The command that evaluates the start: a run whose one step is too small to change anything."""
        settings = {
            "data.train": f"{self.data}/train.jsonl",
            "train.steps": 1,
            "train.learning_rate": 1e-12,
        }
        return self._train(folder, settings)

    def _train(self, folder: Path, settings: dict[str, Any]) -> list[str]:
        settings |= {"output": str(folder), "model.path": self.start, "evaluation.sets": self.sets}
        return train_command(CONFIG, settings)


def main() -> None:
    """Choose data, train, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, default=Path("runs/asr_study"), help="run directories of one study"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "asr_study.json")
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=list(ROWS), metavar="ROW", help=", ".join(ROWS)
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--split", choices=SETS, default="test", help="held-out split")
    parser.add_argument("--start", default="package:starter/asr", help="the model that every row starts from")
    parser.add_argument(
        "--data", default="package:data/asterisk_en", help="folder of train, dev and test.jsonl"
    )
    parser.add_argument("--workers", type=int, default=2, help="runs at once, one thread each")
    parser.add_argument(
        "--page", action="store_true", help="only print the tables of the result that is there"
    )
    chosen = parser.parse_args()
    if chosen.page:
        print(page(json.loads(chosen.out.read_text())))
        return
    study = Study(chosen.start, chosen.data, chosen.split, chosen.steps)
    work = chosen.work
    claim(work, study)
    card = work / "data" / "card.json"
    run_once(study.selection(work / "data"), work / "data", result="card.json", resumable=False)
    check_sizes(json.loads(card.read_text())["subsets"])
    train_all(study, {row: ROWS[row] for row in chosen.rows}, chosen.seeds, work, chosen.workers)
    write_result(
        chosen.out,
        seeds=chosen.seeds,
        settings=asdict(study),
        data=composition(work / "data"),
        **collect(work, chosen.seeds),
    )


def train_all(study: Study, recipes: dict[str, Recipe], seeds: list[int], work: Path, workers: int) -> None:
    """Evaluate the start, and train every recipe with every seed, so many at once."""
    start = folder_of(work, START, 0)
    jobs = [(study.evaluation(start), start)]
    for seed in seeds:
        for name, recipe in recipes.items():
            folder = folder_of(work, name, seed)
            jobs.append((study.training(recipe, seed, work, folder), folder))
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda job: run_once(*job), jobs))


def claim(work: Path, study: Study) -> None:
    """Note whose runs a folder holds; runs of another study would be taken for ours."""
    note = work / "study.json"
    if note.is_file() and json.loads(note.read_text()) != asdict(study):
        sys.exit(f"{work} holds runs of another study, {note.read_text().strip()}; give another --work")
    work.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(asdict(study)) + "\n")


def folder_of(work: Path, row: str, seed: int) -> Path:
    """The run directory of a row."""
    return work / "rows" / f"{row.replace(',', '').replace(' ', '_')}-{seed}"


def check_sizes(subsets: Mapping[str, Mapping[str, Any]]) -> None:
    """See that all subsets that rows practise on have one size: equal steps are then equal data."""
    sizes = {recipe.data: subsets[recipe.data]["utterances"] for recipe in ROWS.values()}
    if len(set(sizes.values())) > 1 or not all(sizes.values()):
        sys.exit(f"the subsets differ in size: {sizes}; enlarge POOL, or lower the sizes in {RULES.name}")


def composition(folder: Path) -> dict[str, Any]:
    """What each subset is made of, and what the start makes of it."""
    card = json.loads((folder / "card.json").read_text())
    utterances = list(read_rows(folder / "utterances.jsonl"))
    found = {
        "pool": card["kept"] | _made_of(one for one in utterances if one["dropped"] is None),
    }
    for name in dict.fromkeys(recipe.data for recipe in ROWS.values()):
        found[name] = card["subsets"][name] | _made_of(one for one in utterances if name in one["subsets"])
    return found


def _made_of(utterances: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """How many utterances are of which kind, and of which verdict."""
    kinds, verdicts = Counter[str](), Counter[str]()
    for one in utterances:
        kinds[one["source"].partition("#")[2].partition("@")[0] or "as it is"] += 1
        verdicts[one["verdict"]] += 1
    return {"made_of": dict(kinds.most_common()), "verdicts": dict(verdicts.most_common())}


def collect(work: Path, seeds: list[int]) -> dict[str, Any]:
    """Every finished run, rows with spread and intervals, and pairs of rows."""
    done = {row: [seed for seed in seeds if _is_done(folder_of(work, row, seed))] for row in ROWS}
    systems = {row: [rows_of(folder_of(work, row, seed)) for seed in done[row]] for row in ROWS if done[row]}
    start = [rows_of(folder_of(work, START, 0))]
    summary = [line(START, start, None), *(line(row, system, start) for row, system in systems.items())]
    pairs = [
        {
            "row": row,
            "against": other,
            "columns": {column.title: compare(systems[other], systems[row], column) for column in COLUMNS},
        }
        for row, other in PAIRS
        if row in systems and other in systems
    ]
    rows = [report(work, START, 0), *(report(work, row, seed) for row in systems for seed in done[row])]
    return {"rows": rows, "summary": summary, "pairs": pairs}


def _is_done(folder: Path) -> bool:
    return (folder / "evaluation.json").is_file()


def report(work: Path, row: str, seed: int, recipes: Mapping[str, Recipe] = ROWS) -> dict[str, Any]:
    """What a run is and what it gave, set by set."""
    folder = folder_of(work, row, seed)
    content = json.loads((folder / "evaluation.json").read_text())
    recipe = {} if row == START else asdict(recipes[row])
    steps = list(read_rows(folder / "metrics.jsonl"))
    seconds = [sum(value for key, value in step.items() if key.startswith("seconds/")) for step in steps]
    return {
        "row": row, "seed": seed, **recipe, "steps": len(steps), "train_s": round(sum(seconds), 1),
        "evaluate_s": round(sum(content["seconds"]["after"].values()), 1),
        "sets": {
            name: {key: found[key] for key in (
                "wer", "substitutions", "deletions", "insertions", "words", "hallucination_rate", "loop_rate",
                "keyword_f1", "non_empty_rate",
            )}
            for name, found in content["after"].items()
        },
    }  # fmt: skip


def rows_of(folder: Path) -> dict[str, tuple[Row, ...]]:
    """Per-utterance rows of a finished run, by column set."""
    evaluation = read_evaluation(folder / "evaluation" / "after")
    assert evaluation is not None, folder
    found: dict[str, tuple[Row, ...]] = {}
    for name, result in evaluation.sets.items():
        part = name.partition("-")[0]
        found[part] = (*found.get(part, ()), *result.rows)
    return found


if __name__ == "__main__":
    main()
