"""Rollouts in plain torch: one prefill per context, G completions from it, token by token."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING

import torch

from speechrl.errors import ModelError, TrainingError
from speechrl.models.decode_attention import use_decode_attention
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.sampling import draw, uniforms
from speechrl.types import Ending, Group, Rollout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from speechrl.models.language_model import LanguageModel
    from speechrl.types import Context, Prompt

SPARE_TOKENS = 8
"""What a limit by duration leaves beyond `tokens_per_second * duration_s`: short audio must be able to end."""

FINISHED_SHARE = 0.125
"""Finished rows are dropped once they are this share of the batch: dropping copies what the others hold."""


class TorchEngine:
    """Implements `rollout.base.Rollouts` with its own copy of the policy.

    A rollout depends on the weights and on (seed, index of its context, index in its group) alone: each has its own
    random numbers, so neither the rest of the batch nor the moment at which others end changes it, up to the rounding
    of matrix products of different sizes.

    Args:
        language_model: The policy; copied, so that later updates of it arrive by `load` only.
        params: How to sample.
        device: Where the copy lives until `to` moves it.
        dtype: Of the copy's weights, float32 or bfloat16. Log-probabilities are computed in float32 either way.
        tokens_per_second: If > 0, a rollout is also cut at this many tokens per second of its prompt's audio, plus
            `SPARE_TOKENS`. Of no effect on TTS, whose audio is a reference voice.
        tokens_per_character: The same for TTS, by characters of the text.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        params: SamplingParams,
        device: torch.device | str,
        dtype: torch.dtype,
        tokens_per_second: float = 0.0,
        tokens_per_character: float = 0.0,
    ) -> None:
        self._model = copy.deepcopy(language_model).eval().requires_grad_(False)
        # Weights only: rotary frequencies in half precision would turn far positions by radians.
        for weight in self._model.parameters():
            weight.data = weight.data.to(dtype)
        self.to(torch.device(device))
        self._params = params
        self._tokens_per_second = tokens_per_second
        self._tokens_per_character = tokens_per_character
        self.step = 0

    def sample(
        self, contexts: Sequence[Context], prompts: Sequence[Prompt], group_size: int, seed: int
    ) -> list[Group]:
        """See `rollout.base.Rollouts`; `prompts` are those of `contexts`, in the same order."""
        rows = [context for context in range(len(contexts)) for _ in range(group_size)]
        limits = [self._limit(prompt) for prompt in prompts]
        noise_NL = torch.stack(
            [
                uniforms(seed, context, rollout, max(limits))
                for context in range(len(contexts))
                for rollout in range(group_size)
            ]
        )
        rollouts = self._decode(contexts, rows, [limits[row] for row in rows], self._params, noise_NL)
        return [
            Group(context, tuple(rollouts[index * group_size : (index + 1) * group_size]))
            for index, context in enumerate(contexts)
        ]

    def greedy(self, contexts: Sequence[Context], max_new_tokens: int) -> list[Rollout]:
        """The most likely token at every step: one rollout per context, in order."""
        rows = list(range(len(contexts)))
        params = SamplingParams(temperature=0.0, max_new_tokens=max_new_tokens)
        noise_NL = torch.zeros(len(rows), max_new_tokens, dtype=torch.float64)
        return self._decode(contexts, rows, [max_new_tokens] * len(rows), params, noise_NL)

    def load(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Take all weights, named as in `language_model.state_dict()`; they are rounded to the engine's dtype.

        Raises:
            ModelError: A weight is missing, or a name or shape is unknown to the model.
        """
        own = self._model.state_dict()
        missing, unknown = own.keys() - weights.keys(), weights.keys() - own.keys()
        if missing or unknown:
            raise ModelError(
                f"weights of step {step} do not fit the rollout engine: "
                f"missing {sorted(missing)[:3]}, unknown {sorted(unknown)[:3]}"
            )
        with torch.no_grad():
            for name, weight in weights.items():
                if weight.shape != own[name].shape:
                    raise ModelError(
                        f"weights of step {step}: {name} has shape {tuple(weight.shape)}, "
                        f"the rollout engine's is {tuple(own[name].shape)}"
                    )
                own[name].copy_(weight)
        self.step = step

    def to(self, device: torch.device, /) -> TorchEngine:
        """Move the copy, in place; its dtype stays."""
        self._model.to(device)
        use_decode_attention(self._model.causal_lm)
        return self

    def _limit(self, prompt: Prompt) -> int:
        if prompt.task == "tts":
            expected = len(prompt.text) * self._tokens_per_character
        else:
            expected = prompt.duration_s * self._tokens_per_second
        if expected <= 0.0:
            return self._params.max_new_tokens
        return min(self._params.max_new_tokens, math.ceil(expected) + SPARE_TOKENS)

    @torch.inference_mode()
    def _decode(
        self,
        contexts: Sequence[Context],
        rows: Sequence[int],
        limits: Sequence[int],
        params: SamplingParams,
        noise_NL: Tensor,
    ) -> list[Rollout]:
        """One rollout per row; `rows` names its context, `limits` its most tokens.

        Raises:
            TrainingError: The model predicts NaN.
        """
        if not rows:
            return []
        model, device = self._model, self._model.device
        prefix = model.prefill(contexts)
        # A group of one needs no copy of its context, but storage that grows in place all the same.
        prefix = prefix.select(torch.tensor(rows, device=device), in_place_growth=True)
        tokens_NL = torch.zeros(len(rows), max(limits), dtype=torch.long, device=device)
        logprobs_NL = torch.zeros(len(rows), max(limits), device=device)
        noise_NL = noise_NL.to(device)
        limits_N = torch.tensor(limits, device=device)
        lengths_N = torch.zeros_like(limits_N)
        live_A = torch.arange(len(rows), device=device)
        for position in range(max(limits)):
            behaviour_AV = prefix.logits_BV.float().log_softmax(-1)
            # NaN or +inf anywhere in a row makes its first log-probability NaN.
            broken_A = behaviour_AV[:, 0].isnan()
            tokens_A = draw(
                prefix.logits_BV, noise_NL[live_A, position], params.temperature, params.top_k, params.top_p
            )
            tokens_NL[live_A, position] = tokens_A
            logprobs_NL[live_A, position] = behaviour_AV.gather(-1, tokens_A[:, None])[:, 0]
            ends_A = (lengths_N[live_A] == 0) & (
                (tokens_A == model.end_token_id) | (position + 1 >= limits_N[live_A])
            )
            lengths_N[live_A] = lengths_N[live_A].masked_fill(ends_A, position + 1)
            open_A = lengths_N[live_A] == 0
            # The host waits for the device once a token, here.
            unfinished, broken = torch.stack([open_A.sum(), broken_A.sum()]).tolist()
            if broken:
                context = contexts[rows[int(live_A[broken_A][0])]]
                raise TrainingError(
                    f"prompt {context.prompt_id!r}: the model's predictions are not finite at token {position + 1} of "
                    "a rollout. Its weights hold NaN or infinity, or its context does: look for NaN in the audio "
                    "(speechrl data check), set train.precision=fp32, or go on from an earlier checkpoint."
                )
            if unfinished == 0:
                break
            if unfinished <= (1.0 - FINISHED_SHARE) * len(live_A):
                kept_A = open_A.nonzero()[:, 0]
                prefix = prefix.select(kept_A, in_place_growth=True)
                live_A, tokens_A = live_A[kept_A], tokens_A[kept_A]
            prefix = model.append(prefix, tokens_A)
        return self._rollouts(contexts, rows, tokens_NL, logprobs_NL, lengths_N)

    def _rollouts(
        self,
        contexts: Sequence[Context],
        rows: Sequence[int],
        tokens_NL: Tensor,
        logprobs_NL: Tensor,
        lengths_N: Tensor,
    ) -> list[Rollout]:
        rollouts = []
        for context, tokens, logprobs, length in zip(
            rows, tokens_NL.tolist(), logprobs_NL.tolist(), lengths_N.tolist(), strict=True
        ):
            ending = Ending.STOP if tokens[length - 1] == self._model.end_token_id else Ending.LENGTH
            rollouts.append(
                Rollout(contexts[context].prompt_id, tuple(tokens[:length]), tuple(logprobs[:length]), ending)
            )
        return rollouts
