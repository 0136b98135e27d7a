import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from speechrl.errors import ConfigError
from speechrl.rewards.worker import WorkerReward
from speechrl.types import Ending, Output, Prompt

FILE = Path(__file__).parent / "strange_rewards.py"


def outputs(*texts: str) -> list[Output]:
    return [Output(text, Ending.STOP, length=len(text)) for text in texts]


def prompts(count: int) -> list[Prompt]:
    return [Prompt(f"p{i}", "asr", "reference") for i in range(count)]


@pytest.fixture
def make() -> Iterator:
    made: list[WorkerReward] = []

    def maker(function: str, timeout_s: float = 30.0, **options: object) -> WorkerReward:
        made.append(WorkerReward(f"{FILE}:{function}", options, timeout_s))
        return made[-1]

    yield maker
    for reward in made:
        reward.close()


def score(reward: WorkerReward, *texts: str) -> list[float]:
    return [verdict.value for verdict in reward.score(outputs(*texts), prompts(len(texts)))]


def test_values_come_back_in_order_with_options(make) -> None:
    assert score(make("length", factor=2.0), "a", "abc", "") == [2.0, 6.0, 0.0]


def test_output_meets_its_own_prompt_and_may_print(make, capfd: pytest.CaptureFixture[str]) -> None:
    assert score(make("same_id"), "p0", "p0", "p2") == [1.0, 0.0, 1.0]
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.count("a reward may print") == 3


def test_one_worker_serves_all_batches(make) -> None:
    reward = make("count_calls")
    assert score(reward, "a", "b") == [1.0, 2.0]
    assert score(reward, "c") == [3.0]


def test_hanging_batch_fails_in_time_and_the_next_one_is_served(make) -> None:
    reward = make("hang_on_slow", timeout_s=1.0)
    began = time.monotonic()
    verdicts = reward.score(outputs("quick", "slow", "quick"), prompts(3))
    assert time.monotonic() - began < 60
    assert all(math.isnan(verdict.value) for verdict in verdicts)
    assert verdicts[0].problem == "was still at output 2 of 3 after 1 s (timeout_s)"
    assert score(reward, "quick") == [1.0]


def test_a_kill_reaches_the_workers_children(make, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    assert math.isnan(score(make("leave_child_behind", timeout_s=3.0), str(file))[0])
    child = int(file.read_text())
    deadline = time.monotonic() + 5
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)


def test_an_exception_fails_its_own_output_only(make) -> None:
    verdicts = make("raise_on_bad").score(outputs("good", "bad", "good"), prompts(3))
    assert [verdict.problem for verdict in verdicts] == ["", "raised ValueError: no such word", ""]


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("nan", "returned nan"),
        ("inf", "returned inf"),
        ("none", "returned NoneType instead of a number"),
        ("text", "returned str instead of a number"),
        ("true", ""),
    ],
)
def test_what_is_no_finite_number_fails(make, kind: str, problem: str) -> None:
    (verdict,) = make("give").score(outputs(kind), prompts(1))
    assert verdict.problem == problem
    assert math.isnan(verdict.value) == bool(problem)


def test_a_worker_that_dies_is_told_and_replaced(make) -> None:
    reward = make("die")
    for _ in range(2):
        (verdict, _) = reward.score(outputs("a", "b"), prompts(2))
        assert verdict.problem == "lost its process at output 1 of 2 (exit code 3)"


def test_close_ends_the_process(make) -> None:
    reward = make("length")
    assert reward._process is not None
    pid = reward._process.pid
    reward.close()
    assert not _runs(pid)


def test_module_in_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_reward.py").write_text("def half(output, prompt):\n    return 0.5\n")
    monkeypatch.chdir(tmp_path)
    reward = WorkerReward("my_own_reward:half", {}, 30.0)
    assert score(reward, "a") == [0.5]
    reward.close()


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("no_such_module_here:f", {}, "no module 'no_such_module_here'"),
        ("missing/file.py:f", {}, "does not exist"),
        (f"{FILE}:lenght", {}, "did you mean 'length'"),
        (f"{FILE}:not_a_function", {}, "no function 'not_a_function'"),
        (f"{FILE}:one_argument", {}, "cannot be called"),
        (f"{FILE}:length", {"faktor": 2}, "unexpected keyword argument 'faktor'"),
        (":f", {}, "neither"),
    ],
)
def test_a_target_that_cannot_work_is_refused_at_once(
    target: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        WorkerReward(target, options, 30.0)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(output, prompt:", "raised SyntaxError"),
        ("import no_such_dependency", "raised ModuleNotFoundError"),
        ("import os\nos._exit(4)", r"died while it was imported \(exit code 4\)"),
    ],
)
def test_a_module_that_does_not_import_is_refused(tmp_path: Path, source: str, message: str) -> None:
    file = tmp_path / "broken.py"
    file.write_text(source)
    with pytest.raises(ConfigError, match=message):
        WorkerReward(f"{file}:f", {}, 30.0)


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX" and os.path.exists(f"/proc/{pid}")
