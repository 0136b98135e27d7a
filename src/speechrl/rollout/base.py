"""What a rollout engine is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch
    from torch import Tensor

    from speechrl.types import Context, Group, Prompt


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How one token follows another.

    Attributes:
        temperature: Softmax temperature; 0 is greedy.
        top_k: Keep the k most likely tokens; 0 is off.
        top_p: Keep the smallest set with this mass; 1 is off.
        max_new_tokens: Limit of every completion, the end token counted.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int = 64


class Rollouts(Protocol):
    """Samples G completions per context from one prefill, and takes the policy's weights before the next step."""

    def sample(
        self, contexts: Sequence[Context], prompts: Sequence[Prompt], group_size: int, seed: int
    ) -> list[Group]:
        """One group per context, in order; the same seed gives the same rollouts.

        Reported log-probabilities are of the unmodified distribution at temperature 1, the one that the policy loss
        recomputes.
        """
        ...

    def load(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Take the policy's weights after `step`; later samples come from them and nothing older."""
        ...

    def to(self, device: torch.device, /) -> Rollouts:
        """Move in place, dtype kept: a stage brings the engine onto its device and lets it leave."""
        ...
