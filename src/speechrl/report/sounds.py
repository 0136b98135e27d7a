"""FLAC files in a run's `audio/`: names that any id can have, and what is written there."""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf

from speechrl.report.writers import write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from speechrl.types import Output, Prompt

    Render = Callable[[Sequence[Prompt], Sequence[Output]], list[Output]]
    """Makes the sound of outputs that have speech tokens only; `outputs[i]` answers `prompts[i]`."""


def audio_name(name: str, folder: str = "audio") -> str:
    """Path in the run directory for a sound of that name; any id becomes a safe and unique file name."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-")[:48]
    return f"{folder}/{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.flac"


def prompt_audio_name(prompt: Prompt) -> str | None:
    """Path of a prompt's audio, None without any. Reference voices, which many prompts share, are named by content."""
    if prompt.audio is None:
        return None
    if prompt.task == "tts":
        return voice_audio_name(f"{zlib.crc32(prompt.audio.tobytes()):08x}")
    return audio_name(prompt.id)


def voice_audio_name(checksum: str) -> str:
    """Path of a reference voice, by the CRC-32 of its samples."""
    return f"audio/voice-{checksum}.flac"


def keep_audio(run_dir: Path, name: str, waveform: NDArray[np.float32] | None, sample_rate_hz: int) -> None:
    """Write mono samples as 16-bit FLAC, once and whole; nothing where there is no sound.

    Raises:
        OSError: The file cannot be written.
    """
    path = run_dir / name
    if waveform is None or not len(waveform) or path.exists():
        return
    # Made in memory, since libsndfile does not tell a full disk as the system does.
    flac = io.BytesIO()
    sf.write(flac, np.clip(waveform, -1.0, 1.0), sample_rate_hz, subtype="PCM_16", format="FLAC")
    write_atomically(path, flac.getvalue())


def keep_prompt_audio(run_dir: Path, prompt: Prompt) -> None:
    """Write the recording to recognise, or the reference voice."""
    name = prompt_audio_name(prompt)
    if name is not None:
        keep_audio(run_dir, name, prompt.audio, prompt.sample_rate_hz)
