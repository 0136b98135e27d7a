import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechrl.text.alignment import Operation, align, align_texts

WORDS = st.lists(st.sampled_from("abcd"), max_size=12)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "hits", "substitutions", "deletions", "insertions", "rate"),
    [
        ("a b c", "a b c", 3, 0, 0, 0, 0.0),
        ("a b c", "a x c", 2, 1, 0, 0, 1 / 3),
        ("a b c", "a c", 2, 0, 1, 0, 1 / 3),
        ("a b c", "a b x y c", 3, 0, 0, 2, 2 / 3),
        ("a b", "", 0, 0, 2, 0, 1.0),
        ("", "a b c", 0, 0, 0, 3, 3.0),
        ("", "", 0, 0, 0, 0, 0.0),
        ("a", "a a a a", 1, 0, 0, 3, 3.0),
    ],
)
def test_counts_by_hand(
    reference: str,
    hypothesis: str,
    hits: int,
    substitutions: int,
    deletions: int,
    insertions: int,
    rate: float,
) -> None:
    alignment = align(reference.split(), hypothesis.split())
    assert (alignment.hits, alignment.substitutions, alignment.deletions, alignment.insertions) == (
        hits,
        substitutions,
        deletions,
        insertions,
    )
    assert alignment.error_rate == pytest.approx(rate)


def test_operations_name_their_slices() -> None:
    assert align(["a", "b"], ["a", "x", "y", "b"]).operations == (
        Operation("equal", 0, 1, 0, 1),
        Operation("insert", 1, 1, 1, 3),
        Operation("equal", 1, 2, 3, 4),
    )


@given(WORDS, WORDS)
def test_views_agree_with_each_other_and_with_the_textbook(
    reference: list[str], hypothesis: list[str]
) -> None:
    alignment = align(reference, hypothesis)
    assert alignment.hits + alignment.substitutions + alignment.deletions == alignment.words == len(reference)
    assert alignment.hits + alignment.substitutions + alignment.insertions == len(hypothesis)
    assert alignment.errors == _edit_distance(reference, hypothesis)
    rebuilt = [
        token for op in alignment.operations for token in hypothesis[op.hypothesis_start : op.hypothesis_end]
    ]
    assert rebuilt == hypothesis


def test_same_counts_as_jiwer() -> None:
    reference, hypothesis = "please press the pound key now", "please please press pound keys right now"
    theirs = jiwer.process_words(reference, hypothesis)
    ours = align(reference.split(), hypothesis.split())
    assert (ours.hits, ours.substitutions, ours.deletions, ours.insertions) == (
        theirs.hits,
        theirs.substitutions,
        theirs.deletions,
        theirs.insertions,
    )


def test_texts_are_normalised_by_language() -> None:
    assert align_texts("I won't!", "i will not", "en").errors == 0
    assert align_texts("你好世界", "你好，世", "zh").error_rate == 0.25


def _edit_distance(reference: list[str], hypothesis: list[str]) -> int:
    row = list(range(len(hypothesis) + 1))
    for i, left in enumerate(reference, start=1):
        previous, row = row, [i]
        for j, right in enumerate(hypothesis, start=1):
            row.append(min(previous[j] + 1, row[-1] + 1, previous[j - 1] + (left != right)))
    return row[-1]
