"""Options that a file sets and its run never reads: no fault, but somebody expects something of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from speechrl.config.schema import RunConfig

_CLIPS = ("algorithm.clip_low", "algorithm.clip_high")
UNREAD: dict[str, tuple[str, ...]] = {
    "grpo": ("algorithm.diffro",),
    "gspo": ("algorithm.diffro",),
    "mwer": ("algorithm.diffro", "algorithm.std", "algorithm.loss_mean", *_CLIPS),
    "sft": (
        "algorithm.diffro", "algorithm.std", "algorithm.kl", "algorithm.kl_weight", "algorithm.length_cut",
        "algorithm.resample_zero_spread", "rollout", "data.curriculum.refresh", *_CLIPS,
    ),
    "diffro": ("algorithm.diffro.weight", "algorithm.diffro.filter", "algorithm.std", *_CLIPS),
    "hybrid": (),
}  # fmt: skip
"""By algorithm, the keys that change nothing of its updates."""
UNREAD_BY_TASK: dict[str, tuple[str, ...]] = {
    "asr": (
        "rollout.tokens_per_character",
        *(
            f"evaluation.{name}"
            for name in (
                "temperature", "top_k", "seeds", "judges", "measures", "vocoder", "window", "timeout_s",
            )
        ),
    ),
    # Audio is a voice, however long.
    "tts": ("data.min_duration_s", "data.max_duration_s", "rollout.tokens_per_second", "evaluation.beam"),
}  # fmt: skip
"""By task, the keys that only the other one reads."""
TIMED = ("recogniser", "recogniser_nll", "pitch", "similarity", "quality")
"""Rewards in processes of their own, as the user's own are: the others run in the trainer, and cannot be ended."""


def unread_options(config: RunConfig) -> list[str]:
    """The keys that were set although the run does not read them, in the order of the file.

    Only where they were set to something else than the default: `config show` writes out every key.
    """
    algorithm = config.algorithm
    unread = list(UNREAD[algorithm.name])
    if algorithm.kl == "none":
        unread.append("algorithm.kl_weight")
    if algorithm.name == "hybrid" and algorithm.diffro.weight == 0:
        unread += [
            f"algorithm.diffro.{name}" for name in type(algorithm.diffro).model_fields if name != "weight"
        ]
    unread += UNREAD_BY_TASK[config.task]
    unread += [
        f"rewards.terms.{place}.timeout_s"
        for place, term in enumerate(config.rewards.terms)
        if term.name not in TIMED and ":" not in term.name
    ]
    return [key for key in _changed(config) if any(key == one or key.startswith(f"{one}.") for one in unread)]


def unread_note(config: RunConfig) -> str:
    """A sentence about `unread_options`; empty where there are none."""
    names = unread_options(config)
    if not names:
        return ""
    verb, they = ("are", "them") if len(names) > 1 else ("is", "it")
    run = f"task={config.task}, algorithm.name={config.algorithm.name}"
    return f"{', '.join(names)} {verb} set, but a run of {run} does not read {they}"


def _changed(section: BaseModel, prefix: str = "") -> list[str]:
    """Keys whose values are not the defaults, sections entered; not those that every run must set."""
    keys: list[str] = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            keys += _changed(value, f"{prefix}{name}.")
        elif isinstance(value, list) and value and all(isinstance(item, BaseModel) for item in value):
            for place, item in enumerate(value):
                keys += _changed(item, f"{prefix}{name}.{place}.")
        elif not field.is_required() and value != field.get_default(call_default_factory=True):
            keys.append(f"{prefix}{name}")
    return keys
