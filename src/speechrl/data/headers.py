"""What the headers of audio files tell, so that a manifest can be judged before a run without reading its samples."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile as sf
from lhotse.audio.utils import get_audio_duration_mismatch_tolerance
from lhotse.cut import MixedCut

if TYPE_CHECKING:
    from lhotse import Recording
    from lhotse.audio import AudioSource
    from lhotse.cut import Cut


def unlike_files(cut: Cut) -> str | None:
    """Why a cut's files cannot give what it says, or None; audio held in memory is not looked at."""
    parts = [track.cut for track in cut.tracks] if isinstance(cut, MixedCut) else [cut]
    recorded = (part for part in parts if getattr(part, "recording", None) is not None)  # padding has none
    return next((reason for part in recorded if (reason := _unlike_recording(part)) is not None), None)


def _unlike_recording(cut: Cut) -> str | None:
    recording: Recording = cut.recording
    channels = {cut.channel} if isinstance(cut.channel, int) else set(cut.channel)
    if missing := sorted(channels - set(recording.channel_ids)):
        return f"channel {missing[0]} is not in its recording, which has {sorted(recording.channel_ids)}"
    if not all(isinstance(value, int | float) and value >= 0 for value in (cut.start, cut.duration)):
        return f"start {cut.start!r} and duration {cut.duration!r} are not both numbers of seconds"
    tolerance_s = get_audio_duration_mismatch_tolerance()
    if cut.duration == 0 or cut.start + cut.duration > recording.duration + tolerance_s:
        return f"{cut.start} s to {cut.end} s is not a part of its recording, which is {recording.duration} s long"
    files = (source for source in recording.sources if source.type == "file")
    return next((why for source in files if (why := _unlike_file(recording, source)) is not None), None)


def _unlike_file(recording: Recording, source: AudioSource) -> str | None:
    header = read_header(Path(str(source.source)))
    if isinstance(header, str):
        return header
    rate_hz, samples, channels = header
    if samples == 0:
        return f"{source.source} holds no samples"
    if channels != len(source.channels):
        return f"{source.source} has {channels} channels, and its recording lists {len(source.channels)}"
    if recording.transforms:  # these may change rate and length
        return None
    stated_hz, stated = int(recording.sampling_rate), int(recording.num_samples)
    if rate_hz != stated_hz:
        return f"{source.source} is sampled at {rate_hz} Hz, and its recording says {stated_hz} Hz"
    if samples < stated - get_audio_duration_mismatch_tolerance() * rate_hz:
        return f"{source.source} is {samples / rate_hz:.3f} s long, and its recording says {stated / rate_hz:.3f} s"
    return None


def read_header(path: Path) -> tuple[int, int, int] | str:
    """Sample rate in Hz, samples and channels of an audio file, or the reason why it cannot be read."""
    try:
        status = path.stat()
        if path.is_dir():
            return f"{path} is a folder"
        return _read_header(os.fspath(path), status.st_mtime_ns, status.st_size)
    except OSError as error:
        return f"{path} cannot be opened ({error.strerror})"


@functools.lru_cache(maxsize=4096)
def _read_header(path: str, _modified_ns: int, size: int) -> tuple[int, int, int] | str:
    if size == 0:
        return f"{path} is an empty file"
    try:
        header = sf.info(path)
    except sf.LibsndfileError as error:
        with open(path, "rb") as file:
            start = file.read(256)
        text = start.isascii() and b"\0" not in start
        return (
            f"{path} is {'a text file' if text else 'not audio that libsndfile reads'} ({error.error_string})"
        )
    if missing := _missing_bytes(path, size):
        return f"{path} is truncated: {missing} bytes of samples are missing at its end"
    if not _has_last_sample(path, header.frames):
        return (
            f"{path} is truncated: its header promises {header.frames} samples, and the last cannot be read"
        )
    return header.samplerate, header.frames, header.channels


def _has_last_sample(path: str, samples: int) -> bool:
    """Whether the end is there: compressed formats tell their length at the start, and break in the middle of a run."""
    try:
        with sf.SoundFile(path) as file:
            return samples == 0 or (file.seek(samples - 1) == samples - 1 and len(file.read(1)) == 1)
    except sf.LibsndfileError:
        return False


def _missing_bytes(path: str, size: int) -> int:
    """Bytes that a RIFF header promises and the file does not hold; libsndfile shortens such a file in silence."""
    with open(path, "rb") as file:
        if file.read(4) != b"RIFF":
            return 0
        file.seek(12)
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                # Programs that write to a pipe do not know the length: SoX writes 0x7FFFF000, others the largest.
                streamed = length >= 0x7FFFF000
                return 0 if streamed else max(0, file.tell() + length - size)
            file.seek(length + length % 2, os.SEEK_CUR)
    return 0
