"""Step 5 of the starter synthesiser: train text encoder and language model on the speech codes of the corpus."""

from __future__ import annotations

import argparse
import json
import re
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, embedding, linear
from transformers import Qwen3Config, Qwen3ForCausalLM

from speechrl.errors import ModelError
from speechrl.models.language_model import LanguageModel
from speechrl.models.tts.code_digits import digits_of_codes, embeddings_by_digit
from speechrl.models.tts.speech_tokenizer import load_speech_tokenizer
from speechrl.models.tts.synthesiser import (
    SpeechPromptEncoder,
    Synthesiser,
    SynthesiserConfig,
    load_synthesiser,
)
from speechrl.models.tts.text_encoder import TextEncoder, TextEncoderConfig, plain_text
from speechrl.models.tts.voice_encoder import load_voice_encoder
from speechrl.starter.tts.sft_corpus import Corpus, fit_pace, train_tokenizer
from speechrl.starter.tts.tokenizer import read_codes
from speechrl.train.muon import muon_and_adamw, set_rates, update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerFast

    from speechrl.models.tts.speech_tokenizer import SpeechTokenizer
    from speechrl.models.tts.text_encoder import Pace
    from speechrl.starter.tts.sft_corpus import Item
    from speechrl.starter.tts.tokenizer import Coded

