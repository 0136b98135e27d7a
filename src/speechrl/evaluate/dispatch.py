"""One door to both evaluations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechrl.evaluate import asr, tts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from speechrl.config.schema import EvaluationConfig
    from speechrl.evaluate.ears import Ears
    from speechrl.evaluate.results import Evaluation
    from speechrl.evaluate.tts import Keep
    from speechrl.models.base import SpeechModel
    from speechrl.types import Precision, Prompt


def evaluate_model(
    model: SpeechModel,
    sets: Mapping[str, Sequence[Prompt]],
    config: EvaluationConfig,
    device: torch.device,
    precision: Precision = "fp32",
    *,
    ears: Ears | None = None,
    keep: Keep | None = None,
) -> Evaluation:
    """Evaluate a model by its task: `asr.evaluate_model`, or `tts.evaluate_model`, to which `ears` and `keep` go."""
    if model.task == "tts":
        return tts.evaluate_model(model, sets, config, device, precision, ears=ears, keep=keep)
    return asr.evaluate_model(model, sets, config, device, precision)
