"""Rules that say what is hard to speak, on sentences of each kind and on ordinary ones."""

import json
from pathlib import Path

import pytest

from speechrl.text.hard import RULES, hardness

TEXTS = Path(__file__).parents[3] / "data" / "tts_en"


def texts(name: str) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in (TEXTS / f"{name}.jsonl").read_text().splitlines()]
    return [(row["id"].split("-")[1], row["text"]) for row in rows]


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("The meeting is on the second floor.", []),
        ("Very, very slowly the door opened.", ["repetition"]),
        ("Up and down, up and down went the boats.", ["repetition"]),
        ("Buffalo watch buffalo, and buffalo drink.", ["repetition"]),
        ("Six slick slim sycamore saplings swayed.", ["twister"]),
        ("Three free throws through the thick thicket.", ["twister"]),
        ("Call 555 before noon.", ["digits"]),
        ("Two hundred and forty paces.", ["digits"]),
        ("In two minutes.", []),
        ("Ask NASA or the U.S. Navy.", ["abbreviations"]),
        ("Dr. Hall weighs 80 kg.", ["abbreviations"]),
        ("She said no.", []),
        ("STOP THAT AT ONCE", []),
        ("He said bonjour dans le jardin, pour une fois.", ["code_switching"]),
        ("We call it спасибо большое here.", ["code_switching"]),
    ],
)
def test_a_text_is_of_the_kinds_that_one_hears_in_it(text, kinds) -> None:
    assert list(hardness(text)) == kinds


def test_long_begins_at_25_words() -> None:
    assert "long" not in hardness("word " * 24)
    assert hardness("word " * 25)["long"] == 25


def test_a_score_grows_with_what_there_is() -> None:
    assert hardness("call 5550199 now")["digits"] > hardness("call 555 now")["digits"] == 3
    assert hardness("no no no no stop")["repetition"] == 3


def test_rules_of_english_give_nothing_in_german() -> None:
    assert hardness("Fischers Fritze fischt frische Fische", "de") == {}


def test_rules_find_the_hand_written_sentences_and_leave_ordinary_ones_alone() -> None:
    by_hand = texts("hard")
    for kind, least in (("repetition", 20), ("digits", 20), ("long", 20), ("twister", 10)):
        assert sum(kind in hardness(text) for label, text in by_hand if label == kind) >= least, kind
    ordinary = [text for name in ("dev", "test") for _, text in texts(name)]
    for kind in RULES:
        assert sum(kind in hardness(text) for text in ordinary) <= 0.01 * len(ordinary), kind
