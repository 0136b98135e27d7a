"""Intervals and the paired test on cases whose answer is known."""

from dataclasses import astuple

import numpy as np
import pytest

from speechrl.evaluate import bootstrap
from speechrl.evaluate.bootstrap import interval, paired, paired_difference, paired_ratios


def test_the_value_is_a_ratio_of_sums_not_a_mean_of_ratios():
    got = interval([1, 0], [1, 9])
    assert got is not None
    assert got.value == pytest.approx(1 / 10)  # the mean of ratios would be 1 / 2
    assert got.low == 0.0
    assert got.high == 1.0


def test_no_spread_between_utterances_gives_a_point():
    got = interval([2] * 50, [10] * 50)
    assert got == bootstrap.Interval(0.2, 0.2, 0.2)


def test_a_rate_over_no_words_does_not_exist():
    assert interval([3, 1], [0, 0]) is None
    assert paired([3, 1], [0, 0], [0, 0]) is None


def test_same_seed_same_interval_and_memory_chunks_do_not_change_it(monkeypatch):
    generator = np.random.default_rng(0)
    errors, words = generator.poisson(2, 60).tolist(), generator.integers(3, 15, 60).tolist()
    whole = interval(errors, words, resamples=500, seed=7)
    monkeypatch.setattr(bootstrap, "DRAWS_AT_ONCE", 60 * 9)
    assert interval(errors, words, resamples=500, seed=7) == whole
    assert interval(errors, words, resamples=500, seed=8) != whole


def test_standard_error_agrees_with_the_normal_approximation():
    generator = np.random.default_rng(1)
    errors, words = generator.binomial(10, 0.2, 400), np.full(400, 10)
    got = interval(errors.tolist(), words.tolist(), resamples=4000)
    assert got is not None
    error = errors.std(ddof=1) / 10 / np.sqrt(400)
    assert (got.high - got.low) / 2 == pytest.approx(1.96 * error, rel=0.06)


def test_coverage_is_near_its_level():
    generator = np.random.default_rng(2)
    hits = 0
    for trial in range(200):
        words = generator.integers(3, 15, 80)
        got = interval(generator.binomial(words, 0.3).tolist(), words.tolist(), resamples=300, seed=trial)
        assert got is not None
        hits += got.low <= 0.3 <= got.high
    assert 0.89 <= hits / 200 <= 0.99


def test_identical_systems_have_p_one_and_no_change():
    errors, words = [1, 0, 3, 2], [5, 4, 8, 9]
    assert paired(errors, errors, words) == bootstrap.Paired(0.0, 0.0, 0.0, 1.0)


def test_a_clearly_better_system_is_significant_and_symmetric():
    generator = np.random.default_rng(3)
    words = generator.integers(5, 12, 200)
    worse, better = generator.binomial(words, 0.3), generator.binomial(words, 0.2)
    down = paired(worse.tolist(), better.tolist(), words.tolist())
    up = paired(better.tolist(), worse.tolist(), words.tolist())
    assert down is not None
    assert up is not None
    assert down.p < 0.01
    assert up.p == down.p
    assert down.relative_change == pytest.approx(better.sum() / worse.sum() - 1)
    assert down.low is not None
    assert down.high is not None
    assert down.low < down.relative_change < down.high < 0 < up.low


def test_p_is_uniform_enough_when_nothing_changed():
    generator = np.random.default_rng(4)
    words = np.full(100, 8)
    small = 0
    for trial in range(200):
        first, second = generator.binomial(8, 0.25, 100), generator.binomial(8, 0.25, 100)
        got = paired(first.tolist(), second.tolist(), words.tolist(), resamples=300, seed=trial)
        assert got is not None
        small += got.p < 0.05
    assert small / 200 < 0.1


def test_pairing_finds_what_unpaired_intervals_hide():
    generator = np.random.default_rng(5)
    hard = generator.integers(0, 9, 120)
    got = paired((hard + 1).tolist(), hard.tolist(), [10] * 120)
    assert got is not None
    assert got.p < 0.01


def test_from_no_errors_to_some_has_no_relative_change_but_a_p():
    got = paired([0] * 40, [1] * 40, [5] * 40)
    assert got is not None
    assert got.relative_change is None
    assert got.p < 0.01


def test_resamples_that_go_from_no_error_to_some_are_the_worst_and_not_left_out():
    before, after = [3, 2] + [0] * 18, [2, 0, 2, 2] + [0] * 16
    got = paired(before, after, [1] * 20)
    assert got is not None
    assert got.relative_change == pytest.approx(1 / 5)
    assert got.low == pytest.approx(-0.8)
    assert got.high is None
    rare = paired([1] * 30 + [0], [1] * 30 + [1], [1] * 31)
    assert rare is not None
    assert rare.high is not None


def test_lists_of_different_length_are_refused():
    with pytest.raises(ValueError, match="one length"):
        interval([1, 2], [1])


def test_a_difference_of_ratios_is_that_of_sums_and_its_interval_is_about_it():
    generator = np.random.default_rng(3)
    hits, said = generator.integers(0, 4, 200), np.full(200, 4)
    got = paired_ratios((hits, said), (hits + 1, said + 2))
    assert got is not None
    assert got.difference == pytest.approx((hits.sum() + 200) / 1200 - hits.sum() / 800)
    assert got.low < got.difference < got.high


def test_a_difference_of_ratios_over_equal_denominators_is_the_paired_difference():
    before, after, words = [1, 0, 3, 2, 5], [0, 1, 2, 2, 1], [5, 4, 8, 9, 7]
    got, expected = paired_ratios((before, words), (after, words)), paired_difference(before, after, words)
    assert got is not None
    assert expected is not None
    assert astuple(got) == pytest.approx(astuple(expected))


def test_a_difference_of_ratios_needs_both():
    assert paired_ratios(([0, 1], [0, 0]), ([0, 1], [1, 1])) is None
    assert paired_ratios(([0, 1], [1, 1]), ([0, 1], [0, 0])) is None
