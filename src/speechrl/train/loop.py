"""The page: one training step after another, in the order in which things happen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from speechrl.report.metrics import make_row
from speechrl.train.collect import Collection, credited, rollout_seed
from speechrl.train.stages import Stages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import torch
    from torch import Tensor

    from speechrl.algorithms.base import Algorithm
    from speechrl.config.schema import RunConfig
    from speechrl.models.encode_once import EncodeOnce
    from speechrl.report.run_writer import RunWriter
    from speechrl.rollout.base import Rollouts
    from speechrl.train.collect import PromptSource
    from speechrl.train.events import Listener, StopRequest
    from speechrl.train.guards import Guards
    from speechrl.train.stages import Movable
    from speechrl.train.state import Keeper
    from speechrl.types import Output, Prompt, Sample, Score, StepReport


class Rewards(Protocol):
    """Judges outputs: `rewards.base.RewardMixer`, or its twin elsewhere."""

    @property
    def hears(self) -> bool:
        """Whether any reward listens to the sound of an output."""
        ...

    def score(self, outputs: Sequence[Sequence[Output]], prompts: Sequence[Prompt]) -> list[list[Score]]:
        """One list of scores per group."""
        ...


class Updates(Protocol):
    """Learns from samples: `train.learner.Learner`, or its twin elsewhere."""

    def update(self, samples: Sequence[Sample], step: int) -> StepReport:
        """One batch, one or several optimiser steps."""
        ...

    def weights(self) -> Mapping[str, Tensor]:
        """The policy's weights."""
        ...

    def to(self, device: torch.device, /) -> Movable:
        """Move in place."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything the page calls.

    Attributes:
        between: Evaluates after a step if it is time to, as a stage; numbers for that step's row, or none.
        keeper: Is told when a step is finished; saves the run after it when asked, and when the next step fails.
    """

    model: EncodeOnce
    source: PromptSource
    rollouts: Rollouts
    rewards: Rewards
    algorithm: Algorithm
    learner: Updates
    guards: Guards
    writer: RunWriter
    listener: Listener
    stop: StopRequest
    between: Callable[[int, Stages], Mapping[str, float]]
    keeper: Keeper


def run_steps(parts: Parts, config: RunConfig, device: torch.device, first_step: int) -> int:
    """Train from `first_step` to the last one, or until someone asks to stop; returns the last step done and saved.

    Raises:
        RewardError: Too large a share of a step's scores failed.
        TrainingError: Too many updates in a row were not finite.
        CheckpointError: A checkpoint could not be written.
    """
    p = parts
    group_size = 1 if p.algorithm.teacher else config.rollout.group_size
    max_redraws = 0 if p.algorithm.teacher else config.algorithm.resample_zero_spread
    done = first_step - 1
    for step in range(first_step, config.train.steps + 1):
        stage = Stages(device)
        collection = Collection(batch_size=config.data.batch_size, max_redraws=max_redraws)
        for draw, missing in collection.draws():
            with stage("read"):
                prompts = p.source.draw(missing)
            with stage("encode", p.model.encoder_for(prompts)):
                contexts = p.model.encode(prompts)
            with stage("sample", p.rollouts):
                seed = rollout_seed(config.seed, step, draw)
                groups = p.rollouts.sample(contexts, prompts, group_size, seed)
            with stage("decode", p.model.decoder if p.rewards.hears else None):
                outputs = p.model.decode(groups, audio=p.rewards.hears)
            with stage("score"):
                scores = p.rewards.score(outputs, prompts)
            if not p.algorithm.teacher:  # what it shows is right, and says nothing of the model
                p.source.learn(prompts, scores)
            collection.add(prompts, groups, outputs, scores)
        batch = collection.batch()
        with stage("credit"):
            samples, credit = p.algorithm.credit(batch.groups, batch.scores, batch.prompts)
        with stage("update", p.learner):
            report = p.learner.update(samples, step)
        with stage("load", p.rollouts):
            p.rollouts.load(p.learner.weights(), step)
        evaluated = p.between(step, stage)
        report = replace(report, metrics={**credit, **collection.counts(), **report.metrics, **evaluated})
        report = p.guards.review(step, report)
        row = make_row(
            step,
            batch.prompts,
            batch.outputs,
            batch.scores,
            report,
            stage.seconds,
            stage.memory_bytes,
        )
        row = p.guards.listen(step, row)
        advantages = credited(batch.groups, samples)
        # Kept only after the guards, who would be remembered without what they just heard.
        p.writer.log(
            row, batch.prompts, batch.outputs, batch.scores, advantages, kept=partial(p.keeper.finished, step)
        )
        for alarm in row.get("alarms", ()):
            p.listener.message(f"step {step}: {alarm}", alarm=True)
        p.listener.step_finished(step, row)
        p.guards.stop_if_hopeless(step)
        done = step
        every = config.train.checkpoint_every
        # Looked at once: a signal between saving and leaving must not lose the step.
        stopping = p.stop.requested
        if stopping or step == config.train.steps or (every and step % every == 0):
            p.keeper.save()
        if stopping:
            break
    return done
