"""What an algorithm is: how scores become credit, and how credit becomes a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from speechrl.types import Group, Prompt, Sample, Score


@dataclass(frozen=True, slots=True)
class PolicyBatch:
    """A micro-batch as the loss sees it: N completions of whole groups, padded on the right to L tokens.

    Attributes:
        logprobs_NL: log pi_theta of each completion token, with gradient.
        behaviour_logprobs_NL: log-probabilities the rollout engine reported (or, from the second update on
            the same batch, those of the policy before the first update).
        mask_NL: 1.0 where a token exists, 0.0 on padding.
        advantages_N: Credit of each completion.
        rewards_N: Total reward of each completion.
        group_N: Integer id of the group of each completion; ids are unique over the whole batch.
        weight_N: Weight of each token in its completion; see `rl.reduce.token_weights`. Zero leaves a
            completion out.
        reference_logprobs_NL: log pi_ref of the same tokens, or None when no KL is asked for.
        logits_NLV: Policy logits, only when `Algorithm.needs_logits`.
        reference_logits_NLV: Reference logits, likewise.
    """

    logprobs_NL: Tensor
    behaviour_logprobs_NL: Tensor
    mask_NL: Tensor
    advantages_N: Tensor
    rewards_N: Tensor
    group_N: Tensor
    weight_N: Tensor
    reference_logprobs_NL: Tensor | None = None
    logits_NLV: Tensor | None = None
    reference_logits_NLV: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss before its one division.

    Attributes:
        total: Sum over the micro-batch, a scalar connected to the graph even when nothing counts.
        sums: Detached sums of things to report, by name: `ratio`, `logprob_gap`, `clip_share`, `kl` ..., each
            over tokens.
        counts: What each of `sums` is divided by after all micro-batches have been added; the same names.
    """

    total: Tensor
    sums: Mapping[str, float]
    counts: Mapping[str, float]


class Algorithm(Protocol):
    """How scores become credit (stage 5) and credit becomes a loss (stage 6).

    Attributes:
        loss_mean: What the one division is over: tokens, sequences or groups of the whole batch that count.
        needs_reference: Whether the learner must score completions under the reference policy.
        needs_logits: Whether it must keep full logits (full-vocabulary KL).
        teacher: True when completions are the references themselves (SFT) instead of samples of the policy.
    """

    loss_mean: Literal["token", "sequence", "group"]
    needs_reference: bool
    needs_logits: bool
    teacher: bool

    def credit(
        self, groups: Sequence[Group], scores: Sequence[Sequence[Score]], prompts: Sequence[Prompt]
    ) -> tuple[list[Sample], dict[str, float]]:
        """Turn scores into samples with advantages; also `zero_spread_share`, `failed_scores` and such to log.

        A failed score leaves its group's statistics and the loss. Samples of groups without spread are kept
        with advantage 0 (their KL still counts); see each algorithm for its filters.
        """
        ...

    def include(self, sample: Sample) -> bool:
        """Whether a sample takes part in the loss: the `include` of `rl.reduce.token_weights`.

        False for rollouts cut by length when `length_cut` is `mask`: they shaped their group's statistics
        already.
        """
        ...

    def loss(self, batch: PolicyBatch) -> Loss:
        """The loss of a micro-batch, not yet divided."""
        ...
