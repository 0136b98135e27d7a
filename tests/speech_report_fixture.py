"""A run directory like that of a synthesiser's training, without a model: humming for speech, spoilt texts heard."""

import functools
import math
import random
from pathlib import Path

import numpy as np
from report_fixture import SENTENCES, cost, spoil, update

from speechrl.config.schema import RunConfig
from speechrl.evaluate.ears import Ears
from speechrl.evaluate.results import Evaluation, assemble
from speechrl.evaluate.tts import judge
from speechrl.evaluate.tts_results import SpokenSet
from speechrl.report.held_out import keep_evaluation_audio
from speechrl.report.metrics import make_row
from speechrl.report.run_writer import RunWriter
from speechrl.report.writers import write_json
from speechrl.rewards.forms import BatchReward
from speechrl.rewards.verdict import Verdict
from speechrl.types import Ending, Output, Prompt, Score, ScoreStatus

RATE_HZ = 22_050
TOKENS_PER_CHARACTER = 1.6


def make_speech_run(folder: Path, steps: int = 40, sentences: int = 24, *, listens: bool = True) -> Path:
    """Write a finished run; without `listens` the rewards need no sound and transcribe nothing."""
    config = speech_config(folder, steps)
    generator = random.Random(5)
    prompts = [voiced(f"train-{index:03d}", index) for index in range(len(SENTENCES))]
    with RunWriter(folder, config, render=render) as writer:
        for step in range(1, steps + 1):
            progress = step / steps
            batch = generator.sample(prompts, 6)
            outputs = [[say(item, generator, sound=listens) for _ in range(4)] for item in batch]
            scores = [
                [reward(item, generator, 0.4 - 0.2 * progress, listens=listens) for _ in group]
                for item, group in zip(batch, outputs, strict=True)
            ]
            report = update(step, progress, generator)
            if step % 10 == 0:
                report.metrics.update(held_out(progress))
            writer.log(
                make_row(step, batch, outputs, scores, report, *cost(generator)), batch, outputs, scores
            )
    evaluate(folder, config, sentences)
    return folder


def speech_config(folder: Path, steps: int) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": "tts",
            "output": folder.name,
            "model": {"path": "package:starter/tts"},
            "data": {"train": "package:data/tts_en/train.jsonl"},
            "rewards": {"terms": [{"name": "token_accuracy"}, {"name": "duration"}]},
            "algorithm": {"name": "hybrid"},
            "train": {"steps": steps},
            "report": {"tensorboard": False},
        }
    )


def voiced(name: str, index: int) -> Prompt:
    """A sentence, and one of three voices to speak it with."""
    voice = hum([7 * (index % 3) + step % 5 for step in range(40)], 100 + 60 * (index % 3))
    return Prompt(name, "tts", SENTENCES[index % len(SENTENCES)], audio=voice, sample_rate_hz=RATE_HZ)


@functools.cache
def bank(pitch_hz: float) -> np.ndarray:
    """A sound for each of 40 tokens, shape (40, 1024): harmonics of one pitch under a formant of its own."""
    seconds = np.arange(1024) / RATE_HZ
    harmonics_hz = pitch_hz * np.arange(1, 24)
    waves_KN = np.sin(2 * math.pi * harmonics_hz[:, None] * seconds)
    formants_hz = 400 + 60 * np.arange(40)
    weights_TK = np.exp(-(((harmonics_hz - formants_hz[:, None]) / 400) ** 2))
    fade = 0.5 - 0.5 * np.cos(2 * math.pi * np.arange(1024) / 1024)
    return (0.2 * (weights_TK @ waves_KN) * fade).astype(np.float32)


def hum(tokens: list[int], pitch_hz: float = 150) -> np.ndarray:
    """A token's sound lasts 46 ms."""
    return bank(pitch_hz)[[token % 40 for token in tokens]].reshape(-1)


def say(item: Prompt, generator: random.Random, *, sound: bool = True) -> Output:
    cut = generator.random() < 0.05
    length = round(len(item.text) * TOKENS_PER_CHARACTER * generator.uniform(0.9, 1.1) * (2 if cut else 1))
    ids = tuple(generator.randrange(200) for _ in range(length))
    waveform = hum(list(ids)) if sound else None
    return Output("", Ending.LENGTH if cut else Ending.STOP, length, ids, waveform, RATE_HZ)


