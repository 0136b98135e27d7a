"""A result of a benchmark: its figures, with the command, the commit and the machine that they came from."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from speechrl.report.environment import describe_environment

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    return shlex.join(["python", f"benchmarks/{Path(script).name}", *map(shown, arguments)])


def shown(argument: str) -> str:
    """An argument as a result tells it."""
    return "DIR" if Path(argument).is_absolute() else argument


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))
