"""From encoder frames to prompt embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence


class StackingAdapter(nn.Module):
    """Joins neighbouring frames and maps them to the language model's width with two linear layers.

    `ctc` predicts text tokens from each position. It speeds up supervised training (auxiliary CTC loss) and
    tells how well a word is supported by the audio; the prompt itself does not use it.

    Args:
        frame_width: Width of encoder frames.
        stack: Frames joined into one position; the last position is filled up with zeros.
        hidden: Width between the two layers.
        width: Width of the language model.
        vocabulary: Text tokens; the CTC blank is one more, the last.
    """

    def __init__(self, frame_width: int, stack: int, hidden: int, width: int, vocabulary: int) -> None:
        super().__init__()
        self.stack = stack
        self.layers = nn.Sequential(
            nn.LayerNorm(frame_width * stack),
            nn.Linear(frame_width * stack, hidden),
            nn.GELU(),
            nn.Linear(hidden, width),
        )
        self.ctc = nn.Linear(width, vocabulary + 1)

    def stacked(self, frames_TD: Tensor) -> Tensor:
        """Shape (T, D) -> (ceil(T / stack), D * stack)."""
        missing = -frames_TD.shape[0] % self.stack
        if missing:
            frames_TD = torch.cat([frames_TD, frames_TD.new_zeros(missing, frames_TD.shape[1])])
        return frames_TD.reshape(-1, self.stack * frames_TD.shape[1])

    def forward(self, frames: Sequence[Tensor]) -> list[Tensor]:
        """One tensor (positions, width) per clip."""
        stacked = [self.stacked(clip) for clip in frames]
        embeddings: Tensor = self.layers(torch.cat(stacked))
        return list(embeddings.split([len(clip) for clip in stacked]))
