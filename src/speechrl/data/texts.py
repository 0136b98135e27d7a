"""Choose texts from a pool by how hard they are to speak (`text.hard`), as data for a synthesiser."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from speechrl.config.load import resolve_path
from speechrl.data.rows import Problem, read_rows
from speechrl.errors import DataError
from speechrl.text.hard import RULES, hardness
from speechrl.text.normalise import normalise
from speechrl.text.overlap import HeldOutTexts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

MAX_WORDS = 60
ORDINARY = "ordinary"
"""The kind of texts that no rule finds hard."""


@dataclass(frozen=True, slots=True)
class HardText:
    """A chosen text.

    Example: `HardText("Call 555 0199.", "digits", {"digits": 7.0})`.

    Attributes:
        text: As in the pool.
        kind: What it was chosen for.
        scores: All kinds that it is of.
    """

    text: str
    kind: str
    scores: Mapping[str, float]


def choose_texts(
    pool: Iterable[str],
    kinds: Sequence[str],
    each: int,
    seed: int = 1,
    language: str = "en",
    without: Iterable[str] = (),
) -> list[HardText]:
    """The hardest texts of each kind, and ordinary ones if they are asked for.

    Texts are compared in their normal form, so punctuation and case make no second copy. A text of several kinds is
    chosen for the one of which the pool has fewest. Equal scores are drawn by the seed, so long and short ones mix.

    Args:
        pool: Texts; those above `MAX_WORDS` words are left out.
        kinds: Of `text.hard.RULES`, or `ORDINARY`: what is of none of them, all alike.
        each: Most texts of one kind.
        seed: Of the draws.
        language: ISO 639-1 code.
        without: Texts that may not be chosen, such as those of test sets, nor what says the same
            (`text.overlap.HeldOutTexts`).

    Raises:
        DataError: An unknown kind.
    """
    unknown = [kind for kind in kinds if kind not in RULES and kind != ORDINARY]
    if unknown or not kinds:
        asked = f"unknown kind {unknown[0]!r}" if unknown else "no kind is asked for"
        raise DataError(f"{asked}; known: {', '.join([*RULES, ORDINARY])}")
    held_out = HeldOutTexts((text, language) for text in without)
    taken: set[str] = set()
    found: list[tuple[str, Mapping[str, float]]] = []
    for text in pool:
        normal = normalise(text, language)
        if normal and normal not in taken and len(text.split()) <= MAX_WORDS:
            taken.add(normal)
            scores = hardness(text, language) or {ORDINARY: 0.0}
            if any(kind in scores for kind in kinds) and not held_out.find(text, language):
                found.append((text, scores))
    random.Random(seed).shuffle(found)
    sizes = Counter(kind for _, scores in found for kind in scores if kind in kinds)
    chosen: dict[str, HardText] = {}
    for kind in sorted(kinds, key=lambda name: sizes[name]):
        free = [(text, scores) for text, scores in found if kind in scores and text not in chosen]
        free.sort(key=lambda item: -item[1][kind])
        chosen |= {text: HardText(text, kind, scores) for text, scores in free[:each]}
    return sorted(chosen.values(), key=lambda item: list(kinds).index(item.kind))


def read_pool(path: str) -> list[str]:
    """Texts of a pool: the field `text` of a JSONL file (`.jsonl`, `.json`), or the lines of any other file.

    Raises:
        DataError: It cannot be read, or a row has no text.
    """
    file = resolve_path(path)
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{file}: cannot be read as UTF-8 text ({error}); give a file of one text a line"
        ) from error
    if file.suffix not in (".jsonl", ".json"):
        return [line for line in lines if line]
    texts = []
    for number, line in enumerate(lines, start=1):
        if line:
            texts.append(_text_of(line, f"{file}, row {number}"))
    return texts


def write_texts(out: Path, chosen: Sequence[HardText], language: str = "en", voices: str = "") -> None:
    """Write chosen texts as JSONL; with voices it is a manifest that a synthesiser which speaks them all trains on.

    Nothing is spelt out: what a synthesiser cannot speak, `fit.fit_texts` takes out of the pool.

    A row has `id`, `text`, `language`, `hard` (`kind`, `scores`) and, with voices, `audio`.

    Args:
        out: File to write.
        chosen: What `choose_texts` gave.
        language: Of all rows.
        voices: Manifest whose audio takes turns as reference voice, such as `package:data/tts_en/voices.jsonl`.

    Raises:
        DataError: A voice is not a whole file, or its manifest cannot be read.
    """
    speakers = _voices(voices) if voices else []
    rows = []
    for index, item in enumerate(chosen):
        row: dict[str, Any] = {
            # By the text: what one call chooses may meet what another did, in one pool or as a test set.
            "id": f"{item.kind}-{hashlib.sha256(item.text.encode()).hexdigest()[:10]}",
            "text": item.text,
            "language": language,
            "hard": {"kind": item.kind, "scores": dict(item.scores)},
        }
        if speakers:
            row["audio"] = speakers[index % len(speakers)]
        rows.append(json.dumps(row, ensure_ascii=False) + "\n")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text("".join(rows), encoding="utf-8")


def _voices(manifest: str) -> list[str]:
    files = []
    for row in read_rows(resolve_path(manifest)):
        if isinstance(row, Problem):
            raise DataError(f"{manifest}: {row}")
        if row.audio is None or row.start_s or row.duration_s is not None:
            raise DataError(f"{manifest}: {row.id} is not a whole file of its own: a voice is one file a row")
        files.append(str(row.audio))
    return list(dict.fromkeys(files))


def _text_of(line: str, where: str) -> str:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise DataError(f"{where}: not JSON ({error}); write one JSON object a line") from error
    text = value.get("text") if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise DataError(f"{where}: field `text` is missing or not text; give the sentence to be spoken")
    return text
