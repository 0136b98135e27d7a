"""Table 2 of arXiv 2509.18569 with the starter synthesiser: GRPO, DiffRO, and both with and without filtering.

    python benchmarks/tts_table2.py --tune
    python benchmarks/tts_table2.py --codes build/starter_tts/codes --tokenizer build/starter_tts/tokenizer

The first trains every method in every way of `CANDIDATES`, lets dev decide, and writes
`benchmarks/results/tts_table2_tuning.json` (of the shipped model `tts_table2_tuning_starter.json`); the second takes
what was chosen and writes `benchmarks/results/tts_table2.json`. Every method begins at the same model, the shipped one
or `--base` (one that runs away: `tts_runaway_base.py`), and trains for the same number of steps; supervised training
goes on for as many on the starter's own corpus (without `--codes` it is left out). Each run is then repeated for as
many steps as it takes to be as far from the base as the method that moved least, and heard there; the rate is constant,
so the repetition is the run's own beginning, which is checked. Listening is described in `tts_listening.py`. Runs and
what was heard are kept under `--work`; the benchmark goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from result_file import shown, write_result
from training_runs import run_once, train_command
from tts_listening import (
    IN_TIME,
    JUDGES,
    PLAN,
    Count,
    Table,
    TokenJudge,
    compare,
    listen,
    listen_side_by_side,
    value,
    word_errors,
)
from tts_table2_page import page

from speechrl.report.writers import read_rows

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "benchmarks" / "tts.yaml"
BASE = "package:starter/tts"
R1 = {"name": "token_accuracy"}
R2 = {"name": "duration", "weight": 0.5}
R3 = {"name": "diversity", "weight": 0.1}
HYBRID = {"algorithm.name": "hybrid"}
METHODS: dict[str, dict[str, Any]] = {
    "GRPO R1": {"algorithm.name": "grpo", "rewards.terms": [R1]},
    "DiffRO R1": {"algorithm.name": "diffro", "rewards.terms": [R1]},
    "both, unfiltered, R1": {**HYBRID, "algorithm.diffro.filter": "none", "rewards.terms": [R1]},
    "both, filtered, R1": {**HYBRID, "algorithm.diffro.filter": "both", "rewards.terms": [R1]},
    "both, filtered, R1+R2": {**HYBRID, "algorithm.diffro.filter": "both", "rewards.terms": [R1, R2]},
    "both, filtered, R1+R2+R3": {**HYBRID, "algorithm.diffro.filter": "both", "rewards.terms": [R1, R2, R3]},
}
SFT = "SFT continued"
FILTERED = "both, filtered, R1"
"""Its variants are trained as it is."""


@dataclass(frozen=True)
class Pace:
    """What dev decides of a method.

    Attributes:
        rate: Learning rate; of supervised training, a factor of the recipe's.
        weight: Of DiffRO beside GRPO. The paper does not tell its own.
    """

    rate: float
    weight: float = 1.0


_ALONE = [Pace(1e-4), Pace(3e-4), Pace(6e-4)]
_BOTH = [Pace(3e-4), Pace(3e-4, 4.0), Pace(6e-4, 4.0)]
CANDIDATES: dict[str, list[Pace]] = {
    "GRPO R1": [Pace(5e-5), *_ALONE],
    "DiffRO R1": [*_ALONE, Pace(1.2e-3)],
    "both, unfiltered, R1": _BOTH,
    FILTERED: _BOTH,
    SFT: [Pace(0.03), Pace(0.1), Pace(0.3)],
}
TUNE_SEED, TUNE_SENTENCES = 11, 100
ORDER = [
    ("base", "both, unfiltered, R1"), ("both, unfiltered, R1", "GRPO R1"), ("GRPO R1", "DiffRO R1"),
    ("DiffRO R1", "both, filtered, R1"), ("both, unfiltered, R1", "both, filtered, R1"),
]  # fmt: skip
"""Pairs of which the paper finds the first worse than, or as good as, the second."""
LAST = 3
"""How far a method has come is the mean over this many last steps."""


@dataclass(frozen=True)
class Job:
    """One training run."""

    method: str
    seed: int
    steps: int
    pace: Pace
    folder: Path

    @property
    def model(self) -> str:
        """What it trained."""
        return str(self.folder / "model")

    @property
    def heard(self) -> Path:
        """What listening to that left."""
        return self.folder / "heard"

    def train(self, chosen: argparse.Namespace) -> None:
        """Train, unless it was."""
        if self.method == SFT:
            _train_supervised(self, chosen)
            return
        settings = {
            "output": str(self.folder),
            "model.path": str(chosen.base),
            "seed": self.seed,
            "train.steps": self.steps,
            "train.learning_rate": self.pace.rate,
            "algorithm.diffro.weight": self.pace.weight,
            **METHODS[self.method],
        }
        run_once(train_command(CONFIG, settings), self.folder)


def distances(folder: Path) -> np.ndarray:
    """KL from the base in nats a token after 0, 1, 2 ... updates: the metrics of a step are those before its update."""
    return np.array([row["kl"] for row in read_rows(folder / "metrics.jsonl")])


def equal_distance(jobs: list[Job], work: Path) -> tuple[float, dict[Job, Job]]:
    """The least of the methods' last mean distances, and each run again, for the steps that bring it nearest there."""
    last = {m: np.mean([distances(job.folder)[-LAST:] for job in jobs if job.method == m]) for m in METHODS}
    target = float(min(last.values()))
    again = {}
    for job in jobs:
        steps = 1 + int(np.abs(distances(job.folder)[1:] - target).argmin())
        again[job] = replace(job, steps=steps, folder=work / "distance" / f"{job.folder.name}-{steps}")
    return target, again


