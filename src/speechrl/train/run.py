"""Puts a run together: from a configuration to a trained model and its run directory."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from speechrl.algorithms import make_algorithm
from speechrl.data.derive import read_sets
from speechrl.data.stream import PromptStream, within_duration
from speechrl.errors import CheckpointError, ConfigError
from speechrl.evaluate.sets import load_sets
from speechrl.models.encode_once import EncodeOnce
from speechrl.models.load import load_model
from speechrl.report.run_writer import RunWriter
from speechrl.rewards.base import RewardMixer
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.teacher import TeacherRollouts
from speechrl.rollout.torch_engine import TorchEngine
from speechrl.train.checkpoint import Checkpoints
from speechrl.train.evaluations import Evaluations
from speechrl.train.events import RunResult, SilentListener, StopRequest
from speechrl.train.guards import Guards
from speechrl.train.learner import Learner
from speechrl.train.loop import Parts, run_steps
from speechrl.train.randomness import random_state, restore_random_state, seed_everything
from speechrl.train.stages import choose_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    from speechrl.algorithms.base import Algorithm
    from speechrl.config.schema import RunConfig
    from speechrl.models.base import SpeechModel
    from speechrl.rollout.base import Rollouts
    from speechrl.train.checkpoint import Loaded
    from speechrl.train.events import Listener
    from speechrl.types import Prompt


def train(config: RunConfig, *, resume: bool = False, listener: Listener | None = None) -> RunResult:
    """Evaluate, train, evaluate again, and write the run directory `config.output`.

    Ctrl-C finishes the step and saves a checkpoint. A run that was interrupted or killed goes on from its newest whole
    checkpoint, or from the start if it has none, and logs the same numbers as one that was never stopped.

    Args:
        config: The run.
        resume: Go on in `config.output`; else it must hold no run yet.
        listener: Is told what happens.

    Raises:
        ConfigError: The run directory already holds a run, or the data and the model are of different tasks.
        SpeechRLError: Everything else that can be expected to fail, each with its own class.
    """
    listener = listener or SilentListener()
    run_dir = Path(config.output).expanduser()
    checkpoints = Checkpoints(run_dir / "checkpoints", config.train.keep_checkpoints)
    loaded = _find_checkpoint(checkpoints, run_dir, config, listener) if resume else None
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    seed_everything(config.seed)
    device = choose_device(config.train.device)
    source = _open_stream(config, listener)
    sets = load_sets(config.evaluation.sets)
    with ExitStack() as stack:
        rewards = stack.enter_context(RewardMixer(config.rewards))
        model = load_model(config.model.path)
        if model.task != config.task:
            raise ConfigError(
                f"`task` is {config.task}, but {config.model.path} is a model for {model.task}."
            )
        algorithm = make_algorithm(config.algorithm)
        rollouts = _make_rollouts(model, algorithm, config)
        learner = Learner(model.language_model, algorithm, config.train, lora_rank=config.model.lora_rank)
        guards = Guards(config.guards, teacher=algorithm.teacher)
        resume_step = (loaded.step if loaded else 0) if resume else None
        writer = stack.enter_context(RunWriter(run_dir, config, resume_step))
        once = EncodeOnce(model)
        evaluations = Evaluations(once, sets, config, device, run_dir, listener)
        before = evaluations.before(resume=resume)
        state = _State(config, learner, source, guards)
        if loaded:
            state.restore(loaded)
            rollouts.load(learner.weights(), loaded.step)
        first_step = (resume_step or 0) + 1
        listener.run_started(config, first_step)
        stop = stack.enter_context(StopRequest(listener))
        parts = Parts(
            model=once,
            source=source,
            rollouts=rollouts,
            rewards=rewards,
            algorithm=algorithm,
            learner=learner,
            guards=guards,
            writer=writer,
            listener=listener,
            stop=stop,
            between=evaluations.between,
            save=lambda step: checkpoints.save(step, state.collect()),
        )
        done = run_steps(parts, config, device, first_step)
    if stop.requested or done < config.train.steps:
        return RunResult(run_dir, done, interrupted=True, evaluation={}, model_dir=None)
    learner.finish()
    content = evaluations.after(before)
    model.save(run_dir / "model")
    return RunResult(run_dir, done, interrupted=False, evaluation=content, model_dir=run_dir / "model")


class StreamSource:
    """Prompts one by one from a stream, so that any number can be drawn and the position stays exact."""

    def __init__(self, stream: PromptStream) -> None:
        self._stream = stream

    def draw(self, count: int) -> list[Prompt]:
        """The next `count` prompts; more than an epoch has go on into the next."""
        return [prompt for _ in range(count) for prompt in self._stream.next_batch()]

    def state_dict(self) -> dict[str, Any]:
        """The position."""
        return self._stream.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._stream.load_state_dict(state)


@dataclass(frozen=True, slots=True)
class _State:
    """Everything that a step changes, as one checkpoint."""

    config: RunConfig
    learner: Learner
    source: StreamSource
    guards: Guards

    def collect(self) -> dict[str, Any]:
        return {
            "config": self.config.model_dump(mode="json"),
            "learner": self.learner.state_dict(),
            "source": self.source.state_dict(),
            "guards": self.guards.state_dict(),
            "random": random_state(),
        }

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


def _find_checkpoint(
    checkpoints: Checkpoints, run_dir: Path, config: RunConfig, listener: Listener
) -> Loaded | None:
    """The newest whole checkpoint, or None; tells what was passed over and which settings differ."""
    loaded = checkpoints.load_latest()
    if loaded is None:
        listener.message(f"{run_dir} has no checkpoint: this run begins at step 1.")
        return None
    for note in loaded.notes:
        listener.message(f"checkpoint passed over: {note}", alarm=True)
    listener.message(f"going on after step {loaded.step}.")
    changed = _differences(loaded.state["config"], config.model_dump(mode="json"))
    if changed:
        listener.message("settings differ from those of the checkpoint: " + "; ".join(changed), alarm=True)
    return loaded


def _differences(old: Any, new: Any, key: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        names = dict.fromkeys([*old, *new])
        return [
            line
            for name in names
            for line in _differences(old.get(name), new.get(name), f"{key}.{name}".lstrip("."))
        ]
    return [] if old == new else [f"{key} was {old!r} and is {new!r}"]


def _open_stream(config: RunConfig, listener: Listener) -> StreamSource:
    names = [config.data.train] if isinstance(config.data.train, str) else config.data.train
    cuts = read_sets(names)
    kept = within_duration(cuts, config.data.min_duration_s, config.data.max_duration_s)
    if kept.left_out:
        listener.message(
            f"{kept.left_out} of {len(cuts)} utterances are left out by data.min_duration_s, data.max_duration_s."
        )
    return StreamSource(PromptStream(kept.cuts, batch_size=1, seed=config.seed))


def _make_rollouts(model: SpeechModel, algorithm: Algorithm, config: RunConfig) -> Rollouts:
    """The engine with a copy of the policy as it is now, adapters not yet added; or the references, for a teacher.

    It begins on the host: its stages bring it onto the device.
    """
    if algorithm.teacher:
        tokenize = getattr(model, "tokenize", None)
        if tokenize is None:
            raise ConfigError(
                f"algorithm.name={config.algorithm.name} needs a model that can tokenise references."
            )
        return TeacherRollouts(tokenize, model.language_model.end_token_id)
    rollout = config.rollout
    return TorchEngine(
        model.language_model,
        SamplingParams(rollout.temperature, rollout.top_k, rollout.top_p, rollout.max_new_tokens),
        "cpu",
        torch.bfloat16 if config.train.precision == "bf16" else torch.float32,
        rollout.tokens_per_second,
        rollout.tokens_per_character,
    )
