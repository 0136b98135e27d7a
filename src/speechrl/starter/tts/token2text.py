"""Last step of the starter synthesiser: pairs of speech codes and text, and three Token2Text models of them.

    python -m speechrl.starter.tts.token2text --codes DIR --tokenizer DIR --pairs DIR --out DIR

Two reward models, `token2text` (robust) and `token2text_plain`, learn from one half of the sentences;
`token2text_judge`, which no reward ever asks, has another architecture and learns from the other half. The plain one
is for comparison and does not ship.

Pseudo-labels of quality are DistillMOS of what the tokenizer's decoder makes of the codes, less the mean of the same
voice with its own codes: a voice is not better tokens. Half of the labelled utterances have some codes replaced at
random, since speech without faults teaches nothing about faults.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from speechrl.config.load import load_as
from speechrl.config.token2text import Token2TextRun
from speechrl.models.tts.speech_tokenizer import FRAMES_PER_TOKEN, load_speech_tokenizer
from speechrl.models.tts.vocoder import FastVocoder
from speechrl.rewards.scorers.quality import DistillMOS
from speechrl.starter.tts.tokenizer import read_codes
from speechrl.train.token2text import Card, train_token2text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from speechrl.models.tts.speech_tokenizer import SpeechTokenizer
    from speechrl.starter.tts.tokenizer import Coded

CONFIG = "package:configs/tts/token2text.yaml"
LABELLED = {"train": 900, "dev": 220}
"""Utterances of a split whose quality is measured."""
MOST_REPLACED = 0.3
_BATCH = 16

PLAIN = ("robust.label_smoothing=0", "robust.mixup=0", "robust.embedding_noise=0", "robust.adversarial=0")
VARIANTS: dict[str, tuple[str, ...]] = {
    "token2text": (),
    "token2text_plain": PLAIN,
    "token2text_judge": (
        *PLAIN, "data.half=second", "seed=2", "model.heads=[]",
        "model.architecture=gru", "model.width=192", "model.layers=3",
        "train.steps=1600",
    ),
}  # fmt: skip
"""Folder of each model, and how it differs from the configuration that ships."""


@dataclass(frozen=True, slots=True)
class Rated:
    """An utterance with its measured quality; `codes` are its own ones, or some replaced."""

    coded: Coded
    codes: list[int]
    intact: bool
    quality: float


def rate(
    tokenizer: SpeechTokenizer, chosen: Sequence[Coded], scorer: DistillMOS, generator: np.random.Generator
) -> list[Rated]:
    """DistillMOS of utterances as the decoder and the fast vocoder speak them; every other one with faults."""
    vocoder, rated = FastVocoder(), []
    for first in range(0, len(chosen), _BATCH):
        batch = chosen[first : first + _BATCH]
        intact = [(first + place) % 2 == 0 for place in range(len(batch))]
        codes = [
            coded.codes.tolist() if whole else with_faults(coded.codes, tokenizer.codes, generator)
            for coded, whole in zip(batch, intact, strict=True)
        ]
        lengths_B = torch.tensor([len(ids) for ids in codes])
        codes_BN = pad_sequence([torch.tensor(ids) for ids in codes], batch_first=True)
        voice_BD = torch.from_numpy(np.stack([coded.voice_vector for coded in batch]).astype(np.float32))
        mel_BTM = tokenizer.decode(codes_BN, voice_BD, lengths_B)
        mels = [mel[: FRAMES_PER_TOKEN * len(ids)] for mel, ids in zip(mel_BTM, codes, strict=True)]
        waves = vocoder(mels)
        scores = scorer.mos([(wave, vocoder.sample_rate_hz) for wave in waves])
        rated += [Rated(*row) for row in zip(batch, codes, intact, scores, strict=True)]
    return rated


def with_faults(codes: np.ndarray, vocabulary: int, generator: np.random.Generator) -> list[int]:
    """Codes of which up to MOST_REPLACED are replaced by random ones."""
    share = generator.uniform(0, MOST_REPLACED)
    other = generator.integers(vocabulary, size=len(codes))
    faulty: list[int] = np.where(generator.random(len(codes)) < share, other, codes).tolist()
    return faulty


def write_pairs(codes: Path, tokenizer: SpeechTokenizer, out: Path, seed: int, share: float = 1.0) -> None:
    """Write `train.jsonl`, `dev.jsonl` and the mean voices, with qualities of a `share` of LABELLED utterances."""
    out.mkdir(parents=True, exist_ok=True)
    generator, scorer = np.random.default_rng(seed), DistillMOS()
    splits: dict[str, list[Coded]] = defaultdict(list)
    for coded in read_codes(codes):
        if len(coded.codes):
            splits[coded.split].append(coded)
    means: dict[str, float] = {}
    for split, count in LABELLED.items():
        began_s = time.monotonic()
        order = generator.permutation(len(splits[split]))[: max(1, round(share * count))]
        rated = rate(tokenizer, [splits[split][index] for index in order], scorer, generator)
        if not means:  # those of the first split, train, hold for both
            means = _mean_by_voice(rated)
        rows = _rows(splits[split], rated, means)
        (out / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        print(
            f"{split}: {len(rows)} pairs, {len(rated)} rated in {time.monotonic() - began_s:.0f} s",
            flush=True,
        )
    shutil.copyfile(codes / "voices.safetensors", out / "voices.safetensors")


def _mean_by_voice(rated: Sequence[Rated]) -> dict[str, float]:
    by_voice: dict[str, list[float]] = defaultdict(list)
    for one in rated:
        if one.intact:
            by_voice[one.coded.voice].append(one.quality)
    means = {voice: round(float(np.mean(scores)), 3) for voice, scores in sorted(by_voice.items())}
    print(f"DistillMOS of intact codes by voice: {means}", flush=True)
    return means


def _rows(every: Sequence[Coded], rated: Sequence[Rated], means: dict[str, float]) -> list[dict[str, object]]:
    """All utterances, with a quality where their own codes were rated; then those with faults, without a text."""
    relative = {
        id(one): round(one.quality - means[one.coded.voice], 3) for one in rated if one.coded.voice in means
    }
    known = {one.coded.id: relative[id(one)] for one in rated if one.intact and id(one) in relative}
    rows: list[dict[str, object]] = []
    for coded in every:
        row: dict[str, object] = {
            "id": coded.id,
            "tokens": coded.codes.tolist(),
            "text": coded.text,
            "voice": coded.voice,
        }
        rows.append(row | ({"quality": known[coded.id]} if coded.id in known else {}))
    rows += [
        {"id": f"{one.coded.id}-faults", "tokens": one.codes, "quality": relative[id(one)]}
        for one in rated
        if not one.intact and id(one) in relative
    ]
    return rows


def train_variant(
    name: str,
    pairs: Path,
    tokenizer: SpeechTokenizer,
    out: Path,
    more: Sequence[str] = (),
    share: float = 1.0,
) -> Card:
    """Train one of VARIANTS into `out / name`, for a `share` of its steps."""
    overrides = [
        f"output={out / name}", f"data.train={pairs / 'train.jsonl'}", f"data.held_out={pairs / 'dev.jsonl'}",
        f"data.voices={pairs / 'voices.safetensors'}", "data.synthesiser=null",
        f"data.codebook='{tokenizer.codebook}'", f"data.levels={list(tokenizer.config.levels)}",
    ]  # fmt: skip
    overrides += [*VARIANTS[name], *more]
    config = load_as(Token2TextRun, CONFIG, overrides)
    if share < 1:
        steps = max(1, round(share * config.train.steps))
        config = load_as(Token2TextRun, CONFIG, [*overrides, f"train.steps={steps}"])
    return train_token2text(config, lambda line: print(f"{name}: {line}", flush=True), replace=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the step."""
    parser = argparse.ArgumentParser(description="Pairs of codes and text, and three Token2Text models.")
    parser.add_argument(
        "--codes", type=Path, required=True, help="directory of speechrl.starter.tts.tokenizer"
    )
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of the speech tokenizer")
    parser.add_argument(
        "--pairs", type=Path, required=True, help="directory of the pairs; made if it is missing"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the folders of the models")
    parser.add_argument(
        "--models", nargs="*", default=list(VARIANTS), choices=list(VARIANTS), help="which ones"
    )
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="further overrides")
    parser.add_argument(
        "--share", type=float, default=1.0, help="of the rated utterances and of the steps, for a trial"
    )
    parser.add_argument("--seed", type=int, default=1, help="of faults and of the choice of rated utterances")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    tokenizer = load_speech_tokenizer(chosen.tokenizer)
    if not (chosen.pairs / "voices.safetensors").exists():  # which is written last
        write_pairs(chosen.codes, tokenizer, chosen.pairs, chosen.seed, chosen.share)
    for name in chosen.models:
        print(
            train_variant(name, chosen.pairs, tokenizer, chosen.out, chosen.set, chosen.share).line(name),
            flush=True,
        )


if __name__ == "__main__":
    main()
