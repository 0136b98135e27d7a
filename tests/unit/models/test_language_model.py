"""Prefill and extend against the naive way: one context and one completion at a time, without a cache."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from speechrl.errors import ModelError
from speechrl.models.language_model import LanguageModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

VOCABULARY, WIDTH, END = 23, 16, 1
TOKENS = {"bos_token_id": 0, "eos_token_id": END, "pad_token_id": None}
TINY: dict[str, Any] = TOKENS | {
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
GROUPED: dict[str, Any] = TINY | {"num_key_value_heads": 2, "head_dim": 8}
WINDOWS = {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}

LENGTHS = (7, 1, 12)
COMPLETIONS = (((3, 4, 5, END), (7,)), ((9, END), (2, 2, 2, 2, 2, 2, 2, END), (END,)), ((6, 5, 4, 3, 2, 1),))


def build(name: str) -> LanguageModel:
    torch.manual_seed(0)
    models = {
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**GROUPED, tie_word_embeddings=True)),
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**GROUPED)),
        "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**TINY)),
        "gemma3_sliding_window": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**GROUPED, **WINDOWS)),
        "gpt2_learned_positions": lambda: GPT2LMHeadModel(
            GPT2Config(**TOKENS, vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=2, n_head=4)
        ),
        "qwen3_lora": lambda: get_peft_model(
            Qwen3ForCausalLM(Qwen3Config(**GROUPED)),
            LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False),
        ),
    }
    causal_lm = models[name]().eval()
    generator = torch.Generator().manual_seed(1)
    for weight in causal_lm.parameters():
        if weight.ndim > 1:  # the usual initialisation is too small to tell a right mask from a wrong one
            weight.data.normal_(std=0.2, generator=generator)
    return LanguageModel(causal_lm, END)


NAMES = ("qwen3", "llama", "gpt_neox", "gemma3_sliding_window", "gpt2_learned_positions", "qwen3_lora")


def contexts(lengths: Sequence[int] = LENGTHS) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(length, WIDTH, generator=generator).requires_grad_() for length in lengths]


def naive_logits(model: LanguageModel, context: Tensor, tokens: Sequence[int]) -> Tensor:
    inputs = torch.cat([context, model.embed(torch.tensor(tokens[:-1], dtype=torch.long))])
    logits: Tensor = model.causal_lm(inputs_embeds=inputs[None], use_cache=False).logits
    return logits[0, len(context) - 1 :]


def gradients(loss: Tensor, model: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    wanted = [*inputs, *(weight for weight in model.parameters() if weight.requires_grad)]
    found = torch.autograd.grad(loss, wanted, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for x, g in zip(wanted, found, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_score_equals_the_naive_repeat_in_value_and_gradient(name: str) -> None:
    model, prompts = build(name), contexts()
    scores = model.score(prompts, COMPLETIONS, keep_logits=True)
    flat = [(prompt, tokens) for prompt, group in zip(prompts, COMPLETIONS, strict=True) for tokens in group]
    # A random weight per token, so that no gradient cancels another.
    weight_NL = torch.rand(scores.mask_NL.shape, generator=torch.Generator().manual_seed(3))
    expected = torch.zeros(())
    for row, (prompt, tokens) in enumerate(flat):
        logits = naive_logits(model, prompt, tokens)
        logprobs = logits.log_softmax(-1)
        chosen = logprobs.gather(-1, torch.tensor(tokens)[:, None])[:, 0]
        expected = expected + (chosen * weight_NL[row, : len(tokens)]).sum()
        assert scores.mask_NL[row].tolist() == [1.0] * len(tokens) + [0.0] * (8 - len(tokens))
        torch.testing.assert_close(scores.logprobs_NL[row, : len(tokens)], chosen, rtol=0, atol=1e-5)
        assert scores.logprobs_NL[row, len(tokens) :].abs().sum() == 0
        torch.testing.assert_close(scores.logits_NLV[row, : len(tokens)], logits, rtol=0, atol=1e-5)
        entropy = -(logprobs.exp() * logprobs).sum(-1)
        torch.testing.assert_close(scores.entropy_NL[row, : len(tokens)], entropy, rtol=0, atol=1e-5)
    assert not scores.entropy_NL.requires_grad
    actual = gradients((scores.logprobs_NL * weight_NL).sum(), model, prompts)
    for ours, theirs in zip(actual, gradients(expected, model, prompts), strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max().clamp_min(1.0)
    assert all(gradient.abs().max() > 0 for gradient in actual[: len(prompts)])


@pytest.mark.parametrize("name", ["qwen3", "gemma3_sliding_window"])
def test_logits_that_are_kept_have_the_naive_gradient(name: str) -> None:
    model, prompts = build(name), contexts()
    logits_NLV = model.extend(model.prefill(prompts), COMPLETIONS)
    ours = (logits_NLV[0, :4] ** 2).sum() + (logits_NLV[5, :6] ** 2).sum()
    theirs = (naive_logits(model, prompts[0], COMPLETIONS[0][0]) ** 2).sum()
    theirs = theirs + (naive_logits(model, prompts[2], COMPLETIONS[2][0]) ** 2).sum()
    for a, b in zip(gradients(ours, model, prompts), gradients(theirs, model, prompts), strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max().clamp_min(1.0)


def test_a_prefix_can_be_extended_again_and_some_contexts_may_have_no_completion() -> None:
    model, prompts = build("gemma3_sliding_window"), contexts()
    with torch.no_grad():
        prefix = model.prefill(prompts)
        first = model.extend(prefix, COMPLETIONS)
        again = model.extend(prefix, COMPLETIONS)
        only_last = model.extend(prefix, ((), (), COMPLETIONS[2]))
    assert torch.equal(first, again)
    torch.testing.assert_close(only_last[0, :6], first[5, :6], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("in_place_growth", [False, True])
def test_append_predicts_what_extend_predicts(name: str, in_place_growth: bool) -> None:
    model, tokens = build(name), [4, 5, 6] * 15  # longer than the first room of the storage
    with torch.no_grad():
        prefix = model.prefill(contexts())
        expected = model.extend(prefix, [[[*tokens, END]]] * 3)
        rows = prefix.select(torch.tensor([2, 0, 1, 0]), in_place_growth=in_place_growth)
        order = [2, 0, 1, 0]
        for position, token in enumerate(tokens):
            torch.testing.assert_close(rows.logits_BV, expected[order, position], rtol=0, atol=2e-5)
            rows = model.append(rows, torch.full((4,), token))
            if position == 20:  # drop a row, swap others, repeat one
                order, rows = (
                    [1, 2, 1, 0],
                    rows.select(torch.tensor([2, 0, 2, 1]), in_place_growth=in_place_growth),
                )
    torch.testing.assert_close(rows.logits_BV, expected[order, -1], rtol=0, atol=2e-5)


def test_bf16_autocast_still_gives_float32_logprobs() -> None:
    model = build("qwen3")
    exact = model.score(contexts(), COMPLETIONS)
    with torch.autocast("cpu", torch.bfloat16):
        scores = model.score(contexts(), COMPLETIONS)
    assert scores.logprobs_NL.dtype == scores.entropy_NL.dtype == torch.float32
    gap = (scores.logprobs_NL - exact.logprobs_NL).abs()
    assert 0 < gap.max() < 0.2
    # 8 bits of mantissa would leave multiples of 2^-7 or coarser at this size.
    assert (scores.logprobs_NL * 256 % 1).count_nonzero() > 10


def test_lora_learns_and_the_rest_stays_frozen() -> None:
    model = build("qwen3_lora")
    model.score(contexts(), COMPLETIONS).logprobs_NL.sum().backward()
    trained = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert trained
    assert all("lora_" in name for name in trained)


def test_a_copy_shares_nothing() -> None:
    model = build("qwen3")
    twin = copy.deepcopy(model)
    next(twin.parameters()).data.zero_()
    assert next(model.parameters()).abs().sum() > 0


def test_refusals_name_the_reason() -> None:
    model = build("qwen3")
    with pytest.raises(ModelError, match=r"context 1 has shape \(0, 16\)"):
        model.prefill([torch.zeros(2, WIDTH), torch.zeros(0, WIDTH)])
    with pytest.raises(ModelError, match=r"\(positions >= 1, 16\)"):
        model.prefill([torch.zeros(2, 5)])
    with pytest.raises(ModelError, match="1 groups of completions for 2 contexts"):
        model.score(contexts((2, 3)), [[[END]]])
    with pytest.raises(ModelError, match="no completion"):
        model.score(contexts((2, 3)), [[], []])
    with pytest.raises(ModelError, match="end_token_id 99"):
        LanguageModel(model.causal_lm, 99)


def test_a_table_of_positions_ends_with_a_word_and_not_with_an_index() -> None:
    config = GPT2Config(**TOKENS, vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=2, n_head=4, n_positions=16)
    model = LanguageModel(GPT2LMHeadModel(config).eval(), END)
    assert model.score(contexts((12,)), [[(3, 4, 5, END)]]).logprobs_NL.isfinite().all()
    with pytest.raises(ModelError, match="a table of 16 positions, and position 16 is to be read"):
        model.score(contexts((12,)), [[(3, 4, 5, 6, 7, END)]])
    with pytest.raises(ModelError, match="max_new_tokens"):
        model.prefill(contexts((17,)))


def test_a_model_without_attention_is_refused() -> None:
    config = MambaConfig(vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=1, state_size=4)
    model = LanguageModel(MambaForCausalLM(config).eval(), END)
    with pytest.raises(ModelError, match="keeps no attention cache"):
        model.prefill(contexts((4,)))


def test_activation_checkpointing_is_refused_not_wrong() -> None:
    model = build("qwen3").train()
    model.causal_lm.activation_checkpointing_enable()
    with pytest.raises(ModelError, match="activation checkpointing"):
        model.score(contexts(), COMPLETIONS)
