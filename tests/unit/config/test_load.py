from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from speechrl.config.load import load_as, load_config, resolve_path, show
from speechrl.config.schema import RolloutConfig, RunConfig
from speechrl.config.selection import SelectionConfig
from speechrl.errors import ConfigError

GOOD = """
task: asr
output: runs/x
model: {path: package:starter/asr}
data: {train: train.jsonl}
rewards:
  terms:
    - {name: accuracy}
train: {learning_rate: 1e-4, steps: 7}
"""


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.yaml"
    path.write_text(GOOD)
    return path


def refusal(path: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    return str(caught.value)


def test_file_overrides_and_defaults_meet(good: Path) -> None:
    config = load_config(
        good, ["train.steps=3", "rewards.terms.0.weight=2", "evaluation.sets.human=test.jsonl"]
    )
    assert config.train.steps == 3
    assert config.rewards.terms[0].weight == 2.0
    assert config.evaluation.sets == {"human": "test.jsonl"}
    assert config.train.learning_rate == 1e-4  # YAML 1.1 would have read a text
    assert config.rollout.group_size == 8


def test_speech_has_more_tokens_than_text(good: Path) -> None:
    text, speech, given = (
        load_config(good, overrides)
        for overrides in ([], ["task=tts"], ["task=tts", "rollout.max_new_tokens=90"])
    )
    assert (text.rollout.max_new_tokens, text.evaluation.max_new_tokens) == (64, 128)
    assert (speech.rollout.max_new_tokens, speech.evaluation.max_new_tokens) == (400, 600)
    assert given.rollout.max_new_tokens == 90


def test_difficulty_is_not_measured_anew_for_an_order_that_nobody_asked_for(good: Path) -> None:
    assert "data.curriculum" in (told := refusal(good, "data.curriculum.refresh=true"))
    assert "choose easy_first or hard_first" in told
    load_config(good, ["data.curriculum.refresh=true", "data.curriculum.order=easy_first"])


def test_show_is_read_back_to_the_same_configuration(good: Path, tmp_path: Path) -> None:
    config = load_config(good, ["guards.max_kl=0.5"])
    again = tmp_path / "resolved.yaml"
    again.write_text(show(config))
    assert load_config(again) == config


def test_unknown_key_names_file_and_nearest_key(good: Path) -> None:
    good.write_text(GOOD + "guards: {max_kll: 3}\n")
    assert refusal(good) == f"{good}: unknown key `guards.max_kll`. Did you mean `guards.max_kl`?"


def test_an_unknown_section_is_blamed_on_the_override_that_made_it(good: Path) -> None:
    assert "override `trian.steps=1`: unknown key `trian`. Did you mean `train`?" in refusal(
        good, "trian.steps=1"
    )


def test_of_two_overrides_of_a_key_the_last_counts_and_is_named(good: Path) -> None:
    told = refusal(good, "train.steps=5", "train.steps=ten")
    assert "override `train.steps=ten`" in told
    assert "`train.steps=5`" not in told


def test_key_in_the_wrong_section_is_sent_to_the_right_one(good: Path) -> None:
    assert "Did you mean `train.learning_rate`?" in refusal(good, "learning_rate=3")


def test_hopeless_key_lists_the_known_ones(good: Path) -> None:
    assert "Known keys here: group_size, temperature" in refusal(good, "rollout.zzz=3")


def test_a_key_inside_a_section_that_the_user_named_is_known() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean `subsets\.hard\.any\.0\.verdict`"):
        load_as(SelectionConfig, "package:configs/data/select.yaml", ["subsets.hard.any.0.verdikt=[hard]"])


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("train.steps=ten", "`train.steps` must be a whole number, not 'ten' (text)"),
        ("train.steps=true", "must be a whole number, not True (true/false)"),
        ("train.steps=0", "must be a number greater than 0, not 0"),
        ("train.learning_rate=", "must be a number, not nothing (an empty value)"),
        ("algorithm.name=ppo", "must be one of 'grpo', 'gspo', 'mwer', 'sft', 'diffro' or 'hybrid'"),
        ("train=5", "`train` must be a section"),
        ("rewards.terms=[]", "must be at least 1 entry"),
        ("rewards.terms.3.weight=1", "is a list of 1; use a number from 0 to 0, not `3`"),
        ("output.x=1", "`output` is the value 'runs/x', not a section"),
        ("train.steps", "expected `key=value`"),
        ("train.steps=[1", "not valid YAML"),
        ("output=runs/exp #3", "comment to YAML; put the value in quotes"),
    ],
)
def test_bad_overrides_name_themselves_and_the_mend(good: Path, override: str, expected: str) -> None:
    message = refusal(good, override)
    assert message.startswith(f"override `{override}`")
    assert expected in message


