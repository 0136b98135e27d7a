"""Manifests as lhotse CutSets: a cut an item, with its text, language and keywords; audio is loaded when asked for."""

from __future__ import annotations

import copy
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import soundfile as sf
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource
from lhotse.cut.set import deserialize_cut

from speechrl.data.rows import Problem, Row, read_rows
from speechrl.errors import DataError

if TYPE_CHECKING:
    from lhotse.cut import Cut

DURATION_TOLERANCE_S = 0.05
"""How far a stated end may lie behind the end of the file; such a cut is shortened."""


def read_manifest(path: str | Path, language: str = "en") -> CutSet:
    """Read a plain JSONL, NeMo, Kaldi or lhotse manifest.

    Args:
        path: Manifest file (`.jsonl`, `.json`, `.jsonl.gz`) or Kaldi folder. Relative audio paths start at its folder.
        language: Of items that do not say theirs.

    Returns:
        Cuts with one supervision each (text, language, `custom["keywords"]`); a CutSet keeps its own. Only the headers
        of audio files are read.

    Raises:
        DataError: The first row that cannot be used, with field, reason and mend; `speechrl data check` lists them all.
    """
    cuts = []
    for row in read_rows(path, language):
        cut = row if isinstance(row, Problem) else to_cut(row)
        if isinstance(cut, Problem):
            raise DataError(f"{path}: {cut}. All such rows: speechrl data check {path}")
        cuts.append(cut)
    if not cuts:
        raise DataError(f"manifest {path} has no rows: it needs one item a line")
    return CutSet.from_cuts(cuts)


def import_manifest(source: str | Path, out: str | Path, language: str = "en") -> int:
    """Turn any manifest into a lhotse CutSet with absolute audio paths.

    Args:
        source: As in `read_manifest`.
        out: File to write, `.jsonl` or `.jsonl.gz`.
        language: Of items that do not say theirs.

    Returns:
        The number of cuts written.

    Raises:
        DataError: A row cannot be used, or `out` has another ending or is the source.
    """
    out = Path(out)
    if not out.name.endswith((".jsonl", ".jsonl.gz")):
        raise DataError(f"{out}: a CutSet is written as .jsonl or .jsonl.gz; give a name that ends so")
    if out.resolve() == Path(source).resolve():
        raise DataError(f"{out} is the manifest to be imported: give another name to write to")
    cuts = read_manifest(source, language)
    out.parent.mkdir(parents=True, exist_ok=True)
    cuts.to_file(out)
    return len(cuts)


def to_cut(row: Row) -> Cut | Problem:
    """Make the cut of a row from the header of its audio file."""
    if row.cut is not None:
        try:
            return deserialize_cut(copy.deepcopy(dict(row.cut)))  # it empties what it reads
        except (TypeError, KeyError, ValueError, AssertionError) as error:
            return Problem(
                row.number, row.id, "row", f"not a lhotse cut ({error})", "write it with CutSet.to_file"
            )
    assert row.audio is not None
    header = read_header(row.audio)
    if isinstance(header, str):
        return Problem(
            row.number, row.id, "audio", header, "correct the path, or make the file again as WAV or FLAC"
        )
    rate_hz, samples, channels = header
    if channels != 1:
        mend = "mix or pick one, e.g. ffmpeg -i IN -ac 1 OUT.wav"
        return Problem(
            row.number, row.id, "audio", f"{row.audio} has {channels} channels, one is wanted", mend
        )
    if samples == 0:
        return Problem(
            row.number, row.id, "audio", f"{row.audio} holds no samples", "record it again or drop the row"
        )
    length_s = samples / rate_hz
    duration_s = length_s - row.start_s if row.duration_s is None else row.duration_s
    if duration_s <= 0:
        reason = f"the item is {duration_s:.3f} s long (it starts at {row.start_s:.3f} s of {length_s:.3f} s)"
        return Problem(row.number, row.id, "duration", reason, "correct start and duration")
    if row.start_s + duration_s > length_s + DURATION_TOLERANCE_S:
        reason = f"ends at {row.start_s + duration_s:.3f} s, but {row.audio} is {length_s:.3f} s long"
        return Problem(
            row.number, row.id, "duration", reason, "correct it, or find out whether the file was cut short"
        )
    duration_s = min(duration_s, length_s - row.start_s)
    source = AudioSource(type="file", channels=[0], source=str(row.audio))
    recording = Recording(
        str(row.audio), [source], sampling_rate=rate_hz, num_samples=samples, duration=length_s
    )
    custom = {"keywords": list(row.keywords)}
    said = SupervisionSegment(row.id, recording.id, 0.0, duration_s, 0, row.text, row.language, custom=custom)
    return MonoCut(row.id, row.start_s, duration_s, 0, supervisions=[said], recording=recording)


def read_header(path: Path) -> tuple[int, int, int] | str:
    """Sample rate in Hz, samples and channels of an audio file, or the reason why it cannot be read."""
    try:
        status = path.stat()
    except OSError as error:
        return f"{path} cannot be opened ({error.strerror})"
    return _read_header(os.fspath(path), status.st_mtime_ns, status.st_size)


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
    return header.samplerate, header.frames, header.channels


def _missing_bytes(path: str, size: int) -> int:
    """Bytes that a RIFF header promises and the file does not hold; libsndfile shortens such a file in silence."""
    with open(path, "rb") as file:
        if file.read(4) != b"RIFF":
            return 0
        file.seek(12)
        while len(chunk := file.read(8)) == 8:
            length = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                streamed = length >= 0xFFFFFFFF - 36 or length == 0x7FFFFFFF
                return 0 if streamed else max(0, file.tell() + length - size)
            file.seek(length + length % 2, os.SEEK_CUR)
    return 0
