"""What `speechrl quickstart asr` and `speechrl quickstart tts` give, seed by seed.

    python benchmarks/quickstart.py asr --seeds 1 2 3
    python benchmarks/quickstart.py tts --seeds 1 2 3

writes `benchmarks/results/quickstart_TASK.json`. A seed whose run directory is finished is not run again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from result_file import write_result

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Run and collect."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=["asr", "tts"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--work", type=Path, help="run directories; by default runs/quickstart_TASK_seeds")
    parser.add_argument("--out", type=Path, help="by default benchmarks/results/quickstart_TASK.json")
    arguments = parser.parse_args()
    task = arguments.task
    work = arguments.work or Path(f"runs/quickstart_{task}_seeds")
    out = arguments.out or ROOT / "benchmarks" / "results" / f"quickstart_{task}.json"
    rows = []
    for seed in arguments.seeds:
        folder = work / f"seed-{seed}"
        command = [sys.executable, "-m", "speechrl.cli", "quickstart", task]
        command += ["--seed", str(seed), "--output", str(folder)]
        row: dict[str, object] = {"seed": seed}
        if not (folder / "evaluation.json").is_file():
            began = time.monotonic()
            subprocess.run(command, check=True)
            row["wall_s"] = round(time.monotonic() - began, 1)
        content = json.loads((folder / "evaluation.json").read_text())
        rows.append(row | {key: content[key] for key in ("before", "after", "paired")})
    write_result(
        out,
        seeds=arguments.seeds,
        rows=rows,
    )


if __name__ == "__main__":
    main()
