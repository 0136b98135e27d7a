"""From a lhotse cut to the `Prompt` that a training step begins with."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
import soundfile as sf
from lhotse.audio.utils import AudioLoadingError, DurationMismatchError

from speechrl.errors import DataError
from speechrl.types import Prompt

if TYPE_CHECKING:
    from lhotse.cut import Cut
    from numpy.typing import NDArray


def to_prompt(cut: Cut, sample_rate_hz: int = 16_000) -> Prompt:
    """Load a cut's audio, resampled by lhotse, with its text, language and keywords.

    Several supervisions are joined in their order; no supervision is silence, with empty text.

    Raises:
        DataError: The audio cannot be loaded, has several channels, or holds NaN or infinite samples.
    """
    said = sorted(cut.supervisions, key=lambda supervision: float(supervision.start))
    keywords = [word for supervision in said for word in (supervision.custom or {}).get("keywords", [])]
    return Prompt(
        id=cut.id,
        task="asr",
        text=" ".join(supervision.text for supervision in said if supervision.text),
        language=next((supervision.language for supervision in said if supervision.language), "en"),
        keywords=tuple(dict.fromkeys(keywords)),
        audio=load_audio(cut, sample_rate_hz),
        sample_rate_hz=sample_rate_hz,
    )


def load_audio(cut: Cut, sample_rate_hz: int) -> NDArray[np.float32]:
    """Mono float32 samples of a cut, shape (samples,), at the wanted rate.

    Raises:
        DataError: As in `to_prompt`.
    """
    try:
        audio_CS = cut.resample(sample_rate_hz).load_audio()
    except (AudioLoadingError, DurationMismatchError, sf.SoundFileError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(
            f"{cut.id}: its audio cannot be loaded ({reason}); run speechrl data check"
        ) from error
    if audio_CS is None or audio_CS.shape[0] != 1:
        channels = 0 if audio_CS is None else audio_CS.shape[0]
        raise DataError(
            f"{cut.id}: {channels} channels of audio, one is wanted; mix or pick one before training"
        )
    if not np.isfinite(audio_CS).all():
        raise DataError(f"{cut.id}: its audio holds NaN or infinite samples; run speechrl data check")
    return cast("NDArray[np.float32]", np.ascontiguousarray(audio_CS[0], dtype=np.float32))
