"""How good it sounds: learned mean opinion scores, 1 (bad) to 5 (excellent)."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from speechrl.errors import ModelError
from speechrl.rewards.scorers.clips import SAMPLE_RATE_HZ, at_16_khz, is_silent
from speechrl.rewards.scorers.packages import Package

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from speechrl.rewards.scorers.clips import Clip
    from speechrl.types import Precision

DISTILLMOS = Package("distillmos", "quality by DistillMOS", "--no-deps distillmos==0.9.1")
SPEECHMOS = Package("speechmos", "quality by DNSMOS", "--no-deps speechmos==0.0.1.1")
ONNXRUNTIME = Package("onnxruntime", "quality by DNSMOS", "onnxruntime")
WORST_MOS = 1.0
"""What silence is worth: the models were never shown any."""
_SEGMENT = 122_880
_SEGMENTS_PER_PASS = 4
_HOP = SAMPLE_RATE_HZ
_WIDTH, _HEADS, _LAYERS = 200, 8, 7
_N_FFT, _STEP = 320, 160
_EDGE = (_N_FFT - _STEP) // 2
_REACH = 8
"""Frames beyond which no convolution sees: six layers of three frames, and two more to be even."""
_DNSMOS_SAMPLES = int(9.01 * SAMPLE_RATE_HZ)
_DNSMOS_OVERALL = (-0.06766283, 1.11546468, 0.04602535)


class QualityScorer(Protocol):
    """A learned mean opinion score."""

    def mos(self, clips: Sequence[Clip]) -> list[float]:
        """One score a clip, 1 to 5; 1 for silence."""
        ...


class DistillMOS:
    """Distilled from an XLS-R quality model (arXiv 2502.05356); segments of 7.68 s, averaged.

    Args:
        precision: bf16 takes less than half the time on a processor that computes in it, and moves a clip's score by
            less than 0.05.

    Raises:
        MissingExtraError: The package that carries the weights is not installed.
    """

    def __init__(self, precision: Precision = "fp32") -> None:
        self._bf16 = precision == "bf16"
        self._network = _load_network(DISTILLMOS.folder() / "weights" / "distill_mos_v7.pt")

    @torch.inference_mode()
    def mos(self, clips: Sequence[Clip]) -> list[float]:
        """See `QualityScorer`."""
        waves = [at_16_khz(clip) for clip in clips]
        segments, owners = [], []
        # Short ones together: what fills a pass up to its longest clip is computed.
        for i in sorted(range(len(waves)), key=lambda i: len(waves[i])):
            if not is_silent(waves[i]):
                cut = _segments(waves[i])
                segments += cut
                owners += [i] * len(cut)
        found: list[list[float]] = [[] for _ in clips]
        for start in range(0, len(segments), _SEGMENTS_PER_PASS):
            with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
                scored = self._network(torch.stack(segments[start : start + _SEGMENTS_PER_PASS]))
            scores: list[float] = scored.tolist()
            for owner, score in zip(owners[start : start + _SEGMENTS_PER_PASS], scores, strict=True):
                found[owner].append(score)
        return [float(np.mean(scores)) if scores else WORST_MOS for scores in found]


class DNSMOS:
    """DNSMOS P.835, the overall score (arXiv 2110.01763); windows of 9.01 s, a second apart, averaged.

    A shorter clip is doubled until it fills the window, as in the original.

    Raises:
        MissingExtraError: onnxruntime, or the package that carries the weights, is not installed.
    """

    def __init__(self) -> None:
        folder = SPEECHMOS.folder()
        try:
            import onnxruntime
        except ImportError as error:
            raise ONNXRUNTIME.missing() from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = folder / "dnsmos_models" / "sig_bak_ovr.onnx"
        self._session: Any = onnxruntime.InferenceSession(str(path), options)

    def mos(self, clips: Sequence[Clip]) -> list[float]:
        """See `QualityScorer`."""
        return [self._mos(at_16_khz(clip)) for clip in clips]

    def _mos(self, samples: NDArray[np.float32]) -> float:
        if is_silent(samples):
            return WORST_MOS
        while len(samples) < _DNSMOS_SAMPLES:
            samples = np.concatenate([samples, samples])
        starts = range(0, len(samples) - _DNSMOS_SAMPLES + 1, SAMPLE_RATE_HZ)
        overall = [
            self._session.run(None, {"input_1": samples[None, start : start + _DNSMOS_SAMPLES]})[0][0][2]
            for start in starts
        ]
        return float(np.mean(np.polyval(_DNSMOS_OVERALL, overall)))


def _load_network(path: Path) -> _Network:
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["model"]
        network = _Network()
        prefix = "transformer_pool_attn."
        network.load_state_dict({name.removeprefix(prefix): value for name, value in state.items()})
    except (OSError, RuntimeError, KeyError) as error:
        raise ModelError(
            f"{path}: cannot be loaded ({error}); pip install --no-deps --force-reinstall distillmos==0.9.1"
        ) from error
    return network.eval().requires_grad_(False)


def _segments(samples: NDArray[np.float32]) -> list[Tensor]:
    """Segments of equal length that cover a clip evenly, at most a second apart; a short one ends in silence."""
    wave = torch.from_numpy(samples)
    spare = len(wave) - _SEGMENT
    if spare <= 0:
        return [pad(wave, (0, -spare))]
    count = math.ceil(spare / _HOP) + 1
    return [wave[int(spare * i / (count - 1)) :][:_SEGMENT] for i in range(count)]


class _Network(nn.Module):
    """Convolutions over a compressed complex spectrogram -> transformer -> attention pooling -> one number."""

    def __init__(self) -> None:
        super().__init__()
        channels = [2, 64, 64, 128, 256, 256, 256]
        layers: list[nn.Module] = []
        for i, (width_in, width_out) in enumerate(itertools.pairwise(channels)):
            stride = (1 if i == 0 else 2, 2 if i == 5 else 1)
            layers += [nn.Conv2d(width_in, width_out, 3, stride, padding=(0, 1)), nn.LeakyReLU(0.1)]
        self.cnn = nn.ModuleDict({"cnn": nn.Sequential(*layers)})
        self.norm_input = nn.BatchNorm1d(1024)
        self.transformer = _Transformer()
        self.norm_trans = nn.BatchNorm1d(_WIDTH)
        self.pool = _Pool()
        self._silence: Tensor | None = None

    def forward(self, wave_BT: Tensor) -> Tensor:
        """Segments at 16 kHz -> scores 1 to 5, shape (B,)."""
        wave_BT = wave_BT / (wave_BT.abs().amax(dim=1, keepdim=True) + 1e-8)
        hidden_BTD = self.transformer(self.norm_input(self.features(wave_BT)))
        pooled_B: Tensor = self.pool(self.norm_trans(hidden_BTD.transpose(1, 2)).transpose(1, 2))
        return 1 + 4 * pooled_B.sigmoid()

    def features(self, wave_BT: Tensor) -> Tensor:
        """`convolve` of segments, shape (B, 1024, 384).

        Nine tenths of the work. Of the zeros that fill up short clips it is the same every time, and is done once.
        """
        sounding = wave_BT.any(dim=0).nonzero()
        last = int(sounding.max()) if len(sounding) else 0
        frames = (last + _EDGE) // _STEP + 1 + 2 * _REACH
        frames += frames % 2
        if frames * _STEP >= _SEGMENT:
            return self.convolve(wave_BT)
        if self._silence is None:
            self._silence = self.convolve(torch.zeros(1, _SEGMENT))
        heard_BCT = self.convolve(wave_BT[:, : frames * _STEP])
        kept = (frames - _REACH) // 2
        return torch.cat([heard_BCT[..., :kept], self._silence[..., kept:].expand(len(wave_BT), -1, -1)], -1)

    def convolve(self, wave_BT: Tensor) -> Tensor:
        """Features of every second frame of 10 ms, none of which sees beyond `_REACH` frames."""
        spectrum_BFT = torch.stft(
            pad(wave_BT, (_EDGE, _EDGE), mode="reflect"),
            _N_FFT,
            _STEP,
            window=torch.hann_window(_N_FFT),
            center=False,
            return_complex=True,
        )
        magnitude_BFT = spectrum_BFT.abs().clamp(min=1e-12)
        compressed_B2FT = torch.view_as_real(spectrum_BFT * magnitude_BFT**-0.7).permute(0, 3, 1, 2)
        found_BCT: Tensor = self.cnn["cnn"](compressed_B2FT).flatten(1, 2)
        return found_BCT


class _Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(1024)
        self.linear_proj = nn.Linear(1024, _WIDTH)
        self.position_encoding = _Positions()
        layer = nn.TransformerEncoderLayer(_WIDTH, _HEADS, 2 * _WIDTH, dropout=0.0, batch_first=True)
        self.transformer_encoder = nn.TransformerEncoder(layer, _LAYERS, enable_nested_tensor=False)

    def forward(self, features_BCT: Tensor) -> Tensor:
        projected_BTD = self.linear_proj(self.norm(features_BCT).transpose(1, 2))
        hidden_BTD: Tensor = self.transformer_encoder(self.position_encoding(projected_BTD))
        return hidden_BTD


class _Positions(nn.Module):
    pe: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pe", torch.empty(1, 384, _WIDTH))

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        return hidden_BTD + self.pe


class _Pool(nn.Module):
    """Attention pooling with a feed-forward score."""

    def __init__(self) -> None:
        super().__init__()
        self.linear1 = nn.Linear(_WIDTH, 2 * _WIDTH)
        self.linear2 = nn.Linear(2 * _WIDTH, 1)
        self.linear3 = nn.Linear(_WIDTH, 1)

    def forward(self, hidden_BTD: Tensor) -> Tensor:
        weights_BT1 = self.linear2(self.linear1(hidden_BTD).relu()).softmax(dim=1)
        pooled_B: Tensor = self.linear3((weights_BT1 * hidden_BTD).sum(dim=1)).squeeze(-1)
        return pooled_B
