"""How the program ends: one message, the documented exit code, no traceback."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from speechrl import errors
from speechrl.cli import app as program

RUNNING = Path(__file__).resolve().parents[3] / "docs" / "running.md"
CLASSES = [errors.SpeechRLError, *errors.SpeechRLError.__subclasses__()]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_expected_failure_gives_its_code_and_one_message(kind, speechrl, monkeypatch) -> None:
    def fail() -> None:
        raise kind("row 3 of x.jsonl: field text is [empty]")

    monkeypatch.setattr(program, "app", fail)
    ended = speechrl("anything")
    assert ended.code == kind.exit_code
    assert ended.err == "error: row 3 of x.jsonl: field text is [empty]\n"
    assert ended.out == ""


def test_exit_codes_are_distinct_and_documented() -> None:
    documented = dict(re.findall(r"^\| (\d+) \|.*`(\w+Error)`[^|]*\|$", RUNNING.read_text(), re.MULTILINE))
    codes = {str(kind.exit_code): kind.__name__ for kind in CLASSES if kind is not errors.SpeechRLError}
    assert len(codes) == len(CLASSES) - 1
    assert {code: documented.get(code) for code in codes} == codes


def test_operating_system_failure_is_a_message_too(speechrl, monkeypatch) -> None:
    def fail() -> None:
        raise OSError(28, "No space left on device", "run/metrics.jsonl")

    monkeypatch.setattr(program, "app", fail)
    ended = speechrl("anything")
    assert ended.code == 1
    assert "No space left on device" in ended.err
    assert "Traceback" not in ended.err


def test_debug_variable_brings_the_traceback_back(speechrl, monkeypatch) -> None:
    def fail() -> None:
        raise errors.DataError("row 3")

    monkeypatch.setattr(program, "app", fail)
    monkeypatch.setenv(program.DEBUG_VARIABLE, "1")
    with pytest.raises(errors.DataError, match="row 3"):
        speechrl("anything")


def test_ctrl_c_is_130(speechrl, monkeypatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "app", interrupted)
    assert speechrl("anything").code == 130


def test_a_bug_is_not_hidden(speechrl, monkeypatch) -> None:
    def bug() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(program, "app", bug)
    with pytest.raises(ZeroDivisionError):
        speechrl("anything")


@pytest.mark.parametrize("arguments", [("nope",), ("train",), ("score", "x.jsonl", "--nope")])
def test_wrong_usage_is_2(speechrl, arguments) -> None:
    ended = speechrl(*arguments)
    assert ended.code == 2
    assert "Usage" in ended.err
