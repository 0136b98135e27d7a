"""A policy that knows when to stop but stammers must learn to say its texts from the reward model's gradient."""

from __future__ import annotations

import math
from typing import Any

import jiwer
import pytest
import torch
from diffro_toys import END, TEXTS, toy_context, toy_stammerer, toy_token2text

from speechrl.algorithms import make_algorithm
from speechrl.config.schema import AlgorithmConfig, TrainConfig
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.torch_engine import TorchEngine
from speechrl.train.learner import Learner
from speechrl.types import Context, Prompt, Score

PROMPTS = [Prompt(text, "tts", text) for text in TEXTS]
CONTEXTS = [Context(text, toy_context(text)) for text in TEXTS]


def hear(groups: Any) -> list[list[Score]]:
    """1 - CER of what Token2Text hears in each rollout."""
    scores = []
    for group in groups:
        spoken = [[token for token in rollout.token_ids if token != END] for rollout in group.rollouts]
        heard = toy_token2text().transcribe(spoken)
        totals = [1 - jiwer.cer(group.context.prompt_id, text) for text in heard]
        scores.append([Score(total, {"accuracy": total}) for total in totals])
    return scores


# Soft draws at temperature 1 are mixtures of codes, which the reward model has never heard: they teach little.
@pytest.mark.parametrize(
    ("options", "remains"),
    [
        ({"name": "diffro"}, 0.6),
        ({"name": "diffro", "diffro": {"relaxation": "soft", "temperature": 0.3}}, 0.6),
        ({"name": "hybrid"}, 0.6),
    ],
    ids=str,
)
def test_it_learns_to_speak(options: dict[str, Any], remains: float) -> None:
    model, steps = toy_stammerer(), 25
    config = AlgorithmConfig.model_validate({"kl": "full", "kl_weight": 0.05} | options)
    algorithm = make_algorithm(config, reward_model=toy_token2text())
    train = TrainConfig(precision="fp32", warmup_steps=0, learning_rate=3e-3, steps=steps)
    learner = Learner(model, algorithm, train)
    engine = TorchEngine(model, SamplingParams(1.0, 0, 1.0, 12), "cpu", torch.float32)
    rows = []
    for step in range(1, steps + 1):
        groups = engine.sample(CONTEXTS, PROMPTS, 8, step)
        samples, credit = algorithm.credit(groups, hear(groups), PROMPTS)
        rows.append(credit | dict(learner.update(samples, step).metrics))
        engine.load(learner.weights(), step)
    early, late = rows[:3], rows[-3:]

    def mean(name: str, some: list[dict[str, float]]) -> float:
        return math.fsum(row[name] for row in some) / len(some)

    assert mean("diffro_nll", late) < remains * mean("diffro_nll", early)
    assert mean("reward", late) > mean("reward", early) + 0.1
    assert mean("completion_length", late) == pytest.approx(mean("completion_length", early), rel=0.15)
    assert mean("kl", late) > 0.05
