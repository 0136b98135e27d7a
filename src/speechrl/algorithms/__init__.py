"""Algorithms: which maths, in what order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechrl.algorithms.grpo import GRPO
from speechrl.algorithms.gspo import GSPO
from speechrl.algorithms.mwer import MWER
from speechrl.algorithms.sft import SFT

if TYPE_CHECKING:
    from collections.abc import Callable

    from speechrl.algorithms.base import Algorithm
    from speechrl.config.schema import AlgorithmConfig

ALGORITHMS: dict[str, Callable[[AlgorithmConfig], Algorithm]] = {
    "grpo": GRPO,
    "gspo": GSPO,
    "mwer": MWER,
    "sft": SFT,
}


def make_algorithm(config: AlgorithmConfig) -> Algorithm:
    """The algorithm that `config.name` asks for; the schema admits no other name."""
    return ALGORITHMS[config.name](config)
