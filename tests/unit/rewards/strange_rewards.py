"""Rewards of a user who makes every mistake. They are imported by the worker process."""

import os
import subprocess
import sys
import time

from speechrl.errors import MissingExtraError
from speechrl.rewards.verdict import Verdict

calls = 0


def length(output, prompt, factor=1.0):
    return factor * output.length


def slowly(output, prompt):
    time.sleep(0.001)
    return 1.0


def same_id(output, prompt):
    print("a reward may print")
    return float(output.text == prompt.id)


def count_calls(output, prompt):
    global calls
    calls += 1
    return calls


def hang_on_slow(output, prompt):
    if output.text == "slow":
        time.sleep(600)
    return 1.0


def leave_child_behind(output, prompt):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(output.text, "w") as file:
        file.write(str(child.pid))
    time.sleep(600)


def raise_on_bad(output, prompt):
    if output.text == "bad":
        raise ValueError("no such word")
    return 1.0


def give(output, prompt):
    return {"nan": float("nan"), "inf": float("inf"), "none": None, "text": "0.5", "true": True}[output.text]


def die(output, prompt):
    os._exit(3)


def one_argument(output):
    return 0.0


not_a_function = 3


class LengthJudge:
    """A judge as the built-in ones are, with the failures that models have: `bad` at an output of length 13."""

    def __init__(self, *, bad="", log=""):
        self.bad = bad
        self.log = log

    def judge(self, outputs, prompts):
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{os.getpid()} {len(outputs)}\n")
        if any(output.length == 13 for output in outputs):
            if self.bad == "hang":
                time.sleep(600)
            if self.bad == "die":
                os._exit(3)
            if self.bad == "lose":
                return []
            raise ValueError("thirteen")
        return [
            Verdict(float(output.length), heard=prompt.text)
            for output, prompt in zip(outputs, prompts, strict=True)
        ]


class NeedsPackage:
    def __init__(self):
        raise MissingExtraError("pip install something")
