"""Bad input to the program: a message that names it, the documented exit code, nothing lost, no traceback."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

import speechrl as package
from speechrl.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    MissingExtraError,
    ModelError,
    RewardError,
)

RATE_HZ = 16_000


def add_row(
    manifest: Path, samples: np.ndarray | bytes, rate_hz: int = RATE_HZ, text: str = "red one"
) -> None:
    """Append a row whose audio are these samples, or whose file holds these bytes."""
    audio = manifest.parent / "odd.wav"
    if isinstance(samples, bytes):
        audio.write_bytes(samples)
    else:
        sf.write(audio, samples, rate_hz)
    with manifest.open("a") as rows:
        rows.write(json.dumps({"id": "odd", "audio": audio.name, "text": text}) + "\n")


def assert_refused(ended, kind, *names: str) -> None:
    assert ended.code == kind.exit_code, ended.err
    assert ended.err.count("error: ") == 1
    assert "Traceback" not in ended.err
    for name in names:
        assert name in ended.err


def test_missing_configuration(speechrl, tmp_path) -> None:
    assert_refused(speechrl("train", tmp_path / "none.yaml"), ConfigError, "none.yaml")


def test_unknown_key(speechrl, tiny_config) -> None:
    assert_refused(speechrl("train", tiny_config, "train.stepz=1"), ConfigError, "train.stepz", "train.steps")


def test_wrong_type(speechrl, tiny_config) -> None:
    assert_refused(speechrl("train", tiny_config, "train.steps=many"), ConfigError, "train.steps", "many")


def test_unknown_reward(speechrl, tiny_config) -> None:
    ended = speechrl("train", tiny_config, "rewards.terms.0.name=acuracy")
    assert_refused(ended, ConfigError, "acuracy", "accuracy")


QUICK = """
import sys
from speechrl.cli.app import main
sys.modules["wandb"] = None
try:
    main()
