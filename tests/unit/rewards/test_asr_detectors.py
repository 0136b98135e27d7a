"""Each detector on a case that it must find, one that it must not, and its limits."""

import numpy as np
import pytest

from speechrl.rewards.asr_detectors import (
    COMPRESSION_LIMIT,
    compression_ratio,
    inserted_words,
    long_runs,
    looping_words,
    speech_s,
    unsupported_words,
    words_a_second,
)
from speechrl.text.made_up import words_of

RATE_HZ = 16_000


def flagged(hypothesis: str, flags: tuple[bool, ...]) -> str:
    return " ".join(word for word, flag in zip(words_of(hypothesis), flags, strict=True) if flag)


def test_loops_are_flagged_after_their_first_turn() -> None:
    text = "so try it try it try it now"
    assert flagged(text, looping_words(text)) == "try it try it"


def test_what_the_speaker_repeats_is_a_loop_only_without_the_reference() -> None:
    text = "no no no that is wrong"
    assert flagged(text, looping_words(text)) == "no no"
    assert flagged(text, looping_words(text, "No, no, no! That is wrong.")) == ""


def test_compression_tells_a_long_loop_from_speech() -> None:
    assert compression_ratio("try that again " * 12) > COMPRESSION_LIMIT
    assert compression_ratio("please hold the line while i try that extension for you now") < 1.3
    assert compression_ratio("") == 0.0


def test_insertions_are_flagged_in_runs_of_the_length_asked_for() -> None:
    truth, text = "call me back", "call me on the old phone back"
    assert flagged(text, inserted_words(truth, text, min_run=4)) == "on the old phone"
    assert flagged(text, inserted_words(truth, text, min_run=5)) == ""
    assert flagged("all of this", inserted_words("", "all of this", min_run=3)) == "all of this"


def test_runs() -> None:
    assert long_runs((True, False, True, True), 2) == (False, False, True, True)
    assert long_runs((), 1) == ()


def test_words_without_sound_are_unsupported_and_unknown_ones_are_not_judged() -> None:
    alphabet = {"a": [0], "b": [1], "c": [2]}
    heard_TV = np.full((8, 4), 0.01)
    heard_TV[:, 3] = 0.97
    heard_TV[2] = [0.97, 0.01, 0.01, 0.01]
    heard = np.log(heard_TV)

    def found(text: str, min_run: int) -> str:
        return flagged(text, unsupported_words(text, heard, lambda w: alphabet.get(w, []), 2.0, min_run))

    assert found("a b c b", 3) == "b c b"
    assert found("a b c b", 4) == ""
    assert found("a 42 42 42", 1) == ""


def test_speech_is_counted_and_silence_and_steady_noise_are_not() -> None:
    rng = np.random.default_rng(2)
    noise_S = 0.01 * rng.standard_normal(4 * RATE_HZ).astype(np.float32)
    assert speech_s(np.zeros(RATE_HZ, np.float32), RATE_HZ) == 0.0
    assert speech_s(noise_S, RATE_HZ) == 0.0
    assert speech_s(noise_S[:100], RATE_HZ) == 0.0
    noise_S[RATE_HZ : 2 * RATE_HZ] *= 20
    assert speech_s(noise_S, RATE_HZ) == pytest.approx(1.0, abs=0.04)


def test_words_over_silence_come_too_fast() -> None:
    assert words_a_second("one two three", 1.5) == 2.0
    assert words_a_second("one two three", 0.0) == pytest.approx(15.0)
    assert words_a_second("", 0.0) == 0.0
