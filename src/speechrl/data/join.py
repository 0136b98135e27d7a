"""Long items out of short ones; `derive.KINDS` names the set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speechrl.data.memory import SAMPLE_RATE_HZ, audio_of, cut_in_memory
from speechrl.data.prompts import to_prompt, without_audio
from speechrl.errors import DataError
from speechrl.text.normalise import primary_language
from speechrl.types import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lhotse import CutSet
    from lhotse.cut import Cut

LONG_RANGE_S = (15.0, 40.0)
LONG_TARGET_S = 30.0
"""A piece takes items until it is as long as a number drawn between the lower limit and this."""
PAUSE_RANGE_S = (0.3, 1.2)
LOOK_AHEAD = 1000
"""How many of the items that wait are tried for a piece, so that a corpus does not take the square of its size."""


def join_long(cuts: CutSet, seed: int = 0) -> Iterator[Cut]:
    """Join items with digital silence between them into pieces of 15 to 40 s; text and keywords are joined as well.

    Every item is used once, in a seeded order, with others of its language; ones too long to fit are left out, and a
    piece for which no item is left is filled up with items used before. A piece stays shorter only where nothing fits
    to it. A language of which there is less than one piece is left out.

    Raises:
        DataError: The items of no language make one piece.
    """
    rng = np.random.default_rng(seed)
    by_language: dict[str, list[Cut]] = {}
    for cut in cuts:
        by_language.setdefault(primary_language(without_audio(cut).language), []).append(cut)
    number = 0
    for those in by_language.values():
        for prompts, pauses_s in _pieces(those, rng):
            yield _join(f"long-{number:03d}", prompts, pauses_s)
            number += 1
    if not number:
        raise DataError(
            f"{len(cuts)} items are shorter than {LONG_RANGE_S[0]} s together: a long set needs more"
        )


def _pieces(cuts: Sequence[Cut], rng: np.random.Generator) -> Iterator[tuple[list[Prompt], list[float]]]:
    """The items of each piece, and the pauses between them."""
    low_s, high_s = LONG_RANGE_S
    # Which items go together is decided by their lengths alone: their audio is opened when a piece is made.
    every = [(cut, cut.resample(SAMPLE_RATE_HZ).num_samples / SAMPLE_RATE_HZ) for cut in cuts]
    items = [cut for cut, length_s in every if length_s <= high_s]
    lengths_s = [length_s for _, length_s in every if length_s <= high_s]
    if sum(lengths_s) < low_s:
        return
    queue = [int(i) for i in rng.permutation(len(items))]
    while queue:
        target_s = rng.uniform(low_s, LONG_TARGET_S)
        piece = [queue.pop(0)]
        pauses_s: list[float] = []
        while (length_s := sum(lengths_s[i] for i in piece) + sum(pauses_s)) < target_s:
            pause_s = float(rng.uniform(*PAUSE_RANGE_S))
            room_s = high_s - length_s - pause_s
            fit = next((i for i in queue[:LOOK_AHEAD] if lengths_s[i] <= room_s), None)
            if fit is not None:
                queue.remove(fit)
            elif length_s < low_s:
                fit = next((i for i in range(len(items)) if i not in piece and lengths_s[i] <= room_s), None)
            if fit is None:
                break
            piece.append(fit)
            pauses_s.append(pause_s)
        yield [to_prompt(items[i], SAMPLE_RATE_HZ) for i in piece], pauses_s


def _join(name: str, prompts: Sequence[Prompt], pauses_s: Sequence[float]) -> Cut:
    parts = [audio_of(prompts[0])]
    for prompt, pause_s in zip(prompts[1:], pauses_s, strict=True):
        parts += [np.zeros(round(pause_s * SAMPLE_RATE_HZ), np.float32), audio_of(prompt)]
    keywords = dict.fromkeys(word for prompt in prompts for word in prompt.keywords)
    text = " ".join(prompt.text for prompt in prompts if prompt.text)
    said = Prompt(name, "asr", text, prompts[0].language, tuple(keywords))
    made = {"kind": "long", "of": [prompt.id for prompt in prompts], "pauses_s": list(pauses_s)}
    return cut_in_memory(name, np.concatenate(parts), said, made)
