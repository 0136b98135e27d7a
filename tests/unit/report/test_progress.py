"""The live view, on a terminal and in a log."""

import io

from rich.console import Console

from speechrl.report.progress import ProgressListener, plain_line, spark

ROW = {
    "step": 3,
    "reward": 0.5,
    "reward/accuracy": 0.6,
    "reward/hallucination": -0.1,
    "wer": 0.25,
    "zero_spread_share": 0.5,
    "kl": None,
    "seconds/sample": 1.0,
    "seconds/update": 3.0,
}
RESULTS = {"test": {"wer": 0.2}, "silence": {"wer": None, "non_empty_rate": 0.5}}


def play(listener, config, steps=6):
    listener.evaluation_started("before", {"test": 200})
    listener.evaluation_finished("before", RESULTS)
    listener.run_started(config, 1)
    for step in range(1, steps + 1):
        listener.step_finished(step, ROW | {"step": step})
    listener.message("step 4: KL is high", alarm=True)
    listener.message("[bold]Saved[/bold]")


def test_a_line_has_what_one_wants_to_know():
    line = plain_line(ROW, 60, 125.0)
    for part in (
        "step 3/60",
        "reward +0.500",
        "accuracy +0.600",
        "WER 25.0%",
        "zero spread 50%",
        "update 3.00",
        "2 min 5 s left",
    ):
        assert part in line
    assert "KL" not in line  # not measured


def test_a_pipe_gets_plain_lines(make, tmp_path):
    stream = io.StringIO()
    with ProgressListener(Console(file=stream, width=400)) as listener:
        play(listener, make["run_config"](tmp_path, steps=6))
    text = stream.getvalue()
    assert "\x1b" not in text
    lines = text.splitlines()
    assert lines[0] == "Evaluating before training: test (200)"
    assert "test 20.0% WER, silence 50% answered with text" in lines[1]
    assert (
        sum(line.startswith("step ") for line in lines) == 2
    )  # the first and the last; the others came too fast
    assert "! step 4: KL is high" in lines
    assert "[bold]Saved[/bold]" in lines


def test_a_terminal_gets_a_view_that_stays(make, tmp_path):
    stream = io.StringIO()
    with ProgressListener(Console(file=stream, force_terminal=True, width=100)) as listener:
        play(listener, make["run_config"](tmp_path, steps=6))
    assert "step 6/6" in stream.getvalue()
    assert "WER" in stream.getvalue()


def test_a_resumed_run_counts_from_where_it_began(make, tmp_path, monkeypatch):
    now = iter([100.0, 110.0, 110.0])
    monkeypatch.setattr("speechrl.report.progress.time.monotonic", lambda: next(now))
    stream = io.StringIO()
    listener = ProgressListener(Console(file=stream, width=400))
    listener.run_started(make["run_config"](tmp_path, steps=60), 51)
    listener.step_finished(51, ROW | {"step": 51})
    assert "1 min 30 s left" in stream.getvalue()  # nine more steps of ten seconds


def test_sparks_rise_with_their_values():
    assert spark([1.0, 2.0]) == ""
    line = spark([float(value) for value in range(50)])
    assert len(line) == 24
    assert (line[0], line[-1]) == ("▁", "█")
    assert set(spark([1.0] * 5)) == {"▁"}
