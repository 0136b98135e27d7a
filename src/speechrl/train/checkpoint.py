"""Checkpoints that are complete or absent: a run killed at any moment finds its last one whole.

A checkpoint is a folder `step-000010` with `tensors.safetensors`, `state.json` and `manifest.json`, which holds size
and SHA-256 of the other two and is what makes the folder valid. It is written beside its final place and renamed.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from speechrl.errors import CheckpointError
from speechrl.models.atomic_folder import recover, written_whole
from speechrl.train.tree import join, split

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TENSORS, STATE, MANIFEST = "tensors.safetensors", "state.json", "manifest.json"
_NO_ROOM = os.strerror(errno.ENOSPC)
"""How safetensors, whose errors have no errno, tells of a full disk."""
_NAME = re.compile(r"step-(\d{6,})")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint that was read.

    Attributes:
        step: Steps done when it was saved.
        state: What was saved.
        notes: A sentence per newer checkpoint that could not be used.
    """

    step: int
    state: dict[str, Any]
    notes: tuple[str, ...]


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Where they are; made with the first one.
        keep: Older ones are removed after a new one is in place.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self._folder = folder
        self._keep = keep

    def save(self, step: int, state: Mapping[str, Any]) -> Path:
        """Write one checkpoint.

        Args:
            step: Steps done.
            state: Nested mappings and lists of tensors and JSON values.

        Raises:
            CheckpointError: It could not be written; nothing of it remains, and older ones are as they were.
        """
        final = self._path(step)
        try:
            with written_whole(final) as folder:
                _write(folder, step, state)
            # A later one is damaged, or this run would have gone on from it: it must not push a whole one out.
            for old in [done for done in self._steps() if done <= step][: -self._keep]:
                shutil.rmtree(self._path(old))
        except (
            OSError,
            SafetensorError,
            TypeError,
            ValueError,
        ) as error:  # the last two: a state that is no JSON
            raise CheckpointError(self._why_not_written(final, step, error)) from error
        return final

    def load_latest(self) -> Loaded | None:
        """Read the newest whole checkpoint; None when there is no checkpoint at all.

        Raises:
            CheckpointError: There are some, and none is whole; the message names each file and what is wrong with it.
        """
        for remains in list(self._folder.glob(".step-*")):
            recover(remains.with_name(remains.stem.removeprefix(".")))
        notes: list[str] = []
        for step in reversed(self._steps()):
            try:
                return Loaded(step, read_checkpoint(self._path(step)), tuple(notes))
            except CheckpointError as error:
                notes.append(str(error))
        if notes:
            raise CheckpointError(
                "no checkpoint of this run can be used:\n"
                + "\n".join(notes)
                + "\nRestore one from a copy, or start again: "
                f"remove {self._folder} and resume, which then begins at step 1."
            )
        return None

    def load(self, step: int) -> Loaded:
        """Read the checkpoint of a step.

        Raises:
            CheckpointError: There is none (the message lists those there are), or it is damaged.
        """
        steps = self._steps()
        if step not in steps:
            there = f"there are those of steps {', '.join(map(str, steps))}" if steps else "there is none"
            raise CheckpointError(f"{self._folder}: no checkpoint of step {step}; {there}.")
        return Loaded(step, read_checkpoint(self._path(step)), ())

    def _steps(self) -> list[int]:
        if not self._folder.is_dir():
            return []
        return sorted(
            int(match[1]) for path in self._folder.iterdir() if (match := _NAME.fullmatch(path.name))
        )

    def _path(self, step: int) -> Path:
        return self._folder / f"step-{step:06d}"

    def _why_not_written(self, final: Path, step: int, error: Exception) -> str:
        older = [f"step-{old:06d}" for old in self._steps()]
        kept = f"The checkpoint {older[-1]} is untouched." if older else "There is no older checkpoint yet."
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or _NO_ROOM in str(error):
            free = shutil.disk_usage(final.parent).free / 1e6 if final.parent.is_dir() else 0.0
            return (
                f"{final}: the disk is full ({free:.0f} MB free), so step {step} was not saved. {kept} Make room "
                "(lower train.keep_checkpoints, or move other files away), then resume the run."
            )
        reason = f"{final}: cannot be written ({error}), so step {step} was not saved."
        return f"{reason} {kept} Mend it, then resume the run."


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read and verify one checkpoint.

    Raises:
        CheckpointError: A file is missing, cut short or changed; the message names it.
    """
    manifest = _read_json(path / MANIFEST)
    for name in (TENSORS, STATE):
        file = path / name
        try:
            expected = manifest["files"][name]
            size = file.stat().st_size
        except FileNotFoundError:
            raise CheckpointError(f"{file}: is missing; the checkpoint is incomplete.") from None
        except (KeyError, TypeError):
            raise CheckpointError(f"{path / MANIFEST}: does not describe {name}; it is damaged.") from None
        if size != expected["bytes"]:
            raise CheckpointError(
                f"{file}: has {size} bytes where {expected['bytes']} were written; it is truncated."
            )
        if _sha256(file) != expected["sha256"]:
            raise CheckpointError(
                f"{file}: its content is not what was written (SHA-256 differs); it is damaged."
            )
    state: dict[str, Any] = join(_read_json(path / STATE), load_file(path / TENSORS))
    return state


def _write(folder: Path, step: int, state: Mapping[str, Any]) -> None:
    """Write the three files, the manifest last."""
    tree, tensors = split(state)
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if shutil.disk_usage(folder).free < needed:
        raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {needed / 1e6:.0f} MB are needed")
    save_file(tensors, folder / TENSORS)
    (folder / STATE).write_text(json.dumps(tree, allow_nan=False))
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": _sha256(folder / name)}
        for name in (TENSORS, STATE)
    }
    (folder / MANIFEST).write_text(json.dumps({"step": step, "files": files}, indent=2))


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{file}: is missing; the checkpoint is incomplete.") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be read ({error}); it is damaged.") from error


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
