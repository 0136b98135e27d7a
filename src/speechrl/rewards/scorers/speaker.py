"""Whose voice it is: cosine of Resemblyzer's speaker embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from speechrl.rewards.scorers.clips import at_16_khz, is_silent
from speechrl.rewards.scorers.packages import Package

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from speechrl.rewards.scorers.clips import Clip
WEIGHTS = Package("resemblyzer", "speaker similarity", "--no-deps Resemblyzer==0.1.4")


class SpeakerScorer:
    """Compares voices. The embeddings have no negative component, so a cosine lies in [0, 1].

    Clips of one voice score .87 to .93, of different voices .45 to .64.

    Raises:
        MissingExtraError: The package that carries the weights is not installed.
    """

    def __init__(self) -> None:
        WEIGHTS.folder()
        from speechrl.models.tts.voice_encoder import KnownVoices, load_voice_encoder

        self._encoder = load_voice_encoder()
        self._references = KnownVoices(self._encoder)

    def embed(self, clips: Sequence[Clip]) -> Tensor:
        """Unit vectors (clips, 256), float32, on the CPU; zero for a silent clip, in which the model sees a voice."""
        heard = [at_16_khz(clip) for clip in clips]
        vectors_BD: Tensor = self._encoder(heard)
        vectors_BD[[is_silent(samples) for samples in heard]] = 0.0
        return vectors_BD

    def similarity(self, clips: Sequence[Clip], references: Sequence[Clip]) -> list[float]:
        """Cosine of each clip with its reference; 0 where either is silent."""
        if not clips:
            return []
        heard = [at_16_khz(reference) for reference in references]
        wanted_BD = torch.stack(self._references(heard))
        wanted_BD[[is_silent(samples) for samples in heard]] = 0.0
        cosines: list[float] = (self.embed(clips) * wanted_BD).sum(-1).clamp(0.0, 1.0).tolist()
        return cosines
