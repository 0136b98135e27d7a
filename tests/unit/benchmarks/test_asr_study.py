"""The pure parts of the study: its columns on hand-made rows, sizes of subsets, commands, and the page."""

import json
import subprocess
import sys
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from speechrl.cli.data import app as data_app
from speechrl.config.load import load_as
from speechrl.config.schema import RunConfig
from speechrl.config.selection import SelectionConfig
from speechrl.evaluate.bootstrap import interval

sys.path.append(str(Path(__file__).resolve().parents[3] / "benchmarks"))
sys.path.append(str(Path(__file__).parent))

import asr_study
import asr_study_table as table
import training_runs
from asr_study_folder import claim, folder_of
from study_folders import PERFECT, choose_toy_data, finish_run

STUDY = asr_study.Study("package:starter/asr", "package:data/asterisk_en", "dev", 3)


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
    assert printed[5].startswith("| 95 % interval | WER human |")
    assert printed[7:9] == [
        "| start | 100.0 to 100.0 |"
        + " 100.0 to 100.0 |" * 3
        + " 100.0 to 100.0 | 100.0 to 100.0 | 0.0 to 0.0 | 100.0 to 100.0 |",
        "| row | 0.0 to 0.0 |"
        + " 0.0 to 0.0 |" * 3
        + " 100.0 to 100.0 | 0.0 to 0.0 | 0.0 to 0.0 | 100.0 to 100.0 |",
    ]
    assert "-100.0 % [-100.0, -100.0]" in printed[12]
    assert printed[-1] == "| random | 2 | 1.0 | 1 |  | 50% | long 2 |"


def test_the_interval_is_over_utterances_with_runs_averaged():
    counts = [(4, 1), (0, 1), (0, 2), (2, 4)]
    rows = tuple(
        replace(PERFECT, id=str(number), substitutions=errors, words=words)
        for number, (errors, words) in enumerate(counts)
    )
    silent = tuple(replace(row, substitutions=0) for row in rows)
    parts = ("human", "long", "noise", "telephone", "silence")
    runs = [dict.fromkeys(parts, rows), dict.fromkeys(parts, silent)]
    expected = interval([2, 0, 0, 1], [1, 1, 2, 4], table.RESAMPLES)
    found = table.line("start", runs, None)["columns"]["WER human"]
    assert found["interval"] == {"low": expected.low, "high": expected.high}
    assert found["mean"] == pytest.approx(3 / 8)
    assert found["interval"]["low"] < 3 / 8 < found["interval"]["high"]


def test_subsets_of_other_sizes_or_none_stop_the_study():
    sizes = {recipe.data: {"utterances": 8} for recipe in asr_study.ROWS.values()}
    asr_study.check_sizes(sizes, asr_study.ROWS)
    for changed in ({"hard": {"utterances": 7}}, {"hard": {"utterances": 0}}):
        with pytest.raises(SystemExit, match="differ in size"):
            asr_study.check_sizes(sizes | changed, asr_study.ROWS)
    with pytest.raises(SystemExit, match="'hard': 0"):
        asr_study.check_sizes({name: one for name, one in sizes.items() if name != "hard"}, asr_study.ROWS)


def parsed(command):
    """What `speechrl data select` makes of a command."""
    assert command[1:5] == ["-m", "speechrl.cli", "data", "select"]
    select = typer.main.get_command(data_app).commands["select"]
    return select.make_context("select", command[5:]).params


def test_the_selection_is_a_command_that_holds_out_dev_and_test(tmp_path):
    found = parsed(STUDY.selection(tmp_path / "data"))
    train = "package:data/asterisk_en/train.jsonl"
    assert (found["model"], found["manifest"], found["out"]) == (
        "package:starter/asr",
        train,
        tmp_path / "data",
    )
    assert found["also"] == [f"{train}{ending}" for ending in asr_study.POOL[1:]]
    assert found["never"] == [f"package:data/asterisk_en/{split}.jsonl" for split in ("test", "dev")]
    assert load_as(SelectionConfig, found["config"], found["overrides"]) == load_as(
        SelectionConfig, asr_study.RULES
    )
    seeds = {ending.partition("@")[2] for ending in asr_study.POOL} - {""}
    for split, sets in asr_study.SETS.items():
        assert replace(STUDY, split=split).sets == {
            name: f"package:data/asterisk_en/{split}.jsonl{ending}" for name, ending in sets.items()
        }
        assert not seeds & {ending.partition("@")[2] for ending in sets.values()}


