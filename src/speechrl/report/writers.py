"""Where a run's numbers, texts and sounds go: JSONL (always), TensorBoard, and Weights & Biases as an extra."""

from __future__ import annotations

import json
import os
import uuid
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from speechrl.errors import DataError, MissingExtraError
from speechrl.text.json_lines import json_lines

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np


class Writer(Protocol):
    """A destination of one run."""

    def row(self, row: Mapping[str, Any]) -> None:
        """Take the metrics of a step, in the shape of `metrics.make_row`."""
        ...

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Take a text sample."""
        ...

    def audio(self, tag: str, waveform: np.ndarray, sample_rate_hz: int, step: int) -> None:
        """Take mono samples in [-1, 1]."""
        ...

    def close(self) -> None:
        """Write what is pending."""
        ...


class JsonlWriter:
    """Appends a line a step and flushes it, so that a killed process loses nothing that it logged."""

    def __init__(self, path: Path, resume_step: int | None = None) -> None:
        """Open `path`; on resume first drop the rows after `resume_step`, and a line cut short by a crash."""
        if resume_step is not None and path.exists():
            kept = [row for row in read_rows(path) if row["step"] <= resume_step]
            write_atomically(path, "".join(map(_line, kept)))
        self._file: TextIO = path.open("a", encoding="utf-8")

    def row(self, row: Mapping[str, Any]) -> None:
        """Append one line."""
        self._file.write(_line(row))
        self._file.flush()

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Nothing: samples have their own files."""

    def audio(self, tag: str, waveform: np.ndarray, sample_rate_hz: int, step: int) -> None:
        """Nothing: samples have their own files."""

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardWriter:
    """TensorBoard events: scalars, rollouts as text, prompts as sound."""

    def __init__(self, folder: Path, resume_step: int | None = None) -> None:
        """Open the log folder; on resume TensorBoard hides the steps that will be written again."""
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import: only where it is used

        purge_step = None if resume_step is None else resume_step + 1
        self._writer = SummaryWriter(log_dir=str(folder), purge_step=purge_step)

    def row(self, row: Mapping[str, Any]) -> None:
        """Write the numbers of a step."""
        for name, value in numbers_of(row).items():
            self._writer.add_scalar(name, value, row["step"])

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Write a text sample."""
        self._writer.add_text(tag, markdown, step)

    def audio(self, tag: str, waveform: np.ndarray, sample_rate_hz: int, step: int) -> None:
        """Write a sound sample."""
        self._writer.add_audio(tag, waveform, step, sample_rate=sample_rate_hz)

    def close(self) -> None:
        """Write what is pending."""
        self._writer.close()


class WandbWriter:
    """Weights & Biases, from the extra `wandb`. A resumed run continues the same page."""

    def __init__(self, folder: Path, project: str, config: Mapping[str, Any]) -> None:
        """Start or continue the run.

        Raises:
            MissingExtraError: wandb is not installed.
        """
        try:
            import wandb
        except ImportError as error:
            raise MissingExtraError(
                f"report.wandb_project is {project!r}, but wandb is not installed: pip install 'speechrl[wandb]', "
                "or remove report.wandb_project from the configuration."
            ) from error
        id_file = folder / "wandb_id.txt"
        if not id_file.exists():
            write_atomically(id_file, uuid.uuid4().hex)
        self._wandb: Any = wandb
        self._run: Any = wandb.init(
            project=project, id=id_file.read_text(), resume="allow", dir=str(folder), config=dict(config)
        )

    def row(self, row: Mapping[str, Any]) -> None:
        """Log the numbers of a step."""
        self._run.log(numbers_of(row), step=row["step"])

    def text(self, tag: str, markdown: str, step: int) -> None:
        """Log a text sample."""
        self._run.log({tag: self._wandb.Html(f"<pre>{_escape(markdown)}</pre>")}, step=step)

    def audio(self, tag: str, waveform: np.ndarray, sample_rate_hz: int, step: int) -> None:
        """Log a sound sample."""
        self._run.log({tag: self._wandb.Audio(waveform, sample_rate=sample_rate_hz)}, step=step)

    def close(self) -> None:
        """End the run."""
        self._run.finish()


def numbers_of(row: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a row, without `step`, nulls and alarms."""
    return {
        name: float(value)
        for name, value in row.items()
        if name != "step" and isinstance(value, int | float) and not isinstance(value, bool)
    }


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file; [] where there is none. A last line cut short by a crash is left out.

    Raises:
        DataError: A line before the last is not JSON.
    """
    if not path.exists():
        return []
    rows: list[dict[str, Any]] = []
    lines = json_lines(path.read_text(encoding="utf-8", errors="replace"))
    for number, line in lines:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            if number < lines[-1][0]:
                raise DataError(f"{path}, line {number}: not JSON ({error}). Remove the line.") from error
    return rows


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, sees the old one or the new one and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically; NaN is refused, since JSON has none."""
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
