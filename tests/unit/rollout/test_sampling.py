"""Choosing tokens: closed forms on hand-made distributions."""

from __future__ import annotations

import math

import pytest
import torch

from speechrl.rollout.sampling import draw, keep_likely, uniforms

LOGITS = torch.tensor([[math.log(0.5), math.log(0.3), math.log(0.2), -math.inf]])


def drawn(at: float, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0) -> int:
    return int(draw(LOGITS, torch.tensor([at], dtype=torch.float64), temperature, top_k, top_p))


def test_a_uniform_number_picks_the_token_whose_share_it_falls_into() -> None:
    assert [drawn(at) for at in (0.0, 0.499, 0.501, 0.799, 0.801, 0.999)] == [0, 0, 1, 1, 2, 2]


def test_the_largest_uniform_number_never_picks_what_is_impossible() -> None:
    assert drawn(1.0 - 2.0**-53) == 2
    wide = torch.full((1, 5000), -math.inf)
    wide[0, 77] = 0.0
    for at in (0.0, 0.5, 1.0 - 2.0**-53):
        assert draw(wide, torch.tensor([at], dtype=torch.float64), 1.0).item() == 77


def test_temperature() -> None:
    assert [drawn(at, temperature=0.0) for at in (0.0, 0.999)] == [0, 0]
    # At temperature 1/2 probabilities are squared: 25 : 9 : 4 of 38.
    assert [drawn(at, temperature=0.5) for at in (24.9 / 38, 25.1 / 38, 33.9 / 38, 34.1 / 38)] == [0, 1, 1, 2]
    assert drawn(0.4, temperature=100.0) == 1  # nearly a third each


def test_top_k_and_top_p_keep_the_smallest_sets() -> None:
    def kept(top_k: int, top_p: float) -> list[int]:
        return keep_likely(LOGITS, top_k, top_p)[0].isfinite().nonzero()[:, 0].tolist()

    assert kept(0, 1.0) == [0, 1, 2]
    assert kept(1, 1.0) == [0]
    assert kept(2, 1.0) == [0, 1]
    assert kept(99, 1.0) == [0, 1, 2]
    assert kept(0, 0.4) == [0]
    assert kept(0, 0.51) == [0, 1]
    assert kept(0, 0.79) == [0, 1]
    assert kept(0, 0.81) == [0, 1, 2]
    # After top-k 2 the masses are 5/8 and 3/8: top-p 0.6 is reached by the first alone.
    assert kept(2, 0.6) == [0]
    assert drawn(0.99, top_k=2) == 1
    # Unsorted rows are filtered in place: the order of the vocabulary does not matter.
    assert keep_likely(LOGITS.flip(-1), 0, 0.51)[0].isfinite().tolist() == [False, False, True, True]


def test_ties_at_the_kth_are_kept() -> None:
    assert keep_likely(torch.tensor([[1.0, 1.0, 0.0]]), 1, 1.0)[0].isfinite().tolist() == [True, True, False]


def test_frequencies_follow_the_softmax() -> None:
    rows = 20_000
    counts = draw(LOGITS.expand(rows, -1), uniforms(1, 2, 3, rows), 1.0).bincount(minlength=4)
    expected = LOGITS[0].exp() * rows
    assert counts[3] == 0
    chi_square = ((counts[:3] - expected[:3]) ** 2 / expected[:3]).sum()
    assert chi_square < 13.8  # p > 0.001 with two degrees of freedom


def test_noise_depends_on_seed_context_and_rollout_alone() -> None:
    assert torch.equal(uniforms(1, 2, 3, 5), uniforms(1, 2, 3, 9)[:5])
    others = [uniforms(*numbers, 5) for numbers in ((1, 2, 3), (1, 3, 2), (2, 1, 3), (1, 2, 4), (0, 2, 3))]
    assert len({tuple(other.tolist()) for other in others}) == 5


@pytest.mark.parametrize("seed", [0, 2**40])
def test_any_seed_is_taken(seed: int) -> None:
    numbers = uniforms(seed, 0, 0, 1000)
    assert numbers.dtype == torch.float64
    assert 0 <= numbers.min() < 0.02
    assert 0.98 < numbers.max() < 1
