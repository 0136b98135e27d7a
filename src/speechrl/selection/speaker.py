"""Makes what a synthesiser said during the probe once more, with sound where a reward listens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechrl.data.prompts import to_prompt
from speechrl.types import Ending, Group, Rollout

if TYPE_CHECKING:
    import torch

    from speechrl.models.base import SpeechModel
    from speechrl.selection.pool import Item
    from speechrl.selection.probe import Heard
    from speechrl.types import Output, Prompt


class Speaker:
    """The encoder and decoder of a synthesiser; the speech tokens are those that the probe has kept.

    Args:
        model: The synthesiser that was probed.
        device: Where sound is made; the model is on the host before and after each call.
    """

    def __init__(self, model: SpeechModel, device: torch.device) -> None:
        self._model = model
        self._device = device

    def __call__(self, item: Item, heard: Heard, *, audio: bool) -> tuple[Prompt, list[Output]]:
        """The prompt of an item, and its samples as a reward sees them.

        Args:
            item: The text and the voice.
            heard: What the probe kept.
            audio: Whether to make sound.

        Raises:
            DataError: The voice cannot be loaded.
        """
        prompt = to_prompt(item.cut, task="tts")
        modules = [module for module in (self._model.encoder, self._model.decoder) if module is not None]
        for module in modules:
            module.to(self._device)
        try:
            (context,) = self._model.encode([prompt])
            end = self._model.language_model.end_token_id
            rollouts = tuple(
                _rollout(prompt.id, tokens, Ending(ending), end)
                for tokens, ending in zip(heard.speech, heard.endings, strict=True)
            )
            (outputs,) = self._model.decode([Group(context, rollouts)], audio=audio)
        finally:
            for module in modules:
                module.to("cpu")
        return prompt, outputs


def _rollout(prompt_id: str, tokens: tuple[int, ...], ending: Ending, end: int) -> Rollout:
    if ending is Ending.LENGTH:
        return Rollout(prompt_id, tokens, (0.0,) * len(tokens), ending)
    return Rollout(prompt_id, (*tokens, end), (0.0,) * (len(tokens) + 1), Ending.STOP)
