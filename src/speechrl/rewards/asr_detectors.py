"""Detectors of hallucination: which words of a hypothesis, or whether the whole, nobody said.

Plain functions, in families by what they need. `benchmarks/hallucination_detectors.py` measures them.

| needs | detectors |
|---|---|
| the text alone | `looping_words` without a reference, `compression_ratio` |
| the reference | `looping_words`, `inserted_words`, `text.made_up.made_up_words` |
| the sound | `words_a_second`, `unsupported_words`, and `made_up_words` against what another recogniser hears |

What judges words gives one flag a word of `words_of(hypothesis)`; what judges the whole gives a number to compare
with a limit.
"""

from __future__ import annotations

import zlib
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from speechrl.models.asr.ctc_support import supported_words
from speechrl.text.alignment import align
from speechrl.text.loops import unsupported_loops
from speechrl.text.made_up import words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Flags = tuple[bool, ...]

COMPRESSION_LIMIT = 2.4
"""Whisper decodes again above this ratio (arXiv 2212.04356, section 4.5)."""
FRAME_S = 0.02
SPEECH_ABOVE_FLOOR_DB = 9.0
SPEECH_BELOW_PEAK_DB = 35.0
QUIETEST_DB = -60.0
LEAST_SPEECH_S = 0.2


def looping_words(hypothesis: str, reference: str = "") -> Flags:
    """Words of loops (`text.loops`) beyond what the reference repeats; without a reference nothing may repeat.

    The repeated n-gram rule. Without a reference it cannot tell a speaker who repeats himself from a loop.
    """
    words = words_of(hypothesis)
    flags = [False] * len(words)
    for loop, extra in unsupported_loops(words_of(reference), words):
        end = loop.start + loop.span
        flags[end - extra : end] = [True] * extra
    return tuple(flags)


def compression_ratio(text: str) -> float:
    """Bytes of the text over bytes after zlib: repetition compresses. 0 for no text.

    Whisper's guard against loops (arXiv 2212.04356, section 4.5); see `COMPRESSION_LIMIT`. Short texts have low ratios
    whatever they say, for zlib has a header.
    """
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


def inserted_words(truth: str, hypothesis: str, min_run: int) -> Flags:
    """Words beyond the truth's, where there are at least `min_run` between two right words.

    The insertion-run rule of `asr_hallucination`, word by word.

    Args:
        truth: Text to compare with.
        hypothesis: Text to judge.
        min_run: Words more than the truth has between two right ones.
    """
    alignment = align(words_of(truth), words_of(hypothesis))
    flags = [False] * len(alignment.hypothesis)
    run: list[int] = []
    for operation in (*alignment.operations, None):
        if operation is None or operation.kind == "equal":
            if len(run) >= min_run:
                for index in run:
                    flags[index] = True
            run = []
        elif operation.kind == "insert":
            run += range(operation.hypothesis_start, operation.hypothesis_end)
    return tuple(flags)


def unsupported_words(
    hypothesis: str,
    logprobs_TV: NDArray[np.floating],
    spell: Callable[[str], Sequence[int]],
    price: float,
    min_run: int,
) -> Flags:
    """Runs of words that the sound does not hold, by `models.asr.ctc_support.supported_words`.

    Forced alignment as a check of hallucinated text: Baranski et al., arXiv 2501.11378. That the alignment may leave
    words out, and so says which, is ours.

    Args:
        hypothesis: Text to judge.
        logprobs_TV: CTC log-probabilities of the sound, shape (frames, symbols + 1), the blank last.
        spell: A word -> its symbols; no symbols if the CTC's alphabet lacks it, and then it counts as supported.
        price: See `supported_words`.
        min_run: Shortest run that counts; single words are often misheard by the CTC itself. Where it hears nothing but
            blanks, every word counts.
    """
    words = words_of(hypothesis)
    spelled = [tuple(spell(word)) for word in words]
    known = [index for index, symbols in enumerate(spelled) if symbols]
    kept = supported_words(logprobs_TV, [spelled[index] for index in known], price)
    left_out = {index for index, flag in zip(known, kept, strict=True) if not flag}
    silent = bool((np.argmax(logprobs_TV, axis=1) == logprobs_TV.shape[1] - 1).all())
    return long_runs([index in left_out for index in range(len(words))], 1 if silent else min_run)


def long_runs(flags: Sequence[bool], min_run: int) -> Flags:
    """The flags that stand in runs of at least `min_run`."""
    out: list[bool] = []
    for flag, run in groupby(flags):
        length = len(list(run))
        out += [flag and length >= min_run] * length
    return tuple(out)


def speech_s(audio_S: NDArray[np.float32], sample_rate_hz: int) -> float:
    """Seconds in which somebody seems to speak: frames of 20 ms well above the floor and not far below the peak.

    The floor is the 10th percentile of frame power and the peak its maximum, both in decibels. Steady noise has all of
    its frames near both, so it counts as no speech; babble and music count as speech.
    """
    frame = round(FRAME_S * sample_rate_hz)
    frames_TF = audio_S[: len(audio_S) // frame * frame].reshape(-1, frame)
    if not len(frames_TF):
        return 0.0
    power_T = np.square(frames_TF, dtype=np.float64).mean(axis=1)
    loudness_T = np.maximum(10 * np.log10(np.maximum(power_T, 1e-12)), QUIETEST_DB)
    floor_db, peak_db = np.quantile(loudness_T, 0.1), loudness_T.max()
    limit_db = max(floor_db + SPEECH_ABOVE_FLOOR_DB, peak_db - SPEECH_BELOW_PEAK_DB)
    return float((loudness_T > limit_db).sum()) * FRAME_S


def words_a_second(hypothesis: str, spoken_s: float) -> float:
    """Words per second of speech; people say two to four.

    Args:
        hypothesis: Text to judge.
        spoken_s: Seconds of speech, of `speech_s` or of any voice activity detector; at least `LEAST_SPEECH_S` is
            assumed, so that words over silence give a high number and not infinity.
    """
    return len(words_of(hypothesis)) / max(spoken_s, LEAST_SPEECH_S)
