"""Gumbel-Softmax: its noise, its draws, its gradient."""

import math

import pytest
import torch

from speechrl.rl import chunks
from speechrl.rl.diffro import (
    annealed,
    gumbel_noise,
    gumbel_softmax,
    padded_noise,
    soft_embeddings,
    straight_through_embeddings,
)

READ = {"soft": soft_embeddings, "straight_through": straight_through_embeddings}


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_noise_is_standard_gumbel():
    noise = gumbel_noise((1, 2, 3), 300, 300).double()
    # Euler's constant and pi^2 / 6; standard errors at 90,000 draws are .004 and .01.
    assert noise.mean().item() == pytest.approx(0.57722, abs=0.02)
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, abs=0.05)
    assert noise.isfinite().all()


def test_noise_depends_on_its_key_alone():
    assert torch.equal(gumbel_noise((1, 2, 3), 5, 4), gumbel_noise((1, 2, 3), 5, 4))
    assert torch.equal(gumbel_noise((1, 2, 3), 9, 4)[:5], gumbel_noise((1, 2, 3), 5, 4))
    others = [gumbel_noise(key, 5, 4) for key in [(1, 2, 3), (2, 2, 3), (1, 3, 3), (1, 2, 4)]]
    assert len({tuple(noise.flatten().tolist()) for noise in others}) == 4


def test_padded_noise_is_that_of_each_key_and_zero_behind():
    noise_NLK = padded_noise([(1, 0), (1, 1)], [2, 4], 3, torch.device("cpu"))
    assert torch.equal(noise_NLK[0, :2], gumbel_noise((1, 0), 2, 3))
    assert torch.equal(noise_NLK[1], gumbel_noise((1, 1), 4, 3))
    assert noise_NLK[0, 2:].abs().sum() == 0


def test_hard_draws_follow_the_softmax_at_any_temperature():
    logits_K = torch.tensor([0.5, -1.0, 2.0, 0.0])
    noise_NLK, lengths_N = gumbel_noise((7,), 40_000, 4)[None], torch.tensor([40_000])
    for temperature in (0.3, 1.0, 3.0):
        weights_NLK = straight_through_embeddings(
            logits_K.expand(1, 40_000, 4), noise_NLK, temperature, torch.eye(4), lengths_N
        )
        torch.testing.assert_close(weights_NLK.mean((0, 1)), logits_K.softmax(-1), atol=0.01, rtol=0)


def test_hard_forward_is_the_look_up_to_the_last_bit():
    logits_NLK, embedding_KD = normal(3, 5, 7, dtype=torch.float32), normal(7, 4, seed=1, dtype=torch.float32)
    noise_NLK = padded_noise([(0,), (1,), (2,)], [5, 5, 5], 7, torch.device("cpu"))
    embedded_NLD = straight_through_embeddings(
        logits_NLK, noise_NLK, 0.7, embedding_KD, torch.tensor([5, 5, 5])
    )
    assert torch.equal(embedded_NLD, embedding_KD[(logits_NLK + noise_NLK).argmax(-1)])


@pytest.mark.parametrize("chunk", [1, 10, 1 << 20])
@pytest.mark.parametrize("how", READ)
def test_gradient_is_that_of_the_tempered_softmax(how, chunk, monkeypatch):
    """d y_i / d logit_j = y_i (1[i=j] - y_j) / temperature, with y the soft draw, whichever was seen."""
    monkeypatch.setattr(chunks, "CHUNK_NUMBERS", chunk)
    logits_NLK, noise_NLK = normal(2, 3, 6).requires_grad_(), normal(2, 3, 6, seed=1)
    embedding_KD, grad_NLD = normal(6, 4, seed=2), normal(2, 3, 4, seed=3)
    READ[how](logits_NLK, noise_NLK, 0.5, embedding_KD, torch.tensor([3, 3])).backward(grad_NLD)
    soft_NLK = ((logits_NLK + noise_NLK) / 0.5).softmax(-1).detach()
    upstream_NLK = grad_NLD @ embedding_KD.T
    expected_NLK = soft_NLK * (upstream_NLK - (soft_NLK * upstream_NLK).sum(-1, keepdim=True)) / 0.5
    torch.testing.assert_close(logits_NLK.grad, expected_NLK)


def test_soft_gradient_by_finite_differences():
    noise_NLK, embedding_KD = normal(2, 3, 5, seed=1), normal(5, 4, seed=2)

    def read(logits_NLK):
        return soft_embeddings(logits_NLK, noise_NLK, 0.8, embedding_KD, torch.tensor([3, 2]))

    assert torch.autograd.gradcheck(read, normal(2, 3, 5).requires_grad_())


def test_soft_is_a_distribution_and_becomes_hard_as_it_cools():
    logits_NLK, noise_NLK, lengths_N = normal(2, 3, 5), normal(2, 3, 5, seed=1), torch.tensor([3, 3])
    one_hot_NLK = straight_through_embeddings(logits_NLK, noise_NLK, 1.0, torch.eye(5).double(), lengths_N)
    torch.testing.assert_close(gumbel_softmax(logits_NLK, noise_NLK, 1e-4), one_hot_NLK)
    torch.testing.assert_close(gumbel_softmax(logits_NLK, torch.zeros(2, 3, 5), 1.0), logits_NLK.softmax(-1))
    sums_NL = gumbel_softmax(logits_NLK, noise_NLK, 2.0).sum(-1)
    torch.testing.assert_close(sums_NL, torch.ones_like(sums_NL))


def test_half_precision_is_raised():
    assert gumbel_softmax(normal(1, 1, 4).bfloat16(), torch.zeros(1, 1, 4), 1.0).dtype == torch.float32


@pytest.mark.parametrize("how", READ)
def test_padding_reads_as_zero_and_has_no_gradient(how):
    logits_NLK, embedding_KD = normal(2, 4, 3).requires_grad_(), normal(3, 2, seed=1)
    embedded_NLD = READ[how](logits_NLK, normal(2, 4, 3, seed=2), 1.0, embedding_KD, torch.tensor([4, 1]))
    assert embedded_NLD[1, 1:].abs().sum() == 0
    embedded_NLD.square().sum().backward()
    assert logits_NLK.grad[1, 1:].abs().sum() == 0
    assert logits_NLK.grad[1, 0].abs().sum() > 0


def test_annealing_is_a_straight_line():
    assert [annealed(1.0, 0.2, progress) for progress in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.6, 0.2])
    assert annealed(1.0, None, 0.7) == 1.0
