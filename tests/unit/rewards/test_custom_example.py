from pathlib import Path

import pytest

from speechrl.config.schema import RewardConfig, RewardsConfig
from speechrl.rewards.base import RewardMixer
from speechrl.types import Ending, Output, Prompt

EXAMPLE = Path(__file__).parents[3] / "examples" / "custom_reward.py"


@pytest.mark.parametrize(
    ("reference", "hypotheses", "expected"),
    [
        (
            "dial four five six",
            ["Dial 4 5 6.", "dial 4 5 7", "dial 456 9", "dial", "7 5 6"],
            [1, 2 / 3, 3 / 4, -0.5, 0],
        ),
        ("press one now", ["press 1 now", "press now"], [1, -0.5]),
        ("hold the line, phone me", ["hold", "hold 5"], [1, 0]),
    ],
)
def test_digits_through_the_mixer(reference: str, hypotheses: list[str], expected: list[float]) -> None:
    term = RewardConfig(name=f"{EXAMPLE}:digits_right", weight=2.0, options={"missing": -0.5})
    with RewardMixer(RewardsConfig(terms=[term])) as mixer:
        outputs = [Output(text, Ending.STOP, length=len(text)) for text in hypotheses]
        (scores,) = mixer.score([outputs], [Prompt("d", "asr", reference)])
    assert [score.terms["digits_right"] for score in scores] == pytest.approx(expected)
    assert [score.total for score in scores] == pytest.approx([2 * value for value in expected])
