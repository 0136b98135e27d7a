"""Sound as one stream of discrete codes and back: log-mel -> codes at 21.5 a second -> log-mel of any voice."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm
from vector_quantize_pytorch import FSQ

from speechrl.errors import ModelError
from speechrl.models.tts.mel import BANDS, FLOOR, FRAMES_PER_SECOND

if TYPE_CHECKING:
    from pathlib import Path

FRAMES_PER_TOKEN = 4
TOKENS_PER_SECOND = FRAMES_PER_SECOND / FRAMES_PER_TOKEN
_QUIET = -7.0
_MAKES_CODES = ("mel_", "read_mel", "read_content", "encoder", "quantiser.project_in")
_DECODER = (
    *("quantiser.project_out", "read_voice", "decoder", "decoder_norm"),
    *("coarse", "to_frames", "frames", "frames_norm", "fine"),
)
_WEIGHTS, _SETTINGS = "speech_tokenizer.safetensors", "speech_tokenizer.json"


@dataclass(frozen=True, slots=True)
class SpeechTokenizerConfig:
    """Sizes of a tokenizer.

    Args:
        content_width: Width of recogniser states that `encode` wants beside the mel; 0 for none.
        levels: Of the quantiser; their product is the number of codes.
        width: Of the blocks at the rate of tokens.
        frame_width: Of the blocks at the rate of mel frames.
        encoder_blocks: Before the quantiser.
        decoder_blocks: After it, at the rate of tokens.
        frame_blocks: Of the post-net, at the rate of mel frames.
        voice_width: Width of a voice vector.
        quiet_slope: How much of a difference counts below log-mel -7, some 60 dB below a loud vowel; 1 for all of it.
            Less leaves more of the few bits for what is heard.
    """

    content_width: int = 0
    levels: tuple[int, ...] = (7, 5, 5, 5)
    width: int = 256
    frame_width: int = 192
    encoder_blocks: int = 4
    decoder_blocks: int = 5
    frame_blocks: int = 3
    voice_width: int = 256
    quiet_slope: float = 1.0


class ConvNextBlock(nn.Module):
    """Depthwise convolution over time, then two linear layers, added to the input (Liu et al. 2022)."""

    def __init__(self, width: int, expansion: int = 3, kernel: int = 7) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width * expansion)
        self.contract = nn.Linear(width * expansion, width)
        self.scale = nn.Parameter(torch.full((width,), 0.3))

    def forward(self, hidden_BTD: Tensor, present_BT1: Tensor) -> Tensor:
        """What is not present neither speaks nor is heard."""
        mixed_BTD = self.depthwise((hidden_BTD * present_BT1).transpose(1, 2)).transpose(1, 2)
        spoken_BTD: Tensor = self.contract(gelu(self.expand(self.norm(mixed_BTD))))
        return hidden_BTD + self.scale * spoken_BTD


class SpeechTokenizer(nn.Module):
    """An autoencoder with a finite scalar quantiser (arXiv 2309.15505) between its halves.

    Four mel frames are one token. The encoder may read a recogniser's states beside the mel, so that the few bits
    keep words. The decoder is told the voice, so that the codes need not carry it.

    """

    def __init__(self, config: SpeechTokenizerConfig) -> None:
        super().__init__()
        self.config = config
        width, frame_width, stacked = config.width, config.frame_width, FRAMES_PER_TOKEN * BANDS
        self.read_mel = nn.Linear(stacked, width)
        self.read_content = nn.Linear(config.content_width, width) if config.content_width else None
        self.encoder = nn.ModuleList(ConvNextBlock(width) for _ in range(config.encoder_blocks))
        self.encoder_norm = nn.LayerNorm(width)
        self.quantiser = FSQ(list(config.levels), dim=width)
        self.read_voice = nn.Linear(config.voice_width, width)
        self.decoder = nn.ModuleList(ConvNextBlock(width) for _ in range(config.decoder_blocks))
        self.decoder_norm = nn.LayerNorm(width)
        self.coarse = nn.Linear(width, stacked)
        self.to_frames = nn.Linear(width, FRAMES_PER_TOKEN * frame_width)
        self.frames = nn.ModuleList(
            ConvNextBlock(frame_width, expansion=2) for _ in range(config.frame_blocks)
        )
        self.frames_norm = nn.LayerNorm(frame_width)
        self.fine = nn.Linear(frame_width, BANDS)
        self.mel_mean: Tensor
        self.mel_std: Tensor
        self.register_buffer("mel_mean", torch.full((BANDS,), -5.0))
        self.register_buffer("mel_std", torch.full((BANDS,), 2.0))

    @property
    def codes(self) -> int:
        """Size of the codebook."""
        return int(self.quantiser.codebook_size)

    @property
    def codebook(self) -> str:
        """Fingerprint of all that gives a code its meaning, 16 hexadecimal digits.

        It covers the weights that make codes, as they are saved, in float16. A decoder trained further keeps it;
        models over codes of another fingerprint do not fit.
        """
        digest = hashlib.sha256()
        for name, tensor in sorted(self.state_dict().items()):
            if name.startswith(_MAKES_CODES):
                digest.update(name.encode() + tensor.detach().cpu().half().contiguous().numpy().tobytes())
        return digest.hexdigest()[:16]

    def decoder_parts(self) -> list[nn.Module]:
        """What may learn on when the codes are final."""
        return [module for name, module in self.named_modules() if name in _DECODER]

    @torch.no_grad()
    def encode(self, mel_BTM: Tensor, lengths_B: Tensor, content_BND: Tensor | None = None) -> Tensor:
        """Codes of spectrograms.

        Args:
            mel_BTM: (B, T, BANDS) as `log_mel` makes them; what is beyond a length is not read.
            lengths_B: Frames of each; a rest of fewer than four is left out.
            content_BND: (B, T // 4, content_width) recogniser states at the tokens' times, if the tokenizer wants them.

        Returns:
            (B, T // 4) int64; zero beyond lengths // 4.
        """
        tokens_B = lengths_B // FRAMES_PER_TOKEN
        _, codes_BN = self.quantised(mel_BTM, tokens_B, content_BND)
        return codes_BN * _present(tokens_B, codes_BN.shape[1])[..., 0]

    @torch.no_grad()
    def decode(self, codes_BN: Tensor, voice_BD: Tensor, lengths_B: Tensor) -> Tensor:
        """Spectrograms of codes in the given voices.

        Args:
            codes_BN: (B, N) codes below `codes`; what is beyond a length is not read.
            voice_BD: (B, voice_width) unit vectors of `VoiceEncoder`.
            lengths_B: Tokens of each.

        Returns:
            (B, 4 N, BANDS) for a vocoder; silence beyond 4 times the length.
        """
        embedded_BND = self.quantiser.indices_to_codes(codes_BN.clamp(0, self.codes - 1))
        _, mel_BTM = self.spoken(embedded_BND, voice_BD, lengths_B)
        mel_BTM = mel_BTM * self.mel_std + self.mel_mean
        mel_BTM = torch.where(
            mel_BTM < _QUIET, _QUIET + (mel_BTM - _QUIET) / self.config.quiet_slope, mel_BTM
        )
        floor = torch.tensor(FLOOR).log().to(mel_BTM)
        present_BT1 = _present(lengths_B * FRAMES_PER_TOKEN, mel_BTM.shape[1])
        return mel_BTM.where(present_BT1, floor).clamp(min=floor)

    def normalised(self, mel_BTM: Tensor) -> Tensor:
        """Bands of about zero mean and unit spread, in which what is nearly silent counts by `quiet_slope`."""
        slope = self.config.quiet_slope
        audible_BTM = torch.where(mel_BTM < _QUIET, _QUIET + (mel_BTM - _QUIET) * slope, mel_BTM)
        return (audible_BTM - self.mel_mean) / self.mel_std

    def quantised(
        self, mel_BTM: Tensor, tokens_B: Tensor, content_BND: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Embedded codes (B, N, width), differentiable by straight-through, and their int64 ids (B, N).

        Raises:
            ModelError: Recogniser states are missing, or not wanted.
        """
        if (content_BND is None) != (self.read_content is None):
            raise ModelError(
                f"speech tokenizer: wants recogniser states of width {self.config.content_width} (0: none) and was "
                f"given {'none' if content_BND is None else content_BND.shape[-1]}; see speech_tokenizer.json"
            )
        tokens = mel_BTM.shape[1] // FRAMES_PER_TOKEN
        mel_BTM = self.normalised(mel_BTM[:, : tokens * FRAMES_PER_TOKEN])
        hidden_BND = self.read_mel(mel_BTM.reshape(len(mel_BTM), tokens, FRAMES_PER_TOKEN * BANDS))
        if self.read_content is not None and content_BND is not None:
            hidden_BND = hidden_BND + self.read_content(layer_norm(content_BND, content_BND.shape[-1:]))
        present_BN1 = _present(tokens_B, tokens)
        for block in self.encoder:
            hidden_BND = block(hidden_BND, present_BN1)
        embedded_BND, codes_BN = self.quantiser(self.encoder_norm(hidden_BND).float())
        return embedded_BND, codes_BN.long()

    def spoken(self, embedded_BND: Tensor, voice_BD: Tensor, tokens_B: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised mels before and after the post-net, each (B, 4 N, BANDS)."""
        count, tokens, _ = embedded_BND.shape
        present_BN1 = _present(tokens_B, tokens)
        hidden_BND = embedded_BND + self.read_voice(voice_BD)[:, None]
        for block in self.decoder:
            hidden_BND = block(hidden_BND, present_BN1)
        hidden_BND = self.decoder_norm(hidden_BND)
        coarse_BTM = self.coarse(hidden_BND).reshape(count, tokens * FRAMES_PER_TOKEN, BANDS)
        fine_BTD = self.to_frames(hidden_BND).reshape(count, tokens * FRAMES_PER_TOKEN, -1)
        present_BT1 = present_BN1.repeat_interleave(FRAMES_PER_TOKEN, dim=1)
        for block in self.frames:
            fine_BTD = block(fine_BTD, present_BT1)
        return coarse_BTM, coarse_BTM + self.fine(self.frames_norm(fine_BTD))

    def save(self, folder: Path) -> None:
        """Write weights in float16 and settings."""
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.detach().half().contiguous() for name, tensor in self.state_dict().items()}
        save_file(weights, folder / _WEIGHTS)
        (folder / _SETTINGS).write_text(json.dumps(dataclasses.asdict(self.config), indent=2) + "\n", "utf-8")


def load_speech_tokenizer(folder: Path) -> SpeechTokenizer:
    """Read what `SpeechTokenizer.save` wrote, in float32, frozen.

    Raises:
        ModelError: A file is missing, damaged, or does not fit the other.
    """
    try:
        settings = json.loads((folder / _SETTINGS).read_text("utf-8"))
        config = SpeechTokenizerConfig(**settings | {"levels": tuple(settings["levels"])})
        weights = load_file(folder / _WEIGHTS)
        tokenizer = SpeechTokenizer(config)
        tokenizer.load_state_dict(weights)
    except FileNotFoundError as error:
        raise ModelError(f"{error.filename}: not found; is {folder} a speech tokenizer?") from error
    except (json.JSONDecodeError, KeyError, TypeError, SafetensorError, RuntimeError) as error:
        raise ModelError(f"{folder}: not a speech tokenizer, or damaged: {error}") from error
    return tokenizer.eval().requires_grad_(False)


def _present(lengths_B: Tensor, size: int) -> Tensor:
    """(B, size, 1), true within the length."""
    return (torch.arange(size, device=lengths_B.device) < lengths_B[:, None])[..., None]
