"""Manifests as lhotse CutSets: a cut an item, with its text, language and keywords; audio is loaded when asked for."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource
from lhotse.cut.set import deserialize_cut
from lhotse.utils import fastcopy

from speechrl.data.headers import read_header, unlike_files
from speechrl.data.rows import Problem, Row, read_rows
from speechrl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lhotse.cut import Cut

UNNAMED = "unnamed"
"""Mark of items whose manifest gave no id, in the `custom` of their supervision."""
DURATION_TOLERANCE_S = 0.05
"""How far a stated end may lie behind the end of the file; such a cut is shortened."""


def read_manifest(path: str | Path, language: str = "en", *, labelled: bool = True) -> CutSet:
    """Read a plain JSONL, NeMo, Kaldi or lhotse manifest.

    Args:
        path: Manifest file (`.jsonl`, `.json`, `.jsonl.gz`) or Kaldi folder. Relative audio paths start at its folder.
        language: Of items that do not say theirs.
        labelled: Whether items need a text, see `rows.read_rows`.

    Returns:
        Cuts with one supervision each (text, language, `custom["keywords"]`, and in `custom` the row's licence and
        `rows.LABELS` if it has them); a CutSet keeps its own. Only the headers of audio files are read.

    Raises:
        DataError: The first row that cannot be used, with field, reason and mend; `speechrl data check` lists them all.
    """
    cuts = []
    for row in read_rows(path, language, labelled=labelled):
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
    refuse_sources([source], [out])
    cuts = read_manifest(source, language)
    out.parent.mkdir(parents=True, exist_ok=True)
    cuts.to_file(out)
    return len(cuts)


def refuse_sources(sources: Iterable[str | Path], outputs: Iterable[Path | None]) -> None:
    """See that nothing is written over what is read, nor over another output.

    Raises:
        DataError: An output is a source, or two outputs are one file.
    """
    read, written = {Path(source).resolve() for source in sources}, set[Path]()
    for out in outputs:
        if out is None:
            continue
        if out.resolve() in read:
            raise DataError(f"{out} is what is read: give another name to write to, so that nothing is lost")
        if out.resolve() in written:
            raise DataError(f"{out} is given twice to write to: give two names, so that nothing is lost")
        written.add(out.resolve())


def to_cut(row: Row) -> Cut | Problem:
    """Make the cut of a row from the header of its audio file; one that is given is held against its files."""
    if row.cut is not None:
        return _given_cut(row, row.cut)
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
    custom: dict[str, Any] = {"keywords": list(row.keywords), **row.labels}
    if row.licence:
        custom["licence"] = row.licence
    if row.made is not None:
        custom["made"] = dict(row.made)
    if not row.named:
        custom[UNNAMED] = True
    said = SupervisionSegment(row.id, recording.id, 0.0, duration_s, 0, row.text, row.language, custom=custom)
    return MonoCut(row.id, row.start_s, duration_s, 0, supervisions=[said], recording=recording)


def _given_cut(row: Row, serialised: Mapping[str, Any]) -> Cut | Problem:
    """The cut of a CutSet, its files looked at and its language filled in."""
    try:
        cut = deserialize_cut(copy.deepcopy(dict(serialised)))  # it empties what it reads
    except (TypeError, KeyError, ValueError, AttributeError, AssertionError) as error:
        return Problem(
            row.number, row.id, "row", f"not a lhotse cut ({error})", "write it with CutSet.to_file"
        )
    if cut.num_channels != 1:
        mend = "mix or pick one (lhotse: MultiCut.to_mono)"
        return Problem(row.number, row.id, "audio", f"{cut.num_channels} channels, one is wanted", mend)
    if (reason := unlike_files(cut)) is not None:
        mend = "correct the path or the recording, or make the file again"
        return Problem(row.number, row.id, "audio", reason, mend)
    return cut.map_supervisions(lambda said: said if said.language else fastcopy(said, language=row.language))
