"""Distortions of a waveform, each a pure function of samples and (where random) a generator."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from scipy.signal import butter, resample_poly, sosfilt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

QUIET_FRAME_S = 0.05
TELEPHONE_RATE_HZ = 8_000
TELEPHONE_BAND_HZ = (300.0, 3_400.0)


def change_gain(audio_S: NDArray[np.float32], gain_db: float) -> NDArray[np.float32]:
    """Scale by `gain_db` decibels; nothing is clipped."""
    return (audio_S * np.float32(10 ** (gain_db / 20))).astype(np.float32)


def add_noise(
    audio_S: NDArray[np.float32], noise_S: NDArray[np.float32], snr_db: float
) -> NDArray[np.float32]:
    """Mix noise under speech.

    Args:
        audio_S: Speech, shape (samples,).
        noise_S: Noise; repeated or cut to the length of the speech.
        snr_db: Ratio of mean powers over the whole clip.

    Returns:
        The mixture. Silent speech or silent noise is returned unchanged, since no ratio can be set.
    """
    noise_S = np.resize(noise_S, len(audio_S)) if len(noise_S) else np.zeros_like(audio_S)
    speech_power = float(np.mean(np.square(audio_S, dtype=np.float64))) if len(audio_S) else 0.0
    noise_power = float(np.mean(np.square(noise_S, dtype=np.float64))) if len(noise_S) else 0.0
    if speech_power == 0 or noise_power == 0:
        return audio_S.copy()
    factor = np.sqrt(speech_power / noise_power / 10 ** (snr_db / 10))
    return (audio_S + np.float32(factor) * noise_S).astype(np.float32)


def make_noise(kind: str, samples: int, sample_rate_hz: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Synthetic noise of root mean square about 0.1.

    Args:
        kind: `white`; `pink` (power falls by 3 dB an octave); `hum` (mains at 50 or 60 Hz, harmonics, a little
            hiss).
        samples: Length.
        sample_rate_hz: Rate, for the hum.
        rng: Source of randomness.

    Raises:
        ValueError: Another kind.
    """
    if samples == 0:
        return np.zeros(0, np.float32)
    white = rng.standard_normal(samples)
    if kind == "white":
        noise = white
    elif kind == "pink":
        spectrum = np.fft.rfft(white)
        noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1.0)), n=samples)
    elif kind == "hum":
        mains_hz = float(rng.choice([50.0, 60.0]))
        time_s = np.arange(samples) / sample_rate_hz
        harmonics = [
            np.sin(2 * np.pi * mains_hz * n * time_s + rng.uniform(0, 2 * np.pi)) / n for n in range(1, 8)
        ]
        noise = np.sum(harmonics, axis=0) + 0.1 * white
    else:
        raise ValueError(f"unknown noise {kind!r}; known: white, pink, hum")
    rms = float(np.sqrt(np.mean(np.square(noise))))
    return cast("NDArray[np.float32]", (0.1 * noise / max(rms, 1e-9)).astype(np.float32))


def telephone_band(audio_S: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float32]:
    """Narrow to a telephone line: 300 to 3400 Hz at 8 kHz, then back to the rate it came with; the length is kept."""
    narrow = resample_poly(audio_S, TELEPHONE_RATE_HZ, sample_rate_hz)
    band = butter(4, TELEPHONE_BAND_HZ, btype="bandpass", fs=TELEPHONE_RATE_HZ, output="sos")
    wide = resample_poly(sosfilt(band, narrow), sample_rate_hz, TELEPHONE_RATE_HZ)[: len(audio_S)]
    return cast("NDArray[np.float32]", np.pad(wide, (0, len(audio_S) - len(wide))).astype(np.float32))


def babble_of(voices: Sequence[NDArray[np.float32]], samples: int) -> NDArray[np.float32]:
    """Several clips at once, each repeated to the length and brought to the same power; silence without any."""
    if not voices:
        return np.zeros(samples, np.float32)
    looped = [np.resize(voice, samples) for voice in voices]
    level = [voice / max(float(np.sqrt(np.mean(voice**2))), 1e-6) for voice in looped]
    return cast("NDArray[np.float32]", np.sum(level, axis=0, dtype=np.float32))


def quietest_sample(audio_S: NDArray[np.float32], sample_rate_hz: int) -> int:
    """Middle of the quietest 50 ms in the inner half of a clip, where a cut harms least; of a short one the middle."""
    frame = round(QUIET_FRAME_S * sample_rate_hz)
    quarter = len(audio_S) // 4
    inner_S = audio_S[quarter : len(audio_S) - quarter]
    frames_TF = inner_S[: len(inner_S) // frame * frame].reshape(-1, frame)
    if len(frames_TF) < 2:
        return len(audio_S) // 2
    quiet = int(np.square(frames_TF, dtype=np.float64).sum(axis=1).argmin())
    return quarter + quiet * frame + frame // 2
