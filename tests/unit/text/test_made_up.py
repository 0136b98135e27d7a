"""Words that answer nothing in another text."""

import pytest

from speechrl.text.made_up import made_up_words, words_of


def found(truth: str, hypothesis: str, min_run: int = 2) -> str:
    flags = made_up_words(truth, hypothesis, min_run)
    return " ".join(word for word, flag in zip(words_of(hypothesis), flags, strict=True) if flag)


def test_words_keep_apostrophes_and_drop_other_marks() -> None:
    assert words_of("Don\u2019t \u2013 it's well-known: 'so'.") == ["don't", "it's", "well", "known", "so"]


@pytest.mark.parametrize(
    ("truth", "hypothesis", "expected"),
    [
        ("call me back", "call me back", ""),
        ("call me back", "", ""),
        ("", "thank you", "thank you"),
        ("", "you", ""),
        ("call me back", "call me on the moon back", "on the moon"),
        ("call me tomorrow morning", "call me green hills", "green hills"),
        ("directory entries match", "drectory entrees mach", ""),
        ("temporary greeting", "temper airy greet in", ""),
    ],
)
def test_made_up_words_are_told_from_misheard_ones(truth, hypothesis, expected) -> None:
    assert found(truth, hypothesis) == expected


def test_a_run_is_not_broken_by_the_end_and_not_joined_across_an_answer() -> None:
    assert found("call me back", "so long call me back then again", 2) == "so long then again"
    assert found("call me back", "so call long me then back", 2) == ""


def test_words_keep_the_signs_of_their_script() -> None:
    hindi = "\u092e\u0948\u0902 \u0915\u0932 \u0917\u092f\u093e \u0925\u093e"
    assert words_of(hindi) == hindi.split()
    longer = hindi.replace(
        "\u0915\u0932",
        "\u0915\u0932 \u0935\u093f\u0936\u094d\u0935\u0935\u093f\u0926\u094d\u092f\u093e\u0932\u092f",
    )
    assert made_up_words(hindi, longer, 2) == (False,) * 5


def test_joiners_are_parts_of_words() -> None:
    assert words_of("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645") == [
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    ]
