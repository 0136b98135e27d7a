"""The five voices of the starter synthesiser: steady pace, one level, little silence around the speech, 22.05 kHz."""

from __future__ import annotations

import numpy as np

from speechrl.errors import DataError
from speechrl.starter.asr.voices import Samples, render, trim_silence

SAMPLE_RATE_HZ = 22050
VOICES = ("hibari-heart", "flite-slt", "flite-rms", "flite-awb", "piper-joe")
MARGIN_S = 0.1
LEVEL_DBFS = -23.0
PEAK = 0.95
_PAUSE_BELOW_MEAN_DB = 20.0
_FRAME = 512


def level(speech: Samples) -> Samples:
    """Bring speech to -23 dBFS, pauses not counted, and lower where its peak would pass 0.95; silence stays as it is.

    Pauses are frames 20 dB below the mean power, as in EBU R 128 at a coarser scale.
    """
    frames = speech[: len(speech) // _FRAME * _FRAME].reshape(-1, _FRAME)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    if not power.size or power.max() <= 0:
        return speech
    spoken = power[power > power.mean() * 10 ** (-_PAUSE_BELOW_MEAN_DB / 10)].mean()
    gain = min(10 ** (LEVEL_DBFS / 20) / np.sqrt(spoken), PEAK / np.abs(speech).max())
    levelled: Samples = (speech * gain).astype(np.float32)
    return levelled


def speak(raw: str, voice: str) -> Samples:
    """Read `raw` aloud: float32 [samples] at 22.05 kHz, 0.1 s of silence on both sides, -23 dBFS.

    Raises:
        DataError: the voice is unknown, or it made no sound for this text.
    """
    speech = trim_silence(render(raw, voice, SAMPLE_RATE_HZ), MARGIN_S, SAMPLE_RATE_HZ)
    if not speech.size:
        raise DataError(f"voice {voice!r}: no sound for the text {raw!r}")
    return level(speech)
