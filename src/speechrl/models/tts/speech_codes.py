"""Recordings to speech codes: the speech tokenizer, and the recogniser that it may listen to beside the mel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.signal import resample_poly

from speechrl.models.asr.whisper_encoder import FRAMES_PER_SECOND as CONTENT_PER_SECOND
from speechrl.models.asr.whisper_encoder import load_whisper_frames
from speechrl.models.tts.mel import HOP, SAMPLE_RATE_HZ, log_mel
from speechrl.models.tts.speech_tokenizer import FRAMES_PER_TOKEN

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from speechrl.models.tts.speech_tokenizer import SpeechTokenizer

CONTENT_ENCODER = "openai/whisper-tiny.en"
"""Whose states a tokenizer with a `content_width` reads."""


class SpeechCoder:
    """Makes the codes of recordings, one at a time.

    Args:
        tokenizer: If it has a `content_width`, `CONTENT_ENCODER` is loaded.

    Raises:
        ModelError: `CONTENT_ENCODER` cannot be loaded.
    """

    def __init__(self, tokenizer: SpeechTokenizer) -> None:
        self._tokenizer = tokenizer
        self._listener = load_whisper_frames(CONTENT_ENCODER) if tokenizer.config.content_width else None

    @torch.no_grad()
    def __call__(self, speech: NDArray[np.float32]) -> list[int]:
        """Codes of mono speech at 22.05 kHz; none if it is shorter than one token."""
        mel_TM = log_mel(torch.from_numpy(speech))
        tokens = len(mel_TM) // FRAMES_PER_TOKEN
        if not tokens:
            return []
        content_BND = None
        if self._listener is not None:
            content_BND = at_token_times(self._listener([to_16_khz(speech)])[0], tokens)[None]
        codes_BN = self._tokenizer.encode(
            mel_TM[None, : tokens * FRAMES_PER_TOKEN], torch.tensor([tokens * FRAMES_PER_TOKEN]), content_BND
        )
        codes: list[int] = codes_BN[0].tolist()
        return codes


def to_16_khz(speech: NDArray[np.float32]) -> NDArray[np.float32]:
    """From the mel's 22.05 kHz to what recogniser and voice encoder hear."""
    return np.asarray(resample_poly(speech, 320, 441), np.float32)


def at_token_times(states_TD: Tensor, tokens: int) -> Tensor:
    """Recogniser states interpolated linearly to the middle of each token, (tokens, D)."""
    token_s = FRAMES_PER_TOKEN * HOP / SAMPLE_RATE_HZ
    middles_s = (torch.arange(tokens) + 0.5) * token_s
    places = (middles_s * CONTENT_PER_SECOND - 0.5).clamp(0, len(states_TD) - 1)
    left = places.floor().long().clamp(max=max(len(states_TD) - 2, 0))
    right = (left + 1).clamp(max=len(states_TD) - 1)
    share = (places - left)[:, None]
    return states_TD[left] * (1 - share) + states_TD[right] * share
