"""What an algorithm is: how scores become credit, and how credit becomes a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from speechrl.types import Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from torch import Tensor

    from speechrl.config.schema import AlgorithmConfig
    from speechrl.models.base import SpeechModel
    from speechrl.types import Group, Prompt, Sample, Score

LossMean = Literal["token", "sequence", "group"]


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
        weight_N: Weight of each completion's tokens in the part of the loss that is asked; see
            `rl.reduce.token_weights`. Zero leaves a completion out.
        reference_logprobs_NL: log pi_ref of the same tokens, or None when no KL is asked for.
        logits_NLV: Policy logits, only when `Algorithm.needs_logits`.
        reference_logits_NLV: Reference logits, likewise.
        samples: The N samples themselves, for losses that read texts or tokens.
        noise_keys: Of each completion (step, update on this batch, place in the whole batch): whoever draws noise seeds
            it with these, so that it repeats itself and no split into micro-batches changes it.
        progress: From 0 at the first step of the run to 1 at the last.
        shared: What one part of the loss computed and another reads: by name, the logits that it is of, and it.
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
    samples: tuple[Sample, ...] = ()
    noise_keys: tuple[tuple[int, int, int], ...] = ()
    progress: float = 0.0
    shared: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loss:
    """One part of a loss before its one division.

    Attributes:
        total: Sum over the micro-batch, a scalar connected to the graph even when nothing counts.
        sums: Detached sums of things to report, by name: `ratio`, `logprob_gap`, `clip_share`, `kl` ..., most
            over tokens.
        counts: What each of `sums` is divided by after all micro-batches have been added; the same names.
    """

    total: Tensor
    sums: Mapping[str, float]
    counts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Part:
    """A term of the loss with a count of its own: the whole loss is the sum of factor * total / count over the parts.

    Attributes:
        loss: The term on a micro-batch, not yet divided; it is given a batch with the weights of this part.
        include: Whether a sample takes part: the `include` of `rl.reduce.token_weights`, and so of the count.
        loss_mean: What the division is over: tokens, sequences or groups of the whole batch that take part.
        moves: Whether the gradient of a sample that takes part can be other than zero. The learner spares itself
            reading those for which it cannot; they are counted all the same.
        factor: Of the divided term.
    """

    loss: Callable[[PolicyBatch], Loss]
    include: Callable[[Sample], bool]
    loss_mean: LossMean
    moves: Callable[[Sample], bool]
    factor: float = 1.0


class Algorithm(Protocol):
    """How scores become credit (stage 5) and credit becomes a loss (stage 6).

    Attributes:
        needs_reference: Whether the learner must score completions under the reference policy.
        needs_logits: Whether it must keep full logits (full-vocabulary KL, DiffRO).
        needs_reference_logits: Whether also those of the reference (full-vocabulary KL).
        teacher: True when completions are the references themselves (SFT) instead of samples of the policy.
    """

    needs_reference: bool
    needs_logits: bool
    needs_reference_logits: bool
    teacher: bool

    @property
    def parts(self) -> Mapping[str, Part]:
        """The terms of the loss by name, at least one."""
        ...

    def credit(
        self, groups: Sequence[Group], scores: Sequence[Sequence[Score]], prompts: Sequence[Prompt]
    ) -> tuple[list[Sample], dict[str, float]]:
        """Turn scores into samples with advantages; also `zero_spread_share`, `failed_scores` and such to log.

        A failed score leaves its group's statistics and the loss. Samples of groups without spread are kept
        with advantage 0 (their KL still counts); see each algorithm for its filters.
        """
        ...

    def check(self, model: SpeechModel) -> None:
        """Make sure that the model is one that this algorithm can train.

        Raises:
            ConfigError, ModelError: It is not, and what to do.
        """
        ...

    def to(self, device: torch.device, /) -> object:
        """Move what the loss itself holds (a reward model), in place, when the learner moves."""
        ...


class OnePart(ABC):
    """Base of algorithms whose loss is a single term.

    Attributes:
        part: The name of that term.
        config: The options.
        loss_mean: See `Part`.
    """

    part: ClassVar[str] = "policy"
    teacher: bool = False
    loss_mean: LossMean

    def __init__(self, config: AlgorithmConfig) -> None:
        self.config = config
        self.loss_mean = config.loss_mean
        self.needs_reference = config.kl != "none"
        self.needs_logits = self.needs_reference_logits = config.kl == "full"

    @property
    def parts(self) -> Mapping[str, Part]:
        """The one term."""
        return {self.part: Part(self.loss, self.include, self.loss_mean, self.moves)}

    def include(self, sample: Sample) -> bool:
        """All samples, or with `length_cut=mask` those that were not cut by length.

        The cut ones shaped their group's statistics already.
        """
        return self.config.length_cut == "keep" or sample.rollout.ending is not Ending.LENGTH

    def moves(self, sample: Sample) -> bool:  # noqa: ARG002  (others look at it)
        """Always true, where the algorithm does not know better."""
        return True

    @abstractmethod
    def loss(self, batch: PolicyBatch) -> Loss:
        """The term on a micro-batch, not yet divided."""

    def check(self, model: SpeechModel) -> None:  # noqa: B027  (others look at it)
        """Any model will do."""

    def to(self, device: torch.device, /) -> object:  # noqa: ARG002  (others hold something)
        """Nothing to move."""
        return self
