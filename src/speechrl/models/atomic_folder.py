"""Folders that are replaced as a whole: a full disk or a kill leaves the older one as it was."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from speechrl.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WRITING, REPLACED = ".writing", ".replaced"
"""Endings of the two hidden neighbours that a folder has while it is replaced."""
OF_A_RUN = (
    "Make room or choose another place; after training it is in the run's newest checkpoint, so give the same command "
    "with --resume"
)
"""What to do where the model of a run cannot be written."""


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write into; when the block ends, it takes the place of `folder`, flushed to the disk.

    If the block raises, `folder` is as it was. If the process is killed inside, `folder` is as it was too, but for the
    moment between two renames, which `recover` mends. What else lies in `folder` (a model card, say) moves along.

    Raises:
        OSError: The folder cannot be written or replaced.
    """
    folder = folder.resolve()
    recover(folder)
    writing, replaced = _neighbours(folder)
    try:
        writing.mkdir(parents=True)
        yield writing
        _take_along(folder, writing)
        _flush(writing)
        if folder.exists():
            folder.rename(replaced)
        writing.rename(folder)
        _flush_entry(folder.parent)
    except BaseException:
        recover(folder)
        raise
    recover(folder)


def recover(folder: Path) -> None:
    """Clear away what a killed `written_whole` left; an older `folder` that it had set aside comes back."""
    writing, replaced = _neighbours(folder)
    if replaced.exists() and not folder.exists():
        replaced.rename(folder)
    # What cannot be removed now is hidden, harmless, and met again by the next call.
    for remains in (replaced, writing):
        shutil.rmtree(remains, ignore_errors=True)


@contextmanager
def saved_model(folder: Path, mend: str = OF_A_RUN) -> Iterator[Path]:
    """`written_whole` for the `save` of a model.

    Args:
        folder: Of the model.
        mend: What to do where it cannot be written.

    Raises:
        CheckpointError: The folder cannot be written, for example because the disk is full; an older model in it is as
            it was.
    """
    try:
        with written_whole(folder) as new:
            yield new
    except Exception as error:
        # Of a full disk safetensors makes an error of its own, and tokenizers a plain Exception that quotes the system.
        if not isinstance(error, OSError | SafetensorError) and "(os error " not in str(error):
            raise
        raise CheckpointError(f"{folder}: the model cannot be written ({error}). {mend}") from error


def _neighbours(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f".{folder.name}{WRITING}"), folder.with_name(f".{folder.name}{REPLACED}")


def _take_along(old: Path, new: Path) -> None:
    """Link the entries of `old` that `new` lacks into it: the same files, so nothing is copied."""
    for entry in old.iterdir() if old.exists() else ():
        copy = new / entry.name
        if copy.exists():
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, copy, symlinks=True, copy_function=_link)
        else:
            _link(entry, copy)


def _link(source: Path | str, target: Path | str) -> None:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # some file systems have no hard links
        shutil.copy2(source, target, follow_symlinks=False)


def _flush(folder: Path) -> None:
    """Flush a folder and everything in it to the disk."""
    for path in folder.rglob("*"):
        if not path.is_symlink():
            _flush_entry(path)
    _flush_entry(folder)


def _flush_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
