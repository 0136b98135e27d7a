"""The decoding attention against the one that transformers uses."""

from __future__ import annotations

import pytest
import torch
from toys import toy_language_model
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from speechrl.models.decode_attention import NAME, decode_attention, use_decode_attention


class Layer(torch.nn.Module):
    num_key_value_groups = 3
    is_causal = True


@pytest.mark.parametrize("queries", [1, 4])
@pytest.mark.parametrize("scaling", [None, 0.5])
@pytest.mark.parametrize("padding", [0, 3])
def test_it_equals_scaled_dot_product_attention(queries: int, scaling: float | None, padding: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(5, 6, queries, 8, generator=generator)
    key, value = (torch.randn(5, 2, 9, 8, generator=generator) for _ in range(2))
    mask = None
    if padding or queries > 1:
        mask = torch.ones(queries, 9, dtype=torch.bool).tril(9 - queries).repeat(5, 1, 1, 1)
        mask[2, ..., :padding] = False
    actual, _ = decode_attention(Layer(), query, key, value, mask, scaling=scaling)
    expected, _ = sdpa_attention_forward(Layer(), query, key, value, mask, scaling=scaling)
    torch.testing.assert_close(actual, expected)


def test_only_models_that_gain_are_switched() -> None:
    model = toy_language_model().causal_lm
    use_decode_attention(model)
    assert model.config._attn_implementation == "sdpa"
    model.to(torch.bfloat16)
    use_decode_attention(model)
    assert model.config._attn_implementation == NAME
