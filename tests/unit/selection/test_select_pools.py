"""Pools as they come: changed between two calls, without ids, with an odd row, in a language of some region."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from selection_toys import SIZE, Chooser, rules, write_pool

from speechrl.cli.data import _told
from speechrl.data.derive import read_set
from speechrl.data.manifests import read_manifest
from speechrl.data.prompts import to_prompt
from speechrl.errors import DataError, RewardError
from speechrl.rewards.registry import REWARDS, Reward
from speechrl.rewards.verdict import Verdict, failed
from speechrl.selection.utterances import _repeats


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


def test_subsets_of_other_rules_do_not_stay_beside_the_new_ones(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    Chooser()(rules(), pool, tmp_path / "out")
    Chooser()(rules(subsets={"all": {}}), pool, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out" / "subsets").iterdir()] == ["all.jsonl"]


def test_a_pool_that_would_be_written_over_is_refused(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    Chooser()(rules(), pool, tmp_path / "out")
    subset = tmp_path / "out" / "subsets" / "every.jsonl"
    before = subset.read_text()
    with pytest.raises(DataError, match="give another --out"):
        Chooser()(rules(), subset, tmp_path / "out")
    assert subset.read_text() == before
    assert Chooser()(rules(), subset, tmp_path / "other").card["pool"]["utterances"] == SIZE


def test_a_store_without_room_for_all_is_told(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    for gigabytes, told in ((1e-12, "room for 0 of 14 recordings"), (0.001, "")):
        probe = rules().probe.model_copy(update={"keep_contexts_gb": gigabytes})
        card = Chooser()(rules().model_copy(update={"probe": probe}), pool, tmp_path / "out").card
        lines = [line for line in _told(card) if line.startswith("contexts")]
        assert bool(lines) == bool(told)
        assert all(told in line for line in lines)


def test_a_shard_of_another_version_says_how_to_go_on(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    Chooser()(rules(), pool, tmp_path / "out")
    shard = next((tmp_path / "out" / "probe").rglob("shard-00000.jsonl"))
    rows = [json.loads(line) for line in shard.read_text().splitlines()]
    shard.write_text("".join(json.dumps(row | {"flavour": 1}) + "\n" for row in rows))
    with pytest.raises(DataError, match="remove the folder `probe`"):
        Chooser()(rules(), pool, tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "language", "repeats"),
    [
        ("four four four four", "en", True),
        ("please hold the line please hold the line", "en", True),
        ("bye bye", "en", False),
        ("one billion is 1,000,000,000", "en", False),
        ("1000", "zh", False),
        ("\u8c22\u8c22\u4f60\u6765\u8c22\u8c22\u4f60\u6765", "zh", False),
        ("\u8bf7\u4e0d\u8981\u6302\u65ad\u60a8\u7684\u7535\u8bdd" * 2, "zh", True),
    ],
)
def test_speech_repeats_words_not_characters(text: str, language: str, repeats: bool) -> None:
    assert _repeats(text, language) == repeats
