"""Minimum word error rate training: the classic sequence criterion of speech recognition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from speechrl.algorithms.base import Loss, OnePart
from speechrl.algorithms.credit import group_credit
from speechrl.algorithms.terms import reference_kl, token_metrics
from speechrl.rl.mwer import expected_error, token_shares
from speechrl.rl.reduce import weighted_sum

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechrl.algorithms.base import PolicyBatch
    from speechrl.config.schema import AlgorithmConfig
    from speechrl.types import Group, Prompt, Sample, Score


class MWER(OnePart):
    """MWER (Prabhavalkar et al. 2018, arXiv 1712.01818) over sampled hypotheses; the negative reward is the error.

    With the accuracy reward the error is WER - 1, hence the WER's gradient. Always a mean over groups (utterances).
    The paper steadies training with 0.01 of cross-entropy; here the KL to the reference does, in the configured
    strength, its mean per token taken over the same list as the error's: each hypothesis counts as its probability
    there, not as often as it was drawn. The behaviour's probabilities and the clip play no part: the expectation is
    exact over the list.
    """

    def __init__(self, config: AlgorithmConfig) -> None:
        super().__init__(config)
        self.loss_mean = "group"

    def credit(
        self, groups: Sequence[Group], scores: Sequence[Sequence[Score]], prompts: Sequence[Prompt]
    ) -> tuple[list[Sample], dict[str, float]]:
        """The distinct hypotheses of each group, the first of equal ones; `repeated_share` of the samples went."""
        samples, stats = group_credit(groups, scores, prompts, "none")
        distinct: dict[tuple[int, tuple[int, ...]], Sample] = {}
        for sample in samples:
            distinct.setdefault((sample.group, sample.rollout.token_ids), sample)
        stats["repeated_share"] = 1 - len(distinct) / len(samples) if samples else 0.0
        return list(distinct.values()), stats

    def loss(self, batch: PolicyBatch) -> Loss:
        """Sum over groups of the expected error, plus KL; metrics `ratio`, `logprob_gap`, `expected_error`, `kl`."""
        keep_N = batch.weight_N > 0
        sequence_logprobs_N = batch.logprobs_NL.masked_fill(batch.mask_NL == 0, 0.0).sum(dim=1)
        loss_N, posterior_N = expected_error(sequence_logprobs_N, -batch.rewards_N, batch.group_N, keep_N)
        total = loss_N.sum()
        found = {"expected_error": float(torch.where(keep_N, posterior_N * -batch.rewards_N, 0.0).sum())}
        if self.config.kl != "none":
            expected_N = token_shares(posterior_N, batch.mask_NL.sum(dim=1), batch.group_N)
            kl = weighted_sum(reference_kl(batch, self.config.kl), batch.mask_NL, expected_N)
            total = total + self.config.kl_weight * kl
            found["kl"] = float(kl.detach())
        sums, counts = token_metrics(batch)
        groups = float(len(set(batch.group_N[keep_N].tolist())))
        return Loss(total, sums | found, counts | dict.fromkeys(found, groups))
