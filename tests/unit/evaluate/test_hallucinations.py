"""Labels, corruptions and grades of the set that detectors are measured on."""

import pytest

from speechrl.evaluate.hallucinations import grade, insert_loop, insert_run, label_words

SAID = "please hold the line while i try that extension"


def labelled(reference: str, hypothesis: str) -> str:
    """The words that nobody said."""
    flags = label_words(reference, hypothesis)
    return " ".join(word for word, flag in zip(hypothesis.split(), flags, strict=True) if flag)


def test_the_truth_has_no_label_whatever_its_case_and_punctuation() -> None:
    assert not any(label_words("Please hold, the LINE.", "please hold the line"))


def test_a_run_that_nobody_said_is_labelled() -> None:
    assert (
        labelled(SAID, "please hold the line over the old hill while i try that extension")
        == "over the old hill"
    )


def test_two_words_too_many_are_errors_and_no_run() -> None:
    assert labelled(SAID, "please hold on now the line while i try that extension") == ""


def test_misheard_words_are_no_hallucination() -> None:
    assert labelled("the sixth sick sheikhs sixth sheep", "the six sik sheeks six sheep") == ""
    assert labelled("your conference is recorded", "your come fairy ends is recorded") == ""


def test_a_loop_in_place_of_what_was_said_is_labelled() -> None:
    # As many words as the reference: a plain word alignment calls them substitutions.
    assert labelled(SAID, "please hold the line line line line line line") == "line line line line line"


def test_over_silence_every_word_is_labelled() -> None:
    assert label_words("", "thank you") == (True, True)
    assert label_words("", "") == ()
    assert label_words(SAID, "") == ()


@pytest.mark.parametrize("before", [0, 4, 9])
def test_labels_of_a_constructed_run_are_those_of_the_alignment(before) -> None:
    text, labels = insert_run(SAID, ["seven", "purple", "bicycles", "vanished"], before)
    assert label_words(SAID, text) == labels
    assert sum(labels) == 4


def test_a_constructed_loop_is_longer_by_what_is_labelled() -> None:
    text, labels = insert_loop(SAID, 2, 2, 3)
    assert text.startswith("please hold the line the line the line the line while")
    assert sum(labels) == 6
    assert sum(label_words(SAID, text)) == 6


def test_grades_are_ratios_of_sums_over_words() -> None:
    found = [(True, True, False), (False,), (True, False)]
    labels = [(True, False, True), (False,), (True, False)]
    result = grade(found, labels, ["a", "b", "c"])
    assert result.precision.value == pytest.approx(2 / 3)
    assert result.recall.value == pytest.approx(2 / 3)
    assert result.f1.value == pytest.approx(2 / 3)
    assert result.precision.low <= 2 / 3 <= result.precision.high


def test_a_detector_that_finds_nothing_has_no_precision_and_no_recall() -> None:
    result = grade([(False, False)], [(True, False)], ["a"])
    assert result.precision is None
    assert result.recall.value == 0.0


def test_clusters_are_drawn_whole() -> None:
    # With one cluster every resample is the same.
    found, labels = [(True,), (True,), (False,)], [(True,), (False,), (True,)]
    one = grade(found, labels, ["a", "a", "a"]).precision
    assert one.low == one.high == one.value == 0.5
    many = grade(found, labels, ["a", "b", "c"]).precision
    assert many.low < many.high
