"""Judges of whole batches in a worker; users' functions in one are tested in test_custom.py."""

import math
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechrl.errors import MissingExtraError
from speechrl.rewards.verdict import Verdict
from speechrl.rewards.worker import WorkerReward
from speechrl.types import Ending, Output, Prompt

FILE = Path(__file__).parent / "strange_rewards.py"
PROMPT = Prompt("p", "tts", "hello")


def outputs(*lengths: int) -> list[Output]:
    return [Output("", Ending.STOP, length) for length in lengths]


@pytest.fixture
def make() -> Iterator:
    made: list[WorkerReward] = []

    def maker(timeout_s: float = 30.0, too_slow: str = "timeout_s", **options: object) -> WorkerReward:
        target = f"{FILE}:LengthJudge"
        made.append(WorkerReward(target, options, timeout_s, form="batch", too_slow=too_slow))
        return made[-1]

    yield maker
    for reward in made:
        reward.close()


def score(reward: WorkerReward, *lengths: int) -> list[Verdict]:
    return reward.score(outputs(*lengths), [PROMPT] * len(lengths))


def test_a_judge_gets_the_whole_batch_once_and_keeps_what_it_heard(make, tmp_path: Path) -> None:
    reward = make(log=str(tmp_path / "log"))
    verdicts = score(reward, 3, 5)
    assert [(verdict.value, verdict.heard) for verdict in verdicts] == [(3.0, "hello"), (5.0, "hello")]
    score(reward, 1)
    lines = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert [count for _, count in lines] == ["2", "1"]
    assert lines[0][0] == lines[1][0]


def test_groups_come_back_as_groups(make) -> None:
    answer = make().ask([outputs(1, 2), [], outputs(3)], [PROMPT] * 3)
    assert [[verdict.value for verdict in group] for group in answer()] == [[1.0, 2.0], [], [3.0]]


def test_a_worker_that_was_in_time_is_not_late_because_others_are_read_first() -> None:
    reward = WorkerReward(f"{FILE}:slowly", {}, timeout_s=2.0)
    try:
        answer = reward.ask([outputs(*range(600))], [PROMPT])  # more verdicts than a socket holds
        time.sleep(2.5)
        assert [verdict.problem for verdict in answer()[0]] == [""] * 600
    finally:
        reward.close()


def test_one_odd_output_fails_alone(make) -> None:
    assert [verdict.problem for verdict in score(make(), 1, 13, 2)] == ["", "raised ValueError: thirteen", ""]


def test_lost_verdicts_fail_the_batch(make) -> None:
    verdicts = score(make(bad="lose"), 1, 13)
    assert {verdict.problem for verdict in verdicts} == {"gave 0 values for 2 outputs"}


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ("hang", "was still at output 1 of 2 after 1 s (timeout_s)"),
        ("die", "lost its process at output 1 of 2 (exit code 3)"),
    ],
)
def test_a_judge_that_hangs_or_dies_gives_no_value_and_is_replaced(make, bad: str, problem: str) -> None:
    reward = make(bad=bad, timeout_s=1.0)
    began = time.monotonic()
    verdicts = score(reward, 1, 13)
    assert time.monotonic() - began < 30
    assert [verdict.problem for verdict in verdicts] == [problem] * 2
    assert all(math.isnan(verdict.value) for verdict in verdicts)
    assert [verdict.value for verdict in score(reward, 4)] == [4.0]


def test_what_to_do_about_one_that_is_too_slow_is_said_by_who_asks(make) -> None:
    (verdict,) = score(make(bad="hang", timeout_s=0.5, too_slow="raise evaluation.timeout_s"), 13)
    assert verdict.problem == "was still at output 1 of 1 after 0.5 s (raise evaluation.timeout_s)"


def test_two_workers_work_side_by_side(make) -> None:
    slow, quick = make(bad="hang", timeout_s=2.0), make()
    waiting = slow.ask([outputs(13)], [PROMPT])
    assert [verdict.value for (verdict,) in quick.ask([outputs(7)], [PROMPT])()] == [7.0]
    assert slow._process is not None
    assert slow._process.poll() is None
    assert waiting()[0][0].problem


def test_a_missing_package_is_told_as_it_is() -> None:
    with pytest.raises(MissingExtraError, match="pip install something"):
        WorkerReward(f"{FILE}:NeedsPackage", {}, 30.0, form="batch")
