"""The log-mel spectrogram of HiFi-GAN V1, the one picture of sound that tokenizer and vocoders share."""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers.audio_utils import mel_filter_bank

SAMPLE_RATE_HZ = 22_050
BANDS = 80
HOP = 256
N_FFT = 1024
FMIN_HZ = 0.0
FMAX_HZ = 8000.0
FRAMES_PER_SECOND = SAMPLE_RATE_HZ / HOP
FLOOR = 1e-5
EDGE = (N_FFT - HOP) // 2


@functools.cache
def filterbank() -> Tensor:
    """Slaney's triangles of unit area: (N_FFT / 2 + 1, BANDS), float32."""
    bank = mel_filter_bank(
        num_frequency_bins=N_FFT // 2 + 1,
        num_mel_filters=BANDS,
        min_frequency=FMIN_HZ,
        max_frequency=FMAX_HZ,
        sampling_rate=SAMPLE_RATE_HZ,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.from_numpy(bank).float()


@functools.cache
def window() -> Tensor:
    """The periodic Hann window of N_FFT samples."""
    return torch.hann_window(N_FFT)


def log_mel(waveform: Tensor) -> Tensor:
    """Log-mel spectrogram of one clip, as HiFi-GAN V1 (Kong et al. 2020) was trained on.

    The clip is mirrored by (N_FFT - HOP) / 2 samples at each edge, frames are not centred, so that a vocoder makes
    HOP samples of every frame. Clips shorter than one hop or than the mirror are filled with zeros first.

    Args:
        waveform: (samples,), float32 in [-1, 1] at 22.05 kHz.

    Returns:
        (samples // HOP, BANDS), float32: natural logarithm of mel magnitudes, at least log(FLOOR).
    """
    missing = max(HOP, EDGE + 1) - len(waveform)
    if missing > 0:
        waveform = pad(waveform, (0, missing))
    mirrored = pad(waveform[None], (EDGE, EDGE), mode="reflect")[0]
    spectrum_FT = torch.stft(mirrored, N_FFT, HOP, window=window(), center=False, return_complex=True)
    power_TF = torch.view_as_real(spectrum_FT).square().sum(-1).T
    return ((power_TF + 1e-9).sqrt() @ filterbank()).clamp(min=FLOOR).log()
