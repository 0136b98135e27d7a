"""The engine against the language model: same tokens, same probabilities, typed endings, no influence of neighbours."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from toys import END, WIDTH, context, toy_language_model

from speechrl.errors import ModelError, TrainingError
from speechrl.models.language_model import LanguageModel
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.torch_engine import SPARE_TOKENS, TorchEngine
from speechrl.types import Context, Ending, Group, Prompt


def make(count: int, duration_s: float = 1.0) -> tuple[list[Context], list[Prompt]]:
    names = [f"utterance {index}" for index in range(count)]
    audio = np.zeros(round(duration_s * 16_000), np.float32)
    return (
        [Context(name, context(name)) for name in names],
        [Prompt(name, "asr", "one", audio=audio) for name in names],
    )


def engine(
    model: LanguageModel | None = None,
    dtype: torch.dtype = torch.float32,
    tokens_per_second: float = 0.0,
    **params: float,
) -> TorchEngine:
    options = SamplingParams(**({"max_new_tokens": 24} | params))  # type: ignore[arg-type]
    return TorchEngine(model or toy_language_model(), options, "cpu", dtype, tokens_per_second)


def gaps(model: LanguageModel, groups: list[Group]) -> torch.Tensor:
    with torch.no_grad():
        scores = model.eval().score(
            [group.context.embeddings_TD for group in groups],
            [[rollout.token_ids for rollout in group.rollouts] for group in groups],
        )
    behaviour = [torch.tensor(rollout.logprobs) for group in groups for rollout in group.rollouts]
    behaviour_NL = torch.nn.utils.rnn.pad_sequence(behaviour, batch_first=True)
    return (behaviour_NL - scores.logprobs_NL).abs()[scores.mask_NL.bool()]


def sharpen(model: LanguageModel, factor: float = 12.0) -> LanguageModel:
    """Random weights predict nearly uniform tokens; larger ones have an opinion."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(factor)
    return model


@pytest.mark.parametrize("options", [{}, {"temperature": 0.6}, {"top_k": 3}, {"top_p": 0.7}])
def test_logprobs_are_those_of_the_policy_at_temperature_1(options: dict[str, float]) -> None:
    model = sharpen(toy_language_model())
    contexts, prompts = make(5)
    groups = engine(model, **options).sample(contexts, prompts, 6, seed=1)
    difference = gaps(model, groups)
    assert difference.mean() < 1e-5
    assert difference.max() < 1e-4


def test_bf16_logprobs_stay_near_the_policy() -> None:
    model = sharpen(toy_language_model(), 6.0)
    contexts, prompts = make(5)
    difference = gaps(model, engine(model, torch.bfloat16).sample(contexts, prompts, 6, seed=1))
    assert 1e-4 < difference.mean() < 0.03


def test_endings_are_typed_and_the_end_token_is_kept() -> None:
    contexts, prompts = make(6)
    rollouts = [r for g in engine(max_new_tokens=9).sample(contexts, prompts, 8, seed=3) for r in g.rollouts]
    assert {rollout.ending for rollout in rollouts} == {Ending.STOP, Ending.LENGTH}
    for rollout in rollouts:
        assert len(rollout.token_ids) == len(rollout.logprobs)
        assert END not in rollout.token_ids[:-1]
        assert (rollout.token_ids[-1] == END) == (rollout.ending is Ending.STOP)
        assert (len(rollout.token_ids) == 9) or rollout.ending is Ending.STOP
        assert all(-math.inf < logprob <= 0 for logprob in rollout.logprobs)


def test_the_same_seed_repeats_and_another_does_not() -> None:
    contexts, prompts = make(3)
    sampler = engine()
    assert sampler.sample(contexts, prompts, 4, 7) == sampler.sample(contexts, prompts, 4, 7)
    first, other = (sampler.sample(contexts, prompts, 4, seed)[0].rollouts for seed in (7, 8))
    assert [r.token_ids for r in first] != [r.token_ids for r in other]


def test_neither_group_size_nor_neighbours_change_a_rollout() -> None:
    contexts, prompts = make(6)
    sampler = engine(sharpen(toy_language_model(), 4.0))
    whole = sampler.sample(contexts, prompts, 8, 5)
    part = sampler.sample(contexts[:2], prompts[:2], 3, 5)
    for few, many in zip(part, whole, strict=False):
        assert [r.token_ids for r in few.rollouts] == [r.token_ids for r in many.rollouts[:3]]
        for a, b in zip(few.rollouts, many.rollouts, strict=False):
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-5)


