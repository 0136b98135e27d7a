"""What the documents claim about the repository is so."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from speechrl.config.schema import AlgorithmConfig

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
LINK = re.compile(r"\[[^\]]+\]\(([^)#\s]+)(#[^)\s]+)?\)")


def by_name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_links_lead_somewhere(document) -> None:
    for target, anchor in LINK.findall(document.read_text()):
        if "://" in target:
            continue
        file = (document.parent / target).resolve()
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor[1:] in {re.sub(r"[^\w -]", "", name).lower().replace(" ", "-") for name in headings}


def commands(document: Path) -> list[str]:
    """The indented command lines of a document that call the program."""
    lines = re.findall(r"^    (speechrl .+)$", document.read_text(), re.MULTILINE)
    return [line.partition(" #")[0] for line in lines]


@pytest.mark.parametrize("document", DOCUMENTS, ids=by_name)
def test_commands_name_verbs_and_options_that_exist(document, speechrl) -> None:
    for line in commands(document):
        words = shlex.split(line)[1:]
        verb = words[:2] if words[0] in ("quickstart", "data", "config") else words[:1]
        shown = speechrl(*verb, "--help")
        assert shown.code == 0, line
        for option in (word.partition("=")[0] for word in words if word.startswith("--")):
            assert option in shown.out, line


def test_the_map_of_the_readme_has_every_room() -> None:
    readme = (ROOT / "README.md").read_text()
    rooms = {path.name for path in (ROOT / "src" / "speechrl").iterdir() if (path / "__init__.py").exists()}
    mapped = set(re.findall(r"^      (\w+)/ ", readme, re.MULTILINE))
    assert rooms == mapped


def test_the_import_order_of_contributing_is_the_one_that_is_held() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    layers = tools["importlinter"]["contracts"][0]["layers"]
    held = [layer for layer in layers if not layer.startswith("(distributed")]
    order = " > ".join(held).replace("(", "").replace(")", "")
    assert order in (ROOT / "CONTRIBUTING.md").read_text()


def test_every_algorithm_and_option_is_described() -> None:
    text = (ROOT / "docs" / "algorithms.md").read_text()
    for name, field in AlgorithmConfig.model_fields.items():
        assert name == "name" or f"`{name}`" in text or f"algorithm.{name}`" in text, name
        for choice in (choice for choice in get_args(field.annotation) if isinstance(choice, str)):
            assert f"`{choice}`" in text, choice


def test_make_targets_of_the_documents_exist() -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        named = re.findall(r"(?:^    |`)make (\w+)", document.read_text(), re.MULTILINE)
        assert set(named) <= targets, document.name


def test_pins_start_with_torch_and_are_exact() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert lines[0].startswith("torch==")
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.]+", line) for line in lines)
