"""Sets made from a manifest in memory: long items, noise, telephone band, silence. No audio of theirs is in git.

A set is named by its manifest and what is made of it, e.g. `data/asterisk_en/test.jsonl#long`:

| ending | what it is |
|---|---|
| `#long` | items joined with pauses of 0.3 to 1.2 s into pieces of 15 to 40 s, each item used once |
| `#noise` | every item under babble, pink noise or hum at 0 to 10 dB |
| `#telephone` | every item in a telephone's band, 300 to 3400 Hz at 8 kHz |
| `#silence` | 20 clips of silence, noise and hum of 2 to 10 s, with empty text |

`#long@7` is the same made with seed 7: other joints, other noise, other ids. So a few recordings give many long items.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, cast

import numpy as np
import soundfile as sf
from lhotse import CutSet, Recording, SupervisionSegment

from speechrl.config.load import resolve_path
from speechrl.data.augment import add_noise, change_gain, make_noise, telephone_band
from speechrl.data.manifests import read_manifest
from speechrl.data.prompts import to_prompt
from speechrl.errors import DataError
from speechrl.types import Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lhotse.cut import Cut
    from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
LONG_RANGE_S = (15.0, 40.0)
LONG_TARGET_S = 30.0
"""A piece takes items until it is as long as a number drawn between the lower limit and this."""
PAUSE_RANGE_S = (0.3, 1.2)
SNR_RANGE_DB = (0.0, 10.0)
BABBLE_VOICES = 4
SILENT_CLIPS = 20
SILENT_RANGE_S = (2.0, 10.0)


def read_set(name: str | Path, seed: int = 0, language: str = "en", *, labelled: bool = True) -> CutSet:
    """Read a manifest, or a set derived from one: `MANIFEST#long`, `#noise`, `#telephone`, `#silence`.

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
    match kind:
        case "":
            return cuts
        case "long":
            return join_long(cuts, seed)
        case "noise":
            return in_noise(cuts, seed)
        case "telephone":
            return over_telephone(cuts)
        case "silence":
            return silence(
                seed, language=cuts[0].supervisions[0].language if cuts[0].supervisions else language
            )
    raise DataError(f"{name}: unknown set #{kind}; known: #long, #noise, #telephone, #silence")


def read_sets(names: Sequence[str | Path], seed: int = 0, language: str = "en") -> CutSet:
    """Read several sets, each as `read_set` does, as one.

    Raises:
        DataError: As in `read_set`, or two sets share an id.
    """
    cuts = [(cut, name) for name in names for cut in read_set(name, seed, language)]
    owner: dict[str, str | Path] = {}
    for cut, name in cuts:
        if owner.setdefault(cut.id, name) != name:
            raise DataError(f"{name}: id {cut.id!r} is also in {owner[cut.id]}; make ids unique")
    return CutSet.from_cuts(cut for cut, _ in cuts)


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
        audio_S = _audio(prompt)
        kind = str(rng.choice(["babble", "pink", "hum"]))
        if kind == "babble":
            others = [prompts[i] for i in rng.permutation(len(prompts))[: BABBLE_VOICES + 1]]
            noise_S = _babble([_audio(p) for p in others if p is not prompt][:BABBLE_VOICES], len(audio_S))
        else:
            noise_S = make_noise(kind, len(audio_S), SAMPLE_RATE_HZ, rng)
        mixed_S = add_noise(audio_S, noise_S, float(rng.uniform(*SNR_RANGE_DB)))
        out.append(_to_cut(f"{prompt.id}-{kind}", mixed_S, prompt))
    return CutSet.from_cuts(out)


def over_telephone(cuts: CutSet) -> CutSet:
    """Narrow every item to a telephone's band."""
    prompts = (to_prompt(cut, SAMPLE_RATE_HZ) for cut in cuts)
    return CutSet.from_cuts(
        [_to_cut(f"{p.id}-telephone", telephone_band(_audio(p), SAMPLE_RATE_HZ), p) for p in prompts]
    )


def silence(seed: int = 0, language: str = "en") -> CutSet:
    """Make 20 clips in which nobody speaks: digital silence, and white noise, pink noise and hum of -50 to -20 dB."""
    rng = np.random.default_rng(seed)
    out = []
    for index in range(SILENT_CLIPS):
        kind = ("zero", "white", "pink", "hum")[index % 4]
        samples = round(float(rng.uniform(*SILENT_RANGE_S)) * SAMPLE_RATE_HZ)
        audio_S = np.zeros(samples, np.float32)
        if kind != "zero":
            noise_S = make_noise(kind, samples, SAMPLE_RATE_HZ, rng)
            audio_S = change_gain(noise_S, float(rng.uniform(-30.0, 0.0)))
        name = f"silence-{index:02d}-{kind}"
        out.append(_to_cut(name, audio_S, Prompt(name, "asr", "", language)))
    return CutSet.from_cuts(out)


def _audio(prompt: Prompt) -> NDArray[np.float32]:
    assert prompt.audio is not None
    return prompt.audio


def _babble(voices: Sequence[NDArray[np.float32]], samples: int) -> NDArray[np.float32]:
    """Several clips at once, each repeated to the length and brought to the same power."""
    if not voices:
        return np.zeros(samples, np.float32)
    looped = [np.resize(voice, samples) for voice in voices]
    level = [voice / max(float(np.sqrt(np.mean(voice**2))), 1e-6) for voice in looped]
    return cast("NDArray[np.float32]", np.sum(level, axis=0, dtype=np.float32))


def _join(name: str, prompts: Sequence[Prompt], pauses_s: Sequence[float]) -> Cut:
    parts = [_audio(prompts[0])]
    for prompt, pause_s in zip(prompts[1:], pauses_s, strict=True):
        parts += [np.zeros(round(pause_s * SAMPLE_RATE_HZ), np.float32), _audio(prompt)]
    keywords = dict.fromkeys(word for prompt in prompts for word in prompt.keywords)
    text = " ".join(prompt.text for prompt in prompts if prompt.text)
    return _to_cut(
        name, np.concatenate(parts), Prompt(name, "asr", text, prompts[0].language, tuple(keywords))
    )


def _renamed(cut: Cut, name: str) -> Cut:
    cut.id = name
    return cut


def _to_cut(name: str, audio_S: NDArray[np.float32], said: Prompt) -> Cut:
    """A cut over 16-bit samples in memory; audio that would clip is made quieter."""
    peak = float(np.max(np.abs(audio_S), initial=0.0))
    data = io.BytesIO()
    sf.write(data, audio_S / max(peak, 1.0), SAMPLE_RATE_HZ, format="WAV", subtype="PCM_16")
    recording = Recording.from_bytes(data.getvalue(), name)
    cut = recording.to_cut()
    custom = {"keywords": list(said.keywords)}
    supervision = SupervisionSegment(
        name, name, 0.0, cut.duration, 0, said.text, said.language, custom=custom
    )
    cut.id, cut.supervisions = name, [supervision]
    return cut
