"""Options that were set and that a run does not read are named; those at their defaults are not."""

from typing import Any

import pytest

from speechrl.config.schema import RunConfig
from speechrl.config.unread import TIMED, unread_note, unread_options
from speechrl.rewards.registry import REWARDS

SPOKEN = {
    "temperature": 0.5, "top_k": 3, "seeds": [2], "judges": ["whisper-base"], "measures": ["dnsmos"],
    "vocoder": "fast", "window": "short", "timeout_s": 30.0,
}  # fmt: skip
READ_BY_BOTH = {"limit": 5, "batch_size": 2, "every": 7, "before": False, "bootstrap": 90}


def config(task: str, evaluation: dict[str, Any], *terms: dict[str, Any]) -> RunConfig:
    return RunConfig.model_validate(
        {
            "task": task,
            "output": "run",
            "model": {"path": "toy"},
            "data": {"train": "none"},
            "rewards": {"terms": list(terms) or [{"name": "my:reward"}]},
            "evaluation": evaluation,
        }
    )


def test_a_recogniser_s_run_does_not_read_how_speech_is_judged() -> None:
    told = unread_options(config("asr", {**SPOKEN, **READ_BY_BOTH, "beam": 4}))
    assert set(told) == {f"evaluation.{name}" for name in SPOKEN}


def test_a_synthesiser_s_run_does_not_read_the_beam() -> None:
    assert unread_options(config("tts", {**SPOKEN, **READ_BY_BOTH, "beam": 4})) == ["evaluation.beam"]


@pytest.mark.parametrize("task", ["asr", "tts"])
def test_what_is_written_out_at_its_default_is_nothing_to_tell(task: Any) -> None:
    shown = config(task, {}).model_dump()
    assert unread_note(RunConfig.model_validate(shown)) == ""


def test_only_rewards_in_processes_of_their_own_have_a_time_out() -> None:
    names = ("token_accuracy", "recogniser", "my:reward", "token_nll", "duration")
    terms = [{"name": name, "timeout_s": 5.0} for name in names] + [{"name": "stop"}]
    told = unread_options(config("tts", {}, *terms))
    assert told == [f"rewards.terms.{place}.timeout_s" for place in (0, 3, 4)]
    assert set(TIMED) == {name for name, reward in REWARDS.items() if reward.form == "worker"}
