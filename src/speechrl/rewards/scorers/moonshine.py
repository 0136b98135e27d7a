"""Moonshine tiny (English) in onnxruntime, from the package that carries its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from speechrl.rewards.scorers.clips import SAMPLE_RATE_HZ, transcribe_pieces
from speechrl.rewards.scorers.packages import Package

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from speechrl.rewards.scorers.clips import Clip

RUNTIME = Package("onnxruntime", "Moonshine as a recogniser", "onnxruntime")
WEIGHTS = Package(
    "moonshine_voice",
    "recogniser moonshine-tiny",
    "onnxruntime && pip install --no-deps moonshine-voice==0.1.0",
)
_START, _END = 1, 2
_TOKENS_PER_SECOND = 6.5
_TOKENS_MARGIN = 4
_HEADS, _HEAD_WIDTH = 8, 36
_LEAST_SAMPLES = SAMPLE_RATE_HZ // 2


class MoonshineRecogniser:
    """Greedy Moonshine (arXiv 2410.15608), one clip after the other; implements `recogniser.Recogniser`.

    It reads clips as long as they are. New tokens are capped at 6.5 a second, as its authors advise against loops.
    """

    def __init__(self, folder: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise RUNTIME.missing() from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._encoder: Any = onnxruntime.InferenceSession(str(folder / "encoder_model.ort"), options)
        self._decoder: Any = onnxruntime.InferenceSession(str(folder / "decoder_model_merged.ort"), options)
        self._caches = [i.name for i in self._decoder.get_inputs() if i.name.startswith("past_key_values.")]
        self._pieces = _read_pieces(folder / "tokenizer.bin")

    def transcribe(self, clips: Sequence[Clip]) -> list[str]:
        """The words of each clip; nothing in silence."""
        return transcribe_pieces(clips, lambda pieces: [self._transcribe(piece) for piece in pieces])

    def _transcribe(self, samples: NDArray[np.float32]) -> str:
        samples = np.pad(samples, (0, max(0, _LEAST_SAMPLES - len(samples))))
        seen = np.ones((1, len(samples)), np.int64)
        (hidden,) = self._encoder.run(None, {"input_values": samples[None], "attention_mask": seen})
        nothing = np.zeros((1, _HEADS, 0, _HEAD_WIDTH), np.float32)
        caches = dict.fromkeys(self._caches, nothing)
        tokens = [_START]
        most = int(len(samples) / SAMPLE_RATE_HZ * _TOKENS_PER_SECOND) + _TOKENS_MARGIN
        for step in range(most):
            logits, *present = self._decoder.run(
                None,
                {
                    "input_ids": np.array([tokens[-1:]], np.int64),
                    "encoder_hidden_states": hidden,
                    # By sample: the decoder thins it out to one in 384 itself.
                    "encoder_attention_mask": seen,
                    "use_cache_branch": np.array([step > 0]),
                    **caches,
                },
            )
            token = int(logits[0, -1].argmax())
            if token == _END:
                break
            tokens.append(token)
            for name, values in zip(self._caches, present, strict=True):
                # What the decoder keeps of the encoder is computed once, in the first step.
                if step == 0 or ".decoder." in name:
                    caches[name] = values
        joined = b"".join(self._pieces[token] for token in tokens[1:])
        return joined.decode("utf-8", errors="replace").replace("\u2581", " ")


def load_moonshine() -> MoonshineRecogniser:
    """Moonshine tiny of the package moonshine-voice."""
    return MoonshineRecogniser(WEIGHTS.folder() / "assets" / "tiny-en")


def _read_pieces(path: Path) -> list[bytes]:
    """Each piece behind its length: one byte below 128, else two, the first of them 128 + length % 128."""
    content = path.read_bytes()
    pieces: list[bytes] = []
    at = 0
    while at < len(content):
        size = content[at]
        at += 1
        if size >= 128:
            size = content[at] * 128 + size - 128
            at += 1
        pieces.append(content[at : at + size])
        at += size
    # Specials stand in angle brackets and are no text.
    return [b"" if i <= _END else piece for i, piece in enumerate(pieces)]
