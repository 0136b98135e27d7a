"""Synthesis on held-out sentences: speak, let judges listen, and keep a row per rendering."""

from __future__ import annotations

import time
import zlib
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from speechrl.errors import RewardError
from speechrl.evaluate.ears import MEASURES, load_ears
from speechrl.evaluate.results import Evaluation
from speechrl.evaluate.sound import Renderer, duration_s, sounding_s
from speechrl.evaluate.tts_results import AUDIBLE_S, Heard, SpokenRow, SpokenSet
from speechrl.rewards.verdict import Verdict
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.torch_engine import TorchEngine
from speechrl.text.alignment import align_texts
from speechrl.types import Ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from speechrl.config.schema import EvaluationConfig
    from speechrl.evaluate.ears import Ears
    from speechrl.models.base import SpeechModel
    from speechrl.types import Output, Precision, Prompt

    Keep = Callable[[str, SpokenRow, Output], None]
    """Takes the sound of a row of the set of that name."""

MAX_FAILED_SHARE = 0.1
"""A judge or scorer that could not judge more than this share of a set ends the evaluation."""


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
    """Speak every sentence of every set once per sampling seed, and judge what can be heard.

    The model is on the host before and after. What a seed samples depends on `config.batch_size`, too.

    Args:
        model: A synthesiser.
        sets: Name -> sentences with their reference voices.
        config: Sampling, seeds, vocoder, judges, batch size and token limit.
        device: Where to sample and to make sound.
        precision: `fp32` or `bf16`, of sampling and of DistillMOS.
        ears: Who listens; by default the judges of `config` and the scorers of `evaluate.ears`.
        keep: Is given every row with its sound.

    Raises:
        ConfigError: A judge is unknown.
        RewardError: A judge or scorer failed on more than `MAX_FAILED_SHARE` of a set.
    """
    if not sets:  # spares loading judges who would hear nothing
        return Evaluation({}, {})
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    params = SamplingParams(config.temperature, config.top_k, 1.0, config.max_new_tokens)
    frozen = [module for module in (model.encoder, model.decoder) if module is not None]
    results, seconds = {}, {}
    with ExitStack() as stack:
        if ears is None:
            ears = stack.enter_context(
                load_ears(
                    config.judges,
                    measures=config.measures,
                    window=config.window,
                    precision=precision,
                    timeout_s=config.timeout_s,
                )
            )
        engine = TorchEngine(model.language_model, params, device, dtype)
        render = Renderer(model, config.vocoder, device)
        session = _Session(model, engine, render, ears, config.batch_size, keep)
        for module in frozen:
            stack.callback(module.to, "cpu")
            module.to(device)
        for name, prompts in sets.items():
            start = time.perf_counter()
            rows = [row for seed in config.seeds for row in session.speak(name, prompts, seed)]
            results[name] = SpokenSet(tuple(rows))
            seconds[name] = time.perf_counter() - start
    return Evaluation(results, seconds)


@dataclass(frozen=True, slots=True)
class _Session:
    """Everything between a set of sentences and its rows."""

    model: SpeechModel
    engine: TorchEngine
    render: Renderer
    ears: Ears
    batch_size: int
    keep: Keep | None

    def speak(self, name: str, prompts: Sequence[Prompt], seed: int) -> list[SpokenRow]:
        """Rows of one sampling seed, in the order of the prompts."""
        found: dict[int, SpokenRow] = {}
        for indices in _batches(prompts, self.batch_size):
            batch = [prompts[index] for index in indices]
            contexts = self.model.encode(batch)
            groups = self.engine.sample(contexts, batch, 1, _batch_seed(seed, indices[0]))
            silent = [outputs[0] for outputs in self.model.decode(groups, audio=False)]
            outputs = self.render(batch, silent)
            rows = judge(self.ears, batch, outputs, seed)
            found |= dict(zip(indices, rows, strict=True))
            # Looked at after every batch: who hangs is not waited for again and again.
            _stop_if_too_many_failed(name, list(found.values()), len(prompts))
            if self.keep is not None:
                for row, output in zip(rows, outputs, strict=True):
                    self.keep(name, row, output)
        return [found[index] for index in range(len(prompts))]


