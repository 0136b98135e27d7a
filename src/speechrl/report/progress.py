"""A live view of a run in the terminal; plain lines where the output is a file or a pipe."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from speechrl.report.charts import smooth
from speechrl.report.timeline import duration, stages_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from speechrl.config.schema import RunConfig

MOMENTS = {"before": "before training", "between": "between steps", "after": "after training"}
PLAIN_EVERY_S = 10.0
"""Seconds between plain lines, so that a log of a long run stays readable."""
KEPT_ROWS = 400
SPARKS = "▁▂▃▄▅▆▇█"


class ProgressListener:
    """Shows step and total, reward by term, WER, share of groups without spread, KL, seconds by stage and time left.

    It has the methods of `train.events.Listener`. Use it as a context manager around the run.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Watch on `console`; stderr by default."""
        self._console = console or Console(stderr=True)
        self._live: Live | None = None
        self._rows: list[Mapping[str, Any]] = []
        self._total = 0
        self._first = 1
        self._started_s = 0.0
        self._line_at_s = 0.0
        self._doing = "loading"

    def __enter__(self) -> Self:
        """Begin to show, if the console is a terminal."""
        if self._console.is_terminal:
            self._live = Live(
                self._view(), console=self._console, refresh_per_second=4, get_renderable=self._view
            )
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last view on the screen."""
        if self._live is not None:
            self._live.stop()

    def run_started(self, config: RunConfig, first_step: int) -> None:
        """Training begins."""
        self._total, self._first = config.train.steps, first_step
        self._started_s = time.monotonic()
        self._doing = "training"

    def evaluation_started(self, moment: str, sets: Mapping[str, int]) -> None:
        """An evaluation begins."""
        self._doing = f"evaluating {MOMENTS.get(moment, moment)}"
        named = ", ".join(f"{name} ({utterances})" for name, utterances in sets.items())
        self._say(f"Evaluating {MOMENTS.get(moment, moment)}: {named}")

    def evaluation_finished(self, moment: str, results: Mapping[str, Mapping[str, Any]]) -> None:
        """An evaluation has its numbers."""
        self._doing = "training" if moment == "between" else "working"
        shown = []
        for name, numbers in results.items():
            if numbers.get("wer") is not None:
                shown.append(f"{name} {numbers['wer']:.1%} WER")
            elif numbers.get("judge_wer") is not None:
                voice = numbers.get("similarity")
                shown.append(
                    f"{name} {numbers['judge_wer']:.1%} judge WER"
                    + ("" if voice is None else f", similarity {voice:.3f}")
                )
            elif numbers.get("non_empty_rate") is not None:
                shown.append(f"{name} {numbers['non_empty_rate']:.0%} answered with text")
        self._say("  " + ", ".join(shown))

    def step_finished(self, step: int, row: Mapping[str, Any]) -> None:
        """A step has its row."""
        self._rows = [*self._rows, row][-KEPT_ROWS:]
        now_s = time.monotonic()
        if self._live is None and (
            now_s - self._line_at_s > PLAIN_EVERY_S or step in (self._first, self._total)
        ):
            self._line_at_s = now_s
            self._say(plain_line(row, self._total, self._left_s()))

    def message(self, text: str, *, alarm: bool = False) -> None:
        """A sentence for the user; it stays above the view."""
        self._say(("! " if alarm else "") + text, "bold yellow" if alarm else "")

    def _say(self, text: str, style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=True)

    def _left_s(self) -> float | None:
        """Seconds left at the mean pace so far; None before the first step."""
        done = self._rows[-1]["step"] - self._first + 1 if self._rows else 0
        if not done:
            return None
        return (time.monotonic() - self._started_s) / done * float(self._total - self._rows[-1]["step"])

    def _view(self) -> RenderableType:
        if not self._rows:
            return Text(f"{self._doing} …", "dim")
        row, left_s = self._rows[-1], self._left_s()
        head = Table.grid(padding=(0, 1))
        head.add_row(
            Text(f"step {row['step']}/{self._total}", "bold"),
            ProgressBar(total=self._total, completed=row["step"], width=28),
            Text("" if left_s is None else f"{duration(round(left_s))} left", "dim"),
            Text("" if self._doing == "training" else self._doing, "dim"),
        )
        numbers = Table.grid(padding=(0, 2))
        for name, value, key in figures(row):
            numbers.add_row(
                Text(name, "dim"),
                Text(value, "bold"),
                Text(spark([line.get(key) for line in self._rows]), "cyan"),
            )
        return Group(head, numbers, Text(stage_line(row), "dim"))


def figures(row: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(name, value as text, metric) of what is worth a line; what a step did not measure is left out."""
    terms = [
        (f"  {name.removeprefix('reward/')}", name, "+.3f") for name in row if name.startswith("reward/")
    ]
    wanted = [
        ("reward", "reward", "+.3f"),
        *terms,
        ("WER", "wer", ".1%"),
        ("CER in tokens", "token_cer", ".1%"),
        ("zero spread", "zero_spread_share", ".0%"),
        ("KL", "kl", ".4f"),
    ]
    return [(name, format(row[key], shape), key) for name, key, shape in wanted if row.get(key) is not None]


def stage_line(row: Mapping[str, Any]) -> str:
    """Seconds of the stages, the slow ones first; what takes less than a hundredth of the step is left out."""
    seconds = stages_of(row, "seconds")
    whole = sum(seconds.values())
    slow = sorted(
        (stage for stage in seconds if seconds[stage] >= 0.01 * whole), key=lambda stage: -seconds[stage]
    )
    return f"{whole:.2f} s a step: " + "  ".join(f"{stage} {seconds[stage]:.2f}" for stage in slow)


def plain_line(row: Mapping[str, Any], total: int, left_s: float | None) -> str:
    """One line a step, for logs."""
    numbers = "  ".join(f"{name.strip()} {value}" for name, value, _ in figures(row))
    left = "" if left_s is None else f"  {duration(round(left_s))} left"
    return f"step {row['step']}/{total}  {numbers}  {stage_line(row)}{left}"


def spark(values: Sequence[float | None], width: int = 24) -> str:
    """A small curve of the smoothed values in block characters; empty for fewer than three."""
    known = [value for value in smooth(values) if value is not None]
    if len(known) < 3:
        return ""
    picked = (
        [known[round(index * (len(known) - 1) / (width - 1))] for index in range(width)]
        if len(known) > width
        else known
    )
    low, high = min(picked), max(picked)
    scale = (len(SPARKS) - 1) / (high - low) if high > low else 0.0
    return "".join(SPARKS[round((value - low) * scale)] for value in picked)
