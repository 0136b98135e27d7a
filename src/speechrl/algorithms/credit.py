"""From scores to samples: what GRPO, GSPO, MWER and SFT do alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from speechrl.rl.advantage import group_advantages, has_spread
from speechrl.types import Ending, Sample, ScoreStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from speechrl.types import Group, Prompt, Score


def reward_table(scores: Sequence[Sequence[Score]]) -> tuple[Tensor, Tensor]:
    """Rewards (P, G) in float64 and a boolean of the same shape, True where OK; short groups are padded."""
    width = max((len(group) for group in scores), default=0)
    rewards_PG = torch.full((len(scores), width), torch.nan, dtype=torch.float64)
    valid_PG = torch.zeros((len(scores), width), dtype=torch.bool)
    for p, group in enumerate(scores):
        for g, score in enumerate(group):
            rewards_PG[p, g] = score.total
            valid_PG[p, g] = score.status is ScoreStatus.OK
    return rewards_PG, valid_PG


def spread_mask(scores: Sequence[Sequence[Score]]) -> list[bool]:
    """True for each group with two different rewards among its OK scores; the others teach nothing.

    DAPO's dynamic sampling (arXiv 2503.14476 sec. 3.2) keeps the groups that are True, and draws new prompts
    for the rest.
    """
    if not any(len(group) for group in scores):
        return [False] * len(scores)
    mask: list[bool] = has_spread(*reward_table(scores)).tolist()
    return mask


def group_credit(
    groups: Sequence[Group],
    scores: Sequence[Sequence[Score]],
    prompts: Sequence[Prompt],
    std: Literal["sample", "none"],
) -> tuple[list[Sample], dict[str, float]]:
    """Samples with group-relative advantages, in the order of groups and rollouts; failed scores are absent.

    Returns:
        (samples, stats) with stats `reward` (mean over OK scores; NaN when there is none), `reward_std` (mean
        over groups of the sample standard deviation), `zero_spread_share` (groups that teach nothing over all
        groups), `failed_scores` (a count) and `length_cut_share` (rollouts cut by length over all rollouts).
    """
    rewards_PG, valid_PG = reward_table(scores)
    credit = group_advantages(rewards_PG, valid_PG, std)
    samples = [
        Sample(group.context, rollout, credit.advantages_PG[p, g].item(), p, score, prompt)
        for p, (group, row, prompt) in enumerate(zip(groups, scores, prompts, strict=True))
        for g, (rollout, score) in enumerate(zip(group.rollouts, row, strict=True))
        if score.status is ScoreStatus.OK
    ]
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    cut = sum(rollout.ending is Ending.LENGTH for rollout in rollouts)
    return samples, {
        "reward": rewards_PG[valid_PG].mean().item(),
        "reward_std": credit.std_P.mean().item(),
        "zero_spread_share": credit.zero_spread_P.double().mean().item(),
        "failed_scores": float(len(rollouts) - len(samples)),
        "length_cut_share": cut / len(rollouts),
    }
