"""A folder is replaced as a whole: no error and no kill leaves half of it, or destroys the older one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from safetensors import SafetensorError

from speechrl.errors import CheckpointError
from speechrl.models.atomic_folder import recover, saved_model, written_whole


def write(folder: Path, content: str) -> None:
    with written_whole(folder) as new:
        (new / "weights").write_text(content)
        (new / "tokenizer").mkdir()
        (new / "tokenizer" / f"{content}.json").write_text(content)


def seen(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def whole(content: str) -> dict[str, str]:
    return {"weights": content, f"tokenizer/{content}.json": content}


def test_the_new_one_takes_the_place_of_the_older(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there" / "yet"
    write(folder, "old")
    assert seen(folder) == whole("old")
    write(folder, "new")
    assert seen(folder) == whole("new")
    assert [path.name for path in folder.parent.iterdir()] == ["yet"]


def write_half(folder: Path, error: BaseException) -> None:
    with written_whole(folder) as new:
        (new / "weights").write_text("half")
        raise error


def test_an_error_leaves_the_older_one(tmp_path: Path) -> None:
    write(tmp_path / "model", "old")
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "model", KeyboardInterrupt())
    assert seen(tmp_path / "model") == whole("old")
    with pytest.raises(OSError, match="full"):
        write_half(tmp_path / "other", OSError("full"))
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_else_lies_there_stays_and_is_the_same_file(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write(folder, "old")
    (folder / "MODEL_CARD.md").write_text("card")
    (folder / "recipe").mkdir()
    (folder / "recipe" / "sft.py").write_text("code")
    (folder / "link").symlink_to("weights")
    inode = (folder / "MODEL_CARD.md").stat().st_ino
    write(folder, "new")
    assert seen(folder) == whole("new") | {"MODEL_CARD.md": "card", "recipe/sft.py": "code", "link": "new"}
    assert (folder / "MODEL_CARD.md").stat().st_ino == inode
    assert (folder / "link").is_symlink()


def test_a_file_system_without_hard_links_gets_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    write(tmp_path / "model", "old")
    (tmp_path / "model" / "MODEL_CARD.md").write_text("card")
    write(tmp_path / "model", "new")
    assert seen(tmp_path / "model") == whole("new") | {"MODEL_CARD.md": "card"}


@pytest.mark.parametrize("renames", [0, 1, 2])
def test_a_kill_at_any_moment_leaves_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renames: int
) -> None:
    """The picture is what a kill would leave before the first rename, between the two, and after them."""
    folder, image = tmp_path / "models", tmp_path / "image"
    write(folder / "model", "old")
    real, done = Path.rename, []

    def rename(self: Path, target: Path) -> Path:
        if len(done) == renames:
            shutil.copytree(folder, image)
        moved = real(self, target)
        done.append(target)
        return moved

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        write(folder / "model", "new")
    if renames == 2:
        shutil.copytree(folder, image)
    recover(image / "model")
    assert seen(image / "model") == whole("new" if renames == 2 else "old")
    assert [path.name for path in image.iterdir()] == ["model"]


FULL = [OSError("No space left"), SafetensorError("No space left"), Exception("No space left (os error 28)")]


@pytest.mark.parametrize("failure", FULL, ids=["python", "safetensors", "tokenizers"])
def test_a_model_that_cannot_be_written_is_told_with_its_folder(tmp_path: Path, failure: Exception) -> None:
    with (
        pytest.raises(CheckpointError, match=r"model: the model cannot be written \(No space left"),
        saved_model(tmp_path / "model"),
    ):
        raise failure
    assert list(tmp_path.iterdir()) == []


def test_a_fault_in_the_code_is_not_told_as_one_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(KeyError), saved_model(tmp_path / "model"):
        raise KeyError("adapter")
    assert list(tmp_path.iterdir()) == []