def render(prompts: list[Prompt], outputs: list[Output]) -> list[Output]:
    return [
        Output("", output.ending, output.length, output.token_ids, hum(list(output.token_ids)), RATE_HZ)
        for output in outputs
    ]


def reward(item: Prompt, generator: random.Random, rate: float, *, listens: bool) -> Score:
    accuracy = 1 - rate * generator.uniform(0.3, 1.6)
    duration = -abs(generator.gauss(0, 0.1))
    heard = spoil(item.text, generator, rate) if listens else ""
    metrics = {"token_cer": max(0.0, 1 - accuracy), "no_stop": 0.0}
    return Score(
        accuracy + duration, {"token_accuracy": accuracy, "duration": duration}, metrics=metrics, heard=heard
    )


def rewarded(groups: list[list[Output]], prompts: list[Prompt]) -> list[list[Score]]:
    """Worth what is said in tokens, and nothing where the judgement failed: after training, of every third.

    `duration` compares the two.
    """
    failed = Score(math.nan, {"token_accuracy": math.nan}, ScoreStatus.FAILED, "died")
    return [
        [
            Score(0.25, {"token_accuracy": 0.25, "duration": -0.5}),
            failed if place % 3 == 2 else Score(0.75, {"token_accuracy": 0.75, "duration": 0.0}),
        ]
        for place, _ in enumerate(prompts)
    ]


def held_out(progress: float) -> dict[str, float]:
    values = {
        "judge_wer": 0.25 - 0.05 * progress,
        "judge_cer": 0.15 - 0.02 * progress,
        "similarity": 0.84 - 0.02 * progress,
        "quality": 3.6,
        "tokens_per_char": 1.6,
        "no_stop_rate": 0.04,
        "log_f0_std": 0.2,
        "speaking_rate": 14.0,
    }
    return {f"evaluation/test/{name}": value for name, value in values.items()}


class Forgetful:
    """A judge who mishears, by a seed of its own."""

    def __init__(self, seed: int, rate: float) -> None:
        self._generator = random.Random(seed)
        self._rate = rate

    def judge(self, outputs: list[Output], prompts: list[Prompt]) -> list[Verdict]:
        return [Verdict(0.0, heard=spoil(prompt.text, self._generator, self._rate)) for prompt in prompts]


class Steady:
    """A scorer around a value."""

    def __init__(self, value: float, spread: float) -> None:
        self._generator = random.Random(3)
        self._value, self._spread = value, spread

    def judge(self, outputs: list[Output], prompts: list[Prompt]) -> list[Verdict]:
        return [Verdict(self._generator.gauss(self._value, self._spread)) for _ in outputs]


def evaluate(folder: Path, config: RunConfig, sentences: int) -> None:
    """Two sets before and after, each sentence with two sampling seeds."""
    sets = {
        name: [voiced(f"{name}-{index:03d}", index) for index in range(count)]
        for name, count in (("test", sentences), ("hard", sentences // 2))
    }
    moments = {}
    for moment, rate in (("before", 0.42), ("after", 0.24)):
        generator = random.Random(8)
        ears = Ears(
            {
                "whisper-tiny.en": BatchReward(Forgetful(1, rate)),
                "moonshine-tiny": BatchReward(Forgetful(2, rate + 0.1)),
            },
            {
                "similarity": BatchReward(Steady(0.85 - 0.01 * (moment == "after"), 0.02)),
                "quality": BatchReward(Steady(3.7, 0.2)),
                "log_f0_std": BatchReward(Steady(0.2, 0.03)),
            },
        )
        results = {
            name: SpokenSet(
                tuple(
                    row
                    for seed in (1, 2)
                    for row in judge(ears, items, [say(item, generator) for item in items], seed)
                )
            )
            for name, items in sets.items()
        }
        moments[moment] = Evaluation(results, dict.fromkeys(sets, 9.5))
        moments[moment].write(folder / "evaluation" / moment)
    keep_evaluation_audio(folder, sets, render, rewarded, {"duration"})
    write_json(folder / "evaluation.json", assemble(moments["before"], moments["after"], 500, config.seed))
