"""Step 3 of the starter recogniser: train adapter and language model on the encoded corpus.

Two processes with one thread each (gradients averaged by gloo) use two cores better than one process with two threads.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
import torch.distributed as dist
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.functional import cross_entropy, ctc_loss
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging as transformers_logging

from speechrl.models.asr.adapter import StackingAdapter
from speechrl.models.asr.recogniser import AudioEncoder, Recogniser, RecogniserConfig, load_recogniser
from speechrl.models.asr.whisper_encoder import load_whisper_frames
from speechrl.models.language_model import LanguageModel
from speechrl.starter.asr.languages import LANGUAGES
from speechrl.train.length_batches import length_batches

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

STACK = 4
ADAPTER_HIDDEN = 768
VOCABULARY = 1024
CTC_WEIGHT = 0.3
LEARNING_RATE = 1e-3
LANGUAGE_MODEL: dict[str, Any] = {
    "hidden_size": 320, "num_hidden_layers": 5, "num_attention_heads": 5, "num_key_value_heads": 5, "head_dim": 64,
    "intermediate_size": 896, "max_position_embeddings": 2048, "tie_word_embeddings": True,
}  # fmt: skip
IGNORE = -100


@dataclass(frozen=True, slots=True)
class Item:
    """One encoded clip: where its frames are, and its text tokens without start and end."""

    shard: int
    start: int
    frames: int
    tokens: tuple[int, ...]

    @property
    def positions(self) -> int:
        """Length of its training sequence: stacked frames, start token, text."""
        return -(-self.frames // STACK) + 1 + len(self.tokens)


def train_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A BPE vocabulary on lower-case words, with letters, digits and the apostrophe as its alphabet."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "<s>", "</s>", "<unk>"],
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyz'0123456789"),
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def load_items(
    folder: Path, tokenizer: PreTrainedTokenizerFast
) -> tuple[list[NDArray[np.float16]], list[Item]]:
    """Memory-mapped frames of every shard, and the items in them."""
    shards: list[NDArray[np.float16]] = []
    items: list[Item] = []
    for number, path in enumerate(sorted(folder.glob("shard-*.jsonl"))):
        shards.append(np.load(path.with_suffix(".npy"), mmap_mode="r"))
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        ids = tokenizer([row["text"] for row in rows], add_special_tokens=False)["input_ids"]
        items += [
            Item(number, row["start"], row["frames"], tuple(tokens))
            for row, tokens in zip(rows, ids, strict=True)
        ]
    return shards, items


def batches(items: Sequence[Item], budget: int, rng: np.random.Generator) -> list[list[Item]]:
    """Batches of similar length, at most `budget` padded positions each, in random order."""
    made = length_batches([item.positions for item in items], budget, rng)
    return [[items[place] for place in batch] for batch in made]


class SupervisedRecogniser(nn.Module):
    """Adapter and language model with their supervised loss, as one module for DistributedDataParallel."""

    def __init__(
        self, adapter: StackingAdapter, language_model: Qwen3ForCausalLM, start: int, end: int
    ) -> None:
        super().__init__()
        self.adapter = adapter
        self.language_model = language_model
        self.start = start
        self.end = end

    def forward(self, frames: list[Tensor], tokens: list[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
        """Cross-entropy and auxiliary CTC loss, both summed over tokens.

        Sequences are padded on the right, where causal attention never looks, so no mask is needed.
        """
        prompts = self.adapter(frames)
        embed = self.language_model.get_input_embeddings()
        rows, targets = [], []
        for prompt_TD, ids in zip(prompts, tokens, strict=True):
            rows.append(torch.cat([prompt_TD, embed(torch.tensor([self.start, *ids])).to(prompt_TD.dtype)]))
            targets.append(torch.tensor([IGNORE] * len(prompt_TD) + [*ids, self.end]))
        inputs_BTD = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        targets_BT = nn.utils.rnn.pad_sequence(targets, batch_first=True, padding_value=IGNORE)
        hidden_BTD = self.language_model.model(inputs_embeds=inputs_BTD, use_cache=False).last_hidden_state
        wanted = targets_BT != IGNORE
        logits_NV = self.language_model.lm_head(hidden_BTD[wanted]).float()
        loss = cross_entropy(logits_NV, targets_BT[wanted], reduction="sum")
        lengths = torch.tensor([len(prompt) for prompt in prompts])
        padded_BTD = nn.utils.rnn.pad_sequence(list(prompts), batch_first=True)
        ctc_BTV = self.adapter.ctc(padded_BTD).float().log_softmax(-1)
        ctc = ctc_loss(
            ctc_BTV.transpose(0, 1),
            torch.tensor([token for ids in tokens for token in ids]),
            lengths,
            torch.tensor([len(ids) for ids in tokens]),
            blank=ctc_BTV.shape[2] - 1,
            reduction="sum",
            zero_infinity=True,
        )
        return loss, ctc


def build(tokenizer: PreTrainedTokenizerFast, seed: int, encoder: str) -> Recogniser:
    """An untrained recogniser around the frozen encoder."""
    torch.manual_seed(seed)
    frames = load_whisper_frames(encoder)
    config = RecogniserConfig(encoder, STACK, ADAPTER_HIDDEN)
    adapter = StackingAdapter(
        frames.width, STACK, ADAPTER_HIDDEN, LANGUAGE_MODEL["hidden_size"], len(tokenizer)
    )
    language_model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            **LANGUAGE_MODEL,
        )
    )
    end = int(cast("int", tokenizer.eos_token_id))
    return Recogniser(
        config, AudioEncoder(frames, adapter), LanguageModel(language_model, end_token_id=end), tokenizer
    )


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast to train.

    Attributes:
        epochs: Passes over the corpus.
        learning_rate: Peak.
        positions_per_batch: Padded positions of a batch in one process.
        seed: Of weights and order.
        init: Folder of a recogniser to go on from; None starts with random weights and a new vocabulary.
        encoder: Whose frames these are.
    """

    epochs: float
    learning_rate: float
    positions_per_batch: int
    seed: int
    init: Path | None
    encoder: str

    def rate(self, step: int, steps: int) -> float:
        """Linear warm-up over 3 % of the steps, then cosine to 2 % of the peak."""
        warmup = max(1, round(0.03 * steps))
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        progress = (step - warmup) / max(1, steps - warmup)
        return self.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1.0, progress))))


