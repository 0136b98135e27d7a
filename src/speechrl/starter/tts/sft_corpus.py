"""The coded corpus as a language model is trained on it: text pieces, how long they take, and batches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from speechrl.models.tts.text_encoder import ALPHABET, Pace, piece_strings, plain_text
from speechrl.train.length_batches import length_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from speechrl.starter.tts.tokenizer import Coded

PIECES = 1500


@dataclass(frozen=True, slots=True)
class Item:
    """One utterance of the corpus, ready to train on.

    Attributes:
        pieces: Text pieces.
        codes: Speech tokens without the end token, shape (tokens,), int64.
        voice: Name of the voice.
        positions_T: Of its context.
    """

    pieces: tuple[int, ...]
    codes: Tensor
    voice: str
    positions_T: Tensor

    @property
    def length(self) -> int:
        """Positions of its training sequence."""
        return len(self.positions_T) + len(self.codes)


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A BPE vocabulary inside of words; punctuation stands alone."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(), pre_tokenizers.Split(Regex("[.,?!]"), "isolated")]
    )
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES,
        special_tokens=["<pad>", "<unk>"],
        initial_alphabet=list(ALPHABET.replace(" ", "\u2581")),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")


def fit_pace(coded: Sequence[Coded]) -> Pace:
    """Least squares: tokens of each character and of the two edges, and a factor for each voice in turn."""
    voices = sorted({item.voice for item in coded})
    voice_N = np.array([voices.index(item.voice) for item in coded])
    tokens_N = np.array([len(item.codes) for item in coded], float)
    counts_NC = np.array([[(" " + item.text).count(c) for c in ALPHABET] + [2] for item in coded], float)
    ridge = 1e-3 * len(coded) * np.eye(counts_NC.shape[1])
    factors_V = np.ones(len(voices))
    for _ in range(10):
        scaled_NC = counts_NC * factors_V[voice_N, None]
        weights_C = np.linalg.solve(scaled_NC.T @ scaled_NC + ridge, scaled_NC.T @ tokens_N)
        expected_N = counts_NC @ weights_C
        for v in range(len(voices)):
            mine = voice_N == v
            factors_V[v] = (expected_N[mine] @ tokens_N[mine]) / (expected_N[mine] @ expected_N[mine])
    vectors_NV = np.stack([item.voice_vector for item in coded]).astype(float)
    centre_V = vectors_NV.mean(0)
    spread_NV = vectors_NV - centre_V
    log_N = np.log(factors_V)[voice_N]
    slope_V = np.linalg.solve(
        spread_NV.T @ spread_NV + 1e-3 * len(coded) * np.eye(len(centre_V)),
        spread_NV.T @ (log_N - log_N.mean()),
    )
    pace = Pace()
    pace.characters_C.copy_(torch.from_numpy(weights_C[:-1]).clamp(min=0))
    pace.edge.fill_(max(0.0, float(weights_C[-1])))
    pace.voice_D.copy_(torch.from_numpy(slope_V))
    pace.offset.fill_(float(log_N.mean() - centre_V @ slope_V))
    return pace


class Corpus:
    """Coded utterances as training items, and voice vectors to speak them with.

    Args:
        coded: Of one split.
        tokenizer: Of text.
        pace: How long pieces will take.
    """

    def __init__(self, coded: Sequence[Coded], tokenizer: PreTrainedTokenizerFast, pace: Pace) -> None:
        ids = tokenizer([plain_text(item.text) for item in coded], add_special_tokens=False)["input_ids"]
        self.vectors_NV = torch.from_numpy(np.stack([item.voice_vector for item in coded])).float()
        self.items = [
            Item(
                tuple(pieces),
                torch.from_numpy(np.asarray(item.codes, np.int64)),
                item.voice,
                pace.positions(piece_strings(tokenizer, pieces), self.vectors_NV[row]),
            )
            for row, (item, pieces) in enumerate(zip(coded, ids, strict=True))
        ]
        self._rows: dict[str, list[int]] = {}
        for row, item in enumerate(self.items):
            self._rows.setdefault(item.voice, []).append(row)

    def batches(self, budget: int, rng: np.random.Generator) -> list[list[Item]]:
        """Batches of similar length, at most `budget` padded positions each, in random order."""
        made = length_batches([item.length for item in self.items], budget, rng)
        return [[self.items[place] for place in batch] for batch in made]

    def references(self, items: Sequence[Item], rng: np.random.Generator) -> Tensor:
        """For each item the vector of some utterance of its voice, shape (items, VOICE_WIDTH)."""
        return self.vectors_NV[[int(rng.choice(self._rows[item.voice])) for item in items]]
