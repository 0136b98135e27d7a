"""The whole configuration of a run, strict and typed: one line of explanation per field.

Unknown keys and wrong types are refused. Paths are relative to the working directory unless they are absolute;
`package:` paths name what ships with speechrl (`package:starter/asr`).
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from speechrl.types import Precision

NonNegativeFloat = Annotated[float, Field(ge=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


SPEECH_TOKENS = {"rollout": 400, "evaluation": 600}
"""Token limits of a synthesiser's run that names none, by section."""
JUDGE_TIMEOUT_S = 600.0
"""For a batch, on whatever core is left."""


class Section(BaseModel):
    """Base of every section: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class ModelConfig(Section):
    """Which speech LLM to train."""

    path: str = Field(description="Folder of a saved model; `package:starter/asr` is the one that ships")
    lora_rank: NonNegativeInt = Field(
        0, description="Rank of LoRA adapters on the language model (peft); 0 trains all its weights"
    )


class CurriculumConfig(Section):
    """In which order an epoch goes through its utterances."""

    order: Literal["none", "easy_first", "hard_first"] = Field(
        "none",
        description="By the difficulty that `data select` wrote: bands in turn, shuffled inside; or at random",
    )
    bands: PositiveInt = Field(4, description="Bands of equal size")
    refresh: bool = Field(
        False,
        description="The rollouts of training measure difficulty anew; the next epoch is ordered by that",
    )

    @model_validator(mode="after")
    def _has_an_order(self) -> Self:
        if self.refresh and self.order == "none":
            raise ValueError("refresh orders epochs anew, but order is none: choose easy_first or hard_first")
        return self


class DataConfig(Section):
    """What the policy practises on."""

    train: str | list[str] = Field(
        description="Manifest or list of them: JSONL, NeMo, Kaldi, lhotse; `#long` and others derive from one"
    )
    batch_size: PositiveInt = Field(8, description="Prompts a step")
    max_duration_s: PositiveFloat | None = Field(
        None, description="ASR: utterances longer than this are left out, and counted"
    )
    min_duration_s: NonNegativeFloat = Field(
        0.1, description="ASR: utterances shorter than this are left out, and counted"
    )
    curriculum: CurriculumConfig = CurriculumConfig()
    contexts: str | None = Field(
        None,
        description="Folder of the encoder's work that `data select` kept of this model; read, never written",
    )


class RolloutConfig(Section):
    """How completions are sampled."""

    group_size: PositiveInt = Field(8, description="Completions per prompt (G)")
    temperature: PositiveFloat = Field(1.0, description="Softmax temperature of the behaviour policy")
    top_k: NonNegativeInt = Field(0, description="Sample among the k most likely tokens; 0 is off")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="Nucleus mass; 1 is off")
    max_new_tokens: PositiveInt = Field(
        64, description="Token limit of a completion; by default 400 for a synthesiser"
    )
    tokens_per_second: NonNegativeFloat = Field(
        0.0,
        description="If > 0 the limit is also this many tokens per second of audio (+ 8): cuts runaway loops early",
    )
    tokens_per_character: NonNegativeFloat = Field(
        0.0, description="TTS: if > 0 the limit is also this many speech tokens per character of text (+ 8)"
    )


class RewardConfig(Section):
    """One term of the reward."""

    name: str = Field(description="A name from the table of rewards, or `module:function` of your own")
    weight: float = Field(1.0, description="Its factor in the total")
    options: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments of the reward")
    timeout_s: PositiveFloat = Field(
        60.0, description="A batch that takes longer counts as failed, if the reward has a process of its own"
    )

    @field_validator("options")
    @classmethod
    def _is_finite(cls, options: dict[str, Any]) -> dict[str, Any]:
        if not _finite(options):
            raise ValueError("numbers must be finite; null is how most options are switched off")
        return options


class RewardsConfig(Section):
    """How outputs are judged."""

    terms: list[RewardConfig] = Field(min_length=1, description="Terms of the weighted sum")
    combine: Literal["sum", "harmonic", "normalised"] = Field(
        "sum",
        description="Weighted sum; weighted harmonic mean of terms in [0, 1]; or each term normalised inside its "
        "group, then summed by weight",
    )
    max_failed_share: Share = Field(
        0.25, description="The run stops when a larger share of a step's scores failed"
    )


class DiffROConfig(Section):
    """The differentiable reward of `diffro` and `hybrid`."""

    reward_model: str = Field(
        "package:starter/token2text",
        description="Folder of a Token2Text model over the policy's speech tokens",
    )
    weight: NonNegativeFloat = Field(1.0, description="Hybrid: factor of the DiffRO loss beside GRPO's (w)")
    filter: Literal["none", "advantage", "stopped", "both"] = Field(
        "both",
        description="Hybrid: which samples DiffRO takes: all, those of positive advantage, those that stopped, or both",
    )
    relaxation: Literal["straight_through", "soft"] = Field(
        "straight_through",
        description="Gumbel-Softmax: hard one-hots with soft gradients, or soft throughout",
    )
    temperature: PositiveFloat = Field(1.0, description="Of the Gumbel-Softmax")
    final_temperature: PositiveFloat | None = Field(
        None, description="Anneal the temperature linearly to this by the last step"
    )
    heads: dict[str, float] = Field(
        default_factory=dict,
        description="MTR: weights of further heads of the reward model, by name; all but `rate`",
    )

    @field_validator("heads")
    @classmethod
    def _can_change(cls, heads: dict[str, float]) -> dict[str, float]:
        if heads.get("rate"):
            raise ValueError(
                "rate cannot be weighed: DiffRO draws new tokens for an answer of given text and length, so its true "
                "rate stays as it is, and only the head's belief would move; use the reward `duration`"
            )
        return heads


class AlgorithmConfig(Section):
    """How rewards become a loss."""

    name: Literal["grpo", "gspo", "mwer", "sft", "diffro", "hybrid"] = Field(
        "grpo", description="Which maths"
    )
    diffro: DiffROConfig = DiffROConfig()
    std: Literal["sample", "none"] = Field(
        "sample", description="Advantage: divide by the group's sample standard deviation (ddof 1), or not"
    )
    loss_mean: Literal["token", "sequence", "group"] = Field(
        "token", description="Average the loss over tokens of the batch, over sequences, or over groups"
    )
    clip_low: NonNegativeFloat = Field(0.2, description="Ratio is clipped below at 1 - clip_low")
    clip_high: NonNegativeFloat = Field(0.2, description="Ratio is clipped above at 1 + clip_high")
    kl: Literal["none", "k1", "k2", "k3", "full"] = Field(
        "k3", description="Estimator of KL(policy || reference)"
    )
    kl_weight: NonNegativeFloat = Field(0.1, description="beta, the factor of the KL")
    resample_zero_spread: NonNegativeInt = Field(
        0, description="DAPO: draw new prompts for groups without spread, at most this many times a step"
    )
    length_cut: Literal["keep", "mask"] = Field(
        "keep", description="Rollouts cut by length: train on them, or leave them out of the loss"
    )


class TrainConfig(Section):
    """The optimiser and the run."""

    steps: PositiveInt = Field(60, description="Optimiser steps (rollout batches)")
    learning_rate: PositiveFloat = Field(1e-4, description="Peak learning rate of AdamW")
    warmup_steps: NonNegativeInt = Field(5, description="Linear warm-up")
    schedule: Literal["constant", "cosine", "linear"] = Field("constant", description="After the warm-up")
    weight_decay: NonNegativeFloat = Field(0.0, description="AdamW weight decay")
    max_grad_norm: PositiveFloat = Field(1.0, description="Gradient clipping by global norm")
    updates_per_batch: PositiveInt = Field(
        1, description="Updates on each batch of rollouts; 1 is strictly on-policy"
    )
    tokens_per_microbatch: PositiveInt = Field(
        4096, description="Budget of positions (contexts + completions) per backward pass"
    )
    precision: Precision = Field("bf16", description="Autocast precision of the learner and the rollouts")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="Where stages run; auto takes a GPU if there is one"
    )
    threads: NonNegativeInt = Field(0, description="CPU threads of torch; 0 leaves it alone")
    checkpoint_every: NonNegativeInt = Field(
        0, description="Steps between checkpoints; 0 saves at the end and on Ctrl-C only"
    )
    keep_checkpoints: PositiveInt = Field(2, description="Older ones are removed")


class GuardsConfig(Section):
    """When to skip, warn and stop."""

    max_skipped_steps: PositiveInt = Field(
        5, description="The run stops after this many consecutive non-finite updates"
    )
    max_kl: PositiveFloat = Field(1.0, description="Alarm above this KL to the reference (nats per token)")
    min_entropy: NonNegativeFloat = Field(
        0.01, description="Alarm below this entropy of the policy (nats per token)"
    )
    max_length_ratio: PositiveFloat = Field(
        2.0, description="Alarm when mean rollout length exceeds this times the first steps'"
    )
    max_zero_spread_share: Share = Field(0.9, description="Alarm above this share of groups without spread")
    max_logprob_gap: PositiveFloat = Field(
        0.1, description="Alarm above this mean |rollout - policy log-probability|"
    )


Measure = Literal["similarity", "quality", "dnsmos", "log_f0_std"]


class EvaluationConfig(Section):
    """What is measured before and after (and between)."""

    sets: dict[str, str] = Field(default_factory=dict, description="Name -> manifest of held-out data")
    limit: PositiveInt | None = Field(
        None, description="Utterances of each set, from its beginning; null is all"
    )
    batch_size: PositiveInt = Field(32, description="Utterances decoded at once")
    beam: PositiveInt = Field(1, description="Beam width; 1 is greedy")
    max_new_tokens: PositiveInt = Field(
        128, description="Token limit of a hypothesis, or of speech; by default 600 for a synthesiser"
    )
    temperature: NonNegativeFloat = Field(
        0.8,
        description="TTS: sampling temperature of the speech tokens; 0 is greedy (ASR is always greedy or beam)",
    )
    top_k: NonNegativeInt = Field(25, description="TTS: sample among the k most likely tokens; 0 is off")
    seeds: list[NonNegativeInt] = Field(
        default_factory=lambda: [1], description="TTS: every sentence is spoken once per sampling seed"
    )
    judges: list[str] = Field(
        default_factory=lambda: ["whisper-tiny.en"],
        min_length=1,
        description="TTS: recognisers that listen; the first gives judge_wer. None of them may be a reward",
    )
    measures: list[Measure] = Field(
        default_factory=lambda: list[Measure](["similarity", "quality", "log_f0_std"]),
        description="TTS: what is measured beside the words; quality is DistillMOS. It and DNSMOS take longest",
    )
    vocoder: Literal["fast", "hifigan"] = Field("hifigan", description="TTS: which vocoder the judges hear")
    window: Literal["full", "short"] = Field(
        "full",
        description="TTS: what Whisper judges see: 30 s, as they were trained, or at least 10 s, three times as fast",
    )
    timeout_s: PositiveFloat = Field(
        JUDGE_TIMEOUT_S,
        description="TTS: a batch of renderings that takes a judge longer was not judged by it",
    )
    every: NonNegativeInt = Field(0, description="Steps between evaluations during training; 0 is none")
    before: bool = Field(True, description="Evaluate the model as it was loaded")
    bootstrap: PositiveInt = Field(2000, description="Resamples of the intervals and the paired test")


class ReportConfig(Section):
    """What a run writes beside its metrics."""

    tensorboard: bool = Field(True, description="Write TensorBoard events")
    wandb_project: str | None = Field(
        None, description="Also log to this Weights & Biases project (extra `wandb`)"
    )
    samples_every: PositiveInt = Field(10, description="Steps between kept rollouts with their audio")


class RunConfig(Section):
    """One run: `speechrl train CONFIG key=value ...`."""

    task: Literal["asr", "tts"] = Field(description="Recognise or speak")
    output: str = Field(description="Run directory")
    seed: NonNegativeInt = Field(1, description="Of everything: data order, sampling, bootstrap")
    model: ModelConfig
    data: DataConfig
    rollout: RolloutConfig = RolloutConfig()
    rewards: RewardsConfig
    algorithm: AlgorithmConfig = AlgorithmConfig()
    train: TrainConfig = TrainConfig()
    guards: GuardsConfig = GuardsConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _draws_again_for_a_reason(self) -> Self:
        algorithm = self.algorithm
        if algorithm.resample_zero_spread and (algorithm.name == "diffro" or self.rollout.group_size == 1):
            why = (
                "diffro compares no answers" if algorithm.name == "diffro" else "a group of one has no spread"
            )
            raise ValueError(
                f"algorithm.resample_zero_spread: {why}, so every draw would be in vain; set it to 0"
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _speech_is_long(cls, content: Any) -> Any:
        """Where a run of a synthesiser names no token limits, those of speech: a second has more tokens than words."""
        if not isinstance(content, dict) or content.get("task") != "tts":
            return content
        return content | {
            name: _limited(content.get(name) or {}, most) for name, most in SPEECH_TOKENS.items()
        }


def _finite(value: Any) -> bool:
    """Whether there is neither an infinite number nor a NaN anywhere in what a file may hold."""
    if isinstance(value, dict):
        return all(map(_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _limited(section: Any, most: int) -> Any:
    """A section, as a file or as Python gives it, with a token limit if it names none."""
    if isinstance(section, Section):
        named = "max_new_tokens" in section.model_fields_set
        return section if named else section.model_copy(update={"max_new_tokens": most})
    return {"max_new_tokens": most, **section} if isinstance(section, dict) else section
