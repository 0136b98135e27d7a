"""A synthesiser goes through the whole training page: rewards without sound and with it, samples one can hear."""

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import soundfile as sf
import torch
from speaking_toys import ToySynthesiser, toy_ears
from toys import END

from speechrl.config.schema import RunConfig
from speechrl.errors import ConfigError, DataError, ModelError
from speechrl.evaluate import tts
from speechrl.models.tts.token2text import Token2Text, Token2TextConfig
from speechrl.train import preflight
from speechrl.train import run as run_module
from speechrl.train.checkpoint import read_checkpoint
from speechrl.train.events import SilentListener
from speechrl.train.preflight import refuse_unfit_rewards
from speechrl.train.run import train
from speechrl.train.speech_guards import SpeechGuards


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "load_model", lambda path: ToySynthesiser())


def config(folder: Path, reward: str = "duration", algorithm: str = "grpo", steps: int = 2) -> RunConfig:
    content: dict[str, Any] = {
        "task": "tts",
        "output": str(folder / "run"),
        "model": {"path": "toy"},
        "data": {"train": "package:data/tts_en/dev.jsonl", "batch_size": 2},
        "rollout": {"group_size": 4, "max_new_tokens": 6},
        "rewards": {"terms": [{"name": reward}]},
        "algorithm": {"name": algorithm, "kl": "none"},
        "train": {"steps": steps, "precision": "fp32", "threads": 1},
        "report": {"tensorboard": False},
    }
    return RunConfig.model_validate(content)


def with_sections(run: RunConfig, sections: dict[str, Any]) -> RunConfig:
    """The run with keys of its sections replaced."""
    content = run.model_dump()
    for name, keys in sections.items():
        content[name] |= keys
    return RunConfig.model_validate(content)


