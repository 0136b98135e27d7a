"""JSONL, TensorBoard and W&B."""

import sys
import types

import numpy as np
import pytest

from speechrl.errors import DataError, MissingExtraError
from speechrl.report.writers import JsonlWriter, TensorBoardWriter, WandbWriter, read_rows, write_atomically

ROW = {"step": 2, "reward": 0.5, "kl": None, "alarms": ["x"], "updated": False}


def test_rows_are_on_disk_at_once(tmp_path):
    writer = JsonlWriter(tmp_path / "m.jsonl")
    writer.row(ROW)
    assert read_rows(tmp_path / "m.jsonl") == [ROW]
    writer.close()


def test_resuming_drops_later_rows_and_a_torn_line(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"ste')
    writer = JsonlWriter(path, resume_step=2)
    writer.row({"step": 3, "again": True})
    writer.close()
    assert read_rows(path) == [{"step": 1}, {"step": 2}, {"step": 3, "again": True}]


def test_separators_inside_a_text_do_not_break_its_line(tmp_path):
    path = tmp_path / "m.jsonl"
    rows = [{"step": step, "alarms": ["one\u2028two\x85three"]} for step in (1, 2)]
    for resume_step in (None, 1):
        writer = JsonlWriter(path, resume_step)
        writer.row(rows[0 if resume_step is None else 1])
        writer.close()
    assert read_rows(path) == rows


def test_a_broken_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1}\nnonsense\n{"step": 3}\n')
    with pytest.raises(DataError, match="line 2"):
        read_rows(path)


def test_a_failed_write_leaves_the_old_file_and_no_rest(tmp_path):
    write_atomically(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(tmp_path / "a.txt", "new \ud800")
    assert (tmp_path / "a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_tensorboard_gets_numbers_text_and_sound(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    writer = TensorBoardWriter(tmp_path)
    writer.row(ROW)
    writer.text("rollouts", "- one", 2)
    writer.audio("prompt/0", np.zeros(1600, np.float32), 16_000, 2)
    writer.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert events.Tags()["scalars"] == ["reward"]
    assert [(event.step, event.value) for event in events.Scalars("reward")] == [(2, 0.5)]
    assert events.Tags()["audio"] == ["prompt/0"]
    assert events.Tags()["tensors"] == ["rollouts/text_summary"]


def test_wandb_missing_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'speechrl\[wandb\]'"):
        WandbWriter(tmp_path, "project", {})


def test_wandb_continues_the_same_run(tmp_path, monkeypatch):
    calls: list[dict] = []

    class Run:
        def __init__(self):
            self.logged = []

        def log(self, values, step):
            self.logged.append((step, values))

        def finish(self):
            self.logged.append("finished")

    run = Run()
    fake = types.SimpleNamespace(
        init=lambda **options: calls.append(options) or run, Html=str, Audio=lambda *a, **k: "sound"
    )
    monkeypatch.setitem(sys.modules, "wandb", fake)
    for _ in range(2):
        writer = WandbWriter(tmp_path, "project", {"seed": 1})
        writer.row(ROW)
        writer.text("rollouts", "<b>", 2)
        writer.close()
    assert calls[0]["id"] == calls[1]["id"]
    assert calls[0]["project"] == "project"
    assert run.logged[:3] == [(2, {"reward": 0.5}), (2, {"rollouts": "<pre>&lt;b&gt;</pre>"}), "finished"]
