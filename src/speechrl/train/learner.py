"""Stage 6: from samples to an optimiser step on the language model."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from speechrl.algorithms.base import PolicyBatch
from speechrl.train.lora import adapters_off, add_adapters, merge_adapters, merged_state
from speechrl.train.microbatches import pack, to_read, weigh
from speechrl.train.schedule import learning_rate
from speechrl.types import StepReport

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor

    from speechrl.algorithms.base import Algorithm
    from speechrl.config.schema import TrainConfig
    from speechrl.models.language_model import CompletionScores, LanguageModel
    from speechrl.train.microbatches import MicroBatch, Share
    from speechrl.types import Sample


@dataclass(slots=True)
class _Tally:
    """Sums and counts over micro-batches, divided once at the end."""

    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, name: str, total: float, count: float) -> None:
        self.sums[name] += total
        self.counts[name] += count

    def means(self) -> dict[str, float]:
        return {name: total / self.counts[name] for name, total in self.sums.items() if self.counts[name]}


@dataclass(frozen=True, slots=True)
class _Fixed:
    """What does not change over the updates on a micro-batch.

    Attributes:
        logprobs_NL: Of the policy before the first update: the behaviour of the later ones.
        reference: Scores of the reference policy, once they are known and small enough to be held.
    """

    logprobs_NL: Tensor
    reference: CompletionScores | None = None


class Learner:
    """AdamW over the trainable weights of a language model.

    The model is in evaluation mode all the time (no dropout), so that it scores a rollout as the engine that sampled it
    does. The reference policy is the model as it is given here: a frozen copy, or the same weights with LoRA off.

    Args:
        language_model: The policy, trained in place.
        algorithm: Its loss, and what the loss needs.
        config: Optimiser, schedule, budget and precision.
        lora_rank: Rank of adapters; 0 trains every weight.
    """

    def __init__(
        self, language_model: LanguageModel, algorithm: Algorithm, config: TrainConfig, *, lora_rank: int = 0
    ) -> None:
        self.policy = language_model.eval()
        self._algorithm = algorithm
        self._config = config
        self._lora = lora_rank > 0
        self._reference: LanguageModel | None = None
        if algorithm.needs_reference and not self._lora:
            self._reference = copy.deepcopy(self.policy).requires_grad_(False)
        if self._lora:
            add_adapters(self.policy.causal_lm, lora_rank)
        else:
            self.policy.requires_grad_(True)
        self._trainable = {name: p for name, p in self.policy.named_parameters() if p.requires_grad}
        self._optimizer = torch.optim.AdamW(
            self._trainable.values(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def update(self, samples: Sequence[Sample], step: int) -> StepReport:
        """One batch of rollouts, `updates_per_batch` optimiser steps.

        The count of every part of the loss is taken over the whole batch before any micro-batch is seen, so the split
        does not change the gradient. Samples that no part can learn from (left out, or of zero gradient) count where
        they take part, but are not read.

        Args:
            samples: Any number; without any, nothing is updated.
            step: Counted from 1; sets the learning rate.

        Returns:
            `loss` and, with several parts, `loss/PART`; `grad_norm` (before clipping), `learning_rate`, `non_finite`
            (skipped updates); `completion_length` over all samples; `samples/PART`, the share of the samples that the
            part learns from; and over the tokens of the samples that were read, of all updates: `entropy`,
            `logprob_gap` (mean |behaviour - policy|, of the first update) and what the algorithm sums up (`kl`,
            `clip_share` ...).
        """
        rate = learning_rate(step, self._config)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        tally = _Tally()
        shares = weigh(self._algorithm.parts, samples)
        batches = pack(samples, to_read(shares.values()), self._config.tokens_per_microbatch)
        fixed: list[_Fixed | None] = [None] * len(batches)
        skipped = updates = 0
        for number in range(self._config.updates_per_batch if batches else 0):
            for index, batch in enumerate(batches):
                made, fixed[index] = self._forward(batch, fixed[index], step, number, tally)
                loss = self._total(made, batch.places, shares, tally, 1 / len(batches))
                loss.backward()
                tally.add("loss", float(loss.detach()), 1 / len(batches))
            if not self._step(tally):
                skipped += 1
                break
            updates += 1
        metrics = tally.means() | {"learning_rate": rate, "non_finite": float(skipped)}
        if samples:
            metrics["completion_length"] = sum(len(s.rollout.token_ids) for s in samples) / len(samples)
            metrics |= {f"samples/{name}": len(share.read) / len(samples) for name, share in shares.items()}
        return StepReport(metrics=metrics, updated=updates > 0)

    def _total(
        self,
        batch: PolicyBatch,
        places: Sequence[int],
        shares: Mapping[str, Share],
        tally: _Tally,
        of_update: float,
    ) -> Tensor:
        """The loss of a micro-batch over all parts: the one place where sums are divided by counts."""
        totals = []
        for name, share in shares.items():
            weight_N = torch.tensor([share.weights[p] for p in places], device=batch.mask_NL.device)
            loss = share.part.loss(replace(batch, weight_N=weight_N))
            # A part that takes nothing gives a zero that is connected to the graph.
            totals.append(share.part.factor * (loss.total / (share.count or 1.0)))
            if len(shares) > 1:
                tally.add(f"loss/{name}", float(totals[-1].detach()), of_update)
            for metric, value in loss.sums.items():
                if metric != "logprob_gap":  # after the first update it is no longer engine against learner
                    tally.add(metric, value, loss.counts[metric])
        return sum(totals[1:], totals[0])

    def _forward(
        self, batch: MicroBatch, fixed: _Fixed | None, step: int, number: int, tally: _Tally
    ) -> tuple[PolicyBatch, _Fixed]:
        """A micro-batch under the policy, its weights still zero, and what later updates on it hold against the policy.

        Args:
            batch: The micro-batch.
            fixed: None in the first update on a batch, when the behaviour is what the engine reported.
            step: Of the run.
            number: Of the update on this batch.
            tally: Receives entropy and log-probability gap.
        """
        scores = self._score(self.policy, batch, keep_logits=self._algorithm.needs_logits)
        tokens = float(scores.mask_NL.sum())
        tally.add("entropy", float((scores.entropy_NL * scores.mask_NL).sum()), tokens)
        if fixed is None:
            behaviour_NL = _pad([sample.rollout.logprobs for sample in batch.samples], scores.mask_NL)
            fixed = _Fixed(scores.logprobs_NL.detach())
            if not self._algorithm.teacher:
                gap_NL = (behaviour_NL - fixed.logprobs_NL).abs() * scores.mask_NL
                tally.add("logprob_gap", float(gap_NL.sum()), tokens)
        else:
            behaviour_NL = fixed.logprobs_NL
        reference = fixed.reference
        if reference is None and self._algorithm.needs_reference:
            reference = self._score_reference(batch)
            # Logits over a vocabulary are too large to be held for every micro-batch: they are made again.
            fixed = fixed if self._algorithm.needs_reference_logits else replace(fixed, reference=reference)
        device = scores.mask_NL.device
        made = PolicyBatch(
            logprobs_NL=scores.logprobs_NL,
            behaviour_logprobs_NL=behaviour_NL,
            mask_NL=scores.mask_NL,
            advantages_N=torch.tensor([sample.advantage for sample in batch.samples], device=device),
            rewards_N=torch.tensor([sample.score.total for sample in batch.samples], device=device),
            group_N=torch.tensor([sample.group for sample in batch.samples], device=device),
            weight_N=torch.zeros(len(batch.samples), device=device),
            reference_logprobs_NL=None if reference is None else reference.logprobs_NL,
            logits_NLV=scores.logits_NLV,
            reference_logits_NLV=None if reference is None else reference.logits_NLV,
            samples=tuple(batch.samples),
            noise_keys=tuple((step, number, place) for place in batch.places),
            progress=min(1.0, (step - 1) / max(1, self._config.steps - 1)),
        )
        return made, fixed

    def _score(self, model: LanguageModel, batch: MicroBatch, *, keep_logits: bool) -> CompletionScores:
        with torch.autocast(model.device.type, torch.bfloat16, enabled=self._config.precision == "bf16"):
            return model.score(batch.contexts, batch.completions, keep_logits=keep_logits)

    @torch.no_grad()
    def _score_reference(self, batch: MicroBatch) -> CompletionScores:
        off: AbstractContextManager[None] = adapters_off(self.policy) if self._lora else nullcontext()
        with off:
            keep = self._algorithm.needs_reference_logits
            return self._score(self._reference or self.policy, batch, keep_logits=keep)

    def _step(self, tally: _Tally) -> bool:
        """Clip and step; False, with the weights as they were, when loss or gradient is not finite."""
        norm = float(torch.nn.utils.clip_grad_norm_(self._trainable.values(), self._config.max_grad_norm))
        finite = math.isfinite(norm) and math.isfinite(tally.sums["loss"])
        if finite:
            self._optimizer.step()
        tally.add("grad_norm", norm, 1)
        self._optimizer.zero_grad(set_to_none=True)
        return finite

    def weights(self) -> dict[str, Tensor]:
        """The policy's weights by their names in `LanguageModel`, adapters merged: what `Rollouts.load` takes."""
        if self._lora:
            return merged_state(self.policy)
        return {name: value.detach() for name, value in self.policy.state_dict().items()}

    def finish(self) -> LanguageModel:
        """End of training: the policy as a plain model again, adapters merged in."""
        if self._lora:
            merge_adapters(self.policy)
            self._lora = False
        return self.policy.requires_grad_(False)

    def to(self, device: torch.device, /) -> Learner:
        """Move policy, reference, what the algorithm holds and optimiser state, in place."""
        self.policy.to(device)
        self._algorithm.to(device)
        if self._reference is not None:
            self._reference.to(device)
        for state in self._optimizer.state.values():
            for name, value in state.items():
                # AdamW keeps its step counts on the host on purpose.
                if isinstance(value, torch.Tensor) and name != "step":
                    state[name] = value.to(device)
        return self

    def state_dict(self) -> dict[str, Any]:
        """Trainable weights and optimiser state, by parameter name."""
        moments = {
            name: dict(self._optimizer.state[parameter])
            for name, parameter in self._trainable.items()
            if parameter in self._optimizer.state
        }
        weights = {name: parameter.detach() for name, parameter in self._trainable.items()}
        return {"weights": weights, "optimizer": moments}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`.

        Raises:
            KeyError, RuntimeError: It is of another model.
        """
        with torch.no_grad():
            for name, parameter in self._trainable.items():
                kept = state["weights"][name]
                if kept.shape != parameter.shape:  # `copy_` would broadcast
                    raise RuntimeError(f"{name} has shape {tuple(kept.shape)}, not {tuple(parameter.shape)}")
                parameter.copy_(kept)
                moments = state["optimizer"].get(name)
                if moments is not None:
                    self._optimizer.state[parameter] = {key: value.clone() for key, value in moments.items()}


def _pad(rows: Sequence[Sequence[float]], like_NL: Tensor) -> Tensor:
    """Rows of numbers as a tensor of the shape and device of `like_NL`, zeros on the right."""
    padded_NL = torch.zeros(like_NL.shape, dtype=torch.float32)
    for index, row in enumerate(rows):
        padded_NL[index, : len(row)] = torch.tensor(row)
    return padded_NL.to(like_NL.device)
