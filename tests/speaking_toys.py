"""A synthesiser whose speech tokens are tones, one a word, and judges that know the tones: nothing to load or train."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from toys import WORDS, context, toy_language_model

from speechrl.evaluate.ears import Ears
from speechrl.models.base import Fault
from speechrl.rewards.forms import BatchReward
from speechrl.rewards.verdict import Verdict, failed
from speechrl.types import Context, Ending, Output, Prompt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from speechrl.types import Group, Task

RATE_HZ = 8_000
WORD_S = 0.1
SAMPLES = round(RATE_HZ * WORD_S)


def tone(word: int, loudness: float = 0.5) -> np.ndarray:
    """A tenth of a second at 300 Hz, 500 Hz, 700 Hz ... that fades in and out."""
    seconds = np.arange(SAMPLES) / RATE_HZ
    wave = loudness * np.sin(2 * math.pi * (300 + 200 * word) * seconds) * np.hanning(SAMPLES)
    return wave.astype(np.float32)


def words_of(waveform: np.ndarray) -> list[str]:
    """The words of a waveform of tones."""
    heard = []
    for start in range(0, len(waveform), SAMPLES):
        spectrum = np.abs(np.fft.rfft(waveform[start : start + SAMPLES]))
        heard.append(WORDS[round((float(spectrum.argmax()) / WORD_S - 300) / 200)])
    return heard


class ToySynthesiser:
    """Implements `models.base.SpeechModel`; its contexts depend on the prompt's id, its loudness on the voice."""

    task: Task = "tts"

    def __init__(self, seed: int = 0) -> None:
        self.encoder: nn.Module = nn.Identity()
        self.decoder: nn.Module | None = nn.Identity()
        self.language_model = toy_language_model(seed)

    def fault(self, prompt: Prompt) -> Fault | None:
        if any(letter.isdigit() for letter in prompt.text):
            return Fault("text", f"digits in {prompt.text!r}", "spell them out")
        if prompt.audio is not None and not prompt.audio.any():
            return Fault("audio", "silent", "give another")
        return None

    def encode(self, prompts: Sequence[Prompt]) -> list[Context]:
        return [
            Context(prompt.id, context(prompt.id), voice_D=torch.tensor([float(np.abs(prompt.audio).max())]))
            for prompt in prompts
        ]

    def decode(self, groups: Sequence[Group], *, audio: bool = True) -> list[list[Output]]:
        found = []
        for group in groups:
            outputs = []
            for rollout in group.rollouts:
                ids = rollout.token_ids[:-1] if rollout.ending is Ending.STOP else rollout.token_ids
                waveform = self._sound(group.context, ids) if audio else None
                outputs.append(Output("", rollout.ending, len(ids), ids, waveform, RATE_HZ))
            found.append(outputs)
        return found

    def _sound(self, where: Context, ids: Sequence[int]) -> np.ndarray:
        loudness = float(where.voice_D[0])
        return np.concatenate([np.zeros(0, np.float32), *(tone(token, loudness) for token in ids)])

    def tokenize(self, text: str) -> list[int]:
        return [WORDS.index(word) for word in text.split()]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "speechrl.json").write_text('{"model": "toy"}')


def sentence(name: str, text: str, loudness: float = 0.5) -> Prompt:
    """Something to speak, with a reference voice of that loudness."""
    return Prompt(name, "tts", text, audio=tone(0, loudness), sample_rate_hz=RATE_HZ)


def spoken(text: str, ending: Ending = Ending.STOP) -> Output:
    """What a perfect synthesiser makes of a text."""
    ids = tuple(WORDS.index(word) for word in text.split())
    waveform = np.concatenate([np.zeros(0, np.float32), *(tone(token) for token in ids)])
    return Output("", ending, len(ids), ids, waveform, RATE_HZ)


class PerfectJudge:
    """Implements `rewards.forms.Judge`, as the others."""

    def __init__(self) -> None:
        self.clips = 0

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        self.clips += len(outputs)
        return [Verdict(1.0, heard=" ".join(words_of(output.waveform))) for output in outputs]


class DeafJudge:
    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        return [Verdict(0.0, heard="") for _ in outputs]


class TiredJudge:
    """Falls asleep over the longest clip of a batch."""

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        heard = PerfectJudge().judge(outputs, prompts)
        longest = max(range(len(outputs)), key=lambda index: outputs[index].length)
        heard[longest] = failed("took longer than 1 s")
        return heard


class Loudness:
    """1 where clip and reference are equally loud."""

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        return [
            Verdict(1 - abs(float(np.abs(output.waveform).max() - np.abs(prompt.audio).max())))
            for output, prompt in zip(outputs, prompts, strict=True)
        ]


class Broken:
    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        raise RuntimeError("no model")


def ears(judges: Mapping[str, object], scorers: Mapping[str, object] | None = None) -> Ears:
    """Ears of judges and scorers in this process."""
    return Ears(
        {name: BatchReward(judge) for name, judge in judges.items()},
        {name: BatchReward(scorer) for name, scorer in (scorers or {}).items()},
    )


def toy_ears() -> Ears:
    return ears({"perfect": PerfectJudge(), "deaf": DeafJudge()}, {"similarity": Loudness()})
