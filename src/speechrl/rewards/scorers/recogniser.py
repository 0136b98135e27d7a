"""Recognisers by name: those that a reward listens with, and those that judge it."""

from __future__ import annotations

import difflib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from speechrl.config.load import resolve_path
from speechrl.errors import ConfigError, ModelError
from speechrl.rewards.scorers import moonshine, whisper
from speechrl.rewards.scorers.clips import SAMPLE_RATE_HZ, at_16_khz, is_silent, transcribe_pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from speechrl.config.schema import RewardsConfig
    from speechrl.models.asr.recogniser import Recogniser as SpeechRecogniser
    from speechrl.rewards.scorers import Window
    from speechrl.rewards.scorers.clips import Clip
    from speechrl.rewards.scorers.packages import Package
    from speechrl.types import Task

_DESCRIPTION = "speechrl.json"
_HUB_NAME = re.compile(r"\w[\w.-]*/[\w.-]+")
_TOKENS_PER_SECOND = 16
_TOKENS_MARGIN = 8
_BATCH_SIZE = 8


class Recogniser(Protocol):
    """Anything that writes down what it hears."""

    def transcribe(self, clips: Sequence[Clip]) -> list[str]:
        """The words of each clip, raw; "" where nothing is said.

        Args:
            clips: (mono float32 samples in [-1, 1], rate in Hz) each, of any rate and length.

        Raises:
            ValueError: Samples that are not mono, or not finite.
        """
        ...


PACKAGED: dict[str, Callable[[Window, str], Recogniser]] = {
    "whisper-tiny.en": whisper.load_tiny,
    "whisper-base": whisper.load_base,
    "moonshine-tiny": lambda _window, _language: moonshine.load_moonshine(),
}
"""Recognisers whose weights come in Python packages."""
LANGUAGES: dict[str, tuple[str, ...]] = {"whisper-tiny.en": ("en",), "moonshine-tiny": ("en",)}
"""What those of `PACKAGED` understand that do not understand all languages."""
NEEDED: dict[str, tuple[Package, ...]] = {
    "whisper-tiny.en": (whisper.TINY, whisper.RUNTIME),
    "whisper-base": (*whisper.BASE, whisper.RUNTIME),
    "moonshine-tiny": (moonshine.WEIGHTS, moonshine.RUNTIME),
}
"""Their packages."""


def weights_version(name: str) -> str:
    """The version of the package that carries a recogniser of `PACKAGED`; empty for others, or where it is missing."""
    return NEEDED[name][0].version() if name in NEEDED else ""


def load_recogniser_judge(name: str, *, window: Window = "full", language: str | None = None) -> Recogniser:
    """Load a recogniser that listens to synthetic speech, for rewards and for evaluation.

    Args:
        name: A name of `PACKAGED`, a folder of a recogniser of speechrl (`package:starter/asr`), or a hub name or
            folder of any recogniser that transformers' pipeline knows (`openai/whisper-large-v3`).
        window: How much a Whisper of `PACKAGED` sees; see `whisper.WhisperRecogniser`.
        language: What a multilingual Whisper listens for (ISO 639-1). None is English for one of `PACKAGED`, and what
            it takes the speech for with one of the hub.

    Raises:
        MissingExtraError: The package that carries it is not installed.
        ModelError: There is no such recogniser, or this Whisper does not know the language.
    """
    if name in PACKAGED:
        return PACKAGED[name](window, language or "en")
    if _is_ours(name):
        from speechrl.models.load import load_model, task_of

        _refuse_speaker(name, task_of(name))
        model: Any = load_model(name)
        return FolderRecogniser(model)
    return HubRecogniser(name, language)


def check_recogniser(name: str) -> None:
    """See that `load_recogniser_judge` has something to load; nothing is loaded, and no hub is asked.

    Args:
        name: As there.

    Raises:
        ConfigError: `package:` names nothing that ships.
        MissingExtraError: The package that carries it, or what it runs on, is not installed.
        ModelError: There is no such recogniser: the name is none of ours, no folder, and none that a hub could have; or
            it is that of a synthesiser.
    """
    for package in NEEDED.get(name, ()):
        package.folder()
    if name in PACKAGED:
        return
    if _is_ours(name):
        from speechrl.models.load import task_of

        _refuse_speaker(name, task_of(name))
    elif not Path(name).exists() and not _HUB_NAME.fullmatch(name):
        raise _unknown(name)


def check_judges(judges: Sequence[str], rewards: RewardsConfig) -> None:
    """See that no judge is a recogniser that a reward listens with: it would be praised for pleasing itself.

    A reward of the user's own cannot be looked into.

    Args:
        judges: Recognisers of the evaluation, by name.
        rewards: The rewards of the run.

    Raises:
        ConfigError: A judge is in a reward too.
    """
    listening = reward_recognisers(rewards)
    for judge in judges:
        reward = listening.get(_identity(judge))
        if reward is not None:
            others = [name for name in PACKAGED if _identity(name) not in listening]
            raise ConfigError(
                f"evaluation.judges: {judge} is also the recogniser of the reward {reward!r}, so its verdict would "
                f"not be independent; name other judges, for example {', '.join(others) or 'a folder'}"
            )


