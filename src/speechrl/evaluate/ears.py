"""Who listens to synthetic speech: recognisers that judge the words, and scorers of voice, quality and prosody."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, assert_never, get_args

from speechrl.config.schema import JUDGE_TIMEOUT_S, Measure
from speechrl.rewards.forms import BatchReward
from speechrl.rewards.scorers.recogniser import check_recogniser
from speechrl.rewards.tts_judges import PitchSpread, Quality, RecogniserAccuracy, VoiceSimilarity
from speechrl.rewards.verdict import Verdict
from speechrl.rewards.worker import WorkerReward

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from speechrl.rewards.forms import Judge, Scorer
    from speechrl.rewards.scorers import Window
    from speechrl.rewards.scorers.packages import Package
    from speechrl.types import Output, Precision, Prompt

MEASURES: tuple[Measure, ...] = get_args(Measure)
"""What is measured beside the words, by name in the rows."""
TOO_SLOW = "raise evaluation.timeout_s, or lower evaluation.batch_size"
"""What to do where a judge takes too long."""


@dataclass(frozen=True, slots=True)
class Ears:
    """Everyone who listens. Used as a context manager, which ends their processes.

    Attributes:
        judges: Recognisers by name, in order; the first gives `judge_wer`. Their verdicts carry what was `heard`.
        scorers: By a name of `MEASURES`; some may be missing.
    """

    judges: Mapping[str, Scorer]
    scorers: Mapping[str, Scorer]

    def listen(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> dict[str, list[Verdict]]:
        """The verdicts of all, by name, each in the order of the outputs; `outputs[i]` answers `prompts[i]`."""
        groups = [[output] for output in outputs]
        # All are asked before any answer is waited for: those in processes of their own work side by side.
        answers = {name: one.ask(groups, prompts) for name, one in {**self.judges, **self.scorers}.items()}
        return {name: [verdict for (verdict,) in answer()] for name, answer in answers.items()}

    def close(self) -> None:
        """End what runs in processes of its own."""
        for one in (*self.judges.values(), *self.scorers.values()):
            one.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def check_ears(judges: Sequence[str], measures: Sequence[Measure], vocoder: str) -> None:
    """See that everyone who is to listen can be loaded, and be given sound; nothing is loaded.

    Args:
        judges: See `load_ears`.
        measures: See `load_ears`.
        vocoder: `fast` or `hifigan`.

    Raises:
        ConfigError, ModelError: An unknown judge, see `rewards.scorers.recogniser.check_recogniser`; or HiFi-GAN is not
            installed.
        MissingExtraError: The package of a judge or scorer is not installed.
    """
    # These import torch, which a run that recognises is looked at without.
    from speechrl.models.tts.vocoder import hifigan_folder
    from speechrl.rewards.scorers import pitch, quality, speaker

    needed: dict[Measure, tuple[Package, ...]] = {
        "similarity": (speaker.WEIGHTS,),
        "quality": (quality.DISTILLMOS,),
        "dnsmos": (quality.SPEECHMOS, quality.ONNXRUNTIME),
        "log_f0_std": (pitch.TRACKER,),
    }
    for judge in judges:
        check_recogniser(judge)
    for measure in measures:
        for package in needed[measure]:
            package.folder()
    if vocoder == "hifigan":
        hifigan_folder()


def load_ears(
    judges: Sequence[str],
    *,
    measures: Sequence[Measure],
    window: Window = "full",
    precision: Precision = "fp32",
    timeout_s: float = JUDGE_TIMEOUT_S,
    too_slow: str = TOO_SLOW,
) -> Ears:
    """The recognisers of these names, each in a process of its own with a time-out, and the scorers.

    Args:
        judges: One named twice listens once. See `rewards.scorers.recogniser.load_recogniser_judge`.
        measures: What scorers measure.
        window: How much of the silence behind a clip a Whisper is shown.
        precision: Of DistillMOS, which takes the longest of all.
        timeout_s: A judge that takes longer for a batch has not judged it.
        too_slow: What to do then, for the message.

    Raises:
        ModelError: An unknown judge.
        MissingExtraError: The package of a judge or scorer is not installed.
    """
    with ThreadPoolExecutor(max(1, len(judges))) as pool:
        futures = {
            name: pool.submit(_judge, name, window, timeout_s, too_slow) for name in dict.fromkeys(judges)
        }
    with ExitStack() as made:
        for future in futures.values():
            if future.exception() is None:
                made.callback(future.result().close)
        found = {name: future.result() for name, future in futures.items()}
        scorers: dict[str, Scorer] = {name: BatchReward(_scorer(name, precision)) for name in measures}
        made.pop_all()
    return Ears(found, scorers)


def _judge(recogniser: str, window: Window, timeout_s: float, too_slow: str) -> Scorer:
    target = f"{RecogniserAccuracy.__module__}:{RecogniserAccuracy.__qualname__}"
    options = {"recogniser": recogniser, "window": window}
    return WorkerReward(target, options, timeout_s, form="batch", too_slow=too_slow)


def _scorer(measure: Measure, precision: Precision) -> Judge:
    match measure:
        case "similarity":
            return VoiceSimilarity()
        case "quality":
            return _Metric(Quality(precision=precision), "distillmos")
        case "dnsmos":
            return _Metric(Quality(model="dnsmos"), "dnsmos")
        case "log_f0_std":
            return _Metric(PitchSpread(), "log_f0_std")
    assert_never(measure)


class _Metric:
    """A judge whose verdict is what it logs, not what it is worth as a reward."""

    def __init__(self, judge: Judge, name: str) -> None:
        self._judge = judge
        self._name = name

    def judge(self, outputs: Sequence[Output], prompts: Sequence[Prompt]) -> list[Verdict]:
        """See `rewards.forms.Judge`."""
        verdicts = self._judge.judge(outputs, prompts)
        return [verdict if verdict.problem else Verdict(verdict.metrics[self._name]) for verdict in verdicts]
