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

import numpy as np
from lhotse import CutSet

from speechrl.config.load import resolve_path
from speechrl.data.augment import add_noise, babble_of, change_gain, make_noise, telephone_band
from speechrl.data.distort import (
    SNR_RANGE_DB,
    at_speeds,
    in_babble,
    other_voices,
    repeated,
    with_pauses,
)
from speechrl.data.manifests import read_manifest
from speechrl.data.memory import SAMPLE_RATE_HZ, audio_of, cut_in_memory
from speechrl.data.prompts import to_prompt
from speechrl.errors import DataError
from speechrl.types import Prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lhotse.cut import Cut

LONG_RANGE_S = (15.0, 40.0)
LONG_TARGET_S = 30.0
"""A piece takes items until it is as long as a number drawn between the lower limit and this."""
PAUSE_RANGE_S = (0.3, 1.2)
SILENT_CLIPS = 20
SILENT_RANGE_S = (2.0, 10.0)


def read_set(name: str | Path, seed: int = 0, language: str = "en", *, labelled: bool = True) -> CutSet:
    """Read a manifest, or a set derived from one: `MANIFEST#long`, or another ending of `KINDS`.

    `#KIND@SEED` takes its own seed in place of `seed`, and puts it into the ids. A `package:` path names what ships
    with speechrl. Without `labelled`, items need no text.

    Raises:
        ConfigError: A `package:` path that does not ship.
        DataError: As in `read_manifest`, or an unknown ending.
    """
    path, _, ending = str(name).partition("#")
    kind, at, own_seed = ending.partition("@")
    if at:
        if not own_seed.isdecimal():
            raise DataError(f"{name}: the seed after @ is {own_seed!r}; give a whole number, as in #long@7")
        made = read_set(f"{path}#{kind}", int(own_seed), language, labelled=labelled)
        return CutSet.from_cuts([_renamed(cut, f"{cut.id}@{own_seed}") for cut in made])
    cuts = read_manifest(resolve_path(path), language, labelled=labelled)
    if not kind:
        return cuts
    if kind not in KINDS:
        raise DataError(f"{name}: unknown set #{kind}; known: {', '.join(f'#{known}' for known in KINDS)}")
    return KINDS[kind](cuts, seed)


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


def join_long(cuts: CutSet, seed: int = 0) -> CutSet:
    """Join items with digital silence between them into pieces of 15 to 40 s; text and keywords are joined as well.

    Every item is used once, in a seeded order; ones too long to fit are left out, and the last piece is filled up with
    items used before.

    Raises:
        DataError: All items together are shorter than one piece.
    """
    rng = np.random.default_rng(seed)
    low_s, high_s = LONG_RANGE_S
    prompts = [
        prompt for prompt in (to_prompt(cut, SAMPLE_RATE_HZ) for cut in cuts) if prompt.duration_s <= high_s
    ]
    if sum(prompt.duration_s for prompt in prompts) < low_s:
        raise DataError(f"{len(prompts)} items are shorter than {low_s} s together: a long set needs more")
    queue = [prompts[i] for i in rng.permutation(len(prompts))]
    out: list[Cut] = []
    while queue:
        target_s = rng.uniform(low_s, LONG_TARGET_S)
        piece = [queue.pop(0)]
        pauses_s: list[float] = []
        while (length_s := sum(p.duration_s for p in piece) + sum(pauses_s)) < target_s:
            pause_s = float(rng.uniform(*PAUSE_RANGE_S))
            pool = queue or ([p for p in prompts if p not in piece] if length_s < low_s else [])
            fit = next((p for p in pool if length_s + pause_s + p.duration_s <= high_s), None)
            if fit is None:
                break
            piece.append(fit)
            pauses_s.append(pause_s)
            if queue:
                queue.remove(fit)
        out.append(_join(f"long-{len(out):03d}", piece, pauses_s))
    return CutSet.from_cuts(out)


