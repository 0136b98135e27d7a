"""The study in another language: its commands are runs that a configuration allows, its columns those of the study."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from speechrl.config.load import load_as
from speechrl.config.schema import RunConfig
from speechrl.config.selection import SelectionConfig
from speechrl.evaluate.results import Row
from speechrl.rewards.base import check_rewards

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))
sys.path.append(str(Path(__file__).parent))

import asr_second_language as second
import asr_study
import asr_study_table as table
from asr_study_folder import folder_of
from study_folders import choose_toy_data, finish_run

STUDY = second.OtherLanguage("build/model", "build/asterisk_it", "test", 3, ("D2 long",))
PERFECT = Row("", "it", "a b", "a b", 0, 0, 0, 2, "stop", 3, False, False, False, False, 1, 0, 0)


def test_the_row_and_its_control_practise_on_the_same_data(tmp_path):
    commands = {
        name: STUDY.training(recipe, 2, tmp_path, tmp_path / name) for name, recipe in STUDY.recipes.items()
    }
    configs = {
        name: load_as(RunConfig, asr_study.CONFIG, command[command.index(str(asr_study.CONFIG)) + 1 :])
        for name, command in commands.items()
    }
    assert {name: one.algorithm.name for name, one in configs.items()} == {
        "D2 long": "grpo",
        second.SFT: "sft",
    }
    assert len({one.data.train for one in configs.values()}) == 1
    for one in configs.values():
        assert one.evaluation.sets == {
            name: f"build/asterisk_it/test.jsonl{end}" for name, end in asr_study.SETS["test"].items()
        }
        assert one.model.path == "build/model"


def test_long_items_of_dev_are_those_of_the_study():
    assert [name for name in replace(STUDY, split="dev").sets if name.startswith("long")] == [
        f"long-{seed}" for seed in (21, 22, 23, 24)
    ]


def test_nobody_is_asked_who_does_not_know_the_language(tmp_path):
    command = STUDY.selection(tmp_path)
    rules = load_as(SelectionConfig, asr_study.RULES, [part for part in command if "=" in part])
    assert rules.judges.recognisers == []
    assert set(rules.subsets) == set(load_as(SelectionConfig, asr_study.RULES).subsets)


def test_where_the_row_needs_a_listener_it_is_the_start_of_that_language(tmp_path):
    study = replace(STUDY, row_names=("mixed, R1+unsupported",))
    recipe = study.recipes[study.row_names[0]]
    command = study.training(recipe, 1, tmp_path, tmp_path / "run")
    config = load_as(RunConfig, asr_study.CONFIG, command[command.index(str(asr_study.CONFIG)) + 1 :])
    check_rewards(config.rewards, "asr")
    assert [term.options.get("model") for term in config.rewards.terms] == [None, "build/model"]
    assert "model" not in asr_study.UNSUPPORTED.get("options", {})


def test_the_first_row_is_compared_with_the_others_and_gives_the_control_its_data(tmp_path):
    study = replace(STUDY, row_names=("D2 long", "D0"))
    assert {name: recipe.data for name, recipe in study.recipes.items()} == {
        "D2 long": "long",
        "D0": "random",
        second.SFT: "long",
    }
    choose_toy_data(tmp_path)
    for name in study.recipes:
        finish_run(folder_of(tmp_path, name, 1), study.sets)
    found = second.collect(study, tmp_path, [1])
    assert [(pair["row"], pair["against"]) for pair in found["pairs"]] == [
        ("D2 long", "D0"),
        ("D2 long", second.SFT),
    ]
    assert set(found["data"]) == {"pool", "long", "random"}


def test_the_table_holds_what_is_finished(tmp_path):
    choose_toy_data(tmp_path)
    with pytest.raises(FileNotFoundError):
        second.collect(STUDY, tmp_path / "elsewhere", [1])
    assert second.collect(STUDY, tmp_path, [1, 2])["rows"] == []
    for name, seed in ((second.START, 0), ("D2 long", 1), ("D2 long", 2)):
        finish_run(folder_of(tmp_path, name, seed), STUDY.sets)
    half = second.collect(STUDY, tmp_path, [1, 2])
    assert [one["row"] for one in half["summary"]] == ["start", "D2 long"]
    assert half["pairs"] == []
    finish_run(folder_of(tmp_path, second.SFT, 2), STUDY.sets, substitutions=1)
    found = second.collect(STUDY, tmp_path, [1, 2])
    assert [(one["row"], one["seed"]) for one in found["rows"]] == [
        ("start", 0),
        ("D2 long", 1),
        ("D2 long", 2),
        (second.SFT, 2),
    ]
    (pair,) = found["pairs"]
    # One word of the four of the set is right in the row and wrong in its control.
    assert pair["columns"]["WER human"]["difference"] == pytest.approx(-1 / 4)
    assert set(found["data"]) == {"pool", "long"}
    assert second.SFT in table.page(found)
