"""What a run tells whoever watches it, and how Ctrl-C asks it to stop."""

from __future__ import annotations

import signal
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import FrameType, TracebackType

    from speechrl.config.schema import RunConfig

Moment = Literal["before", "between", "after"]


class Listener(Protocol):
    """Watches a run: a progress line, a test, a notebook. Every method returns at once."""

    def run_started(self, config: RunConfig, first_step: int) -> None:
        """Everything is loaded; `first_step` is 1, or the step after the checkpoint that was resumed."""
        ...

    def evaluation_started(self, moment: Moment, sets: Mapping[str, int]) -> None:
        """An evaluation begins on these sets (name -> utterances)."""
        ...

    def evaluation_finished(self, moment: Moment, results: Mapping[str, Mapping[str, Any]]) -> None:
        """Set -> numbers, as in `evaluation.json`."""
        ...

    def step_finished(self, step: int, row: Mapping[str, Any]) -> None:
        """The row of this step, as in `metrics.jsonl`."""
        ...

    def message(self, text: str, *, alarm: bool = False) -> None:
        """A sentence for the user: an alarm of a guard, a checkpoint that was skipped, how to resume."""
        ...


class SilentListener:
    """Listens and says nothing."""

    def run_started(self, config: RunConfig, first_step: int) -> None:
        """Nothing."""

    def evaluation_started(self, moment: Moment, sets: Mapping[str, int]) -> None:
        """Nothing."""

    def evaluation_finished(self, moment: Moment, results: Mapping[str, Mapping[str, Any]]) -> None:
        """Nothing."""

    def step_finished(self, step: int, row: Mapping[str, Any]) -> None:
        """Nothing."""

    def message(self, text: str, *, alarm: bool = False) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    Attributes:
        run_dir: Its directory.
        steps: Steps done, over all its sessions.
        interrupted: True when it was asked to stop; a checkpoint of `steps` was saved.
        evaluation: The content of `evaluation.json`; empty when interrupted.
        model_dir: Folder of the trained model, or None when interrupted.
    """

    run_dir: Path
    steps: int
    interrupted: bool
    evaluation: Mapping[str, Any]
    model_dir: Path | None


class StopRequest:
    """Turns the first Ctrl-C (or SIGTERM) into a wish that the page grants after its step; the second one ends at once.

    Used as a context manager around the steps. Outside the main thread, where Python allows no handlers, it never asks.
    """

    def __init__(self, listener: Listener) -> None:
        self.requested = False
        self._listener = listener
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002  (the shape of a handler)
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._listener.message(
            "Stopping: this step is finished and saved first. Press Ctrl-C again to leave at "
            "once, and to lose all that was done since the last checkpoint."
        )
