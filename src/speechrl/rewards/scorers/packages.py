"""Where models lie that come inside Python packages."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path

from speechrl.errors import MissingExtraError, ModelError


@dataclass(frozen=True, slots=True)
class Package:
    """A Python package that brings a model, or runs one.

    Attributes:
        module: Its import name.
        purpose: Who needs it, for the message.
        install: What pip is to install.
    """

    module: str
    purpose: str
    install: str

    def folder(self) -> Path:
        """Where it is installed; it is not imported.

        Raises:
            MissingExtraError: It is not installed.
        """
        spec = importlib.util.find_spec(self.module)
        if spec is None or spec.origin is None:
            raise self.missing()
        return Path(spec.origin).parent

    def version(self) -> str:
        """Of what pip installed; empty where it is not."""
        names = packages_distributions().get(self.module, [])
        return version(names[0]) if names else ""

    def missing(self) -> MissingExtraError:
        """What to raise where it is not installed."""
        return MissingExtraError(
            f"{self.purpose} needs the package {self.module}, which is not installed: pip install {self.install}"
        )


def cache_folder(name: str) -> Path:
    """A folder of the user's cache for `name`; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "speechrl" / name


def join_parts(parts: list[Path], target: Path) -> None:
    """Write the parts one after the other into `target`, whole or not at all, unless it is there in full.

    Raises:
        ModelError: A part is missing, or the target cannot be written.
    """
    try:
        if target.is_file() and target.stat().st_size == sum(part.stat().st_size for part in parts):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        # Another process may do the same: each writes a file of its own, and the last rename wins.
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=target.name)
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as joined:
                for part in parts:
                    with part.open("rb") as piece:
                        shutil.copyfileobj(piece, joined)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise ModelError(
            f"{target}: cannot be joined from its parts ({error}); make room, or set XDG_CACHE_HOME"
        ) from error
