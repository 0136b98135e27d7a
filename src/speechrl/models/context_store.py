"""Contexts on disk: what the encoder made of each item, read back by memory map, up to a bound."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import torch

from speechrl.errors import DataError
from speechrl.types import Context

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

NUMBERS, INDEX = "contexts.f32", "index.jsonl"


class ContextStore:
    """Contexts of one model: `contexts.f32`, one after another in float32, and `index.jsonl`, a line each.

    They lie in `folder/model/`, so that models can share a folder. It only grows. A line of the index is written after
    its numbers, so that a kill leaves at worst numbers that nobody refers to. Contexts with positions or a voice (TTS)
    are not kept.

    Args:
        folder: Made if it is not there.
        model: Fingerprint of the model; the contexts of another are of no use.
        max_bytes: Bound on the numbers; 0 reads only.

    Raises:
        DataError: To be read, but the folder holds no contexts of this model; or its files do not fit each other.
    """

    def __init__(self, folder: Path, model: str, max_bytes: int = 0) -> None:
        self._folder = folder / model
        self._max_bytes = max_bytes
        self._places: dict[str, tuple[int, int, int]] = {}
        if max_bytes:
            self._folder.mkdir(parents=True, exist_ok=True)
        elif not self._folder.is_dir():
            others = sorted(path.parent.name for path in folder.glob(f"*/{INDEX}"))
            those = f"; it holds those of {', '.join(others)}, which have other weights" if others else ""
            raise DataError(
                f"{folder}: no contexts of this model ({model}) there{those}. `speechrl data select` keeps them: give "
                "it this model, and probe.keep_contexts_gb"
            )
        self._read_index()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: Hashable) -> bool:
        return repr(key) in self._places

    def get(self, key: Hashable, prompt_id: str) -> Context | None:
        """The context of an item as a copy in memory, or None."""
        place = self._places.get(repr(key))
        if place is None:
            return None
        offset, positions, width = place
        mapped = np.memmap(self._folder / NUMBERS, np.float32, "r", offset * 4, (positions, width))
        return Context(prompt_id, torch.from_numpy(np.array(mapped)))

    def put(self, key: Hashable, context: Context) -> None:
        """Keep a context, if there is room and it is not kept yet."""
        embeddings_TD = context.embeddings_TD
        full = self._end * 4 + embeddings_TD.numel() * 4 > self._max_bytes
        special = context.positions_T is not None or context.voice_D is not None
        if full or special or embeddings_TD.dtype is not torch.float32 or key in self:
            return
        with (self._folder / NUMBERS).open("r+b" if (self._folder / NUMBERS).exists() else "wb") as file:
            file.seek(self._end * 4)
            file.write(embeddings_TD.contiguous().numpy().tobytes())
        positions, width = embeddings_TD.shape
        place = (self._end, positions, width)
        with (self._folder / INDEX).open("a", encoding="utf-8") as file_of_lines:
            file_of_lines.write(json.dumps([repr(key), *place]) + "\n")
        self._places[repr(key)] = place
        self._end += positions * width

    def _read_index(self) -> None:
        index, numbers = self._folder / INDEX, self._folder / NUMBERS
        self._end = 0
        if not index.is_file():
            return
        text = index.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text and self._max_bytes:  # a kill cut the last line short
            index.write_text(whole, encoding="utf-8")
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                key, offset, positions, width = json.loads(line)
                self._places[key] = (int(offset), int(positions), int(width))
                self._end = max(self._end, offset + positions * width)
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"{index}, row {number}: {error}; remove the folder and make it again"
                ) from error
        if self._end * 4 > (numbers.stat().st_size if numbers.is_file() else 0):
            raise DataError(f"{numbers}: shorter than {index} says; remove the folder and make it again")
