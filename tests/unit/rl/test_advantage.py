"""Group-relative advantages. Numbers were worked out by hand, unless a test says otherwise."""

import math

import pytest
import torch

from speechrl.rl.advantage import STD_EPS, group_advantages, has_spread

ALL = torch.ones(1, 4, dtype=torch.bool)


def test_sample_standard_deviation_has_ddof_one():
    # mean 2.5; squares 2.25 + .25 + .25 + 2.25 = 5; 5 / 3 under the root (5 / 4 would be the population's).
    rewards_PG = torch.tensor([[1.0, 2.0, 3.0, 4.0]], dtype=torch.float64)
    result = group_advantages(rewards_PG, ALL)
    std = math.sqrt(5 / 3)
    assert result.std_P.item() == pytest.approx(std, rel=1e-12)
    expected = [deviation / (std + STD_EPS) for deviation in (-1.5, -0.5, 0.5, 1.5)]
    assert result.advantages_PG[0].tolist() == pytest.approx(expected, rel=1e-12)


def test_none_only_subtracts_the_mean():
    result = group_advantages(torch.tensor([[1.0, 2.0, 3.0, 4.0]]), ALL, std="none")
    assert result.advantages_PG[0].tolist() == [-1.5, -0.5, 0.5, 1.5]


@pytest.mark.parametrize("std", ["sample", "none"])
@pytest.mark.parametrize("reward", [0.1, 1 / 3, -7.3, 0.0])
def test_group_without_spread_is_exactly_zero_and_told(reward, std):
    # Three times 0.1 in floating point does not average to 0.1: the zero must not come from a subtraction.
    result = group_advantages(torch.full((1, 3), reward), ALL[:, :3], std)
    assert result.advantages_PG.tolist() == [[0.0, 0.0, 0.0]]
    assert result.zero_spread_P.tolist() == [True]


def test_members_that_are_not_valid_leave_the_statistics():
    nan = math.nan
    rewards_PG = torch.tensor([[1.0, nan, 3.0, nan], [5.0, 5.0, 9.0, 5.0], [2.0, nan, nan, nan], [nan] * 4])
    valid_PG = torch.tensor([[1, 0, 1, 0], [1, 1, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
    result = group_advantages(rewards_PG, valid_PG, std="none")
    assert result.advantages_PG[0].tolist() == [-1.0, 0.0, 1.0, 0.0]
    assert result.advantages_PG[1:].abs().sum() == 0
    assert result.zero_spread_P.tolist() == [False, True, True, True]
    assert has_spread(rewards_PG, valid_PG).tolist() == [True, False, False, False]


def test_groups_do_not_see_each_other():
    rewards_PG = torch.tensor([[0.0, 1.0], [100.0, 300.0]])
    valid_PG = torch.ones(2, 2, dtype=torch.bool)
    together = group_advantages(rewards_PG, valid_PG).advantages_PG
    alone = [group_advantages(rewards_PG[p : p + 1], valid_PG[p : p + 1]).advantages_PG for p in range(2)]
    assert torch.equal(together, torch.cat(alone))


def test_invariant_to_shift_and_nearly_to_scale():
    generator = torch.Generator().manual_seed(0)
    rewards_PG = torch.rand(5, 8, generator=generator, dtype=torch.float64)
    valid_PG = torch.ones(5, 8, dtype=torch.bool)
    base = group_advantages(rewards_PG, valid_PG).advantages_PG
    torch.testing.assert_close(
        group_advantages(3 * rewards_PG - 5, valid_PG).advantages_PG, base, rtol=1e-4, atol=0
    )
    torch.testing.assert_close(base.sum(dim=1), torch.zeros(5, dtype=torch.float64))
