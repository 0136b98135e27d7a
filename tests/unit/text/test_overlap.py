"""Which texts say again what a held-out text says."""

from __future__ import annotations

import pytest

from speechrl.text.overlap import HeldOutTexts, units

HELD_OUT = [
    ("Please hold the line for one moment.", "en"),
    ("Goodbye.", "en"),
    ("Your call is important. We will be with you in a moment.", "en"),
    ("", "en"),
]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("please hold the line for one moment", 0),  # equal, but for case and full stop
        ("Thank you. Please hold the line for one moment!", 0),  # a sentence of it
        ("so please hold the line for one moment and wait", 0),  # inside
        ("Hold the line.", None),  # three words may meet by chance
        ("hold the line for one", 0),  # a part of it, of four words or more
        ("please hold the lines for one moment", 0),  # one word of seven differs
        ("goodbye", 1),  # short texts must be equal
        ("say goodbye now", None),
        ("We will be with you in a moment.", 2),  # one of its sentences
        ("we will be there for you soon", None),
        ("", None),
    ],
)
def test_what_says_the_same_is_found(text: str, found: int | None) -> None:
    assert HeldOutTexts(HELD_OUT).find(text) == (None if found is None else HELD_OUT[found][0])


def test_near_copies_are_alike_from_four_fifths_on() -> None:
    held_out = HeldOutTexts([("a1 b1 c1 d1 e1", "nl")])
    assert held_out.find("a1 b1 X c1 d1 e1", "nl")  # 1 edit of 6
    assert held_out.find("a1 b1 X d1 e1", "nl")  # 1 of 5: exactly 0.8
    assert held_out.find("a1 X c1 Y e1", "nl") is None  # 2 of 5


def test_characters_need_twice_the_length() -> None:
    held_out = HeldOutTexts([("请稍等我们马上为您服务", "zh")])
    assert held_out.find("您好请稍等我们马上为您服务谢谢", "zh")
    assert held_out.find("请稍等我", "zh") is None


def test_units_are_the_whole_and_its_longer_sentences() -> None:
    assert (
        units("One two three four. Five.") == (("1234", "5"),)
        or len(units("Stop. Please wait a moment.")) == 2
    )
    assert units("...") == ()
