"""The pool: every utterance of the manifests, where it comes from, under which licence, and how it is told apart."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from lhotse.cut import MixedCut

from speechrl.config.load import resolve_path
from speechrl.data.derive import read_set, refuse_repeated, shared_id
from speechrl.data.licences import (
    UNKNOWN,
    licence_beside,
    licence_files,
    licence_of_made,
    licences_of,
    own_licence,
)
from speechrl.data.prompts import without_audio
from speechrl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from lhotse.cut import Cut
    from numpy.typing import NDArray

    from speechrl.types import Task

QUIET_DB = -35.0
"""A frame so far below the loud ones is no speech."""
FLOOR_DB = -60.0
FRAME_S = 0.02


@dataclass(frozen=True, slots=True)
class Licence:
    """What an utterance may be used under: a name, and the file or field that says so."""

    name: str
    said_by: str


@dataclass(frozen=True, slots=True)
class Item:
    """An utterance of the pool.

    Attributes:
        cut: Audio and text.
        source: The manifest, as it was named.
        licence: Of the utterance.
        key: Hash of what the model is given: recording, span, and for files their size and time; to speak, also the
            text. A reference is not in it.
    """

    cut: Cut
    source: str
    licence: Licence
    key: str

    @property
    def text(self) -> str:
        """What the manifest says is spoken; the texts of several supervisions are joined."""
        return without_audio(self.cut).text

    @property
    def language(self) -> str:
        """Its ISO 639-1 code."""
        return without_audio(self.cut).language

    @property
    def keywords(self) -> tuple[str, ...]:
        """Those that the manifest names."""
        return without_audio(self.cut).keywords


def read_pool(
    manifests: Sequence[str],
    *,
    labelled: bool = True,
    task: Task = "asr",
    language: str = "en",
    without: Mapping[str, frozenset[str]] = MappingProxyType({}),
) -> list[Item]:
    """Read every manifest, or set derived from one (`train.jsonl#long@3`).

    Args:
        manifests: In order.
        labelled: Whether rows need a text.
        task: Whether the audio is what is said, or the voice to say the text with.
        language: Of rows that do not say theirs.
        without: Manifest -> ids of rows of which nothing may be made (`held_out.held_out_rows`).

    Raises:
        DataError: A manifest cannot be used or is named twice, or an id is in two of them.
    """
    refuse_repeated(manifests)
    items: list[Item] = []
    owner: dict[str, str] = {}
    # Sets that are derived from one manifest share its licences.
    licences: dict[str, dict[str, str]] = {}
    for name in manifests:
        source = name.partition("#")[0]
        fallback = _licence_beside(resolve_path(source))
        if "#" in name and source not in licences:
            licences[source] = licences_of(
                read_set(source, language=language, labelled=labelled), fallback.name
            )
        refused = without.get(source, frozenset())
        for cut in read_set(name, language=language, labelled=labelled, without=refused):
            if owner.setdefault(cut.id, name) != name:
                raise DataError(shared_id(cut.id, name, owner[cut.id]))
            items.append(
                Item(cut, name, _licence_of(cut, name, licences.get(source, {})) or fallback, _key(cut, task))
            )
    return items


def audio_digest(audio_S: NDArray[np.float32]) -> str:
    """Hash of the sound in 16 bits, without the zeros at either end; equal for copies in other lossless files.

    Of digital silence, the length counts.
    """
    pcm_S = np.clip(np.round(audio_S * 32768.0), -32768, 32767).astype("<i2")
    (sounding,) = np.nonzero(pcm_S)
    kept_S = pcm_S[sounding[0] : sounding[-1] + 1] if len(sounding) else pcm_S
    return hashlib.sha256(kept_S.tobytes()).hexdigest()[:24]


def longest_pause_s(audio_S: NDArray[np.float32], sample_rate_hz: int) -> float:
    """Seconds of the longest quiet stretch between two loud ones; 0 where there is none.

    A frame of 20 ms is loud when its level is at most 35 dB below the 95th percentile of all frames, and above -60 dB
    of full scale. By level alone: loud noise hides a pause.
    """
    size = round(FRAME_S * sample_rate_hz)
    frames = len(audio_S) // size
    if frames == 0:
        return 0.0
    power_T = np.square(audio_S[: frames * size].reshape(frames, size), dtype=np.float64).mean(axis=1)
    level_T = 10 * np.log10(np.maximum(power_T, 1e-12))
    (loud,) = np.nonzero(level_T > max(float(np.percentile(level_T, 95)) + QUIET_DB, FLOOR_DB))
    return float(np.diff(loud).max() - 1) * FRAME_S if len(loud) > 1 else 0.0


def _key(cut: Cut, task: Task) -> str:
    """See `Item`."""
    said = [without_audio(cut).text] if task == "tts" else []
    description = cut.to_dict()
    for part in (description, *(track["cut"] for track in description.get("tracks") or ())):
        part.pop("supervisions", None)
        part.pop("custom", None)
    stats = [(path.stat().st_size, path.stat().st_mtime_ns) for path in _files(cut)]
    text = json.dumps([description, stats, *said], sort_keys=True, default=_hash)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _hash(value: object) -> str:
    """Audio in memory, and whatever else JSON has no form for."""
    return hashlib.sha256(value if isinstance(value, bytes) else repr(value).encode()).hexdigest()


def _files(cut: Cut) -> Iterator[Path]:
    parts: list[Any] = [track.cut for track in cut.tracks] if isinstance(cut, MixedCut) else [cut]
    for part in parts:
        for source in part.recording.sources if getattr(part, "recording", None) is not None else ():
            if source.type == "file":
                yield Path(str(source.source))


def _licence_of(cut: Cut, source: str, licences: Mapping[str, str]) -> Licence | None:
    """What an item says itself, or of a derived one what those say that it was made of."""
    name = own_licence(cut)
    if name is None and licences:
        made = next((said.custom.get("made") for said in cut.supervisions if said.custom), None)
        name = licence_of_made(made, licences) if made else None
    return Licence(name, f"a field of {source}") if name else None


def _licence_beside(manifest: Path) -> Licence:
    name = licence_beside(manifest)
    if name is None:
        return Licence(UNKNOWN, f"no LICENSE beside {manifest.name}")
    return Licence(name, str(licence_files(manifest)[0]))
