"""Sets in which every item of a manifest is disturbed in one way; `derive.KINDS` names them.

Each is made item by item: audio is opened when it is needed and held no longer, whatever the size of the manifest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from speechrl.data.augment import (
    add_noise,
    babble_of,
    change_gain,
    make_noise,
    quietest_sample,
    telephone_band,
)
from speechrl.data.memory import SAMPLE_RATE_HZ, audio_of, cut_in_memory
from speechrl.data.prompts import to_prompt
from speechrl.errors import DataError
from speechrl.text.normalise import is_by_character, tokens
from speechrl.types import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lhotse import CutSet
    from lhotse.cut import Cut
    from numpy.typing import NDArray

BABBLE_VOICES = 4
SHUFFLED = 10_000
"""Babble of more items than this is drawn without shuffling all of them for each."""
SNR_RANGE_DB = (0.0, 10.0)
SPEEDS = (0.8, 0.85, 0.9, 0.95, 1.05, 1.1, 1.15, 1.2)
PAUSE_RANGE_S = (1.5, 6.0)
PAUSE_FILLINGS = ("zero", "white", "pink", "hum")
PAUSE_GAIN_DB = (-30.0, -10.0)
PAUSE_SHARE = 0.5
"""Chance of each of the two outer pauses; the one inside always comes where there are two words."""
TIMES_RANGE = (2, 4)
REPEAT_PAUSE_S = (0.1, 0.5)
SILENT_CLIPS = 20
SILENT_RANGE_S = (2.0, 10.0)


def in_noise(cuts: CutSet, seed: int = 0) -> Iterator[Cut]:
    """Put every item under babble of other items, pink noise or hum, at a ratio drawn from 0 to 10 dB."""
    rng = np.random.default_rng(seed)
    sources = list(cuts)
    kinds = ["babble", "pink", "hum"] if len(sources) > 1 else ["pink", "hum"]
    for place, cut in enumerate(sources):
        prompt = to_prompt(cut, SAMPLE_RATE_HZ)
        audio_S = audio_of(prompt)
        kind = str(rng.choice(kinds))
        made: dict[str, object] = {"kind": "noise", "of": [prompt.id], "noise": kind}
        if kind == "babble":
            others = _others(place, sources, rng)
            noise_S = _babble(others, len(audio_S))
            made["voices"] = [other.id for other in others]
        else:
            noise_S = make_noise(kind, len(audio_S), SAMPLE_RATE_HZ, rng)
        made["snr_db"] = snr_db = float(rng.uniform(*SNR_RANGE_DB))
        mixed_S = add_noise(audio_S, noise_S, snr_db)
        yield cut_in_memory(f"{prompt.id}-noise-{kind}", mixed_S, prompt, made)


def in_babble(cuts: CutSet, seed: int = 0) -> Iterator[Cut]:
    """Put every item under the babble of up to four others, at a ratio drawn from 0 to 10 dB.

    Raises:
        DataError: There are no others.
    """
    rng = np.random.default_rng(seed)
    sources = list(cuts)
    if len(sources) < 2:
        raise DataError("babble is made of other items of the manifest, and it has one alone; add some")
    for place, cut in enumerate(sources):
        prompt = to_prompt(cut, SAMPLE_RATE_HZ)
        others = _others(place, sources, rng)
        snr_db = float(rng.uniform(*SNR_RANGE_DB))
        audio_S = audio_of(prompt)
        made = {
            "kind": "babble",
            "of": [prompt.id],
            "voices": [other.id for other in others],
            "snr_db": snr_db,
        }
        mixed_S = add_noise(audio_S, _babble(others, len(audio_S)), snr_db)
        yield cut_in_memory(f"{prompt.id}-babble", mixed_S, prompt, made)


def at_speeds(cuts: CutSet, seed: int = 0) -> Iterator[Cut]:
    """Play every item slower or faster, with its pitch, at a speed drawn from `SPEEDS` (lhotse's `perturb_speed`)."""
    rng = np.random.default_rng(seed)
    for cut in cuts:
        factor = float(rng.choice(SPEEDS))
        prompt = replace(to_prompt(cut.perturb_speed(factor), SAMPLE_RATE_HZ), id=cut.id)
        made = {"kind": "speed", "of": [cut.id], "factor": factor}
        yield cut_in_memory(f"{cut.id}-speed", audio_of(prompt), prompt, made)


def with_pauses(cuts: CutSet, seed: int = 0) -> Iterator[Cut]:
    """Stretch every item with pauses of 1.5 to 6 s: one at its quietest inner moment, and maybe before and after it.

    An item of one word is not parted: its pause comes before it. A pause is digital silence or quiet noise. Nobody
    speaks in it, which is where recognisers make things up.
    """
    rng = np.random.default_rng(seed)
    for cut in cuts:
        prompt = to_prompt(cut, SAMPLE_RATE_HZ)
        audio_S = audio_of(prompt)
        before, after = rng.random(2) < PAUSE_SHARE
        split = (
            tokens(prompt.text, prompt.language) if is_by_character(prompt.language) else prompt.text.split()
        )
        one_word = len(split) < 2
        places = [0] if before or one_word else []
        places += [] if one_word else [quietest_sample(audio_S, SAMPLE_RATE_HZ)]
        places += [len(audio_S)] if after else []
        parts: list[NDArray[np.float32]] = []
        pauses: list[dict[str, object]] = []
        for start, end in zip([0, *places], [*places, len(audio_S)], strict=True):
            parts.append(audio_S[start:end])
            if len(pauses) < len(places):
                filling = str(rng.choice(PAUSE_FILLINGS))
                pause_S = _pause(filling, rng)
                at_s = sum(map(len, parts)) / SAMPLE_RATE_HZ
                pauses.append({"at_s": at_s, "length_s": len(pause_S) / SAMPLE_RATE_HZ, "filling": filling})
                parts.append(pause_S)
        made = {"kind": "pauses", "of": [prompt.id], "pauses": pauses}
        yield cut_in_memory(f"{prompt.id}-pauses", np.concatenate(parts), prompt, made)


def repeated(cuts: CutSet, seed: int = 0) -> Iterator[Cut]:
    """Say every item two to four times with short pauses between, and so write its text as often.

    What is repeated on purpose must be written as often: the counterweight to every rule against loops.
    """
    rng = np.random.default_rng(seed)
    for cut in cuts:
        prompt = to_prompt(cut, SAMPLE_RATE_HZ)
        times = int(rng.integers(TIMES_RANGE[0], TIMES_RANGE[1] + 1))
        parts = [audio_of(prompt)]
        pauses_s = [float(pause_s) for pause_s in rng.uniform(*REPEAT_PAUSE_S, size=times - 1)]
        for pause_s in pauses_s:
            parts += [np.zeros(round(pause_s * SAMPLE_RATE_HZ), np.float32), audio_of(prompt)]
        said = replace(prompt, text=" ".join([prompt.text] * times))
        made = {"kind": "repeated", "of": [prompt.id], "times": times, "pauses_s": pauses_s}
        yield cut_in_memory(f"{prompt.id}-repeated", np.concatenate(parts), said, made)


def over_telephone(cuts: CutSet, _seed: int = 0) -> Iterator[Cut]:
    """Narrow every item to a telephone's band."""
    for cut in cuts:
        prompt = to_prompt(cut, SAMPLE_RATE_HZ)
        narrow_S = telephone_band(audio_of(prompt), SAMPLE_RATE_HZ)
        made = {"kind": "telephone", "of": [prompt.id]}
        yield cut_in_memory(f"{prompt.id}-telephone", narrow_S, prompt, made)


def silence(seed: int = 0, language: str = "en") -> Iterator[Cut]:
    """Make 20 clips in which nobody speaks: digital silence, and white noise, pink noise and hum of -50 to -20 dB."""
    rng = np.random.default_rng(seed)
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
        yield cut_in_memory(name, audio_S, Prompt(name, "asr", "", language), made)


def _others(place: int, sources: Sequence[Cut], rng: np.random.Generator) -> list[Cut]:
    """Up to `BABBLE_VOICES` others, drawn for the babble behind the item of this place."""
    if len(sources) <= SHUFFLED:
        drawn = rng.permutation(len(sources))[: BABBLE_VOICES + 1].tolist()
    else:
        drawn = rng.choice(len(sources), BABBLE_VOICES + 1, replace=False).tolist()
    return [sources[i] for i in drawn if i != place][:BABBLE_VOICES]


def _babble(others: Sequence[Cut], samples: int) -> NDArray[np.float32]:
    return babble_of([audio_of(to_prompt(other, SAMPLE_RATE_HZ)) for other in others], samples)


def _pause(filling: str, rng: np.random.Generator) -> NDArray[np.float32]:
    samples = round(float(rng.uniform(*PAUSE_RANGE_S)) * SAMPLE_RATE_HZ)
    if filling == "zero":
        return np.zeros(samples, np.float32)
    noise_S = make_noise(filling, samples, SAMPLE_RATE_HZ, rng)
    return change_gain(noise_S, float(rng.uniform(*PAUSE_GAIN_DB)))