def test_the_start_is_evaluated_on_the_same_sets_by_a_run_that_changes_nothing(tmp_path):
    command = STUDY.evaluation(tmp_path, tmp_path)
    config = load_as(RunConfig, asr_study.CONFIG, command[command.index(str(asr_study.CONFIG)) + 1 :])
    assert config.evaluation.sets == STUDY.sets
    assert (config.train.steps, config.model.path, config.output) == (1, STUDY.start, str(tmp_path))
    assert config.train.learning_rate < 1e-9


def test_every_row_is_a_run_on_a_subset_that_the_rules_make(tmp_path):
    rules = load_as(SelectionConfig, asr_study.RULES)
    for row, recipe in asr_study.ROWS.items():
        assert recipe.data in {*rules.subsets, "mixed"}
        command = STUDY.training(recipe, 1, tmp_path, tmp_path / row)
        config = load_as(RunConfig, asr_study.CONFIG, command[command.index(str(asr_study.CONFIG)) + 1 :])
        assert config.algorithm.name == recipe.algorithm
        assert [term.name for term in config.rewards.terms] == [term["name"] for term in recipe.terms]
    assert len({asr_study.folder_of(tmp_path, row, 1) for row in asr_study.ROWS}) == len(asr_study.ROWS)


class Selecting:
    """Stands for `run_once` of a selection: leaves a card with all subsets of these sizes."""

    def __init__(self, **sizes):
        self.sizes = sizes
        self.times = 0

    def __call__(self, command, folder, *, result, resumable):
        if (folder / result).is_file():
            return
        self.times += 1
        folder.mkdir(parents=True, exist_ok=True)
        subsets = {recipe.data: {"utterances": 8} for recipe in asr_study.ROWS.values()}
        subsets |= {name: {"utterances": size} for name, size in self.sizes.items()}
        (folder / result).write_text(json.dumps({"subsets": subsets}))


def test_subsets_that_do_not_fit_are_chosen_again_and_fitting_ones_are_not(tmp_path, monkeypatch):
    selecting = Selecting(hard=7)
    monkeypatch.setattr(asr_study, "run_once", selecting)
    with pytest.raises(SystemExit, match=r"enlarge POOL.*same command"):
        asr_study.choose_data(STUDY, asr_study.ROWS, tmp_path)
    monkeypatch.setattr(asr_study, "POOL", (*asr_study.POOL, "#long@15"))
    selecting.sizes = {}
    for _ in range(2):
        asr_study.choose_data(STUDY, asr_study.ROWS, tmp_path)
    assert selecting.times == 2


def test_a_folder_tells_what_another_study_changed(tmp_path, monkeypatch):
    rows = asr_study.ROWS
    claim(tmp_path, STUDY, rows)
    claim(tmp_path, STUDY, rows)
    refused = pytest.raises(SystemExit, match=r"another --work, or remove the folder")
    with refused as told:
        claim(tmp_path, replace(STUDY, steps=4), rows)
    assert "steps: 3 there, 4 here" in str(told.value)
    assert "POOL" not in str(told.value)
    for name in ("RULES", "CONFIG"):
        with monkeypatch.context() as patch:
            file = tmp_path / getattr(asr_study, name).name
            file.write_text("# the same\n" + getattr(asr_study, name).read_text())
            patch.setattr(asr_study, name, file)
            claim(tmp_path, STUDY, rows)
            file.write_text(
                file.read_text().replace("size: 92", "size: 91").replace("warmup_steps: 5", "warmup_steps: 6")
            )
            with refused as told:
                claim(tmp_path, STUDY, rows)
            assert f"  {file.name}: " in str(told.value)
    monkeypatch.setattr(asr_study, "POOL", asr_study.POOL[:-1])
    with refused as told:
        claim(tmp_path, STUDY, rows)
    assert "#silence@11" in str(told.value)


