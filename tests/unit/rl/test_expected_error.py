"""MWER's expected error. Numbers were worked out by hand."""

import pytest
import torch

from speechrl.rl.mwer import expected_error, posteriors

ONE_GROUP = torch.zeros(3, dtype=torch.long)
KEEP = torch.ones(3, dtype=torch.bool)


def test_renormalises_over_the_list():
    # Probabilities .1, .2, .1 are a quarter, a half and a quarter of what the list holds.
    logprobs_N = torch.tensor([0.1, 0.2, 0.1]).log()
    assert posteriors(logprobs_N, ONE_GROUP, KEEP).tolist() == pytest.approx([0.25, 0.5, 0.25])


def test_by_hand():
    # Errors 0, 1, 5, mean 2: .25 * -2 + .5 * -1 + .25 * 3 = -0.25; expected error 1.75 = 2 - 0.25.
    logprobs_N = torch.tensor([0.1, 0.2, 0.1]).log()
    errors_N = torch.tensor([0.0, 1.0, 5.0])
    loss_N, posterior_N = expected_error(logprobs_N, errors_N, ONE_GROUP, KEEP)
    assert loss_N.tolist() == pytest.approx([-0.5, -0.5, 0.75])
    assert (posterior_N * errors_N).sum().item() == pytest.approx(1.75)


def test_gradient_is_posterior_times_excess_error():
    logprobs_N = torch.tensor([0.1, 0.2, 0.1]).log().requires_grad_()
    loss_N, _ = expected_error(logprobs_N, torch.tensor([0.0, 1.0, 5.0]), ONE_GROUP, KEEP)
    loss_N.sum().backward()
    # P_i (W_i - E W) with E W = 1.75.
    assert logprobs_N.grad.tolist() == pytest.approx([0.25 * -1.75, 0.5 * -0.75, 0.25 * 3.25])


def test_gradient_by_finite_differences():
    generator = torch.Generator().manual_seed(4)
    logprobs_N = (5 * torch.randn(7, generator=generator, dtype=torch.float64) - 30).requires_grad_()
    errors_N = torch.rand(7, generator=generator, dtype=torch.float64)
    group_N = torch.tensor([4, 4, 9, 9, 9, 4, 1])
    keep_N = torch.tensor([1, 1, 1, 0, 1, 1, 1], dtype=torch.bool)
    assert torch.autograd.gradcheck(
        lambda x: expected_error(x, errors_N, group_N, keep_N)[0].sum(), logprobs_N
    )


def test_long_lists_do_not_underflow():
    logprobs_N = torch.tensor([-5000.0, -5000.0, -5002.0])
    assert posteriors(logprobs_N, ONE_GROUP, KEEP).sum().item() == pytest.approx(1.0)


def test_left_out_hypotheses_and_other_groups_do_not_matter():
    logprobs_N = torch.tensor([-1.0, -2.0, -0.5, -3.0], requires_grad=True)
    group_N = torch.tensor([0, 0, 0, 1])
    keep_N = torch.tensor([True, True, False, True])
    errors_N = torch.tensor([1.0, 0.0, float("nan"), 7.0])
    loss_N, _ = expected_error(logprobs_N, errors_N, group_N, keep_N)
    pair_N, _ = expected_error(logprobs_N[:2], errors_N[:2], group_N[:2], keep_N[:2])
    torch.testing.assert_close(loss_N[:2], pair_N)
    assert loss_N[2:].tolist() == [0.0, 0.0]
    loss_N.sum().backward()
    assert logprobs_N.grad[2:].tolist() == [0.0, 0.0]


def test_nothing_kept_is_a_connected_zero():
    logprobs_N = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    loss_N, posterior_N = expected_error(logprobs_N, torch.ones(3), ONE_GROUP, ~KEEP)
    loss_N.sum().backward()
    assert posterior_N.tolist() == [0.0, 0.0, 0.0]
    assert loss_N.sum().item() == 0
    assert logprobs_N.grad.tolist() == [0.0, 0.0, 0.0]
