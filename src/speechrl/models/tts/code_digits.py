"""What speech codes have in common: each is a number of the quantiser's few digits, and near numbers sound alike.

Whatever reads or predicts codes learns several times faster when it begins with embeddings that say so, since a
codebook of thousands is seen a few hundred times each in ten hours of speech, a digit a hundred thousand times.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import one_hot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

SHARED = 0.84
"""Of the variance of a code's embedding, how much its digits make; the rest is the code's own."""


def digits_of_codes(levels: Sequence[int]) -> Tensor:
    """For every code, ones at the digits it is made of, shape (codes, sum of levels), float32.

    Args:
        levels: Of the finite scalar quantiser, the first digit being the one that changes from code to code.
    """
    codes_C = torch.arange(math.prod(levels))
    columns, basis = [], 1
    for level in levels:
        columns.append(one_hot(codes_C // basis % level, level))
        basis *= level
    return torch.cat(columns, dim=1).float()


def embeddings_by_digit(levels: Sequence[int], width: int) -> Tensor:
    """Random embeddings of zero mean and unit variance, alike where codes share digits, shape (codes, width)."""
    digits_CL = digits_of_codes(levels)
    shared_CD = digits_CL @ torch.randn(digits_CL.shape[1], width) / len(levels) ** 0.5
    own_CD = torch.randn(len(digits_CL), width)
    embeddings_CD: Tensor = shared_CD * SHARED**0.5 + own_CD * (1 - SHARED) ** 0.5
    return embeddings_CD
