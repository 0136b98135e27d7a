"""References in place of samples: supervised fine-tuning on the same page as reinforcement learning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechrl.types import Ending, Group, Rollout

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from speechrl.types import Context, Prompt


class TeacherRollouts:
    """Implements `rollout.base.Rollouts` without a policy: the one completion of a prompt is its reference.

    Args:
        tokenize: Text to token ids, without the end token.
        end_token_id: Appended to every reference.
    """

    def __init__(self, tokenize: Callable[[str], list[int]], end_token_id: int) -> None:
        self._tokenize = tokenize
        self._end_token_id = end_token_id

    def sample(
        self,
        contexts: Sequence[Context],
        prompts: Sequence[Prompt],
        group_size: int,  # noqa: ARG002 - there is one reference, whatever the group
        seed: int,  # noqa: ARG002 - and no chance
    ) -> list[Group]:
        """One group of one rollout per context; its log-probabilities are 0, those of a teacher who is certain."""
        return [
            Group(context, (self._reference(context, prompt),))
            for context, prompt in zip(contexts, prompts, strict=True)
        ]

    def load(self, weights: Mapping[str, Tensor], step: int) -> None:
        """A teacher does not change."""

    def _reference(self, context: Context, prompt: Prompt) -> Rollout:
        token_ids = (*self._tokenize(prompt.text), self._end_token_id)
        return Rollout(context.prompt_id, token_ids, (0.0,) * len(token_ids), Ending.STOP)
