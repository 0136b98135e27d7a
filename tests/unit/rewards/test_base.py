import math
from pathlib import Path

import pytest

from speechrl.config.schema import RewardConfig, RewardsConfig
from speechrl.errors import ConfigError, RewardError
from speechrl.rewards.base import RewardMixer, check_rewards
from speechrl.rewards.registry import REWARDS, Reward, rewards_of
from speechrl.types import Ending, Output, Prompt, Score, ScoreStatus

STRANGE = Path(__file__).parent / "strange_rewards.py"
LOOP = ("try again", "try try try try again")
"""Accuracy -0.5: three insertions in two words."""


def config(*terms: dict[str, object], share: float = 1.0) -> RewardsConfig:
    return RewardsConfig(terms=[RewardConfig.model_validate(term) for term in terms], max_failed_share=share)


def judge(rewards: RewardsConfig, *pairs: tuple[str, str], language: str = "en") -> list[Score]:
    groups = [[Output(hypothesis, Ending.STOP, len(hypothesis))] for _, hypothesis in pairs]
    prompts = [Prompt(f"p{i}", "asr", reference, language) for i, (reference, _) in enumerate(pairs)]
    with RewardMixer(rewards) as mixer:
        return [score for (score,) in mixer.score(groups, prompts)]


def test_total_is_the_weighted_sum_and_terms_stay_unweighted() -> None:
    (score,) = judge(
        config({"name": "accuracy", "weight": 2.0}, {"name": "hallucination", "weight": 0.5}), LOOP
    )
    assert score.terms == {"accuracy": -0.5, "hallucination": -1.0}
    assert score.total == 2.0 * -0.5 + 0.5 * -1.0
    assert score.status is ScoreStatus.OK
    assert score.metrics["wer"] == 1.5
    assert score.metrics["loop"] == score.metrics["hallucination"] == 1.0


def test_scores_keep_the_shape_of_the_groups() -> None:
    texts = [["a b", "a", ""], [], ["c"]]
    outputs = [[Output(text, Ending.STOP, len(text)) for text in group] for group in texts]
    prompts = [Prompt("1", "asr", "a b"), Prompt("2", "asr", "x"), Prompt("3", "asr", "c")]
    with RewardMixer(config({"name": "accuracy"})) as mixer:
        scores = mixer.score(outputs, prompts)
    assert [[score.total for score in group] for group in scores] == [[1.0, 0.5, 0.0], [], [1.0]]


