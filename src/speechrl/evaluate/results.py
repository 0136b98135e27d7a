"""What a model did on its sets, whichever the task: files that a run leaves, and the comparison of two moments."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from speechrl.errors import DataError
from speechrl.evaluate.asr_results import Row, SetResult
from speechrl.evaluate.tts_results import SpokenRow, SpokenSet
from speechrl.text.json_lines import json_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Evaluation", "Row", "SetResult", "SpokenRow", "SpokenSet", "assemble", "read_evaluation"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A model on its sets.

    Attributes:
        sets: Result by set name; all of one task.
        seconds: Wall-clock seconds by set name.
    """

    sets: Mapping[str, SetResult | SpokenSet]
    seconds: Mapping[str, float]

    def to_json(self, resamples: int = 2000, seed: int = 1) -> dict[str, dict[str, Any]]:
        """`{SET: {"wer": ...}}` or `{SET: {"judge_wer": ...}}`, see the `to_json` of the sets."""
        return {name: result.to_json(resamples, seed) for name, result in self.sets.items()}

    def write(self, folder: Path) -> None:
        """Write `SET.jsonl`, a line a row, and `seconds.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, result in self.sets.items():
            lines = (json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in result.rows)
            (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        (folder / "seconds.json").write_text(json.dumps(dict(self.seconds)) + "\n", encoding="utf-8")


def read_evaluation(folder: Path) -> Evaluation | None:
    """Read back what `Evaluation.write` wrote (a resumed run does not evaluate twice); None if it was not finished.

    Raises:
        DataError: A file is not what was written.
    """
    finished = folder / "seconds.json"
    if not finished.is_file():
        return None
    try:
        seconds: dict[str, float] = json.loads(finished.read_text(encoding="utf-8"))
        sets = {name: _read_set(folder / f"{name}.jsonl") for name in seconds}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{folder}: not a whole evaluation ({error}). Remove the folder to evaluate again."
        ) from error
    return Evaluation(sets, seconds)


def assemble(
    before: Evaluation | None, after: Evaluation, resamples: int = 2000, seed: int = 1
) -> dict[str, Any]:
    """The content of `evaluation.json`.

    Args:
        before: The model as it was loaded; None leaves `before` and `paired` empty.
        after: The model after training.
        resamples: Of every interval and test.
        seed: Of the resampling.

    Returns:
        `before`, `after`, `paired`, `seconds` in the shape of docs/running.md. `paired` compares the measure it names,
        see `since` of the sets.
    """
    moments = {"before": before, "after": after}
    return {
        "before": before.to_json(resamples, seed) if before else {},
        "after": after.to_json(resamples, seed),
        "paired": _paired(before, after, resamples, seed) if before else {},
        "seconds": {moment: dict(done.seconds) for moment, done in moments.items() if done},
    }


def _paired(before: Evaluation, after: Evaluation, resamples: int, seed: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, result in after.sets.items():
        match before.sets.get(name), result:
            case (SetResult() as first, SetResult() as second) if second.rows:
                change = second.since(first, resamples, seed)
            case SpokenSet() as first_spoken, SpokenSet() as second_spoken:
                change = second_spoken.since(first_spoken, resamples, seed)
            case _:
                change = None
        if change:
            found[name] = change
    return found


def _read_set(path: Path) -> SetResult | SpokenSet:
    lines = [json.loads(line) for _, line in json_lines(path.read_text(encoding="utf-8"))]
    spoken = bool(lines) and "judges" in lines[0]
    return SpokenSet.from_lines(lines) if spoken else SetResult.from_lines(lines)
