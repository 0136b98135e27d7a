"""Small folders in the shape that the study's commands leave, made by the code that leaves them."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from toys import WORDS, ToyRecogniser

from speechrl.config.load import load_as
from speechrl.config.selection import SelectionConfig
from speechrl.evaluate.results import Evaluation, Row, SetResult, assemble
from speechrl.selection.run import select

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))

import asr_study

PERFECT = Row("", "en", "a b", "a b", 0, 0, 0, 2, "stop", 3, False, False, False, False, 1, 0, 0)


def choose_toy_data(work: Path) -> None:
    """Choose from six clips by the rules of the study, but without judges."""
    (work / "clips").mkdir(parents=True)
    rows = []
    for index in range(6):
        sf.write(work / "clips" / f"{index}.wav", np.full(1600 + 160 * index, 0.02 * (index + 1)), 16_000)
        rows.append(
            {"id": f"clip-{index}", "audio": f"{index}.wav", "text": f"{WORDS[index]} {WORDS[5 - index]}"}
        )
    pool = work / "clips" / "train.jsonl"
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = ["judges.recognisers=[]", "probe.samples=2", "probe.max_new_tokens=4"]
    rules = load_as(SelectionConfig, asr_study.RULES, changes)
    names = [str(pool), f"{pool}#telephone@11"]
    select(
        rules,
        "toy",
        names,
        work / "data",
        torch.device("cpu"),
        lambda *_: None,
        load=lambda _: ToyRecogniser(),
    )


def finish_run(folder: Path, sets: object, **changes: object) -> None:
    """A run whose held-out sets have two utterances each, of which the second came out as told."""
    rows = tuple(_row(name, changes if name == "two" else {}) for name in ("one", "two"))
    after = Evaluation({name: SetResult(rows) for name in sets}, dict.fromkeys(sets, 2.0))
    after.write(folder / "evaluation" / "after")
    (folder / "evaluation.json").write_text(json.dumps(assemble(None, after, resamples=20)))
    steps = [{"step": step, "reward": 0.5, "seconds/rollout": 2.0, "seconds/update": 1.0} for step in (1, 2)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(step) + "\n" for step in steps))
    (folder / "model").mkdir()
    (folder / "model" / "speechrl.json").touch()


def _row(name: str, changes: dict[str, object]) -> Row:
    return replace(PERFECT, id=name, **changes)
