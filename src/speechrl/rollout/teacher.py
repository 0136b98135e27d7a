"""References in place of samples: supervised fine-tuning on the same page as reinforcement learning."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import regex

from speechrl.text.normalise import folded
from speechrl.types import Ending, Group, Rollout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import torch
    from torch import Tensor

    from speechrl.types import Context, Prompt

# A number with its marks and the signs beside it, or a word: apostrophes and the two joiners are part of it.
_LETTER = r"[\p{L}\p{M}\p{N}\u200c\u200d]"
_WORD = regex.compile(
    rf"(?<!{_LETTER})[\p{{Sc}}+-]?\p{{Nd}}+(?:[.,:]\p{{Nd}}+)*(?:[%\u2030\u00b0\p{{Sc}}]|{_LETTER}*(?:'{_LETTER}+)*)"
    rf"|{_LETTER}+(?:'{_LETTER}+)*"
)


def spoken_form(text: str, language: str = "en") -> str:
    """The words that are heard, as a recogniser with a lower-case vocabulary writes them.

    NFKC, case folded, without punctuation but for apostrophes inside of words and what makes a number (`$5`, `3.5`,
    `50%`). Capitals and punctuation would be unknown tokens, and supervised training would teach the model to write
    them. Unlike `text.normalise` it keeps `it's` and `four` as they are: that form is for comparing, not for writing.

    Args:
        text: A reference.
        language: ISO 639-1 code; capitals fold differently in Turkish.
    """
    return " ".join(_WORD.findall(folded(text, language)))


def unwritable(
    prompts: Iterable[Prompt], tokenize: Callable[[str], list[int]], unknown_token_id: int | None
) -> tuple[int, list[str]]:
    """How many references hold what a vocabulary has no tokens for, and the words with it, most frequent first.

    Supervised training would teach the model to write the unknown token there.

    Args:
        prompts: Whose references.
        tokenize: As of `TeacherRollouts`.
        unknown_token_id: Of the vocabulary; None where everything can be written.
    """
    count, words = 0, Counter[str]()
    for prompt in prompts if unknown_token_id is not None else ():
        spoken = spoken_form(prompt.text, prompt.language)
        if unknown_token_id in tokenize(spoken):
            count += 1
            words.update(word for word in spoken.split() if unknown_token_id in tokenize(word))
    return count, [word for word, _ in words.most_common()]


class TeacherRollouts:
    """Implements `rollout.base.Rollouts` without a policy: the one completion of a prompt is its reference.

    Args:
        tokenize: Text to token ids, without the end token; it is given the `spoken_form` of references.
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

    def to(self, device: torch.device, /) -> TeacherRollouts:  # noqa: ARG002 - it has nothing to move
        """A teacher is everywhere."""
        return self

    def _reference(self, context: Context, prompt: Prompt) -> Rollout:
        token_ids = (*self._tokenize(spoken_form(prompt.text, prompt.language)), self._end_token_id)
        return Rollout(context.prompt_id, token_ids, (0.0,) * len(token_ids), Ending.STOP)
