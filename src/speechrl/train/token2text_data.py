"""What Token2Text learns from: pairs of speech tokens and text, their labels, and batches of them."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from speechrl.config.load import resolve_path
from speechrl.data.manifests import read_manifest
from speechrl.data.prompts import to_prompt
from speechrl.errors import DataError, ModelError
from speechrl.models.tts.mel import SAMPLE_RATE_HZ
from speechrl.models.tts.speech_codes import SpeechCoder
from speechrl.models.tts.token2text import FRAMES_PER_TOKEN, SPEAKER
from speechrl.models.tts.token2text_parts import HeadSpec, frames_needed, pad_tokens, spell
from speechrl.train.length_batches import length_batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from lhotse.cut import Cut
    from numpy.typing import NDArray
    from torch import Tensor

    from speechrl.models.tts.speech_tokenizer import SpeechTokenizer

    Floats = NDArray[np.float64]

UNLABELLED = -1
"""Class of a pair that says nothing about a task; it has no loss there."""
QUANTILES = (0.2, 0.4, 0.6, 0.8)
"""A number is told apart in fifths of the training pairs, so that every class is seen as often."""
PREFERRED_SHARE = 0.4
"""Quality is to be among the best: the highest classes whose share of the training pairs is nearest to this."""
PREFERRED_RATES = (1, 2, 3)
"""The rate is only to be neither slow nor hasty."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Speech tokens with what is known of them.

    Example: `Pair(tokens=(5, 811, 36), text="yes", voice="ann", quality=4.1)`.

    Attributes:
        tokens: Speech codes, at least one, without an end token.
        text: What is said, or None where the pair is for the other tasks only.
        voice: Who says it.
        quality: How good it sounds; any scale on which higher is better.
    """

    tokens: tuple[int, ...]
    text: str | None = None
    voice: str | None = None
    quality: float | None = None

    def rate(self, tokens_per_second: float) -> float | None:
        """Characters a second, spaces counted; None without a text."""
        if self.text is None:
            return None
        return len(spell(self.text)) * tokens_per_second / len(self.tokens)


@dataclass(frozen=True, slots=True)
class Batch:
    """B pairs as tensors; `labels` holds a class of each by task, or UNLABELLED."""

    tokens_BT: Tensor
    lengths_B: Tensor
    texts: tuple[str | None, ...]
    labels: Mapping[str, Tensor]

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        labels = {name: labels_B.to(device) for name, labels_B in self.labels.items()}
        return Batch(self.tokens_BT.to(device), self.lengths_B.to(device), self.texts, labels)


def read_pairs(
    path: str, vocabulary: int, tokenise: Callable[[Path], Iterator[Pair]] | None = None
) -> list[Pair]:
    """Read pairs, or make them of audio.

    Args:
        path: JSONL of pairs, or any manifest of audio.
        vocabulary: Speech codes; tokens must be below.
        tokenise: Turns a manifest of audio into pairs.

    Raises:
        DataError: The file or a row cannot be used, or it is audio and there is no tokenizer.
    """
    file = resolve_path(path)
    first = _first_row(file) if file.is_file() else {}
    if "tokens" not in first:
        if tokenise is None:
            raise DataError(
                f'{file}: rows have no `tokens`; write {{"tokens": [...], "text": "..."}}, or give '
                "data.synthesiser, whose tokenizer makes the tokens of audio"
            )
        return list(tokenise(file))
    with file.open(encoding="utf-8") as lines:
        return [_pair(file, number, line, vocabulary) for number, line in enumerate(lines, 1) if line.strip()]


def pairs_of_audio(tokenizer: SpeechTokenizer, manifest: Path) -> Iterator[Pair]:
    """The items of any manifest of audio as speech tokens, one after the other.

    `voice` and `quality` are those of the rows; of a CutSet, those in `custom` of a supervision, or its speaker.

    Raises:
        DataError: A row cannot be used, has text that cannot be spelled, or is shorter than one token.
    """
    coder = SpeechCoder(tokenizer)
    for cut in read_manifest(manifest):
        prompt = to_prompt(cut, SAMPLE_RATE_HZ)
        assert prompt.audio is not None
        tokens = coder(prompt.audio)
        if not tokens:
            raise DataError(
                f"{manifest}, {prompt.id}: {prompt.duration_s:.2f} s are too short for a token; drop the row"
            )
        try:
            spell(prompt.text)
        except ModelError as error:
            raise DataError(f"{manifest}, {prompt.id}: {error}") from None
        voice, quality = _labels_of(cut)
        if fault := _label_fault(voice, quality):
            raise DataError(f"{manifest}, {prompt.id}, {': '.join(fault)}")
        yield Pair(tuple(tokens), prompt.text, voice, quality)


def _labels_of(cut: Cut) -> tuple[Any, Any]:
    """Voice and quality as the manifest has them, None where it does not say."""
    said = cut.supervisions[0] if cut.supervisions else None
    custom = (said.custom if said else None) or {}
    return custom.get("voice", said.speaker if said else None), custom.get("quality")


def _label_fault(voice: Any, quality: Any) -> tuple[str, str] | None:
    """Field and reason of the first label that cannot be used."""
    if not isinstance(voice, str | None):
        return "voice", "not text; leave it out where unknown"
    if quality is not None and (isinstance(quality, bool) or not isinstance(quality, int | float)):
        return "quality", f"{quality!r} is not a number; leave it out where unknown"
    if quality is not None and not math.isfinite(quality):
        return "quality", f"{quality!r} is not finite; leave it out where unknown"
    return None


def _first_row(file: Path) -> Mapping[str, Any]:
    with file.open("rb") as lines:
        try:
            row = json.loads(next((line for line in lines if line.strip()), b"{}"))
        except ValueError:  # no JSON (UTF-8 included): whoever reads manifests says so better
            return {}
    return row if isinstance(row, dict) else {}


def _pair(file: Path, number: int, line: str, vocabulary: int) -> Pair:
    def refuse(name: str, reason: str) -> DataError:
        return DataError(f"{file}, line {number}, {name}: {reason}")

    try:
        row = json.loads(line)
    except ValueError:
        raise refuse("row", "not a JSON object; write one on each line") from None
    tokens = row.get("tokens") if isinstance(row, dict) else None
    if (
        not isinstance(tokens, list)
        or not tokens
        or not all(type(token) is int and 0 <= token < vocabulary for token in tokens)
    ):
        raise refuse("tokens", f"not a list of speech codes, each 0 to {vocabulary - 1}, at least one")
    text, voice, quality = (row.get(name) for name in ("text", "voice", "quality"))
    if not isinstance(text, str | None):
        raise refuse("text", "not text; leave it out where unknown")
    if fault := _label_fault(voice, quality):
        raise refuse(*fault)
    try:
        spell(text or "")
    except ModelError as error:
        raise refuse("text", str(error)) from None
    return Pair(tuple(tokens), text, voice, quality)


def load_pairs(
    paths: str | list[str], vocabulary: int, tokenise: Callable[[Path], Iterator[Pair]] | None
) -> tuple[list[Pair], int]:
    """All pairs of some files, and how many were left out because their text has more sounds than frames.

    Raises:
        DataError: As `read_pairs`, or nothing is left.
    """
    named = [paths] if isinstance(paths, str) else paths
    pairs = [pair for path in named for pair in read_pairs(path, vocabulary, tokenise)]
    kept = [
        pair
        for pair in pairs
        if pair.text is None or frames_needed(spell(pair.text)) <= FRAMES_PER_TOKEN * len(pair.tokens)
    ]
    if not any(pair.text is not None for pair in kept):
        raise DataError(
            f"{', '.join(named)}: no pair has a text that fits into its tokens ({len(pairs)} read); are text and "
            "tokens of the same utterance, and at about 20 tokens a second?"
        )
    return kept, len(pairs) - len(kept)


def shared_texts(pairs: Sequence[Pair], held_out: Sequence[Pair]) -> int:
    """How many held-out pairs say, letter for letter, what a training pair says; pairs without words say nothing."""
    trained = {spell(pair.text) for pair in pairs if pair.text is not None} - {()}
    return sum(pair.text is not None and spell(pair.text) in trained for pair in held_out)


def one_half(pairs: Sequence[Pair], half: str) -> list[Pair]:
    """All pairs, or those of one half of the texts: a text is in the same half whoever says it.

    Raises:
        DataError: No text is in that half.
    """
    if half == "all":
        return list(pairs)
    wanted = ("first", "second").index(half)
    kept = [pair for pair in pairs if _digest(pair) % 2 == wanted]
    if not any(pair.text is not None for pair in kept):
        raise DataError(
            f"data.half={half}: none of the {len(pairs)} pairs has a text in that half; "
            "give more sentences, or set data.half=all"
        )
    return kept


def _digest(pair: Pair) -> int:
    key = " ".join(map(str, pair.tokens)) if pair.text is None else str(spell(pair.text))
    return hashlib.sha256(key.encode()).digest()[0]


def head_specs(names: Sequence[str], pairs: Sequence[Pair], tokens_per_second: float) -> dict[str, HeadSpec]:
    """What each head is to tell apart, from the training pairs.

    Raises:
        DataError: No pair has the label that a head needs.
    """
    specs = {}
    for name in names:
        values = [v for pair in pairs if (v := _label(name, pair, tokens_per_second)) is not None]
        if len(set(values)) < 2:
            field = {SPEAKER: "voice", "rate": "text"}.get(name, name)
            raise DataError(
                f"head {name}: the training pairs have fewer than two values of `{field}`; add the field to the "
                f"rows, or take {name} out of model.heads"
            )
        if name == SPEAKER:
            specs[name] = HeadSpec(tuple(sorted(set(map(str, values)))))
            continue
        numbers = np.array(values, float)
        edges = _edges(numbers)
        classes = [f"< {edges[0]:.4g}", *(f"{low:.4g} - {high:.4g}" for low, high in pairwise(edges))]
        preferred = _best(numbers, edges) if name == "quality" else PREFERRED_RATES
        if max(preferred) > len(edges):
            raise DataError(
                f"head {name}: the rates of the training pairs are too much alike to be told apart in fifths; take "
                f"{name} out of model.heads"
            )
        specs[name] = HeadSpec((*classes, f">= {edges[-1]:.4g}"), tuple(edges), preferred)
    return specs


def _edges(values: Floats) -> list[float]:
    """Where the fifths begin; fewer where values are often equal, each class having some."""
    known = np.unique(values)
    lowest_above = known[1]
    return sorted({float(max(edge, lowest_above)) for edge in np.quantile(values, QUANTILES)})


def _best(values: Floats, edges: Sequence[float]) -> tuple[int, ...]:
    """The highest classes, not all of them, whose share is nearest to PREFERRED_SHARE."""
    first = min(
        range(len(edges)), key=lambda index: abs(float((values >= edges[index]).mean()) - PREFERRED_SHARE)
    )
    return tuple(range(first + 1, len(edges) + 1))


def class_of(name: str, spec: HeadSpec, pair: Pair, tokens_per_second: float) -> int:
    """Class of a pair for a head, or UNLABELLED."""
    value = _label(name, pair, tokens_per_second)
    if value is None:
        return UNLABELLED
    if isinstance(value, str):
        return spec.classes.index(value) if value in spec.classes else UNLABELLED
    return int(np.searchsorted(spec.edges, value, side="right"))


def _label(name: str, pair: Pair, tokens_per_second: float) -> str | float | None:
    return {SPEAKER: pair.voice, "quality": pair.quality, "rate": pair.rate(tokens_per_second)}[name]


def collate(pairs: Sequence[Pair], specs: Mapping[str, HeadSpec], tokens_per_second: float) -> Batch:
    """Pairs as one padded batch."""
    tokens_BT, lengths_B = pad_tokens([pair.tokens for pair in pairs])
    labels = {
        name: torch.tensor([class_of(name, spec, pair, tokens_per_second) for pair in pairs])
        for name, spec in specs.items()
    }
    return Batch(tokens_BT, lengths_B, tuple(pair.text for pair in pairs), labels)


def batches(
    pairs: Sequence[Pair], tokens_per_batch: int, generator: np.random.Generator
) -> Iterator[list[Pair]]:
    """Batches of pairs of similar length, epoch after epoch without end, each epoch in another order.

    A batch has at least one pair, and otherwise at most `tokens_per_batch` positions with padding.
    """
    lengths = [len(pair.tokens) for pair in pairs]
    while True:
        for batch in length_batches(lengths, tokens_per_batch, generator):
            yield [pairs[place] for place in batch]
