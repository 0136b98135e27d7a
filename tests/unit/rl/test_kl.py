"""KL estimators against each other, by enumerating a small vocabulary instead of sampling."""

import math

import pytest
import torch

from speechrl.rl import chunks
from speechrl.rl.kl import kl_full, kl_k1, kl_k2, kl_k3

ESTIMATORS = {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3}


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(3)
    policy_V, reference_V = torch.randn(2, 9, generator=generator, dtype=torch.float64)
    return policy_V.requires_grad_(), reference_V


def expectation(estimator, policy_V, reference_V):
    """Mean of an estimator under the policy, whose sampling probabilities carry no gradient."""
    logprobs_V = policy_V.log_softmax(-1)
    return (logprobs_V.detach().exp() * estimator(logprobs_V, reference_V.log_softmax(-1))).sum()


def gradient(value, policy_V):
    return torch.autograd.grad(value, policy_V)[0]


def test_by_hand_on_two_tokens():
    # p = (1/2, 1/2), q = (1/4, 3/4): KL = 1/2 ln 2 + 1/2 ln(2/3).
    logits = torch.tensor([0.5, 0.5], dtype=torch.float64).log()
    reference = torch.tensor([0.25, 0.75], dtype=torch.float64).log()
    assert kl_full(logits, reference).item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    ln2 = math.log(2)
    assert kl_k1(logits, reference)[0].item() == pytest.approx(ln2)
    assert kl_k2(logits, reference)[0].item() == pytest.approx(ln2**2 / 2)
    assert kl_k3(logits, reference)[0].item() == pytest.approx(0.5 - 1 + ln2)


@pytest.mark.parametrize("name", ["k1", "k3"])
def test_unbiased_in_value(name, logits):
    assert expectation(ESTIMATORS[name], *logits).item() == pytest.approx(kl_full(*logits).item(), rel=1e-12)


def test_k2_is_biased_but_close_when_near(logits):
    policy_V, reference_V = logits
    assert expectation(kl_k2, policy_V, reference_V).item() != pytest.approx(
        kl_full(*logits).item(), rel=1e-2
    )
    near_V = policy_V.detach() + 0.01 * reference_V
    assert expectation(kl_k2, policy_V, near_V).item() == pytest.approx(
        kl_full(policy_V, near_V).item(), rel=2e-2
    )


def test_gradient_of_k2_is_that_of_the_full_kl(logits):
    torch.testing.assert_close(
        gradient(expectation(kl_k2, *logits), logits[0]), gradient(kl_full(*logits), logits[0])
    )


def test_gradient_of_k1_is_nothing(logits):
    torch.testing.assert_close(
        gradient(expectation(kl_k1, *logits), logits[0]), torch.zeros(9, dtype=torch.float64)
    )


def test_gradient_of_k3_is_that_of_the_other_direction(logits):
    policy_V, reference_V = logits
    ours = gradient(expectation(kl_k3, policy_V, reference_V), policy_V)
    torch.testing.assert_close(ours, gradient(kl_full(reference_V, policy_V), policy_V))
    assert not torch.allclose(ours, gradient(kl_full(policy_V, reference_V), policy_V), rtol=1e-2)


@pytest.mark.parametrize("estimator", [kl_k2, kl_k3])
def test_never_negative(estimator):
    x = torch.linspace(-4, 4, 401)
    assert (estimator(x, torch.zeros(401)) >= 0).all()


def test_k3_keeps_its_digits_for_nearly_equal_policies():
    # x = 2^-13: the value x^2 / 2 = 2^-27 is below float32's step at 1, so exp(-x) - 1 + x would lose all of it.
    assert kl_k3(torch.tensor(-1.0), torch.tensor(-1.0 - 2**-13)).item() == pytest.approx(2**-27, rel=1e-2)


@pytest.mark.parametrize("estimator", ESTIMATORS.values())
def test_equal_policies_give_exactly_zero(estimator):
    logprobs = torch.tensor([-0.1, -3.0, -20.0])
    assert estimator(logprobs, logprobs.clone()).tolist() == [0.0, 0.0, 0.0]


def test_full_kl_of_half_precision_logits_is_computed_in_float32():
    # Logits at 8 that differ by one step of bfloat16: in bfloat16 itself the log-probabilities would be rounded away.
    logits_V = torch.tensor([8.0, 8.0, 0.0], dtype=torch.bfloat16)
    reference_V = torch.tensor([8.0625, 8.0, 0.0], dtype=torch.bfloat16)
    divergence = kl_full(logits_V, reference_V)
    assert divergence.dtype == torch.float32
    assert divergence.item() == pytest.approx(
        kl_full(logits_V.double(), reference_V.double()).item(), rel=1e-3
    )


@pytest.mark.parametrize("chunk", [1, 20, 1 << 20])
def test_full_kl_by_chunks_is_that_of_plain_torch(chunk, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK_NUMBERS", chunk)
    generator = torch.Generator().manual_seed(4)
    policy_NLV, reference_NLV = torch.randn(2, 3, 4, 6, generator=generator, dtype=torch.float64)
    policy_NLV.requires_grad_(), reference_NLV.requires_grad_()
    upstream_NL = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    logprobs_NLV, others_NLV = policy_NLV.log_softmax(-1), reference_NLV.log_softmax(-1)
    plain_NL = (logprobs_NLV.exp() * (logprobs_NLV - others_NLV)).sum(-1)
    ours_NL = kl_full(policy_NLV, reference_NLV)
    torch.testing.assert_close(ours_NL, plain_NL)
    pair = (policy_NLV, reference_NLV)
    for ours, plain in zip(
        torch.autograd.grad(ours_NL, pair, upstream_NL),
        torch.autograd.grad(plain_NL, pair, upstream_NL),
        strict=True,
    ):
        torch.testing.assert_close(ours, plain)


def test_a_token_that_both_mask_adds_nothing(logits):
    policy_V, reference_V = (part.detach() for part in logits)
    masked = torch.tensor([-math.inf], dtype=torch.float64)
    wider_V = torch.cat([policy_V, masked]).requires_grad_()
    value = kl_full(wider_V, torch.cat([reference_V, masked]))
    assert value.item() == pytest.approx(kl_full(policy_V, reference_V).item(), rel=1e-12)
    torch.testing.assert_close(gradient(value, wider_V)[:-1], gradient(kl_full(*logits), logits[0]))
    assert gradient(kl_full(wider_V, torch.cat([reference_V, masked])), wider_V)[-1] == 0
    allowed = kl_full(wider_V, torch.cat([reference_V, 0 * reference_V[:1]]))  # only the policy masks it
    assert math.isfinite(allowed.item())
    assert gradient(allowed, wider_V).isfinite().all()
