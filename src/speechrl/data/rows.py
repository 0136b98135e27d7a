"""Rows of the manifests that we read, all brought into one shape; a row that cannot be used becomes a `Problem`.

| format | told by | one item |
|---|---|---|
| plain JSONL | key `audio` | `{"audio": "a.wav", "text": "hello"}`; `id`, `language`, `keywords`, `start`, `duration` |
| NeMo JSONL | key `audio_filepath` | `{"audio_filepath": "a.wav", "text": "hello"}`; `duration`, `offset`, `lang` |
| lhotse CutSet | key `supervisions` or `type` | what `CutSet.to_file` wrote |
| Kaldi folder | a folder with `wav.scp` | `wav.scp`, `text`, `segments`? |

JSONL rows of both kinds may have a `licence`, and `LABELS`.

Nothing here runs a command or opens an address: a shell pipe in `wav.scp` and a `command` or `url` source in a CutSet
are refused.
"""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from speechrl.errors import DataError
from speechrl.text.normalise import check_language, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


LABELS = ("voice", "quality")
"""Keys of JSONL rows that only Token2Text learns from; they are carried along as they are."""


class ManifestFormat(StrEnum):
    """How a manifest is written."""

    PLAIN = "plain"
    NEMO = "nemo"
    KALDI = "kaldi"
    LHOTSE = "lhotse"


