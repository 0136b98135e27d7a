from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from speechrl.errors import ModelError
from speechrl.models.language_model import LanguageModel
from speechrl.models.tts.text_encoder import TextEncoder, TextEncoderConfig, piece_strings
from speechrl.starter.tts import sft
from speechrl.starter.tts.sft import (
    Recipe,
    SupervisedSynthesiser,
    go_on_from,
    initialise,
    optimisers_for,
)
from speechrl.starter.tts.sft_corpus import Corpus, fit_pace, train_tokenizer
from speechrl.starter.tts.tokenizer import Coded
from speechrl.types import Context

TEXTS = (
    "a cat sat.",
    "a dog, a cat.",
    "the dog sat on a big cat.",
    "who sat?",
    "the big dog, who sat on the cat.",
)
LEVELS = (3, 4)
CODES = 12


def coded(count: int = 60) -> list[Coded]:
    """Speech in which a letter takes 2 tokens, a space 1, a mark 3, an edge 2; one voice speaks half as fast again."""
    rng = np.random.default_rng(0)
    vectors = {"fast": np.eye(256)[0], "slow": np.eye(256)[1]}
    made = []
    for index in range(count):
        words = ["".join(rng.choice(list("abcdehostuw"), 1 + index % 4)) for _ in range(2 + index % 5)]
        text, voice = " ".join(words) + rng.choice(["", ".", ", a."]), ("fast", "slow")[index % 3 == 0]
        marks, spaces = sum(c in ".,?" for c in text), text.count(" ") + 1
        letters = len(text) + 1 - marks - spaces
        tokens = (4 + 2 * letters + spaces + 3 * marks) * (1.5 if voice == "slow" else 1.0)
        codes = rng.integers(0, CODES, size=round(tokens)).astype(np.uint16)
        split = "dev" if index % 10 == 0 else "train"
        made.append(Coded(str(index), text, voice, split, codes, vectors[voice].astype(np.float16)))
    return made


def test_pace_is_found_again() -> None:
    pace = fit_pace(coded(400))
    for voice, factor in ((0, 1.0), (1, 1.5)):
        places = pace.positions([" the bad dot", ",", " who sat", "."], torch.eye(256)[voice])
        # edges of 2, words of 21 and 14, marks of 3
        expected = torch.tensor([-2, 2 + 10.5, 2 + 21 + 1.5, 2 + 24 + 7, 2 + 38 + 1.5, -1])
        expected[1:-1] *= factor
        torch.testing.assert_close(places, expected, rtol=0.02, atol=0.5)


def test_pieces_keep_the_text_and_punctuation_stands_alone() -> None:
    tokenizer = train_tokenizer(TEXTS)
    ids = tokenizer("who sat on the cat.", add_special_tokens=False)["input_ids"]
    pieces = piece_strings(tokenizer, ids)
    assert "".join(pieces) == " who sat on the cat."
    assert pieces[-1] == "."
    assert tokenizer.unk_token_id not in tokenizer("zyx' !", add_special_tokens=False)["input_ids"]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    items = coded(24)
    return Corpus(items, train_tokenizer(TEXTS), fit_pace(items))


def module(corpus: Corpus) -> SupervisedSynthesiser:
    torch.manual_seed(0)
    qwen = Qwen3Config(
        vocab_size=CODES + 1, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, initializer_range=0.3,
    )  # fmt: skip
    pieces = 1 + max(piece for item in corpus.items for piece in item.pieces)
    return SupervisedSynthesiser(
        TextEncoder(TextEncoderConfig(pieces, hidden=8, layers=1, kernel=3, width=16)),
        Qwen3ForCausalLM(qwen),
        LEVELS,
    )


def test_the_loss_is_that_of_the_rollouts_model(corpus: Corpus) -> None:
    """Padding, float positions and jumps in them included."""
    supervised = module(corpus)
    batch = corpus.items[:5]
    voices_BV = corpus.references(batch, np.random.default_rng(0))
    loss, right, count = supervised(batch, voices_BV)
    embeddings = supervised.text_encoder([item.pieces for item in batch], voices_BV)
    contexts = [
        Context("", embedding, item.positions_T) for item, embedding in zip(batch, embeddings, strict=True)
    ]
    scores = LanguageModel(supervised.language_model, CODES).score(
        contexts, [[[*item.codes.tolist(), CODES]] for item in batch], keep_logits=True
    )
    torch.testing.assert_close(loss, -scores.logprobs_NL.sum(), rtol=1e-5, atol=0)
    assert count == scores.mask_NL.sum()
    assert 0 <= right <= count


