"""Weights, sums and counts. Numbers were worked out by hand."""

import math

import pytest
import torch

from speechrl.rl.reduce import counted_sum, token_weights, weighted_sum

LENGTHS = [4, 2, 6, 1]
GROUPS = [7, 7, 3, 3]


@pytest.mark.parametrize(
    ("how", "include", "weights", "count"),
    [
        ("token", [True] * 4, [1, 1, 1, 1], 13),
        ("token", [True, False, True, True], [1, 0, 1, 1], 11),
        ("sequence", [True] * 4, [1 / 4, 1 / 2, 1 / 6, 1], 4),
        ("sequence", [True, False, True, True], [1 / 4, 0, 1 / 6, 1], 3),
        ("group", [True] * 4, [1 / 6, 1 / 6, 1 / 7, 1 / 7], 2),
        ("group", [True, False, True, True], [1 / 4, 0, 1 / 7, 1 / 7], 2),
        ("group", [False, False, True, True], [0, 0, 1 / 7, 1 / 7], 1),
        ("group", [False] * 4, [0, 0, 0, 0], 0),
    ],
)
def test_weights_and_count(how, include, weights, count):
    assert token_weights(LENGTHS, GROUPS, include, how) == (weights, count)


@pytest.mark.parametrize("how", ["token", "sequence", "group"])
def test_a_loss_of_one_everywhere_averages_to_one(how):
    weights, count = token_weights(LENGTHS, GROUPS, [True, True, False, True], how)
    mask_NL = (torch.arange(6) < torch.tensor(LENGTHS)[:, None]).float()
    assert weighted_sum(torch.ones(4, 6), mask_NL, torch.tensor(weights)).item() / count == pytest.approx(1.0)


def test_token_and_sequence_mean_differ_as_they_should():
    # A completion of 1 token with loss 4 and one of 3 tokens with loss 0: 4/4 over tokens, (4 + 0)/2 over sequences.
    values_NL = torch.tensor([[4.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    mask_NL = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    means = {}
    for how in ("token", "sequence"):
        weights, count = token_weights([1, 3], [0, 0], [True, True], how)
        means[how] = weighted_sum(values_NL, mask_NL, torch.tensor(weights)).item() / count
    assert means == {"token": 1.0, "sequence": 2.0}


def test_empty_completion_is_left_out():
    assert token_weights([0, 2], [0, 0], [True, True], "sequence") == ([0.0, 0.5], 1.0)


def test_what_does_not_count_may_hold_nan():
    values_NL = torch.tensor([[1.0, math.nan], [math.nan, math.nan]])
    mask_NL = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    weight_N = torch.tensor([0.5, 0.0])
    assert weighted_sum(values_NL, mask_NL, weight_N).item() == 0.5
    assert counted_sum(values_NL, mask_NL, weight_N) == 1.0


def test_all_masked_is_a_zero_that_backward_can_pass():
    values_NL = torch.randn(2, 3, requires_grad=True)
    total = weighted_sum(values_NL, torch.zeros(2, 3), torch.zeros(2))
    total.backward()
    assert total.item() == 0
    assert torch.equal(values_NL.grad, torch.zeros(2, 3))


def test_lengths_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        token_weights([1, 2], [0], [True, True], "group")
