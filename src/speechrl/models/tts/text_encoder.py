"""Text and reference voice as a context, laid out over the time in which the text will be spoken."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from speechrl.models.tts.voice_encoder import WIDTH as VOICE_WIDTH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerFast

ALPHABET = "abcdefghijklmnopqrstuvwxyz' .,?!"
"""What a text may hold after `plain_text`."""

START_POSITION = -1.0
"""Of the start-of-speech embedding, so that speech token t lies at position t."""

_FOLDED = str.maketrans(
    dict.fromkeys("\u2018\u2019\u02bc", "'")
    | dict.fromkeys(";:\u2014", ",")
    | dict.fromkeys('-\u2013\u201c\u201d"()', " ")
)

_LONE_APOSTROPHE = re.compile(r"(?<![a-z])'|'(?![a-z])")
_MARKS = re.compile(r"\s*([.,?!])[\s.,?!]*")


def plain_text(text: str) -> str:
    """The form of a text that is spoken: lower case, accents dropped, marks without a sound folded or dropped.

    Characters outside of `ALPHABET`, such as digits, stay as they are, for the caller to complain about.
    """
    letters = (c for c in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(c))
    marked = _LONE_APOSTROPHE.sub(" ", "".join(letters).translate(_FOLDED))
    return " ".join(_MARKS.sub(r"\1 ", marked).split())


def piece_strings(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> list[str]:
    """The characters that each text piece stands for; a word's first piece begins with a space."""
    return [piece.replace("\u2581", " ") for piece in tokenizer.convert_ids_to_tokens(list(ids))]


@dataclass(frozen=True, slots=True)
class TextEncoderConfig:
    """Shape of a `TextEncoder`.

    Attributes:
        vocabulary: Text pieces.
        hidden: Width inside.
        layers: Convolution blocks.
        kernel: Pieces that a block looks at, odd.
        width: Width of the language model.
    """

    vocabulary: int
    hidden: int
    layers: int
    kernel: int
    width: int


class Block(nn.Module):
    """ConvNeXt block (arXiv 2201.03545) along text: depthwise convolution, then two pointwise layers."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.mix = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.narrow = nn.Linear(4 * width, width)

    def forward(self, x_BTD: Tensor, mask_BT1: Tensor) -> Tensor:
        """Shape stays; padding is zero going in, and coming out."""
        mixed_BTD = self.mix(x_BTD.transpose(1, 2)).transpose(1, 2)
        change_BTD = self.narrow(nn.functional.gelu(self.widen(self.norm(mixed_BTD))))
        out_BTD: Tensor = (x_BTD + change_BTD) * mask_BT1
        return out_BTD


class TextEncoder(nn.Module):
    """Text pieces and a voice vector -> context embeddings: voice, pieces, start of speech.

    The language model reads contexts from left to right only; here each piece sees its neighbours on both sides, on
    which its sound depends. Trained together with the language model, then frozen.
    """

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.pieces = nn.Embedding(config.vocabulary, config.hidden)
        self.voice = nn.Linear(VOICE_WIDTH, config.hidden)
        self.blocks = nn.ModuleList(Block(config.hidden, config.kernel) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.hidden)
        self.project = nn.Linear(config.hidden, config.width)
        self.start_D = nn.Parameter(torch.randn(config.width))

    def forward(self, pieces: Sequence[Sequence[int]], voices_BV: Tensor) -> list[Tensor]:
        """One context of shape (pieces + 2, width) per text.

        Args:
            pieces: B lists of piece ids, none of them empty.
            voices_BV: Voice vectors of unit length, shape (B, VOICE_WIDTH).
        """
        device = self.start_D.device
        lengths = [len(ids) for ids in pieces]
        ids_BT = nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids in pieces], batch_first=True)
        mask_BT1 = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])[..., None].to(device)
        voices_B1D = self.voice(voices_BV.to(device))[:, None]
        x_BTD = (self.pieces(ids_BT.to(device)) + voices_B1D) * mask_BT1
        for block in self.blocks:
            x_BTD = block(x_BTD, mask_BT1)
        out_BTD = self.project(self.norm(torch.cat([voices_B1D, x_BTD], dim=1)))
        start_1D = self.start_D[None].to(out_BTD.dtype)
        return [
            torch.cat([row_TD[: length + 1], start_1D])
            for row_TD, length in zip(out_BTD, lengths, strict=True)
        ]


class Pace(nn.Module):
    """How long each piece of a text will take, so that a context can be laid out over the time of its speech.

    tokens(text, voice) = exp(voice . v + b) * (2 * edge + sum over characters of their tokens): a closed-form fit on
    the training corpus (`starter/tts/sft.py`), not trained by gradients.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("characters_C", torch.ones(len(ALPHABET)))
        self.register_buffer("edge", torch.zeros(()))
        self.register_buffer("voice_D", torch.zeros(VOICE_WIDTH))
        self.register_buffer("offset", torch.zeros(()))

    characters_C: Tensor
    edge: Tensor
    voice_D: Tensor
    offset: Tensor

    def positions(self, pieces: Sequence[str], voice_D: Tensor) -> Tensor:
        """Where a context lies on the axis of speech tokens, shape (pieces + 2,), float32.

        Each piece lies in the middle of the time that it is expected to take. The voice lies just before the start
        of speech.

        Args:
            pieces: The text, piece by piece, spaces included.
            voice_D: Voice vector of unit length.
        """
        faster = float((self.voice_D @ voice_D.to(self.voice_D) + self.offset).exp())
        taken = [sum(float(self.characters_C[ALPHABET.index(c)]) for c in piece) for piece in pieces]
        taken_T = torch.tensor(taken) * faster
        middles_T = taken_T.cumsum(0) - taken_T / 2 + float(self.edge) * faster
        return torch.cat([torch.tensor([START_POSITION - 1]), middles_T, torch.tensor([START_POSITION])])