@pytest.mark.parametrize("changed", ["model/part/adapter.safetensors", "data/test.jsonl"])
def test_other_weights_or_rows_under_the_same_name_are_another_study(tmp_path, changed):
    for name in ("model/part/adapter.safetensors", "data/train.jsonl", "data/test.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    study = asr_study.Study(str(tmp_path / "model"), str(tmp_path / "data"), "test", 3)
    claim(tmp_path / "work", study, asr_study.ROWS)
    claim(tmp_path / "work", study, asr_study.ROWS)
    (tmp_path / changed).write_text("other")
    with pytest.raises(SystemExit, match="another study"):
        claim(tmp_path / "work", study, asr_study.ROWS)


def test_a_row_may_change_until_it_has_a_run(tmp_path, monkeypatch):
    claim(tmp_path, STUDY, asr_study.ROWS)
    changed = {**asr_study.ROWS, "D1": asr_study.Recipe("long", (asr_study.R1,))}
    claim(tmp_path, STUDY, changed)
    folder_of(tmp_path, "D1", 2).mkdir(parents=True)
    claim(tmp_path, STUDY, changed)
    with pytest.raises(SystemExit, match=r"row 'D1'.*'long'.*there.*'hard'.*here"):
        claim(tmp_path, STUDY, asr_study.ROWS)
    folder_of(tmp_path, "mixed, R1+R2+R3", 1).mkdir(parents=True)
    monkeypatch.setitem(asr_study.RATES, "grpo", 2e-4)
    with pytest.raises(SystemExit, match="another study") as told:
        claim(tmp_path, STUDY, changed)
    # Of rows with whose name that of a row with a run begins there is none.
    assert [line.split(":")[0] for line in str(told.value).splitlines()[1:]] == [
        "  row 'D1'",
        "  row 'mixed, R1+R2+R3'",
    ]


def test_subsets_are_told_by_what_they_are_made_of(tmp_path):
    choose_toy_data(tmp_path)
    found = asr_study.composition(tmp_path / "data")
    assert set(found) == {"pool", *(recipe.data for recipe in asr_study.ROWS.values())}
    assert found["random"]["utterances"] == found["pool"]["utterances"] > 6
    assert found["random"]["made_of"] == found["pool"]["made_of"]
    assert set(found["pool"]["made_of"]) == {"as it is", "telephone"}
    assert sum(found["pool"]["made_of"].values()) == found["pool"]["utterances"]
    assert found["pool"]["verdicts"] == {"unjudged": found["pool"]["utterances"]}
    assert found["long"] == found["long"] | {"utterances": 0, "made_of": {}}


@pytest.fixture
def runs(monkeypatch):
    """Stands for `run_once`: finishes every run but those named."""
    failing = {}

    def run(command, folder):
        if folder.name in failing:
            raise failing[folder.name]
        if not folder.exists():
            finish_run(folder, STUDY.sets, insertions=int(not folder.name.startswith("start")))

    monkeypatch.setattr(training_runs, "run_once", run)
    return failing


def test_a_run_that_fails_keeps_no_other_from_the_result(tmp_path, runs):
    choose_toy_data(tmp_path)
    chosen = Namespace(seeds=[1, 2], work=tmp_path, workers=1, out=tmp_path / "result.json")
    recipes = {row: asr_study.ROWS[row] for row in ("D0", "D1")}

    def train():
        asr_study.train_and_write(
            STUDY, recipes, chosen, lambda: asr_study.collect(chosen.work, chosen.seeds)
        )
        return json.loads(chosen.out.read_text())

    runs["D0-1"] = subprocess.CalledProcessError(3, [])
    with pytest.raises(SystemExit, match=r"D0-1 ended with 3, see .*D0-1\.log"):
        train()
    found = json.loads(chosen.out.read_text())
    named = [(one["row"], one["seed"]) for one in found["rows"]]
    assert named == [("start", 0), ("D0", 2), ("D1", 1), ("D1", 2)]
    assert found["rows"][1]["train_s"] == 6.0
    assert [(one["row"], one["runs"]) for one in found["summary"]] == [("start", 1), ("D0", 1), ("D1", 2)]
    assert [(one["row"], one["against"]) for one in found["pairs"]] == [("D1", "D0")]
    assert "| D1 against D0 |" in table.page(found)
    runs.clear()
    assert len(train()["rows"]) == 5


@pytest.mark.parametrize(("stopped", "count"), [("D0-1", 1), ("start-0", 0)])
def test_what_is_finished_is_written_after_ctrl_c(tmp_path, runs, stopped, count):
    choose_toy_data(tmp_path)
    chosen = Namespace(seeds=[1], work=tmp_path, workers=1, out=tmp_path / "result.json")
    runs.update({name: KeyboardInterrupt() for name in (stopped, "D0-1")})
    recipes = {"D0": asr_study.ROWS["D0"]}
    with pytest.raises(KeyboardInterrupt):
        asr_study.train_and_write(
            STUDY, recipes, chosen, lambda: asr_study.collect(chosen.work, chosen.seeds)
        )
    assert chosen.out.is_file() == bool(count)
    if count:
        assert len(json.loads(chosen.out.read_text())["rows"]) == count


def test_without_the_start_the_page_still_prints(tmp_path, runs):
    choose_toy_data(tmp_path)
    finish_run(folder_of(tmp_path, "D0", 1), STUDY.sets)
    found = asr_study.collect(tmp_path, [1])
    assert [one["row"] for one in found["summary"]] == ["D0"]
    assert "| D0 | 0.0 |" in table.page(found)
