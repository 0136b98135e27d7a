"""GRPO for ASR against what else one could do with the same data and steps.

Two starts: the starter recogniser, and the same after supervised training on the human train split has converged. Each
has data of its own, the same for all methods. The starter practises on the human train split, as it is and joined to
long audio, and on clips in which nobody speaks. A model that has converged on those gives one and the same answer to
them every time, and a group without spread teaches nothing; so it practises on the same recordings joined and disturbed
anew, with seeds that it has not seen.

From each start: supervised training goes on (sft), minimum word error rate (mwer), and GRPO with the rewards R1 (1 -
WER), R1 + R2 (hallucination) and R1 + R2 + R3 (keywords); several seeds. Every run is one `speechrl train`, whose run
directory is kept, so the benchmark resumes where it was interrupted.

    python benchmarks/asr_grpo.py

writes `benchmarks/results/asr_grpo.json`.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from result_file import write_result
from training_runs import run_once, train_command

from speechrl.evaluate.bootstrap import paired
from speechrl.evaluate.results import Row, read_evaluation

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "benchmarks" / "asr_grpo.yaml"
SETS = ("human", "long", "noise", "silence")
HUMAN = "package:data/asterisk_en/train.jsonl"

R1 = {"name": "accuracy"}
# Two inserted words in a row are a finding: runs of four, the default, are rare in short answers.
R2 = {"name": "hallucination", "options": {"min_run": 2}}
R3 = {"name": "keywords", "weight": 0.5}
METHODS: dict[str, dict[str, Any]] = {
    "sft": {
        "algorithm.name": "sft",
        "algorithm.kl": "none",
        "algorithm.loss_mean": "token",
        "rewards.terms": [R1],
    },
    "mwer": {"algorithm.name": "mwer", "rewards.terms": [R1]},
    "grpo R1": {"rewards.terms": [R1]},
    "grpo R1+R2": {"rewards.terms": [R1, R2]},
    "grpo R1+R2+R3": {"rewards.terms": [R1, R2, R3]},
}


@dataclass(frozen=True)
class Job:
    """One run of the grid."""

    start: str
    model: str
    method: str
    seed: int
    steps: int
    folder: Path
    rates: dict[str, float]
    train: list[str]

    def command(self) -> list[str]:
        """The command line, which anybody can repeat."""
        settings = {
            "output": str(self.folder),
            "model.path": self.model,
            "data.train": self.train,
            "seed": self.seed,
            "train.steps": self.steps,
            "train.learning_rate": self.rates[self.method.split()[0]],
            **METHODS[self.method],
        }
        return train_command(CONFIG, settings)


def row(job: Job, reference: Path | None) -> dict[str, Any]:
    """What is reported of a run, and how it compares with the model that it started from."""
    content = json.loads((job.folder / "evaluation.json").read_text())
    found: dict[str, Any] = {"start": job.start, "method": job.method, "seed": job.seed, "steps": job.steps}
    for name in SETS:
        numbers = content["after"][name]
        found[name] = {
            key: numbers[key]
            for key in ("wer", "substitutions", "deletions", "insertions", "words", "hallucination_rate", "loop_rate",
                        "keyword_f1", "non_empty_rate")
        }  # fmt: skip
    if reference is not None:
        found["against_start"] = {
            name: compare([reference], [job.folder], name) for name in SETS if name != "silence"
        }
    return found


def rows_of(folder: Path, name: str) -> tuple[Row, ...]:
    """Per-utterance rows of a finished run."""
    evaluation = read_evaluation(folder / "evaluation" / "after")
    assert evaluation is not None, folder
    return evaluation.sets[name].rows


def compare(ours: list[Path], theirs: list[Path], name: str, measure: str = "errors") -> dict[str, float]:
    """Paired bootstrap over utterances; errors of several seeds are added up utterance by utterance.

    `relative_change` is that of `theirs` from `ours`: below 0 is fewer errors.
    """

    def total(folders: list[Path]) -> np.ndarray:
        return np.mean(
            [[getattr(row, measure) for row in rows_of(folder, name)] for folder in folders], axis=0
        )

    words = np.array([row.words for row in rows_of(ours[0], name)])
    result = paired(total(ours), total(theirs), words, resamples=5000, seed=1)
    return {"relative_change": result.relative_change, "low": result.low, "high": result.high, "p": result.p}


def summary(jobs: list[Job], start: str, reference: Path) -> list[dict[str, Any]]:
    """Mean and standard deviation over seeds, and the comparisons that the page quotes."""
    lines = []
    for method in METHODS:
        folders = [job.folder for job in jobs if job.start == start and job.method == method]
        sft = [job.folder for job in jobs if job.start == start and job.method == "sft"]
        line: dict[str, Any] = {"start": start, "method": method, "seeds": len(folders)}
        for name in SETS:
            after = [
                json.loads((folder / "evaluation.json").read_text())["after"][name] for folder in folders
            ]
            line[name] = {
                key: [float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0]
                for key in ("wer", "insertions", "hallucination_rate", "keyword_f1", "non_empty_rate")
                for values in [[numbers[key] for numbers in after]]
                if None not in values
            }
        for name in ("human", "long", "noise"):
            line[f"{name}: WER against start"] = compare([reference], folders, name)
            line[f"{name}: insertions against start"] = compare([reference], folders, name, "insertions")
            if method != "sft":
                line[f"{name}: WER against sft"] = compare(sft, folders, name)
                line[f"{name}: insertions against sft"] = compare(sft, folders, name, "insertions")
        lines.append(line)
    return lines


def converge(folder: Path, steps: int) -> Path:
    """Supervised training of the starter on the human train split, the dev set watched; returns the model's folder."""
    settings = {
        "output": str(folder),
        "algorithm.name": "sft",
        "algorithm.kl": "none",
        "rewards.terms": [R1],
        "data.train": [
            HUMAN,
            f"{HUMAN}#long@1",
            f"{HUMAN}#long@2",
            f"{HUMAN}#long@3",
            f"{HUMAN}#noise@4",
            f"{HUMAN}#silence@5",
        ],
        "data.batch_size": 16,
        "train.steps": steps,
        "train.learning_rate": 2e-4,
        "evaluation.every": max(1, steps // 5),
        "evaluation.sets": {"dev": "package:data/asterisk_en/dev.jsonl"},
    }
    run_once(train_command(CONFIG, settings), folder)
    return folder / "model"


def evaluate_start(name: str, model: str, folder: Path) -> None:
    """Evaluate a start on the test sets by a run whose one step has a learning rate too small to change anything."""
    settings = {
        "output": str(folder / name),
        "model.path": model,
        "train.steps": 1,
        "train.learning_rate": 1e-12,
    }
    run_once(train_command(CONFIG, settings), folder / name)


def main() -> None:
    """Run the grid."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, default=Path("runs/asr_grpo"), help="run directories")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "asr_grpo.json")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=36)
    parser.add_argument("--sft-steps", type=int, default=240, help="of the converged start")
    parser.add_argument(
        "--grpo-rate", type=float, default=1e-4, help="learning rate of grpo and mwer, chosen on dev"
    )
    parser.add_argument("--sft-rate", type=float, default=5e-5, help="learning rate of sft, chosen on dev")
    parser.add_argument("--workers", type=int, default=2, help="runs at once, one thread each")
    arguments = parser.parse_args()
    rates = {"grpo": arguments.grpo_rate, "mwer": arguments.grpo_rate, "sft": arguments.sft_rate}
    fresh = [f"{HUMAN}#long@{seed}" for seed in (11, 12, 13, 14)]
    data = {
        "starter": [HUMAN, f"{HUMAN}#long@1", f"{HUMAN}#long@2", f"{HUMAN}#silence@5"],
        "after sft": [*fresh, f"{HUMAN}#noise@11", f"{HUMAN}#silence@5"],
    }
    starts = {
        "starter": "package:starter/asr",
        "after sft": str(converge(arguments.work / "converged", arguments.sft_steps)),
    }
    jobs = [
        Job(start, model, method, seed, arguments.steps,
            arguments.work / start.replace(" ", "_") / f"{method.replace(' ', '_')}-{seed}", rates, data[start])
        for seed in arguments.seeds
        for start, model in starts.items()
        for method in METHODS
    ]  # fmt: skip
    with ThreadPoolExecutor(arguments.workers) as pool:
        list(pool.map(lambda item: evaluate_start(*item, arguments.work / "starts"), starts.items()))
        list(pool.map(lambda job: run_once(job.command(), job.folder), jobs))
    rows = []
    for start in starts:
        reference = arguments.work / "starts" / start
        base = Job(start, starts[start], "none", 0, 0, reference, rates, data[start])
        rows.append(row(base, None))
        rows += [row(job, reference) for job in jobs if job.start == start]
    write_result(
        arguments.out,
        seeds=arguments.seeds,
        rows=rows,
        summary=[
            line for start in starts for line in summary(jobs, start, arguments.work / "starts" / start)
        ],
    )


if __name__ == "__main__":
    main()
