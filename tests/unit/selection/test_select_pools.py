"""Pools as they come: changed between two calls, without ids, with an odd row, in a language of some region."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from selection_toys import SIZE, Chooser, rules, write_pool

from speechrl.data.derive import read_set
from speechrl.data.manifests import read_manifest
from speechrl.data.prompts import to_prompt
from speechrl.errors import RewardError
from speechrl.rewards.registry import REWARDS, Reward
from speechrl.rewards.verdict import Verdict, failed


def test_a_pool_that_changed_gets_the_sound_of_its_own_items(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    Chooser()(rules(), f"{pool}#telephone", tmp_path / "out")
    lines = pool.read_text().splitlines()
    first = json.loads(lines[0]) | {"audio": "13.wav"}
    pool.write_text("\n".join([json.dumps(first), *lines[1:13]]) + "\n")
    Chooser()(rules(), f"{pool}#telephone", tmp_path / "out")
    cuts = {cut.id: cut for cut in read_manifest(tmp_path / "out" / "subsets" / "every.jsonl")}
    now = {cut.id: cut for cut in read_set(f"{pool}#telephone")}
    assert np.array_equal(to_prompt(cuts["clip-0-telephone"]).audio, to_prompt(now["clip-0-telephone"]).audio)


def test_ids_that_nobody_gave_hold_nothing_out(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    rows = [json.loads(line) for line in pool.read_text().splitlines()]
    pool.write_text("".join(json.dumps({k: v for k, v in row.items() if k != "id"}) + "\n" for row in rows))
    held = tmp_path / "held"
    held.mkdir()
    sf.write(held / "x.wav", np.full(4000, 0.5), 16_000)
    (held / "pool.jsonl").write_text(json.dumps({"audio": "x.wav", "text": "nothing alike"}) + "\n")
    assert {cut.id for cut in read_manifest(held / "pool.jsonl")} <= {cut.id for cut in read_manifest(pool)}
    found = Chooser()(rules(never=[str(held / "pool.jsonl")]), pool, tmp_path / "out")
    assert not found.dropped


class OneIsOdd:
    """A reward that cannot judge one utterance of the pool."""

    def __init__(self, *, odd: str = "clip-3") -> None:
        self.odd = odd

    def judge(self, outputs, prompts):
        return [
            failed("cannot judge this")
            if self.odd in (prompt.id, "all")
            else Verdict(float(len(output.text)))
            for output, prompt in zip(outputs, prompts, strict=True)
        ]


def test_one_odd_utterance_does_not_end_a_selection_and_many_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REWARDS, "odd", Reward(OneIsOdd, "asr", "batch"))
    pool = write_pool(tmp_path / "data")
    found = Chooser()(rules(rewards={"terms": [{"name": "odd"}]}), pool, tmp_path / "out")
    assert {one.id: one.rewards for one in found.utterances}["clip-3"] == ()
    every = {"terms": [{"name": "odd", "options": {"odd": "all"}}]}
    with pytest.raises(RewardError, match=f"{4 * SIZE} of {4 * SIZE} scores could not be computed"):
        Chooser()(rules(rewards=every), pool, tmp_path / "other")


def test_a_judge_understands_its_language_in_every_region(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    rows = [json.loads(line) | {"language": "en-US"} for line in pool.read_text().splitlines()]
    pool.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = []

    class Judge:
        def transcribe(self, clips):
            return [""] * len(clips)

    judges = {"recognisers": [{"name": "one", "languages": ["en"]}]}
    Chooser()(
        rules(judges=judges), pool, tmp_path / "out",
        load_judge=lambda name, *, language, **options: asked.append(language) or Judge(),
    )  # fmt: skip
    assert set(asked) == {"en"}
