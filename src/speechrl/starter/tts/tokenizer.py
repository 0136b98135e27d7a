"""Step 3 of the starter synthesiser: train the speech tokenizer, then write the codes of the corpus.

    python -m speechrl.starter.tts.tokenizer --mels DIR --out DIR --codes DIR

First encoder, quantiser and decoder learn together; then the codes are final and the decoder alone learns on, which
is cheaper and takes away much of what is still blurred. A folder of codes holds, for every shard of the corpus,
`shard-00000.npy` (uint16, codes of all utterances end to end), `.voices.npy` (float16, a voice vector each) and
`.jsonl` with id, text, voice, split, start and tokens; and `voices.safetensors`, the mean vector of every voice.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, normalize
from torch.nn.utils.rnn import pad_sequence

from speechrl.models.tts.mel import BANDS
from speechrl.models.tts.speech_tokenizer import (
    FRAMES_PER_TOKEN,
    ConvNextBlock,
    SpeechTokenizer,
    SpeechTokenizerConfig,
    load_speech_tokenizer,
)
from speechrl.starter.tts.mels import read_seen
from speechrl.train.muon import muon_and_adamw, set_rates, update

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from speechrl.starter.tts.mels import Seen

CONTENT_WIDTH = 384
QUIET_SLOPE = 0.2
LEVELS = (8, 8, 8, 8)
CROP_TOKENS = 48
STEPS, DECODER_STEPS = 2200, 1200
BATCH_CROPS = 16
ADAMW_LEARNING_RATE, MUON_LEARNING_RATE = 3e-3, 0.08
WARM_UP_STEPS = 50
COARSE_WEIGHT, SQUARED_WEIGHT, CONTENT_WEIGHT = 0.5, 0.3, 1.0
_ENCODING_BATCH = 64


@dataclass(frozen=True, slots=True)
class Crops:
    """Pieces of utterances, padded to one length.

    `voice_BD` is a vector of another utterance of the same voice.
    """

    mel_BTM: Tensor
    content_BND: Tensor
    codes_BN: Tensor
    voice_BD: Tensor
    tokens_B: Tensor


@dataclass(frozen=True, slots=True)
class Coded:
    """One utterance as language model and Token2Text see it."""

    id: str
    text: str
    voice: str
    split: str
    codes: NDArray[np.uint16]
    voice_vector: NDArray[np.float16]


def losses(
    tokenizer: SpeechTokenizer, embedded_BND: Tensor, crops: Crops
) -> tuple[Tensor, dict[str, float], Tensor]:
    """Of the decoder: |fine| + 0.5 |coarse| + 0.3 fine^2 in units of a band's spread; its L1; where tokens are."""
    coarse_BTM, fine_BTM = tokenizer.spoken(embedded_BND, crops.voice_BD, crops.tokens_B)
    present_BN = torch.arange(crops.codes_BN.shape[1]) < crops.tokens_B[:, None]
    present_BT = present_BN.repeat_interleave(FRAMES_PER_TOKEN, dim=1)
    wanted_BTM = tokenizer.normalised(crops.mel_BTM)
    fine = (fine_BTM.float() - wanted_BTM)[present_BT]
    coarse = (coarse_BTM.float() - wanted_BTM)[present_BT]
    loss = fine.abs().mean() + COARSE_WEIGHT * coarse.abs().mean() + SQUARED_WEIGHT * fine.square().mean()
    return loss, {"l1": float(fine.detach().abs().mean())}, present_BN


