"""Alarms of a synthesiser's training: each at its own limit, none on a steady run."""

import pytest

from speechrl.train.speech_guards import BASELINE_STEPS, SpeechGuards

STEADY = {
    "tokens_per_char": 1.6,
    "length_cut_share": 0.02,
    "token_cer": 0.2,
    "reward/quality": 0.7,
    "cer": 0.25,
    "distillmos": 3.5,
    "dnsmos": 3.0,
    "reward/similarity": 0.8,
    "evaluation/test/no_stop_rate": 0.03,
    "evaluation/test/silent_rate": 0.01,
    "evaluation/test/log_f0_std": 0.2,
    "evaluation/test/speaking_rate": 15.0,
    "evaluation/test/quality": 4.0,
    "evaluation/test/similarity": 0.85,
    "evaluation/test/judge_cer": 0.15,
}


def trained() -> SpeechGuards:
    guards = SpeechGuards()
    for _ in range(BASELINE_STEPS + 1):
        assert guards.alarms(STEADY) == {}
    return guards


@pytest.mark.parametrize(
    ("name", "still_fine", "broken", "says"),
    [
        ("tokens_per_char", 2.0, 2.2, "slows down"),
        ("tokens_per_char", 1.25, 1.1, "rushes"),
        ("length_cut_share", 0.11, 0.13, "do not stop"),
        ("distillmos", 3.25, 3.15, "sounds worse"),
        ("dnsmos", 2.75, 2.65, "DNSMOS is 2.65"),
        ("reward/similarity", 0.76, 0.74, "reference voice"),
        ("evaluation/test/no_stop_rate", 0.12, 0.14, "do not stop"),
        ("evaluation/test/silent_rate", 0.029, 0.031, "3.1% of the sentences are silent"),
        ("evaluation/test/log_f0_std", 0.15, 0.13, "flat"),
        ("evaluation/test/log_f0_std", 0.29, 0.31, "wavers"),
        ("evaluation/test/speaking_rate", 19.0, 20.0, "a second"),
        ("evaluation/test/quality", 3.75, 3.65, "sounds worse"),
        ("evaluation/test/similarity", 0.81, 0.79, "reference voice"),
    ],
)
def test_each_number_has_its_limit(name, still_fine, broken, says):
    guards = trained()
    assert guards.alarms(STEADY | {name: still_fine}) == {}
    (found,) = guards.alarms(STEADY | {name: broken}).items()
    assert found[0] == name
    assert says in found[1]
    assert found[1].startswith("on test, ") == name.startswith("evaluation/")


def test_a_reward_that_falls_while_the_judge_hears_more_errors_is_hacking():
    guards = trained()
    both_better = STEADY | {"token_cer": 0.1, "evaluation/test/judge_cer": 0.1}
    assert guards.alarms(both_better) == {}
    parted = STEADY | {"token_cer": 0.05, "evaluation/test/judge_cer": 0.15}
    (found,) = guards.alarms(parted).items()
    assert found[0] == "evaluation/test/token_gap"
    assert "mishears" in found[1]


@pytest.mark.parametrize(
    ("fooled", "named"), [("token_cer", "Token2Text mishears"), ("cer", "that recogniser mishears")]
)
def test_each_ear_is_held_against_the_judge_by_itself(fooled, named):
    both = STEADY | {"token_cer": 0.2, "cer": 0.2}
    guards = SpeechGuards()
    for _ in range(BASELINE_STEPS + 1):
        guards.alarms(both)
    parted = both | {fooled: 0.02, "evaluation/test/judge_cer": 0.14}
    (told,) = guards.alarms(parted).values()
    assert named in told


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("length_cut_share", "rollout.max_new_tokens"),
        ("evaluation/test/no_stop_rate", "evaluation.max_new_tokens"),
    ],
)
def test_too_many_that_never_stop_are_told_from_the_first_step(name, option):
    guards = SpeechGuards()
    guards.begin({"test": {"no_stop_rate": 0.9}})
    for step in range(BASELINE_STEPS + 2):
        (told,) = guards.alarms({name: 0.9}).values()
        assert "more than a fifth" in told, step
        assert option in told
    assert guards.alarms({name: 0.19}) == {}


def test_of_what_grew_beyond_both_limits_the_beginning_is_told():
    (told,) = trained().alarms(STEADY | {"length_cut_share": 0.5}).values()
    assert "50% of the rollouts do not stop by themselves, 2% at first" in told


def test_the_evaluation_before_training_is_the_baseline_if_there_is_one():
    guards = SpeechGuards()
    guards.begin({"test": {"quality": 4.4, "similarity": None, "judges": {}}})
    assert list(guards.alarms(STEADY)) == ["evaluation/test/quality"]


def test_the_gap_begins_with_the_evaluation_before_training_and_ends_with_the_one_after() -> None:
    before = {"test": {"judge_cer": 0.25}}
    opened, steady = SpeechGuards(), SpeechGuards()
    for guards, last in ((opened, 0.05), (steady, 0.18)):
        guards.begin(before)
        for token_cer in (0.2, 0.2, 0.2, 0.2, 0.2, last):
            assert guards.alarms({"token_cer": token_cer}) == {}
    restored = SpeechGuards()
    restored.load_state_dict(opened.state_dict())
    # The judge hears 5 points more than the reward at first; 17 at the end, or 4.
    for guards in (opened, restored):
        assert list(guards.alarms({"evaluation/test/judge_cer": 0.22})) == ["evaluation/test/token_gap"]
    assert steady.alarms({"evaluation/test/judge_cer": 0.22}) == {}


def test_a_reward_that_comes_down_to_the_judge_because_loops_ended_is_no_hacking() -> None:
    guards = SpeechGuards()
    guards.begin({"test": {"judge_cer": 0.2}})
    for token_cer in (0.6, 0.6, 0.6, 0.6, 0.6, 0.25):
        assert guards.alarms({"token_cer": token_cer, "evaluation/test/judge_cer": 0.2}) == {}


def test_a_term_of_the_reward_is_no_measurement_of_its_name():
    assert trained().alarms(STEADY | {"reward/quality": 0.1}) == {}


def test_a_number_that_was_not_measured_says_nothing():
    assert trained().alarms({"tokens_per_char": None, "evaluation/test/quality": None}) == {}


def test_a_resumed_run_keeps_its_baselines():
    resumed = SpeechGuards()
    resumed.load_state_dict(trained().state_dict())
    assert list(resumed.alarms(STEADY | {"tokens_per_char": 3.0})) == ["tokens_per_char"]
