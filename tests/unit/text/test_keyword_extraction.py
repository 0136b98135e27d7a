"""Rare words, proper nouns and tokens like those of products."""

from __future__ import annotations

import pytest

from speechrl.text.keyword_extraction import KeywordExtractor

TEXTS = [
    "We met Alice Smith in New York. Then we left.",
    "Alice came late, and the weather was bad.",
    "The weather in summer is good.",
    "the summer weather was good",
    "Call the PBX or buy an iPhone and an H323 adapter on the 4th floor.",
    "I think I'm late. Weather permitting.",
    "IN CAPITALS EVERYTHING IS LOUD",
]
POOL = [(text, "en") for text in TEXTS]


def extract(kind: str, text: str, language: str = "en", **options) -> tuple[str, ...]:
    return KeywordExtractor([(t, language) for t in TEXTS], [kind], **options).extract(text, language)


def test_neighbouring_proper_nouns_are_one_phrase() -> None:
    assert extract("proper", TEXTS[0]) == ("Alice Smith", "New York")


def test_a_capital_at_the_start_of_a_sentence_says_nothing_and_i_is_no_name() -> None:
    assert extract("proper", TEXTS[1]) == ()
    assert extract("proper", TEXTS[5]) == ()


def test_a_word_that_is_mostly_written_small_is_no_name() -> None:
    texts = [("we like Summer here", "en"), *[("we like summer here", "en")] * 3]
    assert KeywordExtractor(texts, ["proper"]).extract("we like Summer here") == ()


def test_german_capitals_are_no_names() -> None:
    assert extract("proper", "Das ist ein Haus in Berlin.", "de") == ()


def test_products_mix_letters_digits_and_capitals_and_an_ordinal_is_none() -> None:
    assert extract("product", TEXTS[4]) == ("PBX", "iPhone", "H323")


@pytest.mark.parametrize("kind", ["proper", "product"])
def test_capitals_tell_nothing_where_everything_is_a_capital(kind: str) -> None:
    assert extract(kind, TEXTS[6]) == ()


def test_rare_words_are_in_few_texts_and_the_rarest_come_first() -> None:
    rare = extract("rare", TEXTS[4], most=2)
    assert set(rare) <= {"Call", "iPhone", "adapter", "floor"}
    assert len(rare) == 2
    assert "weather" not in extract("rare", TEXTS[2])
    assert "summer" in extract("rare", TEXTS[2], rare_share=0.3)  # 2 of 7 texts


def test_keywords_come_in_the_order_in_which_they_are_said() -> None:
    every = KeywordExtractor(POOL, ["rare", "proper", "product"], most=9).extract(TEXTS[4])
    assert list(every) == sorted(every, key=TEXTS[4].find)
    assert len(every) == len(set(every))
