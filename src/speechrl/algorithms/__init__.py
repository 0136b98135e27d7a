"""Algorithms: which maths, in what order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechrl.algorithms.diffro import DiffRO
from speechrl.algorithms.grpo import GRPO
from speechrl.algorithms.gspo import GSPO
from speechrl.algorithms.hybrid import Hybrid
from speechrl.algorithms.mwer import MWER
from speechrl.algorithms.sft import SFT
from speechrl.models.tts.token2text import load_token2text

if TYPE_CHECKING:
    from collections.abc import Callable

    from speechrl.algorithms.base import Algorithm
    from speechrl.config.schema import AlgorithmConfig
    from speechrl.models.tts.token2text import Token2Text

ALGORITHMS: dict[str, Callable[[AlgorithmConfig], Algorithm]] = {
    "grpo": GRPO,
    "gspo": GSPO,
    "mwer": MWER,
    "sft": SFT,
}
"""Those that need no more than their options."""


def make_algorithm(
    config: AlgorithmConfig, *, seed: int = 1, reward_model: Token2Text | None = None
) -> Algorithm:
    """The algorithm that `config.name` asks for; the schema admits no other name.

    Args:
        config: Its options.
        seed: Of the noise that it draws itself (DiffRO).
        reward_model: Where one is needed: this one instead of `config.diffro.reward_model`.

    Raises:
        ModelError: The reward model cannot be loaded.
    """
    if config.name in ALGORITHMS:
        return ALGORITHMS[config.name](config)
    if config.name == "hybrid" and config.diffro.weight == 0:
        return Hybrid(config, None)
    diffro = DiffRO(config, reward_model or load_token2text(config.diffro.reward_model), seed)
    return diffro if config.name == "diffro" else Hybrid(config, diffro)
