from __future__ import annotations

import pytest

from speechrl.config.schema import TrainConfig
from speechrl.train.schedule import learning_rate


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]),
        ("linear", [0.5, 1.0, 1.0, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1.0, 1.0, 0.8535534, 0.5, 0.1464466]),
    ],
)
def test_closed_forms(schedule: str, expected: list[float]) -> None:
    config = TrainConfig(steps=6, warmup_steps=2, learning_rate=1.0, schedule=schedule)  # type: ignore[arg-type]
    assert [learning_rate(step, config) for step in range(1, 7)] == pytest.approx(expected)


def test_without_warmup_the_first_step_is_the_peak() -> None:
    assert learning_rate(1, TrainConfig(steps=3, warmup_steps=0, learning_rate=2.0, schedule="cosine")) == 2.0
