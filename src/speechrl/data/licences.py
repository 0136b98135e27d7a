"""What data may be used under: a field of an utterance, or files beside its manifest."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from lhotse.cut import Cut

UNKNOWN = "unknown"
_FIELDS = ("licence", "license")
_LINE = re.compile(r"^\s*Licen[cs]e:\s*(\S.*)$", re.MULTILINE | re.IGNORECASE)


def own_licence(cut: Cut) -> str | None:
    """The field `licence` of a cut, or of what is said in it."""
    holders = [getattr(cut, "custom", None), *(said.custom for said in cut.supervisions)]
    named = (holder.get(field) for holder in holders if holder for field in _FIELDS)
    return next((str(value) for value in named if value), None)


def licences_of(cuts: Iterable[Cut], others: str) -> dict[str, str]:
    """Id -> licence of the items of a manifest; empty where none says its own, and one holds for all.

    Args:
        cuts: The items.
        others: Licence of those that say none.
    """
    own = {cut.id: own_licence(cut) for cut in cuts}
    return {name: licence or others for name, licence in own.items()} if any(own.values()) else {}


def licence_of_made(made: Mapping[str, Any], licences: Mapping[str, str]) -> str:
    """All licences of what can be heard in a derived item; empty where it is silence, or `licences` is.

    Args:
        made: How it was made (`memory.cut_in_memory`).
        licences: Id -> licence of what it may be made of.
    """
    heard = [*made["of"], *made.get("voices", ())]
    if made.get("noise") == "babble" and "voices" not in made:  # written before they were named
        heard = list(licences)
    return ", ".join(sorted({licences[name] for name in heard if name in licences}))


def licence_files(manifest: Path) -> list[Path]:
    """The LICENSE files beside a manifest, or in the folder that it is."""
    return _beside(manifest, "LICEN[CS]E*")


def notice_files(manifest: Path) -> list[Path]:
    """The NOTICE files there: whom to name."""
    return _beside(manifest, "NOTICE*")


def licence_beside(manifest: Path) -> str | None:
    """What the first LICENSE file says: the first name after `License:`, or its first line."""
    files = licence_files(manifest)
    if not files:
        return None
    text = files[0].read_text(encoding="utf-8", errors="replace")
    named: list[str] = list(dict.fromkeys(name.strip() for name in _LINE.findall(text)))
    if named:
        return named[0] + " (the file names others too)" * (len(named) > 1)
    return next((line.strip() for line in text.splitlines() if line.strip()), UNKNOWN)[:80]


def _beside(manifest: Path, pattern: str) -> list[Path]:
    folder = manifest if manifest.is_dir() else manifest.parent
    return sorted(path for path in folder.glob(pattern) if path.is_file())
