"""`speechrl train` and what follows it: table, report, evaluation, Ctrl-C and the command that goes on."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal

import pytest


def steps_of(run_dir) -> list[int]:
    return [json.loads(row)["step"] for row in (run_dir / "metrics.jsonl").read_text().splitlines()]


def test_train_prints_table_model_and_report(speechrl, tiny_config, tmp_path) -> None:
    ended = speechrl("train", tiny_config)
    assert ended.code == 0, ended.err
    assert "held_out" in ended.out
    assert "WER" in ended.out
    model, report = (
        re.search(rf"^{word} +(.+)$", ended.out, re.MULTILINE)[1] for word in ("model", "report")
    )
    assert report == str(tmp_path / "run" / "report.html")
    assert (tmp_path / "run" / "report.html").is_file()
    evaluated = speechrl(
        "evaluate", model, "--set", f"held_out={tmp_path / 'data' / 'train.jsonl'}", "--json"
    )
    assert json.loads(evaluated.out)["held_out"]["utterances"] == 8


def test_json_is_the_only_thing_on_stdout(speechrl, tiny_config, tmp_path) -> None:
    result = json.loads(speechrl("train", tiny_config, "--json").out)
    assert result["steps"] == 3
    assert not result["interrupted"]
    assert result["evaluation"] == json.loads((tmp_path / "run" / "evaluation.json").read_text())


def test_report_is_made_again(speechrl, tiny_config, tmp_path) -> None:
    assert speechrl("train", tiny_config, "train.steps=1").code == 0
    page = tmp_path / "run" / "report.html"
    page.unlink()
    assert json.loads(speechrl("report", tmp_path / "run", "--json").out) == {"report": str(page)}
    assert page.is_file()


def test_ctrl_c_saves_and_the_printed_command_goes_on(speechrl, tiny_config, tmp_path, monkeypatch) -> None:
    from speechrl.report.progress import ProgressListener

    def press(self, step, row) -> None:
        if step == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as pressed:
        pressed.setattr(ProgressListener, "step_finished", press)
        ended = speechrl("train", tiny_config, "train.steps=5")
    assert ended.code == 130
    assert "Traceback" not in ended.err
    program, *arguments = shlex.split(ended.err.splitlines()[-1])
    assert program == "speechrl"
    assert arguments == ["train", str(tiny_config), "train.steps=5", "--resume"]
    assert 2 <= len(steps_of(tmp_path / "run")) < 5
    resumed = speechrl(*arguments)
    assert resumed.code == 0, resumed.err
    assert steps_of(tmp_path / "run") == [1, 2, 3, 4, 5]


def test_evaluate_writes_what_a_run_would(speechrl, tiny_model, tiny_data, tmp_path) -> None:
    ended = speechrl(
        "evaluate",
        tiny_model,
        "--set",
        f"a={tiny_data}",
        "--set",
        f"b={tiny_data}",
        "--output",
        tmp_path / "out",
    )
    assert ended.code == 0, ended.err
    content = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert content["before"] == {}
    assert content["after"]["a"] == content["after"]["b"]
    assert len((tmp_path / "out" / "a.jsonl").read_text().splitlines()) == 8


@pytest.mark.parametrize("existing", [0, 2])
def test_quickstart_takes_a_run_directory_of_its_own(
    speechrl, tiny_config, tmp_path, monkeypatch, existing
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("speechrl.cli.quickstart.CONFIG", str(tiny_config))
    for name in ("run", "run-2")[:existing]:
        (tmp_path / name).mkdir()
    ended = speechrl("quickstart", "asr", "--steps", 1, "--seed", 3, "--threads", 1)
    assert ended.code == 0, ended.err
    run_dir = tmp_path / ("run-3" if existing else "run")
    assert steps_of(run_dir) == [1]
    assert "seed: 3" in (run_dir / "config.yaml").read_text()