@dataclass(frozen=True, slots=True)
class Row:
    """One item of a manifest, before its audio is looked at.

    Attributes:
        number: Line in the file, from 1.
        id: Given, or made of the file's name and the line.
        audio: Absolute path; None for an item of a CutSet.
        text: Transcript, possibly empty.
        language: Its tag, as it was written; see `text.normalise`.
        keywords: Words or phrases that matter most.
        start_s: Where the item begins in the file.
        duration_s: Length, or None for "to the end of the file".
        named: Whether the id is the manifest's own.
        licence: What it may be used under, if the row says so.
        cut: The item of a CutSet, as a dictionary with absolute paths.
        made: How an item that `written.write_derived` wrote was made.
        labels: Those of `LABELS` that the row has, unchecked.
    """

    number: int
    id: str
    audio: Path | None
    text: str
    language: str = "en"
    keywords: tuple[str, ...] = ()
    start_s: float = 0.0
    duration_s: float | None = None
    licence: str = ""
    cut: Mapping[str, Any] | None = None
    named: bool = True
    made: Mapping[str, Any] | None = None
    labels: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a row cannot be used, and what to do about it.

    Example: `Problem(3, "call-7", "audio", "calls/7.wav does not exist", "correct the path or drop the row")`.
    """

    row: int
    id: str
    field: str
    reason: str
    mend: str

    def __str__(self) -> str:
        """One line for people."""
        name = f" ({self.id})" if self.id else ""
        return f"row {self.row}{name}, {self.field}: {self.reason}; {self.mend}"


def detect_format(path: Path) -> ManifestFormat:
    """Tell the format of a manifest.

    Raises:
        DataError: There is nothing at `path`, or it looks like none of the known formats.
    """
    if path.is_dir():
        if (path / "wav.scp").is_file():
            return ManifestFormat.KALDI
        raise DataError(f"{path} is a folder without wav.scp: name a manifest file, or a Kaldi folder")
    if not path.is_file():
        raise DataError(f"manifest {path} does not exist: check the path, relative to the working directory")
    first = next(((number, line) for number, line in _lines(path) if line.strip()), None)
    if first is None:
        raise DataError(f"manifest {path} is empty: it needs one JSON object a line")
    # A broken line is one problem among others, if any line tells what this is.
    objects = ((number, found) for number, line in _lines(path) if (found := _object(line)) is not None)
    number, keys = next(objects, (first[0], None))
    if keys is None:
        raise DataError(
            f"{path}, line {number}: not a JSON object, nor is any other: a manifest has one on each line, "
            '{"audio": "a.wav", "text": "hello"}'
        )
    if "audio_filepath" in keys:
        return ManifestFormat.NEMO
    if isinstance(keys.get("audio"), str):  # a serialised cut has none
        return ManifestFormat.PLAIN
    if "supervisions" in keys or "type" in keys or "recording" in keys:
        return ManifestFormat.LHOTSE
    if "audio" in keys or ("text" in keys and "recording_id" not in keys):
        return ManifestFormat.PLAIN
    raise DataError(
        f"{path}, line {number}: unknown kind of manifest with the keys {', '.join(sorted(keys)) or '(none)'}; known:"
        " plain JSONL (audio, text), NeMo (audio_filepath, text), lhotse CutSet, a Kaldi folder (wav.scp, text)"
    )


def read_rows(path: str | Path, language: str = "en", *, labelled: bool = True) -> Iterator[Row | Problem]:
    """Read a manifest row by row; audio is not opened.

    Args:
        path: Manifest file or Kaldi folder; relative audio paths are relative to its folder.
        language: Of rows that do not say theirs.
        labelled: Whether rows need a `text`; without one it is empty. A cut without supervisions says nothing.

    Raises:
        DataError: The manifest as a whole cannot be read, or `language` is none.
        MissingExtraError: A language needs a package to be compared.
    """
    check_language(language)
    path = Path(path).resolve()
    kind = detect_format(path)
    if kind is ManifestFormat.KALDI:
        rows = _kaldi(path, language)
    else:
        readers: dict[ManifestFormat, Callable[[Path, int, Mapping[str, Any], str], Row | Problem]] = {
            ManifestFormat.PLAIN: _plain,
            ManifestFormat.NEMO: _nemo,
            ManifestFormat.LHOTSE: partial(_lhotse, labelled=labelled),
        }
        read = readers[kind]
        rows = (
            _not_json(number)
            if (item := _object(line)) is None
            else read(path, number, item if labelled else _with_text(item, kind), language)
            for number, line in _lines(path)
            if line.strip()
        )
    seen: dict[str, int] = {}
    for row in rows:
        if isinstance(row, Row) and row.text.strip() and not plain(row.text):
            mend = 'write what is said, or "" where nobody speaks'
            yield Problem(row.number, row.id, "text", f"no word in {row.text[:40]!r}", mend)
        elif isinstance(row, Row) and (first := seen.setdefault(row.id, row.number)) != row.number:
            yield Problem(
                row.number, row.id, "id", f"already used in row {first}", "give each row its own id"
            )
        else:
            yield row


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8-sig")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8-sig") as file
        ):
            yield from enumerate(file, 1)
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path} is not UTF-8 text ({error}): is it a manifest, and complete?") from error


def _object(line: str) -> dict[str, Any] | None:
    """A row, or None where a line holds none, or what cannot be written again (half of a surrogate pair)."""
    try:
        value = json.loads(line)
        json.dumps(value, ensure_ascii=False).encode()
    except (json.JSONDecodeError, RecursionError, UnicodeEncodeError):
        return None
    return value if isinstance(value, dict) else None


def _with_text(item: dict[str, Any], kind: ManifestFormat) -> dict[str, Any]:
    return item if kind is ManifestFormat.LHOTSE or item.get("text") is not None else {**item, "text": ""}


def _not_json(number: int) -> Problem:
    return Problem(number, "", "row", "not a JSON object", "write one JSON object a line")


def _plain(path: Path, number: int, item: Mapping[str, Any], language: str) -> Row | Problem:
    names = {"audio": "audio", "start": "start", "language": "language"}
    return _from_item(path, number, item, language, names)


def _nemo(path: Path, number: int, item: Mapping[str, Any], language: str) -> Row | Problem:
    names = {"audio": "audio_filepath", "start": "offset", "language": "lang"}
    return _from_item(path, number, item, language, names)


def _from_item(
    path: Path, number: int, item: Mapping[str, Any], language: str, names: Mapping[str, str]
) -> Row | Problem:
    given = item.get("id")
    named = given is not None and given != ""
    name = str(given) if named else f"{path.name.split('.')[0]}-{number:06d}"
    audio, text = item.get(names["audio"]), item.get("text")
    # Under the other format's name it is no less the language.
    spoken = next((item[key] for key in (names["language"], "language", "lang") if key in item), language)
    keywords = item.get("keywords", [])
    licence = item.get("licence") or item.get("license") or ""
    times = {key: item[key] for key in (names["start"], "duration") if item.get(key) is not None}
    if not isinstance(audio, str) or not audio:
        return Problem(number, name, names["audio"], "missing or not text", "give the path of an audio file")
    if not isinstance(text, str):
        return Problem(number, name, "text", "missing or not text", 'give the transcript, "" for silence')
    if (unknown := _unknown_language(spoken)) is not None:
        return Problem(number, name, names["language"], *unknown)
    if not _are_words(keywords):
        return Problem(number, name, "keywords", "not a list of words", 'write ["one", "two words"]')
    if not isinstance(licence, str):
        return Problem(number, name, "licence", "not text", 'write a name such as "CC-BY-4.0"')
    for key, value in times.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
            or value < 0
        ):
            return Problem(
                number, name, key, f"{value!r} is not a number of seconds", "give seconds, 0 or more"
            )
    return Row(
        number,
        name,
        path.parent / audio,
        text,
        spoken,
        tuple(keywords),
        float(times.get(names["start"], 0.0)),
        float(times["duration"]) if "duration" in times else None,
        licence,
        named=named,
        made=item["made"] if isinstance(item.get("made"), dict) else None,
        labels={key: item[key] for key in LABELS if item.get(key) is not None},
    )


def _lhotse(
    path: Path, number: int, item: Mapping[str, Any], language: str, *, labelled: bool
) -> Row | Problem:
    name = str(item.get("id", f"{path.name.split('.')[0]}-{number:06d}"))
    forbidden = sorted({str(s.get("type")) for s in _sources(item)} - {"file", "memory"})
    if forbidden:
        reason = f"audio comes from a {' and a '.join(forbidden)}, which is never run or opened"
        return Problem(
            number, name, "recording", reason, "save the audio to files (lhotse: CutSet.save_audios)"
        )
    if not any(True for _ in _sources(item)):
        return Problem(number, name, "recording", "the cut has no recording", "make cuts from recordings")
    if (fault := _unlike_supervisions(item)) is not None:
        return Problem(number, name, *fault)
    said = [s.get("text") for s in _supervisions(item)]
    if labelled and said and all(text is None for text in said):
        return Problem(
            number,
            name,
            "text",
            "missing from its supervisions",
            'write what is said, or "" where nobody speaks',
        )
    texts = [text or "" for text in said]
    languages = [s["language"] for s in _supervisions(item) if s.get("language")]
    absolute = _absolute(item, path.parent)
    return Row(number, name, None, " ".join(texts), languages[0] if languages else language, cut=absolute)


def _sources(value: object) -> Iterator[dict[str, Any]]:
    """Every audio source anywhere in a serialised cut."""
    if isinstance(value, dict):
        sources = value.get("sources")
        yield from (s for s in sources if isinstance(s, dict)) if isinstance(sources, list) else ()
        yield from chain.from_iterable(_sources(part) for part in value.values())
    elif isinstance(value, list):
        yield from chain.from_iterable(_sources(part) for part in value)


def _supervisions(item: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from item.get("supervisions") or []
    for track in item.get("tracks") or []:
        yield from track["cut"].get("supervisions") or []


def _unlike_supervisions(item: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Field, reason and mend of the first part of a cut's supervisions that has the wrong type."""
    write = "write it with CutSet.to_file"
    tracks = item.get("tracks") or []
    if not isinstance(tracks, list) or not all(
        isinstance(track, dict) and isinstance(track.get("cut"), dict) for track in tracks
    ):
        return "tracks", "not a list of tracks with a cut each", write
    for cut in (item, *(track["cut"] for track in tracks)):
        said = cut.get("supervisions") or []
        if not isinstance(said, list) or not all(isinstance(part, dict) for part in said):
            return "supervisions", "not a list of supervisions", write
    for part in _supervisions(item):
        if not isinstance(part.get("text"), str | None):
            return "text", f"{part['text']!r} is not text", 'give the transcript, "" for silence'
        if part.get("language") and (unknown := _unknown_language(part["language"])) is not None:
            return "language", *unknown
        custom = part.get("custom") or {}
        if not isinstance(custom, dict) or not _are_words(custom.get("keywords") or []):
            return "keywords", "custom.keywords is not a list of words", 'write ["one", "two words"]'
    return None


