"""The pure parts of the study: its columns on hand-made rows, sizes of subsets, commands, and the page."""

import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from speechrl.config.load import load_as
from speechrl.config.schema import RunConfig
from speechrl.config.selection import SelectionConfig
from speechrl.evaluate.results import Row

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))

import asr_study
import asr_study_table as table

PERFECT = Row("", "en", "a b", "a b", 0, 0, 0, 2, "stop", 3, False, False, False, False, 1, 0, 0)


def run_of(**changes):
    """Two utterances a set, the second as told."""
    rows = (replace(PERFECT, id="one"), replace(PERFECT, id="two", **changes))
    return {part: rows for part in ("human", "long", "noise", "telephone", "silence")}


def column(title):
    return next(one for one in table.COLUMNS if one.title == title)


@pytest.mark.parametrize(
    ("title", "changes", "expected"),
    [
        ("WER human", {"substitutions": 1, "insertions": 2}, 3 / 4),
        ("insertions, long", {"substitutions": 1, "insertions": 2}, 2 / 4),
        # 2 hits, 1 missed, 3 made up: precision 2 / 5, recall 2 / 3.
        (
            "keyword F1",
            {"keyword_misses": 1, "keyword_false_alarms": 3},
            2 * (2 / 5) * (2 / 3) / (2 / 5 + 2 / 3),
        ),
        ("hallucinated, long", {"hallucination": True}, 1 / 2),
        ("silence not empty", {"empty": True}, 1 / 2),
    ],
)
def test_columns_are_ratios_of_sums(title, changes, expected):
    assert table.values([run_of(**changes)], column(title)) == [pytest.approx(expected)]


def test_runs_are_averaged_and_compared_with_the_start():
    start, runs = [run_of(insertions=4)], [run_of(insertions=1), run_of(insertions=3)]
    found = table.line("row", runs, start)["columns"]["insertions, long"]
    assert found["mean"] == pytest.approx(2 / 4)
    assert found["sd"] == pytest.approx(2**0.5 / 4)
    assert found["against_start"]["difference"] == pytest.approx(-2 / 4)
    assert found["against_start"]["relative"]["change"] == pytest.approx(-1 / 2)


def test_runs_of_other_utterances_are_not_compared():
    other = {part: tuple(reversed(rows)) for part, rows in run_of().items()}
    with pytest.raises(AssertionError, match="other utterances"):
        table.compare([run_of(), other], [run_of()], column("WER human"))


def test_a_column_that_improved_everywhere_is_bold_and_an_equal_one_is_not():
    start = {part: tuple(replace(row, insertions=2) for row in rows) for part, rows in run_of().items()}
    better = [run_of(), run_of()]
    figures = {
        "utterances": 2,
        "minutes": 1.0,
        "keywords": 1,
        "wer": None,
        "spread_share": 0.5,
        "made_of": {"long": 2},
    }
    printed = table.page(
        {
            "summary": [table.line("start", [start], None), table.line("row", better, [start])],
            "pairs": [],
            "data": {"random": figures},
        }
    ).splitlines()
    assert printed[2].startswith("| start | 100.0 |")
    assert printed[3].startswith("| row | **0.0 ± 0.0** |")
    assert printed[3].endswith("| 0.0 ± 0.0 | 100.0 ± 0.0 |")
    assert "-100.0 % [-100.0, -100.0]" in printed[7]
    assert printed[-1] == "| random | 2 | 1.0 | 1 |  | 50% | long 2 |"


def test_subsets_of_other_sizes_or_none_stop_the_study():
    sizes = {recipe.data: {"utterances": 8} for recipe in asr_study.ROWS.values()}
    asr_study.check_sizes(sizes)
    with pytest.raises(SystemExit, match="differ in size"):
        asr_study.check_sizes(sizes | {"hard": {"utterances": 7}})
    with pytest.raises(SystemExit, match="differ in size"):
        asr_study.check_sizes({name: {"utterances": 0} for name in sizes})


def test_every_row_is_a_run_on_a_subset_that_the_rules_make(tmp_path):
    rules = load_as(SelectionConfig, asr_study.RULES)
    study = asr_study.Study("package:starter/asr", "package:data/asterisk_en", "dev", 3)
    for row, recipe in asr_study.ROWS.items():
        assert recipe.data in {*rules.subsets, "mixed"}
        command = study.training(recipe, 1, tmp_path, tmp_path / row)
        config = load_as(RunConfig, asr_study.CONFIG, command[command.index(str(asr_study.CONFIG)) + 1 :])
        assert config.algorithm.name == recipe.algorithm
        assert [term.name for term in config.rewards.terms] == [term["name"] for term in recipe.terms]
    assert len({asr_study.folder_of(tmp_path, row, 1) for row in asr_study.ROWS}) == len(asr_study.ROWS)


def test_a_folder_of_another_study_is_refused(tmp_path):
    study = asr_study.Study("package:starter/asr", "package:data/asterisk_en", "dev", 3)
    asr_study.claim(tmp_path, study)
    asr_study.claim(tmp_path, study)
    with pytest.raises(SystemExit, match="another study"):
        asr_study.claim(tmp_path, replace(study, steps=4))
    assert asdict(study)["steps"] == 3
