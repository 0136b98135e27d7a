from collections.abc import Sequence

import pytest

from speechrl.rewards.asr import (
    View,
    accuracy,
    asr_metrics,
    keyword_counts,
    keywords,
    language_match,
    silence,
)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "language", "expected"),
    [
        ("the cat sat down", "the cat sat down", "en", 1.0),
        ("the cat sat down", "The cat, sat down!", "en", 1.0),
        ("the cat sat down", "the cat sat", "en", 0.75),
        ("the cat sat down", "the bat sat town", "en", 0.5),
        ("the cat sat down", "", "en", 0.0),
        ("the cat sat down", "the cat sat down there", "en", 0.75),
        ("cat", "cat dog dog", "en", -1.0),
        ("cat", "cat" + " dog" * 50, "en", -1.0),
        ("", "", "en", 1.0),
        ("", "hello", "en", 0.0),
        ("", "hello there you", "en", -1.0),
        ("你好世界", "你好世", "zh", 0.75),
        ("你好世界", "hello world", "zh", -1.0),
        ("press 5 or 20", "press five or twenty", "en", 1.0),
        ("你好", "你好", "en", 1.0),
        ("你好", "", "en", 0.0),
    ],
)
def test_accuracy_table(reference: str, hypothesis: str, language: str, expected: float) -> None:
    assert accuracy(reference, hypothesis, language) == pytest.approx(expected)


@pytest.mark.parametrize(("floor", "expected"), [(None, -49.0), (-1.0, -1.0), (0.0, 0.0), (-3.5, -3.5)])
def test_accuracy_floor(floor: float | None, expected: float) -> None:
    assert accuracy("cat", "cat" + " dog" * 50, floor=floor) == expected


def test_accuracy_unit_is_an_option() -> None:
    assert accuracy("a cat", "a car", unit="word") == 0.5
    assert accuracy("a cat", "a car", unit="char") == 0.75
    assert accuracy("你好", "你们", "zh", unit="word") == 0.0


def test_bracketed_words_are_not_free() -> None:
    assert accuracy("press any key", "press any key (or stay)") == pytest.approx(1 - 2 / 3)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected", "view", "value"),
    [
        ("call alice and bob", "call alice and bob", ["alice", "bob"], "mean", 1.0),
        ("call alice and bob", "call alice and rob", ["alice", "bob"], "recall", 0.5),
        ("call alice and bob", "call alice and rob", ["alice", "bob"], "precision", 1.0),
        ("call alice and bob", "call alice and rob", ["alice", "bob"], "mean", 0.75),
        ("call alice", "call alice alice", ["alice"], "precision", 0.5),
        ("call alice", "call alice alice", ["alice"], "recall", 1.0),
        ("call alice", "", ["alice"], "mean", 0.0),
        ("call alice", "call", ["alice"], "mean", 0.0),
        ("call me", "call me", [], "mean", 1.0),
        ("call me", "call you", ["alice"], "mean", 1.0),
        ("call me", "call alice", ["alice"], "mean", 0.0),
        ("", "", ["alice"], "mean", 1.0),
        ("new york city", "New York, city", ["New York"], "mean", 1.0),
        ("new york city", "york new city", ["New York"], "mean", 0.0),
        ("the colour red", "the color red", ["colour"], "mean", 1.0),
        ("dial four five six", "dial 456", ["four five six"], "mean", 1.0),
        ("dial four five six", "dial four five six", ["four"], "mean", 1.0),
        ("call alice", "call alice", ["alice", "Alice!"], "mean", 1.0),
    ],
)
def test_keywords_table(
    reference: str, hypothesis: str, expected: Sequence[str], view: View, value: float
) -> None:
    assert keywords(reference, hypothesis, expected, view=view) == value


def test_an_elided_article_does_not_hide_a_keyword() -> None:
    assert keywords("Usi l'elenco", "usi l'elenco", ["elenco"], language="it") == 1.0
    assert keywords("Usi l'elenco", "usi l elenco", ["elenco"], language="it") == 1.0


def test_a_vocabulary_keyword_without_support_costs_precision() -> None:
    assert keywords("call alice", "call alice siri", ["alice"], vocabulary=["siri"]) == 0.75
    assert keywords("call me", "call me siri", [], vocabulary=["siri"]) == 0.0
    assert keywords("call me", "call me", [], vocabulary=["siri"]) == 1.0


def test_keyword_counts_are_sums() -> None:
    assert keyword_counts("a b a", "a a a c", ["a", "b", "c"]) == (2, 4, 3)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [("", "", 1.0), ("", " ... ", 1.0), ("", "thank you", 0.0), ("hello", "", 0.0), ("hello", "hello", 0.0)],
)
def test_silence_table(reference: str, hypothesis: str, expected: float) -> None:
    assert silence(reference, hypothesis) == expected


@pytest.mark.parametrize(
    ("hypothesis", "language", "expected"),
    [
        ("you are not on the list", "en", 0.0),
        ("vous n'êtes pas sur la liste et c'est fermé", "en", -1.0),
        ("你好世界", "en", -1.0),
        ("ok", "zh", 0.0),
        ("", "en", 0.0),
        ("anything at all", "xx", 0.0),
    ],
)
def test_language_table(hypothesis: str, language: str, expected: float) -> None:
    assert language_match(hypothesis, language) == expected


def test_metrics_are_complete() -> None:
    assert asr_metrics("try it again", "try try try try it now") == {
        "wer": pytest.approx(4 / 3),
        "substitutions": 1,
        "deletions": 0,
        "insertions": 3,
        "words": 3,
        "hallucination": 1.0,
        "loop": 1.0,
        "wrong_language": 0.0,
        "empty": 0.0,
    }
    assert asr_metrics("hello", "")["empty"] == 1.0
    assert asr_metrics("", "hello")["wer"] == 1.0


@pytest.mark.parametrize(
    ("reference", "hypothesis", "keyword", "language"),
    [
        ("Don't hold the line", "do not hold the line", "don't", "en"),
        ("It is 3.5 volts", "it is three point five volts", "3.5", "en"),
        ("costs $5 now", "costs five dollars now", "$5", "en"),
        ("\u0130zmir g\u00fczel", "izmir g\u00fczel", "\u0130zmir", "tr"),
    ],
)
def test_a_keyword_is_found_in_its_normal_form(
    reference: str, hypothesis: str, keyword: str, language: str
) -> None:
    assert accuracy(reference, hypothesis, language) == 1.0
    assert keyword_counts(reference, hypothesis, [keyword], language) == (1, 1, 1)
