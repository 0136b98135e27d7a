"""Write derived sets to disk: audio to listen to, and a manifest that trains and says how each item was made."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile as sf

from speechrl.config.load import resolve_path
from speechrl.data.derive import KINDS, derive, read_set, shared_id
from speechrl.data.licences import (
    UNKNOWN,
    licence_beside,
    licence_files,
    licence_of_made,
    licences_of,
    notice_files,
)
from speechrl.data.memory import SAMPLE_RATE_HZ, audio_of
from speechrl.data.prompts import to_prompt
from speechrl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lhotse.cut import Cut

MANIFEST = "manifest.jsonl"
RECIPE = "recipe.json"


def write_derived(
    manifest: str, kinds: Sequence[str], seed: int, out: Path, language: str = "en"
) -> dict[str, Any]:
    """Make sets of a manifest (`derive.KINDS`) and write them as one.

    `out/manifest.jsonl` is plain JSONL, `out/audio/` its 16-bit FLAC files at 16 kHz, `out/recipe.json` what this
    returns. A row has `made` beside the usual keys: the kind, the ids that it is made `of`, and what was drawn; and
    `licence` where what it is made of says its own. LICENSE and NOTICE files beside the manifest are copied. The same
    arguments give the same files.

    Args:
        manifest: Any manifest, or a `package:` path.
        kinds: Names of `derive.KINDS`.
        seed: Of all that is drawn; it is put into the ids.
        out: Folder to write, absent or empty.
        language: Of rows that do not say theirs.

    Returns:
        `{"source", "kinds", "seed", "rows", "seconds", "by_kind": {KIND: {"rows", "seconds"}}}`.

    Raises:
        DataError: An unknown kind or none, a folder that is not empty, or as in `derive.read_set`.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        asked = f"unknown kind {unknown[0]!r}" if unknown else "no kind is asked for"
        raise DataError(f"{asked}; known: {', '.join(KINDS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} is there and not empty: give a new folder to write to")
    kinds = list(dict.fromkeys(kinds))
    source = resolve_path(manifest)
    by_kind: dict[str, dict[str, Any]] = {kind: {"rows": 0, "seconds": 0.0} for kind in kinds}
    recipe: dict[str, Any] = {
        "source": str(manifest),
        "kinds": kinds,
        "seed": seed,
        "rows": 0,
        "seconds": 0.0,
        "by_kind": by_kind,
    }
    there = out.exists()
    out.mkdir(parents=True, exist_ok=True)
    moved: list[Path] = []
    try:
        # Whole or not at all: one recording that cannot be read must not leave half a set behind. Inside of `out`,
        # which may be a link or a file system of its own.
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=out) as unfinished:
            folder = Path(unfinished)
            _write_set(manifest, source, language, recipe, folder)
            for part in sorted(folder.iterdir(), key=lambda path: path.name == MANIFEST):
                part.rename(out / part.name)
                moved.append(out / part.name)
    except BaseException:
        for path in moved:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not there:
            with suppress(OSError):  # somebody else's things are in it
                out.rmdir()
        raise
    return recipe


def _write_set(manifest: str, source: Path, language: str, recipe: dict[str, Any], folder: Path) -> None:
    """Everything of `write_derived` into an empty folder; counts into the recipe."""
    # Where no item says its own, the copied files say all.
    licences = licences_of(read_set(manifest, language=language), licence_beside(source) or UNKNOWN)
    seed = recipe["seed"]
    owner: dict[str, str] = {}
    (folder / "audio").mkdir()
    for path in (*licence_files(source), *notice_files(source)):
        shutil.copyfile(path, folder / path.name)
    with (folder / MANIFEST).open("w", encoding="utf-8") as lines:
        # Item by item: a corpus need not fit into memory.
        for kind, counts_of_kind in recipe["by_kind"].items():
            name = f"{manifest}#{kind}@{seed}"
            for cut in derive(name, language=language):
                if owner.setdefault(cut.id, name) != name:
                    raise DataError(shared_id(cut.id, name, owner[cut.id]))
                row, seconds = _write_item(cut, recipe["rows"], folder)
                row["made"]["seed"] = seed
                if licence := licence_of_made(row["made"], licences):
                    row["licence"] = licence
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
                for counts in (counts_of_kind, recipe):
                    counts["rows"] += 1
                    counts["seconds"] = round(counts["seconds"] + seconds, 3)
    (folder / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n", encoding="utf-8")


def _write_item(cut: Cut, number: int, folder: Path) -> tuple[dict[str, Any], float]:
    """The row of a derived item whose audio is written, and its seconds."""
    prompt = to_prompt(cut, SAMPLE_RATE_HZ)
    # Ids may hold what a file name may not, so the number makes it unique.
    file = f"audio/{number:05d}-{re.sub(r'[^A-Za-z0-9.-]+', '_', cut.id)[:80]}.flac"
    samples_S = np.round(audio_of(prompt) * 32768).clip(-32768, 32767).astype(np.int16)
    sf.write(folder / file, samples_S, SAMPLE_RATE_HZ, subtype="PCM_16")
    row = {
        "id": cut.id,
        "audio": file,
        "text": prompt.text,
        "language": prompt.language,
        "keywords": list(prompt.keywords),
        "made": dict(cut.supervisions[0].custom["made"]),
    }
    return row, prompt.duration_s
