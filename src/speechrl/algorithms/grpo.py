"""Group relative policy optimisation, and the forks that the literature takes from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechrl.algorithms.base import Loss, OnePart
from speechrl.algorithms.credit import group_credit
from speechrl.algorithms.terms import reference_kl, token_metrics
from speechrl.rl.policy_loss import clipped_surrogate, token_ratio
from speechrl.rl.reduce import weighted_sum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from speechrl.algorithms.base import PolicyBatch
    from speechrl.types import Group, Prompt, Sample, Score


class GRPO(OnePart):
    """DeepSeekMath's GRPO (arXiv 2402.03300): clipped surrogate on group-relative advantages, plus weighted KL.

    With `std=none` it is Dr. GRPO's advantage, with `clip_high > clip_low` and `loss_mean=token` DAPO's loss.
    `kl=none` needs no reference; `kl_weight=0` measures the KL without acting on it.

    Ratio and KL are of the distributions at temperature 1, before top-k and top-p, whatever the rollouts were drawn
    with: drawing them otherwise changes which completions are compared, and is not corrected for.
    """

    def credit(
        self, groups: Sequence[Group], scores: Sequence[Sequence[Score]], prompts: Sequence[Prompt]
    ) -> tuple[list[Sample], dict[str, float]]:
        """Advantages relative to the group; see `algorithms.credit.group_credit` for the stats."""
        return group_credit(groups, scores, prompts, self.config.std)

    def moves(self, sample: Sample) -> bool:
        """Without a KL, only credit moves the policy: samples of advantage exactly 0 (no spread) do not."""
        return self.config.kl != "none" or sample.advantage != 0.0

    def ratio(self, batch: PolicyBatch) -> Tensor:
        """Importance ratio of each token, shape (N, L)."""
        return token_ratio(batch.logprobs_NL, batch.behaviour_logprobs_NL, batch.mask_NL)

    def loss(self, batch: PolicyBatch) -> Loss:
        """Clipped surrogate plus KL; metrics `ratio`, `logprob_gap`, `clip_share`, and `kl` unless it is off."""
        config = self.config
        loss_NL, clipped_NL = clipped_surrogate(
            self.ratio(batch), batch.advantages_N, config.clip_low, config.clip_high
        )
        metrics_NL = {"clip_share": clipped_NL}
        if config.kl != "none":
            kl_NL = reference_kl(batch, config.kl)
            loss_NL = loss_NL + config.kl_weight * kl_NL
            metrics_NL["kl"] = kl_NL
        return Loss(weighted_sum(loss_NL, batch.mask_NL, batch.weight_N), *token_metrics(batch, **metrics_NL))
