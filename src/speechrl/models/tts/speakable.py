"""Whether a prompt can be spoken at all; complaints that say what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speechrl.errors import ModelError
from speechrl.models.tts.text_encoder import ALPHABET, plain_text
from speechrl.models.tts.voice_encoder import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    from speechrl.types import Prompt

MAX_CHARACTERS = 600
MIN_VOICE_S = 0.5
SILENCE_RMS = 1e-3
"""A reference voice below -60 dBFS says nothing about a speaker."""


def check_text(prompt: Prompt) -> None:
    """Make sure that a synthesiser can read the text.

    Raises:
        ModelError: It is empty, too long, or has characters outside of `text_encoder.ALPHABET`.
    """
    text = plain_text(prompt.text)
    if not any(character.isalpha() for character in text):
        raise ModelError(f"prompt {prompt.id}: text {prompt.text!r} has no word to speak")
    strange = sorted(set(text) - set(ALPHABET))
    if strange:
        raise ModelError(
            f"prompt {prompt.id}: text has unsupported characters {' '.join(strange)}; write it in English words with "
            f". , ? ! and spell out numbers and symbols (text: {prompt.text[:60]!r})"
        )
    if len(text) > MAX_CHARACTERS:
        raise ModelError(
            f"prompt {prompt.id}: text has {len(text)} characters, more than the {MAX_CHARACTERS} that can be spoken "
            "in one go; split it into sentences, one prompt each"
        )


def check_voice(prompt: Prompt) -> None:
    """Make sure that the reference voice tells a speaker.

    Raises:
        ModelError: It is missing, too short, silent, or at another rate than the voice encoder's.
    """
    if prompt.audio is None or len(prompt.audio) == 0:
        raise ModelError(
            f"prompt {prompt.id}: no reference voice; give a clip of the speaker in field audio (some seconds)"
        )
    if prompt.sample_rate_hz != SAMPLE_RATE_HZ:
        raise ModelError(
            f"prompt {prompt.id}: reference voice at {prompt.sample_rate_hz} Hz; resample to {SAMPLE_RATE_HZ} Hz"
        )
    if prompt.duration_s < MIN_VOICE_S:
        raise ModelError(
            f"prompt {prompt.id}: reference voice of {prompt.duration_s:.2f} s is too short to tell a speaker; give at "
            f"least {MIN_VOICE_S} s, better 3 to 10 s"
        )
    if float(np.sqrt(np.mean(np.square(prompt.audio, dtype=np.float64)))) < SILENCE_RMS:
        raise ModelError(
            f"prompt {prompt.id}: reference voice is silent; give a clip in which somebody speaks"
        )
