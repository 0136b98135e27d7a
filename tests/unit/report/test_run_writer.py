"""The run directory: what is in it, and what a resumed run keeps."""

import errno
import io
import itertools
import json
import random

import numpy as np
import pytest
import soundfile as sf

from speechrl.config.load import load_config
from speechrl.errors import ConfigError, TrainingError
from speechrl.report.held_out import most_changed
from speechrl.report.metrics import STABLE_KEYS, make_row
from speechrl.report.run_writer import RunWriter
from speechrl.report.sounds import audio_name, keep_audio
from speechrl.report.writers import read_rows
from speechrl.types import StepReport


def log_steps(writer, make, steps):
    for step in steps:
        generator = random.Random(step)
        prompts = [make["prompt"](index) for index in range(3)]
        outputs = [[make["rollout"](item, generator, 0.3) for _ in range(2)] for item in prompts]
        scores = [
            [make["judge"](i, o, generator) for o in group] for i, group in zip(prompts, outputs, strict=True)
        ]
        report = StepReport({"loss": 0.1 * step})
        cost = {"sample": 0.5, "update": 1.0}, {"sample": 100, "update": 300}
        writer.log(make_row(step, prompts, outputs, scores, report, *cost), prompts, outputs, scores)


def test_a_run_directory_holds_what_others_may_read(run_dir):
    rows = read_rows(run_dir / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 25))
    assert set(STABLE_KEYS) | {"reward/accuracy", "seconds/update", "memory/update", "wer"} <= rows[0].keys()
    assert load_config(run_dir / "config.yaml").train.steps == 24
    evaluation = json.loads((run_dir / "evaluation.json").read_text())
    assert {"before", "after", "paired", "seconds"} <= evaluation.keys()
    assert {"wer", "substitutions", "deletions", "insertions", "words", "utterances"} <= evaluation["before"][
        "test"
    ].keys()


def test_samples_can_be_read_and_heard(run_dir):
    rows = read_rows(run_dir / "samples" / "step_000010.jsonl")
    assert {"step", "id", "reference", "audio", "rollouts"} <= rows[0].keys()
    assert {"hypothesis", "reward", "terms", "advantage", "ending"} <= rows[0]["rollouts"][0].keys()
    samples, rate = sf.read(run_dir / rows[0]["audio"])
    assert rate == 16_000
    assert len(samples) / rate == pytest.approx(rows[0]["duration_s"], abs=1e-3)


def test_the_environment_tells_versions_and_no_secrets(run_dir, monkeypatch):
    text = (run_dir / "environment.json").read_text()
    environment = json.loads(text)
    assert {"python", "packages", "processor", "accelerators", "commit", "sessions"} <= environment.keys()
    assert "torch" in environment["packages"]
    assert str(run_dir.parent) not in text


def test_the_timeline_lays_stages_end_to_end(run_dir):
    timeline = json.loads((run_dir / "timeline.json").read_text())
    events = timeline["traceEvents"]
    assert timeline["steps"] == 24
    assert [event["name"] for event in events[:7]] == list(timeline["stages"])
    for earlier, later in itertools.pairwise(events):
        assert later["ts"] == pytest.approx(earlier["ts"] + earlier["dur"], abs=2)
    assert sum(stage["share"] for stage in timeline["stages"].values()) == pytest.approx(1.0)


def test_resuming_keeps_the_past_and_forgets_what_comes_again(tmp_path, make):
    config = make["run_config"](tmp_path, steps=30)
    with RunWriter(tmp_path, config) as writer:
        log_steps(writer, make, range(1, 22))
    assert (tmp_path / "samples" / "step_000020.jsonl").exists()
    with RunWriter(tmp_path, config, resume_step=15) as writer:
        assert not (tmp_path / "samples" / "step_000020.jsonl").exists()
        log_steps(writer, make, range(16, 31))
    rows = read_rows(tmp_path / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 31))
    assert json.loads((tmp_path / "timeline.json").read_text())["steps"] == 30
    sessions = json.loads((tmp_path / "environment.json").read_text())["sessions"]
    assert [session["from_step"] for session in sessions] == [0, 15]
    assert sorted(path.stem for path in (tmp_path / "samples").iterdir()) == [
        "step_000001",
        "step_000010",
        "step_000020",
        "step_000030",
    ]


def test_a_new_run_does_not_overwrite_an_old_one(run_dir, make):
    before = (run_dir / "metrics.jsonl").read_bytes()
    with pytest.raises(ConfigError, match="already holds a run"):
        RunWriter(run_dir, make["run_config"](run_dir))
    assert (run_dir / "metrics.jsonl").read_bytes() == before


def test_any_id_becomes_a_safe_and_unique_file_name():
    names = {audio_name(name) for name in ("a/b", "a:b", "../../etc/passwd", "", "è", "x" * 500)}
    assert len(names) == 6
    assert all(name.startswith("audio/") and name.count("/") == 1 and len(name) < 80 for name in names)


def test_a_sound_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    class FullDisk(io.FileIO):
        def write(self, content):
            super().write(bytes(content[:100]))
            raise OSError(errno.ENOSPC, "No space left on device")

    tone = np.sin(np.arange(8000) / 10).astype(np.float32)
    with monkeypatch.context() as patch:
        patch.setattr(io, "open", lambda path, *_, **__: FullDisk(path, "w"))
        with pytest.raises(OSError, match="No space left"):
            keep_audio(tmp_path, "audio/a.flac", tone, 16_000)
    assert not list((tmp_path / "audio").iterdir())
    keep_audio(tmp_path, "audio/a.flac", tone, 16_000)
    np.testing.assert_allclose(sf.read(tmp_path / "audio/a.flac")[0], tone, atol=1e-4)


def test_most_changed_utterances_are_sorted_by_change(run_dir):
    improved, worsened = most_changed(run_dir, "test")

    def errors(row):
        return row["substitutions"] + row["deletions"] + row["insertions"]

    gains = [errors(before) - errors(after) for before, after in improved]
    assert gains == sorted(gains, reverse=True)
    assert all(gain > 0 for gain in gains)
    assert all(errors(after) > errors(before) for before, after in worsened)


def test_a_full_disk_is_named_and_does_not_hide_an_earlier_error(tmp_path, make, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def broken_run(name, error=None):
        with RunWriter(tmp_path / name, make["run_config"](tmp_path / name, steps=3)) as writer:
            monkeypatch.setattr(writer, "_write_timeline", full)
            if error is not None:
                raise error
            log_steps(writer, make, range(1, 2))

    with pytest.raises(TrainingError, match=r"step 1 could not be written to .*No space left"):
        broken_run("full")
    with pytest.raises(ValueError, match="the first error"):
        broken_run("earlier", ValueError("the first error"))
