"""Token2Text: what it says of tokens, in closed form, and what must not change it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from itertools import product

import pytest
import torch
from torch.nn.functional import one_hot

from speechrl.errors import ModelError
from speechrl.models.tts.token2text import (
    BLANK,
    FRAMES_PER_TOKEN,
    Token2Text,
    Token2TextConfig,
    alignable,
    check_vocabulary,
    ctc_nll,
    load_token2text,
)
from speechrl.models.tts.token2text_parts import HeadSpec, frames_needed, pad_tokens, spell, unspell

HEADS = {
    "quality": HeadSpec(("poor", "fair", "good"), (2.0, 3.0), (1, 2)),
    "speaker": HeadSpec(("ann", "bob")),
}
CONFIG = Token2TextConfig(vocabulary=11, codebook="abc", width=16, layers=2, kernel=3, heads=HEADS)
TOKENS = [[1, 2, 3, 4, 5, 6, 7], [8, 9, 10], [0]]


@pytest.fixture(params=["convnext", "gru"])
def model(request) -> Token2Text:
    torch.manual_seed(0)
    built = Token2Text(replace(CONFIG, architecture=request.param), torch.eye(2, 5))
    return built.eval()


def embed(model: Token2Text, tokens: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    tokens_BT, lengths_B = pad_tokens(tokens)
    return model.embedding(tokens_BT), lengths_B


def test_hard_one_hots_times_the_matrix_are_the_look_up(model) -> None:
    tokens_BT, lengths_B = pad_tokens(TOKENS)
    hard_BTV = one_hot(tokens_BT, CONFIG.vocabulary).float()
    texts = ["abc", "it's", ""]
    looked_up = model.text_nll(model.embedding(tokens_BT), lengths_B, texts)
    assert torch.equal(model.text_nll(hard_BTV @ model.embedding.weight, lengths_B, texts), looked_up)


def test_what_lies_behind_a_length_changes_nothing(model) -> None:
    texts, voices_BD = ["ab", "c", "d"], torch.randn(3, 5)
    embedded_BTD, lengths_B = embed(model, TOKENS)
    noisy_BTD = torch.cat([embedded_BTD, torch.randn(3, 4, CONFIG.width)], dim=1)
    for row, length in enumerate(lengths_B.tolist()):
        noisy_BTD[row, length:] = 100 * torch.randn(noisy_BTD.shape[1] - length, CONFIG.width)
    together = model.task_logprobs(noisy_BTD, lengths_B, texts, list(HEADS), voices_BD)
    for row, tokens in enumerate(TOKENS):
        alone = model.task_logprobs(
            *embed(model, [tokens]), texts[row : row + 1], list(HEADS), voices_BD[[row]]
        )
        for name, logprob_B in alone.items():
            torch.testing.assert_close(together[name][[row]], logprob_B, rtol=1e-4, atol=1e-5)


def test_padding_gets_no_gradient_and_tokens_do(model) -> None:
    embedded_BTD, lengths_B = embed(model, TOKENS)
    embedded_BTD = embedded_BTD.detach().requires_grad_()
    model.text_nll(embedded_BTD, lengths_B, ["ab", "c", "d"]).sum().backward()
    for row, length in enumerate(lengths_B.tolist()):
        assert embedded_BTD.grad[row, :length].abs().sum(-1).min() > 0
        assert embedded_BTD.grad[row, length:].abs().sum() == 0


def test_nll_is_that_of_all_paths_that_collapse_to_the_text() -> None:
    """Two tokens are four frames; every path of four frames is summed by hand."""
    torch.manual_seed(1)
    logprobs_BSC = torch.randn(1, 4, BLANK + 1).log_softmax(-1)
    ids = spell("ab")
    paths = [
        path
        for path in product([*ids, BLANK], repeat=4)
        if tuple(c for c, before in zip(path, (None, *path), strict=False) if c not in (before, BLANK)) == ids
    ]
    total = sum(
        torch.stack([logprobs_BSC[0, frame, c] for frame, c in enumerate(path)]).sum().exp() for path in paths
    )
    nll_B = ctc_nll(logprobs_BSC, torch.tensor([2]), ["ab"])
    torch.testing.assert_close(nll_B[0], -total.log())


def test_silence_is_blank_in_every_frame(model) -> None:
    embedded_BTD, lengths_B = embed(model, [[1, 2]])
    blanks = model.forward_embedded(embedded_BTD, lengths_B)[0, :, BLANK].sum()
    torch.testing.assert_close(model.text_nll(embedded_BTD, lengths_B, [" ."])[0], -blanks)


def test_a_text_that_cannot_fit_is_infinitely_unlikely_and_leaves_the_others_their_gradient(model) -> None:
    """`aa` needs three frames (a blank between), one token gives two."""
    assert frames_needed(spell("aa")) == 3
    assert FRAMES_PER_TOKEN == 2
    tokens, texts = [[1], [2, 3], []], ["aa", "aa", "a"]
    embedded_BTD, lengths_B = embed(model, tokens)
    embedded_BTD = embedded_BTD.detach().requires_grad_()
    nll_B = model.text_nll(embedded_BTD, lengths_B, texts)
    assert alignable(lengths_B, texts).tolist() == [False, True, False]
    assert nll_B.isinf().tolist() == [True, False, True]
    nll_B.sum().backward()
    assert embedded_BTD.grad.isfinite().all()
    assert embedded_BTD.grad[0].abs().sum() == 0
    assert embedded_BTD.grad[1].abs().sum() > 0


def test_finite_differences(model) -> None:
    model.double()
    embedded_BTD, lengths_B = embed(model, [[1, 2, 3], [4, 5]])
    direction_BTD = torch.randn_like(embedded_BTD)
    embedded_BTD = embedded_BTD.detach().requires_grad_()
    model.text_nll(embedded_BTD, lengths_B, ["ab", "c"]).sum().backward()
    along = (embedded_BTD.grad * direction_BTD).sum().item()
    step = 1e-2  # log-probabilities are float32
    up, down = (
        model.text_nll(embedded_BTD.detach() + sign * step * direction_BTD, lengths_B, ["ab", "c"])
        .sum()
        .item()
        for sign in (1, -1)
    )
    assert (up - down) / (2 * step) == pytest.approx(along, rel=1e-2)


def test_heads_give_the_log_probability_of_what_is_wanted(model) -> None:
    embedded_BTD, lengths_B = embed(model, TOKENS)
    hidden_BTD = model.hidden(embedded_BTD, lengths_B)
    quality_BC = model.head_logprobs("quality", hidden_BTD, lengths_B)
    speaker_BC = model.head_logprobs("speaker", hidden_BTD, lengths_B)
    torch.testing.assert_close(quality_BC.exp().sum(1), torch.ones(3))
    voices_BD = torch.tensor([[0.9, 0.1, 0, 0, 0], [0.2, 0.8, 0, 0, 0], [0.6, 0.5, 0.5, 0, 0]])
    wanted = model.task_logprobs(embedded_BTD, lengths_B, ["a", "b", "c"], ["quality", "speaker"], voices_BD)
    torch.testing.assert_close(wanted["quality"].exp(), quality_BC.exp()[:, 1:].sum(1))
    torch.testing.assert_close(wanted["speaker"], speaker_BC[[0, 1, 2], [0, 1, 0]])
    torch.testing.assert_close(wanted["text"], -model.text_nll(embedded_BTD, lengths_B, ["a", "b", "c"]))


def test_missing_heads_and_voices_are_named(model) -> None:
    embedded_BTD, lengths_B = embed(model, TOKENS)
    with pytest.raises(ModelError, match=r"no head 'mood' \(its heads: quality, speaker\)"):
        model.task_logprobs(embedded_BTD, lengths_B, ["a"] * 3, ["mood"])
    with pytest.raises(ModelError, match=r"vectors of 5 numbers, none were given"):
        model.task_logprobs(embedded_BTD, lengths_B, ["a"] * 3, ["speaker"])
    with pytest.raises(ModelError, match="these have 4 numbers"):
        model.task_logprobs(embedded_BTD, lengths_B, ["a"] * 3, ["speaker"], torch.zeros(3, 4))


def test_transcribes_greedily_in_the_order_given(model) -> None:
    texts = model.transcribe(TOKENS, batch_size=2)
    for tokens, text in zip(TOKENS, texts, strict=True):
        best = model.forward_embedded(*embed(model, [tokens])).argmax(-1)[0].tolist()
        collapsed = [c for c, before in zip(best, [None, *best], strict=False) if c != before]
        assert text == unspell([c for c in collapsed if c != BLANK])
    assert model.transcribe([[], [1]])[0] == ""
    assert model.transcribe([]) == []


def test_refuses_tokens_that_are_no_speech_codes(model) -> None:
    with pytest.raises(ModelError, match=r"token 11: .* codes 0 to 10; take out the end token"):
        model.transcribe([[1, 11]])
    with pytest.raises(ModelError, match="codes 0 to 10"):
        model.nll([[-1]], ["a"])


def test_spelling_drops_marks_and_refuses_what_has_no_sound_in_its_alphabet() -> None:
    assert unspell(spell("  Well, it's a Café-bar! ")) == "well it's a cafe bar"
    with pytest.raises(ModelError, match=r"1 2 ß cannot be spelled .* write numbers and symbols as words"):
        spell("Straße 12")


def test_saved_is_loaded_again(model, tmp_path) -> None:
    model.half().float().save(tmp_path)
    again = load_token2text(tmp_path)
    assert again.config == model.config
    assert not again.training
    assert not any(p.requires_grad for p in again.parameters())
    torch.testing.assert_close(again.nll(TOKENS, ["a", "b", "c"]), model.nll(TOKENS, ["a", "b", "c"]))
    assert torch.equal(again.voices_KD, torch.eye(2, 5))


@dataclass(frozen=True)
class Speaks:
    codebook: str = "abc"
    codes: int = 11


def test_another_vocabulary_or_codebook_is_refused_with_both_named() -> None:
    judge = Token2Text(CONFIG)
    check_vocabulary(judge, Speaks(), "probe.reader, my/t2t")
    with pytest.raises(
        ModelError, match=r"my/t2t: .* has 11 speech codes, the synthesiser 12; .*train token2text"
    ):
        check_vocabulary(judge, Speaks(codes=12), "probe.reader, my/t2t")
    with pytest.raises(ModelError, match=r"reader, my/t2t: .*'abc', the synthesiser speaks those of 'xyz'; "):
        check_vocabulary(judge, Speaks(codebook="xyz"), "probe.reader, my/t2t")


def test_folders_that_hold_no_token2text(tmp_path) -> None:
    with pytest.raises(ModelError, match=r"no Token2Text there .*train token2text"):
        load_token2text(tmp_path)
    (tmp_path / "speechrl.json").write_text(json.dumps({"model": "recogniser"}))
    with pytest.raises(ModelError, match="holds a recogniser, not a Token2Text"):
        load_token2text(tmp_path)
    Token2Text(CONFIG).save(tmp_path)
    (tmp_path / "token2text.safetensors").write_bytes(b"torn")
    with pytest.raises(ModelError, match="cannot load the Token2Text"):
        load_token2text(tmp_path)
