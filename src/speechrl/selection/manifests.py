"""Chosen utterances as manifests that a run can train on: lhotse CutSets that carry what was found out."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import soundfile as sf
from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.cut import MixedCut
from lhotse.utils import fastcopy

from speechrl.data.curriculum import DIFFICULTY
from speechrl.data.prompts import load_audio
from speechrl.report.writers import write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from lhotse.cut import Cut

    from speechrl.selection.pool import Item
    from speechrl.selection.utterances import Utterance

SAMPLE_RATE_HZ = 16_000


def write_subset(path: Path, chosen: Sequence[Utterance], items: Mapping[str, Item], sounds: Path) -> None:
    """Write a subset as a CutSet.

    The first supervision of each cut holds keywords, difficulty, band and verdict, and the licence; where the reference
    is not the manifest's text it is the only one, with the reference. Sound that is in no file (of derived sets) goes
    to `sounds` as FLAC at 16 kHz.

    Args:
        path: `.jsonl`; replaced as a whole.
        chosen: In order.
        items: Key -> where the cut is.
        sounds: Folder.
    """
    lines = []
    for one in chosen:
        item = items[one.key]
        cut = _annotated(_on_disk(item, sounds), one, item)
        lines.append(json.dumps(cut.to_dict(), ensure_ascii=False) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "".join(lines))


def read_subset(path: Path) -> CutSet:
    """A subset as it was written."""
    cuts: CutSet = CutSet.from_file(path)
    return cuts


def _annotated(cut: Cut, one: Utterance, item: Item) -> Cut:
    custom: dict[str, Any] = {
        "keywords": list(one.keywords),
        DIFFICULTY: one.difficulty,
        "band": one.band,
        "verdict": one.verdict,
        "licence": item.licence.name,
    }
    given = sorted(cut.supervisions, key=lambda said: float(said.start))
    if given and one.label is not None:
        first = fastcopy(given[0], custom={**(given[0].custom or {}), **custom})
        # All keywords are on the first: what is said later keeps none of its own.
        rest = [fastcopy(said, custom={**(said.custom or {}), "keywords": []}) for said in given[1:]]
        return _with_supervisions(cut, [first, *rest])
    said = SupervisionSegment(
        cut.id, cut.id, 0.0, cut.duration, 0, one.reference or "", one.language, custom=custom
    )
    return _with_supervisions(cut, [said])


def _with_supervisions(cut: Cut, supervisions: list[SupervisionSegment]) -> Cut:
    """A mixed cut holds its supervisions in its tracks: there the first track takes them all."""
    if not isinstance(cut, MixedCut):
        return fastcopy(cut, supervisions=supervisions)
    tracks = [
        fastcopy(track, cut=_bare(track.cut, supervisions if number == 0 else []))
        for number, track in enumerate(cut.tracks)
    ]
    return fastcopy(cut, tracks=tracks)


def _bare(cut: Any, supervisions: list[SupervisionSegment]) -> Any:
    return fastcopy(cut, supervisions=supervisions) if hasattr(cut, "recording") else cut


def _on_disk(item: Item, sounds: Path) -> Cut:
    """The cut itself, or one over a file with its sound, whose name tells what is in it: a pool may change."""
    cut = item.cut
    parts = [track.cut for track in cut.tracks] if isinstance(cut, MixedCut) else [cut]
    recordings = [part.recording for part in parts if getattr(part, "recording", None) is not None]
    if all(source.type == "file" for recording in recordings for source in recording.sources):
        return cut
    readable = re.sub(r"[^\w.+@-]+", "_", cut.id)
    path = (sounds / f"{readable}-{item.key[:12]}.flac").resolve()
    if not path.is_file():
        sounds.mkdir(parents=True, exist_ok=True)
        writing = path.with_name(f".{path.name}")
        sf.write(writing, load_audio(cut, SAMPLE_RATE_HZ), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
        writing.replace(path)
    recording = Recording.from_file(path, recording_id=cut.id)
    return MonoCut(
        cut.id, 0.0, recording.duration, 0, recording=recording, supervisions=list(cut.supervisions)
    )