def test_replace_makes_the_penalty_the_total_of_hallucinated_outputs_only() -> None:
    penalty = {"name": "hallucination", "weight": 0.5, "options": {"mode": "replace", "penalty": "span"}}
    looped, right = judge(config({"name": "accuracy"}, penalty), LOOP, ("try again", "try again"))
    assert looped.total == pytest.approx(0.5 * -0.6)
    assert looped.terms == {"accuracy": -0.5, "hallucination": -0.6}
    assert right.total == 1.0


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ({"name": "acuracy"}, "did you mean 'accuracy'"),
        ({"name": "bleu"}, "`module:function`"),
        ({"name": "accuracy", "options": {"flor": 0}}, "did you mean 'floor'"),
        ({"name": "accuracy", "options": {"floor": "low"}}, "'floor'.*cannot be 'low'"),
        ({"name": "accuracy", "options": {"unit": "syllable"}}, "'auto', 'word', 'char' or 'letter'"),
        ({"name": "accuracy", "options": {"mode": "replace"}}, "no option 'mode'"),
        ({"name": "silence", "options": {"x": 1}}, "no options"),
        ({"name": "hallucination", "options": {"mode": "multiply"}}, "'add' or 'replace'"),
        ({"name": "hallucination", "options": {"min_rum": 3}}, "did you mean 'min_run'"),
        ({"name": "keywords", "options": {"vocabulary": "siri"}}, "vocabulary"),
        ({"name": "no_such_module:f"}, "no module"),
    ],
)
def test_what_cannot_work_is_refused_up_front(term: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RewardMixer(config(term))


def test_every_option_of_the_table_is_accepted() -> None:
    options: dict[str, dict[str, object]] = {
        "accuracy": {"unit": "char", "floor": None},
        "hallucination": {"mode": "add", "penalty": "span", "min_run": 3, "insertions": "alike"},
        "keywords": {"view": "recall", "vocabulary": ["siri"]},
        "language": {"mode": "replace"},
        "silence": {},
        "unsupported": {
            "model": "folder",
            "penalty": "span",
            "witness": "transcript",
            "price": 3.5,
            "min_run": 1,
            "mode": "replace",
        },
    }
    assert list(options) == rewards_of("asr")
    terms = [{"name": name, "options": chosen} for name, chosen in options.items()]
    check_rewards(config(*terms), "asr")
    # All but the last, which loads a model.
    RewardMixer(config(*terms[:-1])).close()


def test_a_failed_term_fails_the_score_and_never_counts_as_zero() -> None:
    rewards = config({"name": "accuracy"}, {"name": f"{STRANGE}:raise_on_bad", "weight": 0.1})
    good, bad = judge(rewards, ("good", "good"), ("good", "bad"))
    assert good.total == pytest.approx(1.1)
    assert bad.status is ScoreStatus.FAILED
    assert math.isnan(bad.total)
    assert bad.terms["accuracy"] == 0.0
    assert math.isnan(bad.terms["raise_on_bad"])
    assert bad.reason == "raise_on_bad raised ValueError: no such word"
    assert bad.metrics["wer"] == 1.0


def test_a_builtin_that_raises_fails_its_score(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(output: Output, prompt: Prompt) -> float:
        raise ZeroDivisionError

    monkeypatch.setitem(REWARDS, "silence", Reward(broken))
    (score,) = judge(config({"name": "silence"}), ("a", "a"))
    assert score.reason == "silence raised ZeroDivisionError"


def test_a_language_that_is_none_fails_with_its_mend() -> None:
    (score,) = judge(config({"name": "accuracy"}), ("a", "a"), language="plain English")
    assert score.status is ScoreStatus.FAILED
    assert "ISO 639-1" in score.reason


def test_a_scorer_with_the_wrong_count_fails_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("speechrl.rewards.forms.OutputReward.ask", lambda self, groups, prompts: list)
    scores = judge(config({"name": "accuracy"}), ("a", "a"), ("b", "b"))
    assert {score.reason for score in scores} == {"accuracy gave 0 values for 2 outputs"}


def test_the_run_stops_above_the_allowed_share_and_says_why() -> None:
    pairs = [("good", "bad"), ("good", "bad"), ("good", "good"), ("good", "good")]
    term: dict[str, object] = {"name": f"{STRANGE}:raise_on_bad"}
    assert len(judge(config(term, share=0.5), *pairs)) == 4
    with pytest.raises(RewardError, match=r"2 of 4 .*\n  2 x raise_on_bad raised ValueError: no such word"):
        judge(config(term, share=0.49), *pairs)


def test_a_hanging_reward_stops_the_run_with_its_reason() -> None:
    term: dict[str, object] = {"name": f"{STRANGE}:hang_on_slow", "timeout_s": 0.5}
    with pytest.raises(RewardError, match="hang_on_slow was still at output 1 of 1 after"):
        judge(config(term, share=0.25), ("a", "slow"))


def test_terms_of_one_name_are_told_apart() -> None:
    unit = [{"name": "accuracy", "options": {"unit": unit}} for unit in ("word", "char")]
    (score,) = judge(config(*unit), ("a cat", "a car"))
    assert score.terms == {"accuracy": 0.5, "accuracy_2": 0.75}
    assert score.total == 1.25


def test_other_tasks_have_no_error_rate() -> None:
    with RewardMixer(config({"name": f"{STRANGE}:length"})) as mixer:
        ((score,),) = mixer.score([[Output("hi", Ending.STOP, 7)]], [Prompt("t", "tts", "hi")])
    assert score.total == 7.0
    assert "wer" not in score.metrics
