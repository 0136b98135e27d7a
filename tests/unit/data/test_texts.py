"""Choosing hard texts from a pool."""

import json

import pytest

from speechrl.data.manifests import read_manifest
from speechrl.data.prompts import to_prompt
from speechrl.data.texts import choose_texts, read_pool, write_texts
from speechrl.errors import DataError

POOL = [
    "The meeting is at noon.",
    "Call 555 0199.",
    "Call 42 77.",
    "Very very slowly.",
    "very, very slowly!",
    "One, one, one, two, three, four.",
]


def test_the_hardest_come_first_and_copies_once() -> None:
    chosen = choose_texts(POOL, ["digits", "repetition"], each=2)
    assert [(item.kind, item.text) for item in chosen if item.kind == "digits"] == [
        ("digits", "Call 555 0199."),
        ("digits", "Call 42 77."),
    ]
    # Of both kinds, it goes where there are fewer.
    assert {item.text for item in chosen if item.kind == "repetition"} == {POOL[3], POOL[5]}


def test_ordinary_texts_are_those_of_no_other_kind() -> None:
    chosen = choose_texts(POOL, ["digits", "ordinary"], each=9)
    assert [item.text for item in chosen if item.kind == "ordinary"] == ["The meeting is at noon."]


def test_an_id_tells_the_text_and_not_its_place(tmp_path) -> None:
    ids = {}
    for name, pool in (("a", POOL), ("b", POOL[2:])):
        write_texts(tmp_path / name, choose_texts(pool, ["digits"], each=9))
        rows = map(json.loads, (tmp_path / name).read_text().splitlines())
        ids[name] = {row["text"]: row["id"] for row in rows}
    assert ids["a"].items() > ids["b"].items()


def test_the_seed_decides_among_equals() -> None:
    pool = [f"Room {number}." for number in range(100, 160)]
    drawn = [[item.text for item in choose_texts(pool, ["digits"], 5, seed)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_held_out_texts_are_not_chosen_whatever_their_form() -> None:
    chosen = choose_texts(
        [*POOL, "Please call 555 0199 4 1 now."],
        ["digits"],
        9,
        without=["CALL 555 0199!!", "please call 555 0199 4 2 now"],
    )
    assert "Call 555 0199." not in {item.text for item in chosen}
    assert "Please call 555 0199 4 1 now." not in {item.text for item in chosen}  # one word away
    assert "Call 42 77." in {item.text for item in chosen}


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(DataError, match="unknown kind 'hard'; known: repetition"):
        choose_texts(POOL, ["hard"], 1)


def test_pools_are_lines_or_rows(tmp_path) -> None:
    (tmp_path / "a.txt").write_text("one\n\n two \n")
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two", "x": 1}\n')
    assert read_pool(str(tmp_path / "a.txt")) == read_pool(str(tmp_path / "a.jsonl")) == ["one", "two"]
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"txt": "two"}\n')
    with pytest.raises(DataError, match=r"a\.jsonl, row 2: field `text`"):
        read_pool(str(tmp_path / "a.jsonl"))


def test_what_is_written_with_voices_is_a_manifest_for_training(tmp_path) -> None:
    chosen = choose_texts(POOL, ["digits", "repetition"], each=2)
    out = tmp_path / "new" / "hard.jsonl"
    write_texts(out, chosen, voices="package:data/tts_en/voices.jsonl")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[0]["id"].startswith("digits-")
    assert len({row["id"] for row in rows}) == len(rows)
    assert rows[0]["hard"] == {"kind": "digits", "scores": {"digits": 7.0}}
    assert len({row["audio"] for row in rows}) == 4
    prompt = to_prompt(read_manifest(out)[0], task="tts")
    assert prompt.text == "Call 555 0199."
    assert prompt.duration_s > 3
