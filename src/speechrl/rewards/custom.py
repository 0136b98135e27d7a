"""A user's own reward, `module:function`, in a process that can be killed.

A reward that hangs, dies or eats the interpreter must not take the run with it. So it lives in a process of
its own, which is started once, gets whole batches, and is killed and started again when a batch runs out of
time. Built-in rewards do not need this and run in-process.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from speechrl.errors import ConfigError
from speechrl.rewards.verdict import Verdict, describe_exception, failed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from speechrl.types import Output, Prompt

STARTUP_S = 120.0
"""A reward module may load a model while it is imported."""

# The worker finds modules where this process does, and in the working directory, after all others.
_BOOT = (
    "import sys; sys.path[:] = [*sys.argv[3:], '']; "
    "from speechrl.rewards.custom_worker import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)


class CustomReward:
    """Calls `function(output: Output, prompt: Prompt, **options) -> float` in a worker process.

    The function may be slow, raise or hang; each of these is a failed verdict with its reason. What it prints
    goes to stderr.

    Args:
        target: `module:function`, or `path/to/file.py:function`.
        options: Keyword arguments of the function.
        timeout_s: A batch that takes longer is failed as a whole, and the worker is killed.

    Raises:
        ConfigError: Module or function are missing or broken, or the function does not take these options.
    """

    def __init__(self, target: str, options: Mapping[str, object], timeout_s: float) -> None:
        self._target = target
        self._options = dict(options)
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._start()

    def score(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """One verdict an output; never raises for what the user's function does."""
        verdicts: list[Verdict] = []
        try:
            connection = self._connection or self._start()
            deadline = time.monotonic() + self._timeout_s
            connection.send(list(zip(outputs, prompts, strict=True)))
            for _ in outputs:
                if not connection.poll(max(deadline - time.monotonic(), 0.0)):
                    where = f"at output {len(verdicts) + 1} of {len(outputs)}"
                    return self._fail(outputs, f"was still {where} after {self._timeout_s:g} s (timeout_s)")
                verdicts.append(connection.recv())
        except (EOFError, OSError):
            where = f"at output {len(verdicts) + 1} of {len(outputs)}"
            return self._fail(outputs, f"lost its process {where} ({self._exit()})")
        except ConfigError as error:
            return self._fail(outputs, describe_exception(error))
        except BaseException:
            # Ctrl-C: answers that are still under way must not meet the next batch.
            self.close()
            raise
        return verdicts

    def close(self) -> None:
        """End the worker, and whatever it started."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            _kill(self._process)
            self._process = None

    def _start(self) -> Connection[Any, Any]:
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, str(theirs.fileno()), str(os.getpid()), *filter(None, sys.path)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            # A group of its own: Ctrl-C reaches the trainer only, and a kill reaches the worker's children too.
            start_new_session=True,
        )
        theirs.close()
        self._connection = connection = Connection(ours.detach())
        try:
            connection.send((self._target, self._options))
            answer = (
                connection.recv() if connection.poll(max(self._timeout_s, STARTUP_S)) else ("refused", "")
            )
        except (EOFError, OSError) as error:
            reason = f"reward {self._target!r}: its process died while it was imported ({self._exit()})"
            self.close()
            raise ConfigError(reason) from error
        if answer[0] == "refused":
            self.close()
            raise ConfigError(answer[1] or f"reward {self._target!r} was not imported within {STARTUP_S:g} s")
        return connection

    def _fail(self, outputs: Sequence[Output], problem: str) -> list[Verdict]:
        """Give the whole batch up; the next one gets a fresh worker."""
        self.close()
        return [failed(problem)] * len(outputs)

    def _exit(self) -> str:
        if self._process is None:
            return "it did not start"
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the worker's whole process group, unless it has ended by itself and its number may be another's."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
