import importlib.util

import numpy as np
import pytest
import torch

from speechrl.errors import ModelError
from speechrl.models.tts import voice_encoder
from speechrl.models.tts.voice_encoder import VoiceEncoder, load_voice_encoder


@pytest.fixture
def encoder() -> VoiceEncoder:
    torch.manual_seed(0)
    return VoiceEncoder().eval()


def noise(samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32)


@pytest.mark.parametrize(
    ("seconds", "windows"),
    [
        (0.001, 1),  # short clips are filled with silence
        (1.6, 1),  # the window at 0.77 s is covered to a half only
        (1.96, 1),  # of the second window just not three quarters are covered ...
        (1.97, 2),  # ... and just three quarters
        (5.0, 5),
        (5.1, 6),
    ],
)
def test_windows_of_a_clip(seconds: float, windows: int):
    assert voice_encoder._windows(noise(int(seconds * 16_000))).shape == (windows, 160, 40)


def test_vectors_have_unit_length_and_do_not_depend_on_the_batch(encoder: VoiceEncoder):
    clips = [noise(20_000, 1), noise(70_000, 2), noise(400, 3)]
    together = encoder(clips, windows_per_pass=3)
    assert together.shape == (3, 256)
    assert torch.allclose(together.norm(dim=-1), torch.ones(3), atol=1e-5)
    for clip, vector in zip(clips, together, strict=True):
        assert torch.allclose(encoder([clip])[0], vector, atol=1e-5)


def test_quiet_clips_are_raised_and_loud_ones_left(encoder: VoiceEncoder):
    clip = noise(30_000)
    assert torch.allclose(encoder([clip * 1e-3]), encoder([clip * 1e-4]), atol=1e-3)
    # Half of it is still above -30 dBFS, so its power stays a quarter.
    half, whole = voice_encoder._windows(clip * 0.5), voice_encoder._windows(clip)
    assert torch.allclose(whole / 4, half, rtol=1e-3, atol=1e-8)


def test_silence_is_a_legal_clip(encoder: VoiceEncoder):
    assert torch.isfinite(encoder([np.zeros(16_000, np.float32), np.zeros(0, np.float32)])).all()
    assert encoder([]).shape == (0, 256)


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps Resemblyzer"):
        load_voice_encoder()


def test_pretrained_weights_fit():
    pytest.importorskip("resemblyzer.hparams", reason="Resemblyzer is not installed")
    vector = load_voice_encoder()([noise(32_000)])
    assert float(vector.norm()) == pytest.approx(1.0, abs=1e-5)
