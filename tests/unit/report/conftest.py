"""A made-up run, shared by the tests of the report."""

import runpy
from pathlib import Path

import pytest

FIXTURE = runpy.run_path(str(Path(__file__).parents[2] / "report_fixture.py"))


@pytest.fixture(scope="session")
def make():
    """What `report_fixture.py` defines, by name."""
    return FIXTURE


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory):
    """A finished run; read it, do not write to it."""
    return FIXTURE["make_run"](tmp_path_factory.mktemp("runs") / "finished", steps=24, utterances=24)
