"""A run killed with -9 at any moment and resumed logs what an uninterrupted one logs, bit for bit."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from toys import toy_config, toy_run

import speechrl

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, ForkServerProcess

CHANGES: dict[str, Any] = {
    "train__checkpoint_every": 3,
    "train__steps": 14,
    "evaluation__every": 5,
    "algorithm": {"resample_zero_spread": 1, "kl_weight": 0.01},
}


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Fresh processes that need not import torch again: children of a server that did."""
    tests, source = Path(__file__).parents[1], Path(speechrl.__file__).parents[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(source), str(tests), os.environ.get("PYTHONPATH", "")])
        )
        patch.setenv("OMP_NUM_THREADS", "1")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["toys", "speechrl.train.run", "peft"])
        context.Process(
            target=time.sleep, args=(0,)
        ).start()  # starts the server while the environment is set
    return context


def start(
    processes: ForkServerContext, folder: Path, changes: dict[str, Any], *, resume: bool
) -> ForkServerProcess:
    folder.mkdir(exist_ok=True)
    process = processes.Process(target=toy_run, args=(toy_config(folder, **changes), resume))
    process.start()
    return process


def finish(process: ForkServerProcess) -> None:
    process.join(timeout=120)
    assert process.exitcode == 0


def numbers(folder: Path) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl but for what a clock or the machine decides."""
    lines = (folder / "run" / "metrics.jsonl").read_text().splitlines()
    return [
        {
            name: value
            for name, value in json.loads(line).items()
            if not name.startswith(("seconds/", "memory/"))
        }
        for line in lines
    ]


def kill_when(folder: Path, process: ForkServerProcess, step: int, delay_s: float) -> None:
    """Wait for the row of that step, then for a part of the next, then kill."""
    metrics = folder / "run" / "metrics.jsonl"
    while process.is_alive() and not (metrics.exists() and f'"step": {step},' in metrics.read_text()):
        time.sleep(0.001)
    time.sleep(delay_s)
    assert process.is_alive()
    process.kill()
    process.join()


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": {"path": "toy", "lora_rank": 4}},
        {"train__precision": "bf16", "train__updates_per_batch": 2},
    ],
    ids=["plain", "lora", "bf16"],
)
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, processes: ForkServerContext, changes: dict[str, Any]
) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    finish(start(processes, straight, CHANGES | changes, resume=False))
    for step, delay_s, resume in ((1, 0.0, False), (5, 0.013, True), (9, 0.002, True)):
        kill_when(broken, start(processes, broken, CHANGES | changes, resume=resume), step, delay_s)
    finish(start(processes, broken, CHANGES | changes, resume=True))
    assert [row["step"] for row in numbers(broken)] == list(range(1, 15))
    assert numbers(broken) == numbers(straight)
    for name in ("before", "after", "paired"):
        found = [
            json.loads((folder / "run" / "evaluation.json").read_text())[name]
            for folder in (straight, broken)
        ]
        assert found[0] == found[1]


def test_a_line_that_was_cut_short_is_written_again(tmp_path: Path, processes: ForkServerContext) -> None:
    finish(start(processes, tmp_path, CHANGES, resume=False))
    whole = numbers(tmp_path)
    metrics = tmp_path / "run" / "metrics.jsonl"
    last = tmp_path / "run" / "checkpoints" / "step-000014"
    for file in last.iterdir():
        file.unlink()
    last.rmdir()
    metrics.write_text(metrics.read_text()[:-40])
    finish(start(processes, tmp_path, CHANGES, resume=True))
    assert numbers(tmp_path) == whole
