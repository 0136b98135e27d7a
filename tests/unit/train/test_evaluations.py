"""When a synthesiser's run evaluates, and what it leaves behind."""

import json
from contextlib import nullcontext

import pytest
import soundfile as sf
import torch
from speaking_toys import PerfectJudge, ToySynthesiser, ears, sentence, toy_ears, words_of

from speechrl.config.schema import RunConfig
from speechrl.errors import ConfigError, ModelError, RewardError
from speechrl.evaluate import tts
from speechrl.models.encode_once import EncodeOnce
from speechrl.report.held_out import evaluation_audio_name
from speechrl.report.writers import read_rows
from speechrl.train import evaluations as evaluations_module
from speechrl.train import preflight
from speechrl.train.evaluations import Evaluations
from speechrl.train.events import SilentListener

TEXTS = ("red cat", "blue dog sun moon", "green", "dog dog cat sun red", "moon sun", "cat")


def config(**evaluation) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": "tts",
            "output": "run",
            "model": {"path": "toy"},
            "data": {"train": "none"},
            "rewards": {"terms": [{"name": "duration"}]},
            "train": {"steps": 6, "precision": "fp32"},
            "evaluation": {
                "vocoder": "fast",
                "max_new_tokens": 5,
                "batch_size": 4,
                "bootstrap": 50,
                "every": 2,
                "temperature": 1.0,
                "judges": ["perfect"],
                **evaluation,
            },
        }
    )


@pytest.fixture
def make(tmp_path, monkeypatch):
    monkeypatch.setattr(tts, "load_ears", lambda judges, **_: toy_ears())

    def made(wanted=None, model=None, listener=None):
        sets = {"test": [sentence(f"s{index}", text) for index, text in enumerate(TEXTS)]}
        parts = EncodeOnce(model or ToySynthesiser()), sets, wanted or config(), torch.device("cpu"), tmp_path
        return Evaluations(*parts, listener or SilentListener())

    return made


def stage(name, module=None):
    return nullcontext()


def test_before_and_after_leave_rows_numbers_and_sound(make, tmp_path):
    told = []

    class Told(SilentListener):
        def message(self, text, *, alarm=False):
            told.append((text, alarm))

    evaluations = make(listener=Told())
    before = evaluations.before(resume=False)
    evaluations._model._model.language_model = ToySynthesiser(seed=3).language_model
    content = evaluations.after(before, lambda after: [f"{', '.join(after)} sounds odd"])
    assert content["alarms"] == ["test sounds odd"]
    assert told == [("after training: test sounds odd", True)]
    assert json.loads((tmp_path / "evaluation.json").read_text()) == content
    assert {"judge_wer", "similarity", "tokens_per_char", "no_stop_rate"} <= content["after"]["test"].keys()
    assert content["paired"]["test"]["measure"] == "judge_wer"
    heard = 0
    for moment in ("before", "after"):
        rows = read_rows(tmp_path / "evaluation" / moment / "test.jsonl")
        assert [row["text"] for row in rows] == list(TEXTS)
        for row in rows:
            path = tmp_path / evaluation_audio_name("test", row, moment)
            if path.exists():
                samples, _ = sf.read(path, dtype="float32")
                assert words_of(samples) == row["judges"]["perfect"]["text"].split()
                heard += 1
    assert heard >= 8


def test_a_resumed_run_does_not_speak_again(make):
    first = make().before(resume=False)

    class Mute(ToySynthesiser):
        def encode(self, prompts):
            raise AssertionError("it spoke again")

    assert make(model=Mute()).before(resume=True) == first


def test_between_steps_there_are_numbers_for_curves_only_when_it_is_time(make):
    evaluations = make()
    assert evaluations.between(1, stage) == {}
    assert evaluations.between(6, stage) == {}  # the evaluation after training comes at once
    numbers = evaluations.between(2, stage)
    names = {
        "judge_wer",
        "judge_cer",
        "similarity",
        "tokens_per_char",
        "no_stop_rate",
        "silent_rate",
        "speaking_rate",
    }
    assert names == {name.removeprefix("evaluation/test/") for name in numbers}
    assert all(isinstance(value, float) for value in numbers.values())


def test_a_judge_that_also_rewards_is_refused_before_anything_is_loaded(monkeypatch):
    asked = []
    monkeypatch.setattr(preflight, "check_ears", lambda *listening: asked.append(listening))
    wanted = config(judges=["whisper-base", "moonshine-tiny"], sets={"test": "none"})
    reward = {"name": "recogniser", "options": {"recogniser": "moonshine-tiny"}}
    rewards = wanted.rewards.model_validate({"terms": [{"name": "duration"}, reward]})
    with pytest.raises(ConfigError, match=r"evaluation\.judges: moonshine-tiny is also the recogniser"):
        preflight.refuse_unfit_judges(wanted.model_copy(update={"rewards": rewards}))
    assert not asked
    preflight.refuse_unfit_judges(wanted)
    assert asked == [(["whisper-base", "moonshine-tiny"], ["similarity", "quality", "log_f0_std"], "fast")]
    preflight.refuse_unfit_judges(config(sets={}))
    assert len(asked) == 1


def test_a_vocoder_that_the_model_cannot_speak_through_is_refused_at_once(make):
    with pytest.raises(ModelError, match=r"has no `speak`: set evaluation\.vocoder to fast"):
        make(config(vocoder="hifigan", before=False))


def test_without_an_evaluation_before_there_is_no_comparison(make, tmp_path):
    evaluations = make(config(before=False))
    assert evaluations.before(resume=False) is None
    content = evaluations.after(None, lambda after: [])
    assert "alarms" not in content
    assert content["before"] == content["paired"] == {}
    assert not (tmp_path / "audio").exists()


def test_ears_that_an_evaluation_opened_are_closed(make, monkeypatch):
    closed = []

    class Closing(PerfectJudge):
        pass

    made = ears({"perfect": Closing()})
    monkeypatch.setattr(type(made.judges["perfect"]), "close", lambda self: closed.append(self))
    monkeypatch.setattr(tts, "load_ears", lambda judges, **_: made)
    make().before(resume=False)
    assert len(closed) == 1


def test_a_judge_that_fails_between_steps_costs_its_numbers_alone(make, monkeypatch):
    told = []

    class Told(SilentListener):
        def message(self, text, *, alarm=False):
            told.append((text, alarm))

    def fail(*_, **__):
        raise RewardError("perfect failed on 5 of 6")

    monkeypatch.setattr(evaluations_module, "evaluate_model", fail)
    assert make(listener=Told()).between(2, stage) == {}
    assert told == [("step 2: not evaluated: perfect failed on 5 of 6", True)]
