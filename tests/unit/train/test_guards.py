from __future__ import annotations

import json

import pytest

from speechrl.config.schema import GuardsConfig
from speechrl.errors import TrainingError
from speechrl.train.guards import QUIET_STEPS, Guards
from speechrl.types import StepReport


def alarms(guards: Guards, step: int, **metrics: float) -> tuple[str, ...]:
    return guards.review(step, StepReport(metrics=metrics)).alarms


@pytest.mark.parametrize(
    ("metric", "fine", "bad", "mend"),
    [
        ("kl", 1.0, 1.01, "algorithm.kl_weight"),
        ("entropy", 0.01, 0.009, "rollout.temperature"),
        ("zero_spread_share", 0.9, 0.95, "rollout.group_size"),
        ("logprob_gap", 0.1, 0.2, "train.precision"),
        ("length_cut_share", 0.5, 0.6, "rollout.max_new_tokens"),
        ("diffro_impossible", 0.2, 1.0, "too few tokens for their text"),
    ],
)
def test_each_limit_alarms_beyond_it_and_says_what_to_do(
    metric: str, fine: float, bad: float, mend: str
) -> None:
    assert alarms(Guards(GuardsConfig()), 1, **{metric: fine}) == ()
    (sentence,) = alarms(Guards(GuardsConfig()), 1, **{metric: bad})
    assert mend in sentence


def test_a_filter_that_passes_nobody_is_told_once_and_not_beside_an_update_of_nothing() -> None:
    guards = Guards(GuardsConfig())
    assert alarms(guards, 1, **{"samples/diffro": 0.01}) == ()
    (sentence,) = alarms(guards, 2, **{"samples/diffro": 0.0})
    assert sentence.startswith("no rollout passed algorithm.diffro.filter")
    assert alarms(guards, 3, **{"samples/diffro": 0.0}) == ()
    nothing = StepReport(metrics={"samples/diffro": 0.0}, updated=False)
    (other,) = Guards(GuardsConfig()).review(1, nothing).alarms
    assert other.startswith("no rollout took part")


def test_a_synthesiser_is_listened_to_in_every_step_and_after_the_last() -> None:
    guards, silent = Guards(GuardsConfig(), speaks=True), Guards(GuardsConfig())
    before, after = {"test": {"quality": 4.0, "judge_wer": 0.3}}, {"test": {"quality": 3.5, "judge_wer": 0.2}}
    for one in (guards, silent):
        one.begin(before)
    row = {"step": 1, "evaluation/test/quality": 3.5, "alarms": ["KL is high"]}
    first, sentence = guards.listen(1, row)["alarms"]
    assert first == "KL is high"
    assert sentence.startswith("on test, DistillMOS is 3.50, 4.00 at first")
    assert guards.listen(2, {"step": 2, "evaluation/test/quality": 3.5}) == {
        "step": 2, "evaluation/test/quality": 3.5
    }  # fmt: skip
    assert guards.end(after) == [sentence]
    assert silent.listen(1, row) == row
    assert silent.end(after) == []


def test_long_speech_is_not_told_to_punish_hallucination() -> None:
    for speaks, mend in ((True, "reward `duration`"), (False, "hallucination reward")):
        guards = Guards(GuardsConfig(max_length_ratio=2.0), speaks=speaks)
        for step in range(1, 6):
            alarms(guards, step, completion_length=10.0)
        assert mend in alarms(guards, 6, completion_length=30.0)[0]


def test_an_alarm_rests_and_returns() -> None:
    guards = Guards(GuardsConfig())
    heard = [step for step in range(1, 2 * QUIET_STEPS + 2) if alarms(guards, step, kl=5.0)]
    assert heard == [1, 1 + QUIET_STEPS, 1 + 2 * QUIET_STEPS]


def test_length_is_compared_with_the_first_steps() -> None:
    guards = Guards(GuardsConfig(max_length_ratio=2.0))
    for step in range(1, 6):
        assert alarms(guards, step, completion_length=10.0) == ()
    assert alarms(guards, 6, completion_length=19.9) == ()
    assert "21.0 tokens" in alarms(guards, 7, completion_length=21.0)[0]


def test_a_teacher_is_not_watched_for_drift() -> None:
    assert alarms(Guards(GuardsConfig(), teacher=True), 1, kl=9.0, zero_spread_share=1.0) == ()


def test_as_many_non_finite_updates_in_a_row_as_the_option_says_stop_the_run() -> None:
    guards = Guards(GuardsConfig(max_skipped_steps=3))
    for step, bad in enumerate([1.0, 1.0, 0.0, 1.0, 1.0], start=1):  # never three in a row
        assert bool(alarms(guards, step, non_finite=bad)) == bool(bad)
        guards.stop_if_hopeless(step)
    (alarm,) = alarms(guards, 6, non_finite=1.0)
    assert "3 in a row, the run stops at 3" in alarm
    with pytest.raises(TrainingError, match="3 steps in a row"):
        guards.stop_if_hopeless(6)


def test_the_smallest_limit_stops_at_the_first_non_finite_update() -> None:
    guards = Guards(GuardsConfig(max_skipped_steps=1))
    alarms(guards, 1, non_finite=0.0)
    guards.stop_if_hopeless(1)
    alarms(guards, 2, non_finite=1.0)
    with pytest.raises(TrainingError):
        guards.stop_if_hopeless(2)


def test_state_survives_json() -> None:
    first = Guards(GuardsConfig())
    alarms(first, 1, kl=5.0, completion_length=3.0, non_finite=1.0)
    second = Guards(GuardsConfig())
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert second.state_dict() == first.state_dict()
    assert alarms(second, 2, kl=5.0) == ()


def test_a_step_without_a_sample_is_told_and_does_not_count_as_non_finite() -> None:
    guards = Guards(GuardsConfig(max_skipped_steps=1))
    (sentence,) = guards.review(1, StepReport(metrics={"non_finite": 0.0}, updated=False)).alarms
    assert "length_cut" in sentence
    guards.stop_if_hopeless(1)
    assert guards.review(2, StepReport(metrics={"non_finite": 0.0}, updated=False)).alarms == ()
