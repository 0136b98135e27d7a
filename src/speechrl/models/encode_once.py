"""A speech LLM that encodes each item once, and keeps the context in host memory."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from speechrl.models.base import Fault, SpeechModel
    from speechrl.models.context_store import ContextStore
    from speechrl.models.language_model import LanguageModel
    from speechrl.types import Context, Group, Output, Prompt, Task

MAX_BYTES = 4 * 2**30


class EncodeOnce:
    """Any speech LLM, with the work of its frozen encoder remembered.

    The encoder does not learn, so a context is good for the whole run: later epochs, and the evaluation after training,
    take it from host memory. Items are told apart by id and audio, for synthesis also by text. Once `max_bytes` are
    held, further items are encoded each time.

    Each item is encoded on its own. In a batch its neighbours would change its rounding, and a resumed run, whose
    memory is empty, would then differ from an uninterrupted one.

    Args:
        model: The speech LLM; its language model may change, its encoder must not.
        max_bytes: Bound on the memory of all contexts.
        store: Contexts of this model on disk: read before the encoder is asked, and given what it makes.
    """

    def __init__(
        self, model: SpeechModel, max_bytes: int = MAX_BYTES, store: ContextStore | None = None
    ) -> None:
        self._model = model
        self._max_bytes = max_bytes
        self._store = store
        self._held_bytes = 0
        self._contexts: dict[tuple[str, str, int], Context] = {}

    @property
    def task(self) -> Task:
        """That of the model."""
        return self._model.task

    @property
    def encoder(self) -> nn.Module:
        """That of the model."""
        return self._model.encoder

    @property
    def language_model(self) -> LanguageModel:
        """That of the model."""
        return self._model.language_model

    @property
    def decoder(self) -> nn.Module | None:
        """That of the model."""
        return self._model.decoder

    def encoder_for(self, prompts: Sequence[Prompt]) -> nn.Module | None:
        """What must be on the device to encode these: the encoder, or nothing where every context is held already."""
        return None if all(self._holds(_key(prompt)) for prompt in prompts) else self._model.encoder

    def fault(self, prompt: Prompt) -> Fault | None:
        """See `models.base.SpeechModel`."""
        return self._model.fault(prompt)

    def encode(self, prompts: Sequence[Prompt]) -> list[Context]:
        """See `models.base.SpeechModel`; only items that are new are encoded."""
        keys = [_key(prompt) for prompt in prompts]
        fresh = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in self._contexts}
        made = {key: self._make(key, prompt) for key, prompt in fresh.items()}
        for key, context in made.items():
            size = _bytes(context)
            if self._held_bytes + size <= self._max_bytes:
                self._contexts[key] = context
                self._held_bytes += size
        return [made.get(key) or self._contexts[key] for key in keys]

    def _holds(self, key: tuple[str, str, int]) -> bool:
        return key in self._contexts or (self._store is not None and key in self._store)

    def _make(self, key: tuple[str, str, int], prompt: Prompt) -> Context:
        """Take a context from the disk, or encode it and leave it there."""
        if self._store is None:
            return self._model.encode([prompt])[0]
        context = self._store.get(key, prompt.id)
        if context is None:
            (context,) = self._model.encode([prompt])
            self._store.put(key, context)
        return context

    def decode(self, groups: Sequence[Group], *, audio: bool = True) -> list[list[Output]]:
        """See `models.base.SpeechModel`."""
        return self._model.decode(groups, audio=audio)

    @property
    def speak(self) -> Any:
        """That of the model (`Synthesiser.speak`); a recogniser has none."""
        return self._model.speak  # type: ignore[attr-defined]

    def save(self, folder: Path) -> None:
        """See `models.base.SpeechModel`."""
        self._model.save(folder)


def _key(prompt: Prompt) -> tuple[str, str, int]:
    # A recogniser does not see the text: correcting a label makes no new context.
    text = "" if prompt.task == "asr" else prompt.text
    return prompt.id, text, 0 if prompt.audio is None else zlib.crc32(prompt.audio.tobytes())


def _bytes(context: Context) -> int:
    parts = (context.embeddings_TD, context.positions_T, context.voice_D)
    return sum(part.nbytes for part in parts if part is not None)
