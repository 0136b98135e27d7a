"""Makes a run directory like that of a short training, without a model: texts are references with seeded errors."""

import math
import random
from pathlib import Path

import numpy as np

from speechrl.config.schema import RunConfig
from speechrl.evaluate.asr import evaluate_texts
from speechrl.evaluate.results import Evaluation, assemble
from speechrl.report.held_out import keep_evaluation_audio
from speechrl.report.metrics import make_row
from speechrl.report.run_writer import RunWriter
from speechrl.report.writers import write_json
from speechrl.text.alignment import align_texts
from speechrl.types import Ending, Output, Prompt, Score, ScoreStatus, StepReport

SENTENCES = (
    "please enter your agent number followed by the pound key",
    "that extension is not valid please try again",
    "you are currently the only person in this conference",
    "the number you have dialed is not in service",
    "your message has been saved",
    "press one to listen to the message again",
    "the party you are calling is busy at the moment",
    "thank you for calling please hold while i try to locate the person",
    "at the tone please record your name",
    "goodbye",
    "call forwarding is now active",
    "we were unable to verify your account",
)
WRONG = ("the", "a", "number", "extinction", "massage", "person", "cold", "plays", "valley")
STAGES = {
    "encode": 0.11,
    "sample": 0.62,
    "decode": 0.01,
    "score": 0.04,
    "credit": 0.002,
    "update": 0.95,
    "load": 0.03,
}


def make_run(folder: Path, steps: int = 60, finished: bool = True, utterances: int = 60) -> Path:
    """Write a run directory; an unfinished one lacks the evaluation."""
    config = run_config(folder, steps)
    generator = random.Random(5)
    prompts = [prompt(index) for index in range(len(SENTENCES))]
    with RunWriter(folder, config) as writer:
        for step in range(1, (steps if finished else steps // 2) + 1):
            progress = step / steps
            batch = generator.sample(prompts, 6)
            outputs = [[rollout(item, generator, 0.34 - 0.2 * progress) for _ in range(6)] for item in batch]
            scores = [
                [judge(item, output, generator) for output in group]
                for item, group in zip(batch, outputs, strict=True)
            ]
            row = make_row(step, batch, outputs, scores, update(step, progress, generator), *cost(generator))
            writer.log(row, batch, outputs, scores)
    if finished:
        evaluate(folder, config, utterances)
    return folder


def run_config(folder: Path, steps: int = 60) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": "asr",
            "output": folder.name,
            "model": {"path": "package:starter/asr"},
            "data": {"train": "package:data/asterisk_en/train.jsonl"},
            "rewards": {"terms": [{"name": "accuracy"}, {"name": "hallucination", "weight": 0.5}]},
            "train": {"steps": steps},
            "report": {"tensorboard": False},
        }
    )


def prompt(index: int, tag: str = "train") -> Prompt:
    """A sentence with a melody for its voice."""
    text = SENTENCES[index % len(SENTENCES)]
    seconds = np.arange(int(16_000 * (0.5 + 0.15 * len(text.split())))) / 16_000
    pitch = 180 + 40 * np.sin(2 * math.pi * 1.5 * seconds + index)
    audio = (
        0.2
        * np.sin(2 * math.pi * np.cumsum(pitch) / 16_000)
        * (0.6 + 0.4 * np.sin(2 * math.pi * 4 * seconds))
    )
    return Prompt(
        f"{tag}-{index:03d}", "asr", text, keywords=tuple(text.split()[-1:]), audio=audio.astype(np.float32)
    )


def spoil(text: str, generator: random.Random, rate: float) -> str:
    words: list[str] = []
    for word in text.split():
        draw = generator.random()
        if draw < rate * 0.5:
            words.append(generator.choice(WRONG))
        elif draw < rate * 0.7:
            continue
        else:
            words.append(word)
        if generator.random() < rate * 0.15:
            words += [generator.choice(WRONG)] * generator.choice((1, 1, 4))
    return " ".join(words)


def rollout(item: Prompt, generator: random.Random, rate: float) -> Output:
    text = spoil(item.text, generator, rate * generator.choice((0.2, 1, 1.6)))
    cut = generator.random() < rate * 0.2
    return Output(
        text + (" please" * 9 if cut else ""), Ending.LENGTH if cut else Ending.STOP, len(text.split()) * 2
    )


def judge(item: Prompt, output: Output, generator: random.Random) -> Score:
    if generator.random() < 0.004:
        return Score(math.nan, {}, ScoreStatus.FAILED, "accuracy: took longer than 60 s")
    found = align_texts(item.text, output.text)
    wrong = float(output.ending is Ending.LENGTH)
    metrics = {
        "wer": found.error_rate,
        "substitutions": found.substitutions,
        "deletions": found.deletions,
        "insertions": found.insertions,
        "words": found.words,
        "loop": wrong,
        "hallucination": wrong,
    }
    accuracy = max(1 - found.error_rate, -1)
    return Score(accuracy - 0.5 * wrong, {"accuracy": accuracy, "hallucination": -wrong}, metrics=metrics)


def update(step: int, progress: float, generator: random.Random) -> StepReport:
    metrics = {
        "loss": -0.02 + generator.gauss(0, 0.01),
        "grad_norm": 0.8 + generator.random() * 0.5,
        "kl": 0.06 * progress**1.5 + abs(generator.gauss(0, 0.003)),
        "entropy": 0.42 - 0.2 * progress + generator.gauss(0, 0.01),
        "logprob_gap": 0.004 + abs(generator.gauss(0, 0.001)),
        "zero_spread_share": min(1.0, max(0.0, 0.2 + 0.3 * progress + generator.gauss(0, 0.1))),
        "clip_share": abs(generator.gauss(0.02, 0.01)),
        "learning_rate": 1e-4 * min(1, step / 5),
    }
    alarms = (
        ("94% of the groups have no spread: the data is too easy for this model.",)
        if step in (44, 45)
        else ()
    )
    return StepReport(metrics, alarms=alarms)


def cost(generator: random.Random) -> tuple[dict[str, float], dict[str, float]]:
    seconds = {stage: value * generator.uniform(0.8, 1.3) for stage, value in STAGES.items()}
    memory = {stage: (800 + 900 * (stage in ("update", "sample"))) * 2.0**20 for stage in STAGES}
    return seconds, memory


def evaluate(folder: Path, config: RunConfig, utterances: int) -> None:
    """Held-out sets before and after: speech, long speech, and silence."""
    silence = [
        Prompt(f"silence-{index}", "asr", "", audio=np.zeros(16_000, np.float32)) for index in range(20)
    ]
    sets = {"test": [prompt(index, "test") for index in range(utterances)], "silence": silence}
    sets["noise"] = [prompt(index, "noise") for index in range(utterances // 2)]
    moments = {}
    for moment, rate in (("before", 0.42), ("after", 0.26)):
        generator = random.Random(8)
        results = {}
        for name, items in sets.items():
            speaks = [spoil(item.text, generator, rate + 0.2 * (name == "noise")) for item in items]
            if name == "silence":
                speaks = ["thank you" if generator.random() < rate else "" for _ in items]
            results[name] = evaluate_texts(items, speaks, ["stop"] * len(items), [9] * len(items))
        moments[moment] = Evaluation(results, dict.fromkeys(sets, 4.2))
        moments[moment].write(folder / "evaluation" / moment)
    keep_evaluation_audio(folder, sets)
    write_json(folder / "evaluation.json", assemble(moments["before"], moments["after"], 500, config.seed))
