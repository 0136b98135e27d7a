"""Italian sentences: accents are mended, what voices could read in two ways is refused, templates follow the seed."""

from __future__ import annotations

import random

import pytest

from speechrl.rollout.teacher import spoken_form
from speechrl.starter.asr import templates_it
from speechrl.starter.asr.texts import forbidden_from, overlaps
from speechrl.starter.asr.texts_it import ITALIAN, clean, mend_accents

LEXICON = frozenset(
    [
        "la",
        "lo",
        "perché",
        "città",
        "però",
        "là",
        "ci",
        "di",
        "acqua",
        "un",
        "poco",
        "qui",
        "età",
        "ha",
        "dove",
    ]
)


@pytest.mark.parametrize(
    ("raw", "mended"),
    [
        ("E' qui perche' la citta' c'e'", "È qui perché la città c'è"),
        ("un po' d'acqua", "un po' d'acqua"),
        ("Pero' dov'e' l'eta'?", "Però dov'è l'età?"),
    ],
)
def test_apostrophes_for_accents_become_accents(raw: str, mended: str) -> None:
    assert mend_accents(raw, LEXICON) == mended


def test_clean_keeps_the_words_and_their_accents() -> None:
    tidy = clean("\"e' qui\" -- perche' ha un po' d'acqua ...", LEXICON)
    assert tidy == "È qui, perché ha un po' d'acqua"
    assert spoken_form(tidy) == "è qui perché ha un po d'acqua"


@pytest.mark.parametrize(
    "raw",
    [
        "la città ha 3 acqua",
        "la città sconosciuta",  # not in the lexicon
        "qui ha sposo'",  # an accent that the lexicon does not decide
        "qui 'la citta è",
        "la CITTÀ",
        "ha b acqua",
        "",
    ],
)
def test_clean_refuses_what_voices_could_read_in_two_ways(raw: str) -> None:
    assert clean(raw, LEXICON) is None


def test_templates_are_words_and_follow_the_seed() -> None:
    drawn = [templates_it.sentence(random.Random(seed)) for seed in range(1000)]
    assert drawn == [templates_it.sentence(random.Random(seed)) for seed in range(1000)]
    assert not any(character.isdigit() or character in "{}|" for one in drawn for character in one)
    assert len(set(drawn)) > 800


def test_every_rule_of_the_grammar_can_be_expanded() -> None:
    for options in templates_it.RULES.values():
        for option in options:
            filled = templates_it.expand(option, random.Random(0), templates_it.RULES, templates_it.GENERATED)
            assert "{" not in filled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("premere uno per ascoltare", True),  # the digit of the transcript is compared as a word
        ("premere uno", False),
        ("r come roma", True),
        ("b come bologna", False),
    ],
)
def test_the_test_set_stays_out(text: str, expected: bool) -> None:
    forbidden = forbidden_from(["Premere 1 per ascoltare.", "r come roma"], ITALIAN)
    assert overlaps(text, forbidden) is expected
