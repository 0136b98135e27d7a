"""How a batch is cut into micro-batches changes nothing: 8 x 1 = 1 x 8."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toys import toy_language_model, toy_samples

from speechrl.algorithms import make_algorithm
from speechrl.config.schema import AlgorithmConfig, TrainConfig
from speechrl.train.learner import Learner
from speechrl.train.microbatches import pack

ADVANTAGES = [[0.1 * group, -0.2, 0.3][: 1 + group % 3] for group in range(8)]


def update(budget: int, algorithm: AlgorithmConfig) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
    model = toy_language_model()
    samples = toy_samples(model, ADVANTAGES)
    assert len(pack(samples, range(len(samples)), budget)) == (8 if budget == 1 else 1)
    config = TrainConfig(
        precision="fp32", tokens_per_microbatch=budget, max_grad_norm=1e9, learning_rate=1e-9
    )
    found: dict[str, torch.Tensor] = {}
    learner = Learner(model, make_algorithm(algorithm), config)
    step = learner._optimizer.step

    def keep() -> None:
        found.update({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        step()

    learner._optimizer.step = keep  # type: ignore[method-assign, assignment]
    return found, dict(learner.update(samples, 1).metrics)


@pytest.mark.parametrize("loss_mean", ["token", "sequence", "group"])
@pytest.mark.parametrize(
    "options",
    [{"name": "grpo"}, {"name": "grpo", "kl": "full"}, {"name": "gspo"}, {"name": "mwer"}, {"name": "sft"}],
    ids=str,
)
def test_eight_times_one_is_once_eight(options: dict[str, Any], loss_mean: Any) -> None:
    algorithm = AlgorithmConfig(loss_mean=loss_mean, **options)
    whole, whole_metrics = update(10**6, algorithm)
    split, split_metrics = update(1, algorithm)
    assert sum(float(gradient.square().sum()) for gradient in whole.values()) > 1e-6
    for name, gradient in whole.items():
        torch.testing.assert_close(split[name], gradient, atol=1e-6, rtol=1e-4)
    assert split_metrics == pytest.approx(whole_metrics, rel=1e-4, abs=1e-6)
