from __future__ import annotations

import pytest
import torch

from speechrl.models.tts.text_encoder import ALPHABET, Pace, TextEncoder, TextEncoderConfig, plain_text

CONFIG = TextEncoderConfig(vocabulary=20, hidden=16, layers=2, kernel=3, width=8)
REACH = 2  # layers x (kernel // 2)


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    torch.manual_seed(0)
    return TextEncoder(CONFIG).eval()


def voices(count: int) -> torch.Tensor:
    drawn_BV = torch.randn(count, 256, generator=torch.Generator().manual_seed(1))
    return torch.nn.functional.normalize(drawn_BV, dim=-1)


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("Hello,  World!", "hello, world!"),
        ("Don\u2019t \u2014 ever \u2014 panic\u2026", "don't, ever, panic."),
        ("a caf\u00e9 (well-known) ; \u201ctrick\u201d", "a cafe well known, trick"),
        ("'tis the dogs' ... bowl ?!", "tis the dogs. bowl?"),
        ("room 42 & 名", "room 42 & 名"),
    ],
)
def test_plain_text(written: str, spoken: str) -> None:
    assert plain_text(written) == spoken
    assert plain_text(spoken) == spoken


def test_a_context_is_voice_pieces_start_whatever_is_in_the_batch(encoder: TextEncoder) -> None:
    texts = [[3, 4, 5, 6, 7, 8], [9], [10, 11]]
    together = encoder(texts, voices(3))
    assert [tuple(context.shape) for context in together] == [(8, 8), (3, 8), (4, 8)]
    for index, text in enumerate(texts):
        torch.testing.assert_close(encoder([text], voices(3)[index : index + 1])[0], together[index])
        assert torch.equal(together[index][-1], encoder.start_D)


def test_pieces_see_both_neighbours_and_the_voice(encoder: TextEncoder) -> None:
    before, after = encoder([[3, 4, 5, 6, 7, 8, 9], [3, 4, 5, 19, 7, 8, 9]], voices(1).repeat(2, 1))
    changed = (before != after).any(-1).nonzero()[:, 0].tolist()
    assert changed == list(range(4 - REACH, 4 + REACH + 1))
    one, other = encoder([[3, 4], [3, 4]], voices(2))
    assert (one != other).any(-1).tolist() == [True, True, True, False]


def test_pieces_lie_in_the_middle_of_their_time() -> None:
    pace = Pace()
    pace.characters_C.zero_()
    for character, tokens in {" ": 0.5, "a": 3.0, "b": 1.0, ".": 4.0}.items():
        pace.characters_C[ALPHABET.index(character)] = tokens
    pace.edge.fill_(1.0)
    voice_D = voices(1)[0]
    pieces = [" ab", " b", "."]  # take 4.5, 1.5 and 4 tokens
    torch.testing.assert_close(pace.positions(pieces, voice_D), torch.tensor([-2.0, 3.25, 6.25, 9.0, -1.0]))
    pace.voice_D.copy_(voice_D * torch.log(torch.tensor(2.0)))  # this voice takes twice the time
    torch.testing.assert_close(pace.positions(pieces, voice_D), torch.tensor([-2.0, 6.5, 12.5, 18.0, -1.0]))


def test_only_the_pieces_of_the_text_get_a_gradient(encoder: TextEncoder) -> None:
    loss = torch.cat(encoder([[3, 4], [5]], voices(2))).square().sum()
    gradient = torch.autograd.grad(loss, encoder.pieces.weight)[0]
    assert gradient.abs().sum(-1).nonzero()[:, 0].tolist() == [3, 4, 5]
