"""The parts of a policy loss that algorithms share: the KL term, and the metrics of a micro-batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from speechrl.models.tts.token2text_parts import spell
from speechrl.rl.kl import kl_full, kl_k1, kl_k2, kl_k3
from speechrl.rl.policy_loss import log_ratio
from speechrl.rl.reduce import counted, counted_sum

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from speechrl.algorithms.base import PolicyBatch

SAMPLED_KL = {"k1": kl_k1, "k2": kl_k2, "k3": kl_k3}


def reference_kl(batch: PolicyBatch, kind: Literal["k1", "k2", "k3", "full"]) -> Tensor:
    """KL(policy || reference) per token by the named estimator of `rl.kl`, shape (N, L); of no meaning on padding.

    It is computed once for all parts of a loss, which `full` over a large vocabulary is worth.

    Raises:
        ValueError: The batch lacks what the estimator reads.
    """
    if kind == "full":
        if batch.logits_NLV is None or batch.reference_logits_NLV is None:
            raise ValueError("kl=full needs the logits of policy and reference in the batch")
        logits_NLV, kl_NL = batch.shared.get("kl", (None, None))
        if kl_NL is None or logits_NLV is not batch.logits_NLV:
            kl_NL = kl_full(batch.logits_NLV, batch.reference_logits_NLV)
            batch.shared["kl"] = batch.logits_NLV, kl_NL
        return kl_NL
    if batch.reference_logprobs_NL is None:
        raise ValueError(f"kl={kind} needs the reference log-probabilities in the batch")
    return SAMPLED_KL[kind](batch.logprobs_NL, batch.reference_logprobs_NL)


def token_metrics(batch: PolicyBatch, **values_NL: Tensor) -> tuple[dict[str, float], dict[str, float]]:
    """Sums and counts over the tokens that count: of the given (N, L) values, and of two that always matter.

    `ratio` is policy over behaviour, and `logprob_gap` |log of it|: what an engine that disagrees with the
    learner shows first.
    """
    gap_NL = log_ratio(batch.logprobs_NL, batch.behaviour_logprobs_NL, batch.mask_NL).detach()
    named_NL = {"ratio": gap_NL.exp(), "logprob_gap": gap_NL.abs(), **values_NL}
    tokens = float(torch.count_nonzero(counted(batch.mask_NL, batch.weight_N)))
    sums = {name: counted_sum(value_NL, batch.mask_NL, batch.weight_N) for name, value_NL in named_NL.items()}
    return sums, dict.fromkeys(named_NL, tokens)


def reward_model_metrics(
    logprobs: Mapping[str, Tensor], reward_R: Tensor, judged_R: Tensor, texts: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """What DiffRO reports: sums and counts, over the utterances that can hold their text.

    `diffro_nll` (nats per character as Token2Text spells the text, like its card), `diffro_reward` (what is maximised,
    heads and all, per utterance), `diffro_HEAD` (log-probability of what a head is to say), `diffro_gap` (the reward
    model's belief, as a probability per such character, minus the total reward: if it climbs while the reward rests,
    the reward model is being fooled) and `diffro_impossible` (share of utterances too short for their text: they have
    probability 0; only the KL moves them).
    """
    possible_R = ~reward_R.isneginf()
    reward_R, judged_R = reward_R.detach()[possible_R], judged_R[possible_R]
    text_R = logprobs["text"].detach()[possible_R]
    characters_R = torch.tensor([max(1, len(spell(text))) for text in texts]).to(text_R)[possible_R]
    possible = float(len(reward_R))
    belief_R = (text_R / characters_R).exp()
    metrics = {
        "diffro_nll": (-float(text_R.sum()), float(characters_R.sum())),
        "diffro_reward": (float(reward_R.sum()), possible),
        "diffro_gap": (float((belief_R - judged_R).sum()), possible),
        "diffro_impossible": (len(texts) - possible, float(len(texts))),
    }
    for head, values_R in logprobs.items():
        if head != "text":
            metrics[f"diffro_{head}"] = (float(values_R.detach()[possible_R].sum()), possible)
    return metrics
