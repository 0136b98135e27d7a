"""The run directory while it is being written: configuration, environment, metrics, timeline and samples."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, Self

from speechrl.config.load import show
from speechrl.errors import ConfigError, TrainingError
from speechrl.report import samples
from speechrl.report.environment import describe_environment
from speechrl.report.timeline import timeline
from speechrl.report.writers import (
    JsonlWriter,
    TensorBoardWriter,
    WandbWriter,
    Writer,
    read_rows,
    write_atomically,
    write_json,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from speechrl.config.schema import RunConfig
    from speechrl.report.sounds import Render
    from speechrl.types import Output, Prompt, Score

TIMELINE_EVERY_S, TIMELINE_SHARE = 5.0, 0.01
"""The timeline is a whole file: it is rewritten so seldom, and takes no more than this share of the time."""
HEARD_SAMPLES = 4
"""Recordings of a kept step that go to TensorBoard; a synthesiser's best and worst rollouts all do."""


class RunWriter:
    """Writes a run directory, step by step.

    Every file is whole at every moment: lines are flushed, other files are replaced atomically.
    """

    def __init__(
        self,
        run_dir: Path,
        config: RunConfig,
        resume_step: int | None = None,
        *,
        render: Render | None = None,
    ) -> None:
        """Make or reopen the run directory.

        Args:
            run_dir: Made if it does not exist.
            config: Written as `config.yaml`, resolved.
            resume_step: None for a new run; else the step of the checkpoint: what was logged after it is dropped, since
                it will be logged again.
            render: Makes sound of the few rollouts that are kept, where a synthesiser's rewards need none.

        Raises:
            ConfigError: A new run into a directory that has metrics already.
            MissingExtraError: W&B was asked for and is not installed.
        """
        self.run_dir = run_dir
        self._render = render
        self._config = config.report
        self._steps = config.train.steps
        metrics_path = run_dir / "metrics.jsonl"
        if resume_step is None and read_rows(metrics_path):
            raise ConfigError(
                f"{run_dir} already holds a run (metrics.jsonl has rows). Resume it, "
                "choose another `output`, or remove it."
            )
        run_dir.mkdir(parents=True, exist_ok=True)
        resolved = config.model_dump(mode="json")
        write_atomically(run_dir / "config.yaml", show(config))
        self._describe(resume_step)
        if resume_step is not None:
            samples.forget_samples_after(run_dir, resume_step)
        self._writers: list[Writer] = [JsonlWriter(metrics_path, resume_step)]
        if self._config.tensorboard:
            self._writers.append(TensorBoardWriter(run_dir / "tensorboard", resume_step))
        if self._config.wandb_project is not None:
            self._writers.append(WandbWriter(run_dir, self._config.wandb_project, resolved))
        self._rows = read_rows(metrics_path)
        self._timeline_due_s = 0.0

    def log(
        self,
        row: Mapping[str, Any],
        prompts: Sequence[Prompt],
        outputs: Sequence[Sequence[Output]],
        scores: Sequence[Sequence[Score]],
        advantages: Sequence[Sequence[float]] | None = None,
        kept: Callable[[], None] | None = None,
    ) -> None:
        """Write one step everywhere.

        Args:
            row: Of `metrics.jsonl` (`metrics.make_row`).
            prompts: One per group.
            outputs: What the rewards saw, one list per group.
            scores: Their judgement, likewise.
            advantages: Credit of each rollout, where known; kept with the samples.
            kept: Called when the row is in `metrics.jsonl`, which comes first: the step is then whole, whatever fails.

        Raises:
            TrainingError: A file could not be written.
        """
        step = int(row["step"])
        try:
            self._writers[0].row(row)
            if kept is not None:
                kept()
            for writer in self._writers[1:]:
                writer.row(row)
            self._rows.append(dict(row))
            if step == 1 or step % self._config.samples_every == 0 or step == self._steps:
                self._keep_samples(step, prompts, outputs, scores, advantages)
            if time.monotonic() > self._timeline_due_s:
                self._write_timeline()
        except OSError as error:
            raise TrainingError(
                f"step {step} could not be written to {self.run_dir}: {error.strerror or error}. Make room or mend the "
                "permissions."
            ) from error

    def close(self) -> None:
        """Write what is pending."""
        try:
            self._write_timeline()
        finally:
            for writer in self._writers:
                writer.close()

    def __enter__(self) -> Self:
        """The writer itself; leaving the block closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close. A disk too full for the last files must not hide the error that ended the block."""
        with suppress(OSError) if error is not None else nullcontext():
            self.close()

    def _keep_samples(
        self,
        step: int,
        prompts: Sequence[Prompt],
        outputs: Sequence[Sequence[Output]],
        scores: Sequence[Sequence[Score]],
        advantages: Sequence[Sequence[float]] | None,
    ) -> None:
        kept = slice(samples.KEPT_GROUPS)
        rows = samples.sample_rows(
            step, prompts[kept], outputs[kept], scores[kept], None if advantages is None else advantages[kept]
        )
        sounds = {
            f"prompt/{place}": (prompt.audio, prompt.sample_rate_hz)
            for place, prompt in enumerate(prompts[:HEARD_SAMPLES])
            if prompt.task == "asr"
        }
        if not sounds:
            made = samples.keep_rollout_audio(
                self.run_dir, step, rows, prompts[kept], outputs[kept], self._render
            )
            sounds = {tag: (output.waveform, output.sample_rate_hz) for tag, output in made.items()}
        samples.keep_samples(self.run_dir, step, rows, prompts[kept])
        for writer in self._writers:
            writer.text("rollouts", samples.as_markdown(rows), step)
            for tag, (waveform, rate_hz) in sounds.items():
                if waveform is not None and len(waveform):
                    writer.audio(tag, waveform, rate_hz, step)

    def _write_timeline(self) -> None:
        began = time.monotonic()
        write_json(self.run_dir / "timeline.json", timeline(self._rows))
        now = time.monotonic()
        self._timeline_due_s = now + max(TIMELINE_EVERY_S, (now - began) / TIMELINE_SHARE)

    def _describe(self, resume_step: int | None) -> None:
        """Write `environment.json`; a resumed run keeps the description of its earlier sessions."""
        path = self.run_dir / "environment.json"
        earlier: list[dict[str, Any]] = []
        if resume_step is not None and path.exists():
            earlier = json.loads(path.read_text(encoding="utf-8")).get("sessions", [])
        environment = describe_environment()
        session = {"started": environment.pop("started"), "from_step": resume_step or 0}
        write_json(path, environment | {"sessions": [*earlier, session]})