def test_all_faults_are_told_at_once(good: Path) -> None:
    assert len(refusal(good, "train.steps=ten", "seed=-1", "zzz=1").splitlines()) == 3


def test_missing_section_says_so(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text("task: asr\noutput: x\nmodel: {path: m}\nrewards: {terms: [{name: accuracy}]}\n")
    assert "`data` is missing" in refusal(path)


def test_missing_file_lists_its_neighbours(good: Path) -> None:
    assert "there is no such file" in refusal(good.with_name("god.yaml"))
    assert "good.yaml" in refusal(good.with_name("god.yaml"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "expected `key: value` lines"),
        ("- 1", "expected `key: value` lines"),
        ("a: [1", "line 1, column"),
        ("output: {{ run }}", "line 1, column 10: not valid YAML: a key is no word"),
        ("task: asr\ntask: tts", "line 2, column 1: not valid YAML: the key `task` is given twice"),
    ],
)
def test_broken_files(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    assert expected in refusal(path)


def test_a_binary_file_is_no_configuration(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(b"RIFF\xff\xfe\x00\x80")
    assert "cannot be read as UTF-8" in refusal(path)


def test_package_paths() -> None:
    assert resolve_path("package:configs/asr/quickstart.yaml").is_file()
    assert resolve_path("some/where") == Path("some/where")
    with pytest.raises(ConfigError, match="does not ship"):
        resolve_path("package:no/such/thing")


def test_loading_needs_no_torch() -> None:
    code = "import sys, speechrl.config.load; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_two_options_together_mean_is_said_as_a_sentence(good: Path) -> None:
    message = refusal(good, "algorithm.resample_zero_spread=1", "rollout.group_size=1")
    assert "algorithm.resample_zero_spread: a group of one has no spread" in message
    assert "must be" not in message
    assert "Value error" not in message


@pytest.mark.parametrize("key", ["train.max_grad_norm", "guards.max_kl", "algorithm.clip_high"])
def test_numbers_are_finite(key: str) -> None:
    with pytest.raises(ConfigError, match="a finite number"):
        load_config("package:configs/asr/quickstart.yaml", [f"{key}=.inf"])


def test_a_synthesiser_s_limits_are_those_of_speech_also_in_python() -> None:
    config = RunConfig.model_validate(
        {
            "task": "tts", "output": "run", "model": {"path": "toy"}, "data": {"train": "none"},
            "rollout": RolloutConfig(group_size=4), "rewards": {"terms": [{"name": "duration"}]},
        }
    )  # fmt: skip
    assert (config.rollout.group_size, config.rollout.max_new_tokens) == (4, 400)


def test_a_rate_that_diffro_cannot_change_is_not_weighed() -> None:
    hybrid = "package:configs/tts/hybrid_starter.yaml"
    told = refusal(Path(hybrid), "algorithm.diffro.heads={speaker: 0.1, rate: 0.1}")
    assert "algorithm.diffro.heads" in told
    assert "rate cannot be weighed" in told
    heads = load_config(hybrid, ["algorithm.diffro.heads={speaker: 0.1, rate: 0.0}"]).algorithm.diffro.heads
    assert heads == {"speaker": 0.1, "rate": 0.0}


def test_options_of_a_reward_are_finite_too() -> None:
    with pytest.raises(ConfigError, match="numbers must be finite"):
        load_config("package:configs/asr/quickstart.yaml", ["rewards.terms.0.options={floor: -.inf}"])
