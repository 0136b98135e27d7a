"""Whether a prompt can be spoken at all; faults that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speechrl.models.base import Fault
from speechrl.models.tts.text_encoder import ALPHABET, plain_text
from speechrl.models.tts.voice_encoder import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from speechrl.types import Prompt

MAX_CHARACTERS = 600
MIN_VOICE_S = 0.5
SILENCE_RMS = 1e-3
"""A reference voice below -60 dBFS says nothing about a speaker."""
_SHOWN_CHARACTERS = 60


def text_fault(text: str) -> Fault | None:
    """What keeps a synthesiser from reading a text.

    It is empty, too long, or has characters outside of `text_encoder.ALPHABET`.
    """
    plain = plain_text(text)
    shown = repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]} ...")
    strange = sorted(set(plain) - set(ALPHABET))
    if strange:
        return Fault(
            "text",
            f"unsupported characters {' '.join(strange)} in {shown}",
            "write it in English words with . , ? ! and spell out numbers and symbols",
        )
    if not any(character.isalpha() for character in plain):
        return Fault("text", f"no word to speak in {shown}", "write what is to be said, or drop the row")
    if len(plain) > MAX_CHARACTERS:
        return Fault(
            "text",
            f"{len(plain)} characters in {shown}, more than the {MAX_CHARACTERS} that can be spoken in one go",
            "split it into sentences, one row each",
        )
    return None


def voice_fault(prompt: Prompt) -> Fault | None:
    """What keeps a reference voice from telling a speaker.

    It is missing, too short, silent, or at another rate than the voice encoder's.
    """
    if prompt.audio is None or len(prompt.audio) == 0:
        return Fault("audio", "no reference voice", "give a clip of the speaker (some seconds)")
    if prompt.sample_rate_hz != SAMPLE_RATE_HZ:
        return Fault(
            "audio", f"reference voice at {prompt.sample_rate_hz} Hz", f"resample to {SAMPLE_RATE_HZ} Hz"
        )
    if prompt.duration_s < MIN_VOICE_S:
        return Fault(
            "audio",
            f"reference voice of {prompt.duration_s:.2f} s is too short to tell a speaker",
            f"give at least {MIN_VOICE_S} s, better 3 to 10 s",
        )
    if float(np.sqrt(np.mean(np.square(prompt.audio, dtype=np.float64)))) < SILENCE_RMS:
        return Fault("audio", "reference voice is silent", "give a clip in which somebody speaks")
    return None
