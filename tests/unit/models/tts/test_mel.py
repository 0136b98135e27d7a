import math

import numpy as np
import pytest
import torch

from speechrl.models.tts.mel import BANDS, FLOOR, HOP, N_FFT, SAMPLE_RATE_HZ, filterbank, log_mel


def naive_mel(wave: np.ndarray) -> np.ndarray:
    """HiFi-GAN's spectrogram by its definition, frame by frame, in float64."""
    edge = (N_FFT - HOP) // 2
    mirrored = np.concatenate([wave[1 : edge + 1][::-1], wave, wave[-edge - 1 : -1][::-1]]).astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    rows = []
    for start in range(0, len(mirrored) - N_FFT + 1, HOP):
        spectrum = np.fft.rfft(mirrored[start : start + N_FFT] * window)
        magnitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)
        rows.append(np.log(np.maximum(magnitude @ filterbank().numpy().astype(np.float64), FLOOR)))
    return np.stack(rows)


def test_equals_the_definition():
    wave = np.random.default_rng(0).normal(0, 0.1, 5000).astype(np.float32)
    mel = log_mel(torch.from_numpy(wave))
    assert mel.shape == (5000 // HOP, BANDS)
    np.testing.assert_allclose(mel.numpy(), naive_mel(wave), atol=2e-4)


def test_a_tone_is_loudest_in_the_band_around_it():
    tone_hz = 1000.0
    wave = torch.sin(2 * math.pi * tone_hz * torch.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ)
    band = int(log_mel(wave).mean(0).argmax())
    bins_hz = torch.arange(N_FFT // 2 + 1) * SAMPLE_RATE_HZ / N_FFT
    weights = filterbank()[:, band]
    assert bins_hz[weights > 0].min() <= tone_hz <= bins_hz[weights > 0].max()


def test_filterbank_is_slaneys():
    """Triangles of unit area in hertz; below 1 kHz their centres are equally far apart."""
    width_hz = SAMPLE_RATE_HZ / N_FFT
    areas = filterbank().sum(0) * width_hz
    assert float(areas[40:].min()) > 0.97
    assert float(areas[40:].max()) < 1.03
    peaks_hz = filterbank().argmax(0)[:20] * width_hz
    assert float(peaks_hz.diff().mean()) == pytest.approx(36.9, abs=1.5)


def test_silence_is_the_floor_and_short_clips_have_a_frame():
    assert torch.allclose(log_mel(torch.zeros(3000)), torch.tensor(math.log(FLOOR)), atol=0.5)
    for samples in (1, 100, HOP, 384, 385):
        assert log_mel(torch.full((samples,), 0.1)).shape[1] == BANDS
        assert len(log_mel(torch.full((samples,), 0.1))) >= 1
