"""Held-out sets by name.

A set is a manifest, or one derived from it and spelt with an ending, as in `package:data/asterisk_en/test.jsonl#long`:
`#long`, `#noise`, `#telephone` and `#silence` are described in `data.derive`.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from speechrl.data.derive import derive, read_set
from speechrl.data.prompts import to_prompt
from speechrl.errors import ConfigError, DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from speechrl.types import Prompt, Task

DERIVE_SEED = 0
"""Derived sets are the same in every run, whatever its seed: results can be compared."""


def load_sets(
    sets: Mapping[str, str], task: Task = "asr", limit: int | None = None
) -> dict[str, list[Prompt]]:
    """Read held-out sets with their audio.

    Args:
        sets: Name -> manifest, or derived set, as in `evaluation.sets` of a configuration.
        task: What the sets are for: their audio is what to recognise, or the voice to speak with.
        limit: How many utterances of each set, from its beginning; None is all.

    Raises:
        ConfigError: A name cannot be a file name (rows go to `evaluation/before/NAME.jsonl`).
        DataError: A manifest cannot be read, has no utterances, or has one id twice (pairing is by id).
    """
    return {name: _load(name, path, task, limit) for name, path in sets.items()}


def _load(name: str, path: str, task: Task, limit: int | None) -> list[Prompt]:
    if not re.fullmatch(r"[\w][\w.+-]*", name):
        raise ConfigError(
            f"evaluation.sets: {name!r} cannot name a set; use letters, digits, `_`, `-`, `.` and `+`."
        )
    # Cut before any audio is read, or made.
    cuts = derive(path, DERIVE_SEED) if "#" in path else read_set(path, DERIVE_SEED)
    prompts = [to_prompt(cut, task=task) for cut in islice(cuts, limit)]
    if not prompts:
        raise DataError(
            f"{path}: evaluation set {name!r} has no utterances. Give another manifest, or remove the set."
        )
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise DataError(
                f"{path}: id {prompt.id!r} comes twice in evaluation set {name!r}. Make ids unique."
            )
        seen.add(prompt.id)
    return prompts
