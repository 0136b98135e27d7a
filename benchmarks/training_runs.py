"""What the benchmarks that train share: a run is made once, goes on where it was interrupted, and leaves a log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def train_command(config: Path, settings: Mapping[str, Any]) -> list[str]:
    """The command line of a training run, which anybody can repeat."""
    pairs = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return [sys.executable, "-m", "speechrl.cli", "train", str(config), *pairs]


def run_once(
    command: Sequence[str], folder: Path, *, result: str = "evaluation.json", resumable: bool = True
) -> None:
    """Run a command, unless its result is there; print how long it took.

    Args:
        command: One thread is for it. What it prints is added to a log beside the folder: that of a crash stays.
        folder: Of the run.
        result: The last file that it writes there; of training, what the evaluation found, even if of no set.
        resumable: Whether it takes `--resume`, to go on with what is in the folder.

    Raises:
        CalledProcessError: It failed.
    """
    if (folder / result).is_file():
        return
    again = ["--resume"] if resumable and folder.exists() else []
    folder.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log_of(folder).open("a") as log:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([*command, *again], stdout=log, stderr=subprocess.STDOUT, check=True, env=environment)
    print(f"{folder.name}: {time.monotonic() - began:.0f} s", flush=True)


def run_all(jobs: Sequence[tuple[Sequence[str], Path]], workers: int) -> list[str]:
    """`run_once` of every job, command and folder, so many at once; one that fails keeps no other from running.

    After Ctrl-C no further job begins, and it is raised when those under way have ended; they were told of it too.

    Returns:
        A line for each job that failed: its name, how it ended, and its log.
    """

    def attempt(job: tuple[Sequence[str], Path]) -> str | None:
        command, folder = job
        try:
            run_once(command, folder)
        except subprocess.CalledProcessError as error:
            return f"{folder.name} ended with {error.returncode}, see {log_of(folder)}"
        return None

    with ThreadPoolExecutor(workers) as pool:
        # `map` calls off what has not begun when it is interrupted.
        return [failure for failure in pool.map(attempt, jobs) if failure]


def log_of(folder: Path) -> Path:
    """What the commands of a run printed."""
    return folder.with_name(f"{folder.name}.log")
