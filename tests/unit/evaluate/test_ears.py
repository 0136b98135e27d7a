"""Who listens: side by side, and what happens to the others when one cannot be loaded."""

import pytest

from speechrl.errors import ModelError
from speechrl.evaluate import ears
from speechrl.evaluate.ears import Ears
from speechrl.rewards.verdict import Verdict, failed
from speechrl.types import Ending, Output, Prompt

OUTPUTS = [Output("", Ending.STOP, 1), Output("", Ending.STOP, 2)]
PROMPTS = [Prompt("a", "tts", "one"), Prompt("b", "tts", "two")]


class Scorer:
    """Writes down when it is asked, when it is waited for, and when it is closed."""

    def __init__(self, name, diary):
        self.name, self.diary = name, diary

    def ask(self, groups, prompts):
        self.diary.append(f"ask {self.name}")

        def answer():
            self.diary.append(f"wait {self.name}")
            return [[Verdict(float(output.length), heard=self.name) for output in group] for group in groups]

        return answer

    def close(self):
        self.diary.append(f"close {self.name}")


def test_all_are_asked_before_any_is_waited_for():
    diary = []
    with Ears({"x": Scorer("x", diary), "y": Scorer("y", diary)}, {"z": Scorer("z", diary)}) as listening:
        verdicts = listening.listen(OUTPUTS, PROMPTS)
    assert [line.split()[0] for line in diary] == ["ask"] * 3 + ["wait"] * 3 + ["close"] * 3
    assert list(verdicts) == ["x", "y", "z"]
    assert [verdict.value for verdict in verdicts["z"]] == [1.0, 2.0]
    assert verdicts["y"][0].heard == "y"


def test_a_judge_that_cannot_be_loaded_takes_the_others_with_it(monkeypatch):
    diary = []

    def load(name, window):
        assert window == "short"
        if name == "unknown":
            raise ModelError("recogniser 'unknown': neither a known name nor a folder")
        return Scorer(name, diary)

    monkeypatch.setattr(ears, "_judge", load)
    with pytest.raises(ModelError, match="unknown"):
        ears.load_ears(["one", "unknown", "two"], measures=[], window="short")
    assert sorted(diary) == ["close one", "close two"]


def test_a_judge_that_is_named_twice_listens_once(monkeypatch):
    diary = []
    monkeypatch.setattr(ears, "_judge", lambda name, window: diary.append(name) or Scorer(name, diary))
    assert list(ears.load_ears(["one", "two", "one"], measures=[]).judges) == ["one", "two"]
    assert sorted(diary) == ["one", "two"]


def test_a_scorer_reports_what_it_measures_and_not_its_worth():
    class Quality:
        def judge(self, outputs, prompts):
            return [Verdict(0.75, metrics={"distillmos": 4.0}), failed("raised ValueError")]

    first, second = ears._Metric(Quality(), "distillmos").judge(OUTPUTS, PROMPTS)
    assert first.value == 4.0
    assert second.problem == "raised ValueError"
