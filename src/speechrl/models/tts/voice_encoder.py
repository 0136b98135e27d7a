"""Who is speaking: Resemblyzer's speaker encoder, without its audio dependencies."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers.audio_utils import mel_filter_bank

from speechrl.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

SAMPLE_RATE_HZ = 16_000
WIDTH = 256
_BANDS = 40
_N_FFT, _HOP = 400, 160
_WINDOW_FRAMES = 160
# 1.3 windows a second.
_STEP_FRAMES = 77
_MIN_COVERAGE = 0.75
_LOUDNESS_DBFS = -30.0
_KEPT = 4096


class VoiceEncoder(nn.Module):
    """Three LSTM layers over windows of 1.6 s, averaged to one vector (generalised end-to-end loss, arXiv 1710.10467).

    Windows start every 0.77 s; a last window that is covered by less than three quarters is left out. Quiet clips
    are raised to -30 dBFS. Unlike the original, pauses are not cut out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_BANDS, WIDTH, num_layers=3, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)

    @torch.no_grad()
    def forward(self, audio: Sequence[np.ndarray], windows_per_pass: int = 256) -> Tensor:
        """One vector of unit length per clip.

        Args:
            audio: Mono float32 clips at 16 kHz, each (samples,); silence is a legal clip.
            windows_per_pass: Windows of one forward pass; bounds memory.

        Returns:
            (clips, 256), float32.
        """
        counts, windows = [], []
        for clip in audio:
            parts = _windows(clip)
            counts.append(len(parts))
            windows.append(parts)
        if not windows:
            return torch.empty(0, WIDTH)
        device = self.linear.weight.device
        embedded = []
        for mels_BTM in torch.cat(windows).split(windows_per_pass):
            _, (hidden, _) = self.lstm(mels_BTM.to(device))
            # A silent window can end with nothing above zero: no direction, so it stays the zero vector.
            embedded.append(normalize(self.linear(hidden[-1]).relu(), dim=-1))
        means = [part.mean(0) for part in torch.cat(embedded).split(counts)]
        return normalize(torch.stack(means), dim=-1)


class KnownVoices:
    """Vectors of reference voices by what is heard in them: few voices speak many texts, so they are kept.

    Args:
        encoder: Makes the vectors; it may be moved meanwhile, the vectors are on the CPU.
    """

    def __init__(self, encoder: VoiceEncoder) -> None:
        self._encoder = encoder
        self._vectors: dict[bytes, Tensor] = {}

    def __call__(self, audio: Sequence[np.ndarray]) -> list[Tensor]:
        """One vector of unit length per clip, (256,), float32; see `VoiceEncoder`."""
        keys = [hashlib.blake2b(clip.tobytes(), digest_size=16).digest() for clip in audio]
        fresh = {key: clip for key, clip in zip(keys, audio, strict=True) if key not in self._vectors}
        # One by one: in a batch a voice's rounding would depend on its neighbours.
        made = {key: self._encoder([clip])[0].float().cpu() for key, clip in fresh.items()}
        found = [made[key] if key in made else self._vectors[key] for key in keys]
        if len(self._vectors) + len(made) > _KEPT:
            self._vectors.clear()
        self._vectors |= made
        return found


def load_voice_encoder() -> VoiceEncoder:
    """The weights that the package Resemblyzer carries.

    Raises:
        ModelError: The package is not installed.
    """
    spec = importlib.util.find_spec("resemblyzer")
    if spec is None or spec.origin is None:
        raise ModelError(
            "voice encoder: not installed; `pip install --no-deps Resemblyzer==0.1.4` brings its weights"
        )
    path = Path(spec.origin).parent / "pretrained.pt"
    state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    encoder = VoiceEncoder()
    encoder.load_state_dict({name: state[name] for name in encoder.state_dict()})
    return encoder.eval().requires_grad_(False)


def _windows(clip: np.ndarray) -> Tensor:
    """Mel power of the clip's windows, (windows, 160, 40); the last is filled with silence."""
    frames = -(-(len(clip) + 1) // _HOP)
    starts = list(range(0, max(1, frames - _WINDOW_FRAMES + _STEP_FRAMES + 1), _STEP_FRAMES))
    covered = (len(clip) - starts[-1] * _HOP) / (_WINDOW_FRAMES * _HOP)
    if covered < _MIN_COVERAGE and len(starts) > 1:
        starts.pop()
    wave = torch.from_numpy(np.asarray(clip, np.float32))
    rms = float(wave.square().mean().sqrt()) if len(wave) else 0.0
    if rms > 0:
        wave = wave * max(1.0, 10 ** (_LOUDNESS_DBFS / 20) / rms)
    wanted = (starts[-1] + _WINDOW_FRAMES) * _HOP
    wave = nn.functional.pad(wave, (0, max(0, wanted - len(wave))))
    spectrum_FT = torch.stft(
        wave, _N_FFT, _HOP, window=_hann(), center=True, pad_mode="constant", return_complex=True
    )
    mel_TM = torch.view_as_real(spectrum_FT).square().sum(-1).T @ _filterbank()
    return torch.stack([mel_TM[start : start + _WINDOW_FRAMES] for start in starts])


@functools.cache
def _hann() -> Tensor:
    return torch.hann_window(_N_FFT)


@functools.cache
def _filterbank() -> Tensor:
    bank = mel_filter_bank(
        num_frequency_bins=_N_FFT // 2 + 1,
        num_mel_filters=_BANDS,
        min_frequency=0.0,
        max_frequency=SAMPLE_RATE_HZ / 2,
        sampling_rate=SAMPLE_RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(bank).float()
