"""What a recogniser puts behind the audio stays as it was loaded, whatever the policy learns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from speechrl.models.fingerprint import fingerprint
from speechrl.models.load import load_model
from speechrl.types import Prompt

if TYPE_CHECKING:
    from pathlib import Path


def test_a_context_does_not_move_with_the_policy(tiny_model: Path, tmp_path: Path) -> None:
    model: Any = load_model(str(tiny_model))
    prompt = Prompt("a", "asr", "", audio=np.full(8_000, 0.1, np.float32))
    before = model.encode([prompt])[0].embeddings_TD
    with torch.no_grad():
        model.language_model.causal_lm.get_input_embeddings().weight.add_(1.0)
    after = model.encode([prompt])[0].embeddings_TD
    assert torch.equal(before, after)
    model.save(tmp_path / "saved")
    again: Any = load_model(str(tmp_path / "saved"))
    torch.testing.assert_close(again.encode([prompt])[0].embeddings_TD, before, rtol=1e-3, atol=1e-3)
    named = fingerprint(again)
    again.take_start()
    assert fingerprint(again) != named
    assert (again.encode([prompt])[0].embeddings_TD[-1] - before[-1]).mean() > 0.9
