"""What training data and held-out sets have in common: on such rows an evaluation measures memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechrl.data.prompts import without_audio
from speechrl.text.normalise import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lhotse.cut import Cut

    from speechrl.types import Prompt


def shared_rows(cuts: Iterable[Cut], sets: Mapping[str, Sequence[Prompt]]) -> dict[str, int]:
    """How many rows of each held-out set say, word for word, what a training row says; sets without any are left out.

    Texts are compared in their plain form, whatever their language. Silence says nothing. `text.overlap.HeldOutTexts`
    also finds near copies, and takes longer: `speechrl data select --never` uses it.

    Args:
        cuts: What is trained on.
        sets: Name -> prompts.
    """
    trained = {plain(without_audio(cut).text) for cut in cuts} - {""}
    counts = {
        name: sum(plain(prompt.text) in trained for prompt in prompts) for name, prompts in sets.items()
    }
    return {name: count for name, count in counts.items() if count}
