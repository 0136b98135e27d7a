"""Supervised fine-tuning on the same page: the reference is the only rollout, and every advantage is 1."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from speechrl.algorithms.base import Loss, OnePart
from speechrl.algorithms.credit import group_credit
from speechrl.algorithms.terms import token_metrics
from speechrl.rl.reduce import weighted_sum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechrl.algorithms.base import PolicyBatch
    from speechrl.config.schema import AlgorithmConfig
    from speechrl.types import Group, Prompt, Sample, Score


class SFT(OnePart):
    """Cross-entropy of the reference tokens, the baseline that every reward has to beat.

    The options of the policy losses (std, clip, KL) have no meaning here: nothing is sampled. The metric
    `nll` is the mean over tokens whatever `loss_mean` is.
    """

    teacher = True

    def __init__(self, config: AlgorithmConfig) -> None:
        super().__init__(config)
        self.needs_reference = self.needs_logits = self.needs_reference_logits = False

    def credit(
        self, groups: Sequence[Group], scores: Sequence[Sequence[Score]], prompts: Sequence[Prompt]
    ) -> tuple[list[Sample], dict[str, float]]:
        """Every reference with advantage 1; a failed score is absent here too, so that counts mean the same."""
        samples, stats = group_credit(groups, scores, prompts, "none")
        return [replace(sample, advantage=1.0) for sample in samples], stats | {"zero_spread_share": 0.0}

    def include(self, sample: Sample) -> bool:  # noqa: ARG002  (a reference always counts)
        """Always true."""
        return True

    def loss(self, batch: PolicyBatch) -> Loss:
        """-log pi of every token; metric `nll`."""
        nll_NL = -batch.logprobs_NL
        sums, counts = token_metrics(batch, nll=nll_NL)
        # Teacher rollouts carry no behaviour probabilities, so a ratio to them would mean nothing.
        return Loss(
            weighted_sum(batch.advantages_N[:, None] * nll_NL, batch.mask_NL, batch.weight_N),
            {"nll": sums["nll"]},
            {"nll": counts["nll"]},
        )
