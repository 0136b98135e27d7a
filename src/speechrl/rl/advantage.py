"""Credit relative to the group: how much better a completion is than its siblings on the same prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from torch import Tensor

STD_EPS = 1e-6


@dataclass(frozen=True, slots=True)
class GroupAdvantages:
    """Advantages of P groups of G completions.

    Attributes:
        advantages_PG: Credit; exactly 0 for members that are not valid and for groups without spread.
        std_P: Sample standard deviation (ddof 1) of the valid rewards; 0 without spread.
        zero_spread_P: True where a group teaches nothing: its valid rewards are all equal, or fewer than two.
    """

    advantages_PG: Tensor
    std_P: Tensor
    zero_spread_P: Tensor


def has_spread(rewards_PG: Tensor, valid_PG: Tensor) -> Tensor:
    """True for each group that has two different rewards among its valid members, shape (P,).

    Compared exactly, not through a standard deviation: the mean of equal floats need not be that float.
    """
    highest_P = rewards_PG.masked_fill(~valid_PG, -torch.inf).amax(dim=1)
    lowest_P = rewards_PG.masked_fill(~valid_PG, torch.inf).amin(dim=1)
    return highest_P > lowest_P


def group_advantages(
    rewards_PG: Tensor, valid_PG: Tensor, std: Literal["sample", "none"] = "sample"
) -> GroupAdvantages:
    """Reward minus the group's mean, divided by its sample standard deviation or by nothing.

    `sample`: A_i = (R_i - mean R) / (std R + 1e-6), DeepSeekMath (arXiv 2402.03300) sec. 4.1.2, with ddof 1;
    with the population form advantages are 15 % larger at G = 4. `none`: A_i = R_i - mean R, Dr. GRPO (arXiv
    2503.20783), which does not blow up small spreads.

    Args:
        rewards_PG: Rewards, any float; members that are not valid may hold NaN.
        valid_PG: Boolean; False leaves a member (a failed score, padding) out of mean and deviation.
        std: What to divide by.
    """
    spread_P = has_spread(rewards_PG, valid_PG)
    rewards_PG = torch.where(valid_PG, rewards_PG, 0.0)
    members_P = valid_PG.sum(dim=1)
    mean_P = rewards_PG.sum(dim=1) / members_P.clamp(min=1)
    centred_PG = torch.where(valid_PG & spread_P[:, None], rewards_PG - mean_P[:, None], 0.0)
    std_P = (centred_PG.square().sum(dim=1) / (members_P - 1).clamp(min=1)).sqrt()
    advantages_PG = centred_PG / (std_P[:, None] + STD_EPS) if std == "sample" else centred_PG
    return GroupAdvantages(advantages_PG, std_P, ~spread_P)
