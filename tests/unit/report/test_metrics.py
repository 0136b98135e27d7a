"""Rows of metrics.jsonl, and how metrics are combined."""

import json
import math

import pytest

from speechrl.report.metrics import STABLE_KEYS, Reducer, make_row, merge, reducer_of, step_metrics
from speechrl.types import Ending, Output, Prompt, Score, ScoreStatus, StepReport


def output(text: str = "a b", ending: Ending = Ending.STOP, length: int = 2) -> Output:
    return Output(text, ending, length)


def score(total: float, errors: int, words: int) -> Score:
    metrics = {
        "wer": errors / max(words, 1),
        "substitutions": errors,
        "deletions": 0,
        "insertions": 0,
        "words": words,
    }
    return Score(total, {"accuracy": total}, metrics=metrics)


ASKED = [Prompt("p", "asr", "a b")]
FAILED = Score(math.nan, {}, ScoreStatus.FAILED, "timeout")


def test_wer_of_a_step_is_a_ratio_of_sums():
    row = step_metrics(ASKED, [[output(), output()]], [[score(0.0, 1, 1), score(1.0, 0, 9)]])
    assert row["wer"] == pytest.approx(0.1)
    assert row["reward"] == row["reward/accuracy"] == 0.5


def test_failed_scores_are_counted_and_leave_the_means():
    row = step_metrics(ASKED, [[output(), output()]], [[score(1.0, 0, 4), FAILED]])
    assert (row["reward"], row["failed_scores"], row["rollouts"]) == (1.0, 1, 2)


def test_a_step_in_which_every_score_failed_has_no_reward():
    row = make_row(
        3, ASKED, [[output()]], [[FAILED]], StepReport({"loss": math.nan}), {"sample": 1.0}, {"sample": 5.0}
    )
    assert set(STABLE_KEYS) <= row.keys()
    assert row["reward"] is None
    assert row["loss"] is None
    assert (row["seconds/sample"], row["memory/sample"]) == (1.0, 5.0)
    json.dumps(row, allow_nan=False)


def test_lengths_and_cuts():
    row = step_metrics(
        ASKED,
        [[output(length=2), output(ending=Ending.LENGTH, length=6)]],
        [[score(0, 0, 1), score(0, 0, 1)]],
    )
    assert (row["length"], row["length_cut_share"]) == (4, 0.5)


def test_alarms_and_skipped_updates_are_in_the_row():
    row = make_row(1, ASKED, [[output()]], [[score(1, 0, 1)]], StepReport({}, False, ("KL is high",)), {}, {})
    assert row["alarms"] == ["KL is high"]
    assert row["updated"] is False


def test_each_metric_is_merged_by_its_own_reducer():
    rows = [
        {"step": 1, "reward": 0.0, "memory/update": 5, "seconds/update": 1, "failed_scores": 1, "kl": None},
        {
            "step": 2,
            "reward": 1.0,
            "memory/update": 3,
            "seconds/update": 2,
            "failed_scores": 0,
            "kl": 0.2,
            "alarms": ["x"],
        },
    ]
    assert merge(rows) == {
        "step": 2,
        "reward": 0.5,
        "memory/update": 5,
        "seconds/update": 3,
        "failed_scores": 1,
        "kl": 0.2,
    }
    assert reducer_of("memory/anything") is Reducer.MAX


def test_character_error_rates_are_ratios_of_sums_too():
    heard = [
        Score(0.0, {}, metrics={"cer": 1.0, "character_errors": 4, "characters": 4}),
        Score(1.0, {}, metrics={"cer": 0.0, "character_errors": 0, "characters": 36}),
    ]
    row = step_metrics(ASKED, [[output(), output()]], [heard])
    assert row["cer"] == pytest.approx(0.1)
    assert "token_cer" not in row
    assert merge([row, row | {"character_errors": 12}])["cer"] == pytest.approx(0.2)


def test_merged_wer_comes_from_the_counts():
    counts = {"deletions": 0, "insertions": 0}
    rows = [
        {"wer": 1.0, "substitutions": 1, "words": 1, **counts},
        {"wer": 0.0, "substitutions": 0, "words": 9, **counts},
    ]
    assert merge(rows)["wer"] == pytest.approx(0.1)
