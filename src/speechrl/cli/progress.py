"""Bars on stderr for work whose size is known; plain lines where the output is a file or a pipe."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import TaskID

PLAIN_EVERY_S = 10.0


@contextmanager
def progress_bars(console: Console | None = None) -> Iterator[Callable[[str, int, int], None]]:
    """Give a function of (what is done, how much of it, of how much), which shows a bar for each kind of work."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _plain(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield show


def _plain(console: Console) -> Callable[[str, int, int], None]:
    """A line for the first, the last, and every ten seconds."""
    told_at_s: dict[str, float] = {}

    def show(name: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if done == total or now_s - told_at_s.get(name, -PLAIN_EVERY_S) >= PLAIN_EVERY_S:
            told_at_s[name] = now_s
            console.print(f"{name} {done}/{total}", highlight=False, soft_wrap=True)

    return show
