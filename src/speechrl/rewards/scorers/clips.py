"""Sound as the scorers take it."""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Clip = tuple[NDArray[np.float32], int]
"""Mono samples in [-1, 1], and their rate in Hz."""

SAMPLE_RATE_HZ = 16_000
"""Every scorer listens at this rate."""
PIECE_S = 30
"""Most that a recogniser hears at once."""
_CUT_SEARCH_S = 5
SILENCE_PEAK = 1e-4
"""A clip that never exceeds this is silence (-80 dBFS): models see speech in it where there is none."""


def at_16_khz(clip: Clip) -> NDArray[np.float32]:
    """The samples of a clip at 16 kHz.

    Raises:
        ValueError: They are not mono, or not finite.
    """
    samples, rate_hz = clip
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1:
        raise ValueError(f"audio has shape {samples.shape}; mono samples are expected")
    if not np.isfinite(samples).all():
        raise ValueError("audio has samples that are not finite")
    if rate_hz == SAMPLE_RATE_HZ or not len(samples):
        return samples
    from scipy.signal import resample_poly

    common = gcd(rate_hz, SAMPLE_RATE_HZ)
    resampled = resample_poly(samples, SAMPLE_RATE_HZ // common, rate_hz // common)
    return np.asarray(resampled, np.float32)


def is_silent(samples: NDArray[np.float32]) -> bool:
    """Whether nothing can be heard, or there is nothing at all."""
    return not len(samples) or float(np.abs(samples).max()) < SILENCE_PEAK


def transcribe_pieces(
    clips: Sequence[Clip], transcribe: Callable[[list[NDArray[np.float32]]], list[str]]
) -> list[str]:
    """The words of each clip by a recogniser that hears 30 s at most; nothing in silence.

    A longer clip is cut at the quietest moment of the last 5 s of each piece.

    Args:
        clips: Of any rate and length.
        transcribe: Texts of pieces at 16 kHz.
    """
    pieces, owners = [], []
    for owner, clip in enumerate(clips):
        cut = _pieces(at_16_khz(clip))
        pieces += cut
        owners += [owner] * len(cut)
    texts: list[list[str]] = [[] for _ in clips]
    for owner, text in zip(owners, transcribe(pieces) if pieces else [], strict=True):
        texts[owner].append(text.strip())
    return [" ".join(filter(None, parts)) for parts in texts]


def _pieces(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    if is_silent(samples):
        return []
    longest, frame = PIECE_S * SAMPLE_RATE_HZ, SAMPLE_RATE_HZ // 10
    pieces = []
    while len(samples) > longest:
        start = longest - _CUT_SEARCH_S * SAMPLE_RATE_HZ
        loudness = np.abs(samples[start:longest]).reshape(-1, frame).sum(axis=1)
        cut = start + int(loudness.argmin()) * frame + frame // 2
        pieces.append(samples[:cut])
        samples = samples[cut:]
    return [*pieces, samples]
