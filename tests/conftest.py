"""What every tier of tests shares: the program as a function, and the helpers that lie beside this file (`toys`)."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# The tests run in two processes on two cores; more threads would only wait for one another.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call of the program ended: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def speechrl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """The program `speechrl`, run in this process: `speechrl("config", "check", path)`."""
    from speechrl.cli import app as program

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["speechrl", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        capsys.readouterr()
        code: object = 0
        try:
            program.main()
        except SystemExit as ending:
            code = ending.code
        said = capsys.readouterr()
        return Ended(code if isinstance(code, int) else int(code is not None), said.out, said.err)

    return run
