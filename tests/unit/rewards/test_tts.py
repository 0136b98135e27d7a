import math
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechrl.rewards import tts
from speechrl.types import Ending, Output, Prompt

PROMPT = Prompt("p", "tts", "hello there")


@pytest.mark.parametrize(
    ("rate", "linear", "tanh", "exp"),
    [
        (0.0, 1.0, 1.0, 1.0),
        (0.1, 0.9, 1 - math.tanh(0.3), math.exp(-0.25)),
        (0.5, 0.5, 1 - math.tanh(1.5), math.exp(-1.25)),
        (1.0, 0.0, 1 - math.tanh(3.0), math.exp(-2.5)),
        (3.0, -1.0, 1 - math.tanh(9.0), math.exp(-7.5)),
    ],
)
def test_shapes(rate: float, linear: float, tanh: float, exp: float) -> None:
    assert tts.shaped(rate) == pytest.approx(linear)
    assert tts.shaped(rate, "tanh") == pytest.approx(tanh)
    assert tts.shaped(rate, "exp") == pytest.approx(exp)


def test_floor_is_of_the_linear_shape_and_can_be_lifted() -> None:
    assert tts.shaped(40.0, floor=None) == -39.0
    assert tts.shaped(40.0, floor=0.0) == 0.0
    # 1 - tanh(3 x) computed as written would be 0 here, and a harmonic mean with it.
    assert 0.0 < tts.shaped(7.0, "tanh") < 1e-17


@pytest.mark.parametrize(
    ("heard", "unit", "value"),
    [
        ("Hello, there!", "auto", 1.0),
        ("hello", "word", 0.5),
        ("hello their", "word", 0.5),
        ("hello their", "char", 0.8),
        ("", "auto", 0.0),
        ("hello hello hello hello there", "auto", -0.5),
    ],
)
def test_spoken_accuracy(heard: str, unit: str, value: float) -> None:
    assert tts.spoken_accuracy("hello there", heard, unit=unit) == pytest.approx(value)  # type: ignore[arg-type]


def test_likelihood_of_a_certain_an_uncertain_and_an_impossible_text() -> None:
    assert tts.likelihood(0.0) == 1.0
    assert tts.likelihood(3.0) == pytest.approx(math.exp(-1))
    assert tts.likelihood(math.inf) == 0.0


@pytest.mark.parametrize(
    ("lengths", "values"),
    [
        ([10, 10, 10], [0, 0, 0]),
        ([8, 10, 12], [-0.2, 0, -0.2]),
        # An even group: the median is between the middle two.
        ([5, 10, 20, 40], [-10 / 15, -5 / 15, -5 / 15, -1.0]),
        ([0, 0, 3], [0, 0, -1.0]),
        ([7], [0]),
        ([], []),
    ],
)
def test_duration(lengths: list[int], values: list[float]) -> None:
    assert tts.duration(lengths) == pytest.approx(values)


def test_duration_without_floor_lets_a_runaway_cost_what_it_is() -> None:
    assert tts.duration([10, 10, 200], floor=None) == [0, 0, -19]


def test_diversity_of_hand_made_groups() -> None:
    assert tts.diversity([(1, 2, 3), (1, 2, 3)]) == [0.0, 0.0]
    assert tts.diversity([(1, 2), (3, 4)]) == [1.0, 1.0]
    # Distances: 1/4 between the first two, 4/4 and 4/4 to the third.
    assert tts.diversity([(1, 2, 3, 4), (1, 2, 3, 9), (5, 6, 7, 8)]) == [0.625, 0.625, 1.0]
    assert tts.diversity([(1, 2)]) == [0.0]
    assert tts.diversity([]) == []
    assert tts.diversity([(), ()]) == [0.0, 0.0]


@given(st.lists(st.lists(st.integers(0, 4), max_size=6), min_size=2, max_size=5))
def test_diversity_is_a_share_and_does_not_ask_for_the_order(group: list[list[int]]) -> None:
    values = tts.diversity(group)
    assert all(0.0 <= value <= 1.0 for value in values)
    assert fmean(tts.diversity(group[::-1])) == pytest.approx(fmean(values))
    assert tts.diversity(group[::-1])[::-1] == pytest.approx(values)


def test_liveliness_is_worth_no_more_than_its_cap() -> None:
    assert tts.liveliness(0.2) == 0.2
    assert tts.liveliness(2.0) == 0.35
    assert tts.liveliness(2.0, cap=None) == 2.0


@pytest.mark.parametrize(("mos", "share"), [(1.0, 0.0), (3.0, 0.5), (5.0, 1.0), (0.8, 0.0), (5.2, 1.0)])
def test_mos_as_a_share(mos: float, share: float) -> None:
    assert tts.mos_share(mos) == share


def test_only_a_cut_is_no_stop() -> None:
    assert [tts.stop(ending) for ending in (Ending.STOP, Ending.UNPARSABLE, Ending.LENGTH)] == [0, 0, -1]


def test_hearing_metrics_count_by_word_and_rate_by_character_too() -> None:
    assert tts.hearing_metrics("hello there", "hello their now") == {
        "wer": 1.0,
        "cer": pytest.approx(4 / 10),
        "character_errors": 4,
        "characters": 10,
        "substitutions": 1,
        "deletions": 0,
        "insertions": 1,
        "words": 2,
    }


def test_terms_look_at_tokens_and_their_number() -> None:
    group = [Output("", Ending.STOP, 2, (1, 2)), Output("", Ending.LENGTH, 4, (1, 2, 3, 4))]
    assert tts.duration_term(group, PROMPT) == pytest.approx([-1 / 3, -1 / 3])
    assert tts.diversity_term(group, PROMPT) == [0.5, 0.5]
    assert [tts.stop_term(output, PROMPT) for output in group] == [0.0, -1.0]
    assert tts.speech_metrics(group[1]) == {"tokens": 4, "no_stop": 1.0}
