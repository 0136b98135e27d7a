"""Beam search against greedy decoding and against every sequence there is."""

from __future__ import annotations

import itertools

import pytest
import torch
from toys import END, WORDS, toy_language_model
from toys import context as toy_context

from speechrl.models.language_model import LanguageModel
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.beam import beam_search
from speechrl.rollout.torch_engine import TorchEngine
from speechrl.types import Context, Ending, Rollout

VOCABULARY = len(WORDS) + 1
LIMIT = 3


def make(seed: int) -> LanguageModel:
    model = toy_language_model(seed).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(8.0)
    return model


def contexts(count: int) -> list[Context]:
    return [Context(str(index), toy_context(str(index))) for index in range(count)]


def score(rollout: Rollout, length_power: float) -> float:
    return sum(rollout.logprobs) / len(rollout.logprobs) ** length_power


def every_sequence() -> list[tuple[int, ...]]:
    words = [token for token in range(VOCABULARY) if token != END]
    ended = [(*body, END) for size in range(LIMIT) for body in itertools.product(words, repeat=size)]
    return ended + list(itertools.product(words, repeat=LIMIT))


@pytest.mark.parametrize("length_power", [0.0, 1.0])
def test_width_1_is_greedy(length_power: float) -> None:
    for seed in range(3):
        model, items = make(seed), contexts(5)
        greedy = TorchEngine(model, SamplingParams(), "cpu", torch.float32).greedy(items, 10)
        for a, b in zip(beam_search(model, items, 1, 10, length_power), greedy, strict=True):
            assert (a.prompt_id, a.token_ids, a.ending) == (b.prompt_id, b.token_ids, b.ending)
            assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


@pytest.mark.parametrize("length_power", [0.0, 1.0])
def test_a_beam_as_wide_as_the_space_finds_the_best_of_all(length_power: float) -> None:
    sequences = every_sequence()
    better = 0
    for seed in range(3):
        model, items = make(seed), contexts(3)
        found = beam_search(model, items, len(sequences), LIMIT, length_power)
        greedy = beam_search(model, items, 1, LIMIT, length_power)
        for item, rollout, start in zip(items, found, greedy, strict=True):
            with torch.no_grad():
                scores = model.score([item.embeddings_TD], [sequences])
            ranks = scores.logprobs_NL.sum(-1) / scores.mask_NL.sum(-1) ** length_power
            assert rollout.token_ids == sequences[int(ranks.argmax())]
            assert score(rollout, length_power) == pytest.approx(float(ranks.max()), abs=1e-4)
            assert score(rollout, length_power) >= score(start, length_power) - 1e-5
            better += score(rollout, length_power) > score(start, length_power) + 1e-3
    assert better > 0  # greedy is not always best: the comparison above has something to say


def test_a_context_does_not_depend_on_its_neighbours() -> None:
    model, items = make(1), contexts(5)
    together = beam_search(model, items, 4, 12)
    assert [rollout.prompt_id for rollout in together] == [item.prompt_id for item in items]
    for item, rollout in zip(items, together, strict=True):
        (alone,) = beam_search(model, [item], 4, 12)
        assert alone.token_ids == rollout.token_ids
    assert beam_search(model, [], 4, 12) == []


def test_logprobs_are_those_of_the_model_and_endings_are_typed() -> None:
    items, endings = contexts(6), set()
    for seed in range(4):
        model = make(seed)
        for item, rollout in zip(items, beam_search(model, items, 3, 4), strict=True):
            endings.add(rollout.ending)
            assert (rollout.token_ids[-1] == END) == (rollout.ending is Ending.STOP)
            with torch.no_grad():
                scores = model.score([item.embeddings_TD], [[rollout.token_ids]])
            assert rollout.logprobs == pytest.approx(scores.logprobs_NL[0].tolist(), abs=1e-4)
    assert endings == {Ending.STOP, Ending.LENGTH}


def test_dropout_is_off_during_the_search_and_on_again_after_it() -> None:
    model = make(0).train()
    assert beam_search(model, contexts(3), 3, 6) == beam_search(model, contexts(3), 3, 6)
    assert all(part.training for part in model.modules())
