"""Adapters on every kind of linear layer that transformers has, and only on those."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from speechrl.errors import ModelError
from speechrl.train.lora import add_adapters, merge_adapters, merged_state

VOCABULARY = 23
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
}
MODELS = {
    "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SMALL, tie_word_embeddings=True)),
    "gpt2": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, n_embd=16, n_layer=2, n_head=4)),
    "qwen3_moe": lambda: Qwen3MoeForCausalLM(
        Qwen3MoeConfig(**SMALL, moe_intermediate_size=12, num_experts=4, num_experts_per_tok=2)
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_merged_weights_compute_what_adapters_do(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    plain = MODELS[name]().eval()
    add_adapters(model, 2)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert learned
    with torch.no_grad():
        for parameter in learned:
            parameter.normal_(std=0.2)
    ids = torch.tensor([[1, 5, 7, 2]])
    adapted = model(ids).logits
    plain.load_state_dict(merged_state(model))
    torch.testing.assert_close(plain(ids).logits, adapted)
    merge_adapters(model)
    assert not any("lora_" in key for key in model.state_dict())
    torch.testing.assert_close(model(ids).logits, adapted)


def test_neither_the_head_nor_a_router_has_an_adapter() -> None:
    model = MODELS["qwen3_moe"]()
    add_adapters(model, 2)
    adapted = {name.partition(".lora_A")[0] for name, _ in model.named_parameters() if ".lora_A" in name}
    assert {name.rpartition(".")[2] for name in adapted} == {"q_proj", "k_proj", "v_proj", "o_proj"}


def test_nothing_to_adapt_is_told() -> None:
    with pytest.raises(ModelError, match=r"no linear layers .* model\.lora_rank to 0"):
        add_adapters(nn.Sequential(nn.Embedding(3, 4), nn.LayerNorm(4)), 2)
