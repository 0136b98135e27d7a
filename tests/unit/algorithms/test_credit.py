"""From scores to samples: failed scores, groups without spread, repeated hypotheses, rollouts cut by length."""

import math

import pytest
import torch

from speechrl.algorithms import make_algorithm
from speechrl.algorithms.credit import spread_mask
from speechrl.config.schema import AlgorithmConfig
from speechrl.types import Context, Ending, Group, Prompt, Rollout, Score, ScoreStatus

FAILED = Score(math.nan, {}, ScoreStatus.FAILED, "the judge did not answer")


def ok(total):
    return Score(total, {"accuracy": total})


def group(name, tokens, endings=None):
    endings = endings or [Ending.STOP] * len(tokens)
    rollouts = tuple(
        Rollout(name, ids, (-1.0,) * len(ids), ending) for ids, ending in zip(tokens, endings, strict=True)
    )
    return Group(Context(name, torch.zeros(1, 2)), rollouts)


def prompt(name):
    return Prompt(name, "asr", "words")


GROUPS = [
    group("a", [(1,), (2,), (3,)]),
    group("b", [(4,), (4, 5), (6,)], [Ending.STOP, Ending.LENGTH, Ending.STOP]),
    group("c", [(7,), (8,), (7,)]),
]
SCORES = [[ok(0.0), FAILED, ok(1.0)], [ok(0.5)] * 3, [ok(1.0), ok(-2.0), ok(1.0)]]
PROMPTS = [prompt("a"), prompt("b"), prompt("c")]


def credit(**config):
    return make_algorithm(AlgorithmConfig(**config)).credit(GROUPS, SCORES, PROMPTS)


@pytest.mark.parametrize("name", ["grpo", "gspo"])
def test_a_failed_score_is_absent_and_not_a_zero(name):
    samples, stats = credit(name=name, std="none")
    first = [sample for sample in samples if sample.group == 0]
    assert [sample.rollout.token_ids for sample in first] == [(1,), (3,)]
    # Mean of 0 and 1. Counting the failure as 0 would give a mean of 1/3.
    assert [sample.advantage for sample in first] == [-0.5, 0.5]
    assert stats["failed_scores"] == 1
    # (0 + 1 + 3 * .5 + 1 - 2 + 1) / 8
    assert stats["reward"] == pytest.approx(2.5 / 8)


def test_group_without_spread_stays_with_advantage_zero_and_is_counted():
    samples, stats = credit(name="grpo")
    assert [sample.advantage for sample in samples if sample.group == 1] == [0.0, 0.0, 0.0]
    assert stats["zero_spread_share"] == pytest.approx(1 / 3)
    # Standard deviations by hand: sqrt(1/2), 0, sqrt(3): the deviations 1, -2, 1 have squares of 6, over ddof 2.
    assert stats["reward_std"] == pytest.approx((math.sqrt(0.5) + math.sqrt(3)) / 3)


def test_samples_keep_their_company():
    samples, _ = credit(name="grpo", std="sample")
    for sample in samples:
        assert sample.context.prompt_id == sample.prompt.id == sample.rollout.prompt_id
        assert sample.score in SCORES[sample.group]
    assert [sample.group for sample in samples] == [0, 0, 1, 1, 1, 2, 2, 2]


def test_mwer_keeps_distinct_hypotheses():
    samples, stats = credit(name="mwer")
    assert [sample.rollout.token_ids for sample in samples] == [(1,), (3,), (4,), (4, 5), (6,), (7,), (8,)]
    assert stats["repeated_share"] == pytest.approx(1 / 8)


def test_sft_gives_every_reference_the_advantage_one():
    samples, stats = credit(name="sft")
    assert {sample.advantage for sample in samples} == {1.0}
    assert stats["zero_spread_share"] == 0


@pytest.mark.parametrize("name", ["grpo", "gspo", "mwer"])
def test_length_cut_mask_leaves_the_loss_but_not_the_statistics(name):
    keep = make_algorithm(AlgorithmConfig(name=name, length_cut="keep"))
    mask = make_algorithm(AlgorithmConfig(name=name, length_cut="mask"))
    scores = [[ok(0.0), ok(3.0), ok(0.0)]]
    samples, stats = mask.credit(GROUPS[1:2], scores, PROMPTS[1:2])
    assert [keep.include(sample) for sample in samples] == [True, True, True]
    assert [mask.include(sample) for sample in samples] == [True, False, True]
    assert samples == keep.credit(GROUPS[1:2], scores, PROMPTS[1:2])[0]
    assert samples[0].advantage < 0
    assert stats["length_cut_share"] == pytest.approx(1 / 3)


def test_spread_mask_tells_which_groups_teach():
    scores = [
        [ok(0.0), ok(0.0)],
        [ok(0.0), ok(0.1)],
        [ok(0.0), FAILED],
        [FAILED, FAILED],
        [ok(1.0), FAILED, ok(2.0)],
    ]
    assert spread_mask(scores) == [False, True, False, False, True]
    assert spread_mask([]) == []


def test_all_scores_failed_gives_no_samples():
    samples, stats = make_algorithm(AlgorithmConfig()).credit(GROUPS[:1], [[FAILED] * 3], PROMPTS[:1])
    assert samples == []
    assert stats["zero_spread_share"] == 1
    assert stats["failed_scores"] == 3
    assert math.isnan(stats["reward"])


def test_scores_that_do_not_fit_the_groups_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        make_algorithm(AlgorithmConfig()).credit(GROUPS, SCORES[:2], PROMPTS)
