"""Which words of a text does the sound hold? A CTC alignment that may leave words out.

Forced alignment places every word somewhere, also words that nobody said. Here the best path may skip a word at a
price, so each word is put to a likelihood-ratio test: is the sound better explained with it, or with nothing in its
place? A word in place of another one that was said keeps its place; a word in a pause, or one too many, loses it.

CTC: Graves et al., ICML 2006. Alignment by CTC with an unmatched rest: Kürzinger et al., arXiv 2007.09127, which rates
utterances and skips sound; skipping words, and the price, are ours.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEAST_LOGPROB = -12.0
"""Nothing counts as less likely than this, relative to the best symbol of its frame: one odd frame decides nothing."""


def supported_words(
    logprobs_TV: NDArray[np.floating], words: Sequence[Sequence[int]], price: float
) -> tuple[bool, ...]:
    """Whether the best path goes through each word.

    Args:
        logprobs_TV: Log-probabilities of symbols in each frame, shape (frames, vocabulary + 1), the blank last.
        words: The symbols of each word, at least one each.
        price: What leaving a word out costs, in nats, at least 0: with 5, a word is left out when the sound is
            more than e^5 times likelier without it.

    Returns:
        One flag a word. Without frames no word is supported.

    Raises:
        ValueError: A word has no symbols.
    """
    if not all(words):
        raise ValueError("a word without symbols cannot be aligned")
    if not words or not len(logprobs_TV):
        return (False,) * len(words)
    scores_TV = np.asarray(logprobs_TV, np.float64)
    scores_TV = np.maximum(scores_TV - scores_TV.max(axis=1, keepdims=True), LEAST_LOGPROB)
    path = _Path(words, blank=scores_TV.shape[1] - 1)
    return path.kept(scores_TV[:, path.symbols_S], price)


class _Path:
    """States of a text in CTC: blank, symbol, blank, symbol ... blank; the blanks between words are its gates."""

    def __init__(self, words: Sequence[Sequence[int]], blank: int) -> None:
        symbols = [symbol for word in words for symbol in word]
        self.symbols_S = np.full(2 * len(symbols) + 1, blank)
        self.symbols_S[1::2] = symbols
        self.gates_W = 2 * np.array(list(accumulate(map(len, words), initial=0)))
        self.words = len(words)
        # A blank is never jumped over between equal symbols: it is what makes them two.
        self._over_S = np.zeros(len(self.symbols_S), bool)
        self._over_S[3::2] = self.symbols_S[3::2] != self.symbols_S[1:-2:2]

    def kept(self, scores_TS: Floats, price: float) -> tuple[bool, ...]:
        """Viterbi; a gate is also reached from every gate before it, at `price` a word and no time."""
        frames, states = scores_TS.shape
        steps_TS = np.zeros((frames, states), np.int8)
        origins_TW = np.zeros((frames, self.words + 1), np.int32)
        best_S = np.full(states, -np.inf)
        best_S[:2] = scores_TS[0, :2]
        origins_TW[0] = self._through_gates(best_S, price)
        for frame in range(1, frames):
            before_3S = np.full((3, states), -np.inf)
            before_3S[0] = best_S
            before_3S[1, 1:] = best_S[:-1]
            before_3S[2, 2:] = np.where(self._over_S[2:], best_S[:-2], -np.inf)
            steps_TS[frame] = before_3S.argmax(axis=0)
            best_S = before_3S.max(axis=0) + scores_TS[frame]
            origins_TW[frame] = self._through_gates(best_S, price)
        return self._read_back(best_S, steps_TS, origins_TW)

    def _through_gates(self, best_S: Floats, price: float) -> NDArray[np.int32]:
        """Let paths skip words, in place; the gate that each gate is best reached from."""
        tolls_W = price * np.arange(self.words + 1)
        offered_W = best_S[self.gates_W] + tolls_W
        reached_W = np.maximum.accumulate(offered_W)
        own_W = np.where(offered_W >= reached_W, np.arange(self.words + 1), 0)
        best_S[self.gates_W] = reached_W - tolls_W
        return cast("NDArray[np.int32]", np.maximum.accumulate(own_W).astype(np.int32))

    def _read_back(
        self, best_S: Floats, steps_TS: NDArray[np.int8], origins_TW: NDArray[np.int32]
    ) -> tuple[bool, ...]:
        gate_of = {int(state): gate for gate, state in enumerate(self.gates_W)}
        kept = [True] * self.words
        state = len(best_S) - 1 if best_S[-1] >= best_S[-2] else len(best_S) - 2
        for frame in range(len(steps_TS) - 1, -1, -1):
            if state in gate_of:
                gate = gate_of[state]
                origin = int(origins_TW[frame, gate])
                kept[origin:gate] = [False] * (gate - origin)
                state = int(self.gates_W[origin])
            state -= int(steps_TS[frame, state])
        return tuple(kept)