def _unknown_language(value: object) -> tuple[str, str] | None:
    """Reason and mend, where it is no language."""
    unknown = f"{value!r} is not a language tag", 'write a code such as "en" or "zh"'
    if not isinstance(value, str):
        return unknown
    try:
        check_language(value)
    except DataError:
        return unknown
    return None


def _are_words(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word.strip() for word in value)


def _absolute(value: Any, folder: Path) -> Any:
    """A copy of a serialised cut, its file sources made absolute."""
    if isinstance(value, dict):
        copy = {key: _absolute(part, folder) for key, part in value.items()}
        if copy.get("type") == "file" and isinstance(copy.get("source"), str):
            copy["source"] = str(folder / copy["source"])
        return copy
    return [_absolute(part, folder) for part in value] if isinstance(value, list) else value


def _kaldi(folder: Path, language: str) -> Iterator[Row | Problem]:
    repeated: list[Problem] = []
    recordings = _table(folder / "wav.scp", repeated)
    texts = _table(folder / "text", repeated)
    if (folder / "segments").is_file():
        table = _table(folder / "segments", repeated)
        spans = {name: value.split() for name, (_, value) in table.items()}
    else:
        spans = {name: [name] for name in recordings}
    yield from repeated
    for name, (line, _) in texts.items():
        if name not in spans:
            yield Problem(line, name, "text", "a transcript without a recording", "add it, or drop the line")
    for number, (name, span) in enumerate(spans.items(), 1):
        line, source = recordings.get(span[0] if span else "", (number, ""))
        if source.endswith("|") or source.startswith("|"):
            reason = f"line {line} of wav.scp is a shell pipe, which is never run"
            yield Problem(number, name, "wav.scp", reason, "write the audio to files and name those")
        elif not source:
            yield Problem(number, name, "wav.scp", "no recording of that name", "add it to wav.scp")
        elif name not in texts:
            yield Problem(number, name, "text", "no line in the file text", "add the transcript")
        elif len(span) not in (1, 3) or not all(_seconds(value) for value in span[1:]):
            yield Problem(number, name, "segments", "not `utterance recording start end`", "correct the line")
        else:
            start, end = (float(span[1]), float(span[2])) if len(span) == 3 else (0.0, None)
            duration = None if end is None else end - start
            yield Row(number, name, folder / source, texts[name][1], language, (), start, duration)


def _seconds(value: str) -> bool:
    try:
        return math.isfinite(float(value)) and float(value) >= 0
    except ValueError:
        return False


def _table(path: Path, repeated: list[Problem]) -> dict[str, tuple[int, str]]:
    """Kaldi's `key value ...` lines as {key: (line, value)}; keys that come again are added to `repeated`."""
    if not path.is_file():
        raise DataError(f"{path} does not exist: a Kaldi folder has wav.scp and text")
    found: dict[str, tuple[int, str]] = {}
    for number, line in _lines(path):
        key, *value = line.split(maxsplit=1) or [""]
        if key in found:
            reason = f"already used in line {found[key][0]} of {path.name}"
            repeated.append(Problem(number, key, path.name, reason, "give each line its own id"))
        elif key:
            found[key] = number, value[0].strip() if value else ""
    return found
