"""A reward in a process of its own, which can be killed.

A reward that hangs, dies or eats the interpreter must not take the run with it. So users' rewards, and models
that listen, live in processes that are started once, get whole batches, and are killed and started again when
a batch runs out of time. `worker_process.py` is the other end.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Literal

from speechrl.errors import ConfigError, SpeechRLError
from speechrl.rewards.forms import flatten, regroup
from speechrl.rewards.verdict import Verdict, describe_exception, failed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from speechrl.rewards.forms import Answer, Groups
    from speechrl.types import Output, Prompt

    _Received = tuple[list[Verdict], bool]
    """Verdicts that came, and whether time was up before the last."""

STARTUP_S = 120.0
"""A reward may load a model while it starts."""

# The worker finds modules where this process does, and in the working directory, after all others.
_BOOT = (
    "import sys; sys.path[:] = [*sys.argv[3:], '']; "
    "from speechrl.rewards.worker_process import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)


class WorkerReward:
    """Judges in a worker process; what goes wrong there is a failed verdict with its reason.

    What the worker prints goes to stderr. Several workers are asked before any is waited for, so each computes on one
    thread; one that runs a user's function, on as many as `OMP_NUM_THREADS` says where it is set.

    Args:
        target: `module:name`, or `path/to/file.py:name`.
        options: Keyword arguments of the target.
        timeout_s: A batch that takes longer is failed as a whole, and the worker is killed.
        form: What the target is. `output`: `function(output, prompt, **options) -> float`. `batch`: a class whose
            `target(**options)` is a `forms.Judge`.
        too_slow: What to do where a batch takes longer, for its verdicts.

    Raises:
        ConfigError: The target is missing or broken, or does not take these options.
        SpeechRLError: A judge cannot be made, for example because a package is missing.
    """

    def __init__(
        self,
        target: str,
        options: Mapping[str, object],
        timeout_s: float,
        form: Literal["output", "batch"] = "output",
        too_slow: str = "timeout_s",
    ) -> None:
        self._target = target
        self._options = dict(options)
        self._timeout_s = timeout_s
        self._form = form
        self._too_slow = too_slow
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None
        self._start()

    def ask(self, groups: Groups, prompts: Sequence[Prompt]) -> Answer:
        """See `forms.Scorer`; the worker starts at once."""
        outputs, asked = flatten(groups, prompts)
        collect = self._send(outputs, asked)
        return lambda: regroup(collect(), groups)

    def score(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """One verdict an output of a flat batch, awaited; never raises for what the target does."""
        return self._send(outputs, prompts)()

    def close(self) -> None:
        """End the worker, and whatever it started."""
        # First the process: its end wakes whoever waits for its answers.
        if self._process is not None:
            _kill(self._process)
            self._process = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _send(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> Callable[[], list[Verdict]]:
        """Hand a batch over; the returned call collects the verdicts."""
        try:
            connection = self._connection or self._start()
            deadline = time.monotonic() + self._timeout_s
            connection.send(list(zip(outputs, prompts, strict=True)))
        except SpeechRLError as error:
            return partial(self._fail, len(outputs), describe_exception(error))
        except OSError:
            return partial(self._lost, 0, len(outputs))
        # Read as they come: a worker whose verdicts fill the socket would wait, and seem late, until it is its turn.
        received: Future[_Received] = Future()
        reading = partial(_receive, connection, len(outputs), deadline, received)
        threading.Thread(target=reading, daemon=True).start()
        return partial(self._collect, received, len(outputs))

    def _collect(self, received: Future[_Received], count: int) -> list[Verdict]:
        try:
            verdicts, late = received.result()
        except BaseException:
            # Ctrl-C: answers that are still under way must not meet the next batch.
            self.close()
            raise
        if late:
            where = f"at output {len(verdicts) + 1} of {count}"
            return self._fail(count, f"was still {where} after {self._timeout_s:g} s ({self._too_slow})")
        return verdicts if len(verdicts) == count else self._lost(len(verdicts), count)

    def _threads(self) -> str:
        """Of one model one; a reward of the user's own may be told otherwise by the environment."""
        return "1" if self._form == "batch" else os.environ.get("OMP_NUM_THREADS", "1")

    def _start(self) -> Connection[Any, Any]:
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _BOOT, str(theirs.fileno()), str(os.getpid()), *filter(None, sys.path)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": self._threads()},
            # A group of its own: Ctrl-C reaches the trainer only, and a kill reaches the worker's children too.
            start_new_session=True,
        )
        theirs.close()
        self._connection = connection = Connection(ours.detach())
        try:
            connection.send((self._form, self._target, self._options))
            patience_s = max(self._timeout_s, STARTUP_S)
            refusal = (
                connection.recv()
                if connection.poll(patience_s)
                else ConfigError(f"reward {self._target!r} did not start within {patience_s:g} s")
            )
        except (EOFError, OSError) as error:
            reason = f"reward {self._target!r}: its process died while it was imported ({self._exit()})"
            self.close()
            raise ConfigError(reason) from error
        if refusal is not None:
            self.close()
            raise refusal
        return connection

    def _lost(self, done: int, count: int) -> list[Verdict]:
        return self._fail(count, f"lost its process at output {done + 1} of {count} ({self._exit()})")

    def _fail(self, count: int, problem: str) -> list[Verdict]:
        """Give the whole batch up; the next one gets a fresh worker."""
        self.close()
        return [failed(problem)] * count

    def _exit(self) -> str:
        if self._process is None:
            return "it did not start"
        try:
            code = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return "it closed its connection"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _receive(
    connection: Connection[Any, Any], count: int, deadline: float, received: Future[_Received]
) -> None:
    """Read verdicts until all are there, time is up or the connection breaks; runs in a thread of its own."""
    verdicts: list[Verdict] = []
    late = False
    try:
        with suppress(EOFError, OSError):
            while len(verdicts) < count and not late:
                if connection.poll(max(deadline - time.monotonic(), 0.0)):
                    verdicts.append(connection.recv())
                else:
                    late = True
        received.set_result((verdicts, late))
    except BaseException as error:  # whoever waits would wait for ever
        received.set_exception(error)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the worker's whole process group, unless it has ended by itself and its number may be another's."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
