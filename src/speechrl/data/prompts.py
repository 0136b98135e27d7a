"""From a lhotse cut to the `Prompt` that a training step begins with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np
import soundfile as sf
from lhotse.audio.utils import AudioLoadingError, DurationMismatchError

from speechrl.errors import DataError
from speechrl.types import Prompt

if TYPE_CHECKING:
    from lhotse.cut import Cut
    from numpy.typing import NDArray

    from speechrl.types import Task

FIND = "`speechrl data check` on its manifest finds all such rows"


def to_prompt(cut: Cut, sample_rate_hz: int = 16_000, task: Task = "asr") -> Prompt:
    """Load a cut's audio, resampled by lhotse, with its text, language and keywords.

    For `tts` the audio is the voice to speak with, and the text is what to say.

    Raises:
        DataError: The audio cannot be loaded, has several channels, or holds NaN or infinite samples.
    """
    audio = load_audio(cut, sample_rate_hz)
    return replace(without_audio(cut, task), audio=audio, sample_rate_hz=sample_rate_hz)


def without_audio(cut: Cut, task: Task = "asr") -> Prompt:
    """What a cut says, without opening its audio.

    Several supervisions are joined in their order; no supervision is silence, with empty text.
    """
    said = sorted(cut.supervisions, key=lambda supervision: float(supervision.start))
    keywords = [word for supervision in said for word in (supervision.custom or {}).get("keywords") or []]
    return Prompt(
        id=cut.id,
        task=task,
        text=" ".join(supervision.text for supervision in said if supervision.text),
        language=next((supervision.language for supervision in said if supervision.language), "en"),
        keywords=tuple(dict.fromkeys(keywords)),
    )


def load_audio(cut: Cut, sample_rate_hz: int) -> NDArray[np.float32]:
    """Mono float32 samples of a cut, shape (samples,), at the wanted rate.

    Raises:
        DataError: As in `to_prompt`.
    """
    try:
        audio_CS = cut.resample(sample_rate_hz).load_audio()
    except (AudioLoadingError, DurationMismatchError, sf.SoundFileError, OSError) as error:
        raise DataError(f"{_place(cut)}: its audio cannot be loaded ({brief(error)}); {FIND}") from error
    if audio_CS is None or audio_CS.shape[0] != 1:
        channels = 0 if audio_CS is None else audio_CS.shape[0]
        raise DataError(
            f"{_place(cut)}: {channels} channels of audio, one is wanted; mix or pick one before training"
        )
    if not np.isfinite(audio_CS).all():
        raise DataError(f"{_place(cut)}: its audio holds NaN or infinite samples; {FIND}")
    return cast("NDArray[np.float32]", np.ascontiguousarray(audio_CS[0], dtype=np.float32))


def brief(error: Exception) -> str:
    """The telling part of an error of lhotse or libsndfile, whose own text is a page or a list of what was tried."""
    if isinstance(error, DurationMismatchError):
        return "it gives another number of samples than its header says"
    first = str(error).strip().partition("\n")[0]
    return first.partition(". Details:")[0] or type(error).__name__


def _place(cut: Cut) -> str:
    """A cut's id and, if it is one of a file, the file."""
    sources = cut.recording.sources if getattr(cut, "recording", None) is not None else []
    files = ", ".join(str(source.source) for source in sources if source.type == "file")
    return f"{cut.id} ({files})" if files else str(cut.id)
