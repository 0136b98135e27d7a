"""Table 2 of arXiv 2509.18569 with the starter synthesiser: GRPO, DiffRO, and both with and without filtering.

    python benchmarks/tts_table2.py --codes build/starter_tts/codes --tokenizer build/starter_tts/tokenizer

writes `benchmarks/results/tts_table2.json`. Every method begins at the shipped model and trains for the same number of
steps, with the rate that was chosen for it on dev; supervised training goes on for as many steps on the starter's own
corpus (without `--codes` it is left out). Each is then trained once more, for as many steps as it took to move as far
from the base as the one that moved least: the learning rate is constant, so that shorter run is the beginning of the
longer one. Listening is described in `tts_listening.py`. Runs and what was heard are kept under `--work`; the benchmark
goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from training_runs import run_once, train_command
from tts_listening import JUDGES, Count, TokenJudge, by_sentence, compare, listen, value, word_errors

from speechrl.report.environment import describe_environment
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
ORDER = [
    ("base", "both, unfiltered, R1"), ("both, unfiltered, R1", "GRPO R1"), ("GRPO R1", "DiffRO R1"),
    ("DiffRO R1", "both, filtered, R1"), ("both, unfiltered, R1", "both, filtered, R1"),
]  # fmt: skip
"""Pairs of which the paper finds the first worse than, or as good as, the second."""
MEASURES = ("similarity", "quality", "log_f0_std", "no_stop", "tokens")
KL_STEPS = 5
"""The distance from the base at a step is the mean over this many steps up to it."""


@dataclass(frozen=True)
class Job:
    """One training run."""

    method: str
    seed: int
    steps: int
    rate: float
    folder: Path

    def command(self) -> list[str]:
        """The command line."""
        settings = {
            "output": str(self.folder), "seed": self.seed, "train.steps": self.steps, "train.learning_rate": self.rate,
            **METHODS[self.method],
        }  # fmt: skip
        return train_command(CONFIG, settings)


def distances(folder: Path) -> np.ndarray:
    """KL from the base in nats a token, after every step, smoothed."""
    kl = np.array([row["kl"] for row in read_rows(folder / "metrics.jsonl")])
    return np.array([kl[max(0, step - KL_STEPS) : step].mean() for step in range(1, len(kl) + 1)])


def equal_distance(jobs: list[Job], work: Path) -> tuple[float, list[Job]]:
    """The least of the methods' last mean distances, and runs that stop where they first get there."""
    last = {m: np.mean([distances(job.folder)[-1] for job in jobs if job.method == m]) for m in METHODS}
    target = float(min(last.values()))
    stopped = []
    for job in jobs:
        reached = np.flatnonzero(distances(job.folder) >= target)
        steps = int(reached[0]) + 1 if len(reached) else job.steps
        stopped.append(Job(job.method, job.seed, steps, job.rate, work / f"{job.folder.name}-{steps}"))
    return target, stopped


def supervised(folder: Path, seed: int, steps: int, rate: float, chosen: argparse.Namespace) -> None:
    """Continue the starter's own training."""
    from speechrl.config.load import resolve_path

    command = [
        sys.executable, "-m", "speechrl.starter.tts.sft", "--codes", str(chosen.codes), "--tokenizer",
        str(chosen.tokenizer), "--init", str(resolve_path(BASE)), "--out", str(folder / "model"), "--seed", str(seed),
        "--steps", str(steps), "--learning-rate", str(rate),
    ]  # fmt: skip
    run_once(command, folder, resumable=False)


