"""Rows that were expensive to make, in files that a kill leaves whole: what is there is not made again."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from speechrl.errors import DataError
from speechrl.report.writers import write_atomically
from speechrl.text.json_lines import json_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_NAME = re.compile(r"shard-(\d{5,})\.jsonl")


class Shards:
    """A folder of `shard-00000.jsonl`, `shard-00001.jsonl` ..., each written whole or not at all.

    Every row has a `key`, unique in the folder. Rows stand in the order in which they were added, so a job that was
    killed and goes on leaves the same files as one that was not.
    """

    def __init__(self, folder: Path) -> None:
        """Read what is there.

        Raises:
            DataError: A shard is not JSON lines with a `key`.
        """
        self._folder = folder
        self._rows: dict[str, dict[str, Any]] = {}
        self._next = 0
        for path in sorted(folder.glob("shard-*.jsonl")) if folder.is_dir() else ():
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue
            self._next = max(self._next, int(match[1]) + 1)
            try:
                rows = [json.loads(line) for _, line in json_lines(path.read_text(encoding="utf-8"))]
                self._rows.update((row["key"], row) for row in rows)
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{path}: not a whole shard ({error}); remove it, and it is made again"
                ) from error

    @property
    def next_number(self) -> int:
        """Of the shard that will be written next."""
        return self._next

    @property
    def rows(self) -> Mapping[str, dict[str, Any]]:
        """Key -> row."""
        return self._rows

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write the next shard."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        write_atomically(self._folder / f"shard-{self._next:05d}.jsonl", lines)
        self._rows.update((row["key"], row) for row in rows)
        self._next += 1
