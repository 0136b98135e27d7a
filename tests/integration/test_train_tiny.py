"""Whole runs on a toy: the page, the run directory, the events, and that it learns."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from toys import ToyRecogniser, toy_config

from speechrl.config.load import load_config
from speechrl.errors import CheckpointError, ConfigError, DataError, ModelError, RewardError, TrainingError
from speechrl.train import loop
from speechrl.train import run as run_module
from speechrl.train.events import RunResult, SilentListener, StopRequest
from speechrl.train.run import train
from speechrl.train.stages import Stages


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "load_model", lambda path: ToyRecogniser())


@dataclass
class Ears(SilentListener):
    """Remembers everything; may do something at a step."""

    at: dict[int, Any] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def run_started(self, config: Any, first_step: int) -> None:
        self.events.append(f"start {first_step}")

    def evaluation_started(self, moment: Any, sets: Any) -> None:
        self.events.append(f"evaluate {moment} {dict(sets)}")

    def evaluation_finished(self, moment: Any, results: Any) -> None:
        assert results["seen"]["words"] == 16

    def step_finished(self, step: int, row: Any) -> None:
        self.events.append(f"step {step}")
        self.rows.append(dict(row))
        self.at.get(step, lambda: None)()

    def message(self, text: str, *, alarm: bool = False) -> None:
        self.messages.append(text)


def rows_of(result: RunResult) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()]


def mean_reward(rows: list[dict[str, Any]]) -> float:
    return sum(row["reward"] for row in rows) / len(rows)


def test_grpo_learns(tmp_path: Path) -> None:
    result = train(toy_config(tmp_path, train__steps=40, data__batch_size=8, rollout__group_size=8))
    rows = rows_of(result)
    assert mean_reward(rows[:4]) < 0.1
    assert mean_reward(rows[-4:]) > 0.45
    before, after = (result.evaluation[moment]["seen"]["wer"] for moment in ("before", "after"))
    assert after < 0.7 * before
    assert max(row["logprob_gap"] for row in rows) < 1e-5


@pytest.mark.parametrize("algorithm", ["gspo", "mwer", "sft"])
def test_its_siblings_run_on_the_same_page(tmp_path: Path, algorithm: str) -> None:
    options = {"name": algorithm, "kl": "none", "loss_mean": "group"}
    rows = rows_of(train(toy_config(tmp_path, train__steps=20, data__batch_size=8, algorithm=options)))
    if algorithm == "sft":
        assert rows[-1]["nll"] < 0.5 * rows[0]["nll"]
        assert rows[-1]["logprob_gap"] is None  # a teacher is no behaviour policy
    else:
        assert mean_reward(rows[-4:]) > mean_reward(rows[:4]) + 0.1


def test_low_rank_bf16_several_updates_and_resampling_run_together(tmp_path: Path) -> None:
    config = toy_config(
        tmp_path,
        model={"path": "toy", "lora_rank": 4},
        algorithm={"resample_zero_spread": 2, "kl": "k3"},
        train={"steps": 3, "warmup_steps": 0, "precision": "bf16", "updates_per_batch": 2, "device": "cpu"},
    )
    result = train(config)
    assert all(row["kl"] >= 0 and row["logprob_gap"] < 0.05 for row in rows_of(result))
    assert all("redrawn_groups" in row for row in rows_of(result))


def test_run_directory_and_events(tmp_path: Path) -> None:
    ears = Ears()
    config = toy_config(tmp_path, train__steps=3, evaluation__every=2, train__checkpoint_every=1)
    result = train(config, listener=ears)
    sets = {"seen": 8}
    evaluations = [f"evaluate {moment} {sets}" for moment in ("before", "between", "after")]
    assert ears.events == [
        evaluations[0],
        "start 1",
        "step 1",
        evaluations[1],
        "step 2",
        "step 3",
        evaluations[2],
    ]
    # The toy is measured on what it practises on, and is told so.
    assert any(note.startswith("8 of 8 rows of evaluation.sets.seen say") for note in ears.messages)
    assert result == RunResult(tmp_path / "run", 3, False, result.evaluation, tmp_path / "run" / "model")
    assert json.loads((result.run_dir / "evaluation.json").read_text()) == result.evaluation
    assert set(result.evaluation) >= {"before", "after", "paired", "seconds"}
    for name in ("config.yaml", "environment.json", "timeline.json", "samples", "model/speechrl.json"):
        assert (result.run_dir / name).exists(), name
    assert sorted(path.name for path in (result.run_dir / "checkpoints").iterdir()) == [
        "step-000002",
        "step-000003",
    ]
    rows = rows_of(result)
    assert rows == ears.rows
    stages = ("encode", "sample", "decode", "score", "credit", "update", "load")
    keys = {
        "step",
        "reward",
        "reward/accuracy",
        "zero_spread_share",
        "kl",
        "logprob_gap",
        "failed_scores",
        "grad_norm",
    }
    keys |= {"loss", "entropy", "learning_rate", "completion_length"}
    assert keys | {f"seconds/{stage}" for stage in stages} <= set(rows[0])
    assert ["evaluation/seen/wer" in row for row in rows] == [False, True, False]


def test_a_run_is_not_overwritten(tmp_path: Path) -> None:
    config = toy_config(tmp_path, train__steps=1)
    train(config)
    before = (tmp_path / "run" / "metrics.jsonl").read_text()
    with pytest.raises(ConfigError, match="already holds a run"):
        train(config)
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == before


def test_ctrl_c_finishes_the_step_saves_and_can_be_resumed(tmp_path: Path) -> None:
    ears = Ears(at={2: lambda: os.kill(os.getpid(), signal.SIGINT)})
    config = toy_config(tmp_path)
    # Not always Python's own: a shell starts background jobs with the signal ignored.
    handler = signal.getsignal(signal.SIGINT)
    result = train(config, listener=ears)
    assert result.interrupted
    assert result.steps == 2
    assert "Press Ctrl-C again" in ears.messages[-1]
    assert signal.getsignal(signal.SIGINT) is handler
    again = Ears()
    assert train(config, resume=True, listener=again).steps == 6
    assert [event for event in again.events if "before" in event] == []
    assert again.events[:2] == ["start 3", "step 3"]


def test_ctrl_c_in_the_last_step_leaves_the_evaluation_to_the_resumed_run(tmp_path: Path) -> None:
    config = toy_config(tmp_path, train__steps=2)
    ears = Ears(at={2: lambda: os.kill(os.getpid(), signal.SIGINT)})
    result = train(config, listener=ears)
    assert (result.interrupted, result.steps, dict(result.evaluation)) == (True, 2, {})
    assert not any("after" in event for event in ears.events)
    resumed = train(config, resume=True)
    assert resumed.evaluation["after"]["seen"]["words"] == 16
    assert len(rows_of(resumed)) == 2


def test_a_stop_at_an_awkward_moment_is_saved_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(StopRequest):
        """Asked for just after the page looked for the first time."""

        looks = 0

        @property  # type: ignore[override]
        def requested(self) -> bool:
            self.looks += 1
            return self.looks > 1

        @requested.setter
        def requested(self, value: bool) -> None:
            assert not value

    monkeypatch.setattr(run_module, "StopRequest", Late)
    result = train(toy_config(tmp_path))
    assert result.interrupted
    assert (result.run_dir / "checkpoints" / f"step-{result.steps:06d}").is_dir()


def test_every_stage_moves_what_it_computes_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: dict[str, str] = {}

    class Watched(Stages):
        def __call__(self, name: str, module: Any = None) -> Any:
            entered[name] = type(module).__name__
            return super().__call__(name, module)

    monkeypatch.setattr(loop, "Stages", Watched)
    # Eight prompts, four a step: the third step knows them all.
    train(toy_config(tmp_path, train__steps=2, evaluation__sets={}))
    assert entered == {
        "read": "NoneType",
        "encode": "Identity",
        "sample": "TorchEngine",
        "decode": "NoneType",
        "score": "NoneType",
        "credit": "NoneType",
        "update": "Learner",
        "load": "TorchEngine",
    }
    train(toy_config(tmp_path, train__steps=3, evaluation__sets={}, output=str(tmp_path / "second")))
    assert entered["encode"] == "NoneType"


def test_a_second_ctrl_c_leaves_at_once(tmp_path: Path) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    ears = Ears(at={3: twice})
    with pytest.raises(KeyboardInterrupt):
        train(toy_config(tmp_path, train__checkpoint_every=2), listener=ears)
    assert "Left in step 4, without saving it. Step 3 is lost too; " in ears.messages[-1]
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-000002"]


def test_truncated_checkpoint_is_told_and_passed_over(tmp_path: Path) -> None:
    config = toy_config(tmp_path, train__checkpoint_every=2)
    whole = rows_of(train(config))
    tensors = tmp_path / "run" / "checkpoints" / "step-000006" / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:1000])
    ears = Ears()
    again = rows_of(train(config, resume=True, listener=ears))
    assert any(str(tensors) in message and "truncated" in message for message in ears.messages)
    assert "start 5" in ears.events
    assert [row["loss"] for row in again] == [row["loss"] for row in whole]


def test_changed_settings_are_told_on_resume(tmp_path: Path) -> None:
    train(toy_config(tmp_path, train__steps=2))
    ears = Ears()
    train(toy_config(tmp_path, train__steps=3), resume=True, listener=ears)
    assert any("train.steps was 2 and is 3" in message for message in ears.messages)
    kept = {name: (tmp_path / "run" / name).read_bytes() for name in ("config.yaml", "metrics.jsonl")}
    with pytest.raises(CheckpointError, match=r"does not fit this configuration.*model\.lora_rank"):
        train(toy_config(tmp_path, train__steps=3, model={"path": "toy", "lora_rank": 2}), resume=True)
    with pytest.raises(DataError, match="other data, another seed"):
        train(toy_config(tmp_path, train__steps=4, seed=2), resume=True)
    assert {name: (tmp_path / "run" / name).read_bytes() for name in kept} == kept


def test_losses_that_stay_non_finite_end_the_run_and_are_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ears = Ears()
    config = toy_config(tmp_path, guards={"max_skipped_steps": 3})
    with monkeypatch.context() as broken:
        broken.setattr(run_module.Learner, "_step", lambda self, tally: False)
        with pytest.raises(TrainingError, match="3 steps in a row"):
            train(config, listener=ears)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["updated"] for row in rows] == [False, False, False]
    assert "not finite" in rows[0]["alarms"][0]
    assert ears.messages[-1].startswith("Everything up to step 3 is saved")
    # The third step was finished, if in vain: going on begins with other data, not with the step that failed.
    again = Ears()
    train(config, resume=True, listener=again)
    assert "start 4" in again.events


def fails_at(monkeypatch: pytest.MonkeyPatch, place: str, step: int, error: Exception) -> pytest.MonkeyPatch:
    """Let a part of the page fail in one step, once it has done its work and drawn random numbers."""
    kind, name = {
        "rewards": (run_module.RewardMixer, "score"),
        "update": (run_module.Learner, "update"),
        "between": (run_module.Evaluations, "between"),
    }[place]
    real = getattr(kind, name)
    calls = []

    def broken(self: Any, *arguments: Any) -> Any:
        found = real(self, *arguments)
        calls.append(1)
        if len(calls) == step:
            _ = random.random(), np.random.rand(), torch.rand(())
            raise error
        return found

    monkeypatch.setattr(kind, name, broken)
    return monkeypatch


def comparable(run_dir: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    return [
        {key: value for key, value in row.items() if not key.startswith(("seconds/", "memory/"))}
        for row in rows
    ]


@pytest.mark.parametrize("error", [RewardError("all failed"), RuntimeError("out of memory")])
def test_a_step_that_fails_costs_that_step_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """No checkpoint was asked for; those before the failure are as good as if nothing had happened."""
    settings = {"algorithm": {"kl_weight": 0.01, "resample_zero_spread": 1}}
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    for folder in (straight, broken):
        folder.mkdir()
    train(toy_config(straight, **settings))
    ears = Ears()
    config = toy_config(broken, **settings)
    with monkeypatch.context() as patch:
        # The seventh call is within the fourth step, since steps draw once more.
        fails_at(patch, "rewards", 7, error)
        with pytest.raises(type(error), match=str(error)):
            train(config, listener=ears)
    done = len(comparable(broken / "run"))
    assert 0 < done < 6
    assert ears.messages[-1].startswith(f"Everything up to step {done} is saved; go on with:")
    assert ears.messages[-1].endswith(f"speechrl train {broken / 'run' / 'config.yaml'} --resume")
    again = Ears()
    train(load_config(broken / "run" / "config.yaml"), resume=True, listener=again)
    assert f"start {done + 1}" in again.events
    assert comparable(broken / "run") == comparable(straight / "run")
    last = Path("run") / "checkpoints" / "step-000006"
    for name in ("tensors.safetensors", "state.json"):
        kept = [(folder / last / name).read_bytes() for folder in (straight, broken)]
        assert kept[0].replace(b"broken", b"straight") == kept[1].replace(b"broken", b"straight")


@pytest.mark.parametrize("place", ["update", "between"])
def test_weights_of_a_step_that_failed_after_its_update_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    ears = Ears()
    config = toy_config(tmp_path, train__checkpoint_every=2)
    with monkeypatch.context() as patch:
        fails_at(patch, place, 4, ModelError("no such layer"))
        with pytest.raises(ModelError):
            train(config, listener=ears)
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-000002"]
    assert "Step 3 is lost: step 4 had changed the weights" in ears.messages[-1]
    assert "Everything up to step 2 is saved" in ears.messages[-1]


def test_a_step_whose_row_is_written_is_kept_whatever_fails_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ears = Ears()
    with monkeypatch.context() as patch:
        broken = OSError("no room for samples")
        patch.setattr(run_module.RunWriter, "_keep_samples", lambda *_: (_ for _ in ()).throw(broken))
        with pytest.raises(TrainingError, match="no room for samples"):
            train(toy_config(tmp_path), listener=ears)
    assert len(comparable(tmp_path / "run")) == 1
    assert ears.messages[-1].startswith("Everything up to step 1 is saved")


def test_the_first_step_has_nothing_to_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ears = Ears()
    with monkeypatch.context() as patch:
        fails_at(patch, "rewards", 1, RewardError("all failed"))
        with pytest.raises(RewardError):
            train(toy_config(tmp_path), listener=ears)
    assert not any("saved" in message for message in ears.messages)
    assert not (tmp_path / "run" / "checkpoints").exists()
    train(toy_config(tmp_path))  # neither a run nor a used directory


def test_a_checkpoint_that_cannot_be_written_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = []

    def no_room(self: Any, step: int, state: Any) -> None:
        tries.append(step)
        raise CheckpointError("the disk is full")

    close = run_module.RunWriter.close

    def nor_here(self: Any) -> None:
        close(self)
        raise OSError("no room for the timeline either")

    monkeypatch.setattr(run_module.Checkpoints, "save", no_room)
    monkeypatch.setattr(run_module.RunWriter, "close", nor_here)
    with pytest.raises(CheckpointError, match="the disk is full"):
        train(toy_config(tmp_path, train__checkpoint_every=2))
    assert tries == [2]


def test_the_error_of_the_step_survives_a_rescue_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(self: Any, step: int, state: Any) -> None:
        raise CheckpointError("the disk is full")

    monkeypatch.setattr(run_module.Checkpoints, "save", no_room)
    fails_at(monkeypatch, "rewards", 3, RewardError("all failed"))
    ears = Ears()
    with pytest.raises(RewardError, match="all failed"):
        train(toy_config(tmp_path), listener=ears)
    assert ears.messages[-1] == "Steps 1 to 2 are lost: the disk is full"


def test_nothing_is_said_of_an_evaluation_of_nothing(tmp_path: Path) -> None:
    ears = Ears()
    train(toy_config(tmp_path, train__steps=1, evaluation__sets={}), listener=ears)
    assert not [event for event in ears.events if "evaluat" in event]


@pytest.mark.parametrize("remains", ["metrics.jsonl", "checkpoints"])
def test_a_used_directory_and_unfit_rewards_are_refused_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remains: str
) -> None:
    config = toy_config(tmp_path, train__steps=1)
    train(config)
    run_dir = tmp_path / "run"
    if remains == "metrics.jsonl":
        shutil.rmtree(run_dir / "checkpoints")
    else:
        (run_dir / "metrics.jsonl").unlink()

    def never(*_: object) -> Any:
        raise AssertionError("was loaded")

    for name in ("read_sets", "load_sets", "load_model"):
        monkeypatch.setattr(run_module, name, never)
    with pytest.raises(ConfigError, match="already holds a run"):
        train(config)
    unfit = toy_config(tmp_path, output=str(tmp_path / "new"), rewards={"terms": [{"name": "acuracy"}]})
    with pytest.raises(ConfigError, match="acuracy"):
        train(unfit)
    assert not (tmp_path / "new").exists()
