"""Minimum word error rate: the expected error over a renormalised list of hypotheses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def posteriors(sequence_logprobs_N: Tensor, group_N: Tensor, keep_N: Tensor) -> Tensor:
    """Probabilities renormalised over the kept hypotheses of each group, shape (N,); 0 where not kept.

    P^(y_i) = P(y_i) / sum_j P(y_j), j over the distinct hypotheses of the group: a repeated one would count
    twice.
    """
    same_NN = (group_N[:, None] == group_N[None, :]) & keep_N[None, :]
    # The lowest finite number instead of -inf: a group of which nothing is kept must not turn into NaN.
    lowest = torch.finfo(sequence_logprobs_N.dtype).min
    logprobs_NN = sequence_logprobs_N[None, :].expand_as(same_NN).masked_fill(~same_NN, lowest)
    own_N = logprobs_NN.log_softmax(dim=1).diagonal().exp()
    return torch.where(keep_N, own_N, 0.0)


def token_shares(posterior_N: Tensor, lengths_N: Tensor, group_N: Tensor) -> Tensor:
    """Weight of each hypothesis' tokens in a group's expected mean per token, shape (N,), detached.

    P^(y_i) / sum_j P^(y_j) |y_j|: the sum over a group of weight times token values is E[sum of values] / E[length].
    Completions have at least one token, so that the expected length is below 1 only where nothing is kept.
    """
    same_NN = (group_N[:, None] == group_N[None, :]).to(posterior_N.dtype)
    expected_N = same_NN @ (posterior_N.detach() * lengths_N)
    return posterior_N.detach() / expected_N.clamp(min=1)


def expected_error(
    sequence_logprobs_N: Tensor, errors_N: Tensor, group_N: Tensor, keep_N: Tensor
) -> tuple[Tensor, Tensor]:
    """Expected error relative to the group's mean, per hypothesis: a sum over a group is that group's loss.

    P^(y_i) (W_i - mean_j W_j): the N-best loss of Prabhavalkar et al. 2018 (arXiv 1712.01818). The mean moves
    the value only: its gradient, -mean W times grad sum_i P^_i = 0, cancels. A group of one kept hypothesis
    gives exactly 0.

    Args:
        sequence_logprobs_N: log P(y_i | x), summed over tokens, with gradient.
        errors_N: W_i, word errors or any risk (a negative reward).
        group_N: Integer id of each hypothesis' group.
        keep_N: Boolean; False leaves a hypothesis out of the list.

    Returns:
        (loss_N, posterior_N): both 0 where not kept; the posterior is detached.
    """
    posterior_N = posteriors(sequence_logprobs_N, group_N, keep_N)
    errors_N = torch.where(keep_N, errors_N, 0.0)
    same_NN = ((group_N[:, None] == group_N[None, :]) & keep_N[None, :]).to(errors_N.dtype)
    mean_N = (same_NN @ errors_N) / same_NN.sum(dim=1).clamp(min=1)
    return posterior_N * (errors_N - mean_N), posterior_N.detach()
