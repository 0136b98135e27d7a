"""The rewards by name: what each judges, how it is called, and the values it can give."""

from __future__ import annotations

import difflib
import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_type_hints

from pydantic import TypeAdapter, ValidationError

from speechrl.errors import ConfigError
from speechrl.rewards import asr, asr_support, tts, tts_judges
from speechrl.rewards.asr_hallucination import Penalty
from speechrl.rewards.forms import BatchReward, GroupReward, OutputReward
from speechrl.rewards.scorers import Window
from speechrl.rewards.verdict import Verdict
from speechrl.rewards.worker import WorkerReward
from speechrl.text.normalise import Unit
from speechrl.types import Output, Precision, Prompt

if TYPE_CHECKING:
    from speechrl.config.schema import RewardConfig
    from speechrl.rewards.forms import Scorer
    from speechrl.types import Task

Form = Literal["output", "group", "batch", "worker"]
Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Reward:
    """One built-in reward.

    Attributes:
        function: By `form`. `output`: `function(output, prompt, **options) -> float`. `group`: the same of all
            outputs of a prompt -> list. `batch` and `worker`: a class whose `function(**options)` is a `forms.Judge`.
        task: What it can judge.
        form: `worker` runs in a process of its own; the others run here.
        hears: Whether it needs the waveform of the output.
        hears_prompt: Whether it needs the audio of the prompt.
        penalty: 0 unless something is wrong. Such a reward takes the option `mode`: `add` (default) makes it a
            term of the sum like any other; `replace` makes it the whole total of an output on which it is
            negative. Which of the two arXiv 2509.18569 uses is not known.
        span: Lowest and highest value, by options.
    """

    function: Callable[..., Any]
    task: Task = "asr"
    form: Form = "output"
    hears: bool = False
    hears_prompt: bool = False
    penalty: bool = False
    span: Callable[[Mapping[str, Any]], Span] = lambda _: (0.0, 1.0)

    def options(self) -> dict[str, object]:
        """Its options with their defaults."""
        parameters = inspect.signature(self.function).parameters.items()
        return {name: p.default for name, p in parameters if p.kind is p.KEYWORD_ONLY}


def _floored(options: Mapping[str, Any]) -> Span:
    floor = options["floor"] if options.get("shape", "linear") == "linear" else 0.0
    return (-math.inf if floor is None else floor, 1.0)


def _shortfall(options: Mapping[str, Any]) -> Span:
    return (-math.inf if options["floor"] is None else options["floor"], 0.0)


def _capped(options: Mapping[str, Any]) -> Span:
    return (0.0, math.inf if options["cap"] is None else options["cap"])


def _fault(_: Mapping[str, Any]) -> Span:
    return (-1.0, 0.0)


REWARDS: dict[str, Reward] = {
    "accuracy": Reward(asr.accuracy_term, span=_floored),
    "hallucination": Reward(asr.hallucination_term, penalty=True, span=_fault),
    "keywords": Reward(asr.keywords_term),
    "language": Reward(asr.language_term, penalty=True, span=_fault),
    "silence": Reward(asr.silence_term),
    "unsupported": Reward(
        asr_support.UnsupportedWords, form="batch", hears_prompt=True, penalty=True, span=_fault
    ),
    "recogniser": Reward(tts_judges.RecogniserAccuracy, "tts", "worker", hears=True, span=_floored),
    "recogniser_nll": Reward(tts_judges.RecogniserLikelihood, "tts", "worker", hears=True),
    "token_accuracy": Reward(tts_judges.TokenAccuracy, "tts", "batch", span=_floored),
    "token_nll": Reward(tts_judges.TokenLikelihood, "tts", "batch"),
    "duration": Reward(tts.duration_term, "tts", "group", span=_shortfall),
    "diversity": Reward(tts.diversity_term, "tts", "group"),
    "pitch": Reward(tts_judges.PitchSpread, "tts", "worker", hears=True, span=_capped),
    "similarity": Reward(tts_judges.VoiceSimilarity, "tts", "worker", hears=True),
    "quality": Reward(tts_judges.Quality, "tts", "worker", hears=True),
    "stop": Reward(tts.stop_term, "tts", penalty=True, span=_fault),
}


