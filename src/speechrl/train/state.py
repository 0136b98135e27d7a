"""What a run is between two steps, and how it is kept: at the page's wish, and when a step fails."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from speechrl.errors import CheckpointError
from speechrl.train.randomness import random_state, restore_random_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from speechrl.config.schema import RunConfig
    from speechrl.train.checkpoint import Checkpoints, Loaded
    from speechrl.train.events import Listener


class Stateful(Protocol):
    """Anything whose state can be taken and put back: the learner, the stream, the guards."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors and JSON values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any], /) -> None:
        """Go on from `state_dict`."""
        ...


@dataclass(frozen=True, slots=True)
class RunState:
    """Everything that a step changes."""

    config: RunConfig
    learner: Stateful
    source: Stateful
    guards: Stateful

    def position(self) -> dict[str, Any]:
        """All but weights and optimiser: small enough to be remembered after every step."""
        return {
            "source": self.source.state_dict(),
            "guards": self.guards.state_dict(),
            "random": random_state(),
        }

    def collect(self, position: Mapping[str, Any]) -> dict[str, Any]:
        """The content of a checkpoint."""
        return {
            "config": self.config.model_dump(mode="json"),
            "learner": self.learner.state_dict(),
            **position,
        }

    def updates(self) -> float:
        """Optimiser steps so far, as AdamW counts them."""
        moments = self.learner.state_dict()["optimizer"].values()
        return max((float(kept["step"]) for kept in moments), default=0.0)

    def restore(self, loaded: Loaded) -> None:
        """Go on from a checkpoint.

        Raises:
            CheckpointError: It is of another model.
            DataError: It is of other data.
        """
        try:
            self.learner.load_state_dict(loaded.state["learner"])
            self.guards.load_state_dict(loaded.state["guards"])
            self.source.load_state_dict(loaded.state["source"])
            restore_random_state(loaded.state["random"])
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(
                f"the checkpoint of step {loaded.step} does not fit this configuration ({error}). Resume with the "
                "model.path and model.lora_rank that the run began with; they are in its config.yaml."
            ) from error


class Keeper:
    """Saves the run as it was when its last step had finished.

    Used as a context manager around the steps: a step that fails, for whatever reason, costs that step alone. It has
    drawn prompts and random numbers, so these are kept as they were before it; weights and optimiser are still those,
    because the update comes last. Where the failure comes after the update, it cannot be taken back, and the newest
    checkpoint is what remains. A second Ctrl-C saves nothing: it asks to leave at once.

    Args:
        checkpoints: Where to.
        state: What.
        step: Steps done before the first one; they are in a checkpoint, or 0.
        listener: Is told how to go on.
        run_dir: Of the run.
    """

    def __init__(
        self, checkpoints: Checkpoints, state: RunState, step: int, listener: Listener, run_dir: Path
    ) -> None:
        self._checkpoints = checkpoints
        self._state = state
        self._listener = listener
        self._run_dir = run_dir
        self._saved = step
        self.finished(step)

    def finished(self, step: int) -> None:
        """A step has its row: what is saved from now on is the run after it."""
        self._step = step
        self._position = self._state.position()
        self._updates = self._state.updates()

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            CheckpointError: It could not be written.
        """
        self._checkpoints.save(self._step, self._state.collect(self._position))
        self._saved = self._step

    def __enter__(self) -> Keeper:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            lost = f"Left in step {self._step + 1}, without saving it. "
            if self._step > self._saved:
                lost += f"{self._unsaved()} lost too; train.checkpoint_every saves in between. "
            self._tell(lost)
        # A checkpoint that could not be written says itself what to do; it would fail once more.
        elif isinstance(error, Exception) and not isinstance(error, CheckpointError):
            self._tell(self._rescue())

    def _rescue(self) -> str:
        """Save what was not; says what could not be saved, or nothing."""
        if self._saved == self._step:
            return ""
        if self._state.updates() != self._updates:
            why = f"step {self._step + 1} had changed the weights, which cannot be taken back."
        else:
            try:
                self.save()
            except CheckpointError as error:
                why = str(error)
            else:
                return ""
        return f"{self._unsaved()} lost: {why} "

    def _unsaved(self) -> str:
        """The finished steps that are in no checkpoint."""
        first, last = self._saved + 1, self._step
        return f"Step {last} is" if first == last else f"Steps {first} to {last} are"

    def _tell(self, lost: str) -> None:
        """Say what is lost, and how to go on."""
        if self._saved:
            command = f"speechrl train {shlex.quote(str(self._run_dir / 'config.yaml'))} --resume"
            lost += f"Everything up to step {self._saved} is saved; go on with:\n  {command}"
        if lost:
            self._listener.message(lost.rstrip(), alarm=True)