STEPS = 1300
ADAMW_LEARNING_RATE = 3e-3
EMBEDDING_LEARNING_RATE = 1e-2
MUON_LEARNING_RATE = 0.02
POSITIONS = 3500
NOISE = 0.1
LOG_EVERY, SAVE_EVERY = 50, 100
LANGUAGE_MODEL: dict[str, Any] = {
    "hidden_size": 320, "num_hidden_layers": 5, "num_attention_heads": 5, "num_key_value_heads": 5, "head_dim": 64,
    "intermediate_size": 896, "max_position_embeddings": 2048, "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000.0},
}  # fmt: skip
TEXT_ENCODER = {"hidden": 256, "layers": 3, "kernel": 5}
IGNORE = -100
_UNIT_VARIANCE = ("embed_tokens.weight", "pieces.weight", "voice.weight", "start_D")
_LAYER = re.compile(r"\.(layers|blocks)\.")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast to train.

    Attributes:
        steps: Optimiser steps.
        learning_rate: Peak, as a factor of `MUON_LEARNING_RATE` and `ADAMW_LEARNING_RATE`.
        positions_per_batch: Padded positions of a batch.
        noise: Share of speech tokens that are replaced by random ones where the model reads them.
        seed: Of weights and order.
    """

    steps: int
    learning_rate: float
    positions_per_batch: int
    noise: float
    seed: int

    def rate(self, step: int) -> float:
        """Factor of the learning rates: warm-up over 3 % of the steps, level, and falling to 2 % over the last 40 %."""
        rise = (step + 1) / max(1.0, 0.03 * self.steps)
        fall = 0.02 + 0.98 * (self.steps - step) / (0.4 * self.steps)
        return self.learning_rate * min(1.0, rise, fall)


class SupervisedSynthesiser(nn.Module):
    """Text encoder and language model with their supervised loss.

    While it is trained, codes share what they learn: to a code's own embedding and prediction comes a part for each of
    its digits. `fold` moves these parts into the codes' own weights.

    Args:
        text_encoder: Trained in place.
        language_model: Trained in place; its last token is the end.
        levels: Of the quantiser that made the codes.
    """

    digits_VL: Tensor

    def __init__(
        self, text_encoder: TextEncoder, language_model: Qwen3ForCausalLM, levels: Sequence[int]
    ) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.language_model = language_model
        self.end = language_model.config.vocab_size - 1
        digits_VL = nn.functional.pad(digits_of_codes(levels), (0, 0, 0, 1))  # the end has none
        self.register_buffer("digits_VL", digits_VL, persistent=False)
        width = language_model.config.hidden_size
        self.read_by_digit = nn.Parameter(torch.zeros(sum(levels), width))
        self.predicted_by_digit = nn.Parameter(torch.zeros(sum(levels), width))

    def weights(self) -> tuple[Tensor, Tensor]:
        """Embeddings and predictions of the codes, each of shape (codes + 1, width)."""
        read_VD = cast("Tensor", self.language_model.get_input_embeddings().weight)
        predicted_VD = self.language_model.lm_head.weight
        return (
            read_VD + self.digits_VL @ self.read_by_digit,
            predicted_VD + self.digits_VL @ self.predicted_by_digit,
        )

    @torch.no_grad()
    def fold(self) -> None:
        """Put what codes share into the language model; what is computed stays the same."""
        read_VD, predicted_VD = self.weights()
        cast("Tensor", self.language_model.get_input_embeddings().weight).copy_(read_VD)
        self.language_model.lm_head.weight.copy_(predicted_VD)
        self.read_by_digit.zero_()
        self.predicted_by_digit.zero_()

    def forward(
        self, items: Sequence[Item], voices_BV: Tensor, noise: float = 0.0
    ) -> tuple[Tensor, Tensor, int]:
        """Cross-entropy summed over tokens, how many were predicted right, and how many there are.

        Sequences are padded on the right, where causal attention never looks. The mask of ones tells transformers
        so; without one it would take a jump in positions for the start of another sequence.
        """
        contexts = self.text_encoder([item.pieces for item in items], voices_BV)
        read_VD, predicted_VD = self.weights()
        rows, places, targets = [], [], []
        for item, context_TD in zip(items, contexts, strict=True):
            read = item.codes
            if noise:
                read = torch.where(torch.rand(len(read)) < noise, torch.randint_like(read, self.end), read)
            rows.append(torch.cat([context_TD, embedding(read, read_VD).to(context_TD.dtype)]))
            places.append(torch.cat([item.positions_T, torch.arange(len(read))]))
            targets.append(
                torch.cat([torch.full((len(context_TD) - 1,), IGNORE), item.codes, torch.tensor([self.end])])
            )
        inputs_BTD = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        targets_BT = nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=IGNORE)
        hidden_BTD = self.language_model.model(
            inputs_embeds=inputs_BTD,
            position_ids=nn.utils.rnn.pad_sequence(places, batch_first=True),
            attention_mask=torch.ones(targets_BT.shape, dtype=torch.bool),
            use_cache=False,
        ).last_hidden_state
        wanted = targets_BT != IGNORE
        logits_NV = linear(hidden_BTD[wanted], predicted_VD).float()
        loss = cross_entropy(logits_NV, targets_BT[wanted], reduction="sum")
        return loss, (logits_NV.argmax(-1) == targets_BT[wanted]).sum(), len(logits_NV)


def build(
    tokenizer: PreTrainedTokenizerFast, pace: Pace, speech: SpeechTokenizer, rate: float, seed: int
) -> Synthesiser:
    """An untrained synthesiser.

    Args:
        tokenizer: Of text.
        pace: How long pieces will take.
        speech: The speech tokenizer.
        rate: Speech tokens per character.
        seed: Of the weights.
    """
    torch.manual_seed(seed)
    config = SynthesiserConfig(
        TextEncoderConfig(len(tokenizer), width=LANGUAGE_MODEL["hidden_size"], **TEXT_ENCODER), rate
    )
    end = speech.codes
    qwen = Qwen3Config(
        vocab_size=end + 1, bos_token_id=None, eos_token_id=end, pad_token_id=end, **LANGUAGE_MODEL
    )
    encoder = SpeechPromptEncoder(TextEncoder(config.text_encoder), pace, load_voice_encoder())
    causal_lm = Qwen3ForCausalLM(qwen)
    initialise(encoder.text, causal_lm, speech.config.levels)
    return Synthesiser(config, encoder, LanguageModel(causal_lm, end), speech, tokenizer)


def go_on_from(folder: Path, speech: SpeechTokenizer, tokenizer: Path) -> Synthesiser:
    """A synthesiser whose weights are the start of another training, on codes of the same speech tokenizer.

    Its decoder becomes `speech`, which may have learnt further; a code must still mean what it meant.

    Args:
        folder: Of the synthesiser.
        speech: The speech tokenizer whose codes it is to be trained on.
        tokenizer: Folder of `speech`, for the message.

    Raises:
        ModelError: It cannot be loaded, or speaks the codes of another codebook.
    """
    synthesiser = load_synthesiser(folder)
    if synthesiser.codebook != speech.codebook:
        raise ModelError(
            f"--init {folder}: speaks the codes of codebook {synthesiser.codebook}, but --tokenizer {tokenizer} has "
            f"codebook {speech.codebook}; give the speech tokenizer that belongs to it ({folder / 'speech_tokenizer'}) "
            "and codes made with that, or leave --init out"
        )
    synthesiser.decoder = speech
    return synthesiser


@torch.no_grad()
def initialise(text_encoder: TextEncoder, language_model: Qwen3ForCausalLM, levels: Sequence[int]) -> None:
    """Embeddings of unit variance, alike by digit, branches that begin as nothing, and even first predictions.

    With Qwen's own start, everything at 0.02, twice the steps reach less.
    """
    for name, weight in [*text_encoder.named_parameters(), *language_model.named_parameters()]:
        if name.endswith(("o_proj.weight", "down_proj.weight", "narrow.weight")):
            weight.zero_()
        elif name.endswith(_UNIT_VARIANCE):
            weight.normal_()
        elif name == "lm_head.weight":
            weight.normal_(std=1e-3)
        elif weight.ndim == 2:
            weight.normal_(std=weight.shape[1] ** -0.5)
    embeddings_VD = cast("Tensor", language_model.get_input_embeddings().weight)
    embeddings_VD[:-1] = embeddings_by_digit(levels, embeddings_VD.shape[1])


def optimisers_for(module: SupervisedSynthesiser) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside of the layers, AdamW for embeddings, predictions and vectors."""
    matrices, embeddings, others = [], [], []
    for name, weight in module.named_parameters():
        if weight.ndim == 2 and _LAYER.search(name):
            matrices.append(weight)
        elif name.endswith(_UNIT_VARIANCE):
            embeddings.append(weight)
        else:
            others.append(weight)
    return muon_and_adamw(
        matrices, MUON_LEARNING_RATE, (embeddings, EMBEDDING_LEARNING_RATE), (others, ADAMW_LEARNING_RATE)
    )


