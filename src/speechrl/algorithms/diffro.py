"""DiffRO: the gradient of a recogniser of speech tokens, straight into the policy."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from speechrl.algorithms.base import Loss, OnePart
from speechrl.algorithms.credit import group_credit
from speechrl.algorithms.terms import reference_kl, reward_model_metrics
from speechrl.errors import ConfigError
from speechrl.models.tts.token2text import SPEAKER, check_vocabulary
from speechrl.rewards.tts import reading_metrics
from speechrl.rl.diffro import annealed, padded_noise, soft_embeddings, straight_through_embeddings
from speechrl.rl.reduce import counted, counted_sum, weighted_sum
from speechrl.types import Ending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from speechrl.algorithms.base import PolicyBatch
    from speechrl.config.schema import AlgorithmConfig
    from speechrl.models.base import SpeechModel
    from speechrl.models.tts.token2text import SpeaksCodes, Token2Text
    from speechrl.types import Group, Prompt, Rollout, Sample, Score

RELAXED = {"straight_through": straight_through_embeddings, "soft": soft_embeddings}


class DiffRO(OnePart):
    """DiffRO (arXiv 2507.05911): maximise log P(text | relaxed tokens) - beta sum_t KL(policy || reference).

    The reward model is a CTC recogniser, where the paper's is autoregressive: P(text | tokens) sums over alignments,
    and is 0 for a text that has too few tokens.

    One teacher-forced pass over the sampled completion gives the policy's logits at every position; a fresh
    Gumbel-Softmax draw from each goes to the reward model. The end token has no column there: its position is left
    out, and its logit moves through the KL alone. Paper: straight-through, temperature 1, `kl=full`, beta 0.1.

    The paper sums both terms over an utterance. Here that sum counts as spread over its tokens, and `loss_mean` says
    what is divided by, as everywhere. By `token` it is the paper's objective but for one constant, the mean length:
    beta means the same, and the scale is that of a policy loss beside it. By `sequence`, long and short utterances
    weigh the same. See docs/algorithms.md for what a division by text length would do.

    Args:
        config: The options.
        reward_model: Is frozen and put into evaluation mode; moves with the learner.
        seed: Of the Gumbel noise, with step, update and place in the batch.
    """

    part = "diffro"

    def __init__(self, config: AlgorithmConfig, reward_model: Token2Text, seed: int) -> None:
        super().__init__(config)
        self.needs_logits = True
        self.reward_model = reward_model.eval().requires_grad_(False)
        self._seed = seed

    def credit(
        self, groups: Sequence[Group], scores: Sequence[Sequence[Score]], prompts: Sequence[Prompt]
    ) -> tuple[list[Sample], dict[str, float]]:
        """Samples as GRPO's; their advantages play no part, so that no group is without a lesson. See `read` too."""
        samples, stats = group_credit(groups, scores, prompts, self.config.std)
        return samples, stats | {"zero_spread_share": 0.0} | self.read(samples)

    def read(self, samples: Sequence[Sample]) -> dict[str, float]:
        """`token_cer` and its counts (`rewards.tts.reading_metrics`) of what the reward model reads in samples.

        Nothing where a reward has had a Token2Text read them already: one opinion is watched, and it is logged.
        """
        if not samples or any("token_cer" in sample.score.metrics for sample in samples):
            return {}
        rollouts = [sample.rollout for sample in samples]
        tokens = [rollout.token_ids[: speech_length(rollout)] for rollout in rollouts]
        read = [
            reading_metrics(sample.prompt.text, text, sample.prompt.language)
            for sample, text in zip(samples, self.reward_model.transcribe(tokens), strict=True)
        ]
        errors, letters = (sum(metrics[name] for metrics in read) for name in ("letter_errors", "letters"))
        return {"token_cer": errors / max(letters, 1), "letter_errors": errors, "letters": letters}

    def include(self, sample: Sample) -> bool:
        """Samples with speech in them; with `length_cut=mask` those not cut by length."""
        return super().include(sample) and speech_length(sample.rollout) > 0

    def loss(self, batch: PolicyBatch) -> Loss:
        """Negative reward plus KL; metrics `kl` per token and those of `terms.reward_model_metrics`."""
        rows = torch.nonzero(batch.weight_N > 0)[:, 0].tolist()
        # Where nothing takes part: zero, but of the graph, so that backward runs everywhere.
        total = batch.logprobs_NL.new_zeros(()) if rows else batch.logprobs_NL[:0].sum()
        sums: dict[str, float] = {}
        counts: dict[str, float] = {}
        if self.config.kl != "none":
            kl_NL = reference_kl(batch, self.config.kl)
            total = total + self.config.kl_weight * weighted_sum(kl_NL, batch.mask_NL, batch.weight_N)
            sums["kl"] = counted_sum(kl_NL, batch.mask_NL, batch.weight_N)
            counts["kl"] = float(torch.count_nonzero(counted(batch.mask_NL, batch.weight_N)))
        if rows:
            logprobs = self._judge(batch, rows)
            reward_R = logprobs["text"]
            for head, weight in self.config.diffro.heads.items():
                reward_R = reward_R + weight * logprobs[head]
            weighted_R = batch.weight_N[rows] * reward_R
            total = total - torch.where(reward_R.isneginf(), 0.0, weighted_R).sum()
            texts = [batch.samples[row].prompt.text for row in rows]
            for name, values in reward_model_metrics(
                logprobs, reward_R, batch.rewards_N[rows], texts
            ).items():
                sums[name], counts[name] = values
        return Loss(total, sums, counts)

    def _judge(self, batch: PolicyBatch, rows: Sequence[int]) -> dict[str, Tensor]:
        """Log-probability of the text and of what each head is to say, shape (R,), for the named rows."""
        if batch.logits_NLV is None:
            raise ValueError("DiffRO needs the logits of the policy in the batch")
        options = self.config.diffro
        embedding_KD = self.reward_model.embedding.weight
        codes, device = len(embedding_KD), embedding_KD.device
        samples = [batch.samples[row] for row in rows]
        lengths = [speech_length(sample.rollout) for sample in samples]
        lengths_R = torch.tensor(lengths, device=device)
        voices = [s.context.voice_D for s in samples if s.context.voice_D is not None]
        keys = [(self._seed, *batch.noise_keys[row]) for row in rows]
        embedded_RLD = RELAXED[options.relaxation](
            batch.logits_NLV[rows, : max(lengths), :codes],
            padded_noise(keys, lengths, codes, device),
            annealed(options.temperature, options.final_temperature, batch.progress),
            embedding_KD,
            lengths_R,
        )
        with gradients_through(self.reward_model, device):
            return self.reward_model.task_logprobs(
                embedded_RLD,
                lengths_R,
                [sample.prompt.text for sample in samples],
                list(options.heads),
                torch.stack(voices) if voices and len(voices) == len(samples) else None,
            )

    def check(self, model: SpeechModel) -> None:
        """Make sure that policy and reward model mean the same by a speech token, and that it has the heads.

        Raises:
            ConfigError: The policy does not speak; or the reward model lacks a head of `diffro.heads`, or the voices of
                the one for speakers.
            ModelError: Their codes differ.
        """
        if model.task != "tts":
            raise ConfigError(
                f"algorithm.name={self.config.name} needs a synthesiser: its reward model reads speech tokens, and a "
                f"model for {model.task} writes none. Choose grpo, or a model and data for tts."
            )
        named = f"algorithm.diffro.reward_model, {self.config.diffro.reward_model}"
        check_vocabulary(self.reward_model, cast("SpeaksCodes", model), named)
        self._check_heads()

    def _check_heads(self) -> None:
        has = self.reward_model.config.heads
        for head in self.config.diffro.heads:
            if head not in has:
                raise ConfigError(
                    f"algorithm.diffro.heads: the reward model has no head {head!r} (its heads: "
                    f"{', '.join(has) or 'none'}). Correct the name, take it out, or name a Token2Text with that head "
                    "in algorithm.diffro.reward_model."
                )
            if head == SPEAKER and not len(self.reward_model.voices_KD):
                raise ConfigError(
                    f"algorithm.diffro.heads: the head {head!r} of the reward model knows no voices, so nothing says "
                    f"which speaker is wanted (its heads: {', '.join(has)}). Train it with data.voices, or take the "
                    "head out."
                )

    def to(self, device: torch.device, /) -> DiffRO:
        """Move the reward model, in place."""
        self.reward_model.to(device)
        return self


def gradients_through(model: nn.Module, device: torch.device) -> AbstractContextManager[object]:
    """Where a frozen model must compute for gradients to reach its input.

    On CUDA, recurrent layers run in cuDNN, which computes no gradients of a forward pass in evaluation mode; torch's
    own kernels do. Nothing else needs them, and they are slower.
    """
    recurrent = any(isinstance(module, nn.RNNBase) for module in model.modules())
    if recurrent and device.type == "cuda":
        # Already in the forward pass, which decides what backward runs.
        return torch.backends.cudnn.flags(enabled=False)
    return nullcontext()


def speech_length(rollout: Rollout) -> int:
    """Speech tokens of a rollout, its end token not counted; 0 for one that holds others among them."""
    if rollout.ending is Ending.UNPARSABLE:
        return 0
    return len(rollout.token_ids) - (rollout.ending is Ending.STOP)
