"""Load any speech LLM by its folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from speechrl.config.load import resolve_path
from speechrl.errors import ModelError
from speechrl.models.asr.recogniser import DESCRIPTION, load_recogniser
from speechrl.models.tts.synthesiser import load_synthesiser

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from speechrl.models.base import SpeechModel
    from speechrl.types import Task


def load_model(path: str) -> SpeechModel:
    """Load a saved model.

    Args:
        path: A folder with `speechrl.json`; `package:starter/asr` and `package:starter/tts` are those that ship.

    Raises:
        ModelError: There is no such folder, or it does not say which model it holds.
    """
    kind, folder = _kind_of(path)
    return _MODELS[kind][1](folder)


def task_of(path: str) -> Task:
    """What a saved model does, without loading it.

    Raises:
        ModelError: As in `load_model`.
    """
    return _MODELS[_kind_of(path)[0]][0]


def _kind_of(path: str) -> tuple[str, Path]:
    """Which model a folder holds, and where the folder is."""
    folder = resolve_path(path)
    description = folder / DESCRIPTION
    if not description.is_file():
        raise ModelError(
            f"{path}: no model there ({description} is missing); give the folder that `save` wrote"
        )
    try:
        content = json.loads(description.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{description}: cannot be read ({error}); copy or save the model again") from error
    kind = content.get("model") if isinstance(content, dict) else None
    if not isinstance(kind, str) or kind not in _MODELS:
        raise ModelError(f"{description}: field model is {kind!r}; known: {', '.join(_MODELS)}")
    return kind, folder


_MODELS: dict[str, tuple[Task, Callable[[Path], SpeechModel]]] = {
    "recogniser": ("asr", load_recogniser),
    "synthesiser": ("tts", load_synthesiser),
}
"""Field `model` of `speechrl.json` -> what such a model does, and who loads it."""
