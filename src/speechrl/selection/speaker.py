"""What a synthesiser said during the probe, once more, with sound where a reward listens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from speechrl.data.prompts import to_prompt, without_audio
from speechrl.types import Ending, Group, Output, Rollout

if TYPE_CHECKING:
    import torch

    from speechrl.models.base import SpeechModel
    from speechrl.rewards.base import RewardMixer
    from speechrl.selection.pool import Item
    from speechrl.selection.probe import Heard
    from speechrl.types import Prompt


class Speaker:
    """The encoder and decoder of a synthesiser; the speech tokens are those that the probe has kept.

    `with` brings the model back to the host.

    Args:
        model: The synthesiser that was probed.
        device: Where sound is made.
    """

    def __init__(self, model: SpeechModel, device: torch.device) -> None:
        self._model = model
        self._device = device
        self._modules = [module for module in (model.encoder, model.decoder) if module is not None]

    def __call__(self, item: Item, heard: Heard, rewards: RewardMixer) -> tuple[Prompt, list[Output]]:
        """The prompt of an item and its samples, with as much sound as the rewards need.

        Raises:
            DataError: The voice cannot be loaded.
        """
        prompt = (
            to_prompt(item.cut, task="tts")
            if rewards.hears or rewards.hears_prompt
            else without_audio(item.cut, "tts")
        )
        spoken = [
            (tuple(map(int, tokens.split())), Ending(ending))
            for tokens, ending in zip(heard.speech, heard.endings, strict=True)
        ]
        if not rewards.hears:
            return prompt, [Output("", ending, len(ids), ids) for ids, ending in spoken]
        for module in self._modules:
            module.to(self._device)
        (context,) = self._model.encode([prompt])
        end = self._model.language_model.end_token_id
        rollouts = tuple(_rollout(prompt.id, ids, ending, end) for ids, ending in spoken)
        (outputs,) = self._model.decode([Group(context, rollouts)])
        return prompt, outputs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for module in self._modules:
            module.to("cpu")


def _rollout(prompt_id: str, ids: tuple[int, ...], ending: Ending, end: int) -> Rollout:
    if ending is Ending.LENGTH:
        return Rollout(prompt_id, ids, (0.0,) * len(ids), ending)
    return Rollout(prompt_id, (*ids, end), (0.0,) * (len(ids) + 1), Ending.STOP)