def reward_recognisers(rewards: RewardsConfig) -> dict[str, str]:
    """Identity of each recogniser that a built-in reward listens with -> name of the reward."""
    from speechrl.rewards.registry import REWARDS

    found = {}
    for term in rewards.terms:
        known = REWARDS.get(term.name)
        if known is not None and known.task == "tts" and known.hears:
            option = inspect.signature(known.function).parameters.get("recogniser")
            if option is not None:
                found[_identity(str(term.options.get("recogniser", option.default)))] = term.name
    return found


def _identity(name: str) -> str:
    """The same for all names of one recogniser."""
    if name in PACKAGED:
        return name
    if name.startswith("package:") or Path(name).exists():
        return str(resolve_path(name).resolve())
    alias = name.rpartition("/")[2].lower()
    return alias if alias in PACKAGED else name.lower()


def _is_ours(name: str) -> bool:
    """Whether a name is that of a folder of speechrl."""
    return name.startswith("package:") or (Path(name) / _DESCRIPTION).is_file()


def _refuse_speaker(name: str, task: Task) -> None:
    if task != "asr":
        raise ModelError(f"{name}: speaks, and so cannot judge; name a recogniser")


def _unknown(name: str) -> ModelError:
    near = difflib.get_close_matches(name, PACKAGED, n=1)
    mend = f"did you mean {near[0]!r}?" if near else f"known names: {', '.join(PACKAGED)}"
    return ModelError(
        f"recogniser {name!r}: neither a known name nor a folder nor on a reachable hub; {mend}"
    )


class FolderRecogniser:
    """A recogniser of speechrl, greedy; implements `Recogniser`."""

    def __init__(self, model: SpeechRecogniser) -> None:
        self._model = model

    def transcribe(self, clips: Sequence[Clip]) -> list[str]:
        """See `Recogniser`; nothing in silence."""
        heard = [at_16_khz(clip) for clip in clips]
        order = sorted((i for i in range(len(heard)) if not is_silent(heard[i])), key=lambda i: len(heard[i]))
        texts = [""] * len(clips)
        for start in range(0, len(order), _BATCH_SIZE):
            batch = order[start : start + _BATCH_SIZE]
            for i, text in zip(batch, self._batch([heard[i] for i in batch]), strict=True):
                texts[i] = text
        return texts

    def _batch(self, samples: Sequence[NDArray[np.float32]]) -> list[str]:
        import torch

        from speechrl.types import Ending, Prompt, Rollout

        language_model = self._model.language_model
        prompts = [Prompt(str(i), "asr", "", audio=audio) for i, audio in enumerate(samples)]
        limit = int(max(map(len, samples)) / SAMPLE_RATE_HZ * _TOKENS_PER_SECOND) + _TOKENS_MARGIN
        with torch.inference_mode():
            prefix = language_model.prefill(self._model.encode(prompts))
            columns = [prefix.logits_BV.argmax(-1)]
            ended_B = columns[0] == language_model.end_token_id
            while len(columns) < limit and not bool(ended_B.all()):
                prefix = language_model.append(prefix, columns[-1])
                columns.append(prefix.logits_BV.argmax(-1))
                ended_B |= columns[-1] == language_model.end_token_id
        texts = []
        for ids in torch.stack(columns, dim=1).tolist():
            kept = (
                ids[: ids.index(language_model.end_token_id)] if language_model.end_token_id in ids else ids
            )
            texts.append(self._model.transcript(Rollout("", tuple(kept), (), Ending.LENGTH)).text)
        return texts


class HubRecogniser:
    """Whatever transformers' speech recognition pipeline can load; implements `Recogniser`.

    Args:
        name: Hub name or folder.
        language: For a multilingual Whisper; None lets it guess, clip by clip.

    Raises:
        ModelError: It cannot be loaded, or is a Whisper that does not know the language.
    """

    def __init__(self, name: str, language: str | None = None) -> None:
        from transformers import pipeline

        try:
            self._pipeline: Any = pipeline("automatic-speech-recognition", model=name, device="cpu")
        except (OSError, ValueError, KeyError) as error:
            raise _unknown(name) from error
        self._options = whisper_language(name, self._pipeline.model, language)

    def transcribe(self, clips: Sequence[Clip]) -> list[str]:
        """See `Recogniser`; nothing in silence."""
        return transcribe_pieces(clips, self._transcribe)

    def _transcribe(self, pieces: list[NDArray[np.float32]]) -> list[str]:
        inputs = [{"raw": samples, "sampling_rate": SAMPLE_RATE_HZ} for samples in pieces]
        heard = self._pipeline(inputs, batch_size=_BATCH_SIZE, **self._options)
        return [result["text"] for result in heard]


def whisper_language(name: str, model: Any, language: str | None) -> dict[str, Any]:
    """What tells a multilingual Whisper which language to write; nothing for any other model.

    Raises:
        ModelError: It does not know the language.
    """
    known = getattr(getattr(model, "generation_config", None), "lang_to_id", None)
    if language is None or not known:
        return {}
    if f"<|{language}|>" not in known:
        raise ModelError(f"recogniser {name!r}: this Whisper does not know the language {language!r}")
    return {"generate_kwargs": {"language": language, "task": "transcribe"}}