def test_a_reward_of_lengths_needs_no_sound_and_the_kept_rollouts_have_it_all_the_same(
    tmp_path: Path,
) -> None:
    result = train(config(tmp_path))
    rows = [json.loads(line) for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    assert all(row["reward"] <= 0 and row["tokens_per_char"] > 0 for row in rows)
    assert rows[0]["reward"] == rows[0]["reward/duration"]
    kept = list((result.run_dir / "audio").rglob("*.flac"))
    assert kept
    assert all(sf.info(path).frames > 0 for path in kept)
    assert (result.run_dir / "model" / "speechrl.json").is_file()


def test_what_is_heard_to_go_wrong_is_told_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ears(SilentListener):
        def __init__(self) -> None:
            self.told: list[str] = []

        def message(self, text: str, *, alarm: bool = False) -> None:
            self.told += [text] * alarm

    ears = Ears()
    monkeypatch.setattr(SpeechGuards, "alarms", lambda self, row: {"tokens_per_char": "it drawls"})
    result = train(config(tmp_path), listener=ears)
    rows = [json.loads(line) for line in (result.run_dir / "metrics.jsonl").read_text().splitlines()]
    assert "it drawls" in rows[0]["alarms"]
    assert "alarms" not in rows[1] or "it drawls" not in rows[1]["alarms"]  # it rests
    assert "step 1: it drawls" in ears.told
    assert result.evaluation["alarms"] == ["it drawls"]


class ImpatientListener(SilentListener):
    """Presses Ctrl-C in a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def step_finished(self, step: int, row: Mapping[str, Any]) -> None:
        if step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_resumed_run_has_heard_the_same_beginning(tmp_path: Path) -> None:
    straight, broken = (config(tmp_path / name, steps=3) for name in ("straight", "broken"))
    train(straight)
    assert train(broken, listener=ImpatientListener(2)).steps == 2
    train(broken, resume=True)
    guards = [
        read_checkpoint(Path(one.output) / "checkpoints" / "step-000003")["guards"]
        for one in (straight, broken)
    ]
    assert len(guards[0]["speech"]["first"]["tokens_per_char"]) == 3
    assert guards[0] == guards[1]


def test_rewards_that_compare_a_group_are_not_shown_of_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tts, "load_ears", lambda judges, **_: toy_ears())
    monkeypatch.setattr(preflight, "check_ears", lambda *_: None)
    terms = [{"name": name} for name in ("duration", "stop", "diversity", "duration")]
    sets = {"test": "package:data/tts_en/test.jsonl"}
    evaluation = {"sets": sets, "limit": 6, "vocoder": "fast", "max_new_tokens": 5, "bootstrap": 50}
    train(with_sections(config(tmp_path), {"rewards": {"terms": terms}, "evaluation": evaluation}))
    shown = json.loads((tmp_path / "run" / "evaluation" / "rewards.json").read_text())["test"]
    assert {term for moments in shown.values() for one in moments.values() for term in one} == {"stop"}


@pytest.fixture
def reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Sections of a run with short texts, and a Token2Text over the toy's codes as DiffRO's reward model."""
    monkeypatch.setattr(ToySynthesiser, "codes", END, raising=False)
    monkeypatch.setattr(ToySynthesiser, "codebook", "toy", raising=False)
    torch.manual_seed(0)
    Token2Text(Token2TextConfig(END, "toy", width=8, layers=1, kernel=3)).save(tmp_path / "token2text")
    sf.write(tmp_path / "voice.wav", [0.1] * 16_000, 16_000)
    rows = [{"audio": "voice.wav", "text": text} for text in ("a", "be", "cab", "dad")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "data": {"train": str(tmp_path / "rows.jsonl"), "batch_size": 3},
        "rollout": {"group_size": 8, "max_new_tokens": 9},
        "algorithm": {"kl": "full", "diffro": {"reward_model": str(tmp_path / "token2text")}},
        "train": {"learning_rate": 1e-3, "warmup_steps": 0},
    }


def numbers(run: RunConfig) -> list[dict[str, Any]]:
    """Rows of metrics.jsonl but for what a clock or the machine decides."""
    lines = (Path(run.output) / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [{k: v for k, v in row.items() if not k.startswith(("seconds/", "memory/"))} for row in rows]


@pytest.mark.parametrize("algorithm", ["diffro", "hybrid"])
def test_a_run_with_diffro_learns_from_token2text_and_goes_on_where_it_was_stopped(
    tmp_path: Path, reading: dict[str, Any], algorithm: str
) -> None:
    straight, broken = (
        with_sections(config(tmp_path / name, algorithm=algorithm, steps=4), reading)
        for name in ("straight", "broken")
    )
    train(straight)
    assert train(broken, listener=ImpatientListener(2)).steps == 2
    train(broken, resume=True)
    assert numbers(broken) == numbers(straight)
    rows = numbers(straight)
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert all(row["samples/diffro"] > 0 and row["diffro_nll"] > 0 for row in rows)
    assert len({row["diffro_nll"] for row in rows}) == 4
    # No reward reads the tokens: DiffRO says what Token2Text makes of them, and the guards remember.
    assert all(row["token_cer"] == row["letter_errors"] / row["letters"] for row in rows)
    ends = [read_checkpoint(Path(one.output) / "checkpoints" / "step-000004") for one in (straight, broken)]
    assert ends[0]["guards"] == ends[1]["guards"]
    assert ends[0]["guards"]["speech"]["first"]["token_cer"] == [row["token_cer"] for row in rows]
    first, second = (end["learner"]["weights"] for end in ends)
    assert all(torch.equal(weight, second[name]) for name, weight in first.items())
    begun = ToySynthesiser().language_model.state_dict()
    assert not all(torch.equal(weight, begun[name]) for name, weight in first.items())


def test_diffro_weighs_in_beside_grpo(tmp_path: Path, reading: dict[str, Any]) -> None:
    """With weight 0 the hybrid is GRPO; with another it is not, from the first update on."""
    found = []
    for name, algorithm, weight in (("grpo", "grpo", 1.0), ("none", "hybrid", 0.0), ("both", "hybrid", 1.0)):
        sections = {**reading, "algorithm": reading["algorithm"] | {"diffro": {"weight": weight}}}
        if weight:
            sections["algorithm"]["diffro"] |= reading["algorithm"]["diffro"]
        run = with_sections(config(tmp_path / name, algorithm=algorithm), sections)
        train(run)
        found.append([(row["reward"], row["loss"], row["kl"]) for row in numbers(run)])
    grpo, none, both = found
    assert grpo == none
    assert grpo[0][1] != both[0][1]
    assert grpo[1] != both[1]


@pytest.mark.parametrize("place", ["train", "evaluation"])
def test_what_cannot_be_spoken_ends_a_run_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(ToySynthesiser, "encode", None)  # nothing is evaluated or trained
    sf.write(tmp_path / "voice.wav", [0.1] * 16_000, 16_000)
    rows = [{"audio": "voice.wav", "text": text} for text in ("red cat", "room 42")]
    manifest = tmp_path / "rows.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = config(tmp_path).model_dump()
    if place == "train":
        content["data"]["train"] = [content["data"]["train"], str(manifest)]
    else:
        content["evaluation"] |= {"sets": {"test": str(manifest)}, "judges": ["whisper-tiny.en"]}
    with pytest.raises(DataError, match=r"1 row is (.|\n)*rows\.jsonl, row 2 \(rows-000002\), text: digits"):
        train(RunConfig.model_validate(content))
    assert not (tmp_path / "run").exists()


def test_what_would_be_cut_ends_a_run_before_it_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToySynthesiser, "tokens_per_character", 1.0, raising=False)
    with pytest.raises(DataError, match=r"200 texts take (.|\n)*rollout\.max_new_tokens is 6; raise it"):
        train(config(tmp_path))
    assert not (tmp_path / "run").exists()


def test_a_judge_that_is_not_there_ends_a_run_before_it_begins(tmp_path: Path) -> None:
    content = config(tmp_path).model_dump()
    content["evaluation"] |= {
        "sets": {"test": content["data"]["train"]}, "judges": ["whisper-tiny"], "before": False,
    }  # fmt: skip
    with pytest.raises(ModelError, match=r"did you mean 'whisper-tiny\.en'"):
        train(RunConfig.model_validate(content))
    assert not (tmp_path / "run").exists()


def test_references_cannot_be_copied_where_there_are_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="choose grpo, diffro or hybrid"):
        train(config(tmp_path, algorithm="sft"))


def test_a_reward_of_the_other_task_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rewards for tts"):
        refuse_unfit_rewards(config(tmp_path, reward="accuracy"))
