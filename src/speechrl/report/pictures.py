"""A clip as a picture: its mel spectrogram as a PNG, with nothing but numpy."""

from __future__ import annotations

import base64
import struct
import zlib
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FRAMES_PER_S = 100
"""A pixel is 10 ms wide, so that pictures of the same scale compare in time."""
BANDS = 80
MAX_HZ = 8000.0
WINDOW_S = 0.046
RANGE_DB = 65.0
"""From the loudest point of the clip down to the darkest colour."""
QUIET_DB = -20.0
"""A clip whose loudest point is below this is drawn as it is: quiet. A full-scale tone is near 45."""
MAX_FRAMES = 30 * FRAMES_PER_S
SHADES = 32
"""Fewer shades than the eye tells apart here, and a third of the bytes."""
COLOURS = ((11, 16, 38), (44, 49, 116), (118, 52, 134), (199, 66, 104), (242, 133, 71), (253, 231, 160))
"""From silence to the loudest, evenly spaced."""


def mel_picture(waveform: NDArray[np.float32], sample_rate_hz: int) -> bytes:
    """PNG of a mel spectrogram: time to the right, `BANDS` bands up to 8 kHz, loudness as colour.

    Args:
        waveform: Mono samples; cut after 30 s.
        sample_rate_hz: Their rate.
    """
    power_FT = mel_power(waveform, sample_rate_hz)
    level_db = 10 * np.log10(np.maximum(power_FT, 1e-12))
    shade = 1.0 + (level_db - level_db.max(initial=QUIET_DB)) / RANGE_DB
    pixels = np.round(np.clip(shade, 0.0, 1.0) * (SHADES - 1)).astype(np.uint8)
    return png(pixels[::-1], _palette())


def mel_power(waveform: NDArray[np.float32], sample_rate_hz: int) -> NDArray[np.float64]:
    """Power in mel bands, shape (`BANDS`, frames), `FRAMES_PER_S` frames a second."""
    hop, size = sample_rate_hz // FRAMES_PER_S, round(WINDOW_S * sample_rate_hz)
    cut = np.asarray(waveform[: MAX_FRAMES * hop], np.float64)
    padded = np.pad(cut, (size // 2, size // 2 + hop))
    frames_TS = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    spectrum_TK = np.abs(np.fft.rfft(frames_TS * np.hanning(size), axis=-1)) ** 2
    power_FT: NDArray[np.float64] = _filters(size, sample_rate_hz) @ spectrum_TK.T
    return power_FT


def png(pixels: NDArray[np.uint8], palette: NDArray[np.uint8]) -> bytes:
    """A PNG file (RFC 2083) of indexed colours: `pixels` (height, width) point into `palette` (colours, 3)."""
    height, width = pixels.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1)  # a filter byte leads each line
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    chunks = (
        (b"IHDR", header),
        (b"PLTE", palette.tobytes()),
        (b"IDAT", zlib.compress(lines.tobytes(), 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def data_uri(content: bytes, kind: str) -> str:
    """Bytes of a media type as an address that needs no file."""
    return f"data:{kind};base64," + base64.b64encode(content).decode("ascii")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@cache
def _palette() -> NDArray[np.uint8]:
    places = np.linspace(0, len(COLOURS) - 1, SHADES)
    channels = [np.interp(places, range(len(COLOURS)), channel) for channel in zip(*COLOURS, strict=True)]
    return np.round(np.stack(channels, axis=1)).astype(np.uint8)


@cache
def _filters(size: int, sample_rate_hz: int) -> NDArray[np.float64]:
    """Triangles on the mel scale 2595 log10(1 + f / 700), shape (`BANDS`, size // 2 + 1)."""
    top_mel = 2595 * np.log10(1 + min(MAX_HZ, sample_rate_hz / 2) / 700)
    edges_hz = 700 * (10 ** (np.linspace(0, top_mel, BANDS + 2) / 2595) - 1)
    bins_hz = np.fft.rfftfreq(size, 1 / sample_rate_hz)
    low, middle, high = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    return np.maximum(0.0, np.minimum((bins_hz - low) / (middle - low), (high - bins_hz) / (high - middle)))
