"""Every configuration in the repository is right, and can be shown and read back."""

from __future__ import annotations

from pathlib import Path

import pytest

from speechrl.config.load import load_any, resolve_path, show
from speechrl.config.schema import RunConfig
from speechrl.config.selection import SelectionConfig
from speechrl.config.token2text import Token2TextRun
from speechrl.config.unread import unread_note

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))
LOADED = {path: load_any(path) for path in CONFIGS}
RUNS = [path for path, config in LOADED.items() if isinstance(config, RunConfig)]


def test_there_are_configurations() -> None:
    kinds = {type(config) for config in LOADED.values()}
    assert kinds == {RunConfig, SelectionConfig, Token2TextRun}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: str(path.relative_to(ROOT)))
def test_parses_and_survives_being_shown(path: Path, tmp_path: Path) -> None:
    config = LOADED[path]
    again = tmp_path / "again.yaml"
    again.write_text(show(config))
    assert load_any(again) == config


@pytest.mark.parametrize("path", RUNS, ids=lambda path: str(path.relative_to(ROOT)))
def test_shipped_data_that_it_names_is_there(path: Path) -> None:
    config = LOADED[path]
    assert config.output.startswith("runs/")
    train = [config.data.train] if isinstance(config.data.train, str) else config.data.train
    for name in (*train, *config.evaluation.sets.values()):
        if name.startswith("package:"):
            assert resolve_path(name.partition("#")[0]).exists(), name


def test_no_file_beside_them_is_left_unread() -> None:
    strays = [path for path in (ROOT / "configs").rglob("*") if path.is_file() and path.suffix != ".yaml"]
    assert strays == []


@pytest.mark.parametrize("path", RUNS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_run_sets_what_it_does_not_read(path: Path) -> None:
    assert unread_note(LOADED[path]) == ""
