"""The parts of Token2Text: characters, backbones over embedded speech tokens, and heads that pool."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from speechrl.errors import ModelError
from speechrl.models.tts.text_encoder import Block, plain_text

if TYPE_CHECKING:
    from collections.abc import Sequence

ALPHABET = "abcdefghijklmnopqrstuvwxyz' "
"""Characters that are heard; the CTC blank is one more, the last."""

Architecture = Literal["convnext", "gru"]

_MARKS = re.compile(r"[.,?!]")
_INDEX = {character: index for index, character in enumerate(ALPHABET)}


@lru_cache(maxsize=65_536)
def spell(text: str) -> tuple[int, ...]:
    """A text as character ids: lower case, punctuation left out, single spaces.

    Raises:
        ModelError: It has digits or letters outside of `ALPHABET`.
    """
    heard = " ".join(_MARKS.sub(" ", plain_text(text)).split())
    strange = sorted(set(heard) - set(ALPHABET))
    if strange:
        raise ModelError(
            f"text {text[:60]!r}: {' '.join(strange)} cannot be spelled in the alphabet [a-z' ]; "
            "write numbers and symbols as words"
        )
    return tuple(_INDEX[character] for character in heard)


def unspell(ids: Sequence[int]) -> str:
    """Characters of ids, single spaces."""
    return " ".join("".join(ALPHABET[index] for index in ids).split())


def frames_needed(ids: Sequence[int]) -> int:
    """The fewest frames that CTC can align characters with: one each, and a blank between two that are equal."""
    return len(ids) + sum(one == other for one, other in pairwise(ids))


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """What a head of the multi-task reward tells apart.

    Attributes:
        classes: Their names.
        edges: For a number in bins: the classes - 1 borders between them, rising. Empty for named classes.
        preferred: Classes whose joint probability is the reward where the target is not known beforehand.
    """

    classes: tuple[str, ...]
    edges: tuple[float, ...] = ()
    preferred: tuple[int, ...] = ()


class AttentionHead(nn.Module):
    """Attention pooling over time, then a linear layer: one label for the whole utterance (MTR, arXiv 2507.05911)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.attend = nn.Linear(width, 1)
        self.classify = nn.Linear(width, classes)

    def forward(self, hidden_BTD: Tensor, mask_BT: Tensor) -> Tensor:
        """Log-probabilities of the classes, shape (B, classes)."""
        scores_BT = self.attend(hidden_BTD)[..., 0].float().masked_fill(~mask_BT, -1e9)
        pooled_BD = (scores_BT.softmax(-1)[..., None] * hidden_BTD.float()).sum(1)
        logprobs_BC: Tensor = self.classify(pooled_BD).float().log_softmax(-1)
        return logprobs_BC


class ConvBackbone(nn.Module):
    """ConvNeXt blocks at the rate of the tokens; each sees `kernel` of them."""

    def __init__(self, width: int, layers: int, kernel: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, kernel) for _ in range(layers))

    def forward(self, embedded_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Shape stays; zero behind each length."""
        mask_BT1 = padding_mask(lengths_B, embedded_BTD.shape[1])[..., None]
        x_BTD = embedded_BTD * mask_BT1
        for block in self.blocks:
            x_BTD = block(x_BTD, mask_BT1)
        return x_BTD


class GruBackbone(nn.Module):
    """Bidirectional GRU layers: another way of listening, for a judge that shares no weakness with the reward."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        if width % 2:
            raise ModelError(f"width {width}: a GRU in two directions needs an even width")
        self.gru = nn.GRU(width, width // 2, layers, batch_first=True, bidirectional=True)

    def forward(self, embedded_BTD: Tensor, lengths_B: Tensor) -> Tensor:
        """Shape stays; zero behind each length."""
        lengths = lengths_B.clamp_min(1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(
            embedded_BTD, lengths, batch_first=True, enforce_sorted=False
        )
        out_BTD, _ = nn.utils.rnn.pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=embedded_BTD.shape[1]
        )
        return out_BTD + embedded_BTD * padding_mask(lengths_B, embedded_BTD.shape[1])[..., None]


def padding_mask(lengths_B: Tensor, longest: int) -> Tensor:
    """True on positions before each length, shape (B, longest)."""
    return torch.arange(longest, device=lengths_B.device) < lengths_B[:, None]


def pad_tokens(tokens: Sequence[Sequence[int]], device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Lists of token ids as (tokens_BT, lengths_B), zeros behind each; T is at least 1."""
    lengths = [len(ids) for ids in tokens]
    padded_BT = torch.zeros(len(tokens), max([1, *lengths]), dtype=torch.long)
    for row, ids in enumerate(tokens):
        padded_BT[row, : len(ids)] = torch.as_tensor(ids, dtype=torch.long)
    return padded_BT.to(device), torch.tensor(lengths, dtype=torch.long, device=device)