def check_beginning(whole: Job, part: Job) -> None:
    """See that a shorter run is the beginning of a longer one.

    Raises:
        SystemExit: It is not.
    """
    if not np.array_equal(distances(part.folder), distances(whole.folder)[: part.steps]):
        sys.exit(
            f"{part.folder} is not how {whole.folder} began: code or data have changed since; use another --work"
        )


def training(folder: Path) -> dict[str, float]:
    """How a run went: the last distance from the base, and over all steps the shares that were cut or passed on."""
    rows = read_rows(folder / "metrics.jsonl")
    shares = {
        name: float(np.mean([row[name] for row in rows]))
        for name in ("length_cut_share", "zero_spread_share", "samples/diffro")
        if name in rows[0]
    }
    return {"last_kl": float(distances(folder)[-LAST:].mean()), **shares}


def _train_supervised(job: Job, chosen: argparse.Namespace) -> None:
    """Continue the starter's own training."""
    from speechrl.config.load import resolve_path

    command = [
        sys.executable, "-m", "speechrl.starter.tts.sft", "--codes", str(chosen.codes), "--tokenizer",
        str(chosen.tokenizer), "--init", str(resolve_path(chosen.base)), "--out", str(job.folder / "model"), "--seed",
        str(job.seed), "--steps", str(job.steps), "--learning-rate", str(job.pace.rate),
    ]  # fmt: skip
    run_once(command, job.folder, result="model/speechrl.json", resumable=False)


def tune(chosen: argparse.Namespace) -> None:
    """Let dev choose: the fewest errors of both judges, one training seed and one draw of samples."""
    jobs = [
        Job(
            m,
            TUNE_SEED,
            chosen.steps,
            pace,
            chosen.work / "tune" / f"{_slug(m)}-{pace.rate:g}-{pace.weight:g}",
        )
        for m, paces in CANDIDATES.items()
        for pace in paces
        if m != SFT or chosen.codes is not None
    ]
    counts: dict[str, Count] = {judge: word_errors(judge) for judge in JUDGES} | {"token_cer": TokenJudge()}
    measures: dict[str, Count] = {**counts, "no_stop": value("no_stop")}

    def run(job: Job) -> dict[str, Any]:
        job.train(chosen)
        return _dev(job.model, job.heard, measures)

    with ThreadPoolExecutor(chosen.workers) as pool:
        rows = [
            {"method": job.method, **asdict(job.pace), **found}
            for job, found in zip(jobs, pool.map(run, jobs), strict=True)
        ]
    best = {}
    for m in {row["method"]: None for row in rows}:
        row = min(
            (row for row in rows if row["method"] == m), key=lambda row: sum(row[judge] for judge in JUDGES)
        )
        best[m] = asdict(Pace(row["rate"], row["weight"]))
    write_result(
        tuning_of(chosen.base),
        seed=TUNE_SEED,
        steps=chosen.steps,
        sentences=TUNE_SENTENCES,
        base=_dev(chosen.base, chosen.work / "tune" / "base", measures),
        rows=rows,
        chosen=best,
    )


def tuning_of(base: str) -> Path:
    """Where it is written what dev chose for a base: the shipped model, or one that runs away."""
    name = "tts_table2_tuning_starter.json" if base == BASE else "tts_table2_tuning.json"
    return ROOT / "benchmarks" / "results" / name


