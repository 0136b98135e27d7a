"""The process in which a reward runs; `worker.py` starts it.

It speaks pickled messages over an inherited socket. First it is told form, target and options, and answers None
when it is ready or the error that refuses them. Then each list of (output, prompt) is answered by a verdict an
item. It ends when the socket closes or the parent is gone, even in the middle of a reward that hangs.
"""

from __future__ import annotations

import io
import os
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from speechrl.errors import SpeechRLError
from speechrl.rewards.custom import check_call, load_target
from speechrl.rewards.forms import judge_all
from speechrl.rewards.verdict import Verdict, check_value, describe_exception, failed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from speechrl.types import Output, Prompt

    Pairs = Sequence[tuple[Output, Prompt]]

PARENT_CHECK_S = 1.0


def main(descriptor: int, parent: int) -> None:
    """Serve until the parent is done.

    Args:
        descriptor: Of the inherited socket.
        parent: Process id of the parent.
    """
    # What the reward prints must not mix with the program's own answer on stdout.
    os.dup2(2, 1)
    # Into a file or pipe it would be held back in blocks, and lost when the worker is killed.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    connection: Connection[Any, Any] = Connection(descriptor)
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    try:
        form, target, options = connection.recv()
        try:
            judge = _by_output(target, options) if form == "output" else _by_batch(target, options)
        except SpeechRLError as error:
            connection.send(error)
            return
        connection.send(None)
        while True:
            for verdict in judge(connection.recv()):
                connection.send(verdict)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _by_output(target: str, options: Mapping[str, object]) -> Callable[[Pairs], Iterable[Verdict]]:
    """A user's function, output by output, so that a time-out can tell where it hung."""
    function = load_target(target)
    check_call(target, function, options)

    def judge(output: Output, prompt: Prompt) -> Verdict:
        try:
            return check_value(function(output, prompt, **options))
        except Exception as error:
            # Whatever a stranger's code raises is a failed score with a reason, never the end of the run.
            return failed(describe_exception(error))

    return lambda pairs: (judge(output, prompt) for output, prompt in pairs)


def _by_batch(target: str, options: Mapping[str, object]) -> Callable[[Pairs], Iterable[Verdict]]:
    judge: Any = load_target(target)(**options)
    return lambda pairs: judge_all(judge, [output for output, _ in pairs], [prompt for _, prompt in pairs])


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_S)
    os._exit(1)
