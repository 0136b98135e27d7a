"""The configuration of `speechrl data select`, as strict as that of a run."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from speechrl.config.schema import (
    NonNegativeFloat,
    NonNegativeInt,
    RewardConfig,
    RewardsConfig,
    Section,
    Share,
)
from speechrl.types import Precision

Verdict = Literal["easy", "hard", "ambiguous", "label_suspect", "unjudged"]
Measure = Literal[
    "duration_s",
    "pause_s",
    "words_per_second",
    "wer",
    "judge_gap",
    "insertions",
    "length_ratio",
    "difficulty",
    "reward_mean",
    "reward_std",
    "entropy",
    "disagreement",
    "loop_share",
    "hallucination_share",
    "cut_share",
    "tokens_per_char",
    "keyword_count",
]
"""Numbers of an utterance that a rule may ask for and a subset may be ordered by; see `selection.utterances`."""
Kind = Literal["repetition", "twister", "digits", "abbreviations", "code_switching", "long"]
"""Of texts that are hard to speak; `text.hard` has the rules."""


class ProbeConfig(Section):
    """How the model to be trained is listened to."""

    samples: Annotated[int, Field(ge=2)] = Field(
        8, description="Sampled hypotheses an utterance, beside the greedy one"
    )
    temperature: PositiveFloat = Field(
        1.0, description="Softmax temperature of the samples; take that of the training"
    )
    top_k: NonNegativeInt = Field(0, description="Sample among the k most likely tokens; 0 is off")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(1.0, description="Nucleus mass; 1 is off")
    max_new_tokens: PositiveInt = Field(256, description="Token limit of a hypothesis")
    tokens_per_second: NonNegativeFloat = Field(
        12.0, description="If > 0 samples are also limited to this many tokens per second of audio (+ 8)"
    )
    tokens_per_character: NonNegativeFloat = Field(
        0.0, description="If > 0 samples of a synthesiser are limited to this many tokens per character (+ 8)"
    )
    reader: str = Field(
        "package:starter/token2text", description="Token2Text that writes down what a synthesiser says"
    )
    batch_size: PositiveInt = Field(8, description="Utterances decoded at once")
    shard_size: PositiveInt = Field(64, description="Utterances between two files: what a kill costs at most")
    precision: Precision = Field("fp32", description="Of the decoding weights")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to decode")
    threads: NonNegativeInt = Field(0, description="CPU threads of torch; 0 leaves it alone")
    keep_contexts_gb: NonNegativeFloat = Field(
        0.0, description="Keep up to this much of the encoder's work on disk, for `data.contexts` of a run"
    )


class JudgeConfig(Section):
    """A recogniser beside the model."""

    name: str = Field(
        description="`whisper-base`, `whisper-tiny.en`, `moonshine-tiny`, a folder, or a hub name"
    )
    languages: list[str] | None = Field(None, description="Languages that it understands; by default all")


class JudgesConfig(Section):
    """Other recognisers, and when their word counts."""

    recognisers: list[JudgeConfig] = Field(default_factory=list, description="Recognisers that listen here")
    hypotheses: dict[str, str] = Field(
        default_factory=dict,
        description='Name -> JSONL of what others recognised elsewhere: {"id", "hypothesis"}',
    )
    quorum: Annotated[int, Field(ge=2)] | None = Field(
        None, description="So many judges must agree, each with each; by default all that heard the utterance"
    )
    agree: Share = Field(0.05, description="Judges agree up to this mutual word error rate")
    differ: Share = Field(
        0.10, description="Above this error rate the model, or the label, differs from the judges"
    )
    window: Literal["full", "short"] = Field(
        "full", description="What a packaged Whisper is shown of short clips"
    )

    @field_validator("recognisers", mode="before")
    @classmethod
    def _by_name(cls, recognisers: Any) -> Any:
        """A name alone is a recogniser too."""
        if not isinstance(recognisers, list):
            return recognisers
        return [{"name": one} if isinstance(one, str) else one for one in recognisers]


class KeywordsConfig(Section):
    """Words that matter; `text.keyword_extraction` says how they are found."""

    given: str | None = Field(
        None, description="File with a word or phrase a line: those are keywords wherever said"
    )
    manifest: bool = Field(True, description="Also those that the manifest names")
    extract: list[Literal["rare", "proper", "product"]] = Field(
        default_factory=list, description="Also rare words, proper nouns, tokens like those of products"
    )
    rare_share: Share = Field(
        0.01, description="A rare word is in at most this share of the pool's texts (or in one)"
    )
    most: PositiveInt = Field(5, description="Extracted keywords an utterance, at most")


class Range(Section):
    """min <= value < max, so that two ranges with a common end share nothing."""

    min: float | None = Field(None, description="At least; None is no limit")
    max: float | None = Field(None, description="Below; None is no limit")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(f"no value is at least {self.min:g} and below {self.max:g}")
        return self

    def holds(self, value: float | None) -> bool:
        """Whether a value lies inside; one that is not known does not."""
        if value is None:
            return False
        return (self.min is None or value >= self.min) and (self.max is None or value < self.max)


class Line(Section):
    """A line of a rule: it holds for an utterance that meets everything it says."""

    verdict: list[Verdict] | None = Field(None, description="One of these")
    language: list[str] | None = Field(None, description="One of these")
    band: list[NonNegativeInt] | None = Field(
        None, description="Difficulty band: one of these, 0 is the easiest"
    )
    spread: bool | None = Field(
        None, description="The samples earn different rewards, so that a group teaches something"
    )
    loop: bool | None = Field(None, description="The greedy hypothesis repeats itself beyond the reference")
    hallucination: bool | None = Field(
        None,
        description="The hallucination reward, with its default options, finds something in the greedy hypothesis; of "
        "speech, a loop",
    )
    repeated: bool | None = Field(None, description="The speech itself repeats words or phrases")
    speechless: bool | None = Field(None, description="Nobody speaks: the reference is empty")
    duration_s: Range | None = Field(None, description="Seconds of audio")
    pause_s: Range | None = Field(None, description="Longest pause inside the speech")
    words_per_second: Range | None = Field(
        None,
        description="Reference words per second of audio; two characters are a word in Chinese and the like",
    )
    wer: Range | None = Field(None, description="Error rate of the greedy hypothesis against the reference")
    judge_gap: Range | None = Field(
        None, description="Mutual error rate of the greedy hypothesis and the judges' consensus"
    )
    insertions: Range | None = Field(
        None, description="Words of the greedy hypothesis too many; of a synthesiser's, letters"
    )
    length_ratio: Range | None = Field(None, description="Hypothesis words / reference words")
    difficulty: Range | None = Field(None, description="Mean error rate of the samples, each at most 1")
    reward_mean: Range | None = Field(None, description="Mean reward of the samples")
    reward_std: Range | None = Field(None, description="Its sample standard deviation")
    entropy: Range | None = Field(None, description="Mean -log p of the sampled tokens, in nats")
    disagreement: Range | None = Field(
        None, description="Mean mutual error rate of the samples, each at most 1"
    )
    loop_share: Range | None = Field(None, description="Share of samples that repeat themselves")
    hallucination_share: Range | None = Field(
        None, description="Share of samples that hallucinate, by the same rule"
    )
    cut_share: Range | None = Field(None, description="Share of samples that were cut at the token limit")
    tokens_per_char: Range | None = Field(
        None, description="Speech tokens of a synthesiser's samples per character"
    )
    keyword_count: Range | None = Field(None, description="Keywords of the utterance")
    kinds: list[Kind] | None = Field(None, description="Hard to speak for one of these reasons (`text.hard`)")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if all(getattr(self, name) is None for name in type(self).model_fields):
            raise ValueError(
                "a line must say something; to take every utterance leave the list of lines empty"
            )
        return self


class SubsetConfig(Section):
    """A subset of the pool by a rule."""

    any: list[Line] = Field(
        default_factory=list, description="One of these lines must hold; none takes every utterance"
    )
    order: Literal["random"] | Measure = Field(
        "random", description="Who comes first where not all are wanted"
    )
    descending: bool = Field(True, description="The highest of `order` first; the lowest with false")
    size: PositiveInt | None = Field(None, description="Utterances at most; None is all")
    same_size_as: str | None = Field(None, description="As many as that subset has: a control")

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.size is not None and self.same_size_as is not None:
            raise ValueError("give size or same_size_as, not both")
        return self


class MixConfig(Section):
    """A training set put together from subsets; no utterance is in it twice."""

    shares: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        min_length=1, description="Subset -> share, 1 in all"
    )
    size: PositiveInt | None = Field(None, description="Utterances; None is as many as the shares allow")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ValueError(f"the shares add up to {sum(self.shares.values()):g}, not to 1")
        return self


class SelectionConfig(Section):
    """One selection: `speechrl data select MODEL MANIFEST --out DIR`."""

    seed: NonNegativeInt = Field(1, description="Of sampling and of every random choice")
    labels: Literal["given", "judges"] = Field(
        "given",
        description="References: the manifest's texts, or what the judges agree on (an unlabelled pool)",
    )
    probe: ProbeConfig = ProbeConfig()
    judges: JudgesConfig = JudgesConfig()
    rewards: RewardsConfig = Field(
        default_factory=lambda: RewardsConfig(terms=[RewardConfig(name="accuracy")]),
        description="What the samples earn; take those of the training",
    )
    keywords: KeywordsConfig = KeywordsConfig()
    bands: list[Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=lambda: [0.05, 0.2, 0.5], description="Ends of the difficulty bands, ascending"
    )
    never: list[str] = Field(
        default_factory=list, description="Manifests that share nothing with the selection: test sets"
    )
    max_per_text: PositiveInt | None = Field(1, description="Utterances of one text; None is no limit")
    exclude: dict[str, Line] = Field(
        default_factory=dict, description="Reason -> line: utterances that no subset takes"
    )
    subsets: dict[str, SubsetConfig] = Field(min_length=1, description="Name -> rule")
    mix: MixConfig | None = Field(None, description="Also write `mixed`, put together by shares")

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        if list(self.bands) != sorted(set(self.bands)):
            raise ValueError(f"bands must ascend, and are {self.bands}")
        for name, subset in self.subsets.items():
            if not name.replace("-", "_").isidentifier() or name == "mixed":
                raise ValueError(
                    f"{name!r} cannot name a subset: use letters, digits, _ and -; `mixed` is the mix"
                )
            model = subset.same_size_as
            if model == "mixed" and self.mix is not None:
                continue
            if model is not None and (
                model not in self.subsets or self.subsets[model].same_size_as is not None
            ):
                known = [other for other in self.subsets if self.subsets[other].same_size_as is None]
                raise ValueError(f"{name}.same_size_as: {model!r} must be one of {', '.join(known)}")
        for name in self.mix.shares if self.mix else ():
            if name not in self.subsets:
                raise ValueError(f"mix.shares: {name!r} is no subset; there are {', '.join(self.subsets)}")
            if self.subsets[name].same_size_as == "mixed":
                raise ValueError(f"mix.shares: {name!r} takes its size from the mix")
        return self
