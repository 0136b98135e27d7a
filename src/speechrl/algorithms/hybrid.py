"""GRPO and DiffRO in one update, each over its own samples and its own count."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from speechrl.algorithms.base import Part
from speechrl.algorithms.grpo import GRPO
from speechrl.types import Ending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from speechrl.algorithms.base import Loss, PolicyBatch
    from speechrl.algorithms.diffro import DiffRO
    from speechrl.config.schema import AlgorithmConfig
    from speechrl.models.base import SpeechModel
    from speechrl.types import Group, Prompt, Sample, Score


class Hybrid:
    """L = L_GRPO(all samples) + w L_DiffRO(filtered samples), arXiv 2509.18569; both read one forward pass.

    Filters: `advantage` takes samples better than their group's mean, so that a group without spread gives DiffRO
    nothing; `stopped` those that ended by themselves, since the gradient on a sample that loops does harm; `both` and
    `none` say it. Each loss brings its own KL, as the formula has it: with `kl_weight` beta, a sample that passes the
    filter is held back by beta in one mean and by w beta in the other.

    A part of factor 0 is not there at all: with w = 0 this is GRPO and needs no reward model, with `policy_weight=0`
    and no filter it is DiffRO.

    Args:
        config: The options of both.
        diffro: None only where w is 0.
        policy_weight: Factor of L_GRPO.
    """

    teacher = False

    def __init__(self, config: AlgorithmConfig, diffro: DiffRO | None, policy_weight: float = 1.0) -> None:
        self.config = config
        self.policy = GRPO(config)
        self.diffro = diffro
        self._policy_weight = policy_weight
        self.needs_reference = config.kl != "none"
        self.needs_reference_logits = config.kl == "full"
        self.needs_logits = "diffro" in self.parts or config.kl == "full"

    @property
    def parts(self) -> Mapping[str, Part]:
        """`policy` and `diffro`, without those of factor 0."""
        parts = {}
        if self._policy_weight > 0:
            parts = {"policy": replace(self.policy.parts["policy"], factor=self._policy_weight)}
        if self.diffro is not None and self.config.diffro.weight > 0:
            loss = self._beside_policy if parts else self.diffro.loss
            parts["diffro"] = Part(
                loss, self.takes, self.config.loss_mean, self.diffro.moves, self.config.diffro.weight
            )
        return parts

    def takes(self, sample: Sample) -> bool:
        """The filter: whether DiffRO learns from a sample."""
        chosen = self.config.diffro.filter
        return (
            self.diffro is not None
            and self.diffro.include(sample)
            and (chosen in ("none", "stopped") or sample.advantage > 0)
            and (chosen in ("none", "advantage") or sample.rollout.ending is Ending.STOP)
        )

    def _beside_policy(self, batch: PolicyBatch) -> Loss:
        """DiffRO's loss without the metrics that GRPO reports over more samples."""
        assert self.diffro is not None
        loss = self.diffro.loss(batch)
        own = [name for name in loss.sums if name.startswith("diffro_")]
        return replace(loss, sums={n: loss.sums[n] for n in own}, counts={n: loss.counts[n] for n in own})

    def credit(
        self, groups: Sequence[Group], scores: Sequence[Sequence[Score]], prompts: Sequence[Prompt]
    ) -> tuple[list[Sample], dict[str, float]]:
        """GRPO's: advantages relative to the group; and what DiffRO's reward model reads, see `DiffRO.read`."""
        samples, stats = self.policy.credit(groups, scores, prompts)
        return samples, stats | (self.diffro.read(samples) if self.diffro is not None else {})

    def check(self, model: SpeechModel) -> None:
        """What DiffRO asks of a model, where it takes part; see `DiffRO.check`."""
        if self.diffro is not None:
            self.diffro.check(model)

    def to(self, device: torch.device, /) -> Hybrid:
        """Move the reward model, in place."""
        if self.diffro is not None:
            self.diffro.to(device)
        return self
