"""The sentences of the synthetic corpus: what is said is what is written, and the test set stays out."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechrl.starter.asr import templates
from speechrl.starter.asr.texts import (
    MAX_WORDS,
    Sentence,
    clean,
    forbidden_from,
    join_neighbours,
    normalise,
    overlaps,
)

LEXICON = frozenset(["the", "dog", "lay", "on", "a", "mat", "it's", "well", "known", "mats", "mr", "txt"])
FORBIDDEN = forbidden_from(
    [
        "Please hang up, and dial the operator.",
        "Press 1 to listen",
        "Goodbye.",
        "[this is a simple beep tone]",
        "no way",
    ]
)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("The dog's mat, it's well-known!", "the dog's mat it's well known"),
        ("'The dogs' mat' -- A B C.", "the dogs mat a b c"),
        ("...", ""),
    ],
)
def test_normalise_keeps_the_spoken_words(raw: str, text: str) -> None:
    assert normalise(raw) == text


@given(st.text())
def test_normalise_stays_in_its_alphabet_and_repeats_itself(raw: str) -> None:
    text = normalise(raw)
    assert re.fullmatch(r"[a-z' ]*", text)
    assert normalise(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("please hang up and dial the operator", True),
        ("now please hang up and dial the other one", True),  # six words in a row
        ("hang up and dial the other one", False),  # five
        ("press one to listen", True),  # digits are compared as words
        ("press one to listen now", False),
        ("goodbye", False),  # shorter than three words may coincide
        ("no way", False),
        ("this is a simple beep tone", False),  # brackets describe sounds, nobody says them
    ],
)
def test_overlap_is_a_whole_transcript_or_a_six_gram(text: str, expected: bool) -> None:
    assert overlaps(text, FORBIDDEN) is expected


@pytest.mark.parametrize(
    "raw",
    [
        "the dog lay on 3 mats",
        "the dog lay on a zyzzogeton",  # pronunciation unknown
        "the DOG lay",  # read as letters
        "the dog lay on mat.txt",
        "the dog @ the mat",
        "mr dog lay",  # abbreviation
        "the dog x lay",
        "the dog s. lay on it's mat e.g. there",
        "",
        " ".join(["dog"] * (MAX_WORDS + 1)),
    ],
)
def test_clean_refuses_what_voices_could_read_in_two_ways(raw: str) -> None:
    assert clean(raw, LEXICON) is None


def test_clean_tidies_quotes_and_dashes_without_changing_a_word() -> None:
    raw = "\"the dog\" -- it's well known -- lay on the 'mat' ..."
    tidy = clean(raw, LEXICON)
    assert tidy == "The dog, it's well known, lay on the mat"
    assert normalise(tidy) == normalise(raw)


def test_templates_are_english_words_only_and_follow_the_seed() -> None:
    drawn = [templates.sentence(random.Random(seed)) for seed in range(1500)]
    assert all(re.fullmatch(r"[A-Za-z',.? -]+", sentence) for sentence in drawn)
    assert drawn == [templates.sentence(random.Random(seed)) for seed in range(1500)]
    assert len(set(drawn)) > 1200


def test_every_rule_of_the_grammar_can_be_expanded() -> None:
    for options in templates.RULES.values():
        for option in options:
            assert "{" not in templates.expand(option, random.Random(0))


def test_numbers_are_spelled_without_hyphens() -> None:
    assert templates.number_words(1942) == "one thousand nine hundred and forty two"
    assert templates.number_words(21, "ordinal") == "twenty first"


def test_joined_neighbours_keep_every_word_in_order() -> None:
    sentences = [Sentence(f"The dog {word}", f"the dog {word}", "s") for word in ("lay", "on", "mats")]
    joined = join_neighbours(sentences, 1.0, random.Random(0))
    assert len(joined) == 1
    assert joined[0].text == " ".join(sentence.text for sentence in sentences)
    assert joined[0].raw.count(". The") == 2
    assert join_neighbours(sentences, 0.0, random.Random(0)) == sentences
