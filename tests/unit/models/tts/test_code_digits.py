"""Digits of speech codes: those of the quantiser, and embeddings that are alike by them."""

from __future__ import annotations

import math

import pytest
import torch
from vector_quantize_pytorch import FSQ

from speechrl.models.tts.code_digits import SHARED, digits_of_codes, embeddings_by_digit

LEVELS = (3, 5, 4)


def test_codes_share_a_digit_where_the_quantiser_puts_them_at_one_level() -> None:
    codes = torch.arange(math.prod(LEVELS))
    places_CL = FSQ(list(LEVELS)).indices_to_codes(codes)
    digits_CL = digits_of_codes(LEVELS)
    assert (digits_CL.sum(1) == len(LEVELS)).all()
    same_CC = (places_CL[:, None] == places_CL[None]).sum(-1)
    torch.testing.assert_close(digits_CL @ digits_CL.T, same_CC.float())


def test_embeddings_are_as_alike_as_their_digits() -> None:
    torch.manual_seed(0)
    width = 60_000
    found_CD = embeddings_by_digit(LEVELS, width)
    digits_CL = digits_of_codes(LEVELS)
    expected_CC = SHARED * digits_CL @ digits_CL.T / len(LEVELS) + (1 - SHARED) * torch.eye(len(found_CD))
    torch.testing.assert_close(found_CD @ found_CD.T / width, expected_CC, atol=0.03, rtol=0)
    assert found_CD.mean().item() == pytest.approx(0, abs=0.01)
