"""Beam search over contexts, all of them at once."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from speechrl.types import Ending, Rollout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from speechrl.models.language_model import LanguageModel
    from speechrl.types import Context


@dataclass(frozen=True, slots=True)
class _Beams:
    """The W best hypotheses of each of C contexts, best first, after `position` tokens of the longest.

    Attributes:
        tokens_CWL: Filled up to `lengths_CW`.
        logprobs_CWL: Of each token.
        sums_CW: Sum of the log-probabilities; -inf where there is no hypothesis.
        lengths_CW: Tokens of each hypothesis.
        done_CW: It has produced the end token.
    """

    tokens_CWL: Tensor
    logprobs_CWL: Tensor
    sums_CW: Tensor
    lengths_CW: Tensor
    done_CW: Tensor

    def select(self, contexts_K: Tensor) -> _Beams:
        """The named contexts only."""
        return _Beams(
            self.tokens_CWL[contexts_K],
            self.logprobs_CWL[contexts_K],
            self.sums_CW[contexts_K],
            self.lengths_CW[contexts_K],
            self.done_CW[contexts_K],
        )


@torch.inference_mode()
def beam_search(
    language_model: LanguageModel,
    contexts: Sequence[Context],
    width: int,
    max_new_tokens: int,
    length_power: float = 1.0,
) -> list[Rollout]:
    """The best completion of each context that a beam of `width` hypotheses finds.

    Hypotheses are ranked by sum of log-probabilities / length ** length_power, the end token counted (Wu et al. 2016,
    eq. 14, without its constant 5): 1 ranks by the mean per token, 0 by the sum. A finished hypothesis keeps its place
    in the beam until better ones push it out, so width 1 is greedy decoding, and a beam as wide as there are
    hypotheses is an exhaustive search.

    Args:
        language_model: Used where it is, in the dtype that it has, and without dropout.
        contexts: Any number.
        width: Hypotheses kept per context, at least 1.
        max_new_tokens: Limit of a hypothesis, the end token counted.
        length_power: See above.

    Returns:
        One rollout per context, in order. Its log-probabilities are at temperature 1.
    """
    if not contexts:
        return []
    with _without_dropout(language_model):
        return _search(language_model, contexts, width, max_new_tokens, length_power)


def _search(
    language_model: LanguageModel, contexts: Sequence[Context], width: int, limit: int, length_power: float
) -> list[Rollout]:
    device = language_model.device
    prefix = language_model.prefill(contexts)
    prefix = prefix.select(
        torch.arange(len(contexts), device=device).repeat_interleave(width), in_place_growth=True
    )
    beams = _start(len(contexts), width, limit, device)
    live_C = torch.arange(len(contexts), device=device)
    found: dict[int, Rollout] = {}
    for position in range(limit):
        logprobs_CWV = prefix.logits_BV.float().log_softmax(-1).view(len(live_C), width, -1)
        beams, parents_CW, chosen_CW = _advance(
            beams, logprobs_CWV, position, language_model.end_token_id, length_power
        )
        over_C = beams.done_CW[:, 0] & (beams.done_CW | beams.sums_CW.isneginf()).all(-1)
        if position + 1 == limit:
            over_C = torch.ones_like(over_C)
        for row in over_C.nonzero()[:, 0].tolist():
            index = int(live_C[row])
            found[index] = _best(beams, row, contexts[index].prompt_id)
        if bool(over_C.all()):
            break
        kept_K = (~over_C).nonzero()[:, 0]
        rows_KW = kept_K[:, None] * width + parents_CW[kept_K]
        prefix = prefix.select(rows_KW.flatten(), in_place_growth=True)
        prefix = language_model.append(prefix, chosen_CW[kept_K].flatten())
        beams, live_C = beams.select(kept_K), live_C[kept_K]
    return [found[index] for index in range(len(contexts))]


def _start(contexts: int, width: int, limit: int, device: torch.device) -> _Beams:
    """One empty hypothesis per context; the other places are free."""
    sums_CW = torch.full((contexts, width), -torch.inf, device=device)
    sums_CW[:, 0] = 0.0
    return _Beams(
        tokens_CWL=torch.zeros(contexts, width, limit, dtype=torch.long, device=device),
        logprobs_CWL=torch.zeros(contexts, width, limit, device=device),
        sums_CW=sums_CW,
        lengths_CW=torch.zeros(contexts, width, dtype=torch.long, device=device),
        done_CW=torch.zeros(contexts, width, dtype=torch.bool, device=device),
    )


def _advance(
    beams: _Beams, logprobs_CWV: Tensor, position: int, end_token_id: int, length_power: float
) -> tuple[_Beams, Tensor, Tensor]:
    """The W best among finished hypotheses and all continuations of the others; also their parents and last tokens."""
    contexts, width, vocabulary = logprobs_CWV.shape
    steps_CWV = logprobs_CWV.clone()
    # A finished hypothesis has one continuation, itself, which stands in the column of the end token.
    steps_CWV[beams.done_CW] = -torch.inf
    steps_CWV[..., end_token_id] = torch.where(beams.done_CW, 0.0, steps_CWV[..., end_token_id])
    sums_CK = (beams.sums_CW[..., None] + steps_CWV).flatten(1)
    lengths_CW = beams.lengths_CW + (~beams.done_CW).long()
    ranks_CWV = sums_CK.view(contexts, width, vocabulary) / lengths_CW[..., None].float() ** length_power
    best_CW = ranks_CWV.flatten(1).topk(width, dim=-1).indices
    parents_CW, chosen_CW = best_CW // vocabulary, best_CW % vocabulary
    was_done_CW = beams.done_CW.gather(1, parents_CW)
    parents_CWL = parents_CW[..., None].expand_as(beams.tokens_CWL)
    tokens_CWL = beams.tokens_CWL.gather(1, parents_CWL)
    kept_logprobs_CWL = beams.logprobs_CWL.gather(1, parents_CWL)
    tokens_CWL[..., position] = torch.where(was_done_CW, 0, chosen_CW)
    kept_logprobs_CWL[..., position] = steps_CWV.flatten(1).gather(1, best_CW)
    return (
        _Beams(
            tokens_CWL=tokens_CWL,
            logprobs_CWL=kept_logprobs_CWL,
            sums_CW=sums_CK.gather(1, best_CW),
            lengths_CW=lengths_CW.gather(1, parents_CW),
            done_CW=was_done_CW | (chosen_CW == end_token_id),
        ),
        parents_CW,
        chosen_CW,
    )


def _best(beams: _Beams, row: int, prompt_id: str) -> Rollout:
    length = int(beams.lengths_CW[row, 0])
    return Rollout(
        prompt_id,
        tuple(beams.tokens_CWL[row, 0, :length].tolist()),
        tuple(beams.logprobs_CWL[row, 0, :length].tolist()),
        Ending.STOP if bool(beams.done_CW[row, 0]) else Ending.LENGTH,
    )


@contextmanager
def _without_dropout(module: nn.Module) -> Iterator[None]:
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
