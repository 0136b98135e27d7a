"""Group sequence policy optimisation: GRPO with one importance ratio per completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechrl.algorithms.grpo import GRPO
from speechrl.rl.policy_loss import sequence_ratio

if TYPE_CHECKING:
    from torch import Tensor

    from speechrl.algorithms.base import PolicyBatch


class GSPO(GRPO):
    """GSPO (arXiv 2507.18071); with `loss_mean=sequence` and `kl=none` its eq. 5 exactly.

    Its ratio moves far less than a token's, so the paper clips far closer: 3e-4 below and 4e-4 above.
    """

    def ratio(self, batch: PolicyBatch) -> Tensor:
        """The completion's length-normalised ratio on each of its tokens, shape (N, L)."""
        return sequence_ratio(batch.logprobs_NL, batch.behaviour_logprobs_NL, batch.mask_NL)