@torch.no_grad()
def evaluate(module: SupervisedSynthesiser, corpus: Corpus, budget: int) -> tuple[float, float]:
    """Loss per token in nats, and share of tokens predicted right, always in the same voices."""
    rng = np.random.default_rng(0)
    loss, right, count = 0.0, 0, 0
    for batch in corpus.batches(budget, rng):
        with torch.autocast("cpu", torch.bfloat16):
            summed, hits, tokens = module(batch, corpus.references(batch, rng))
        loss, right, count = loss + float(summed), right + int(hits), count + tokens
    return loss / count, right / count


def train(synthesiser: Synthesiser, practice: Corpus, dev: Corpus, recipe: Recipe, out: Path) -> None:
    """Train text encoder and language model in place, and write the synthesiser to `out` now and then and at the end.

    Beside it, `training.json` has the recipe and a row of losses for every `LOG_EVERY` steps.
    """
    text_encoder = synthesiser.encoder.text.requires_grad_(True)
    module = SupervisedSynthesiser(
        text_encoder,
        cast("Qwen3ForCausalLM", synthesiser.language_model.causal_lm),
        synthesiser.decoder.config.levels,
    )
    optimisers = optimisers_for(module)
    rng = np.random.default_rng(recipe.seed)
    torch.manual_seed(recipe.seed)
    began, step, sums, log = time.monotonic(), 0, torch.zeros(3), []
    while step < recipe.steps:
        for batch in practice.batches(recipe.positions_per_batch, rng)[: recipe.steps - step]:
            set_rates(optimisers, recipe.rate(step))
            with torch.autocast("cpu", torch.bfloat16):
                loss, right, tokens = module(batch, practice.references(batch, rng), recipe.noise)
            (loss / tokens).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            update(optimisers)
            sums += torch.tensor([float(loss.detach()), float(right), tokens])
            step += 1
            if step % LOG_EVERY == 0 or step == recipe.steps:
                dev_loss, dev_accuracy = evaluate(module, dev, recipe.positions_per_batch)
                minutes = (time.monotonic() - began) / 60
                log.append(
                    {
                        "step": step,
                        "loss": round(float(sums[0] / sums[2]), 4),
                        "accuracy": round(float(sums[1] / sums[2]), 4),
                        "dev_loss": round(dev_loss, 4),
                        "dev_accuracy": round(dev_accuracy, 4),
                        "minutes": round(minutes, 2),
                    }
                )
                print(*(f"{name} {value}" for name, value in log[-1].items()), flush=True)
                sums.zero_()
            if step % SAVE_EVERY == 0 or step == recipe.steps:
                module.fold()
                synthesiser.save(out)
                record = {"recipe": asdict(recipe), "log": log}
                (out / "training.json").write_text(json.dumps(record, indent=1) + "\n")
    text_encoder.requires_grad_(False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codes", type=Path, required=True, help="directory made by starter.tts.tokenizer")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the speech tokenizer")
    parser.add_argument("--out", type=Path, required=True, help="folder of the synthesiser")
    parser.add_argument("--steps", type=int, default=STEPS, help="optimiser steps")
    parser.add_argument("--learning-rate", type=float, default=1.0, help="peak, times that of the recipe")
    parser.add_argument("--positions", type=int, default=POSITIONS, help="padded positions of a batch")
    parser.add_argument(
        "--noise", type=float, default=NOISE, help="share of random speech tokens in the input"
    )
    parser.add_argument("--seed", type=int, default=1, help="of weights and order")
    parser.add_argument("--init", type=Path, help="folder of a synthesiser to go on from")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    coded: dict[str, list[Coded]] = {"train": [], "dev": []}
    for item in read_codes(chosen.codes):
        coded[item.split].append(item)
    speech = load_speech_tokenizer(chosen.tokenizer)
    if chosen.init:
        synthesiser = go_on_from(chosen.init, speech, chosen.tokenizer)
    else:
        tokenizer = train_tokenizer(plain_text(item.text) for item in coded["train"])
        characters = sum(len(item.text) for item in coded["train"])
        rate = sum(len(item.codes) for item in coded["train"]) / characters
        synthesiser = build(tokenizer, fit_pace(coded["train"]), speech, round(rate, 4), chosen.seed)
    practice, dev = (
        Corpus(coded[split], synthesiser.tokenizer, synthesiser.encoder.pace) for split in ("train", "dev")
    )
    size = sum(p.numel() for p in synthesiser.language_model.parameters()) / 1e6
    print(f"{len(practice.items)} utterances, language model of {size:.1f} M parameters", flush=True)
    recipe = Recipe(chosen.steps, chosen.learning_rate, chosen.positions, chosen.noise, chosen.seed)
    train(synthesiser, practice, dev, recipe, chosen.out)


if __name__ == "__main__":
    main()
