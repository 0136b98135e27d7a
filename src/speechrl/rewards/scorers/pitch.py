"""How lively it sounds: the spread of the fundamental frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from speechrl.rewards.scorers.clips import SAMPLE_RATE_HZ, at_16_khz, is_silent
from speechrl.rewards.scorers.packages import Package

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from speechrl.rewards.scorers.clips import Clip

TRACKER = Package("swift_f0", "the pitch scorer", "'swift-f0>=0.3'")
_LOWEST_HZ, _HIGHEST_HZ = 60.0, 500.0
_VOICED = 0.5


def log_f0_std(f0_hz: Sequence[float] | NDArray[np.float64]) -> float:
    """Standard deviation (population) of the natural logarithm of F0 over voiced frames, in [0, inf).

    0 where fewer than two frames are voiced. The logarithm makes high and low voices comparable: 0.12 is two
    semitones. Read English lies near 0.2; flat synthetic speech below 0.1.

    Args:
        f0_hz: F0 of each frame in Hz; frames that are not finite or not positive are unvoiced.
    """
    f0 = np.asarray(f0_hz, np.float64)
    voiced = f0[np.isfinite(f0) & (f0 > 0)]
    return float(np.log(voiced).std()) if len(voiced) > 1 else 0.0


class PitchTracker:
    """F0 by SwiftF0 (arXiv 2508.18440), 16 ms a frame, 60 to 500 Hz.

    Chosen because it is light (0.1 MB on onnxruntime) and under the MIT licence, where Praat's tracker is under
    the GPL and WORLD's wants a compiler.

    Raises:
        MissingExtraError: Its package is not installed.
    """

    def __init__(self) -> None:
        try:
            from swift_f0 import SwiftF0
        except ImportError as error:
            raise TRACKER.missing() from error
        self._detector = SwiftF0(threads=1, spin=False)

    def f0(self, clip: Clip) -> NDArray[np.float64]:
        """F0 of each frame in Hz, shape (frames,); NaN where it is unvoiced."""
        samples = at_16_khz(clip)
        if is_silent(samples):
            return np.empty(0)
        found = self._detector.detect(samples, SAMPLE_RATE_HZ, fmin=_LOWEST_HZ, fmax=_HIGHEST_HZ)
        return np.where(found.confidence >= _VOICED, found.pitch_hz, np.nan)

    def spreads(self, clips: Sequence[Clip]) -> list[float]:
        """`log_f0_std` of each clip."""
        return [log_f0_std(self.f0(clip)) for clip in clips]
