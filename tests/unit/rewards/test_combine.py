import math

import pytest

from speechrl.rewards.combine import harmonic_mean, normalised_sums, weighted_sum


def test_weighted_sum() -> None:
    assert weighted_sum([0.5, -1.0], [2.0, 0.25]) == 0.75


@pytest.mark.parametrize(
    ("values", "weights", "mean"),
    [
        ([0.5, 0.5], [1, 1], 0.5),
        ([1.0, 0.5], [1, 1], 2 / 3),
        ([1.0, 0.5], [3, 1], 4 / 5),
        ([1.0, 0.1], [1, 1], 2 / 11),
        ([0.9, 0.0], [1, 1], 0.0),
        ([0.9, 0.0], [1, 0], 0.9),
    ],
)
def test_harmonic_mean(values: list[float], weights: list[float], mean: float) -> None:
    assert harmonic_mean(values, weights) == pytest.approx(mean)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan])
def test_harmonic_mean_of_other_values_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        harmonic_mean([0.5, value], [1, 1])


def test_normalised_sums_use_the_sample_deviation() -> None:
    # Mean 2, sample deviation 1 (population: 0.816).
    assert normalised_sums([[1.0], [2.0], [3.0]], [2.0]) == pytest.approx([-2, 0, 2], abs=1e-4)


def test_normalising_makes_scales_alike_and_a_constant_term_harmless() -> None:
    rows = [[0.0, 5.0, 300.0], [1.0, 5.0, 100.0]]
    both = normalised_sums(rows, [1.0, 1.0, 1.0])
    assert both == pytest.approx([0.0, 0.0], abs=1e-4)
    first = normalised_sums(rows, [1.0, 1.0, 0.0])
    assert first == pytest.approx([-1 / math.sqrt(2), 1 / math.sqrt(2)], abs=1e-4)


def test_normalised_sums_of_one_or_no_output() -> None:
    assert normalised_sums([[0.3, 7.0]], [1.0, 1.0]) == [0.0]
    assert normalised_sums([], [1.0]) == []
