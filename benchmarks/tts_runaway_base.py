"""A synthesiser that runs away now and then: the shipped one, taught not to rely on where its text lies.

    python benchmarks/tts_runaway_base.py --out runs/tts_runaway_base

The shipped synthesiser's text lies along the time of its speech, so it always knows where it is, and none of its
samples loops (`tts_runaway.py`). The models of the paper read their text in front of the speech and have to keep the
place themselves. Here the shipped model speaks some thousand sentences of its own corpus, and learns from that speech
on, supervised, while the layout is squeezed by a factor that is drawn anew for each sentence: so it must find its place
by what was said. What is written squeezes by `--squeeze` (in the offset of its pace), so that the text ends long
before the speech does. Needs what `make starter` needs for its sentences.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch

from speechrl.config.load import resolve_path
from speechrl.data.derive import read_set
from speechrl.data.prompts import to_prompt
from speechrl.models.load import load_model
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.torch_engine import TorchEngine
from speechrl.starter.tts.corpus import permitted, plan
from speechrl.starter.tts.sft import Recipe, train
from speechrl.starter.tts.sft_corpus import Corpus
from speechrl.starter.tts.texts import pool
from speechrl.starter.tts.tokenizer import Coded
from speechrl.types import Ending

if TYPE_CHECKING:
    from speechrl.models.tts.synthesiser import Synthesiser

BASE = "package:starter/tts"
SQUEEZED = (0.3, 1.1)
"""Factors of the layout in training."""
BATCH = 64
DEV = 160


def spoken(model: Synthesiser, sentences: int, seed: int) -> list[Coded]:
    """Sentences of the starter's corpus as the model itself says them (temperature 0.8, 25 likeliest), if they end."""
    allowed, _ = permitted(pool(seed), resolve_path("package:data/tts_en"))
    planned = plan(allowed, 11.5, 12.0, seed)
    chosen = [planned[place] for place in np.random.default_rng(seed).permutation(len(planned))[:sentences]]
    voices = {cut.id: to_prompt(cut, task="tts") for cut in read_set("package:data/tts_en/voices.jsonl")}
    prompts = [replace(voices[one.voice], id=one.id, text=one.sentence.text) for one in chosen]
    engine = TorchEngine(
        model.language_model,
        SamplingParams(0.8, max_new_tokens=300, top_k=25),
        "cpu",
        torch.bfloat16,
        tokens_per_character=3.0,
    )
    coded = []
    for start in range(0, len(prompts), BATCH):
        part = prompts[start : start + BATCH]
        contexts = model.encode(part)
        groups = engine.sample(contexts, part, 1, seed + start)
        for item, context, group in zip(chosen[start : start + BATCH], contexts, groups, strict=True):
            (rollout,) = group.rollouts
            voice_D = context.voice_D
            assert voice_D is not None
            if rollout.ending is Ending.STOP and len(rollout.token_ids) > 1:
                codes = np.array(rollout.token_ids[:-1], np.uint16)
                split = "dev" if len(coded) < DEV else "train"
                coded.append(
                    Coded(item.id, item.sentence.text, item.voice, split, codes, voice_D.half().numpy())
                )
    return coded


def squeeze(corpus: Corpus, low: float, high: float, seed: int) -> None:
    """Lay every text out over another share of its time, in place; voice and start of speech stay where they are."""
    factors = np.random.default_rng(seed).uniform(low, high, len(corpus.items))
    for place, (item, factor) in enumerate(zip(corpus.items, factors, strict=True)):
        positions_T = item.positions_T.clone()
        positions_T[1:-1] *= float(factor)
        corpus.items[place] = replace(item, positions_T=positions_T)


def main() -> None:
    """Speak, learn, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the synthesiser")
    parser.add_argument("--sentences", type=int, default=9000, help="that the shipped model speaks")
    parser.add_argument("--steps", type=int, default=350)
    parser.add_argument("--rate", type=float, default=0.5, help="peak, as a factor of the starter's recipe")
    parser.add_argument(
        "--squeeze", type=float, default=0.5, help="what the layout is multiplied by in the end"
    )
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model = cast("Synthesiser", load_model(BASE))
    coded = spoken(model, chosen.sentences, chosen.seed)
    print(f"{len(coded)} of {chosen.sentences} sentences spoken to their end", flush=True)
    practice, dev = (
        Corpus([one for one in coded if one.split == split], model.tokenizer, model.encoder.pace)
        for split in ("train", "dev")
    )
    squeeze(practice, *SQUEEZED, chosen.seed)
    squeeze(dev, chosen.squeeze, chosen.squeeze, chosen.seed)
    train(model, practice, dev, Recipe(chosen.steps, chosen.rate, 3500, 0.1, chosen.seed), chosen.out)
    model.encoder.pace.offset += math.log(chosen.squeeze)
    model.save(chosen.out)


if __name__ == "__main__":
    main()
