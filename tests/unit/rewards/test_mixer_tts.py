"""The mixer on speech, with judges that need no model."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from speechrl.config.schema import RewardConfig, RewardsConfig
from speechrl.errors import ConfigError
from speechrl.rewards.base import RewardMixer, check_rewards
from speechrl.rewards.registry import REWARDS, Reward
from speechrl.rewards.tts import hearing_metrics, shaped
from speechrl.rewards.verdict import Verdict, failed
from speechrl.types import Ending, Output, Prompt, Score, ScoreStatus

STRANGE = Path(__file__).parent / "strange_rewards.py"
SOUND = np.zeros(10, np.float32)


class Listener:
    """Hears as many words of the text as the output has tokens; 99 tokens cannot be judged."""

    def __init__(self, *, floor: float | None = -1.0) -> None:
        self.floor = floor

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        return [self._one(output, prompt) for output, prompt in zip(outputs, prompts, strict=True)]

    def _one(self, output: Output, prompt: Prompt) -> Verdict:
        if output.length == 99:
            return failed("cannot hear 99")
        heard = " ".join(prompt.text.split()[: output.length])
        rate = hearing_metrics(prompt.text, heard)["wer"]
        return Verdict(shaped(rate, floor=self.floor), heard=heard, metrics={"loudness": 0.5})


class Reader(Listener):
    """Reads tokens, and gets every word."""

    def _one(self, output: Output, prompt: Prompt) -> Verdict:
        return Verdict(1.0, heard=prompt.text, metrics={"token_cer": 0.0})


class Deaf(Listener):
    """Hears nothing, and logs what comes of it."""

    def _one(self, output: Output, prompt: Prompt) -> Verdict:
        return Verdict(0.0, heard="", metrics={"wer": 1.0, "loudness": 0.0})


@pytest.fixture(autouse=True)
def _light_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    span = REWARDS["recogniser"].span
    monkeypatch.setitem(REWARDS, "recogniser", Reward(Listener, "tts", "batch", hears=True, span=span))
    monkeypatch.setitem(REWARDS, "token_accuracy", Reward(Reader, "tts", "batch"))


def config(*terms: dict[str, object], combine: str = "sum", share: float = 1.0) -> RewardsConfig:
    return RewardsConfig(
        terms=[RewardConfig.model_validate(term) for term in terms],
        combine=combine,  # type: ignore[arg-type]
        max_failed_share=share,
    )


def judge(
    rewards: RewardsConfig, *groups: Sequence[int], text: str = "one cat two dogs"
) -> list[list[Score]]:
    outputs = [
        [Output("", Ending.LENGTH if n > 50 else Ending.STOP, n, tuple(range(n)), SOUND) for n in group]
        for group in groups
    ]
    with RewardMixer(rewards) as mixer:
        return mixer.score(outputs, [Prompt(f"p{i}", "tts", text) for i in range(len(groups))])


def totals(scores: list[list[Score]]) -> list[list[float]]:
    return [[score.total for score in group] for group in scores]


def test_score_says_what_was_heard_and_how_wrong_it_was() -> None:
    ((score,),) = judge(config({"name": "recogniser"}), [3])
    assert score.heard == "one cat two"
    assert score.total == pytest.approx(1 - score.metrics["wer"])
    assert score.metrics["deletions"] == 1
    assert score.metrics["loudness"] == 0.5
    assert (score.metrics["tokens"], score.metrics["no_stop"]) == (3, 0.0)


def test_ears_are_believed_before_tokens_whatever_the_order() -> None:
    ((score,),) = judge(config({"name": "token_accuracy"}, {"name": "recogniser"}), [1])
    assert score.heard == "one"
    assert score.metrics["wer"] == 0.75
    assert score.metrics["token_cer"] == 0.0
    ((score,),) = judge(config({"name": "token_accuracy"}), [1])
    assert score.heard == "one cat two dogs"
    assert not {"wer", "cer", "words"} & score.metrics.keys()  # nobody listened


def test_a_second_recogniser_has_its_own_name_and_leaves_the_numbers_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(REWARDS, "recogniser_nll", Reward(Listener, "tts", "batch", hears=True))
    monkeypatch.setitem(REWARDS, "recogniser", Reward(Deaf, "tts", "batch", hears=True))
    names = ("recogniser_nll", "recogniser", "recogniser")
    ((score,),) = judge(config(*({"name": name} for name in names)), [3])
    assert list(score.terms) == ["recogniser_nll", "recogniser", "recogniser_2"]
    assert score.heard == "one cat two"
    assert (score.metrics["wer"], score.metrics["loudness"]) == (0.25, 0.5)


def test_group_rewards_see_their_own_group_only() -> None:
    scores = judge(config({"name": "duration"}, {"name": "stop"}), [10, 10, 60], [60])
    assert totals(scores) == [[0, 0, -2], [-1]]
    assert scores[0][2].terms == {"duration": -1.0, "stop": -1.0}
    assert [score.metrics["no_stop"] for score in scores[0]] == [0, 0, 1]
    assert scores[0][0].heard == ""
    assert "wer" not in scores[0][0].metrics


def test_a_penalty_that_replaces() -> None:
    rewards = config({"name": "recogniser"}, {"name": "stop", "options": {"mode": "replace"}})
    assert totals(judge(rewards, [4, 60])) == [[1, -1]]


def test_harmonic_total() -> None:
    rewards = config(
        {"name": "recogniser", "options": {"floor": 0.0}},
        {"name": "diversity", "weight": 3.0},
        combine="harmonic",
    )
    # 2 of 4 words: 0.5; token distance of (0, 1) and (0, 1, 2, 3): 0.5, and 1.0 for all words.
    assert totals(judge(rewards, [2, 4])) == [[pytest.approx(0.5), pytest.approx(4 / (1 / 1 + 3 / 0.5))]]


def test_normalised_totals_leave_the_failed_one_out() -> None:
    rewards = config({"name": "recogniser", "weight": 2.0}, {"name": "token_accuracy"}, combine="normalised")
    (group,) = judge(rewards, [1, 99, 3])
    root = math.sqrt(2)
    assert [group[0].total, group[2].total] == pytest.approx([-root, root], abs=1e-4)
    assert group[1].status is ScoreStatus.FAILED
    assert math.isnan(group[1].total)
    assert group[1].reason == "recogniser cannot hear 99"


@pytest.mark.parametrize("combine", ["sum", "harmonic", "normalised"])
def test_a_failed_scorer_is_never_a_zero(combine: str) -> None:
    rewards = config({"name": "recogniser", "options": {"floor": 0.0}}, combine=combine)
    with_failed, without = judge(rewards, [2, 99, 4], [2, 4])
    assert [with_failed[0].total, with_failed[2].total] == [score.total for score in without]
    assert math.isnan(with_failed[1].total)


@pytest.mark.parametrize(
    ("terms", "combine", "message"),
    [
        ([{"name": "duration"}], "harmonic", r"from -1 to 0, and combine harmonic takes \[0, 1\]"),
        ([{"name": "recogniser"}], "harmonic", "set `floor: 0`"),
        ([{"name": "recogniser", "options": {"floor": None}}], "harmonic", "from -inf to 1"),
        ([{"name": "diversity", "weight": -1.0}], "harmonic", "negative"),
        ([{"name": "diversity", "weight": 0.0}], "harmonic", "whose weight is not 0"),
        ([{"name": "stop", "options": {"mode": "replace"}}], "normalised", "mode replace"),
        ([{"name": "quality", "options": {"model": "pesq"}}], "sum", "'distillmos' or 'dnsmos'"),
        ([{"name": "pitch", "options": {"cup": 1}}], "sum", "did you mean 'cap'"),
        ([{"name": "similarity", "options": {"model": "x"}}], "sum", "no options"),
        ([{"name": "similarty"}], "sum", "did you mean 'similarity'"),
        ([{"name": "recogniser_nll", "options": {"window": "long"}}], "sum", "'full' or 'short'"),
    ],
)
def test_what_cannot_work_is_refused_up_front(
    terms: list[dict[str, object]], combine: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        RewardMixer(config(*terms, combine=combine))


def test_a_users_value_that_the_harmonic_mean_cannot_take_fails_its_score() -> None:
    rewards = config({"name": f"{STRANGE}:length", "options": {"factor": 0.25}}, combine="harmonic")
    ((good, bad),) = judge(rewards, [2, 8])
    assert good.total == 0.5
    assert bad.reason == "length is 2, outside of [0, 1], which combine harmonic needs"


def test_rewards_of_the_other_task_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'accuracy' judges asr.*rewards for tts: recogniser"):
        judge(config({"name": "accuracy"}), [1])


def test_a_check_loads_nothing_and_finds_the_wrong_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Listener, "__init__", lambda self: pytest.fail("was made"))
    rewards = config({"name": "recogniser"}, {"name": "no_such_module:f"})
    check_rewards(rewards, "tts")
    with pytest.raises(ConfigError, match="judges tts"):
        check_rewards(rewards, "asr")
    with pytest.raises(ConfigError, match="'add' or 'replace'"):
        check_rewards(config({"name": "stop", "options": {"mode": "multiply"}}))


@pytest.mark.parametrize(
    ("name", "hears"),
    [("duration", False), ("token_accuracy", False), ("recogniser", True), (f"{STRANGE}:length", True)],
)
def test_hears_tells_whether_sound_must_be_made(name: str, hears: bool) -> None:
    with RewardMixer(config({"name": "stop"}, {"name": name})) as mixer:
        assert mixer.hears is hears