def test_folding_changes_weights_and_no_loss(corpus: Corpus) -> None:
    supervised = module(corpus)
    with torch.no_grad():
        supervised.read_by_digit.normal_()
        supervised.predicted_by_digit.normal_()
    voices_BV = corpus.references(corpus.items[:3], np.random.default_rng(0))
    before, _, _ = supervised(corpus.items[:3], voices_BV)
    head_VD = supervised.language_model.lm_head.weight.clone()
    supervised.fold()
    after, _, _ = supervised(corpus.items[:3], voices_BV)
    torch.testing.assert_close(after, before)
    assert not supervised.read_by_digit.any()
    moved_VD = supervised.language_model.lm_head.weight - head_VD
    assert moved_VD[:-1].any(1).all()
    assert not moved_VD[-1].any()  # the end is no code


def test_what_one_code_learns_reaches_its_relatives(corpus: Corpus) -> None:
    supervised = module(corpus)
    read_VD, _ = supervised.weights()
    read_VD[0].sum().backward()  # digits 0 and 0
    shared_VD = supervised.digits_VL @ supervised.read_by_digit.grad
    assert shared_VD.sum(1).tolist() == [32.0, 16, 16, 16, 0, 0, 16, 0, 0, 16, 0, 0, 0]


def test_noise_is_in_what_is_read_alone(corpus: Corpus) -> None:
    supervised = module(corpus)
    batch = corpus.items[:2]
    voices_BV = corpus.references(batch, np.random.default_rng(0))
    torch.manual_seed(0)
    noisy, _, count = supervised(batch, voices_BV, 1.0)
    clean, _, same = supervised(batch, voices_BV)
    assert count == same
    assert noisy != clean
    before = [item.codes.clone() for item in batch]
    assert all(torch.equal(item.codes, codes) for item, codes in zip(batch, before, strict=True))


def test_batches_hold_everything_once_within_the_budget(corpus: Corpus) -> None:
    batches = corpus.batches(400, np.random.default_rng(0))
    assert sorted(id(item) for batch in batches for item in batch) == sorted(
        id(item) for item in corpus.items
    )
    assert all(len(batch) == 1 or len(batch) * max(item.length for item in batch) <= 400 for batch in batches)


def test_references_are_of_the_same_voice(corpus: Corpus) -> None:
    vectors_NV = corpus.references(corpus.items, np.random.default_rng(0))
    voices = [("fast", "slow")[int(vector[1])] for vector in vectors_NV]
    assert voices == [item.voice for item in corpus.items]


def test_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(steps=100, learning_rate=2.0, positions_per_batch=1, noise=0.0, seed=0)
    assert recipe.rate(0) == pytest.approx(2 / 3)
    assert recipe.rate(3) == recipe.rate(60) == 2.0
    assert recipe.rate(80) == pytest.approx(2 * (0.02 + 0.98 / 2))
    assert recipe.rate(100) == pytest.approx(0.04)


def test_every_weight_is_trained_once(corpus: Corpus) -> None:
    supervised = module(corpus)
    initialise(supervised.text_encoder, supervised.language_model, LEVELS)
    trained = [
        weight
        for optimiser in optimisers_for(supervised)
        for group in optimiser.param_groups
        for weight in group["params"]
    ]
    assert sorted(map(id, trained)) == sorted(map(id, supervised.parameters()))
    voices_BV = corpus.references(corpus.items, np.random.default_rng(0))
    loss, _, count = supervised(corpus.items, voices_BV)
    assert float(loss.detach()) / count == pytest.approx(
        np.log(CODES + 1), abs=0.02
    )  # first predictions are even


def test_going_on_needs_codes_that_mean_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(codebook="abc", decoder="old")
    monkeypatch.setattr(sft, "load_synthesiser", lambda folder: old)
    further = SimpleNamespace(codebook="abc")
    assert go_on_from(Path("model"), further, Path("tokenizer")).decoder is further
    with pytest.raises(
        ModelError, match=r"--init model: .* codebook abc, but --tokenizer tokenizer has codebook xyz"
    ):
        go_on_from(Path("model"), SimpleNamespace(codebook="xyz"), Path("tokenizer"))
