"""Options that a file sets and its algorithm never reads: no fault, but somebody expects something of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

if TYPE_CHECKING:
    from speechrl.config.schema import AlgorithmConfig

_CLIPS = ("clip_low", "clip_high")
UNREAD: dict[str, tuple[str, ...]] = {
    "grpo": ("diffro",),
    "gspo": ("diffro",),
    "mwer": ("diffro", "std", "loss_mean", *_CLIPS),
    "sft": ("diffro", "std", "kl", "kl_weight", "resample_zero_spread", *_CLIPS),
    "diffro": ("diffro.weight", "diffro.filter", "std", *_CLIPS),
    "hybrid": (),
}
"""By algorithm, the keys of the section `algorithm` that change nothing of its updates."""


def unread_options(algorithm: AlgorithmConfig) -> list[str]:
    """The keys that were set although the algorithm does not read them, as a file writes them, in order.

    Only where they were set to something else than the default: `config show` writes out every key.
    """
    found = _changed_keys(algorithm)
    unread = UNREAD[algorithm.name]
    return [
        f"algorithm.{key}" for key in found if any(key == one or key.startswith(f"{one}.") for one in unread)
    ]


def unread_note(algorithm: AlgorithmConfig) -> str:
    """A sentence about `unread_options`; empty where there are none."""
    names = unread_options(algorithm)
    if not names:
        return ""
    verb, they = ("are", "them") if len(names) > 1 else ("is", "it")
    return f"{', '.join(names)} {verb} set, but algorithm.name={algorithm.name} does not read {they}"


def _changed_keys(section: BaseModel, prefix: str = "") -> list[str]:
    """Keys whose values are not the defaults, sections entered."""
    keys: list[str] = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            keys += _changed_keys(value, f"{prefix}{name}.")
        elif value != field.get_default(call_default_factory=True):
            keys.append(f"{prefix}{name}")
    return keys
