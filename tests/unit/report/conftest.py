"""Made-up runs, shared by the tests of the report."""

import pytest
import report_fixture
from speech_report_fixture import make_speech_run


@pytest.fixture(scope="session")
def make():
    """What `report_fixture.py` defines, by name."""
    return vars(report_fixture)


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory):
    """A finished run; read it, do not write to it."""
    return report_fixture.make_run(tmp_path_factory.mktemp("runs") / "finished", steps=24, utterances=24)


@pytest.fixture(scope="session")
def speech_dir(tmp_path_factory):
    """A finished run of a synthesiser whose rewards listen; read it, do not write to it."""
    return make_speech_run(tmp_path_factory.mktemp("runs") / "spoken", steps=12, sentences=10)
