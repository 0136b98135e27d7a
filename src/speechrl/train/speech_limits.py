"""Whether a run leaves every text the speech tokens that it takes: a rollout that is cut does not say why."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from speechrl.data.fit import Unfit, listed
from speechrl.data.prompts import without_audio
from speechrl.errors import DataError
from speechrl.models.base import Fault
from speechrl.rollout.torch_engine import SPARE_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lhotse.cut import Cut

    from speechrl.config.schema import RunConfig
    from speechrl.models.base import SpeechModel
    from speechrl.types import Prompt

ROOM = 1.5
"""What a message proposes: that many times the usual tokens, since no sample keeps to the usual pace."""


def refuse_cut_short(
    model: SpeechModel,
    cuts: Iterable[Cut],
    manifests: Sequence[str],
    sets: Mapping[str, Sequence[Prompt]],
    config: RunConfig,
) -> None:
    """See that a synthesiser can speak all texts within the token limits, at the pace of its own training.

    A model that does not say its `tokens_per_character` is not asked.

    Args:
        model: What speaks.
        cuts: What is trained on.
        manifests: `cuts` are from these.
        sets: Held-out prompts by name.
        config: Has the limits, and the manifests of `sets`.

    Raises:
        DataError: Some take more; the longest are named with the option that cuts them, and all are counted.
    """
    pace: float | None = getattr(model, "tokens_per_character", None)
    if pace is None:
        return
    rollout, evaluation = config.rollout, config.evaluation
    per_character = rollout.tokens_per_character or math.inf
    found = []
    for cut in cuts:
        characters = len(without_audio(cut, "tts").text)
        if (fault := _fault(characters, pace, "rollout", rollout.max_new_tokens, per_character)) is not None:
            found.append((characters, Unfit(cut.id, fault, tuple(manifests))))
    for name, prompts in sets.items():
        for prompt in prompts:
            characters = len(prompt.text)
            if (fault := _fault(characters, pace, "evaluation", evaluation.max_new_tokens)) is not None:
                found.append((characters, Unfit(prompt.id, fault, (evaluation.sets[name],))))
    if found:
        longest = [unfit for _, unfit in sorted(found, key=lambda one: -one[0])]
        many = "1 text takes" if len(found) == 1 else f"{len(found)} texts take"
        raise DataError(
            f"{many} more speech tokens than the run allows, at about {pace:.2f} tokens a character, so that their "
            f"speech would be cut:\n{listed(longest)}"
        )


def _fault(
    characters: int, pace: float, section: str, most: int, per_character: float = math.inf
) -> Fault | None:
    """Why the limits of a section cut a text of so many characters, or None."""
    needed = pace * characters
    if needed > per_character * characters + SPARE_TOKENS:
        return Fault(
            "text",
            f"{characters} characters take about {needed:.0f} tokens, and {section}.tokens_per_character is "
            f"{per_character:g}",
            f"raise it ({ROOM * pace:.1f} leaves room), or set it to 0",
        )
    if needed > most:
        return Fault(
            "text",
            f"{characters} characters take about {needed:.0f} tokens, and {section}.max_new_tokens is {most}",
            f"raise it ({math.ceil(ROOM * needed)} leaves room), or split the text",
        )
    return None
