"""`speechrl config show|check`."""

from __future__ import annotations

import json

import pytest
import yaml

QUICKSTART = "package:configs/asr/quickstart.yaml"


def test_show_fills_in_defaults_and_overrides(speechrl) -> None:
    shown = yaml.safe_load(speechrl("config", "show", QUICKSTART, "train.steps=7").out)
    assert shown["train"]["steps"] == 7
    assert shown["rollout"]["temperature"] == 1.0


def test_show_as_json_is_the_same_tree(speechrl) -> None:
    as_yaml = yaml.safe_load(speechrl("config", "show", QUICKSTART).out)
    assert json.loads(speechrl("config", "show", QUICKSTART, "--json").out) == as_yaml


def test_shown_configuration_is_right(speechrl, tmp_path) -> None:
    path = tmp_path / "shown.yaml"
    path.write_text(speechrl("config", "show", QUICKSTART).out)
    assert speechrl("config", "check", path).code == 0


def test_show_without_file_explains_every_key_of_a_whole_configuration(speechrl) -> None:
    keys = json.loads(speechrl("config", "show", "--json").out)
    listed = {row["key"] for row in keys}
    tree = json.loads(speechrl("config", "show", QUICKSTART, "--json").out)
    assert set(_leaves(tree)) <= listed
    assert all(row["meaning"] for row in keys)


def test_keys_say_which_words_they_take(speechrl) -> None:
    choices = {row["key"]: row["choices"] for row in json.loads(speechrl("config", "show", "--json").out)}
    assert choices["train.schedule"] == ["constant", "cosine", "linear"]
    assert "dnsmos" in choices["evaluation.measures"]
    assert choices["train.steps"] == []
    assert "(fp32 | bf16)" in speechrl("config", "show").out


def _leaves(tree, prefix=""):
    for name, value in tree.items():
        if isinstance(value, dict) and name not in ("options", "sets"):
            yield from _leaves(value, f"{prefix}{name}.")
        elif isinstance(value, list) and isinstance(value[0], dict):
            yield from _leaves(value[0], f"{prefix}{name}.0.")
        else:
            yield prefix + name


def test_check_reports_every_file_and_fails_if_one_is_wrong(speechrl, tmp_path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("task: asr\nstepz: 3\n")
    ended = speechrl("config", "check", QUICKSTART, wrong, "--json")
    assert ended.code == 2
    first, second = json.loads(ended.out)
    assert first == {"file": QUICKSTART, "ok": True, "error": None, "note": None}
    assert not second["ok"]
    assert "stepz" in second["error"]


def test_unknown_key_gets_a_suggestion(speechrl) -> None:
    ended = speechrl("config", "show", QUICKSTART, "train.stepz=3")
    assert ended.code == 2
    assert "train.steps" in ended.err


@pytest.mark.parametrize(
    ("config", "right", "wrong", "says"),
    [
        (QUICKSTART, "accuracy", "acuracy", "unknown reward 'acuracy'; did you mean 'accuracy'?"),
        (
            "package:configs/tts/grpo_starter.yaml",
            "token_accuracy",
            "accuracy",
            "reward 'accuracy' judges asr",
        ),
    ],
)
def test_check_knows_the_rewards_and_their_task(speechrl, tmp_path, config, right, wrong, says) -> None:
    shown = speechrl("config", "show", config).out
    odd = tmp_path / "odd.yaml"
    odd.write_text(shown.replace(f"name: {right}", f"name: {wrong}"))
    ended = speechrl("config", "check", odd)
    assert ended.code == 2
    assert f"odd.yaml: {says}" in ended.err


def test_check_knows_the_judges(speechrl, tmp_path) -> None:
    shown = speechrl("config", "show", "package:configs/tts/quickstart.yaml").out
    odd = tmp_path / "odd.yaml"
    odd.write_text(shown.replace("- whisper-tiny.en", "- whisper-tiny"))
    ended = speechrl("config", "check", odd)
    assert ended.code == 4
    assert "odd.yaml: recogniser 'whisper-tiny': " in ended.err


def test_check_knows_all_kinds_that_ship(speechrl) -> None:
    for name in ("tts/token2text.yaml", "data/select.yaml", "data/select_tts.yaml", "tts/grpo_starter.yaml"):
        assert speechrl("config", "check", f"package:configs/{name}").code == 0, name
    assert "keep_contexts_gb" in speechrl("config", "show", "package:configs/data/select.yaml").out


def test_what_the_algorithm_does_not_read_is_told(speechrl, tmp_path) -> None:
    tree = yaml.safe_load(speechrl("config", "show", "package:configs/tts/quickstart.yaml").out)
    assert tree["algorithm"]["name"] == "hybrid"
    files = {name: tmp_path / f"{name}.yaml" for name in ("diffro", "hybrid")}
    for name, path in files.items():
        tree["algorithm"]["name"] = name
        path.write_text(yaml.safe_dump(tree))
    ended = speechrl("config", "check", *files.values())
    diffro, hybrid = ended.out.splitlines()
    assert ended.code == 0
    assert diffro.endswith(
        "right (algorithm.diffro.weight is set, but a run of task=tts, algorithm.name=diffro does not read it)"
    )
    assert hybrid.endswith("right")


def test_draws_that_would_be_in_vain_are_refused(speechrl) -> None:
    ended = speechrl(
        "config", "show", "package:configs/tts/diffro_starter.yaml", "algorithm.resample_zero_spread=2"
    )
    assert ended.code == 2
    assert "diffro compares no answers" in ended.err
    ended = speechrl("config", "show", QUICKSTART, "algorithm.resample_zero_spread=2", "rollout.group_size=1")
    assert "a group of one has no spread" in ended.err


def test_a_judge_is_a_name_or_a_section(speechrl) -> None:
    by_name = "judges.recognisers=[whisper-base, {name: moonshine-tiny, languages: [en]}]"
    shown = yaml.safe_load(speechrl("config", "show", "package:configs/data/select.yaml", by_name).out)
    assert shown["judges"]["recognisers"] == [
        {"name": "whisper-base", "languages": None},
        {"name": "moonshine-tiny", "languages": ["en"]},
    ]


def test_every_file_is_looked_at_whatever_is_wrong_with_the_first(speechrl, tmp_path) -> None:
    tree = yaml.safe_load(speechrl("config", "show", "package:configs/tts/quickstart.yaml").out)
    tree["rewards"]["terms"] = [{"name": "recogniser", "options": {"recogniser": str(tmp_path / "none")}}]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(tree))
    ended = speechrl("config", "check", tmp_path / "a.yaml", QUICKSTART, "--json")
    first, second = json.loads(ended.out)
    assert ended.code != 0
    assert (first["ok"], second["ok"]) == (False, True)
    assert "a.yaml" in first["error"]
