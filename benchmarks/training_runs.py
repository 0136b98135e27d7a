"""What the benchmarks that train share: a run is made once, goes on where it was interrupted, and leaves a log."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def train_command(config: Path, settings: Mapping[str, Any]) -> list[str]:
    """The command line of a training run, which anybody can repeat."""
    pairs = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    return [sys.executable, "-m", "speechrl.cli", "train", str(config), *pairs]


def run_once(
    command: Sequence[str], folder: Path, *, result: str = "model/speechrl.json", resumable: bool = True
) -> None:
    """Run a command, unless its result is there; print how long it took.

    Args:
        command: One thread is for it. What it prints is added to a log beside the folder: that of a crash stays.
        folder: Of the run.
        result: The last file that it writes there; of training, the model.
        resumable: Whether it takes `--resume`, to go on with what is in the folder.

    Raises:
        CalledProcessError: It failed.
    """
    if (folder / result).is_file():
        return
    again = ["--resume"] if resumable and folder.exists() else []
    folder.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with folder.with_name(f"{folder.name}.log").open("a") as log:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run([*command, *again], stdout=log, stderr=subprocess.STDOUT, check=True, env=environment)
    print(f"{folder.name}: {time.monotonic() - began:.0f} s", flush=True)
