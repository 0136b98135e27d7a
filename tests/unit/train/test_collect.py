from __future__ import annotations

import math

import pytest
import torch

from speechrl.train.collect import Collection, credited, rollout_seed
from speechrl.types import Context, Ending, Group, Output, Prompt, Rollout, Sample, Score


def scored(
    names: list[str], rewards: list[tuple[float, ...]]
) -> tuple[list[Prompt], list[Group], list[list[Output]], list[list[Score]]]:
    prompts = [Prompt(name, "asr", "") for name in names]
    groups = [
        Group(Context(name, torch.zeros(1, 2)), tuple(Rollout(name, (1,), (0.0,), Ending.STOP) for _ in row))
        for name, row in zip(names, rewards, strict=True)
    ]
    outputs = [[Output("", Ending.STOP, 0) for _ in row] for row in rewards]
    return prompts, groups, outputs, [[Score(reward, {}) for reward in row] for row in rewards]


def test_groups_without_spread_are_replaced_and_fill_up_at_the_end() -> None:
    collection = Collection(batch_size=3, max_redraws=2)
    script = {
        0: (["a", "b", "c"], [(0.0, 1.0), (1.0, 1.0), (0.5, 0.5)]),
        1: (["d", "e"], [(1.0, 1.0), (0.2, 0.3)]),
        2: (["f"], [(0.0, 0.0)]),
    }
    asked = []
    for draw, missing in collection.draws():
        asked.append(missing)
        collection.add(*scored(*script[draw]))
    assert asked == [3, 2, 1]
    assert [prompt.id for prompt in collection.batch().prompts] == ["a", "e", "b"]
    assert collection.counts() == {"redrawn_groups": 3.0}


@pytest.mark.parametrize("redraws", [0, 4])
def test_one_draw_is_enough_without_redraws_or_when_all_have_spread(redraws: int) -> None:
    collection = Collection(batch_size=2, max_redraws=redraws)
    for _, missing in collection.draws():
        assert missing == 2
        second = (1.0, 1.0) if redraws == 0 else (0.0, 1.0)
        collection.add(*scored(["a", "b"], [(0.0, 1.0), second]))
    assert [prompt.id for prompt in collection.batch().prompts] == ["a", "b"]
    assert collection.counts() == ({} if redraws == 0 else {"redrawn_groups": 0.0})


def test_credit_of_every_rollout_is_found_again() -> None:
    prompts, groups, _, scores = scored(["a"], [(0.0, 1.0)])
    sample = Sample(groups[0].context, groups[0].rollouts[1], 0.7, 0, scores[0][1], prompts[0])
    (row,) = credited(groups, [sample])
    assert math.isnan(row[0])
    assert row[1] == 0.7


def test_draws_have_seeds_of_their_own() -> None:
    seeds = {rollout_seed(*key) for key in [(1, 1, 0), (1, 1, 1), (1, 2, 0), (2, 1, 0)]}
    assert len(seeds) == 4
