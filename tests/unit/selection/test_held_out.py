"""Held-out sentences stay out of what is made of recordings, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from selection_toys import SIZE, Chooser, rules, text, write_pool

from speechrl.data.derive import read_set
from speechrl.data.prompts import without_audio
from speechrl.data.written import write_derived
from speechrl.errors import DataError
from speechrl.selection.held_out import HeldOut, held_out_rows
from speechrl.text.overlap import HeldOutTexts

REAL = "package:data/asterisk_en"


def pool_with_test_rows(folder: Path) -> tuple[Path, Path]:
    """A pool of 14 rows, and a test set of which 3 are in it, two of them under other ids."""
    pool = write_pool(folder)
    rows = [json.loads(line) for line in pool.read_text().splitlines()]
    held = [rows[0], rows[1] | {"id": "same-text"}, rows[2] | {"id": "same-sound", "text": "not the same"}]
    held[1]["audio"] = "9.wav"
    never = folder / "test.jsonl"
    never.write_text("".join(json.dumps(row) + "\n" for row in held))
    # 9.wav is the sound of the second held-out row, so clip-9 is held out as well.
    return pool, never


@pytest.mark.parametrize("kind", ["repeated", "noise", "speed", "telephone"])
def test_nothing_is_made_of_a_held_out_row(tmp_path: Path, kind: str) -> None:
    pool, never = pool_with_test_rows(tmp_path / "data")
    found = Chooser()(rules(never=[str(never)]), f"{pool}#{kind}@5", tmp_path / "out")
    made_of = {
        name
        for cut in read_set(tmp_path / "out" / "subsets" / "every.jsonl")
        for name in [
            *cut.supervisions[0].custom["made"]["of"],
            *cut.supervisions[0].custom["made"].get("voices", ()),
        ]
    }
    assert made_of == {f"clip-{index}" for index in range(SIZE)} - {"clip-0", "clip-1", "clip-2", "clip-9"}
    assert found.card["held_out_rows"] == {str(pool): 4}
    assert "4 of `" in (tmp_path / "out" / "card.md").read_text()


def test_a_pool_that_is_held_out_as_a_whole_is_told(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    with pytest.raises(DataError, match="every row is in the held-out sets"):
        Chooser()(rules(never=[str(pool)]), f"{pool}#repeated@5", tmp_path / "out")


def test_what_was_made_of_a_held_out_row_before_is_found_in_real_recordings(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    write_derived(f"{REAL}/dev.jsonl", ["long", "repeated", "noise"], 3, folder)
    made = read_set(folder / "manifest.jsonl")
    held_out = HeldOut([f"{REAL}/dev.jsonl"])
    assert all(held_out.refuses(cut) for cut in made)
    # Also where the ids say nothing: long and repeated items by the sentences that they join, whatever their length.
    for cut in made:
        cut.supervisions[0].custom["made"] |= {"of": [], "voices": []}
    joined = [cut for cut in made if cut.supervisions[0].custom["made"]["kind"] in ("long", "repeated")]
    spoken = [cut for cut in joined if without_audio(cut).text]
    assert len(spoken) > 80
    assert all(held_out.refuses(cut) for cut in spoken)


def test_the_train_split_keeps_its_rows_beside_the_held_out_splits() -> None:
    held_out = HeldOut([f"{REAL}/dev.jsonl", f"{REAL}/test.jsonl"])
    rows = held_out_rows([f"{REAL}/train.jsonl#long@11"], held_out)[f"{REAL}/train.jsonl"]
    assert len(rows) < 0.05 * len(read_set(f"{REAL}/train.jsonl"))


def test_texts_without_spaces_are_compared_by_character_whatever_their_tag() -> None:
    sentence = "今天天气很好我们去公园"
    held_out = HeldOutTexts([(f"{sentence}。你好", "en")])
    assert held_out.find(sentence, "zh")
    assert held_out.find(sentence, "en")
    assert held_out.find("明天下雨所以我们留在家里看书", "zh") is None


def test_a_short_sentence_counts_only_in_a_text_that_was_joined() -> None:
    held_out = HeldOutTexts([("Call waiting.", "en")])
    longer = "Press one. Call waiting. Thank you."
    assert held_out.find(longer) is None
    assert held_out.find(longer, joined=True) == "Call waiting."


def test_test_sets_without_texts_hold_out_by_sound(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    never = tmp_path / "data" / "test.jsonl"
    never.write_text(json.dumps({"id": "other", "audio": "3.wav"}) + "\n")
    found = Chooser()(rules(never=[str(never)]), pool, tmp_path / "out")
    named = {one.key: one.id for one in found.utterances}
    assert {named[key]: reason for key, reason in found.dropped.items()} == {"clip-3": "held_out_audio"}


def test_the_text_of_an_unlabelled_pool_is_compared_where_there_is_one(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "data")
    never = tmp_path / "data" / "test.jsonl"
    never.write_text(json.dumps({"id": "other", "audio": "12.wav", "text": text(4)}) + "\n")
    hypotheses = tmp_path / "heard.jsonl"
    hypotheses.write_text(
        "".join(json.dumps({"id": f"clip-{i}", "hypothesis": f"word{i}"}) + "\n" for i in range(SIZE))
    )
    judges = {"hypotheses": {"one": str(hypotheses), "two": str(hypotheses)}}
    config = rules(never=[str(never)], judges=judges, labels="judges")
    found = Chooser()(config, pool, tmp_path / "out")
    named = {one.key: one.id for one in found.utterances}
    assert {named[key]: reason for key, reason in found.dropped.items()} == {
        "clip-4": "held_out_text",
        "clip-12": "held_out_audio",
    }
