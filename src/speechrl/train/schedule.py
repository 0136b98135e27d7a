"""The learning rate as a function of the step, so that a checkpoint has nothing to remember of it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from speechrl.config.schema import TrainConfig


def learning_rate(step: int, config: TrainConfig) -> float:
    """Linear warm-up over `warmup_steps`, then constant, or to zero at the step after the last (cosine, linear).

    Args:
        step: Counted from 1.
        config: Peak rate, warm-up, schedule and number of steps.
    """
    if step <= config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    decay_steps = max(1, config.steps - config.warmup_steps)
    progress = min(1.0, (step - config.warmup_steps - 1) / decay_steps)
    factors = {"constant": 1.0, "linear": 1.0 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress))}
    return config.learning_rate * factors[config.schedule]
