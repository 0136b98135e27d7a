from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from speechrl.train.stages import Stages, choose_device


def test_seconds_add_up_and_memory_is_measured() -> None:
    stage = Stages(torch.device("cpu"))
    for _ in range(2):
        with stage("sample"):
            time.sleep(0.02)
    assert 0.04 <= stage.seconds["sample"] < 1.0
    assert stage.memory_bytes["sample"] > 2**20


def test_a_failing_stage_is_measured_and_lets_the_failure_through() -> None:
    stage = Stages(torch.device("cpu"))
    with pytest.raises(ValueError, match="no"), stage("score"):
        raise ValueError("no")
    assert "score" in stage.seconds


def test_on_the_cpu_nothing_moves() -> None:
    class Immovable(nn.Module):
        def to(self, *args: object, **kwargs: object) -> nn.Module:
            raise AssertionError("moved")

    with Stages(torch.device("cpu"))("encode", Immovable()):
        pass


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
