from __future__ import annotations

import errno
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from speechrl.errors import CheckpointError
from speechrl.train import checkpoint
from speechrl.train.checkpoint import MANIFEST, STATE, TENSORS, Checkpoints
from speechrl.train.randomness import random_state, restore_random_state, seed_everything
from speechrl.train.tree import split


def state(value: float) -> dict[str, Any]:
    tied = torch.full((3, 2), value)
    return {
        "weights": {"a": tied, "b": tied.T},
        "moments": [torch.tensor(value), None],
        "step": 3,
        "rate": 0.1 + 0.2,
    }


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    Checkpoints(tmp_path, keep=2).save(7, state(1.5))
    loaded = Checkpoints(tmp_path, keep=2).load_latest()
    assert loaded is not None
    assert loaded.step == 7
    assert torch.equal(loaded.state["weights"]["b"], torch.full((2, 3), 1.5))
    assert loaded.state["moments"][0].shape == ()
    assert loaded.state["rate"] == 0.1 + 0.2
    assert loaded.notes == ()


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, keep=2)
    for step in (1, 2, 10):
        store.save(step, state(step))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000002", "step-000010"]


def test_a_damaged_later_one_never_pushes_out_what_was_just_saved(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, keep=2)
    for step in (4, 6):
        store.save(step, state(step))
    truncate(tmp_path / "step-000006" / TENSORS)
    again = Checkpoints(tmp_path, keep=1)
    again.save(5, state(5.0))
    loaded = again.load_latest()
    assert loaded is not None
    assert loaded.step == 5


def test_a_step_can_be_saved_again(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, keep=2)
    store.save(1, state(1.0))
    store.save(1, state(2.0))
    loaded = store.load_latest()
    assert loaded is not None
    assert loaded.state["moments"][0] == 2.0
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip, Path.unlink])
@pytest.mark.parametrize("name", [TENSORS, STATE, MANIFEST])
def test_damage_is_noticed_and_the_one_before_is_used(tmp_path: Path, name: str, damage: Any) -> None:
    store = Checkpoints(tmp_path, keep=2)
    store.save(1, state(1.0))
    store.save(2, state(2.0))
    damage(tmp_path / "step-000002" / name)
    loaded = store.load_latest()
    assert loaded is not None
    assert loaded.step == 1
    assert len(loaded.notes) == 1
    assert f"step-000002/{name}" in loaded.notes[0]


def test_nothing_whole_is_an_error_that_names_every_file(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, keep=2)
    for step in (1, 2):
        store.save(step, state(step))
        truncate(tmp_path / f"step-{step:06d}" / TENSORS)
    with pytest.raises(
        CheckpointError, match=r"(?s)step-000002/tensors.*truncated.*step-000001/tensors.*truncated"
    ):
        store.load_latest()


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", keep=1).load_latest() is None


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
]


@pytest.mark.parametrize("failure", FULL, ids=["python", "safetensors"])
def test_a_full_disk_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    store = Checkpoints(tmp_path, keep=1)
    store.save(1, state(1.0))

    def no_room(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise failure

    monkeypatch.setattr(checkpoint, "save_file", no_room)
    with pytest.raises(
        CheckpointError, match=r"disk is full.*step 2 was not saved.*step-000001 is untouched.*Make room"
    ):
        store.save(2, state(2.0))
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]
    loaded = store.load_latest()
    assert loaded is not None
    assert loaded.step == 1


def test_room_is_looked_for_before_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 99, 1))  # type: ignore[attr-defined]
    with pytest.raises(CheckpointError, match="disk is full"):
        Checkpoints(tmp_path, keep=1).save(1, state(1.0))


@pytest.mark.parametrize("moment", ["mkdir", "tensors", "state", "set aside", "in place"])
def test_a_kill_at_any_moment_leaves_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """The process ends at `moment` while step 2 is saved over an older step 2; the cleaning code never runs."""
    folder, image = tmp_path / "checkpoints", tmp_path / "image"
    store = Checkpoints(folder, keep=2)
    store.save(1, state(1.0))
    store.save(2, state(2.0))

    def picture(*_: object) -> None:
        if not image.exists():
            shutil.copytree(folder, image)

    renames: list[Path] = []
    real_rename, real_save, real_write = Path.rename, checkpoint.save_file, checkpoint._write

    def rename(self: Path, target: Path) -> Path:
        result = real_rename(self, target)
        renames.append(target)
        if (moment, len(renames)) in (("set aside", 1), ("in place", 2)):
            picture()
        return result

    def save_file(*args: Any) -> None:
        real_save(*args)
        if moment == "tensors":
            picture()

    def write(folder: Path, *args: Any) -> None:
        if moment == "mkdir":
            picture()
        real_write(folder, *args)
        if moment == "state":
            picture()

    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr(checkpoint, "save_file", save_file)
    monkeypatch.setattr(checkpoint, "_write", write)
    store.save(2, state(3.0))
    monkeypatch.undo()
    loaded = Checkpoints(image, keep=2).load_latest()
    assert loaded is not None
    assert loaded.step == 2
    assert loaded.state["moments"][0] == (3.0 if moment == "in place" else 2.0)
    Checkpoints(image, keep=2).save(3, state(4.0))
    assert sorted(path.name for path in image.iterdir()) == ["step-000002", "step-000003"]


def test_only_json_and_tensors_are_taken() -> None:
    with pytest.raises(TypeError, match="/a is a set"):
        split({"a": {1, 2}})
    with pytest.raises(TypeError, match="must be strings"):
        split({"a": {1: 2}})


def draw() -> list[float]:
    np.random.standard_normal()  # leaves a cached second number
    return [random.random(), random.gauss(0, 1), float(np.random.standard_normal()), float(torch.rand(()))]


def test_random_generators_go_on_where_they_were() -> None:
    seed_everything(3)
    draw()
    np.random.standard_normal()
    saved = json.loads(json.dumps(split({k: v for k, v in random_state().items() if k != "torch"})[0]))
    saved["torch"] = torch.get_rng_state()
    expected = draw()
    restore_random_state(saved)
    assert draw() == expected
