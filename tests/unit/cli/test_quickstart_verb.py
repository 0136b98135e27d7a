"""`speechrl quickstart`: the shipped configuration of a task, in a new folder."""

from __future__ import annotations

import pytest

from speechrl.cli import quickstart


def test_a_folder_may_be_called_as_a_number(speechrl, tmp_path, monkeypatch) -> None:
    runs = []
    monkeypatch.setattr(quickstart, "run_watched", runs.append)
    monkeypatch.setattr(quickstart, "finish", lambda result, arguments, *, quiet: None)
    monkeypatch.chdir(tmp_path)
    for name in ("2026", "a #3", "{x}", "[1"):
        assert speechrl("quickstart", "asr", "--output", name).code == 0
    assert [config.output for config in runs] == ["2026", "a #3", "{x}", "[1"]


@pytest.mark.parametrize("task", ["asr", "tts"])
def test_it_trains_what_ships_with_a_few_changes(speechrl, task, tmp_path, monkeypatch) -> None:
    runs, endings = [], []
    monkeypatch.setattr(quickstart, "run_watched", runs.append)
    monkeypatch.setattr(quickstart, "finish", lambda result, arguments, *, quiet: endings.append(arguments))
    output = tmp_path / "mine"
    ended = speechrl("quickstart", task, "--output", output, "--steps", 3, "--seed", 9, "--threads", 1)
    assert ended.code == 0, ended.err
    (config,) = runs
    assert (config.task, config.train.steps, config.seed, config.train.threads) == (task, 3, 9, 1)
    assert config.output == str(output)
    assert f"package:starter/{task}" in ended.out
    # What an interrupted run is told to go on with.
    assert endings[0][0] == f"package:configs/{task}/quickstart.yaml"
    assert f"output={output}" in endings[0]


def test_a_second_quickstart_gets_a_folder_of_its_own(speechrl, tmp_path, monkeypatch) -> None:
    runs = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quickstart, "run_watched", runs.append)
    monkeypatch.setattr(quickstart, "finish", lambda *_, **__: None)
    (tmp_path / "runs" / "quickstart_tts").mkdir(parents=True)
    speechrl("quickstart", "tts")
    assert runs[0].output == "runs/quickstart_tts-2"
