"""Judges agree or not, with each other, with the model, with the label."""

from __future__ import annotations

import pytest

from speechrl.selection.verdicts import find_consensus, find_verdict, mutual_error_rate

TWENTY = (
    "alfa bravo charlie delta echo foxtrot golf hotel india juliett "
    "kilo lima mike november oscar papa quebec romeo sierra tango"
)
ONE_OFF = TWENTY.replace("golf", "other")
TWO_OFF = ONE_OFF.replace("india", "another")
THREE_OFF = TWO_OFF.replace("mike", "wrong")


def test_mutual_error_rate_is_symmetric_and_divides_by_the_shorter() -> None:
    assert mutual_error_rate("a b c d", "a b") == mutual_error_rate("a b", "a b c d") == 2 / 2
    assert mutual_error_rate("", "") == 0
    assert mutual_error_rate("", "two words") == 2
    assert mutual_error_rate("Hello, there!", "hello there") == 0


def test_two_judges_agree_up_to_five_percent() -> None:
    assert find_consensus({"a": TWENTY, "b": ONE_OFF}).spread == pytest.approx(0.05)
    assert find_consensus({"a": TWENTY, "b": TWO_OFF}) is None


def test_a_quorum_takes_the_largest_set_in_which_each_agrees_with_each() -> None:
    three = {"a": "nothing like it", "b": TWENTY, "c": TWENTY}
    assert find_consensus(three) is None
    found = find_consensus(three, quorum=2)
    assert (found.judges, found.text) == (("b", "c"), TWENTY)
    # a and c each agree with b, but not with each other: no set of three.
    chain = {"a": TWENTY, "b": ONE_OFF, "c": TWO_OFF}
    assert find_consensus(chain) is None
    assert len(find_consensus(chain, quorum=2).judges) == 2


def test_the_words_are_those_of_the_judge_in_the_middle() -> None:
    found = find_consensus({"a": TWENTY, "b": ONE_OFF, "c": TWO_OFF}, agree=0.2)
    assert found.text == ONE_OFF


@pytest.mark.parametrize(
    ("hypothesis", "label", "judges", "verdict"),
    [
        (TWENTY, TWENTY, (TWENTY,), "unjudged"),
        (TWENTY, TWENTY, (TWENTY, THREE_OFF), "ambiguous"),
        (TWENTY, TWENTY, (TWENTY, TWENTY), "easy"),
        (TWO_OFF, TWENTY, (TWENTY, TWENTY), "easy"),  # 10 % is not more than 10 %
        (THREE_OFF, TWENTY, (TWENTY, TWENTY), "hard"),
        (THREE_OFF, None, (TWENTY, TWENTY), "hard"),
        (TWENTY, THREE_OFF, (TWENTY, TWENTY), "label_suspect"),
        (THREE_OFF, THREE_OFF, (TWENTY, TWENTY), "label_suspect"),  # the label is looked at first
        ("", "", ("", ""), "easy"),
        ("noise", "", ("", ""), "hard"),
    ],
)
def test_verdicts(hypothesis: str, label: str | None, judges: tuple[str, ...], verdict: str) -> None:
    opinions = {str(number): text for number, text in enumerate(judges)}
    consensus = find_consensus(opinions)
    assert find_verdict(hypothesis, label, opinions, consensus) == verdict
