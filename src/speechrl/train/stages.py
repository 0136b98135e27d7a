"""Stages of a step: each brings its module onto the device, is timed and measured, and lets the module leave."""

from __future__ import annotations

import resource
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import torch

from speechrl.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOST = torch.device("cpu")
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Movable(Protocol):
    """Anything that lives on one device at a time: a module, a rollout engine, the learner."""

    def to(self, device: torch.device, /) -> Any:
        """Move in place."""
        ...


class Stages:
    """The stages of one step.

    Example:
        stage = Stages(torch.device("cuda"))
        with stage("encode", model.encoder):
            contexts = model.encode(prompts)

    Attributes:
        seconds: Wall-clock seconds by stage, moves included; a stage that is entered twice adds up.
        memory_bytes: Peak memory by stage: on a GPU what tensors held at most during the stage, on a CPU the largest
            resident size the process has had so far (the operating system keeps no smaller window).
    """

    def __init__(self, device: torch.device) -> None:
        self.seconds: dict[str, float] = {}
        self.memory_bytes: dict[str, float] = {}
        self._device = device

    @contextmanager
    def __call__(self, name: str, module: Movable | None = None) -> Iterator[None]:
        """Enter a stage; `module` is on the device inside and on the host afterwards, also when the stage fails."""
        start = time.perf_counter()
        on_gpu = self._device.type == "cuda"
        if on_gpu:
            torch.cuda.reset_peak_memory_stats(self._device)
        try:
            if module is not None and on_gpu:
                module.to(self._device)
            yield
        finally:
            if on_gpu:
                torch.cuda.synchronize(self._device)
                peak = float(torch.cuda.max_memory_allocated(self._device))
            else:
                peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT)
            if module is not None and on_gpu:
                module.to(_HOST)
            self.memory_bytes[name] = max(peak, self.memory_bytes.get(name, 0.0))
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def choose_device(wish: str) -> torch.device:
    """The device that a configuration asks for: `auto` takes a GPU if torch sees one.

    Raises:
        ConfigError: A GPU is wished for, and torch sees none.
    """
    if wish == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device is cuda, but torch sees no GPU here: set train.device (or probe.device) to auto or cpu, or "
            "install a build of torch for your GPU (`speechrl doctor` says what there is)"
        )
    if wish == "auto":
        wish = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wish)