def rewards_of(task: Task) -> list[str]:
    """Names of the built-in rewards of a task."""
    return [name for name, reward in REWARDS.items() if reward.task == task]


def make_scorer(config: RewardConfig) -> Scorer:
    """The scorer of a term that `check_term` has passed: built in, or the user's own in a process of its own.

    Raises:
        ConfigError: A user's function cannot be imported, or does not take its options.
        SpeechRLError: A model of the reward cannot be loaded.
    """
    if ":" in config.name:
        return WorkerReward(config.name, config.options, config.timeout_s)
    reward, options = find_reward(config.name), _own_options(config)
    if reward.form == "output":
        return OutputReward(reward.function, options)
    if reward.form == "group":
        return GroupReward(reward.function, options)
    if reward.form == "batch":
        return BatchReward(reward.function(**options))
    target = f"{reward.function.__module__}:{reward.function.__qualname__}"
    return WorkerReward(target, options, config.timeout_s, form="batch")


def find_reward(name: str) -> Reward:
    """The built-in reward of that name.

    Raises:
        ConfigError: There is none.
    """
    if name in REWARDS:
        return REWARDS[name]
    near = difflib.get_close_matches(name, REWARDS, n=1)
    mend = f"did you mean {near[0]!r}?" if near else "a reward of your own is named `module:function`"
    raise ConfigError(f"unknown reward {name!r}; {mend} Known: {', '.join(REWARDS)}")


def check_term(config: RewardConfig) -> None:
    """Hold a built-in reward's name and options against the table; a user's own is met when it is made.

    Raises:
        ConfigError: An unknown reward, or an unknown or unfit option.
    """
    replaces(config)
    if ":" not in config.name:
        _check_options(config.name, find_reward(config.name), _own_options(config))


def _own_options(config: RewardConfig) -> dict[str, Any]:
    """Without the mixer's `mode` of penalties."""
    penalty = find_reward(config.name).penalty
    return {key: value for key, value in config.options.items() if not (penalty and key == "mode")}


def replaces(config: RewardConfig) -> bool:
    """Whether a term is a penalty of mode `replace`.

    Raises:
        ConfigError: It is a penalty of another mode than `add` and `replace`.
    """
    known = REWARDS.get(config.name)
    if known is None or not known.penalty:
        return False
    mode = config.options.get("mode", "add")
    if mode not in ("add", "replace"):
        raise ConfigError(f"option `mode` of reward {config.name!r} must be 'add' or 'replace', not {mode!r}")
    return bool(mode == "replace")


def _check_options(name: str, reward: Reward, options: Mapping[str, object]) -> None:
    """Hold options against the keyword arguments of the reward and their types."""
    known = list(reward.options())
    offered = [*known, "mode"] if reward.penalty else known
    function = reward.function
    names = vars(sys.modules[function.__module__]) | {
        "Output": Output,
        "Prompt": Prompt,
        "Sequence": Sequence,
        "Verdict": Verdict,
        "Unit": Unit,
        "Window": Window,
        "Precision": Precision,
        "Penalty": Penalty,
    }
    hints = get_type_hints(function.__init__ if inspect.isclass(function) else function, names)
    for key, value in options.items():
        if key not in known:
            near = difflib.get_close_matches(key, offered, n=1)
            mend = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(offered) or 'no options'}"
            raise ConfigError(f"reward {name!r} has no option {key!r}; {mend}")
        try:
            TypeAdapter(hints[key]).validate_python(value, strict=True)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]["msg"]
            raise ConfigError(f"option {key!r} of reward {name!r} cannot be {value!r}: {fault}") from error