def tuned(method: str, base: str) -> Pace:
    """What dev chose for a method and a base."""
    chosen = json.loads(tuning_of(base).read_text())["chosen"]
    return Pace(**chosen.get(method, chosen[FILTERED]))


def _dev(model: str, out: Path, measures: dict[str, Count]) -> dict[str, float]:
    spoken = listen(model, out, seeds={"dev": [1]}, sentences=TUNE_SENTENCES)["dev"]
    sums = {name: np.array(count(spoken.rows)).sum(0) for name, count in measures.items()}
    return {name: float(above / below) for name, (above, below) in sums.items()}


def main() -> None:
    """Tune; or train, listen, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tune", action="store_true", help="let dev choose rates and weights")
    parser.add_argument("--base", default=BASE, help="folder or package: path of the model to begin at")
    parser.add_argument("--work", type=Path, default=Path("runs/tts_table2"), help="runs and what was heard")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "tts_table2.json")
    parser.add_argument("--codes", type=Path, help="codes of the starter's corpus")
    parser.add_argument("--tokenizer", type=Path, help="folder of the speech tokenizer")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2, help="runs at once, one thread each")
    parser.add_argument(
        "--equal-steps-only", action="store_true", help="leave the second comparison for later"
    )
    parser.add_argument(
        "--page", action="store_true", help="only print the tables of the result that is there"
    )
    chosen = parser.parse_args()
    if chosen.page:
        print(page(json.loads(chosen.out.read_text())))
        return
    if chosen.tune:
        tune(chosen)
        return
    measure(chosen)


def measure(chosen: argparse.Namespace) -> None:
    """Train and hear every method, at equal steps and at equal distance, and write what was found."""
    methods = [*METHODS, *([SFT] if chosen.codes is not None else [])]
    paces = {m: tuned(m, chosen.base) for m in methods}
    jobs = [
        Job(m, seed, chosen.steps, paces[m], chosen.work / "steps" / f"{_slug(m)}-{seed}")
        for seed in chosen.seeds
        for m in methods
    ]
    base = chosen.work / "heard" / "base"
    train_and_hear(jobs, base, chosen)
    comparisons = {"equal steps": jobs}
    target, nearest = equal_distance([job for job in jobs if job.method != SFT], chosen.work)
    if not chosen.equal_steps_only:
        train_and_hear(list(nearest.values()), base, chosen)
        for whole, part in nearest.items():
            check_beginning(whole, part)
        comparisons["equal distance"] = list(nearest.values())
    found = [compared(name, ones, (chosen.base, base)) for name, ones in comparisons.items()]
    write_result(
        chosen.out,
        seeds=chosen.seeds,
        steps=chosen.steps,
        base=shown(chosen.base),
        sampling_seeds=PLAN,
        tuned={m: asdict(pace) for m, pace in paces.items()},
        equal_distance_kl=target,
        equal_distance={
            job.folder.name: {"steps": part.steps, "kl": float(distances(job.folder)[part.steps])}
            for job, part in nearest.items()
        },
        training={job.folder.name: training(job.folder) for job in jobs if job.method != SFT},
        rows=[row for rows, _ in found for row in rows],
        order=[pair for _, order in found for pair in order],
    )


def train_and_hear(jobs: list[Job], base: Path, chosen: argparse.Namespace) -> None:
    """Whatever of it is not there yet, so many at once; the base too."""
    with ThreadPoolExecutor(chosen.workers) as pool:
        list(pool.map(lambda job: job.train(chosen), jobs))
    listen_side_by_side([(chosen.base, base), *((job.model, job.heard) for job in jobs)], chosen.workers)


def compared(
    name: str, jobs: list[Job], base: tuple[str, Path]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of one comparison, and the pairs of methods that the paper ranks."""
    systems = {"base": [listen(*base)]}
    for job in jobs:
        systems.setdefault(job.method, []).append(listen(job.model, job.heard))
    table = Table(systems)
    rows = [
        {"comparison": name, **table.row(system, part)} for system in systems for part in ("test", "hard")
    ]
    order = [
        {
            "comparison": name, "worse_in_the_paper": worse, "better_in_the_paper": better, "judge": judge,
            **compare(table.counts(worse, "test", judge), table.counts(better, "test", judge), rate=True),
        }
        for worse, better in ORDER
        for judge in (*JUDGES, "token_cer", *IN_TIME)
    ]  # fmt: skip
    return rows, order


def _slug(method: str) -> str:
    return method.replace(",", "").replace(" ", "_")


if __name__ == "__main__":
    main()