class Table:
    """Rows of one comparison: what was heard of every system, training seeds together."""

    def __init__(self, systems: dict[str, list[dict[str, Any]]]) -> None:
        self._systems = systems
        self._token_judge = TokenJudge()
        self._counts: dict[tuple[str, str, str], np.ndarray] = {}

    def counts(self, system: str, part: str, measure: str) -> np.ndarray:
        """`by_sentence` of a measure on a set."""
        key = (system, part, measure)
        if key not in self._counts:
            counters: dict[str, Count] = {judge: word_errors(judge) for judge in JUDGES}
            counters |= {"token_cer": self._token_judge, **{name: value(name) for name in MEASURES}}
            count = counters[measure]
            runs = [heard[part].rows for heard in self._systems[system]]
            self._counts[key] = by_sentence([count(rows) for rows in runs], [row.id for row in runs[0]])
        return self._counts[key]

    def row(self, system: str, part: str) -> dict[str, Any]:
        """Numbers of a system on a set, spread over training seeds, and against the base."""
        found: dict[str, Any] = {"system": system, "set": part, "training_seeds": len(self._systems[system])}
        for measure in (*JUDGES, "token_cer", *MEASURES):
            counts = self.counts(system, part, measure)
            found[measure] = float(counts[:, 0].sum() / counts[:, 1].sum())
            if system != "base":
                rate = measure in JUDGES or measure in ("token_cer", "tokens")
                found[f"{measure} against base"] = compare(
                    self.counts("base", part, measure), counts, rate=rate
                )
        each = [heard[part].to_json(100, 1)["judge_wer"] for heard in self._systems[system]]
        found["judge_wer_by_training_seed"] = each
        return found


def main() -> None:
    """Train, listen, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("runs/tts_table2"), help="runs and what was heard")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "tts_table2.json")
    parser.add_argument("--codes", type=Path, help="codes of the starter's corpus")
    parser.add_argument("--tokenizer", type=Path, help="folder of the speech tokenizer")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument(
        "--rates", type=json.loads, default={}, help='JSON: {"GRPO R1": 1e-4, ...}; the rest 1e-4'
    )
    parser.add_argument("--sft-rate", type=float, default=0.1, help="as a factor of the recipe's")
    parser.add_argument("--workers", type=int, default=2, help="runs at once, one thread each")
    chosen = parser.parse_args()
    jobs = [
        Job(m, seed, chosen.steps, chosen.rates.get(m, 1e-4), chosen.work / "steps" / f"{_slug(m)}-{seed}")
        for seed in chosen.seeds
        for m in METHODS
    ]
    with ThreadPoolExecutor(chosen.workers) as pool:
        list(pool.map(lambda job: run_once(job.command(), job.folder), jobs))
        target, stopped = equal_distance(jobs, chosen.work / "distance")
        list(pool.map(lambda job: run_once(job.command(), job.folder), stopped))
    base = [listen(BASE, chosen.work / "heard" / "base")]
    tables: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for name, group in (("equal steps", jobs), ("equal distance", stopped)):
        tables[name] = {"base": base}
        for job in group:
            heard = listen(str(job.folder / "model"), job.folder / "heard")
            tables[name].setdefault(job.method, []).append(heard)
    if chosen.codes is not None:
        for seed in chosen.seeds:
            folder = chosen.work / "steps" / f"sft-{seed}"
            supervised(folder, seed, chosen.steps, chosen.sft_rate, chosen)
            tables["equal steps"].setdefault(SFT, []).append(listen(str(folder / "model"), folder / "heard"))
    rows, order = [], []
    for name, systems in tables.items():
        table = Table(systems)
        rows += [
            {"comparison": name, **table.row(system, part)} for system in systems for part in ("test", "hard")
        ]
        order += [
            {
                "comparison": name, "worse_in_the_paper": worse, "better_in_the_paper": better, "judge": judge,
                **compare(table.counts(worse, "test", judge), table.counts(better, "test", judge), rate=True),
            }
            for worse, better in ORDER
            for judge in JUDGES
        ]  # fmt: skip
    environment = describe_environment()
    content = {
        "command": "python benchmarks/tts_table2.py " + " ".join(sys.argv[1:]),
        "commit": environment["commit"],
        "machine": environment,
        "seeds": chosen.seeds,
        "sampling_seeds": [1, 2],
        "rates": {m: chosen.rates.get(m, 1e-4) for m in METHODS},
        "equal_distance_kl": target,
        "steps_to_equal_distance": {job.folder.name: job.steps for job in stopped},
        "rows": rows,
        "order": order,
    }
    chosen.out.write_text(json.dumps(content, indent=1) + "\n")


def _slug(method: str) -> str:
    return method.replace(",", "").replace(" ", "_")


if __name__ == "__main__":
    main()
