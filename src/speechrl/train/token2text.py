"""Supervised training of Token2Text, and the card that says how well it hears."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from safetensors import SafetensorError
from safetensors.torch import load_file

from speechrl.config.load import resolve_path
from speechrl.config.schema import TrainConfig
from speechrl.config.token2text import RobustnessConfig
from speechrl.errors import CheckpointError, ConfigError, DataError, ModelError, TrainingError
from speechrl.models.tts.code_digits import embeddings_by_digit
from speechrl.models.tts.speech_tokenizer import load_speech_tokenizer
from speechrl.models.tts.token2text import SPEAKER, Token2Text, Token2TextConfig
from speechrl.models.tts.token2text_parts import spell, unspell
from speechrl.train.muon import muon_and_adamw, set_rates, update
from speechrl.train.preflight import refuse_taken
from speechrl.train.randomness import seed_everything
from speechrl.train.schedule import learning_rate
from speechrl.train.stages import choose_device
from speechrl.train.token2text_data import (
    UNLABELLED,
    batches,
    class_of,
    collate,
    head_specs,
    load_pairs,
    one_half,
    pairs_of_audio,
    shared_texts,
)
from speechrl.train.token2text_losses import disturbed, losses, mix, replace_tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor

    from speechrl.config.token2text import Token2TextRun
    from speechrl.models.tts.token2text_parts import HeadSpec
    from speechrl.train.token2text_data import Pair

CARD = "card.json"
SPEECH_TOKENIZER = "speech_tokenizer"
"""The folder of the tokenizer in that of a synthesiser."""
MEASURED_NOISE = 0.1
"""Share of random tokens under which the card gives the error rate once more."""


@dataclass(frozen=True, slots=True)
class HeadCard:
    """How well a head tells held-out utterances apart.

    Attributes:
        accuracy: Share of right classes.
        majority: Accuracy of always saying the most frequent class.
        utterances: Held-out utterances with a label.
    """

    accuracy: float
    majority: float
    utterances: int


@dataclass(frozen=True, slots=True)
class Card:
    """What a Token2Text can do, measured on held-out pairs.

    Attributes:
        cer: Pooled character error rate (spaces are characters) of greedy transcripts.
        cer_noisy: The same with MEASURED_NOISE of the tokens replaced at random.
        nats_per_character: Negative log-likelihood of the texts per character.
        utterances: Held-out utterances with a text.
        heads: By name.
        training: Pairs used and left out, parameters, minutes, options.
    """

    cer: float
    cer_noisy: float
    nats_per_character: float
    utterances: int
    heads: Mapping[str, HeadCard] = field(default_factory=dict)
    training: Mapping[str, object] = field(default_factory=dict)

    def line(self, name: str) -> str:
        """A row of the table in a model card: name, error rates, heads."""
        heads = ", ".join(
            f"{head} {card.accuracy:.1%} (majority {card.majority:.1%})" for head, card in self.heads.items()
        )
        return f"| {name} | {self.cer:.1%} | {self.cer_noisy:.1%} | {self.nats_per_character:.2f} | {heads or '-'} |"


def train_token2text(
    config: Token2TextRun, report: Callable[[str], None] = print, *, replace: bool = False
) -> Card:
    """Train on pairs, measure on held-out pairs, and write model and card to `config.output`.

    Args:
        config: What to train.
        report: Told how it goes, a line at a time.
        replace: Whether it may take the place of what `config.output` holds.

    Raises:
        ConfigError: The output is taken or cannot be made; or neither a synthesiser nor a codebook is named, or both
            and they differ.
        DataError: The pairs cannot be used.
        ModelError: The synthesiser cannot be loaded or has another number of speech codes.
        TrainingError: The loss is not finite.
        CheckpointError: The folder cannot be written.
    """
    folder = Path(config.output).expanduser()
    if not replace:
        refuse_taken(folder)
    if config.train.threads:
        torch.set_num_threads(config.train.threads)
    seed_everything(config.seed)
    codebook, levels, tokenise = _codes(config)
    vocabulary = config.model.vocabulary
    pairs, left_out = load_pairs(config.data.train, vocabulary, tokenise)
    pairs = one_half(pairs, config.data.half)
    if not config.model.heads:
        pairs = [pair for pair in pairs if pair.text is not None]
    held_out, _ = load_pairs(config.data.held_out, vocabulary, tokenise)
    specs = head_specs(config.model.heads, pairs, config.tokens_per_second)
    _check_labels(held_out, specs, config.tokens_per_second)
    voices_KD = (
        _voices(config.data.voices, specs[SPEAKER]) if SPEAKER in specs and config.data.voices else None
    )
    shape = config.model
    model = Token2Text(
        Token2TextConfig(
            vocabulary, codebook, shape.architecture, shape.width, shape.layers, shape.kernel, specs
        ),
        voices_KD,
    )
    if levels is not None:
        model.embedding.weight.data.copy_(embeddings_by_digit(levels, shape.width))
    size = sum(parameter.numel() for parameter in model.parameters())
    hours = sum(len(pair.tokens) for pair in pairs) / config.tokens_per_second / 3600
    report(f"{len(pairs)} pairs, {hours:.1f} h ({left_out} left out), {size / 1e6:.2f} M parameters")
    if shared := shared_texts(pairs, held_out):
        report(
            f"Note: {shared} of {len(held_out)} held-out pairs say what training pairs say, word for word: the card "
            "may tell of memory. Take them out of data.held_out, or their texts out of data.train."
        )
    began_s, began_cpu_s = time.monotonic(), time.process_time()
    fit(model, pairs, config, report)
    training = {
        "pairs": len(pairs), "hours": round(hours, 2), "left_out": left_out, "parameters": size,
        "minutes": round((time.monotonic() - began_s) / 60, 1),
        "cpu_minutes": round((time.process_time() - began_cpu_s) / 60, 1),
        # The card travels with the model, to where these paths mean nothing.
        "config": config.model_dump(mode="json", include={"seed", "model", "robust", "train"}),
        "half": config.data.half,
    }  # fmt: skip
    model.eval().requires_grad_(False).cpu()
    card = measure(model, held_out, config.tokens_per_second, training)
    model.save(folder)
    try:
        (folder / CARD).write_text(json.dumps(asdict(card), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"{folder / CARD}: cannot be written ({error}); make room") from error
    return card


def fit(
    model: Token2Text, pairs: Sequence[Pair], config: Token2TextRun, report: Callable[[str], None]
) -> None:
    """Minimise the losses of the pairs for the steps of the configuration, in place."""
    options = config.train
    device = choose_device(options.device)
    model.to(device).train()
    matrices = matrices_of(model) if options.muon_learning_rate else []
    inside = {id(matrix) for matrix in matrices}
    others = [parameter for parameter in model.parameters() if id(parameter) not in inside]
    optimisers = muon_and_adamw(
        matrices,
        options.muon_learning_rate,
        (others, options.learning_rate),
        weight_decay=options.weight_decay,
    )
    schedule = TrainConfig(
        steps=options.steps,
        learning_rate=1.0,
        warmup_steps=options.warmup_steps,
        schedule="cosine",
    )
    drawn = batches(pairs, options.tokens_per_batch, np.random.default_rng(config.seed))
    began_s, recent = time.monotonic(), []
    for step in range(1, options.steps + 1):
        batch = collate(next(drawn), model.config.heads, config.tokens_per_second).to(device)
        set_rates(optimisers, learning_rate(step, schedule))
        robust = (
            config.robust if step > config.robust.after * options.steps else RobustnessConfig(token_noise=0)
        )
        tokens_BT = replace_tokens(batch.tokens_BT, robust.token_noise, model.config.vocabulary)
        with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
            mixture = mix(model.embedding(tokens_BT), batch.lengths_B, robust.mixup)
            mixture = disturbed(model, mixture, batch, robust, options.head_weight)
            loss = losses(model, mixture, batch, robust.label_smoothing, options.head_weight)
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), options.max_grad_norm)
        recent.append([loss.text.item(), *(head.item() for head in loss.heads.values())])
        if not np.isfinite(recent[-1]).all():
            raise TrainingError(f"step {step}: the loss is not finite; lower train.learning_rate")
        update(optimisers)
        if step % 100 == 0 or step == options.steps:
            means = np.mean(recent, axis=0)
            parts = zip(("nats/char", *loss.heads), means, strict=True)
            told = " ".join(f"{name} {value:.3f}" for name, value in parts)
            report(f"step {step}/{options.steps} {told} {time.monotonic() - began_s:.0f} s")
            recent.clear()


def matrices_of(model: Token2Text) -> list[Tensor]:
    """Weights of linear layers that neither read codes nor predict: what Muon is for."""
    predicting = {
        id(model.characters),
        *(id(layer) for head in model.heads.values() for layer in head.children()),
    }
    return [
        layer.weight
        for layer in model.modules()
        if isinstance(layer, torch.nn.Linear) and id(layer) not in predicting
    ]


@torch.no_grad()
def measure(
    model: Token2Text, pairs: Sequence[Pair], tokens_per_second: float, training: Mapping[str, object]
) -> Card:
    """How well a frozen model hears held-out pairs; the noise is the same whenever it is drawn."""
    spoken = [pair for pair in pairs if pair.text is not None]
    texts = [unspell(spell(pair.text or "")) for pair in spoken]
    clean = [pair.tokens for pair in spoken]
    generator = np.random.default_rng(0)
    vocabulary = model.config.vocabulary
    noisy = [
        np.where(
            generator.random(len(tokens)) < MEASURED_NOISE,
            generator.integers(vocabulary, size=len(tokens)),
            tokens,
        ).tolist()
        for tokens in clean
    ]
    characters = max(1, sum(map(len, texts)))
    nll = sum(
        float(model.nll(clean[at : at + 32], texts[at : at + 32]).sum()) for at in range(0, len(clean), 32)
    )
    return Card(
        cer=_errors(texts, model.transcribe(clean)) / characters,
        cer_noisy=_errors(texts, model.transcribe(noisy)) / characters,
        nats_per_character=nll / characters,
        utterances=len(spoken),
        heads={
            name: _head_card(model, name, spec, pairs, tokens_per_second)
            for name, spec in model.config.heads.items()
        },
        training=training,
    )


def _errors(references: Sequence[str], hypotheses: Sequence[str]) -> int:
    return sum(
        Levenshtein.distance(reference, hypothesis)
        for reference, hypothesis in zip(references, hypotheses, strict=True)
    )


def _head_card(
    model: Token2Text, name: str, spec: HeadSpec, pairs: Sequence[Pair], tokens_per_second: float
) -> HeadCard:
    right, seen = 0, np.zeros(len(spec.classes), int)
    for at in range(0, len(pairs), 32):
        batch = collate(pairs[at : at + 32], {name: spec}, tokens_per_second)
        hidden_BTD = model.hidden(model.embedding(batch.tokens_BT), batch.lengths_B)
        best_B = model.head_logprobs(name, hidden_BTD, batch.lengths_B).argmax(1)
        labels_B = batch.labels[name]
        known_B = labels_B != UNLABELLED
        right += int((best_B == labels_B)[known_B].sum())
        seen += np.bincount(labels_B[known_B].numpy(), minlength=len(seen))
    total = int(seen.sum())
    return HeadCard(right / total, int(seen.max()) / total, total)


def _check_labels(pairs: Sequence[Pair], specs: Mapping[str, HeadSpec], tokens_per_second: float) -> None:
    """See that every head can be measured; raises DataError, before the training."""
    for name, spec in specs.items():
        if all(class_of(name, spec, pair, tokens_per_second) == UNLABELLED for pair in pairs):
            raise DataError(
                f"head {name}: no held-out pair has a label that the training pairs have; add it to data.held_out, or "
                f"take {name} out of model.heads"
            )


def _codes(
    config: Token2TextRun,
) -> tuple[str, Sequence[int] | None, Callable[[Path], Iterator[Pair]] | None]:
    """Hash of the codes, levels of their digits if known, and what makes pairs of audio where a synthesiser is named.

    Raises:
        ConfigError: It cannot be known whose codes these are, or the levels make another number of codes.
        ModelError: The synthesiser's tokenizer cannot be loaded, or makes other codes.
    """
    data = config.data
    if data.synthesiser is None:
        if data.codebook is None:
            raise ConfigError(
                "data.synthesiser or data.codebook is missing: name the synthesiser whose tokenizer made the tokens, "
                "so that no policy with other codes is ever judged by this model"
            )
        if data.levels is not None and math.prod(data.levels) != config.model.vocabulary:
            raise ConfigError(
                f"data.levels: {data.levels} make {math.prod(data.levels)} codes, model.vocabulary is "
                f"{config.model.vocabulary}; correct either, or leave data.levels out"
            )
        return data.codebook, data.levels, None
    tokenizer = load_speech_tokenizer(resolve_path(data.synthesiser) / SPEECH_TOKENIZER)
    if data.levels is not None and tuple(data.levels) != tuple(tokenizer.config.levels):
        raise ConfigError(
            f"data.levels: {data.levels} are not those of {data.synthesiser}, {list(tokenizer.config.levels)}; leave "
            "them out, or name data.codebook in place of the synthesiser that did not make these tokens"
        )
    if data.codebook not in (None, tokenizer.codebook):
        raise ConfigError(
            f"data.codebook is {data.codebook!r}, the tokenizer of {data.synthesiser} is {tokenizer.codebook!r}; "
            "leave data.codebook out, or name the synthesiser that made the tokens"
        )
    if tokenizer.codes != config.model.vocabulary:
        raise ModelError(
            f"{data.synthesiser}: its tokenizer has {tokenizer.codes} codes; set model.vocabulary={tokenizer.codes}"
        )
    return tokenizer.codebook, tokenizer.config.levels, partial(pairs_of_audio, tokenizer)


def _voices(path: str, spec: HeadSpec) -> Tensor:
    """Mean voice vectors of the classes of the speaker head, shape (K, D), of unit length."""
    try:
        vectors = load_file(resolve_path(path))
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: no voice vectors there ({error}); correct data.voices") from error
    missing = [name for name in spec.classes if name not in vectors]
    if missing:
        raise DataError(
            f"{path}: no vector of the voices {', '.join(missing)}, which speak in the pairs; add it"
        )
    stacked_KD = torch.stack([vectors[name].float() for name in spec.classes])
    return torch.nn.functional.normalize(stacked_KD, dim=-1)