def judge(ears: Ears, prompts: Sequence[Prompt], outputs: Sequence[Output], seed: int) -> list[SpokenRow]:
    """Let everyone listen to a batch.

    Args:
        ears: Judges and scorers.
        prompts: What was to be spoken, by which voice.
        outputs: The sound, one per prompt.
        seed: Goes into the rows.
    """
    audible = [
        index
        for index, output in enumerate(outputs)
        if duration_s(output) >= AUDIBLE_S and sounding_s(output)
    ]
    heard = ears.listen([outputs[index] for index in audible], [prompts[index] for index in audible])
    by_index: dict[int, dict[str, Verdict]] = {
        index: {name: verdicts[place] for name, verdicts in heard.items()}
        for place, index in enumerate(audible)
    }
    silence = {name: Verdict(0.0, heard="") for name in ears.judges}
    return [
        _row(prompt, output, seed, tuple(ears.judges), by_index.get(index, silence))
        for index, (prompt, output) in enumerate(zip(prompts, outputs, strict=True))
    ]


def _batch_seed(seed: int, first: int) -> int:
    """A batch's own seed: an engine's random numbers depend on places in the batch, which would repeat."""
    return int(np.random.SeedSequence([seed, first]).generate_state(1)[0])


def _batches(prompts: Sequence[Prompt], size: int) -> Iterator[list[int]]:
    """Indices of texts of like length, longest first: a batch too large for the memory fails early."""
    order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index].text))
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _row(
    prompt: Prompt, output: Output, seed: int, judges: Sequence[str], verdicts: Mapping[str, Verdict]
) -> SpokenRow:
    measured = {name: _value(verdicts.get(name)) for name in MEASURES}
    problems = {name: verdict.problem for name, verdict in verdicts.items() if verdict.problem}
    mute = {name: "gave no transcript" for name in judges if verdicts[name].heard is None}
    sounding = sounding_s(output)
    return SpokenRow(
        id=prompt.id,
        seed=seed,
        language=prompt.language,
        text=prompt.text,
        voice="" if prompt.audio is None else f"{zlib.crc32(prompt.audio.tobytes()):08x}",
        judges={name: _heard(prompt, verdicts[name]) for name in judges},
        similarity=measured["similarity"],
        quality=measured["quality"],
        dnsmos=measured["dnsmos"],
        log_f0_std=measured["log_f0_std"],
        speaking_rate=len(prompt.text) / sounding if sounding else None,
        duration_s=round(duration_s(output), 3),
        tokens=output.length,
        characters=len(prompt.text),
        no_stop=output.ending is Ending.LENGTH,
        token_ids=output.token_ids,
        problems=mute | problems,
    )


def _heard(prompt: Prompt, verdict: Verdict) -> Heard | None:
    if verdict.problem or verdict.heard is None:
        return None
    words = align_texts(prompt.text, verdict.heard, prompt.language)
    letters = align_texts(prompt.text, verdict.heard, prompt.language, "char")
    return Heard(
        text=verdict.heard,
        substitutions=words.substitutions,
        deletions=words.deletions,
        insertions=words.insertions,
        words=words.words,
        character_errors=letters.errors,
        characters=letters.words,
    )


def _value(verdict: Verdict | None) -> float | None:
    return None if verdict is None or verdict.problem else verdict.value


def _stop_if_too_many_failed(name: str, rows: Sequence[SpokenRow], expected: int) -> None:
    """Count failures by judge and scorer, as a share of the renderings of one seed."""
    for who, count in Counter(who for row in rows for who in row.problems).items():
        if count <= MAX_FAILED_SHARE * expected:
            continue
        reasons = Counter(row.problems[who] for row in rows if who in row.problems)
        listed = "\n".join(f"  {times} x {reason}" for reason, times in reasons.most_common(5))
        raise RewardError(
            f"evaluation set {name!r}: {who} failed on {count} of {expected} renderings, more than "
            f"{MAX_FAILED_SHARE:.0%}, so its numbers would mean nothing:\n{listed}\n"
            "Mend it, or choose other evaluation.judges."
        )