class TokenizerTraining(nn.Module):
    """Encoder, quantiser and decoder with their losses.

    Layers that are thrown away afterwards predict the recogniser's states from the codes, which makes the codes keep
    words.

    Args:
        tokenizer: What learns.
        seen: What the usual spread of the states is taken from.
    """

    content_mean: Tensor
    content_std: Tensor

    def __init__(self, tokenizer: SpeechTokenizer, seen: Sequence[Seen]) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        width = tokenizer.config.width
        sample = seen[:: max(1, len(seen) // 500)]
        states_ND = torch.from_numpy(np.concatenate([one.content_ND for one in sample]).astype(np.float32))
        self.register_buffer("content_mean", states_ND.mean(0))
        self.register_buffer("content_std", states_ND.std(0))
        self.content = nn.Sequential(
            nn.Conv1d(width, width, 5, padding=2), nn.GELU(), nn.Conv1d(width, CONTENT_WIDTH, 5, padding=2)
        )

    def forward(self, crops: Crops) -> tuple[Tensor, dict[str, float], Tensor]:
        """Loss, its named parts, and the codes of all crops end to end."""
        embedded_BND, codes_BN = self.tokenizer.quantised(crops.mel_BTM, crops.tokens_B, crops.content_BND)
        loss, parts, present_BN = losses(self.tokenizer, embedded_BND, crops)
        heard_BND = self.content(embedded_BND.transpose(1, 2)).transpose(1, 2).float()
        target_BND = (crops.content_BND - self.content_mean) / self.content_std
        content = (1 - cosine_similarity(heard_BND, target_BND, dim=-1))[present_BN].mean()
        parts["content"] = float(content.detach())
        loss = loss + CONTENT_WEIGHT * content
        return loss, parts, codes_BN[present_BN]


class DecoderTraining(nn.Module):
    """The decoder with its losses, on codes that are final."""

    def __init__(self, tokenizer: SpeechTokenizer) -> None:
        super().__init__()
        self.tokenizer = tokenizer

    def forward(self, crops: Crops) -> tuple[Tensor, dict[str, float], Tensor]:
        """As `TokenizerTraining`."""
        embedded_BND = self.tokenizer.quantiser.indices_to_codes(crops.codes_BN)
        loss, parts, present_BN = losses(self.tokenizer, embedded_BND, crops)
        return loss, parts, crops.codes_BN[present_BN]


def draw(seen: Sequence[Seen], codes: Sequence[NDArray[np.uint16]] | None, rng: np.random.Generator) -> Crops:
    """Random crops of random utterances, with their codes if there are any; long utterances are drawn more often."""
    mel_BTM = torch.zeros(BATCH_CROPS, CROP_TOKENS * FRAMES_PER_TOKEN, BANDS)
    content_BND = torch.zeros(BATCH_CROPS, CROP_TOKENS, CONTENT_WIDTH)
    codes_BN = torch.zeros(BATCH_CROPS, CROP_TOKENS, dtype=torch.long)
    by_voice: dict[str, list[int]] = defaultdict(list)
    for index, one in enumerate(seen):
        by_voice[one.voice].append(index)
    sizes = np.array([len(one.mel_TM) for one in seen], float)
    voices, tokens = [], []
    for place, index in enumerate(rng.choice(len(seen), BATCH_CROPS, p=sizes / sizes.sum())):
        one = seen[index]
        present = min(CROP_TOKENS, len(one.mel_TM) // FRAMES_PER_TOKEN)
        start = int(rng.integers(0, len(one.mel_TM) // FRAMES_PER_TOKEN - present + 1))
        crop = slice(start, start + present)
        frames = slice(start * FRAMES_PER_TOKEN, (start + present) * FRAMES_PER_TOKEN)
        mel_BTM[place, : present * FRAMES_PER_TOKEN] = torch.from_numpy(one.mel_TM[frames].astype(np.float32))
        content_BND[place, :present] = torch.from_numpy(one.content_ND[crop].astype(np.float32))
        if codes is not None:
            codes_BN[place, :present] = torch.from_numpy(codes[index][crop].astype(np.int64))
        voices.append(seen[int(rng.choice(by_voice[one.voice]))].voice_vector.astype(np.float32))
        tokens.append(present)
    voice_BD = torch.from_numpy(np.stack(voices))
    return Crops(mel_BTM, content_BND, codes_BN, voice_BD, torch.tensor(tokens))


def train(
    training: TokenizerTraining | DecoderTraining,
    seen: Sequence[Seen],
    codes: Sequence[NDArray[np.uint16]] | None,
    steps: int,
    seed: int,
) -> None:
    """Train what wants gradients in bfloat16: a short warm-up, then a cosine fall to 2 %.

    Muon moves the matrices of the blocks, AdamW all else: with AdamW alone 300 steps ended at an L1 of
    0.24, with Muon at 0.18. Prints the losses and the number of codes used every 50 steps.
    """
    parameters = [parameter for parameter in training.parameters() if parameter.requires_grad]
    matrices = [
        layer.weight
        for block in training.modules()
        if isinstance(block, ConvNextBlock)
        for layer in (block.expand, block.contract)
        if layer.weight.requires_grad
    ]
    inside = {id(matrix) for matrix in matrices}
    others = [parameter for parameter in parameters if id(parameter) not in inside]
    optimisers = muon_and_adamw(matrices, MUON_LEARNING_RATE, (others, ADAMW_LEARNING_RATE))
    rng = np.random.default_rng(seed)
    began, used = time.monotonic(), torch.zeros(training.tokenizer.codes)
    history: dict[str, list[float]] = defaultdict(list)
    for step in range(1, steps + 1):
        fall = 0.51 + 0.49 * math.cos(math.pi * step / steps)
        set_rates(optimisers, min(1.0, step / WARM_UP_STEPS) * fall)
        with torch.autocast("cpu", torch.bfloat16):
            loss, parts, drawn = training(draw(seen, codes, rng))
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        update(optimisers)
        used += torch.bincount(drawn, minlength=len(used))
        for name, value in parts.items():
            history[name].append(value)
        if step % 50 == 0 or step == steps:
            share = used / used.sum()
            bits = float(-(share * share.clamp(min=1e-12).log2()).sum())
            means = " ".join(f"{name} {np.mean(values):.4f}" for name, values in history.items())
            minutes = (time.monotonic() - began) / 60
            spread = f"{int((used > 0).sum())} codes, {bits:.2f} bit"
            print(f"step {step}/{steps}: {means}, {spread}, {minutes:.1f} min", flush=True)
            history.clear()
            used.zero_()


def train_together(mels: Path, steps: int, seed: int) -> SpeechTokenizer:
    """A new tokenizer."""
    torch.manual_seed(seed)
    seen = read_training_data(mels)
    tokenizer = SpeechTokenizer(SpeechTokenizerConfig(CONTENT_WIDTH, LEVELS, quiet_slope=QUIET_SLOPE))
    set_mel_statistics(tokenizer, seen)
    train(TokenizerTraining(tokenizer, seen), seen, None, steps, seed)
    return tokenizer


def train_decoder(tokenizer: SpeechTokenizer, mels: Path, codes: Path, steps: int, seed: int) -> None:
    """Train the decoder on; what makes codes stays as it is, and with it the tokenizer's fingerprint."""
    written = {one.id: one.codes for one in read_codes(codes)}
    seen = [one for one in read_training_data(mels) if one.id in written]
    for part in tokenizer.decoder_parts():
        part.requires_grad_(True)
    train(DecoderTraining(tokenizer), seen, [written[one.id] for one in seen], steps, seed)
    tokenizer.requires_grad_(False)


def read_training_data(folder: Path) -> list[Seen]:
    """Utterances of every finished shard that are for training."""
    names = sorted(path.stem for path in folder.glob("shard-*.jsonl"))
    return [seen for name in names for seen in read_seen(folder, name) if seen.split == "train"]


def set_mel_statistics(tokenizer: SpeechTokenizer, seen: Sequence[Seen]) -> None:
    """Mean and spread of every band, from at most 500 utterances."""
    frames_TM = np.concatenate([one.mel_TM for one in seen[:: max(1, len(seen) // 500)]]).astype(np.float32)
    tokenizer.mel_mean.copy_(torch.from_numpy(frames_TM.mean(0)))
    tokenizer.mel_std.copy_(torch.from_numpy(frames_TM.std(0)))


def write_codes(tokenizer: SpeechTokenizer, mels: Path, out: Path) -> int:
    """Write the codes of every shard that has none yet, and the mean voices; returns the shards written."""
    out.mkdir(parents=True, exist_ok=True)
    names = [path.stem for path in sorted(mels.glob("shard-*.jsonl")) if not (out / path.name).exists()]
    for name in names:
        seen = list(read_seen(mels, name))
        order = sorted(range(len(seen)), key=lambda index: len(seen[index].mel_TM))
        codes: list[NDArray[np.uint16]] = [np.empty(0, np.uint16)] * len(seen)
        for first in range(0, len(order), _ENCODING_BATCH):
            batch = order[first : first + _ENCODING_BATCH]
            for index, found in zip(batch, _encode(tokenizer, [seen[index] for index in batch]), strict=True):
                codes[index] = found
        np.save(out / f"{name}.npy", np.concatenate(codes))
        np.save(out / f"{name}.voices.npy", np.stack([one.voice_vector for one in seen]))
        shutil.copyfile(mels / f"{name}.jsonl", out / f"{name}.jsonl.partial")
        os.replace(out / f"{name}.jsonl.partial", out / f"{name}.jsonl")
    by_voice: dict[str, list[NDArray[np.float16]]] = defaultdict(list)
    for one in read_codes(out):
        if one.split == "train":
            by_voice[one.voice].append(one.voice_vector)
    means = {
        voice: normalize(torch.from_numpy(np.stack(vectors).astype(np.float32)).mean(0), dim=0)
        for voice, vectors in sorted(by_voice.items())
    }
    save_file(means, out / "voices.safetensors")
    return len(names)


def _encode(tokenizer: SpeechTokenizer, seen: Sequence[Seen]) -> list[NDArray[np.uint16]]:
    mels = [torch.from_numpy(one.mel_TM.astype(np.float32)) for one in seen]
    states = [torch.from_numpy(one.content_ND.astype(np.float32)) for one in seen]
    lengths_B = torch.tensor([len(mel) for mel in mels])
    mel_BTM, content_BND = pad_sequence(mels, batch_first=True), pad_sequence(states, batch_first=True)
    codes_BN = tokenizer.encode(mel_BTM, lengths_B, content_BND)
    counts = (lengths_B // FRAMES_PER_TOKEN).tolist()
    return [row[:count].numpy().astype(np.uint16) for row, count in zip(codes_BN, counts, strict=True)]


def read_codes(folder: Path) -> Iterator[Coded]:
    """Utterances of every finished shard, in corpus order."""
    for path in sorted(folder.glob("shard-*.jsonl")):
        codes = np.load(path.with_suffix(".npy"))
        vectors = np.load(path.with_suffix(".voices.npy"))
        for index, line in enumerate(path.read_text("utf-8").splitlines()):
            row = json.loads(line)
            who = (row["id"], row["text"], row["voice"], row["split"])
            yield Coded(*who, codes[row["start"] : row["start"] + row["tokens"]], vectors[index])


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the step."""
    parser = argparse.ArgumentParser(
        description="Train the speech tokenizer and write the codes of the corpus."
    )
    parser.add_argument("--mels", type=Path, required=True, help="directory of speechrl.starter.tts.mels")
    parser.add_argument("--out", type=Path, required=True, help="folder of the tokenizer")
    parser.add_argument("--codes", type=Path, required=True, help="directory of the codes")
    parser.add_argument("--steps", type=int, default=STEPS, help="steps of encoder and decoder together")
    parser.add_argument(
        "--decoder-steps", type=int, default=DECODER_STEPS, help="steps of the decoder on final codes"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of everything")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if not (chosen.out / "speech_tokenizer.json").exists():
        train_together(chosen.mels, chosen.steps, chosen.seed).save(chosen.out)
    tokenizer = load_speech_tokenizer(chosen.out)
    write_codes(tokenizer, chosen.mels, chosen.codes)
    if chosen.decoder_steps:
        train_decoder(tokenizer, chosen.mels, chosen.codes, chosen.decoder_steps, chosen.seed + 1)
        tokenizer.save(chosen.out)


if __name__ == "__main__":
    main()
