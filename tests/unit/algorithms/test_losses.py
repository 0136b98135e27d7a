"""Losses of whole algorithms on hand-made batches. Numbers were worked out by hand."""

import math
from dataclasses import replace

import pytest
import torch

from speechrl.algorithms import ALGORITHMS, make_algorithm
from speechrl.algorithms.base import PolicyBatch
from speechrl.config.schema import AlgorithmConfig
from speechrl.rl.reduce import token_weights

NAMES = ["grpo", "gspo", "mwer", "sft"]


def log(rows):
    return torch.tensor(rows, dtype=torch.float64).log()


def batch(**changes):
    """Two completions of one group, of two tokens and of one; the third column of nothing is padding."""
    made = PolicyBatch(
        logprobs_NL=log([[0.5, 0.25], [0.4, 1.0]]).requires_grad_(),
        behaviour_logprobs_NL=log([[0.5, 0.2], [0.5, 1.0]]),
        mask_NL=torch.tensor([[1.0, 1.0], [1.0, 0.0]], dtype=torch.float64),
        advantages_N=torch.tensor([1.0, -1.0], dtype=torch.float64),
        rewards_N=torch.tensor([0.5, -0.5], dtype=torch.float64),
        group_N=torch.tensor([0, 0]),
        weight_N=torch.tensor([1.0, 1.0], dtype=torch.float64),
        reference_logprobs_NL=log([[0.25, 0.25], [0.4, 1.0]]),
    )
    return replace(made, **changes)


def means(loss):
    assert loss.sums.keys() == loss.counts.keys()
    return {name: loss.sums[name] / loss.counts[name] for name in loss.sums}


def test_grpo_by_hand():
    algorithm = make_algorithm(AlgorithmConfig(clip_low=0.1, clip_high=0.2, kl="k3", kl_weight=0.1))
    loss = algorithm.loss(batch())
    # Ratios 1, 1.25 | 0.8. Good answer: -(1 + 1.2). Bad answer: bounded at 0.9, +0.9.
    # k3 where the policy has 1/2 and the reference 1/4: 1/2 - 1 + ln 2; zero elsewhere.
    k3 = -0.5 + math.log(2)
    assert loss.total.item() == pytest.approx(-2.2 + 0.9 + 0.1 * k3)
    assert means(loss) == pytest.approx(
        {
            "ratio": (1 + 1.25 + 0.8) / 3,
            "logprob_gap": (math.log(1.25) + math.log(1 / 0.8)) / 3,
            "clip_share": 2 / 3,
            "kl": k3 / 3,
        }
    )
    loss.total.backward()


def test_gspo_by_hand():
    algorithm = make_algorithm(
        AlgorithmConfig(name="gspo", loss_mean="sequence", clip_low=0.1, clip_high=0.2, kl="none")
    )
    loss = algorithm.loss(batch(weight_N=torch.tensor([0.5, 1.0], dtype=torch.float64)))
    # Sequence ratios sqrt(1.25) = 1.118 inside, and 0.8 below its bound.
    assert loss.total.item() == pytest.approx(-math.sqrt(1.25) + 0.9)
    assert means(loss)["clip_share"] == pytest.approx(1 / 3)
    assert "kl" not in loss.sums


def test_gspo_of_single_tokens_is_grpo():
    single = {
        "logprobs_NL": log([[0.5], [0.4]]).requires_grad_(),
        "behaviour_logprobs_NL": log([[0.3], [0.5]]),
        "mask_NL": torch.ones(2, 1, dtype=torch.float64),
        "reference_logprobs_NL": log([[0.25], [0.4]]),
    }
    totals, gradients = [], []
    for name in ("grpo", "gspo"):
        made = batch(**single)
        totals.append(make_algorithm(AlgorithmConfig(name=name)).loss(made).total)
        gradients.append(torch.autograd.grad(totals[-1], made.logprobs_NL)[0])
    torch.testing.assert_close(totals[0], totals[1])
    torch.testing.assert_close(gradients[0], gradients[1])


def test_mwer_by_hand():
    loss = make_algorithm(AlgorithmConfig(name="mwer", kl="none")).loss(batch())
    # Sequence probabilities .125 and .4; errors -.5 and .5 around a mean of 0.
    expected = (-0.5 * 0.125 + 0.5 * 0.4) / 0.525
    assert loss.total.item() == pytest.approx(expected)
    assert means(loss)["expected_error"] == pytest.approx(expected)
    loss.total.backward()


def test_mwer_weighs_kl_over_groups():
    weight_N = torch.tensor([1 / 3, 1 / 3], dtype=torch.float64)
    free = make_algorithm(AlgorithmConfig(name="mwer", kl="none")).loss(batch(weight_N=weight_N))
    held = make_algorithm(AlgorithmConfig(name="mwer", kl="k2", kl_weight=0.3)).loss(batch(weight_N=weight_N))
    # The first answer alone differs from the reference; with 0.125 of 0.525 it is of two tokens, else of one.
    expected = 0.125 * math.log(2) ** 2 / 2 / (0.125 * 2 + 0.4 * 1)
    assert (held.total - free.total).item() == pytest.approx(0.3 * expected)
    assert means(held)["kl"] == pytest.approx(expected)


