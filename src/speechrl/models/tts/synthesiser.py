"""A synthesiser: text and a reference voice -> language model over speech tokens -> mel -> waveform."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from speechrl.errors import ModelError
from speechrl.models.atomic_folder import saved_model
from speechrl.models.language_model import LanguageModel
from speechrl.models.tts import mel
from speechrl.models.tts.speakable import text_fault, voice_fault
from speechrl.models.tts.speech_tokenizer import SpeechTokenizer, load_speech_tokenizer
from speechrl.models.tts.text_encoder import (
    Pace,
    TextEncoder,
    TextEncoderConfig,
    piece_strings,
    plain_text,
)
from speechrl.models.tts.vocoder import FastVocoder
from speechrl.models.tts.voice_encoder import KnownVoices, VoiceEncoder, load_voice_encoder
from speechrl.types import Context, Ending, Output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from speechrl.models.base import Fault
    from speechrl.models.tts.vocoder import Vocoder
    from speechrl.types import Group, Prompt, Rollout

DESCRIPTION = "speechrl.json"
_TOKENS_PER_PASS = 2000
_MEL = {
    "sample_rate_hz": mel.SAMPLE_RATE_HZ,
    "bands": mel.BANDS,
    "hop": mel.HOP,
    "n_fft": mel.N_FFT,
    "fmax_hz": mel.FMAX_HZ,
}


@dataclass(frozen=True, slots=True)
class SynthesiserConfig:
    """What `speechrl.json` holds of a synthesiser, beside the hash of its codebook and its mel.

    Attributes:
        text_encoder: Shape of the text encoder.
        tokens_per_character: Speech tokens per character of text in its training corpus.
    """

    text_encoder: TextEncoderConfig
    tokens_per_character: float


class SpeechPromptEncoder(nn.Module):
    """Stage 1 of a synthesiser, frozen in reinforcement learning: text pieces and a voice to prompt embeddings."""

    def __init__(self, text: TextEncoder, pace: Pace, voice: VoiceEncoder) -> None:
        super().__init__()
        self.text = text
        self.pace = pace
        self.voice = voice


class Synthesiser:
    """Implements `models.base.SpeechModel` for speaking.

    A context is the voice, the text pieces and the start of speech, laid out over the time of the speech to come.
    The language model's vocabulary is the codes of the speech tokenizer, then the end token.

    Attributes:
        tokenizer: Text -> pieces.
        decoder: Speech tokenizer, whose decoder half turns tokens and a voice into a mel.
        vocoder: What `decode` makes sound with.
        codebook: Hash of the speech tokenizer: a Token2Text must carry the same.
    """

    task: Literal["tts"] = "tts"

    def __init__(
        self,
        config: SynthesiserConfig,
        encoder: SpeechPromptEncoder,
        language_model: LanguageModel,
        decoder: SpeechTokenizer,
        tokenizer: PreTrainedTokenizerFast,
        vocoder: Vocoder | None = None,
    ) -> None:
        self.config = config
        self.encoder = encoder
        self.language_model = language_model
        self.decoder = decoder
        self.tokenizer = tokenizer
        self.vocoder: Vocoder = FastVocoder() if vocoder is None else vocoder
        self._voices = KnownVoices(encoder.voice)

    @property
    def codebook(self) -> str:
        """See the class."""
        return self.decoder.codebook

    @property
    def codes(self) -> int:
        """Speech codes, without the end token, which follows them."""
        return self.language_model.end_token_id

    @property
    def tokens_per_character(self) -> float:
        """Speech tokens that a character of text usually takes."""
        return self.config.tokens_per_character

    @property
    def sample_rate_hz(self) -> int:
        """Of the waveforms."""
        return self.vocoder.sample_rate_hz

    def tokenize(self, text: str) -> list[int]:
        """Text pieces of a text in the alphabet of `plain_text`."""
        ids: list[int] = self.tokenizer(plain_text(text), add_special_tokens=False)["input_ids"]
        return ids

    def fault(self, prompt: Prompt) -> Fault | None:
        """A text that is empty, too long or has unsupported characters; a voice that is short, silent or not at 16 kHz.

        See `models.base.SpeechModel`.
        """
        return text_fault(prompt.text) or (None if prompt.audio is None else voice_fault(prompt))

    @torch.no_grad()
    def encode(self, prompts: Sequence[Prompt]) -> list[Context]:
        """Read text and reference voice once per prompt.

        Raises:
            ModelError: A prompt has a `fault`, or no reference voice.
        """
        for prompt in prompts:
            if fault := text_fault(prompt.text) or voice_fault(prompt):
                raise ModelError(f"prompt {prompt.id}, {fault}")
        pieces = [self.tokenize(prompt.text) for prompt in prompts]
        # Those without a voice were refused above.
        voices = self._voices([prompt.audio for prompt in prompts if prompt.audio is not None])
        embeddings = self.encoder.text(pieces, torch.stack(voices))
        return [
            Context(
                prompt.id,
                embedding_TD.detach().float().cpu(),
                self.encoder.pace.positions(piece_strings(self.tokenizer, ids), voice_D),
                voice_D,
            )
            for prompt, embedding_TD, ids, voice_D in zip(prompts, embeddings, pieces, voices, strict=True)
        ]

    def decode(self, groups: Sequence[Group], *, audio: bool = True) -> list[list[Output]]:
        """Speech tokens of every rollout and, if asked, their sound.

        A rollout without a single speech token has nothing to say: its ending becomes UNPARSABLE and its waveform
        is empty, so that every reward that listens hears no words.
        """
        outputs = [[self._tokens(rollout) for rollout in group.rollouts] for group in groups]
        if not audio:
            return outputs
        spoken = [
            (group.context, output.token_ids)
            for group, row in zip(groups, outputs, strict=True)
            for output in row
        ]
        sounds = iter(self.speak(spoken))
        return [
            [
                Output("", output.ending, output.length, output.token_ids, next(sounds), self.sample_rate_hz)
                for output in row
            ]
            for row in outputs
        ]

    def speak(
        self, utterances: Sequence[tuple[Context, Sequence[int]]], vocoder: Vocoder | None = None
    ) -> list[np.ndarray]:
        """The sound of speech tokens: mono float32 waveforms, empty where there is no token.

        Args:
            utterances: Contexts, whose voice speaks, and speech tokens without the end token.
            vocoder: In place of the model's own, for example HiFi-GAN for listening.
        """
        sounds = [np.zeros(0, np.float32)] * len(utterances)
        voiced = [index for index, (_, tokens) in enumerate(utterances) if tokens]
        mels = self.mels([utterances[index] for index in voiced])
        waves = (vocoder or self.vocoder)(mels)
        for index, wave in zip(voiced, waves, strict=True):
            sounds[index] = wave
        return sounds

    @torch.no_grad()
    def mels(self, utterances: Sequence[tuple[Context, Sequence[int]]]) -> list[Tensor]:
        """Log-mel spectrograms (frames, BANDS) on the CPU of at least one token each; batches of like length."""
        mels: list[Tensor] = [torch.empty(0)] * len(utterances)
        order = sorted(range(len(utterances)), key=lambda index: len(utterances[index][1]))
        device = next(self.decoder.parameters()).device
        while order:
            batch = [order.pop()]
            longest = len(utterances[batch[0]][1])
            while order and (len(batch) + 1) * longest <= _TOKENS_PER_PASS:
                batch.append(order.pop())
            codes = [torch.tensor(utterances[index][1]) for index in batch]
            voices_BD = torch.stack([_voice(utterances[index][0]) for index in batch])
            lengths_B = torch.tensor([len(ids) for ids in codes])
            mel_BFM = self.decoder.decode(
                nn.utils.rnn.pad_sequence(codes, batch_first=True).to(device),
                voices_BD.to(device),
                lengths_B.to(device),
            ).float()
            frames = mel_BFM.shape[1] // longest
            for index, row_FM, length in zip(batch, mel_BFM.cpu(), lengths_B.tolist(), strict=True):
                mels[index] = row_FM[: length * frames]
        return mels

    def save(self, folder: Path) -> None:
        """Write description, text encoder, language model, speech tokenizer and text pieces.

        The voice encoder, which is not ours, and the vocoder, which has no weights, are not copied. Weights are
        float16; the folder is replaced as a whole.

        Raises:
            CheckpointError: The folder cannot be written; an older model in it is as it was.
        """
        with saved_model(folder) as new:
            parts = nn.ModuleDict({"text": self.encoder.text, "pace": self.encoder.pace})
            save_file(_half(parts), new / "text_encoder.safetensors")
            model = self.language_model.causal_lm
            model.save_pretrained(new / "language_model", state_dict=_half(model))
            self.tokenizer.save_pretrained(new / "tokenizer")
            self.decoder.save(new / "speech_tokenizer")  # which tells the codebook
            description = {
                "task": self.task,
                "model": "synthesiser",
                "codebook": self.codebook,
                "mel": _MEL,
                **asdict(self.config),
            }
            (new / DESCRIPTION).write_text(json.dumps(description, indent=2) + "\n")

    def _tokens(self, rollout: Rollout) -> Output:
        ids = rollout.token_ids[:-1] if rollout.ending is Ending.STOP else rollout.token_ids
        ending = rollout.ending if ids else Ending.UNPARSABLE
        return Output("", ending, len(ids), token_ids=ids, sample_rate_hz=self.sample_rate_hz)


def load_synthesiser(folder: Path) -> Synthesiser:
    """Load what `Synthesiser.save` wrote, in float32.

    Raises:
        ModelError: A part is missing or does not fit the others.
    """
    try:
        description: dict[str, Any] = json.loads((folder / DESCRIPTION).read_text())
        if description["mel"] != _MEL:
            raise ModelError(
                f"{folder}: speaks through another mel {description['mel']}, this version has {_MEL}; train it again"
            )
        codebook = description["codebook"]
        shape = {field.name: description["text_encoder"][field.name] for field in fields(TextEncoderConfig)}
        config = SynthesiserConfig(TextEncoderConfig(**shape), float(description["tokens_per_character"]))
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer", local_files_only=True)
        causal_lm = AutoModelForCausalLM.from_pretrained(
            folder / "language_model", dtype=torch.float32, local_files_only=True
        )
        decoder = load_speech_tokenizer(folder / "speech_tokenizer")
        encoder = SpeechPromptEncoder(TextEncoder(config.text_encoder), Pace(), load_voice_encoder())
        parts = nn.ModuleDict({"text": encoder.text, "pace": encoder.pace})
        parts.load_state_dict(
            {k: t.float() for k, t in load_file(folder / "text_encoder.safetensors").items()}
        )
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: cannot load the synthesiser: {error}") from error
    if decoder.codebook != codebook:
        raise ModelError(
            f"{folder}: its speech tokenizer has codebook {decoder.codebook}, but the language model speaks the codes "
            f"of {codebook}; put the speech tokenizer back that it was trained with"
        )
    end = causal_lm.config.vocab_size - 1
    if end != decoder.codes:
        raise ModelError(
            f"{folder}: its language model predicts {end + 1} tokens, but its speech tokenizer has {decoder.codes} "
            f"codes, which with the end token are {decoder.codes + 1}; cut the vocabulary, padding too, to that size"
        )
    return Synthesiser(
        config,
        encoder.eval().requires_grad_(False),
        LanguageModel(causal_lm, end_token_id=end),
        decoder.eval().requires_grad_(False),
        tokenizer,
    )


def _voice(context: Context) -> Tensor:
    if context.voice_D is None:
        raise ModelError(
            f"prompt {context.prompt_id}: its context has no voice; make it with Synthesiser.encode"
        )
    return context.voice_D


def _half(module: nn.Module) -> dict[str, Tensor]:
    return {name: t.detach().half().contiguous().cpu() for name, t in module.state_dict().items()}
