"""Decoding from contexts that rows share, against a copy of the context for every row."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from toys import WIDTH, toy_language_model

from speechrl.errors import ModelError
from speechrl.models import decode_attention, kv_cache
from speechrl.models.kv_cache import GrowingLayer, SharingLayer
from speechrl.models.language_model import LanguageModel
from speechrl.models.shared_contexts import make_places


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> LanguageModel:
    """In float32, where equality can be exact to rounding, but attending as in bfloat16 on a CPU."""
    monkeypatch.setattr(decode_attention, "pays_off", lambda _device, _dtype: True)
    monkeypatch.setattr(kv_cache, "pays_off", lambda _device, _dtype: True)
    monkeypatch.setattr(kv_cache, "SHARED_POSITIONS", 4)
    made = toy_language_model()
    decode_attention.use_decode_attention(made.causal_lm)
    return made.eval()


def contexts(lengths: list[int]) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(length, WIDTH, generator=generator) for length in lengths]


@torch.inference_mode()
def decode(
    model: LanguageModel, lengths: list[int], selections: list[list[int]], *, share: bool
) -> list[torch.Tensor]:
    """Logits of every step: three tokens after each selection of rows."""
    prefix = replace(model.prefill(contexts(lengths)), shares=share)
    seen = []
    for rows in selections:
        prefix = prefix.select(torch.tensor(rows), in_place_growth=True)
        kind = SharingLayer if share else GrowingLayer
        assert all(type(layer) is kind for layer in prefix.cache.layers)
        for step in range(20):
            prefix = model.append(prefix, (torch.arange(len(rows)) * 3 + step) % 7 + 1)
            seen.append(prefix.logits_BV)
    return seen


@pytest.mark.parametrize("lengths", [[9], [9, 9, 9], [5, 9, 7]])
def test_it_predicts_what_copies_of_the_context_predict(model: LanguageModel, lengths: list[int]) -> None:
    groups = [context for context in range(len(lengths)) for _ in range(4)]
    some = [0, 2, 3, *range(5, len(groups))]
    last = [2, 1, 1]  # a beam may name a row twice, in any order
    selections = [groups, some, last]
    shared = decode(model, lengths, selections, share=True)
    copied = decode(model, lengths, selections, share=False)
    for actual, expected in zip(shared, copied, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
    assert shared[0].std() > 0.01  # there is something to predict


def test_contexts_that_nobody_continues_are_let_go(model: LanguageModel) -> None:
    with torch.inference_mode():
        prefix = model.prefill(contexts([9, 9, 9])).select(
            torch.tensor([0, 0, 1, 1, 2]), in_place_growth=True
        )
        prefix = prefix.select(torch.tensor([4, 1]), in_place_growth=True)
    layer = prefix.cache.layers[0]
    assert isinstance(layer, SharingLayer)
    assert layer.shared.keys_CHDT.shape[0] == 2
    assert layer.get_seq_length() == 9


def test_short_contexts_and_single_rows_are_copied(model: LanguageModel) -> None:
    with torch.inference_mode():
        short = model.prefill(contexts([3])).select(torch.tensor([0, 0]), in_place_growth=True)
        single = model.prefill(contexts([9, 9])).select(torch.tensor([0, 1]), in_place_growth=True)
    assert {type(layer) for prefix in (short, single) for layer in prefix.cache.layers} == {GrowingLayer}


@torch.inference_mode()
def test_an_attention_that_passes_over_the_context_is_found_out(model: LanguageModel) -> None:
    prefix = model.prefill(contexts([9])).select(torch.tensor([0, 0]), in_place_growth=True)
    layer = prefix.cache.layers[0]
    key = torch.zeros(2, *layer.keys.shape[1:2], 1, layer.keys.shape[3])
    layer.update(key, key)
    with pytest.raises(ModelError, match="passes over shared contexts"):
        layer.update(key, key)


def test_layers_go_when_nobody_uses_them(model: LanguageModel) -> None:
    gc.disable()
    try:
        with torch.inference_mode():
            prefix = model.prefill(contexts([9])).select(torch.tensor([0, 0]), in_place_growth=True)
            prefix = model.append(prefix, torch.tensor([1, 2]))
            dropped = weakref.ref(prefix.cache.layers[0])
            prefix = prefix.select(torch.tensor([1]), in_place_growth=True)
        assert dropped() is None
    finally:
        gc.enable()


def test_every_row_has_a_place_beside_those_of_its_context() -> None:
    context_N = torch.tensor([2, 0, 2, 1, 2])
    places = make_places(context_N, 3)
    of_NHQX = torch.arange(5.0)[:, None, None, None].expand(5, 2, 1, 3)
    table = places.by_context(of_NHQX)
    assert table.shape == (3, 2, 3, 3)
    assert table[2, 0, :, 0].tolist() == [0.0, 2.0, 4.0]
    assert torch.equal(places.by_row(table), of_NHQX)
