"""Contexts that are remembered: encoded once, each on its own, told apart by what the encoder sees."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from toys import WIDTH, ToyRecogniser

from speechrl.models.encode_once import EncodeOnce
from speechrl.types import Context, Prompt

if TYPE_CHECKING:
    from collections.abc import Sequence


class Counting(ToyRecogniser):
    """Its contexts show their neighbours in the batch, as rounding does in a real encoder."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[list[str]] = []

    def encode(self, prompts: Sequence[Prompt]) -> list[Context]:
        self.batches.append([prompt.id for prompt in prompts])
        return [Context(prompt.id, torch.full((2, WIDTH), float(len(prompts)))) for prompt in prompts]


def prompt(name: str, level: float = 0.0, text: str = "one") -> Prompt:
    return Prompt(name, "asr", text, audio=np.full(4, level, np.float32))


def encoded(model: Counting) -> list[str]:
    return [name for batch in model.batches for name in batch]


def test_an_item_is_encoded_once_and_keeps_its_place() -> None:
    model = Counting()
    once = EncodeOnce(model)
    first = once.encode([prompt("a"), prompt("b"), prompt("a")])
    second = once.encode([prompt("b"), prompt("c"), prompt("a")])
    assert [context.prompt_id for context in first] == ["a", "b", "a"]
    assert [context.prompt_id for context in second] == ["b", "c", "a"]
    assert second[0] is first[1]
    assert encoded(model) == ["a", "b", "c"]


def test_a_context_does_not_depend_on_what_was_encoded_before() -> None:
    """Else a resumed run, whose memory is empty, would not repeat the rounding of an uninterrupted one."""
    warm, cold = EncodeOnce(Counting()), EncodeOnce(Counting())
    warm.encode([prompt("a"), prompt("b"), prompt("c")])
    (remembered, _), (anew, _) = (once.encode([prompt("a"), prompt("d")]) for once in (warm, cold))
    assert torch.equal(remembered.embeddings_TD, anew.embeddings_TD)


def test_other_audio_under_the_same_id_is_another_item_and_so_is_other_text_to_speak() -> None:
    model = Counting()
    once = EncodeOnce(model)
    once.encode([prompt("a"), prompt("a", level=0.5), prompt("a", text="a corrected label")])
    assert encoded(model) == ["a", "a"]
    spoken = [replace(prompt("a", text=text), task="tts") for text in ("one", "two")]
    once.encode(spoken)
    assert encoded(model) == ["a", "a", "a", "a"]


def test_beyond_its_memory_it_encodes_each_time() -> None:
    model = Counting()
    once = EncodeOnce(model, max_bytes=2 * WIDTH * 4)
    for _ in range(2):
        once.encode([prompt("a"), prompt("b")])
    assert encoded(model) == ["a", "b", "b"]
    assert once.encoder_for([prompt("a")]) is None
    assert once.encoder_for([prompt("b")]) is model.encoder


def test_the_encoder_is_wanted_on_the_device_for_new_items_only() -> None:
    model = Counting()
    once = EncodeOnce(model)
    assert once.encoder_for([prompt("a")]) is model.encoder
    once.encode([prompt("a"), prompt("b")])
    assert once.encoder_for([prompt("b"), prompt("a")]) is None
    assert once.encoder_for([prompt("b"), prompt("c")]) is model.encoder
    assert once.encoder_for([prompt("a", level=0.5)]) is model.encoder


def test_everything_that_a_context_holds_counts_against_the_memory() -> None:
    class Speaking(Counting):
        def encode(self, prompts: Sequence[Prompt]) -> list[Context]:
            plain = super().encode(prompts)
            return [replace(one, positions_T=torch.zeros(2), voice_D=torch.zeros(256)) for one in plain]

    model = Speaking()
    once = EncodeOnce(model, max_bytes=4 * (2 * WIDTH + 2 + 256) - 1)
    once.encode([prompt("a")])
    assert once.encoder_for([prompt("a")]) is model.encoder