@pytest.mark.parametrize("kind", ["k1", "k3"])
def test_the_kl_of_mwer_is_exact_over_a_list_of_all_answers(kind):
    policy, reference = [[0.9], [0.05], [0.05]], [[0.8], [0.1], [0.1]]
    loss = make_algorithm(AlgorithmConfig(name="mwer", kl=kind)).loss(
        batch(
            logprobs_NL=log(policy).requires_grad_(),
            behaviour_logprobs_NL=log(policy),
            mask_NL=torch.ones(3, 1, dtype=torch.float64),
            advantages_N=torch.zeros(3, dtype=torch.float64),
            rewards_N=torch.zeros(3, dtype=torch.float64),
            group_N=torch.zeros(3, dtype=torch.long),
            weight_N=torch.full((3,), 1 / 3, dtype=torch.float64),
            reference_logprobs_NL=log(reference),
        )
    )
    exact = sum(p * math.log(p / q) for (p,), (q,) in zip(policy, reference, strict=True))
    assert means(loss)["kl"] == pytest.approx(exact)


def test_sft_is_cross_entropy():
    loss = make_algorithm(AlgorithmConfig(name="sft")).loss(
        batch(advantages_N=torch.ones(2, dtype=torch.float64))
    )
    assert loss.total.item() == pytest.approx(-math.log(0.5 * 0.25 * 0.4))
    assert means(loss) == pytest.approx({"nll": -math.log(0.5 * 0.25 * 0.4) / 3})


def test_full_kl_reads_logits():
    generator = torch.Generator().manual_seed(5)
    logits_NLV, reference_NLV = torch.randn(2, 2, 2, 4, generator=generator, dtype=torch.float64)
    algorithm = make_algorithm(AlgorithmConfig(kl="full", kl_weight=1.0))
    made = batch(
        advantages_N=torch.zeros(2, dtype=torch.float64),
        logits_NLV=logits_NLV,
        reference_logits_NLV=reference_NLV,
    )
    by_torch_NL = torch.nn.functional.kl_div(
        reference_NLV.log_softmax(-1), logits_NLV.log_softmax(-1), log_target=True, reduction="none"
    ).sum(-1)
    assert algorithm.needs_logits
    assert algorithm.loss(made).total.item() == pytest.approx((by_torch_NL * made.mask_NL).sum().item())


@pytest.mark.parametrize(("kl", "missing"), [("k3", "reference log-prob"), ("full", "logits")])
def test_a_batch_that_lacks_the_reference_is_refused(kl, missing):
    with pytest.raises(ValueError, match=missing):
        make_algorithm(AlgorithmConfig(kl=kl)).loss(batch(reference_logprobs_NL=None))


def test_kl_weight_zero_measures_without_acting():
    silent = make_algorithm(AlgorithmConfig(kl="k3", kl_weight=0.0)).loss(batch())
    off = make_algorithm(AlgorithmConfig(kl="none")).loss(batch())
    assert silent.total.item() == off.total.item()
    assert silent.sums["kl"] > 0


@pytest.mark.parametrize("name", NAMES)
def test_nothing_counts_gives_a_connected_zero(name):
    made = batch(weight_N=torch.zeros(2, dtype=torch.float64))
    loss = make_algorithm(AlgorithmConfig(name=name)).loss(made)
    loss.total.backward()
    assert loss.total.item() == 0
    assert torch.equal(made.logprobs_NL.grad, torch.zeros(2, 2, dtype=torch.float64))
    assert set(loss.counts.values()) == {0.0}


@pytest.mark.parametrize("name", NAMES)
def test_a_completion_of_weight_zero_has_no_influence(name):
    algorithm = make_algorithm(AlgorithmConfig(name=name))
    weights, _ = token_weights([2, 1], [0, 0], [True, False], algorithm.loss_mean)
    weight_N = torch.tensor(weights, dtype=torch.float64)
    made = batch(weight_N=weight_N)
    other = batch(
        weight_N=weight_N,
        logprobs_NL=log([[0.5, 0.25], [0.9, 1.0]]),
        advantages_N=torch.tensor([1.0, 50.0], dtype=torch.float64),
        rewards_N=torch.tensor([0.5, math.nan], dtype=torch.float64),
    )
    loss = algorithm.loss(made)
    assert loss.total.item() == algorithm.loss(other).total.item()
    assert loss.sums == algorithm.loss(other).sums
    loss.total.backward()
    assert made.logprobs_NL.grad[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", ["grpo", "gspo"])
def test_no_advantage_on_policy_leaves_only_the_kl(name):
    made = batch(advantages_N=torch.zeros(2, dtype=torch.float64))
    on_policy = replace(made, behaviour_logprobs_NL=made.logprobs_NL.detach())
    loss = make_algorithm(AlgorithmConfig(name=name, kl="k3", kl_weight=0.2)).loss(on_policy)
    assert loss.total.item() == pytest.approx(0.2 * loss.sums["kl"])
    assert means(loss)["ratio"] == 1
    assert means(loss)["logprob_gap"] == 0


def test_every_name_of_the_schema_makes_its_algorithm():
    for name, kind in ALGORITHMS.items():
        algorithm = make_algorithm(AlgorithmConfig(name=name, kl="none"))
        assert type(algorithm) is kind
        assert not algorithm.needs_reference
        assert algorithm.teacher is (name == "sft")
    assert AlgorithmConfig.model_json_schema()["properties"]["name"]["enum"] == [
        *ALGORITHMS,
        "diffro",
        "hybrid",
    ]
    assert make_algorithm(AlgorithmConfig(name="mwer", loss_mean="token")).loss_mean == "group"
