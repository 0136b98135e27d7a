from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from speechrl.errors import ConfigError
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
    moves: list[object] = []

    class Watched(nn.Module):
        def to(self, *args: object, **kwargs: object) -> nn.Module:
            moves.append(args)
            return self

    with Stages(torch.device("cpu"))("encode", Watched()):
        assert moves == []
    assert moves == []


def test_devices() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def pretended_gpu(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    for name in ("reset_peak_memory_stats", "synchronize"):
        monkeypatch.setattr(torch.cuda, name, lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    return torch.device("cuda")


class Traveller:
    def __init__(self, *, too_large: bool = False) -> None:
        self.visited: list[str] = []
        self._too_large = too_large

    def to(self, device: torch.device, /) -> None:
        self.visited.append(device.type)
        if self._too_large and device.type == "cuda":
            raise torch.OutOfMemoryError("no room")


def test_a_module_is_on_the_gpu_inside_and_leaves(pretended_gpu: torch.device) -> None:
    stage, module = Stages(pretended_gpu), Traveller()
    with stage("sample", module):
        assert module.visited == ["cuda"]
    assert module.visited == ["cuda", "cpu"]
    assert stage.memory_bytes["sample"] == 7.0


def test_a_module_that_came_only_in_part_leaves_too(pretended_gpu: torch.device) -> None:
    module = Traveller(too_large=True)
    with pytest.raises(torch.OutOfMemoryError), Stages(pretended_gpu)("update", module):
        raise AssertionError("entered")
    assert module.visited == ["cuda", "cpu"]


def test_a_gpu_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="torch sees no GPU"):
        choose_device("cuda")
    assert choose_device("auto") == torch.device("cpu")
