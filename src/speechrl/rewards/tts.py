"""Rewards of a synthesiser: plain functions first, terms that need no model last.

What needs one (a recogniser, a voice encoder ...) is in `tts_judges.py`.
"""

from __future__ import annotations

import math
from statistics import fmean, median
from typing import TYPE_CHECKING, Literal

from rapidfuzz.distance import Levenshtein

from speechrl.text.alignment import align_texts
from speechrl.types import Ending

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from speechrl.text.normalise import Unit
    from speechrl.types import Output, Prompt

Shape = Literal["linear", "tanh", "exp"]

NLL_SCALE = 3.0
"""Nats a token that cost a factor e in `likelihood` (arXiv 2509.18798)."""
WORST_MOS, BEST_MOS = 1.0, 5.0


def shaped(error_rate: float, shape: Shape = "linear", floor: float | None = -1.0) -> float:
    """From an error rate in [0, inf) to a reward that is 1 at best.

    - `linear`: 1 - x, in [floor, 1], or (-inf, 1] with `floor=None`: R1 of arXiv 2509.18569.
    - `tanh`: 1 - tanh(3 x), in (0, 1] (arXiv 2509.18798): steep where nearly all is right.
    - `exp`: exp(-2.5 x), in (0, 1]: the same idea, less steep.

    Args:
        error_rate: Errors / reference tokens.
        shape: See above.
        floor: Lowest value of `linear`; see `asr.accuracy` for why there is one.
    """
    if shape == "tanh":
        # 1 - tanh(y) = 2 / (1 + e^2y), without the cancellation that makes 0 of a small value.
        decayed = math.exp(-6.0 * error_rate)
        return 2.0 * decayed / (1.0 + decayed)
    if shape == "exp":
        return math.exp(-2.5 * error_rate)
    value = 1.0 - error_rate
    return value if floor is None else max(value, floor)


def spoken_accuracy(
    text: str,
    heard: str,
    language: str = "en",
    unit: Unit = "auto",
    shape: Shape = "linear",
    floor: float | None = -1.0,
) -> float:
    """R1 of arXiv 2509.18569 for speech: how much of the text a recogniser heard; range as `shaped`.

    Args:
        text: What was to be spoken, raw.
        heard: What the recogniser wrote, raw; both are normalised here.
        language: ISO 639-1 code.
        unit: What errors are counted in: see `text.normalise.tokens`.
        shape: See `shaped`.
        floor: See `shaped`.
    """
    return shaped(align_texts(text, heard, language, unit).error_rate, shape, floor)


def likelihood(nll_per_token: float) -> float:
    """exp(-NLL / 3) of arXiv 2509.18798, in [0, 1]: 1 when the recogniser is certain of the text, 0 at infinity.

    Args:
        nll_per_token: Mean over the text's tokens of -log P(token | sound, tokens before it), nats.
    """
    return math.exp(-nll_per_token / NLL_SCALE)


def duration(lengths: Sequence[int], floor: float | None = -1.0) -> list[float]:
    """R2 of arXiv 2509.18569: -| |o_i| - T_m | / T_m with T_m the median length of the group.

    In [floor, 0], 0 at the median; with `floor=None` in (-inf, 0]. It keeps speech from slowing down, which a
    recogniser likes. A median of 0 is divided by as 1.

    Args:
        lengths: Speech tokens of each output of one group.
        floor: Lowest value, our choice: reached at no tokens and at twice the median, beyond which a runaway would
            outweigh all other differences in its group. The paper names none (`None`).
    """
    if not lengths:
        return []
    middle = median(lengths)
    values = [-abs(length - middle) / max(middle, 1) for length in lengths]
    return values if floor is None else [max(value, floor) for value in values]


def diversity(sequences: Sequence[Sequence[Hashable]]) -> list[float]:
    """First half of R3 of arXiv 2509.18569: how far each output is from the others of its group, in [0, 1].

    Mean over the others of edit distance / length of the longer one, over speech tokens. 0 for identical outputs
    and for one without company. The normalisation is our choice. By itself it praises noise: give it a small
    weight beside a reward for being understood.

    Args:
        sequences: Speech tokens of each output of one group.
    """
    if len(sequences) < 2:
        return [0.0] * len(sequences)
    distances: dict[tuple[int, int], float] = {}
    for i, one in enumerate(sequences):
        for j in range(i):
            distances[i, j] = distances[j, i] = Levenshtein.normalized_distance(one, sequences[j])
    everyone = range(len(sequences))
    return [fmean(distances[i, j] for j in everyone if j != i) for i in everyone]


def liveliness(log_f0_std: float, cap: float | None = 0.35) -> float:
    """Second half of R3 of arXiv 2509.18569: spread of log F0, in [0, cap].

    Against the flat speech that rewards for being understood breed (log-F0 variance collapses).

    Args:
        log_f0_std: See `scorers.pitch.log_f0_std`.
        cap: More is worth no more, our choice: read English lies at 0.15 to 0.3, and 0.35 is six semitones.
    """
    return log_f0_std if cap is None else min(log_f0_std, cap)


def mos_share(mos: float) -> float:
    """A mean opinion score of 1 to 5 as a reward in [0, 1], linearly."""
    return min(max((mos - WORST_MOS) / (BEST_MOS - WORST_MOS), 0.0), 1.0)


def stop(ending: Ending) -> float:
    """-1 when the policy did not end by itself, else 0. Our own rule against samples that never stop."""
    return -1.0 if ending is Ending.LENGTH else 0.0


def hearing_metrics(text: str, heard: str, language: str = "en") -> dict[str, float]:
    """What is logged of a transcript of the speech: `wer`, `cer` and the counts of errors.

    `cer` counts characters without spaces. Rates of a corpus come from the counts, not from the mean of rates.
    """
    words, characters = align_texts(text, heard, language), align_texts(text, heard, language, "char")
    return {
        "wer": words.error_rate,
        "cer": characters.error_rate,
        "character_errors": characters.errors,
        "characters": characters.words,
        "substitutions": words.substitutions,
        "deletions": words.deletions,
        "insertions": words.insertions,
        "words": words.words,
    }


def reading_metrics(text: str, read: str, language: str = "en") -> dict[str, float]:
    """What is logged of what Token2Text reads in speech tokens: `token_cer` and its counts.

    Letters are counted as they are spelled, without punctuation: Token2Text writes no digits.
    """
    letters = align_texts(text, read, language, "letter")
    return {"token_cer": letters.error_rate, "letter_errors": letters.errors, "letters": letters.words}


def speech_metrics(output: Output) -> dict[str, float]:
    """What is logged of any speech: `tokens`, and `no_stop`, 1 when it was cut at the token limit."""
    return {"tokens": output.length, "no_stop": float(output.ending is Ending.LENGTH)}


def duration_term(outputs: Sequence[Output], prompt: Prompt, *, floor: float | None = -1.0) -> list[float]:  # noqa: ARG001
    """`duration` for the mixer."""
    return duration([output.length for output in outputs], floor)


def diversity_term(outputs: Sequence[Output], prompt: Prompt) -> list[float]:  # noqa: ARG001
    """`diversity` for the mixer."""
    return diversity([output.token_ids for output in outputs])


def stop_term(output: Output, prompt: Prompt) -> float:  # noqa: ARG001
    """`stop` for the mixer."""
    return stop(output.ending)
