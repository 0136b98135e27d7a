"""The folder of an ASR study: whose it is, which runs in it are finished, and what they gave."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from speechrl.evaluate.results import Row, read_evaluation
from speechrl.report.writers import read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from asr_study import Recipe, Study

START = "start"
"""Of the row that is not trained; its seed is 0."""
NOTE = "study.json"


def folder_of(work: Path, row: str, seed: int) -> Path:
    """The run directory of a row."""
    return work / "rows" / f"{row.replace(',', '').replace(' ', '_')}-{seed}"


def claim(work: Path, study: Study, recipes: Mapping[str, Recipe]) -> None:
    """Note whose runs a folder holds; runs of another study would be taken for ours."""
    old = refuse_another(work, study, recipes)
    rows = {row: recipe for row, recipe in old.get("rows", {}).items() if has_runs(work, row)}
    note = study.identity(recipes)
    work.mkdir(parents=True, exist_ok=True)
    (work / NOTE).write_text(json.dumps(note | {"rows": rows | note["rows"]}, indent=1) + "\n")


def refuse_another(work: Path, study: Study, recipes: Mapping[str, Recipe]) -> dict[str, Any]:
    """What a folder notes of its study.

    Rows of which there is no run may have changed.

    Raises:
        SystemExit: It is another than ours.
    """
    path = work / NOTE
    if not path.is_file():
        return {}
    old, new = json.loads(path.read_text()), study.identity(recipes)
    old_rows, new_rows = old.pop("rows", {}), new.pop("rows")
    pairs = {name: (old.get(name), new.get(name)) for name in {**old, **new}}
    pairs |= {
        f"row {row!r}": (old_rows.get(row), recipe) for row, recipe in new_rows.items() if has_runs(work, row)
    }
    told = [f"  {name}: {then} there, {now} here" for name, (then, now) in pairs.items() if then != now]
    if told:
        mend = "give another --work, or remove the folder"
        sys.exit("\n".join([f"{work} holds runs of another study; {mend}. What differs:", *told]))
    return {**old, "rows": old_rows}


def has_runs(work: Path, row: str) -> bool:
    """Whether a row was begun, with any seed."""
    name = folder_of(work, row, 0).name.removesuffix("0")
    return any(path.is_dir() for path in (work / "rows").glob(f"{name}[0-9]*"))


def finished(work: Path, rows: Iterable[str], seeds: list[int]) -> dict[str, list[int]]:
    """The seeds of which a row is finished, the start's first; rows without any are left out."""
    wanted = {START: [0], **dict.fromkeys(rows, seeds)}
    done = {row: [seed for seed in of if _is_done(folder_of(work, row, seed))] for row, of in wanted.items()}
    return {row: found for row, found in done.items() if found}


def _is_done(folder: Path) -> bool:
    return (folder / "evaluation.json").is_file()


def report(work: Path, row: str, seed: int, recipes: Mapping[str, Recipe]) -> dict[str, Any]:
    """What a run is and what it gave, set by set."""
    folder = folder_of(work, row, seed)
    content = json.loads((folder / "evaluation.json").read_text())
    recipe = {} if row == START else asdict(recipes[row])
    steps = list(read_rows(folder / "metrics.jsonl"))
    seconds = [sum(value for key, value in step.items() if key.startswith("seconds/")) for step in steps]
    return {
        "row": row, "seed": seed, **recipe, "steps": len(steps), "train_s": round(sum(seconds), 1),
        "evaluate_s": round(sum(content["seconds"]["after"].values()), 1),
        "sets": {
            name: {key: found[key] for key in (
                "wer", "substitutions", "deletions", "insertions", "words", "hallucination_rate", "loop_rate",
                "keyword_f1", "non_empty_rate",
            )}
            for name, found in content["after"].items()
        },
    }  # fmt: skip


def rows_of(folder: Path) -> dict[str, tuple[Row, ...]]:
    """Per-utterance rows of a finished run, by column set."""
    evaluation = read_evaluation(folder / "evaluation" / "after")
    assert evaluation is not None, folder
    found: dict[str, tuple[Row, ...]] = {}
    for name, result in evaluation.sets.items():
        part = name.partition("-")[0]
        found[part] = (*found.get(part, ()), *result.rows)
    return found
