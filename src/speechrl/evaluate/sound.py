"""Sound of speech tokens outside of a training step, and what can be measured on it without a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from speechrl.errors import ModelError
from speechrl.models.tts.vocoder import load_hifigan
from speechrl.types import Ending, Group, Rollout

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from speechrl.models.base import SpeechModel
    from speechrl.types import Context, Output, Prompt

FRAME_S = 0.02
QUIET_DB = -40.0
"""Frames this far below the loudest one are a pause."""


def duration_s(output: Output) -> float:
    """Seconds of sound; 0 where there is none."""
    return 0.0 if output.waveform is None else len(output.waveform) / output.sample_rate_hz


def sounding_s(output: Output) -> float:
    """Seconds of sound, pauses left out: frames of 20 ms within 40 dB of the loudest one."""
    frame = round(FRAME_S * output.sample_rate_hz)
    if output.waveform is None or len(output.waveform) < frame:
        return 0.0
    frames_TF = output.waveform[: len(output.waveform) // frame * frame].reshape(-1, frame)
    power_T = np.square(frames_TF, dtype=np.float64).mean(-1)
    return float((power_T > power_T.max() * 10 ** (QUIET_DB / 10)).sum()) * FRAME_S


def check_vocoder(model: SpeechModel, vocoder: str) -> None:
    """See that a synthesiser can speak through a vocoder.

    Raises:
        ModelError: It speaks through its own only.
    """
    if vocoder == "hifigan" and getattr(model, "speak", None) is None:
        raise ModelError("this synthesiser has no `speak`: set evaluation.vocoder to fast")


class Renderer:
    """Makes the sound of outputs that have speech tokens only.

    The model's decoder stays on its device.

    Args:
        model: The synthesiser that said them, or another one with the same speech tokenizer.
        vocoder: `fast` is the model's own; `hifigan` is for listening and for final numbers.
        device: Of the second vocoder.

    Raises:
        ModelError: The model speaks through its own vocoder only, or HiFi-GAN is not installed.
    """

    def __init__(self, model: SpeechModel, vocoder: str = "fast", device: torch.device | str = "cpu") -> None:
        self._model = model
        check_vocoder(model, vocoder)
        self._speak = None
        if vocoder == "hifigan":
            self._speak = getattr(model, "speak", None)
            self._vocoder = load_hifigan()
            self._vocoder.generator.to(device)

    def __call__(self, prompts: Sequence[Prompt], outputs: Sequence[Output]) -> list[Output]:
        """The outputs with their waveforms; `outputs[i]` answers `prompts[i]`, in the voice of its reference."""
        contexts = self._model.encode(prompts)
        if self._speak is None:
            groups = [
                Group(context, (self._rollout(context, output),))
                for context, output in zip(contexts, outputs, strict=True)
            ]
            return [made[0] for made in self._model.decode(groups)]
        utterances = [(context, output.token_ids) for context, output in zip(contexts, outputs, strict=True)]
        sounds: list[np.ndarray] = self._speak(utterances, self._vocoder)
        return [
            replace(output, waveform=sound, sample_rate_hz=self._vocoder.sample_rate_hz)
            for output, sound in zip(outputs, sounds, strict=True)
        ]

    def _rollout(self, context: Context, output: Output) -> Rollout:
        """The rollout that an output came from, its log-probabilities forgotten."""
        ids = output.token_ids
        if output.ending is Ending.STOP:
            ids = (*ids, self._model.language_model.end_token_id)
        return Rollout(context.prompt_id, ids, (0.0,) * len(ids), output.ending)
