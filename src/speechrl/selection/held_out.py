"""What must never be trained on: the utterances of test sets, told by id, by text and by sound."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from speechrl.data.derive import read_set
from speechrl.data.manifests import UNNAMED
from speechrl.data.prompts import to_prompt, without_audio
from speechrl.selection.pool import audio_digest
from speechrl.text.overlap import HeldOutTexts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lhotse.cut import Cut

    from speechrl.selection.utterances import Utterance
    from speechrl.types import Task


class HeldOut:
    """Tells which utterances say, or are, something of the held-out manifests.

    Args:
        manifests: Manifests or sets derived from them.
        task: What the selection is for. Where it is to speak, audio is a voice, which test and training may share;
            else it is read and compared.

    Raises:
        DataError: One cannot be read.
    """

    def __init__(self, manifests: Sequence[str], task: Task = "asr") -> None:
        self._ids: set[str] = set()
        self._sounds: set[str] = set()
        texts = []
        for cut in (cut for name in manifests for cut in read_set(name)):
            # One after the other: a test set may be hours long.
            prompt = without_audio(cut, task) if task == "tts" else to_prompt(cut)
            if _has_own_id(cut):
                self._ids.add(prompt.id)
            if prompt.audio is not None:
                self._sounds.add(audio_digest(prompt.audio))
            texts.append((prompt.text, prompt.language))
        self._texts = HeldOutTexts(texts)

    def reason(self, one: Utterance) -> str | None:
        """`held_out_id`, `held_out_audio`, `held_out_text`, or None; label, reference and consensus count."""
        if one.id in self._ids:
            return "held_out_id"
        if one.audio in self._sounds:
            return "held_out_audio"
        texts = {text for text in (one.label, one.reference, one.consensus) if text}
        if any(self._texts.find(text, one.language) for text in sorted(texts)):
            return "held_out_text"
        return None


def _has_own_id(cut: Cut) -> bool:
    """Whether its manifest gave the id; one that was made up, of a row or of a derived item, says nothing."""
    custom: dict[str, Any] = next((said.custom for said in cut.supervisions if said.custom), {})
    return not custom.get(UNNAMED) and "made" not in custom