finally:
    print("heavy:", [name for name in ("torch", "lhotse") if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("override", "kind"),
    [
        ("rewards.terms.0.name=acuracy", ConfigError),
        ("output=used", ConfigError),
        ("report.wandb_project=mine", MissingExtraError),
    ],
)
def test_what_is_plainly_wrong_does_not_wait_for_torch(tiny_config, tmp_path, override, kind) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "metrics.jsonl").write_text('{"step": 1}\n')
    ended = subprocess.run(
        [sys.executable, "-c", QUICK, "train", tiny_config, override],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == kind.exit_code, ended.stderr
    assert ended.stdout == "heavy: []\n"
    assert not (tmp_path / "run").exists()


def test_missing_model(speechrl, tiny_config, tmp_path) -> None:
    assert_refused(speechrl("train", tiny_config, f"model.path={tmp_path / 'none'}"), ModelError, "none")


def test_missing_manifest(speechrl, tiny_config, tmp_path) -> None:
    ended = speechrl("train", tiny_config, f"data.train={tmp_path / 'none.jsonl'}")
    assert_refused(ended, DataError, "none.jsonl")


def test_bad_row(speechrl, tiny_config, tiny_data) -> None:
    with tiny_data.open("a") as rows:
        rows.write('{"id": "odd", "audio": "0.wav"}\n')
    assert_refused(speechrl("train", tiny_config), DataError, "row 9", "odd", "text")


@pytest.mark.parametrize(
    ("samples", "what"),
    [
        (b"this is a text", "text file"),
        (np.zeros(0, np.float32), "no samples"),
        (np.zeros((RATE_HZ, 4), np.float32), "4 channels"),
    ],
    ids=["text file named .wav", "zero length", "four channels"],
)
def test_audio_that_cannot_be_used(speechrl, tiny_config, tiny_data, samples, what) -> None:
    add_row(tiny_data, samples)
    assert_refused(speechrl("train", tiny_config), DataError, "row 9", "odd", what)
    checked = speechrl("data", "check", tiny_data)
    assert checked.code == DataError.exit_code
    assert what in checked.out


def test_a_cut_set_whose_audio_is_gone_is_refused_before_the_first_step(
    speechrl, tiny_config, tiny_data, tmp_path
) -> None:
    cuts = tmp_path / "cuts.jsonl"
    assert speechrl("data", "import", tiny_data, cuts).code == 0
    lost = tiny_data.parent / "7.wav"
    lost.unlink()
    ended = speechrl("train", tiny_config, f"data.train={cuts}", "evaluation.sets={}")
    assert_refused(ended, DataError, "cuts.jsonl", "row 8", str(lost), "cannot be opened")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_evaluate_refuses_what_it_cannot_read(speechrl, tiny_model, tmp_path) -> None:
    missing = tmp_path / "none.jsonl"
    assert_refused(speechrl("evaluate", tiny_model, "--set", f"x={missing}"), DataError, "none.jsonl")
    assert_refused(speechrl("evaluate", tiny_model, "--set", "x"), ConfigError, "NAME=MANIFEST")
    twice = speechrl("evaluate", tiny_model, "--set", "x=a.jsonl", "--set", "x=b.jsonl")
    assert_refused(twice, ConfigError, "x=b.jsonl", "already a.jsonl")
    assert_refused(speechrl("report", tmp_path / "no_run"), DataError, "no_run")


def test_8_khz_audio_and_an_empty_reference_are_no_faults(speechrl, tiny_config, tiny_data) -> None:
    add_row(tiny_data, 0.01 * np.ones(4_000, np.float32), rate_hz=8_000, text="")
    ended = speechrl("train", tiny_config, "train.steps=1", "--json")
    assert ended.code == 0, ended.err
    result = json.loads(ended.out)
    assert result["evaluation"]["after"]["held_out"]["utterances"] == 9
    assert "8000 Hz" in speechrl("data", "check", tiny_data, "--allow-empty-text").out


REWARDS = """
import math, time

def raises(output, prompt):
    raise ValueError("no such word")

def nan(output, prompt):
    return math.nan

def hangs(output, prompt):
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("name", "why"), [("raises", "no such word"), ("nan", "nan"), ("hangs", "0.5 s (timeout_s)")]
)
def test_a_reward_that_fails_stops_the_run_with_the_reason(
    speechrl, tiny_config, tmp_path, name, why
) -> None:
    rewards = tmp_path / "broken_rewards.py"
    rewards.write_text(REWARDS)
    timeout_s = 0.5 if name == "hangs" else 60
    ended = speechrl(
        "train",
        tiny_config,
        f"rewards.terms.0.name={rewards}:{name}",
        f"rewards.terms.0.timeout_s={timeout_s}",
    )
    assert_refused(ended, RewardError, name, why, "max_failed_share")


def test_disk_full_while_saving_keeps_what_was_saved(speechrl, tiny_config, tmp_path, monkeypatch) -> None:
    assert speechrl("train", tiny_config, "train.checkpoint_every=1").code == 0
    saved = sorted((tmp_path / "run" / "checkpoints").iterdir())

    def disk_full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("speechrl.train.checkpoint.save_file", disk_full)
    ended = speechrl("train", tiny_config, "train.steps=5", "train.checkpoint_every=1", "--resume")
    assert_refused(ended, CheckpointError, "step-000004", "step-000003")
    assert sorted((tmp_path / "run" / "checkpoints").iterdir()) == saved
    monkeypatch.undo()
    assert speechrl("train", tiny_config, "train.steps=5", "--resume").code == 0
    rows = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2, 3, 4, 5]


def test_disk_full_while_the_model_is_written(speechrl, tiny_config, tmp_path, monkeypatch) -> None:
    def disk_full(self, folder, **_: object) -> None:
        raise Exception("No space left on device (os error 28)")  # what tokenizers makes of it

    # The last part to be written: all others are there already.
    monkeypatch.setattr("transformers.PreTrainedTokenizerFast.save_pretrained", disk_full)
    ended = speechrl("train", tiny_config)
    assert_refused(ended, CheckpointError, "run/model", "No space left", "--resume")
    assert not (tmp_path / "run" / "model").exists()
    monkeypatch.undo()
    assert speechrl("train", tiny_config, "--resume").code == 0
    kept = {file: file.read_bytes() for file in (tmp_path / "run" / "model").rglob("*") if file.is_file()}
    monkeypatch.setattr("transformers.PreTrainedTokenizerFast.save_pretrained", disk_full)
    ended = speechrl("train", tiny_config, "train.steps=4", "--resume")
    assert_refused(ended, CheckpointError, "run/model")
    assert {
        file: file.read_bytes() for file in (tmp_path / "run" / "model").rglob("*") if file.is_file()
    } == kept


def test_resume_from_a_truncated_checkpoint(speechrl, tiny_config, tmp_path) -> None:
    assert speechrl("train", tiny_config, "train.checkpoint_every=1").code == 0
    for tensors in (tmp_path / "run" / "checkpoints").glob("*/tensors.safetensors"):
        tensors.write_bytes(tensors.read_bytes()[:100])
    kept = (tmp_path / "run" / "metrics.jsonl").read_text()
    ended = speechrl("train", tiny_config, "train.steps=4", "--resume")
    assert_refused(ended, CheckpointError, "checkpoints")
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == kept


def test_a_run_is_not_overwritten(speechrl, tiny_config, tmp_path) -> None:
    assert speechrl("train", tiny_config, "train.steps=1").code == 0
    kept = (tmp_path / "run" / "metrics.jsonl").read_text()
    assert_refused(speechrl("train", tiny_config, "train.steps=1"), ConfigError, "run")
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == kept
