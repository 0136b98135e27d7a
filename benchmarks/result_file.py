"""A result of a benchmark: its figures, with the command, the commit and the machine that they came from."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from speechrl.report.environment import describe_environment


def write_result(path: Path, **figures: object) -> None:
    """Write a result as JSON.

    Args:
        path: Of the file; its folder is made.
        figures: What was measured, and with what: seeds, steps, rows.
    """
    environment = describe_environment()
    content = {"command": command(), "commit": environment["commit"], "machine": environment, **figures}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


def command() -> str:
    """What was run, from the root of the repository. Where a folder lay is of no use to anybody else."""
    script, *arguments = sys.argv
    shown = ["DIR" if Path(one).is_absolute() else one for one in arguments]
    return shlex.join(["python", f"benchmarks/{Path(script).name}", *shown])
