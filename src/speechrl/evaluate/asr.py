"""Recognition on held-out sets: decode, count, and keep a row per utterance."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from speechrl.evaluate.keywords import KeywordSpotter
from speechrl.evaluate.results import Evaluation, Row, SetResult
from speechrl.rewards.asr import asr_metrics
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.beam import beam_search
from speechrl.rollout.torch_engine import TorchEngine
from speechrl.types import Group

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from speechrl.config.schema import EvaluationConfig
    from speechrl.models.base import SpeechModel
    from speechrl.types import Context, Output, Precision, Prompt, Rollout

    Decode = Callable[[Sequence[Context]], list[Rollout]]


def evaluate_texts(
    prompts: Sequence[Prompt],
    hypotheses: Sequence[str],
    endings: Sequence[str] | None = None,
    lengths: Sequence[int] | None = None,
) -> SetResult:
    """Count the errors of any recogniser's texts.

    Args:
        prompts: The references, with language and keywords; their audio is not needed.
        hypotheses: One per prompt.
        endings: How decoding ended, where known.
        lengths: Tokens of the hypotheses, where known.
    """
    spotter = KeywordSpotter(prompts)
    endings = endings if endings is not None else ["unknown"] * len(prompts)
    lengths = lengths if lengths is not None else [0] * len(prompts)
    columns = zip(prompts, hypotheses, endings, lengths, strict=True)
    return SetResult(tuple(_row(spotter, *column) for column in columns))


def evaluate_model(
    model: SpeechModel,
    sets: Mapping[str, Sequence[Prompt]],
    config: EvaluationConfig,
    device: torch.device,
    precision: Precision = "fp32",
) -> Evaluation:
    """Decode every set (greedy, or with `config.beam`) and count.

    The model is on the host before and after. Utterances are batched by duration, and come back in their own order.

    Args:
        model: A recogniser.
        sets: Name -> utterances with audio.
        config: Batch size, beam and token limit.
        device: Where to decode.
        precision: `fp32` or `bf16`.
    """
    decode = _decoder(model, config, device, torch.bfloat16 if precision == "bf16" else torch.float32)
    results, seconds = {}, {}
    model.encoder.to(device)
    try:
        for name, prompts in sets.items():
            start = time.perf_counter()
            outputs = transcribe(model, prompts, decode, config.batch_size)
            results[name] = evaluate_texts(
                prompts,
                [output.text for output in outputs],
                [str(output.ending) for output in outputs],
                [output.length for output in outputs],
            )
            seconds[name] = time.perf_counter() - start
    finally:
        model.encoder.to("cpu")
        model.language_model.to("cpu")
    return Evaluation(results, seconds)


def transcribe(
    model: SpeechModel, prompts: Sequence[Prompt], decode: Decode, batch_size: int
) -> list[Output]:
    """Decode utterances in batches of like duration, longest first: a batch too large for the memory fails early.

    Args:
        model: Encodes prompts and turns rollouts into texts.
        prompts: Utterances with audio.
        decode: Contexts -> one rollout each.
        batch_size: Utterances at once.

    Returns:
        One output per prompt, in the order of `prompts`.
    """
    order = sorted(range(len(prompts)), key=lambda index: -prompts[index].duration_s)
    found: dict[int, Output] = {}
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        contexts = model.encode([prompts[index] for index in batch])
        rollouts = decode(contexts)
        groups = [Group(context, (rollout,)) for context, rollout in zip(contexts, rollouts, strict=True)]
        for index, outputs in zip(batch, model.decode(groups), strict=True):
            found[index] = outputs[0]
    return [found[index] for index in range(len(prompts))]


def _decoder(
    model: SpeechModel, config: EvaluationConfig, device: torch.device, dtype: torch.dtype
) -> Decode:
    """Greedy decoding by an engine with weights of its own, or beam search on the model's."""
    if config.beam == 1:
        engine = TorchEngine(
            model.language_model, SamplingParams(temperature=0.0), device=device, dtype=dtype
        )
        return lambda contexts: engine.greedy(contexts, config.max_new_tokens)
    language_model = model.language_model.to(device)

    def beam(contexts: Sequence[Context]) -> list[Rollout]:
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype is torch.bfloat16):
            return beam_search(language_model, contexts, config.beam, config.max_new_tokens)

    return beam


def _row(spotter: KeywordSpotter, prompt: Prompt, hypothesis: str, ending: str, length: int) -> Row:
    found = asr_metrics(prompt.text, hypothesis, prompt.language)
    keywords = spotter.count(prompt.text, hypothesis, prompt.language)
    return Row(
        id=prompt.id,
        language=prompt.language,
        reference=prompt.text,
        hypothesis=hypothesis,
        substitutions=int(found["substitutions"]),
        deletions=int(found["deletions"]),
        insertions=int(found["insertions"]),
        words=int(found["words"]),
        ending=ending,
        length=length,
        empty=bool(found["empty"]),
        loop=bool(found["loop"]),
        hallucination=bool(found["hallucination"]),
        wrong_language=bool(found["wrong_language"]),
        keyword_hits=keywords.hits,
        keyword_misses=keywords.misses,
        keyword_false_alarms=keywords.false_alarms,
    )
