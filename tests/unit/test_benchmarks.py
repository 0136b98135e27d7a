"""What benchmarks make of renderings that a judge or a scorer failed on, and of runs that were interrupted."""

import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from speechrl.evaluate.tts_results import Heard, SpokenRow, SpokenSet
from speechrl.starter.tts.tokenizer import Coded

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def listening(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("tts_listening")


@pytest.fixture
def stability(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("tts_stability")


@pytest.fixture
def table(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("tts_table2")


@pytest.fixture
def table_page(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("tts_table2_page")


@pytest.fixture
def result_file(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("result_file")


@pytest.fixture
def runs(benchmark: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark("training_runs")


def row(name: str, seed: int, errors: int) -> SpokenRow:
    heard = Heard("", errors, 0, 0, 10, 0, 40)
    measures = (None, None, None, None, None)
    return SpokenRow(name, seed, "en", "text", "", {"judge": heard}, *measures, 1.0, 20, 40, False, (1,), {})


def test_a_sentence_that_a_judge_failed_on_is_in_neither_system(listening: ModuleType) -> None:
    before = [row(name, seed, 2) for name in "abcd" for seed in (1, 2)]
    after = [row(name, seed, 1) for name in "abcd" for seed in (1, 2)]
    after[0] = replace(after[0], judges={"judge": None}, problems={"judge": "timed out"})
    count, ids = listening.word_errors("judge"), [one.id for one in before]
    first, second = (listening.by_sentence([count(rows)], ids) for rows in (before, after))
    np.testing.assert_array_equal(second[:2], [[1, 10], [2, 20]])
    assert listening.compare(first, second, rate=True)["relative_change"] == pytest.approx(-0.5)


def test_tables_tell_what_was_measured_and_leave_the_rest_out(
    listening: ModuleType, table_page: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def heard(errors: int, tokens: int) -> dict[str, SpokenSet]:
        rows = tuple(
            replace(row(name, seed, errors), tokens=tokens, similarity=0.9, log_f0_std=0.1)
            for name in "abcd"
            for seed in (1, 2)
        )
        return {"test": SpokenSet(rows), "hard": SpokenSet(rows)}

    monkeypatch.setattr(listening, "JUDGES", ("judge",))
    monkeypatch.setattr(listening, "IN_TIME", {"judge, in time": "judge"})
    monkeypatch.setattr(table_page, "PERCENT", ("judge", "token_cer"))
    monkeypatch.setattr(table_page, "TITLES", {"judge": "WER"} | table_page.TITLES)
    monkeypatch.setattr(listening, "TokenJudge", lambda: lambda rows: [(1.0, 4.0)] * len(rows))
    systems = {"base": [heard(4, 20)], "better": [heard(2, 20), heard(1, 22)]}
    compared = listening.Table(systems)
    rows = [
        {"comparison": "equal steps", **compared.row(name, part)}
        for name in systems
        for part in ("test", "hard")
    ]
    assert rows[2]["judge"]["by_training_seed"] == [0.2, 0.1]
    assert rows[2]["judge"]["against_base"]["relative_change"] == pytest.approx(-0.625)
    assert rows[2]["quality"] is None
    change = listening.compare(
        compared.counts("base", "test", "judge"), compared.counts("better", "test", "judge"), rate=True
    )
    names = {"comparison": "equal steps", "worse_in_the_paper": "base", "better_in_the_paper": "better"}
    order = [{**names, "judge": judge, **change} for judge in ("judge", "token_cer")]
    text = table_page.page({"rows": rows, "order": order})
    assert "DistillMOS" not in text
    line = next(line for line in text.splitlines() if line.startswith("| better |"))
    titles = text.splitlines()[2].strip("|").split("|")
    cells = {key.strip(): cell.strip() for key, cell in zip(titles, line.strip("|").split("|"), strict=True)}
    assert cells["WER"] == "**15.0 (10.0–20.0)**"
    assert cells["length"] == "**1.050 (1.000–1.100)**"
    assert cells["similarity"] == "0.900 (0.900–0.900)"
    assert "| better against base | -62.5% [-62.5%, -62.5%] |" in text


def test_curves_have_gaps_where_nothing_could_be_measured(stability: ModuleType, tmp_path: Path) -> None:
    base = dict.fromkeys(stability.CURVES, 0.2)
    evaluation = {"before": {"sentences": base}, "after": {"sentences": base | {"similarity": None}}}
    (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
    known = {f"evaluation/sentences/{name}": 0.4 for name in stability.CURVES if name != "log_f0_std"}
    rows = [
        {"step": step, "kl": step / 100, "reward": 0.5} | (known if step in (2, 4) else {})
        for step in range(1, 7)
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    points = stability.curves(tmp_path, every=2)
    assert [point["step"] for point in points] == [0, 2, 4, 6]
    assert [point["log_f0_std"] for point in points] == [0.2, None, None, 0.2]
    assert [point["kl"] for point in points[1:]] == pytest.approx([0.015, 0.035, 0.055])
    assert points[-1]["similarity"] is None
    assert stability.collapsed_at(points) == 2


def test_a_rise_is_held_against_the_best_so_far(stability: ModuleType) -> None:
    def rise(*wers: float | None) -> dict[str, float | None]:
        return stability.largest_rise([{"step": 100 * n, "judge_wer": wer} for n, wer in enumerate(wers)])

    # Mends the base, and loses a part again: never beyond the base, but half above its best.
    assert rise(0.6, 0.2, None, 0.25, 0.3, 0.28) == {"rise": pytest.approx(0.5), "step": 400}
    # What comes before the best is no rise over it.
    assert rise(0.2, 0.3, 0.1, 0.12) == {"rise": pytest.approx(0.5), "step": 100}
    assert rise(None, 0.4, 0.3, 0.3) == {"rise": 0.0, "step": None}


def test_the_page_of_a_result_without_it_has_the_largest_rise(stability: ModuleType) -> None:
    content = json.loads((stability.ROOT / "benchmarks" / "results" / "tts_stability.json").read_text())
    head, _, *rows = stability.page(content).splitlines()[:6]
    assert head.endswith("| collapsed | most above own best |")
    assert rows[1].endswith("| no | +192% at 1300 |")


def test_badly_cut_recordings_go_on_in_their_own_voice(benchmark: Callable[[str], ModuleType]) -> None:
    base = benchmark("tts_runaway_base")
    # A code tells whose it is: voice a has those below 100.
    coded = [
        Coded(f"{voice}{n}", "text", voice, "train", np.arange(n + 1, dtype=np.uint16) + first, np.zeros(2))
        for voice, first in (("a", 0), ("b", 100))
        for n in range(30)
    ]
    whole = base.run_on(coded, 0.0, seed=1)
    assert [one.codes.tolist() for one in whole] == [one.codes.tolist() for one in coded]
    cut = base.run_on(coded, 0.5, seed=1)
    longer = [(before, after) for before, after in zip(coded, cut, strict=True) if after is not before]
    assert 15 < len(longer) < 45
    for before, after in longer:
        assert after.text == before.text
        assert len(after.codes) > len(before.codes)
        assert after.codes[: len(before.codes)].tolist() == before.codes.tolist()
        assert {code >= 100 for code in after.codes.tolist()} == {before.voice == "b"}


def kl_run(folder: Path, kl: list[float]) -> Path:
    """The folder of a run that was so far from the base before each of its updates."""
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("".join(json.dumps({"kl": value}) + "\n" for value in kl))
    return folder


def test_runs_are_repeated_for_the_steps_that_bring_them_equally_far(
    table: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "METHODS", {"slow": {}, "fast": {}})
    kl = {"slow": [0.0, 0.01, 0.02, 0.03, 0.03, 0.03], "fast": [0.0, 0.012, 0.033, 0.09, 0.2, 0.3]}
    jobs = [table.Job(m, 1, 6, table.Pace(1.0), kl_run(tmp_path / m, kl[m])) for m in kl]
    target, again = table.equal_distance(jobs, tmp_path)
    assert target == pytest.approx(0.03)
    assert [(job.steps, job.folder.name) for job in again.values()] == [(3, "slow-3"), (2, "fast-2")]
    part = again[jobs[1]]
    kl_run(part.folder, kl["fast"][:2])
    table.check_beginning(jobs[1], part)
    (part.folder / "metrics.jsonl").write_text('{"kl": 0.0}\n{"kl": 0.013}\n')
    with pytest.raises(SystemExit, match="is not how"):
        table.check_beginning(jobs[1], part)


def test_a_result_tells_its_command_and_not_where_folders_lay(
    result_file: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["/somewhere/tts_table2.py", "--work", "/home/me/runs", "--steps", "30"])
    result_file.write_result(tmp_path / "results" / "one.json", seeds=[1, 2])
    content = json.loads((tmp_path / "results" / "one.json").read_text())
    assert content["command"] == "python benchmarks/tts_table2.py --work DIR --steps 30"
    assert content["seeds"] == [1, 2]
    assert {"commit", "machine"} <= set(content)


def test_a_run_is_made_once_goes_on_and_keeps_the_log_of_its_crash(runs: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "work" / "rate-0.1"
    script = (
        "import pathlib, sys; folder = pathlib.Path(sys.argv[1]); print(sys.argv[2:], flush=True);"
        "again = folder.exists(); (folder / 'model').mkdir(parents=True, exist_ok=True);"
        "again or sys.exit('crash'); (folder / 'evaluation.json').touch()"
    )
    command = [sys.executable, "-c", script, str(folder)]
    with pytest.raises(subprocess.CalledProcessError):
        runs.run_once(command, folder)
    runs.run_once(command, folder)
    runs.run_once(command, folder)
    assert (tmp_path / "work" / "rate-0.1.log").read_text() == "[]\ncrash\n['--resume']\n"


def test_a_run_that_fails_is_told_and_keeps_no_other_from_running(runs: ModuleType, tmp_path: Path) -> None:
    script = "import pathlib, sys; folder = pathlib.Path(sys.argv[1]); folder.name == 'b' and sys.exit(7);"
    script += "(folder / 'model').mkdir(parents=True); (folder / 'evaluation.json').touch()"
    folders = [tmp_path / name for name in "abc"]
    jobs = [([sys.executable, "-c", script, str(folder)], folder) for folder in folders]
    assert runs.run_all(jobs, workers=1) == [f"b ended with 7, see {tmp_path / 'b.log'}"]
    assert [folder.is_dir() for folder in folders] == [True, False, True]


def test_after_ctrl_c_no_further_run_begins(
    runs: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Path] = []

    def interrupted(command: object, folder: Path) -> None:
        begun.append(folder)
        if len(begun) == 1:
            raise KeyboardInterrupt
        time.sleep(0.3)

    monkeypatch.setattr(runs, "run_once", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs.run_all([([], tmp_path / name) for name in "abcde"], workers=1)
    assert len(begun) <= 2
