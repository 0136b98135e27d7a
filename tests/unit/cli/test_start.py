"""The program starts quickly: verbs that need no model import no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import speechrl as package

HEAVY = ("torch", "transformers", "lhotse", "peft")
START = """
import sys
sys.argv = ["speechrl", *sys.argv[1:]]
from speechrl.cli.app import main
try:
    main()
except SystemExit as ending:
    code = ending.code
print("heavy:", [name for name in {heavy!r} if name in sys.modules], "code:", code, file=sys.stderr)
"""


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = START.format(heavy=HEAVY)
    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("config", "check", "package:configs/asr/quickstart.yaml")]
)
def test_light_verbs_import_nothing_heavy(arguments) -> None:
    ended = start(*arguments)
    assert ended.stderr.splitlines()[-1] == "heavy: [] code: 0"


def test_score_imports_no_torch(tmp_path) -> None:
    rows = tmp_path / "hypotheses.jsonl"
    rows.write_text('{"id": "a", "reference": "hello there", "hypothesis": "hello"}\n')
    ended = start("score", str(rows), "--json")
    assert ended.stderr.splitlines()[-1] == "heavy: [] code: 0"


def test_help_names_every_verb_and_the_exit_codes(speechrl) -> None:
    from speechrl.cli.app import VERBS

    ended = speechrl("--help")
    positions = [ended.out.index(f"│ {verb} ") for verb in VERBS]
    assert positions == sorted(positions)
    assert "130 interrupted" in " ".join(ended.out.split())


@pytest.mark.parametrize(
    "verb",
    [
        ("quickstart", "asr"), ("quickstart", "tts"), ("train",), ("evaluate",), ("report",), ("score",),
        ("data", "import"), ("data", "check"), ("config", "show"), ("config", "check"), ("doctor",),
    ],
)  # fmt: skip
def test_every_verb_explains_itself(verb, speechrl) -> None:
    ended = speechrl(*verb, "--help")
    assert ended.code == 0
    assert f"speechrl {' '.join(verb)}" in ended.out
