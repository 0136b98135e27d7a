"""Which utterances: what is never taken, subsets by rules, and a mix by shares. Pure functions of what is known."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from typing import TYPE_CHECKING

from speechrl.config.selection import Range
from speechrl.text.normalise import normalise, primary_language

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from speechrl.config.selection import Line, MixConfig, SelectionConfig, SubsetConfig
    from speechrl.selection.utterances import Utterance

MIXED = "mixed"


def holds(line: Line, one: Utterance) -> bool:
    """Whether an utterance meets everything that a line says; what is not known meets nothing."""
    for name in type(line).model_fields:
        wanted = getattr(line, name)
        value = getattr(one, name)
        if wanted is None:
            continue
        if isinstance(wanted, Range):
            if not wanted.holds(value):
                return False
        elif isinstance(wanted, list):
            several = value if isinstance(value, tuple) else (value,)
            if name == "language":
                several, wanted = [tuple(map(primary_language, tags)) for tags in (several, wanted)]
            if not any(each in wanted for each in several):
                return False
        elif value is not wanted:
            return False
    return True


def find_dropped(
    utterances: Sequence[Utterance], config: SelectionConfig, held_out: Callable[[Utterance], str | None]
) -> dict[str, str]:
    """Key -> why no subset takes an utterance.

    In this order: held out (`held_out` gives the reason), no reference, the reasons of `exclude`, and last copies of
    what is kept: by sound, then by text beyond `max_per_text`. Silence has no text to be a copy of.
    """
    dropped: dict[str, str] = {}
    sounds: set[str] = set()
    texts: Counter[tuple[str, str]] = Counter()
    for one in utterances:
        reason = held_out(one)
        if reason is None and one.reference is None:
            reason = "no_reference"
        if reason is None:
            reason = next((name for name, line in config.exclude.items() if holds(line, one)), None)
        if reason is None and one.audio and one.audio in sounds:
            reason = "same_audio"
        text = (normalise(one.reference or "", one.language), primary_language(one.language))
        if reason is None and config.max_per_text and text[0] and texts[text] >= config.max_per_text:
            reason = "same_text"
        if reason is not None:
            dropped[one.key] = reason
            continue
        sounds.add(one.audio)
        texts[text] += 1
    return dropped


def choose(kept: Sequence[Utterance], config: SelectionConfig) -> dict[str, list[Utterance]]:
    """The subsets by name, and `mixed` if it is wished for; the same seed chooses the same.

    Controls, which take their size from another, come last.
    """
    chosen = {
        name: take(kept, subset, config.seed, subset.size, name)
        for name, subset in config.subsets.items()
        if subset.same_size_as is None
    }
    for name, subset in config.subsets.items():
        if subset.same_size_as is not None and subset.same_size_as != MIXED:
            chosen[name] = take(kept, subset, config.seed, len(chosen[subset.same_size_as]), name)
    if config.mix is not None:
        chosen[MIXED] = mix(chosen, config.mix, config.seed)
    for name, subset in config.subsets.items():
        if subset.same_size_as == MIXED:
            chosen[name] = take(kept, subset, config.seed, len(chosen[MIXED]), name)
    names = [*config.subsets, *([MIXED] if config.mix else [])]
    return {name: chosen[name] for name in names}


def take(
    kept: Sequence[Utterance], subset: SubsetConfig, seed: int, size: int | None, name: str
) -> list[Utterance]:
    """The utterances of one rule, `size` at most: the first by its order; ties, and a random order, by a seeded hash.

    Those whose measure is not known come last.
    """
    fitting = [one for one in kept if not subset.any or any(holds(line, one) for line in subset.any)]
    return _ordered(fitting, subset, seed, name)[:size]


def mix(chosen: Mapping[str, Sequence[Utterance]], config: MixConfig, seed: int) -> list[Utterance]:
    """Put subsets together by their shares, no utterance twice.

    A subset gives its first ones that no other subset has given; the smallest subsets give first. With `size` None the
    mix is as large as all shares can be met; with a size that is too large, subsets give what they have.
    """
    if config.size is not None:
        return _shuffled(_fill(chosen, config.shares, config.size)[0], seed)
    low, high = 0, sum(len(chosen[name]) for name in config.shares)
    while low < high:
        middle = (low + high + 1) // 2
        if _fill(chosen, config.shares, middle)[1]:
            low = middle
        else:
            high = middle - 1
    # A size may fail by rounding where the next one, which rounds another way, does not.
    near = range(low, low + 2 * len(config.shares) + 1)
    best = max(size for size in near if _fill(chosen, config.shares, size)[1] or size == low)
    return _shuffled(_fill(chosen, config.shares, best)[0], seed)


def quotas(shares: Mapping[str, float], size: int) -> dict[str, int]:
    """Whole numbers that add up to `size`, each within 1 of its share (largest remainders)."""
    exact = {name: share * size for name, share in shares.items()}
    found = {name: math.floor(value + 1e-9) for name, value in exact.items()}
    left = sorted(exact, key=lambda name: found[name] - exact[name])
    for name in left[: size - sum(found.values())]:
        found[name] += 1
    return found


def _fill(
    chosen: Mapping[str, Sequence[Utterance]], shares: Mapping[str, float], size: int
) -> tuple[list[Utterance], bool]:
    """The mix of that size, and whether every share could be met."""
    wanted = quotas(shares, size)
    used: dict[str, Utterance] = {}
    met = True
    for name in sorted(shares, key=lambda name: len(chosen[name])):
        free = [one for one in chosen[name] if one.key not in used][: wanted[name]]
        met &= len(free) == wanted[name]
        used |= {one.key: one for one in free}
    return list(used.values()), met


def _ordered(utterances: Iterable[Utterance], subset: SubsetConfig, seed: int, name: str) -> list[Utterance]:
    shuffled = sorted(utterances, key=lambda one: _lot(seed, name, one))
    if subset.order == "random":
        return shuffled
    known = [one for one in shuffled if getattr(one, subset.order) is not None]
    known.sort(key=lambda one: float(getattr(one, subset.order)), reverse=subset.descending)
    return [*known, *(one for one in shuffled if getattr(one, subset.order) is None)]


def _shuffled(utterances: Iterable[Utterance], seed: int) -> list[Utterance]:
    return sorted(utterances, key=lambda one: _lot(seed, MIXED, one))


def _lot(seed: int, name: str, one: Utterance) -> str:
    """A random place that depends on seed, subset and utterance alone, so that a larger pool changes little."""
    return hashlib.sha256(f"{seed}\n{name}\n{one.id}".encode()).hexdigest()
