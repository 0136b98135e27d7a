"""The alignment that may leave words out."""

import numpy as np
import pytest

from speechrl.models.asr.ctc_support import supported_words

BLANK = 4


def sound(*symbols: int, sure: float = 0.97) -> np.ndarray:
    """Frames in which the given symbols are almost certain."""
    frames_TV = np.full((len(symbols), BLANK + 1), (1 - sure) / BLANK)
    frames_TV[range(len(symbols)), symbols] = sure
    return np.log(frames_TV)


def test_words_that_are_heard_are_kept() -> None:
    heard = sound(BLANK, 0, 1, BLANK, 2, BLANK)
    assert supported_words(heard, [(0, 1), (2,)], price=1.0) == (True, True)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_word_that_nobody_said_is_left_out_wherever_it_stands(place) -> None:
    words = [(0, 1), (2,)]
    words.insert(place, (3, 3))
    expected = [True, True]
    expected.insert(place, False)
    heard = sound(BLANK, 0, 1, BLANK, 2, BLANK)
    assert supported_words(heard, words, price=2.0) == tuple(expected)


def test_of_a_loop_as_many_words_are_kept_as_are_heard() -> None:
    heard = sound(BLANK, 0, BLANK, 0, BLANK, BLANK)
    assert sum(supported_words(heard, [(0,)] * 6, price=2.0)) == 2


def test_one_long_sound_is_one_word_and_not_two() -> None:
    # Without a blank between them equal symbols collapse.
    heard = sound(BLANK, 0, 0, 0, BLANK)
    assert sum(supported_words(heard, [(0,), (0,)], price=2.0)) == 1


def test_a_wrong_word_in_place_of_one_that_was_said_is_kept() -> None:
    # Blank is as unlikely there as the wrong word: something was said.
    heard = sound(BLANK, 0, BLANK, 2, BLANK)
    assert supported_words(heard, [(0,), (3,)], price=2.0) == (True, True)


def test_over_silence_nothing_is_supported() -> None:
    assert supported_words(sound(*[BLANK] * 20), [(0,), (1, 2)], price=2.0) == (False, False)
    assert supported_words(np.zeros((0, 5)), [(0,)], price=2.0) == (False,)
    assert supported_words(sound(BLANK), [], price=2.0) == ()


def test_the_price_is_the_log_likelihood_ratio_at_which_a_word_goes() -> None:
    # One frame: with the word log 0.1, without it log 0.8 - price.
    heard = np.log([[0.1, 0.025, 0.025, 0.05, 0.8]])
    ratio = np.log(0.8 / 0.1)
    assert supported_words(heard, [(0,)], price=ratio + 0.01) == (True,)
    assert supported_words(heard, [(0,)], price=ratio - 0.01) == (False,)


def test_the_best_path_is_the_best_of_all_subsets() -> None:
    """Against trying every subset of the words with plain forced alignment by brute force."""
    rng = np.random.default_rng(5)
    words = [(0, 1), (2,), (0,), (3, 3)]
    for _ in range(20):
        heard = np.log(rng.dirichlet(np.ones(BLANK + 1), size=9))
        scores = heard - heard.max(axis=1, keepdims=True)
        price = float(rng.uniform(0, 4))
        kept = supported_words(heard, words, price)
        best = max(subset_score(scores, words, mask, price) for mask in range(16))
        own = sum(flag << index for index, flag in enumerate(kept))
        assert subset_score(scores, words, own, price) == pytest.approx(best)


def subset_score(scores: np.ndarray, words: list[tuple[int, ...]], mask: int, price: float) -> float:
    """Forced alignment of the words of the mask; around a word that is left out there is a blank."""
    symbols: list[int] = [BLANK]
    optional: list[bool] = [True]
    for index, word in enumerate(words):
        if not mask >> index & 1:
            optional[-1] = False
            continue
        for symbol in word:
            symbols += [symbol, BLANK]
            optional += [False, True]
    table = np.full(len(symbols), -np.inf)
    table[0] = scores[0, symbols[0]]
    if len(symbols) > 1 and optional[0]:
        table[1] = scores[0, symbols[1]]
    for frame in scores[1:]:
        new = np.full(len(symbols), -np.inf)
        for state, symbol in enumerate(symbols):
            options = [table[state]]
            if state:
                options.append(table[state - 1])
            if state > 1 and optional[state - 1] and symbol != BLANK and symbol != symbols[state - 2]:
                options.append(table[state - 2])
            new[state] = max(options) + frame[symbol]
        table = new
    end = max(table[-1], table[-2]) if len(symbols) > 1 and optional[-1] else table[-1]
    return float(end - price * (len(words) - bin(mask).count("1")))