def in_noise(cuts: CutSet, seed: int = 0) -> CutSet:
    """Put every item under babble of other items, pink noise or hum, at a ratio drawn from 0 to 10 dB."""
    rng = np.random.default_rng(seed)
    prompts = [to_prompt(cut, SAMPLE_RATE_HZ) for cut in cuts]
    out = []
    for prompt in prompts:
        audio_S = audio_of(prompt)
        kind = str(rng.choice(["babble", "pink", "hum"]))
        if kind == "babble":
            others = other_voices(prompt, prompts, rng)
            noise_S = babble_of([audio_of(other) for other in others], len(audio_S))
        else:
            noise_S = make_noise(kind, len(audio_S), SAMPLE_RATE_HZ, rng)
        snr_db = float(rng.uniform(*SNR_RANGE_DB))
        made = {"kind": "noise", "of": [prompt.id], "noise": kind, "snr_db": snr_db}
        mixed_S = add_noise(audio_S, noise_S, snr_db)
        out.append(cut_in_memory(f"{prompt.id}-{kind}", mixed_S, prompt, made))
    return CutSet.from_cuts(out)


def over_telephone(cuts: CutSet) -> CutSet:
    """Narrow every item to a telephone's band."""
    out = []
    for cut in cuts:
        prompt = to_prompt(cut, SAMPLE_RATE_HZ)
        narrow_S = telephone_band(audio_of(prompt), SAMPLE_RATE_HZ)
        made = {"kind": "telephone", "of": [prompt.id]}
        out.append(cut_in_memory(f"{prompt.id}-telephone", narrow_S, prompt, made))
    return CutSet.from_cuts(out)


def silence(seed: int = 0, language: str = "en") -> CutSet:
    """Make 20 clips in which nobody speaks: digital silence, and white noise, pink noise and hum of -50 to -20 dB."""
    rng = np.random.default_rng(seed)
    out = []
    for index in range(SILENT_CLIPS):
        kind = ("zero", "white", "pink", "hum")[index % 4]
        samples = round(float(rng.uniform(*SILENT_RANGE_S)) * SAMPLE_RATE_HZ)
        audio_S = np.zeros(samples, np.float32)
        made: dict[str, object] = {"kind": "silence", "of": [], "noise": kind}
        if kind != "zero":
            noise_S = make_noise(kind, samples, SAMPLE_RATE_HZ, rng)
            gain_db = float(rng.uniform(-30.0, 0.0))
            audio_S = change_gain(noise_S, gain_db)
            made["gain_db"] = gain_db
        name = f"silence-{index:02d}-{kind}"
        out.append(cut_in_memory(name, audio_S, Prompt(name, "asr", "", language), made))
    return CutSet.from_cuts(out)


def _join(name: str, prompts: Sequence[Prompt], pauses_s: Sequence[float]) -> Cut:
    parts = [audio_of(prompts[0])]
    for prompt, pause_s in zip(prompts[1:], pauses_s, strict=True):
        parts += [np.zeros(round(pause_s * SAMPLE_RATE_HZ), np.float32), audio_of(prompt)]
    keywords = dict.fromkeys(word for prompt in prompts for word in prompt.keywords)
    text = " ".join(prompt.text for prompt in prompts if prompt.text)
    said = Prompt(name, "asr", text, prompts[0].language, tuple(keywords))
    made = {"kind": "long", "of": [prompt.id for prompt in prompts], "pauses_s": list(pauses_s)}
    return cut_in_memory(name, np.concatenate(parts), said, made)


def _renamed(cut: Cut, name: str) -> Cut:
    cut.id = name
    return cut


def _silence(cuts: CutSet, seed: int) -> CutSet:
    said = cuts[0].supervisions
    return silence(seed, language=said[0].language if said else "en")


KINDS: dict[str, Callable[[CutSet, int], CutSet]] = {
    "long": join_long,
    "noise": in_noise,
    "babble": in_babble,
    "telephone": lambda cuts, _seed: over_telephone(cuts),
    "speed": at_speeds,
    "pauses": with_pauses,
    "repeated": repeated,
    "silence": _silence,
}
"""What a set may be made into, by its ending."""
