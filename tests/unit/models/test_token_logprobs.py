"""log p(token) and entropy, and their gradient, against plain torch in float64."""

from __future__ import annotations

import math

import pytest
import torch

from speechrl.models.token_logprobs import token_logprobs
from speechrl.rl import chunks


def test_hand_made_numbers() -> None:
    logits = torch.tensor([[math.log(1.0), math.log(3.0)], [0.0, -math.inf]])
    logprobs, entropy = token_logprobs(logits, torch.tensor([1, 0]))
    torch.testing.assert_close(logprobs, torch.tensor([math.log(0.75), 0.0]))
    torch.testing.assert_close(entropy, torch.tensor([-0.25 * math.log(0.25) - 0.75 * math.log(0.75), 0.0]))


@pytest.mark.parametrize("chunk", [1, 50, 1 << 22])
def test_gradient_is_that_of_log_softmax_in_any_chunks(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CHUNK_NUMBERS", chunk)
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 7, generator=generator, requires_grad=True)
    targets = torch.randint(7, (3, 5), generator=generator)
    weight = torch.randn(3, 5, generator=generator)
    logprobs, entropy = token_logprobs(logits, targets)
    reference = logits.double().log_softmax(-1)
    torch.testing.assert_close(logprobs, reference.gather(-1, targets[..., None])[..., 0].float())
    torch.testing.assert_close(entropy, -(reference.exp() * reference).sum(-1).float())
    (ours,) = torch.autograd.grad((logprobs * weight).sum(), logits)
    chosen = logits.log_softmax(-1).gather(-1, targets[..., None])[..., 0]
    (theirs,) = torch.autograd.grad((chosen * weight).sum(), logits)
    torch.testing.assert_close(ours, theirs)


def test_bf16_logits_give_float32_values_and_bf16_gradients() -> None:
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    logprobs, entropy = token_logprobs(logits, torch.tensor([0, 1, 2, 3]))
    torch.testing.assert_close(logprobs, logits.float().log_softmax(-1).diagonal()[:4].detach())
    assert entropy.dtype == torch.float32
    logprobs.sum().backward()
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16
    assert logits.grad.float().sum(-1).abs().max() < 0.02  # each row of d log p / d logits sums to 0
