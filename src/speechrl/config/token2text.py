"""The configuration of `speechrl train token2text`, as strict as that of a run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, field_validator

from speechrl.config.schema import NonNegativeFloat, NonNegativeInt, Section, Share
from speechrl.types import Precision


class PairsConfig(Section):
    """What Token2Text learns from."""

    train: str | list[str] = Field(
        description='JSONL of pairs ({"tokens": [...], "text": ...; "voice", "quality"}), or a manifest of audio; '
        "or a list of them"
    )
    held_out: str | list[str] = Field(description="The same, never trained on: for the figures in the card")
    synthesiser: str | None = Field(
        None,
        description="Folder of the synthesiser whose tokenizer made the tokens, and makes those of audio manifests",
    )
    codebook: str | None = Field(
        None, description="Hash of the tokenizer that made the tokens, where no synthesiser is given"
    )
    levels: list[PositiveInt] | None = Field(
        None,
        description="Levels of that tokenizer's finite scalar quantiser, where no synthesiser is given: codes that "
        "share digits begin alike, and it learns several times faster",
    )
    voices: str | None = Field(
        None,
        description="safetensors of mean voice vectors by name; with them the head `speaker` can take any reference "
        "voice as its target",
    )
    half: Literal["all", "first", "second"] = Field(
        "all", description="Train on all texts or on one of two halves without a text in common (for a judge)"
    )


class Token2TextModelConfig(Section):
    """Its shape."""

    architecture: Literal["convnext", "gru"] = Field("convnext", description="Kind of backbone")
    vocabulary: PositiveInt = Field(4096, description="Speech codes, without the policy's end token")
    width: PositiveInt = Field(224, description="Of embeddings and hidden states; even for a GRU")
    layers: PositiveInt = Field(4, description="Blocks, or GRU layers")
    kernel: PositiveInt = Field(9, description="ConvNeXt: tokens that a block looks at, odd")
    heads: list[Literal["quality", "speaker", "rate"]] = Field(
        default_factory=list,
        description="MTR: further tasks; quality and speaker need `quality` and `voice` in the pairs",
    )

    @field_validator("kernel")
    @classmethod
    def _is_odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"{value} tokens have no middle; give an odd number, such as {value + 1}")
        return value


class RobustnessConfig(Section):
    """What makes it hard to please by artefacts (arXiv 2512.04552), each off at 0."""

    after: Share = Field(
        0.0,
        description="Share of the steps before any of it begins: CTC that is disturbed at the start never finds a word",
    )
    token_noise: Share = Field(
        0.1, description="Up to this share of tokens is replaced at random, drawn per utterance"
    )
    label_smoothing: Share = Field(
        0.0,
        description="Weight of the divergence from uniform characters in every frame; of classes in heads",
    )
    mixup: NonNegativeFloat = Field(
        0.0, description="alpha: pairs of utterances are mixed as embeddings by a Beta(alpha, alpha) draw"
    )
    embedding_noise: NonNegativeFloat = Field(
        0.0, description="Standard deviation of Gaussian noise, in units of the embeddings' RMS"
    )
    adversarial: NonNegativeFloat = Field(
        0.0, description="Length of one step against the text (FGSM), in units of the embeddings' RMS"
    )


class SupervisedConfig(Section):
    """The optimiser."""

    steps: PositiveInt = Field(1500, description="Optimiser steps")
    tokens_per_batch: PositiveInt = Field(3000, description="Padded speech tokens of a step")
    learning_rate: PositiveFloat = Field(3e-3, description="Peak learning rate of AdamW; falls as a cosine")
    muon_learning_rate: NonNegativeFloat = Field(
        0.03, description="The same of Muon, which moves the matrices inside; 0 leaves them to AdamW"
    )
    warmup_steps: NonNegativeInt = Field(100, description="Linear warm-up")
    weight_decay: NonNegativeFloat = Field(0.01, description="AdamW weight decay")
    max_grad_norm: PositiveFloat = Field(1.0, description="Gradient clipping by global norm")
    head_weight: NonNegativeFloat = Field(
        0.3, description="Factor of each head's cross-entropy beside the text's nats per character"
    )
    precision: Precision = Field("bf16", description="Autocast precision")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU if there is one")
    threads: NonNegativeInt = Field(0, description="CPU threads of torch; 0 leaves it alone")


class Token2TextRun(Section):
    """One training: `speechrl train token2text CONFIG key=value ...`."""

    output: str = Field(description="Folder of the Token2Text")
    seed: NonNegativeInt = Field(1, description="Of everything: weights, data order, noise")
    tokens_per_second: Annotated[float, Field(gt=0)] = Field(
        22_050 / 256 / 4, description="Of the speech tokenizer; makes speaking rates readable"
    )
    data: PairsConfig
    model: Token2TextModelConfig = Token2TextModelConfig()
    robust: RobustnessConfig = RobustnessConfig()
    train: SupervisedConfig = SupervisedConfig()