def test_duration_limits_the_tokens_of_each_prompt() -> None:
    (one, two), (short, _) = make(2)
    long = Prompt("long", "asr", "one", audio=np.zeros(16_000 * 4, np.float32))
    never_ends = toy_language_model()
    never_ends.end_token_id = 10**6
    groups = engine(never_ends, tokens_per_second=2.5).sample([one, two], [short, long], 2, 1)
    assert [len(r.token_ids) for g in groups for r in g.rollouts] == [3 + SPARE_TOKENS] * 2 + [
        10 + SPARE_TOKENS
    ] * 2
    assert {r.ending for g in groups for r in g.rollouts} == {Ending.LENGTH}
    capped = engine(never_ends, tokens_per_second=2.5, max_new_tokens=5).sample([one], [long], 1, 1)
    assert len(capped[0].rollouts[0].token_ids) == 5


def test_greedy_takes_the_best_token_every_time() -> None:
    model = sharpen(toy_language_model())
    contexts, _ = make(4)
    rollouts = engine(model).greedy(contexts, 12)
    assert [rollout.prompt_id for rollout in rollouts] == [item.prompt_id for item in contexts]
    for item, rollout in zip(contexts, rollouts, strict=True):
        with torch.no_grad():
            logits = model.eval().extend(model.prefill([item.embeddings_TD]), [[rollout.token_ids]])
        assert logits[0].argmax(-1).tolist() == list(rollout.token_ids)
    assert engine(model).greedy([], 12) == []


def test_the_engine_has_weights_of_its_own_until_load() -> None:
    model = toy_language_model()
    contexts, prompts = make(2)
    sampler = engine(model)
    before = sampler.sample(contexts, prompts, 4, 1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 0.3)
    assert sampler.sample(contexts, prompts, 4, 1) == before
    assert gaps(model, before).mean() > 0.1
    sampler.load(model.state_dict(), step=4)
    assert sampler.step == 4
    after = sampler.sample(contexts, prompts, 4, 1)
    assert gaps(model, after).mean() < 1e-5
    assert model.causal_lm.config._attn_implementation == "sdpa"


def test_weights_that_do_not_fit_are_refused() -> None:
    model = toy_language_model()
    sampler, weights = engine(model), dict(model.state_dict())
    with pytest.raises(ModelError, match="unknown \\['extra'\\]"):
        sampler.load(weights | {"extra": torch.zeros(1)}, 1)
    name = "causal_lm.model.norm.weight"
    with pytest.raises(ModelError, match=rf"shape \(3,\).*\({WIDTH},\)"):
        sampler.load(weights | {name: torch.zeros(3)}, 1)
    del weights[name]
    with pytest.raises(ModelError, match=f"missing \\['{name}'\\]"):
        sampler.load(weights, 1)


def test_dropout_is_off_although_the_policy_trains() -> None:
    contexts, prompts = make(2)
    sampler = engine(toy_language_model().train())  # attention dropout 0.1
    assert gaps(toy_language_model(), sampler.sample(contexts, prompts, 4, 1)).mean() < 1e-5


def test_bf16_leaves_the_tables_of_positions_exact() -> None:
    """Rounded rotary frequencies turn by radians at the far end of long audio; the learner's are float32."""
    sampler = engine(dtype=torch.bfloat16)
    buffers, own = dict(toy_language_model().named_buffers()), dict(sampler._model.named_buffers())
    assert buffers
    for name, value in buffers.items():
        assert torch.equal(own[name], value), name
    assert {weight.dtype for weight in sampler._model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_moves_with_its_dtype_and_attends_as_the_device_likes(dtype: torch.dtype) -> None:
    sampler = engine(dtype=dtype)
    here = sampler._model.causal_lm.config._attn_implementation
    assert sampler.to(torch.device("meta")) is sampler
    assert sampler._model.device.type == "meta"
    assert {weight.dtype for weight in sampler._model.parameters()} == {dtype}
    assert sampler._model.causal_lm.config._attn_implementation == "sdpa"
    sampler._model.to_empty(device="cpu")
    sampler.to(torch.device("cpu"))
    assert sampler._model.causal_lm.config._attn_implementation == here
    sampler.load(toy_language_model().state_dict(), 1)


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_an_error_that_names_the_prompt(poison: float) -> None:
    model = toy_language_model()
    contexts, prompts = make(2)
    with torch.no_grad():
        next(model.parameters()).fill_(poison)
    with pytest.raises(TrainingError, match=r"'utterance 0'.*not finite at token"):
        engine(model).sample(contexts, prompts, 2, seed=1)
    with pytest.raises(TrainingError, match="not finite"):
        engine(model).greedy(contexts, 5)
