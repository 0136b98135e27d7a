"""A recogniser: Whisper frames -> adapter -> decoder-only language model -> text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from speechrl.errors import ModelError
from speechrl.models.asr.adapter import StackingAdapter
from speechrl.models.asr.whisper_encoder import SAMPLE_RATE_HZ, WhisperFrames, load_whisper_frames
from speechrl.models.atomic_folder import saved_model
from speechrl.models.base import Fault
from speechrl.models.language_model import LanguageModel
from speechrl.types import Context, Ending, Output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from speechrl.types import Group, Prompt, Rollout

DESCRIPTION = "speechrl.json"
START = "start"
"""Name of the start vector among the weights of the adapter."""


@dataclass(frozen=True, slots=True)
class RecogniserConfig:
    """What `speechrl.json` holds of a recogniser.

    Attributes:
        encoder: Hub name or folder of the Whisper model.
        stack: Encoder frames per prompt position.
        adapter_hidden: Hidden width of the adapter.
    """

    encoder: str
    stack: int
    adapter_hidden: int


class AudioEncoder(nn.Module):
    """Stage 1 of a recogniser, frozen in reinforcement learning: audio to prompt embeddings."""

    def __init__(self, frames: WhisperFrames, adapter: StackingAdapter) -> None:
        super().__init__()
        self.frames = frames
        self.adapter = adapter

    def forward(self, audio: Sequence[np.ndarray]) -> list[Tensor]:
        """Mono float32 clips at 16 kHz -> one (positions, width) tensor each."""
        embeddings: list[Tensor] = self.adapter(self.frames(audio))
        return embeddings


class Recogniser:
    """Implements `models.base.SpeechModel` for recognition.

    A context is the adapted audio followed by a start vector, so that the last position predicts the first text token.

    Args:
        config: Names the audio encoder.
        encoder: Audio encoder and adapter, frozen in reinforcement learning.
        language_model: The policy.
        tokenizer: Of its text.
        start_D: The start vector; by default the embedding of the start token as it is now. It is no part of the
            policy: a context that changed with every update could not be kept for a run, nor come back after a crash.
    """

    task: Literal["asr"] = "asr"
    decoder: nn.Module | None = None

    def __init__(
        self,
        config: RecogniserConfig,
        encoder: AudioEncoder,
        language_model: LanguageModel,
        tokenizer: PreTrainedTokenizerFast,
        start_D: Tensor | None = None,
    ) -> None:
        self.config = config
        self.encoder = encoder
        self.language_model = language_model
        self.tokenizer = tokenizer
        self.start_D = self._embedded_start() if start_D is None else start_D.detach().float().cpu()

    def take_start(self) -> None:
        """Make the present embedding of the start token the start vector, after supervised training of both."""
        self.start_D = self._embedded_start()

    @property
    def frozen_start(self) -> Tensor | None:
        """The start vector, where it is no longer the embedding of the start token."""
        return None if torch.equal(self.start_D, self._embedded_start()) else self.start_D

    def _embedded_start(self) -> Tensor:
        embedding_1D = self.language_model.embed(torch.tensor([self.tokenizer.bos_token_id]))
        return embedding_1D[0].detach().float().cpu().clone()

    def tokenize(self, text: str) -> list[int]:
        """Text tokens without start and end token. The vocabulary is lower-case; text is expected normalised."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def fault(self, prompt: Prompt) -> Fault | None:
        """Audio without samples, or not at 16 kHz; see `models.base.SpeechModel`. The text is never looked at."""
        if prompt.audio is None:
            return None
        if len(prompt.audio) == 0:
            return Fault("audio", "no samples to recognise", "record it again, or drop the row")
        if prompt.sample_rate_hz != SAMPLE_RATE_HZ:
            return Fault("audio", f"at {prompt.sample_rate_hz} Hz", f"resample to {SAMPLE_RATE_HZ} Hz")
        return None

    @torch.no_grad()
    def encode(self, prompts: Sequence[Prompt]) -> list[Context]:
        """Run encoder and adapter once per prompt.

        Raises:
            ModelError: A prompt has a `fault`, or no audio.
        """
        for prompt in prompts:
            if prompt.audio is None:
                raise ModelError(f"prompt {prompt.id}, audio: nothing to recognise; give a clip")
            if fault := self.fault(prompt):
                raise ModelError(f"prompt {prompt.id}, {fault}")
        embeddings = self.encoder([prompt.audio for prompt in prompts if prompt.audio is not None])
        return [
            Context(prompt.id, torch.cat([positions.detach().float().cpu(), self.start_D[None]]))
            for prompt, positions in zip(prompts, embeddings, strict=True)
        ]

    @torch.no_grad()
    def ctc_logprobs(self, context: Context) -> Tensor:
        """What the adapter's CTC head hears: log-probabilities of text tokens in each position of the audio.

        The head learned with the adapter and is as frozen in reinforcement learning, so it is a witness that the
        policy cannot talk round.

        Args:
            context: From `encode`.

        Returns:
            Shape (positions, tokens + 1), float32, on the CPU; the blank is last.
        """
        ctc = self.encoder.adapter.ctc
        heard_TD = context.embeddings_TD[:-1].to(ctc.weight.device)
        logprobs_TV: Tensor = ctc(heard_TD).float().log_softmax(-1)
        return logprobs_TV.cpu()

    def decode(self, groups: Sequence[Group], *, audio: bool = True) -> list[list[Output]]:  # noqa: ARG002
        """Detokenise every rollout; there is no sound to make."""
        return [[self.transcript(rollout) for rollout in group.rollouts] for group in groups]

    def transcript(self, rollout: Rollout) -> Output:
        """The text of one rollout."""
        ids = rollout.token_ids[:-1] if rollout.ending is Ending.STOP else rollout.token_ids
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return Output(text=str(text).strip(), ending=rollout.ending, length=len(ids))

    def save(self, folder: Path) -> None:
        """Write `speechrl.json`, adapter, language model and tokenizer; the audio encoder is named, not copied.

        Weights are float16: half the size, and far below the noise of training. The folder is replaced as a whole.

        Raises:
            CheckpointError: The folder cannot be written, for example because the disk is full; an older model in it is
                as it was.
        """
        with saved_model(folder) as new:
            self._write(new)

    def _write(self, folder: Path) -> None:
        description = {"task": self.task, "model": "recogniser", **asdict(self.config)}
        (folder / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")
        adapter = {
            name: t.detach().half().contiguous().cpu()
            for name, t in self.encoder.adapter.state_dict().items()
        }
        save_file(adapter | {START: self.start_D.half()}, folder / "adapter.safetensors")
        model = self.language_model.causal_lm
        weights = {name: t.detach().half().cpu() for name, t in model.state_dict().items()}
        model.save_pretrained(folder / "language_model", state_dict=weights)
        self.tokenizer.save_pretrained(folder / "tokenizer")


def load_recogniser(folder: Path) -> Recogniser:
    """Load what `Recogniser.save` wrote, in float32.

    Raises:
        ModelError: A part is missing or does not fit the others.
    """
    try:
        description = json.loads((folder / DESCRIPTION).read_text())
        config = RecogniserConfig(**{key: description[key] for key in ("encoder", "stack", "adapter_hidden")})
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer", local_files_only=True)
        causal_lm = AutoModelForCausalLM.from_pretrained(
            folder / "language_model", dtype=torch.float32, local_files_only=True
        )
        frames = load_whisper_frames(config.encoder)
        adapter = StackingAdapter(
            frames.width, config.stack, config.adapter_hidden, causal_lm.config.hidden_size, len(tokenizer)
        )
        weights = load_file(folder / "adapter.safetensors")
        start_D = weights.pop(START, None)  # models of before have none
        adapter.load_state_dict(weights)
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: cannot load the recogniser: {error}") from error
    encoder = AudioEncoder(frames, adapter).eval().requires_grad_(False)
    language_model = LanguageModel(causal_lm, end_token_id=int(tokenizer.eos_token_id))
    return Recogniser(config, encoder, language_model, tokenizer, start_D)
