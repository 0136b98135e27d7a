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
    from speechrl.types import Prompt, Task

_JOINED = ("long", "repeated")
"""Derived items whose text is made of whole texts."""


class HeldOut:
    """Tells which utterances say, or are, something of the held-out manifests, or are made of such.

    Args:
        manifests: Manifests or sets derived from them; rows need no text.
        task: What the selection is for. Where it is to speak, audio is a voice, which test and training may share;
            else it is read and compared.
        language: Of rows that do not say theirs.

    Raises:
        DataError: One cannot be read.
    """

    def __init__(self, manifests: Sequence[str], task: Task = "asr", language: str = "en") -> None:
        self._task: Task = task
        self._ids: set[str] = set()
        self._sounds: set[str] = set()
        texts = []
        for cut in (cut for name in manifests for cut in read_set(name, language=language, labelled=False)):
            # One after the other: a test set may be hours long.
            prompt = self._prompt(cut)
            if _has_own_id(cut):
                self._ids.add(prompt.id)
            if prompt.audio is not None:
                self._sounds.add(audio_digest(prompt.audio))
            texts.append((prompt.text, prompt.language))
        self._texts = HeldOutTexts(texts)
        self._any = bool(texts)

    def reason(self, one: Utterance, cut: Cut) -> str | None:
        """Why an utterance may not be chosen, or None.

        Returns:
            `held_out_id`, `held_out_audio`, `held_out_text` (the manifest's, the reference and the consensus count), or
            `held_out_part`: it was made, earlier, of a recording that is held out.
        """
        texts = {text for text in (without_audio(cut).text, one.reference, one.consensus) if text}
        return self._reason(cut, one.audio, texts, one.language)

    def refuses(self, cut: Cut) -> bool:
        """Whether nothing may be made of a row; its audio is read."""
        if not self._any:
            return False
        prompt = self._prompt(cut)
        sound = "" if prompt.audio is None else audio_digest(prompt.audio)
        return self._reason(cut, sound, {prompt.text}, prompt.language) is not None

    def _reason(self, cut: Cut, sound: str, texts: set[str], language: str) -> str | None:
        made = _made(cut)
        if cut.id in self._ids:
            return "held_out_id"
        if sound in self._sounds:
            return "held_out_audio"
        if self._ids.intersection([*made.get("of", ()), *made.get("voices", ())]):
            return "held_out_part"
        joined = made.get("kind") in _JOINED
        if any(self._texts.find(text, language, joined=joined) for text in sorted(texts)):
            return "held_out_text"
        return None

    def _prompt(self, cut: Cut) -> Prompt:
        return without_audio(cut, self._task) if self._task == "tts" else to_prompt(cut)


def held_out_rows(
    manifests: Sequence[str], held_out: HeldOut, language: str = "en"
) -> dict[str, frozenset[str]]:
    """The rows of which nothing may be made, by manifest: of those of which a set is derived (`MANIFEST#long`).

    What is made of a row has another sound, another id, and often another text than the row.

    Raises:
        DataError: A manifest cannot be read.
    """
    sources = dict.fromkeys(name.partition("#")[0] for name in manifests if "#" in name)
    return {
        source: frozenset(
            cut.id for cut in read_set(source, language=language, labelled=False) if held_out.refuses(cut)
        )
        for source in sources
    }


def _has_own_id(cut: Cut) -> bool:
    """Whether its manifest gave the id; one that was made up, of a row or of a derived item, says nothing."""
    custom: dict[str, Any] = next((said.custom for said in cut.supervisions if said.custom), {})
    return not custom.get(UNNAMED) and "made" not in custom


def _made(cut: Cut) -> dict[str, Any]:
    """How an item was made of others, if it was."""
    found = next(
        (said.custom["made"] for said in cut.supervisions if said.custom and "made" in said.custom), None
    )
    return found if isinstance(found, dict) else {}
