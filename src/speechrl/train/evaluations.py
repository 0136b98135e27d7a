"""When a run evaluates, and where it keeps what it found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from speechrl.errors import RewardError
from speechrl.evaluate.dispatch import evaluate_model
from speechrl.evaluate.results import assemble, read_evaluation
from speechrl.evaluate.sound import Renderer, check_vocoder
from speechrl.report.held_out import keep_evaluation_audio
from speechrl.report.writers import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    import torch

    from speechrl.config.schema import RunConfig
    from speechrl.evaluate.results import Evaluation
    from speechrl.models.base import SpeechModel
    from speechrl.report.held_out import Scorer
    from speechrl.train.events import Listener, Moment
    from speechrl.train.stages import Stages
    from speechrl.types import Prompt


class Evaluations:
    """Evaluations of one run: before, between (`evaluation.every`) and after its steps.

    Rows per utterance go to `evaluation/before/` and `evaluation/after/`, numbers to `evaluation.json`.

    Args:
        model: What is evaluated; its language model changes from step to step.
        sets: Name -> utterances.
        config: The run.
        device: Where to decode.
        run_dir: Where results go.
        listener: Is told.

    Raises:
        ModelError: The model cannot speak through the vocoder.
    """

    def __init__(
        self,
        model: SpeechModel,
        sets: Mapping[str, Sequence[Prompt]],
        config: RunConfig,
        device: torch.device,
        run_dir: Path,
        listener: Listener,
    ) -> None:
        if model.task == "tts" and sets:
            check_vocoder(model, config.evaluation.vocoder)
        self._model = model
        self._sets = sets
        self._config = config
        self._device = device
        self._run_dir = run_dir
        self._listener = listener

    def before(self, *, resume: bool) -> Evaluation | None:
        """The model as it was loaded, or what an earlier session found; None if the run does not ask for it."""
        if not self._config.evaluation.before or not self._sets:
            return None
        folder = self._run_dir / "evaluation" / "before"
        found = read_evaluation(folder) if resume else None
        if found is None:
            found = self._evaluate("before")
            found.write(folder)
        return found

    def between(self, step: int, stage: Stages) -> dict[str, float]:
        """`evaluation/SET/NUMBER` of this step for what is worth a curve (`CURVES` of the sets), if it is time.

        A judge that fails is told, and costs the step these numbers alone.
        """
        every = self._config.evaluation.every
        if not self._sets or not every or step % every or step == self._config.train.steps:
            return {}
        try:
            with stage("evaluate"):
                found = self._evaluate("between")
        except RewardError as error:
            # A point of the curve is no reason to lose the step.
            self._listener.message(f"step {step}: not evaluated: {error}", alarm=True)
            return {}
        return {
            f"evaluation/{name}/{metric}": float(value)
            for name, numbers in self._numbers(found).items()
            for metric in found.sets[name].CURVES
            if (value := numbers[metric]) is not None
        }

    def after(
        self,
        before: Evaluation | None,
        guard: Callable[[Mapping[str, Mapping[str, Any]]], list[str]],
        score: Scorer | None = None,
        group_terms: Collection[str] = (),
    ) -> dict[str, Any]:
        """The trained model, compared with `before`; the content of `evaluation.json`, which is written.

        Args:
            before: What `before` found.
            guard: Alarms about the sets' numbers, `Guards.end`; they are told, and kept as `alarms`.
            score: The rewards, for the sentences that the report shows.
            group_terms: Those that are not shown, see `keep_evaluation_audio`.
        """
        found = self._evaluate("after")
        found.write(self._run_dir / "evaluation" / "after")
        render = None
        if self._model.task == "tts" and before is not None:
            render = Renderer(self._model, self._config.evaluation.vocoder)
        try:
            keep_evaluation_audio(self._run_dir, self._sets, render, score, group_terms)
        except RewardError as error:
            # The model is trained and measured: this costs the report a few figures.
            self._listener.message(f"no rewards of the shown sentences: {error}", alarm=True)
        content = assemble(before, found, self._config.evaluation.bootstrap, self._config.seed)
        if alarms := guard(content["after"]):
            content["alarms"] = alarms
        for alarm in alarms:
            self._listener.message(f"after training: {alarm}", alarm=True)
        write_json(self._run_dir / "evaluation.json", content)
        return content

    def _evaluate(self, moment: Moment) -> Evaluation:
        self._listener.evaluation_started(
            moment, {name: len(prompts) for name, prompts in self._sets.items()}
        )
        found = evaluate_model(
            self._model, self._sets, self._config.evaluation, self._device, self._config.train.precision
        )
        self._listener.evaluation_finished(moment, self._numbers(found))
        return found

    def _numbers(self, found: Evaluation) -> dict[str, dict[str, Any]]:
        return found.to_json(self._config.evaluation.bootstrap, self._config.seed)
