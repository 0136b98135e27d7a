"""The study in another language: its commands are runs that a configuration allows, its columns those of the study."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from speechrl.config.load import load_as
from speechrl.config.schema import RunConfig
from speechrl.config.selection import SelectionConfig
from speechrl.evaluate.results import Row

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))

import asr_second_language as second
import asr_study
import asr_study_table as table

STUDY = second.OtherLanguage("build/model", "build/asterisk_it", "test", 3, "D2 long")
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
            "human": "build/asterisk_it/test.jsonl",
            "long": "build/asterisk_it/test.jsonl#long",
            "silence": "build/asterisk_it/test.jsonl#silence",
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


def test_the_page_shows_the_columns_of_the_result():
    def run_of(**changes):
        rows = (replace(PERFECT, id="one"), replace(PERFECT, id="two", **changes))
        return dict.fromkeys(second.PARTS, rows)

    start, better = [run_of(insertions=2, hallucination=True)], [run_of(insertions=1), run_of(insertions=1)]
    lines = [
        table.line("start", start, None, second.COLUMNS),
        table.line("row", better, start, second.COLUMNS),
    ]
    assert lines[1]["columns"]["insertions, human"]["against_start"]["relative"]["change"] == pytest.approx(
        -0.5
    )
    printed = table.page({"summary": lines, "pairs": [], "data": {}}).splitlines()
    titles = [column.title for column in second.COLUMNS]
    assert printed[0] == f"| % | {' | '.join(titles)} |"
    assert "-50.0 %" in printed[7]
