"""Cuts over samples that exist in memory only."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf
from lhotse import Recording, SupervisionSegment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lhotse.cut import Cut
    from numpy.typing import NDArray

    from speechrl.types import Prompt

SAMPLE_RATE_HZ = 16_000


def audio_of(prompt: Prompt) -> NDArray[np.float32]:
    """The samples of a prompt that came from a cut, and so has some."""
    assert prompt.audio is not None
    return prompt.audio


def cut_in_memory(name: str, audio_S: NDArray[np.float32], said: Prompt, made: Mapping[str, object]) -> Cut:
    """A cut over 16-bit samples at 16 kHz; audio that would clip is made quieter.

    Args:
        name: Its id.
        audio_S: Samples.
        said: Whose text, language and keywords it gets.
        made: How the samples were made: `kind`, the ids it is made `of`, and what was drawn. Kept beside the keywords.
    """
    peak = float(np.max(np.abs(audio_S), initial=0.0))
    data = io.BytesIO()
    sf.write(data, audio_S / max(peak, 1.0), SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    recording = Recording.from_bytes(data.getvalue(), name)
    cut = recording.to_cut()
    custom = {"keywords": list(said.keywords), "made": dict(made)}
    supervision = SupervisionSegment(
        name, name, 0.0, cut.duration, 0, said.text, said.language, custom=custom
    )
    cut.id, cut.supervisions = name, [supervision]
    return cut