def train(folder: Path, out: Path, recipe: Recipe) -> None:
    """Train in this process's share of the process group and write the recogniser to `out` after every epoch."""
    torch.set_num_threads(1)
    transformers_logging.disable_progress_bar()
    rank, world = dist.get_rank(), dist.get_world_size()
    texts = [
        json.loads(line)["text"]
        for path in sorted(folder.glob("shard-*.jsonl"))
        for line in path.read_text("utf-8").splitlines()
    ]
    recogniser = (
        load_recogniser(recipe.init)
        if recipe.init
        else build(train_tokenizer(texts), recipe.seed, recipe.encoder)
    )
    recogniser.encoder.adapter.requires_grad_(True)
    shards, items = load_items(folder, recogniser.tokenizer)
    language_model = cast("Qwen3ForCausalLM", recogniser.language_model.causal_lm)
    module = SupervisedRecogniser(
        recogniser.encoder.adapter,
        language_model,
        int(recogniser.tokenizer.bos_token_id),
        recogniser.language_model.end_token_id,
    )
    parallel = DistributedDataParallel(module)
    optimiser = torch.optim.AdamW(
        module.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    rng = np.random.default_rng(recipe.seed)
    per_epoch = len(batches(items, recipe.positions_per_batch, np.random.default_rng(0))) // world
    steps = round(per_epoch * recipe.epochs)
    if rank == 0:
        hours = sum(item.frames for item in items) / 50 / 3600
        size = sum(p.numel() for p in module.parameters()) / 1e6
        print(f"{len(items)} clips, {hours:.1f} h, {size:.1f} M parameters, {steps} steps", flush=True)
    began, step = time.monotonic(), 0
    sums = torch.zeros(3)
    while step < steps:
        for batch in _share(batches(items, recipe.positions_per_batch, rng), rank, world):
            if step >= steps:
                break
            rate = recipe.rate(step, steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            frames = [
                torch.from_numpy(np.asarray(shards[i.shard][i.start : i.start + i.frames], np.float32))
                for i in batch
            ]
            with torch.autocast("cpu", torch.bfloat16):
                loss, ctc = parallel(frames, [item.tokens for item in batch])
            tokens = sum(len(item.tokens) + 1 for item in batch)
            ((loss + CTC_WEIGHT * ctc) / tokens).backward()
            nn.utils.clip_grad_norm_(module.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            sums += torch.tensor([loss.item(), ctc.item(), tokens])
            step += 1
            if rank == 0 and step % 50 == 0:
                elapsed = time.monotonic() - began
                print(
                    f"step {step}/{steps} loss {sums[0] / sums[2]:.3f} ctc {sums[1] / sums[2]:.3f} lr {rate:.2e} "
                    f"{elapsed:.0f} s, {elapsed / step * (steps - step) / 60:.1f} min left",
                    flush=True,
                )
                sums.zero_()
        if rank == 0:
            recogniser.take_start()
            recogniser.save(out)
            (out / "training.json").write_text(
                json.dumps({"steps": step, "of": steps, "clips": len(items), "minutes": _minutes(began)})
            )


def _minutes(began_s: float) -> float:
    return round((time.monotonic() - began_s) / 60, 1)


def _share(all_batches: list[list[Item]], rank: int, world: int) -> Iterator[list[Item]]:
    for first in range(0, len(all_batches) - world + 1, world):
        yield all_batches[first + rank]


def _worker(rank: int, world: int, folder: Path, out: Path, recipe: Recipe, rendezvous: str) -> None:
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=world)
    try:
        train(folder, out, recipe)
    finally:
        dist.destroy_process_group()


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the step."""
    parser = argparse.ArgumentParser(
        description="Train adapter and language model of the starter recogniser."
    )
    parser.add_argument(
        "--frames", type=Path, required=True, help="directory made by speechrl.starter.asr.frames"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the recogniser")
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="whose encoder and epochs")
    parser.add_argument("--epochs", type=float, help="passes over the corpus; by default the recipe's")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE, help="peak")
    parser.add_argument(
        "--positions", type=int, default=1500, help="padded positions of a batch in one process"
    )
    parser.add_argument("--seed", type=int, default=1, help="of weights and order")
    parser.add_argument("--init", type=Path, help="folder of a recogniser to go on from")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    chosen = parser.parse_args(arguments)
    chosen.out.mkdir(parents=True, exist_ok=True)
    rendezvous = (chosen.out / "rendezvous").resolve()
    rendezvous.unlink(missing_ok=True)
    language = LANGUAGES[chosen.language]
    recipe = Recipe(
        chosen.epochs or language.epochs,
        chosen.learning_rate,
        chosen.positions,
        chosen.seed,
        chosen.init,
        language.encoder,
    )
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn(
        _worker,
        args=(chosen.workers, chosen.frames, chosen.out, recipe, f"file://{rendezvous}"),
        nprocs=chosen.workers,
    )
    rendezvous.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
