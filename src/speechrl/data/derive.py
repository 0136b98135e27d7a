"""Sets made from a manifest in memory: long items, noise, telephone band, pauses, silence ... None of it is in git.

A set is named by its manifest and what is made of it, e.g. `data/asterisk_en/test.jsonl#long`:

| ending | what it is |
|---|---|
| `#long` | items joined with pauses of 0.3 to 1.2 s into pieces of 15 to 40 s, each item used once |
| `#noise` | every item under babble, pink noise or hum at 0 to 10 dB |
| `#babble` | every item under the babble of four others at 0 to 10 dB |
| `#telephone` | every item in a telephone's band, 300 to 3400 Hz at 8 kHz |
| `#speed` | every item at a speed of 0.8 to 1.2 other than 1 |
| `#pauses` | every item with a silent or noisy pause of 1.5 to 6 s before it, after it and inside |
| `#repeated` | every item said two to four times in a row, and so its text |
| `#silence` | 20 clips of silence, noise and hum of 2 to 10 s, with empty text |

`#long@7` is the same made with seed 7: other joints, other noise, other ids. So a few recordings give many long items.
What was drawn is kept with each item, under `made` of its supervision's `custom`; `data.written` writes it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lhotse import CutSet

from speechrl.config.load import resolve_path
from speechrl.data.distort import (
    at_speeds,
    in_babble,
    in_noise,
    over_telephone,
    repeated,
    silence,
    with_pauses,
)
from speechrl.data.join import join_long
from speechrl.data.manifests import read_manifest
from speechrl.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lhotse.cut import Cut


def read_set(
    name: str | Path,
    seed: int = 0,
    language: str = "en",
    *,
    labelled: bool = True,
    without: frozenset[str] = frozenset(),
) -> CutSet:
    """Read a manifest, or a set derived from one: `MANIFEST#long`, or another ending of `KINDS`.

    `#KIND@SEED` takes its own seed in place of `seed`, and puts it into the ids. A `package:` path names what ships
    with speechrl. Without `labelled`, items need no text. Nothing is made of the rows whose ids are in `without`.

    Raises:
        ConfigError: A `package:` path that does not ship.
        DataError: As in `read_manifest`, or an unknown ending.
    """
    if "#" not in str(name):
        return read_manifest(resolve_path(str(name)), language, labelled=labelled)
    return CutSet.from_cuts(list(derive(name, seed, language, labelled=labelled, without=without)))


def derive(
    name: str | Path,
    seed: int = 0,
    language: str = "en",
    *,
    labelled: bool = True,
    without: frozenset[str] = frozenset(),
) -> Iterator[Cut]:
    """The items of a derived set one after the other, none of which is held: see `read_set`.

    Raises:
        ConfigError, DataError: As in `read_set`, before the first item; or audio that cannot be read, at its item.
    """
    path, _, ending = str(name).partition("#")
    kind, at, own_seed = ending.partition("@")
    if at and not own_seed.isdecimal():
        raise DataError(f"{name}: the seed after @ is {own_seed!r}; give a whole number, as in #long@7")
    if kind not in KINDS:
        raise DataError(f"{name}: unknown set #{kind}; known: {', '.join(f'#{known}' for known in KINDS)}")
    cuts = read_manifest(resolve_path(path), language, labelled=labelled)
    if without:
        cuts = CutSet.from_cuts(cut for cut in cuts if cut.id not in without)
        if not len(cuts):
            return iter(())
    made = KINDS[kind](cuts, int(own_seed) if at else seed)
    return (_renamed(cut, f"{cut.id}@{own_seed}") for cut in made) if at else made


def read_sets(names: Sequence[str | Path], seed: int = 0, language: str = "en") -> CutSet:
    """Read several sets, each as `read_set` does, as one.

    Raises:
        DataError: As in `read_set`, or two sets share an id.
    """
    refuse_repeated(names)
    cuts = [(cut, name) for name in names for cut in read_set(name, seed, language)]
    owner: dict[str, str | Path] = {}
    for cut, name in cuts:
        if owner.setdefault(cut.id, name) != name:
            raise DataError(shared_id(cut.id, name, owner[cut.id]))
    return CutSet.from_cuts(cut for cut, _ in cuts)


def refuse_repeated(names: Sequence[str | Path]) -> None:
    """See that no manifest is named twice.

    Raises:
        DataError: One is.
    """
    for place, name in enumerate(names):
        if name in names[:place]:
            raise DataError(
                f"{name} is named twice; name it once, or derive another set from it (#KIND@SEED)"
            )


def shared_id(name: str, manifest: str | Path, other: str | Path) -> str:
    """What to say of an id that two sets have."""
    derived = "; a set with a seed of its own (#KIND@7) has other ids" if "#" in str(manifest) else ""
    return f"{manifest}: id {name!r} is also in {other}; make ids unique{derived}"


def _renamed(cut: Cut, name: str) -> Cut:
    cut.id = name
    return cut


def _silence(cuts: CutSet, seed: int) -> Iterator[Cut]:
    said = cuts[0].supervisions
    return silence(seed, language=said[0].language if said else "en")


KINDS: dict[str, Callable[[CutSet, int], Iterator[Cut]]] = {
    "long": join_long,
    "noise": in_noise,
    "babble": in_babble,
    "telephone": over_telephone,
    "speed": at_speeds,
    "pauses": with_pauses,
    "repeated": repeated,
    "silence": _silence,
}
"""What a set may be made into, by its ending."""
