"""Whether a run of the real starter recogniser, killed with -9 and resumed, equals one that was never stopped.

The same few steps of GRPO in bfloat16 are run once straight through, and once more with SIGKILL at random moments of
random steps, each time followed by `--resume`. They go through a dozen recordings several times, since what is kept in
memory from one epoch to the next is gone after a kill. Then every number of `metrics.jsonl` but times and memory, and
every tensor of the last checkpoint (weights and optimiser), must be equal bit for bit.

    python benchmarks/resume_exactness.py            # a few minutes; writes benchmarks/results/resume_exactness.json
    python benchmarks/resume_exactness.py --kills 6 --seed 7
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from result_file import write_result
from safetensors.torch import load_file

from speechrl.config.load import resolve_path

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "resume_exactness.json"
CONFIG = "package:configs/asr/quickstart.yaml"
STEPS = 8
FEW, RECORDINGS = "few.jsonl", 12
SETTINGS = {
    "train.steps": STEPS,
    "train.checkpoint_every": 2,
    "train.threads": 1,
    "train.precision": "bf16",
    "train.device": "cpu",
    "data.batch_size": 4,
    "rollout.group_size": 4,
    # Redraws move the data stream by more than a batch a step; the reference policy is one more thing to restore.
    "algorithm.resample_zero_spread": 1,
    "algorithm.kl": "k3",
    "algorithm.kl_weight": 0.01,
    "evaluation.sets": "{}",
    "report.tensorboard": "false",
}
UNTIMED = ("seconds/", "memory/")


def command(run_dir: Path, *flags: str) -> list[str]:
    """The command line, which anybody can repeat."""
    places = {"output": run_dir, "data.train": run_dir.parent / FEW}
    settings = [f"{key}={value}" for key, value in {**SETTINGS, **places}.items()]
    return [sys.executable, "-m", "speechrl.cli", "train", CONFIG, *settings, *flags]


def write_few(folder: Path) -> None:
    """A manifest of the first recordings that ship."""
    source = resolve_path("package:data/asterisk_en/train.jsonl")
    lines = [json.loads(line) for line in source.read_text().splitlines()[:RECORDINGS]]
    found = [{**line, "audio": str(source.parent / line["audio"])} for line in lines]
    (folder / FEW).write_text("".join(json.dumps(line) + "\n" for line in found))


def start(run_dir: Path, log: Path, *flags: str) -> subprocess.Popen[bytes]:
    """Start a run; what it says goes to a log."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("ab") as out:
        return subprocess.Popen(command(run_dir, *flags), stdout=out, stderr=out, env=environment)


def rows(run_dir: Path) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl without what a clock or the machine decides; a line cut short is left out."""
    file = run_dir / "metrics.jsonl"
    lines = (
        [line for line in file.read_text().splitlines(keepends=True) if line.endswith("\n")]
        if file.exists()
        else []
    )
    return [
        {name: value for name, value in json.loads(line).items() if not name.startswith(UNTIMED)}
        for line in lines
    ]


def finish(process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for the end of a run, which must be a good one."""
    if process.wait() != 0:
        raise SystemExit(f"a run ended with {process.returncode}; see {log}")


def kill_at(
    process: subprocess.Popen[bytes], run_dir: Path, step: int, delay_s: float, log: Path
) -> dict[str, Any]:
    """Kill -9 so many seconds after the row of a step (0: after the start of the program)."""
    while step and (not (found := rows(run_dir)) or found[-1]["step"] < step):
        if process.poll() is not None:
            raise SystemExit(f"the run ended before it could be killed; see {log}")
        time.sleep(0.005)
    time.sleep(delay_s)
    process.kill()
    process.wait()
    checkpoints = sorted(path.name for path in (run_dir / "checkpoints").glob("*"))
    return {
        "after_step": step,
        "delay_s": round(delay_s, 3),
        "logged": len(rows(run_dir)),
        "checkpoints": checkpoints,
    }


def differences(straight: Path, broken: Path) -> dict[str, Any]:
    """What is not equal, bit for bit: NaN is equal to itself, 0.0 is not equal to -0.0."""
    first, second = (
        [json.dumps(row, sort_keys=True) for row in rows(folder)] for folder in (straight, broken)
    )
    tensors = [
        load_file(folder / "checkpoints" / f"step-{STEPS:06d}" / "tensors.safetensors")
        for folder in (straight, broken)
    ]
    unequal = [
        name
        for name in sorted(tensors[0].keys() | tensors[1].keys())
        if name not in tensors[0]
        or name not in tensors[1]
        or not _same_bits(tensors[0][name], tensors[1][name])
    ]
    return {
        "rows": [len(first), len(second)],
        "numbers": sum(len(row) for row in rows(straight)),
        "unequal_rows": [
            index + 1 for index, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]
        ],
        "tensors": len(tensors[0]),
        "unequal_tensors": unequal,
    }


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    same = one.shape == other.shape and one.dtype == other.dtype
    return same and torch.equal(
        one.contiguous().view(-1).view(torch.uint8), other.contiguous().view(-1).view(torch.uint8)
    )


def main() -> None:
    """Run, kill, resume, compare; ends with 1 when anything differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1, help="of the moments")
    parser.add_argument(
        "--work", type=Path, default=Path("runs/resume_exactness"), help="run directories; emptied first"
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    shutil.rmtree(chosen.work, ignore_errors=True)
    chosen.work.mkdir(parents=True)
    write_few(chosen.work)
    straight, broken = chosen.work / "straight", chosen.work / "broken"
    log = chosen.work / "log.txt"

    finish(start(straight, log), log)
    timed = [json.loads(line) for line in (straight / "metrics.jsonl").read_text().splitlines()]
    step_s = sum(value for row in timed for name, value in row.items() if name.startswith("seconds/")) / STEPS

    moments = random.Random(chosen.seed)
    kills: list[dict[str, Any]] = []
    for _ in range(chosen.kills):
        # Somewhere in the two steps after a row; a step that was already logged is logged again after a resume.
        reached = rows(broken)[-1]["step"] if broken.exists() and rows(broken) else 0
        step = moments.randint(reached + 1, max(reached + 1, min(reached + 2, STEPS - 1)))
        if step >= STEPS:
            break
        process = start(broken, log, *(["--resume"] if kills else []))
        kills.append(kill_at(process, broken, step, moments.uniform(0.0, 1.2 * step_s), log))
        print(kills[-1], flush=True)
    finish(start(broken, log, "--resume"), log)

    found = differences(straight, broken)
    exact = not found["unequal_rows"] and not found["unequal_tensors"] and found["rows"] == [STEPS, STEPS]
    write_result(
        chosen.out,
        seeds=[chosen.seed],
        rows=[{"exact": exact, "steps": STEPS, "step_s": round(step_s, 2), "kills": kills, **found}],
    )
    print(json.dumps(found))
    print("equal, bit for bit" if exact else "NOT equal")
    sys.exit(not exact)


if __name__ == "__main__":
    main()
