"""What the core asks of a speech LLM, whichever the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from speechrl.models.language_model import LanguageModel
    from speechrl.types import Context, Group, Output, Prompt, Task


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a model cannot take a prompt, and what to do about it.

    Example: `Fault("text", "unsupported characters 2 4 in 'room 42'", "spell out numbers")`.

    Attributes:
        field: `text` or `audio`.
        reason: What is wrong.
        mend: What to do.
    """

    field: str
    reason: str
    mend: str

    def __str__(self) -> str:
        """Part of a line for people, which says before it whose prompt it is."""
        return f"{self.field}: {self.reason}; {self.mend}"


class SpeechModel(Protocol):
    """An encoder, a language model and a decoder, of which only the language model learns.

    Attributes:
        task: What it does.
        encoder: The frozen module of stage 1 (for ASR the audio encoder and adapter); the stage moves it between
            devices.
        language_model: The policy.
        decoder: The frozen module of stage 3, or None where decoding needs no device (detokenising).
    """

    @property
    def task(self) -> Task:
        """See the class."""
        ...

    @property
    def encoder(self) -> nn.Module:
        """See the class."""
        ...

    @property
    def language_model(self) -> LanguageModel:
        """See the class."""
        ...

    @property
    def decoder(self) -> nn.Module | None:
        """See the class."""
        ...

    def fault(self, prompt: Prompt) -> Fault | None:
        """The first thing for which `encode` would refuse a prompt, or None; no network is run.

        Every row of a run is asked about before it begins, so this is quick. A prompt without audio is one whose audio
        is not loaded: it is judged by its text. Text and audio are judged apart, so what is said of a voice holds for
        every text.
        """
        ...

    def encode(self, prompts: Sequence[Prompt]) -> list[Context]:
        """Run the frozen encoder once per prompt, without gradients; contexts are in host memory, one per prompt.

        Raises:
            ModelError: A prompt has no audio that it needs, or a `fault`.
        """
        ...

    def decode(self, groups: Sequence[Group], *, audio: bool = True) -> list[list[Output]]:
        """Turn rollouts into what rewards see: one list per group, in the order of its rollouts.

        Args:
            groups: Contexts and rollouts.
            audio: TTS: whether to make sound; without it outputs hold their speech tokens alone.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), tokenizer and configuration: `load_model(folder)` gives this model back."""
        ...
