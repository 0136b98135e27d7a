"""The clipped surrogate and its ratios. Numbers were worked out by hand."""

import math

import pytest
import torch

from speechrl.rl.policy_loss import clipped_surrogate, sequence_ratio, token_ratio


def test_token_ratio_is_a_quotient_of_probabilities():
    policy_NL = torch.tensor([[0.5, 0.2, 0.9]]).log()
    behaviour_NL = torch.tensor([[0.25, 0.4, 0.9]]).log()
    ratio_NL = token_ratio(policy_NL, behaviour_NL, torch.ones(1, 3))
    assert ratio_NL[0].tolist() == pytest.approx([2.0, 0.5, 1.0])


def test_sequence_ratio_is_the_geometric_mean_over_real_tokens():
    # (2 * 0.5 * 8) ** (1/3) = 2; the fourth token is padding and must not matter.
    policy_NL = torch.tensor([[2.0, 0.5, 8.0, 99.0]]).log()
    mask_NL = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    assert sequence_ratio(policy_NL, torch.zeros(1, 4), mask_NL)[0].tolist() == pytest.approx([2.0] * 4)


def test_sequence_ratio_gradient_goes_straight_through_the_mean():
    policy_NL = torch.tensor([[2.0, 0.5, 8.0, 3.0]]).log().requires_grad_()
    mask_NL = torch.tensor([[1.0, 1.0, 1.0, 0.0]])
    sequence_ratio(policy_NL, torch.zeros(1, 4), mask_NL)[0, 0].backward()
    assert policy_NL.grad[0].tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 0.0])


def test_sequence_ratio_of_one_token_is_the_token_ratio():
    generator = torch.Generator().manual_seed(1)
    policy_NL, behaviour_NL = torch.randn(2, 6, 1, generator=generator)
    mask_NL = torch.ones(6, 1)
    torch.testing.assert_close(
        sequence_ratio(policy_NL, behaviour_NL, mask_NL), token_ratio(policy_NL, behaviour_NL, mask_NL)
    )


@pytest.mark.parametrize("ratio", [token_ratio, sequence_ratio])
@pytest.mark.parametrize("filler", [math.nan, -math.inf, 1e4])
def test_padding_may_hold_anything(ratio, filler):
    policy_NL = torch.tensor([[-1.0, filler], [-2.0, -1.0], [filler, filler]], requires_grad=True)
    behaviour_NL = torch.tensor([[-1.0, 0.0], [-2.0, -1.0], [0.0, 0.0]])
    mask_NL = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    ratio_NL = ratio(policy_NL, behaviour_NL, mask_NL)
    assert torch.equal(ratio_NL, torch.ones(3, 2))
    ratio_NL.sum().backward()
    assert torch.isfinite(policy_NL.grad).all()
    assert policy_NL.grad[mask_NL == 0].abs().sum() == 0


# clip_low 0.2, clip_high 0.5: the bounds are 0.8 and 1.5.
@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient", "clipped"),
    [
        (1.0, 2.0, -2.0, -2.0, False),  # on-policy
        (1.4, 2.0, -2.8, -2.0, False),  # above 1.2: a symmetric clip would have cut it
        (1.6, 2.0, -3.0, 0.0, True),  # upper bound reached, good answer
        (1.6, -2.0, 3.2, 2.0, False),  # grew although it is bad: pulled back in full
        (0.7, 2.0, -1.4, -2.0, False),  # shrank although it is good: pulled back in full
        (0.7, -2.0, 1.6, 0.0, True),  # lower bound reached, bad answer
        (0.85, -2.0, 1.7, 2.0, False),
        (3.0, 0.0, 0.0, 0.0, False),  # no credit, no loss
    ],
)
def test_corners_of_the_asymmetric_clip(ratio, advantage, loss, gradient, clipped):
    ratio_NL = torch.tensor([[ratio]], requires_grad=True)
    loss_NL, clipped_NL = clipped_surrogate(ratio_NL, torch.tensor([advantage]), 0.2, 0.5)
    loss_NL.sum().backward()
    assert loss_NL.item() == pytest.approx(loss)
    assert ratio_NL.grad.item() == pytest.approx(gradient)
    assert clipped_NL.item() is clipped


def test_at_ratio_one_the_gradient_is_reinforce():
    generator = torch.Generator().manual_seed(2)
    logits_NLV = torch.randn(3, 4, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    tokens_NL = torch.randint(7, (3, 4), generator=generator)
    advantages_N = torch.tensor([1.5, -0.5, 0.0], dtype=torch.float64)
    logprobs_NL = logits_NLV.log_softmax(-1).gather(-1, tokens_NL[..., None])[..., 0]
    mask_NL = torch.ones(3, 4)
    ratio_NL = token_ratio(logprobs_NL, logprobs_NL.detach(), mask_NL)
    surrogate = clipped_surrogate(ratio_NL, advantages_N, 0.2, 0.2)[0].sum()
    reinforce = -(advantages_N[:, None] * logprobs_NL).sum()
    (ours,) = torch.autograd.grad(surrogate, logits_NLV, retain_graph=True)
    (theirs,) = torch.autograd.grad(reinforce, logits_NLV)
    torch.testing.assert_close(ours, theirs)
    assert ours[2].abs().sum() == 0
    assert ours[0].abs().sum() > 0
