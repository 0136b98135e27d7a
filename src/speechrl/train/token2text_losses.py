"""What Token2Text is trained on: CTC, heads, and what disturbs them for robustness (arXiv 2512.04552)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import cross_entropy

from speechrl.models.tts.token2text import FRAMES_PER_TOKEN, ctc_nll
from speechrl.models.tts.token2text_parts import padding_mask, spell
from speechrl.train.token2text_data import UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from speechrl.config.token2text import RobustnessConfig
    from speechrl.models.tts.token2text import Token2Text
    from speechrl.train.token2text_data import Batch


@dataclass(frozen=True, slots=True)
class Losses:
    """Of one batch: nats per character, cross-entropy per labelled utterance by head, and their weighted sum."""

    total: Tensor
    text: Tensor
    heads: Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class Mixture:
    """Embeddings of B utterances, each mixed with a partner.

    Attributes:
        embedded_BTD: share * own + (1 - share) * partner's.
        lengths_B: The longer of the two.
        partner_B: Row of the partner.
        share_B: Weight of the own utterance, and of its targets in the loss.
    """

    embedded_BTD: Tensor
    lengths_B: Tensor
    partner_B: Tensor
    share_B: Tensor


def replace_tokens(tokens_BT: Tensor, most: float, vocabulary: int) -> Tensor:
    """Replace tokens by random ones, each with a probability that is drawn per utterance from [0, most]."""
    shares_B1 = most * torch.rand(len(tokens_BT), 1, device=tokens_BT.device)
    random_BT = torch.randint_like(tokens_BT, vocabulary)
    return torch.where(torch.rand_like(shares_B1.expand_as(tokens_BT)) < shares_B1, random_BT, tokens_BT)


def mix(embedded_BTD: Tensor, lengths_B: Tensor, alpha: float) -> Mixture:
    """Mixup (arXiv 1710.09412) of embeddings with a random partner; alpha 0 leaves everything as it is.

    The share is the larger one of Beta(alpha, alpha) and its complement, so that each stays mainly itself.
    """
    embedded_BTD = embedded_BTD * padding_mask(lengths_B, embedded_BTD.shape[1])[..., None]
    partner_B = torch.randperm(len(lengths_B), device=lengths_B.device)
    share_B = torch.ones(len(lengths_B), device=lengths_B.device)
    if alpha == 0:
        return Mixture(embedded_BTD, lengths_B, partner_B, share_B)
    drawn_B = torch.distributions.Beta(alpha, alpha).sample((len(lengths_B),)).to(lengths_B.device)
    share_B = torch.maximum(drawn_B, 1 - drawn_B)
    mixed_BTD = torch.lerp(embedded_BTD[partner_B], embedded_BTD, share_B[:, None, None])
    return Mixture(mixed_BTD, torch.maximum(lengths_B, lengths_B[partner_B]), partner_B, share_B)


def rms(embedded_BTD: Tensor, lengths_B: Tensor) -> Tensor:
    """Root mean square of the embeddings that exist: the unit of noise, so that larger weights gain nothing."""
    mask_BT = padding_mask(lengths_B, embedded_BTD.shape[1])
    return embedded_BTD.detach()[mask_BT].square().mean().sqrt()


def smoothed_ctc(
    logprobs_BSC: Tensor, lengths_B: Tensor, texts: Sequence[str | None], smoothing: float
) -> Tensor:
    """(1 - s) * CTC + s * sum over frames of KL(uniform || p), shape (B,); 0 where there is no text."""
    nll_B = ctc_nll(logprobs_BSC, lengths_B, [text or "" for text in texts])
    if smoothing:
        classes = logprobs_BSC.shape[-1]
        uniform = torch.tensor(1 / classes).log()
        mask_BS = padding_mask(FRAMES_PER_TOKEN * lengths_B, logprobs_BSC.shape[1])
        divergence_B = ((uniform - logprobs_BSC.mean(-1)) * mask_BS).sum(1)
        nll_B = (1 - smoothing) * nll_B + smoothing * divergence_B
    known_B = torch.tensor([text is not None for text in texts], device=nll_B.device)
    return torch.where(known_B, nll_B, 0.0)


def losses(model: Token2Text, mixture: Mixture, batch: Batch, smoothing: float, head_weight: float) -> Losses:
    """The loss of a mixture: that of the own targets and of the partner's, by their shares.

    Args:
        model: In training.
        mixture: Embeddings, possibly disturbed.
        batch: Targets.
        smoothing: Of characters and classes.
        head_weight: Factor of each head.
    """
    hidden_BTD = model.hidden(mixture.embedded_BTD, mixture.lengths_B)
    logprobs_BSC = model.characters_of(hidden_BTD)
    partner_B, share_B = mixture.partner_B, mixture.share_B
    partners = partner_B.tolist()
    mixed = bool((share_B < 1).any())
    characters_B = torch.tensor([len(spell(text or "")) for text in batch.texts], device=share_B.device)
    text_B = share_B * smoothed_ctc(logprobs_BSC, mixture.lengths_B, batch.texts, smoothing)
    counted_B = share_B * characters_B
    if mixed:
        others = [batch.texts[row] for row in partners]
        text_B = text_B + (1 - share_B) * smoothed_ctc(logprobs_BSC, mixture.lengths_B, others, smoothing)
        counted_B = counted_B + (1 - share_B) * characters_B[partner_B]
    text = text_B.sum() / counted_B.sum().clamp_min(1.0)
    heads = {}
    for name, labels_B in batch.labels.items():
        classes_BC = model.head_logprobs(name, hidden_BTD, mixture.lengths_B)
        loss, count = _head(classes_BC, labels_B, share_B, smoothing)
        if mixed:
            other, others_count = _head(classes_BC, labels_B[partner_B], 1 - share_B, smoothing)
            loss, count = loss + other, count + others_count
        heads[name] = loss / count.clamp_min(1e-6)
    total = text + head_weight * sum(heads.values(), text.new_zeros(()))
    return Losses(total, text, heads)


def _head(logprobs_BC: Tensor, labels_B: Tensor, share_B: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    loss_B = cross_entropy(
        logprobs_BC, labels_B, reduction="none", ignore_index=UNLABELLED, label_smoothing=smoothing
    )
    return (share_B * loss_B).sum(), (share_B * (labels_B != UNLABELLED)).sum()


def disturbed(
    model: Token2Text, mixture: Mixture, batch: Batch, robust: RobustnessConfig, head_weight: float
) -> Mixture:
    """Add Gaussian noise, then one step of the fast gradient sign method (arXiv 1412.6572) against the losses."""
    scale = rms(mixture.embedded_BTD, mixture.lengths_B)
    embedded_BTD = mixture.embedded_BTD
    if robust.embedding_noise:
        embedded_BTD = embedded_BTD + robust.embedding_noise * scale * torch.randn_like(embedded_BTD)
    if robust.adversarial:
        leaf_BTD = embedded_BTD.detach().requires_grad_()
        before = Mixture(leaf_BTD, mixture.lengths_B, mixture.partner_B, mixture.share_B)
        loss = losses(model, before, batch, robust.label_smoothing, head_weight).total
        (gradient_BTD,) = torch.autograd.grad(loss, leaf_BTD)
        embedded_BTD = embedded_BTD + robust.adversarial * scale * gradient_BTD.sign()
    return Mixture(embedded_BTD, mixture.lengths_B, mixture.partner_B, mixture.share_B)
