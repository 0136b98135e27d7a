"""The records that flow through a training step, one per arrow of `train/loop.py`.

    Prompt -> Context -> Group(Rollout ...) -> Output -> Score -> Sample -> StepReport

Each record is frozen and complete: a later stage makes a new one instead of filling in an old one. This module imports
no torch at run time; tensors appear in annotations only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from torch import Tensor

Task = Literal["asr", "tts"]
Precision = Literal["fp32", "bf16"]
"""What a network computes in, where it may choose."""


class Ending(StrEnum):
    """Why a rollout ended."""

    STOP = "stop"
    """The policy produced its end token, which is the last of `Rollout.token_ids` and is trained."""
    LENGTH = "length"
    """Cut at the token limit: there is no end token in `Rollout.token_ids`."""
    UNPARSABLE = "unparsable"
    """Ended by itself, but its tokens do not decode into an output."""


class ScoreStatus(StrEnum):
    """Whether a reward could be computed at all."""

    OK = "ok"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One item of the data: what the model is given and what the rewards compare with.

    Example: `Prompt(id="hello", task="asr", text="Hello there.", audio=<float32 [16000]>, sample_rate_hz=16000)`.

    Attributes:
        id: Unique in its manifest.
        task: `asr` or `tts`.
        text: ASR: the reference transcript, possibly empty for silence. TTS: the text to speak.
        language: ISO 639-1 code; chooses the text normaliser.
        keywords: Words or phrases of the reference that matter most.
        audio: Mono float32 samples in [-1, 1], shape (samples,). ASR: the input. TTS: the reference voice, or None.
        sample_rate_hz: Rate of `audio`.
    """

    id: str
    task: Task
    text: str
    language: str = "en"
    keywords: tuple[str, ...] = ()
    audio: np.ndarray | None = None
    sample_rate_hz: int = 16_000

    @property
    def duration_s(self) -> float:
        """Seconds of audio; 0 where there is none."""
        return 0.0 if self.audio is None else len(self.audio) / self.sample_rate_hz


@dataclass(frozen=True, slots=True)
class Context:
    """What the language model reads before it writes: the encoder's work, kept in host memory.

    Attributes:
        prompt_id: The prompt it was made from.
        embeddings_TD: Prompt embeddings of a decoder-only model, shape (positions, width), on the CPU, detached.
        positions_T: Where they lie on the axis of the model's rotary positions, float32, shape (positions,); None is
            0, 1, 2 ... A completion goes on at the last of them + 1. (TTS lays its text out over the time in which it
            will be spoken.)
        voice_D: TTS: embedding of the reference voice, which the decoder needs once more. None for ASR.
    """

    prompt_id: str
    embeddings_TD: Tensor
    positions_T: Tensor | None = None
    voice_D: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Rollout:
    """One completion that the policy sampled.

    Example: `Rollout("hello", token_ids=(41, 7, 2), logprobs=(-0.1, -0.02, -0.3), ending=Ending.STOP)`.

    Attributes:
        prompt_id: The prompt it answers.
        token_ids: Sampled tokens; the end token is included when `ending` is STOP.
        logprobs: Log-probability of each token under the behaviour policy at temperature 1, before top-k and top-p.
        ending: Why it ended.
    """

    prompt_id: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    ending: Ending


@dataclass(frozen=True, slots=True)
class Group:
    """A context and the G rollouts that were sampled from it: the unit of relative credit."""

    context: Context
    rollouts: tuple[Rollout, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """What a reward sees of a rollout: ASR a transcript, TTS a waveform.

    Attributes:
        text: The transcript (ASR); empty for TTS, where `Prompt.text` is what was to be spoken.
        ending: Copied from the rollout.
        length: Tokens of the rollout, the end token not counted.
        token_ids: TTS: the speech tokens, without the end token. Empty for ASR.
        waveform: TTS: mono float32 samples, or None where no reward listens. None for ASR.
        sample_rate_hz: Rate of `waveform`.
    """

    text: str
    ending: Ending
    length: int
    token_ids: tuple[int, ...] = ()
    waveform: np.ndarray | None = None
    sample_rate_hz: int = 16_000


@dataclass(frozen=True, slots=True)
class Score:
    """The judgement of one output.

    Attributes:
        total: Weighted sum of the terms; NaN when `status` is FAILED, so that it can never pass for a bad answer.
        terms: Every reward by name, unweighted.
        status: OK, or FAILED when any term could not be computed.
        reason: Why it failed; empty when OK.
        metrics: Numbers worth logging that are not rewards (`wer`, counts of errors).
        heard: TTS: what the reward's recogniser took the speech for; empty where none listened, and for ASR.
    """

    total: float
    terms: Mapping[str, float]
    status: ScoreStatus = ScoreStatus.OK
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    heard: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A rollout with its credit: what the learner updates on.

    Attributes:
        context: The context to recompute the policy on.
        rollout: The completion.
        advantage: Group-relative advantage, the same for every token; 0 for a group without spread.
        group: Index of the group in the batch, for losses that average by group.
        score: The judgement, whose `total` is finite.
        prompt: The prompt, for losses that need the reference.
    """

    context: Context
    rollout: Rollout
    advantage: float
    group: int
    score: Score
    prompt: Prompt


@dataclass(frozen=True, slots=True)
class StepReport:
    """What one update did.

    Attributes:
        metrics: Named scalars: `loss`, `grad_norm`, `kl`, `logprob_gap`, `entropy`, `clip_share`, `learning_rate` ...
        updated: False when a guard skipped the optimiser step.
        alarms: Sentences that guards want the user to read.
    """

    metrics: Mapping[str, float]
    updated: bool = True
    alarms: tuple[str, ...] = ()
