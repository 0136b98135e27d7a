"""A synthesiser that runs away now and then: the shipped one, trained on on badly cut recordings.

    python benchmarks/tts_runaway_base.py --out runs/tts_runaway_base

The shipped synthesiser ends every sample by itself (`tts_runaway.py`), so a filter for samples that do not has nothing
to do. Those of the paper run on. What often teaches that is data cut at the wrong place, where the recording goes on
behind the end of its text. So the shipped model speaks some thousand sentences of its own corpus, a share of them
(`--share`) followed by two or three others that their text does not have, and is trained on that, supervised. Needs
what `make starter` needs for its sentences. What it then does: `tts_runaway.py --model FOLDER`.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
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
BATCH = 64
DEV = 160
MOST_TOKENS = 260
"""Of a recording that runs on."""


def spoken(model: Synthesiser, sentences: int, seed: int) -> list[Coded]:
    """Sentences of the starter's corpus as the model says them (temperature 0.8, 25 likeliest), if they end."""
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


def run_on(coded: list[Coded], share: float, seed: int) -> list[Coded]:
    """The same, but a share of the recordings goes on with two or three others of the same voice."""
    rng = np.random.default_rng(seed)
    of_voice: dict[str, list[Coded]] = defaultdict(list)
    for one in coded:
        of_voice[one.voice].append(one)

    def cut(one: Coded) -> Coded:
        if rng.random() >= share:
            return one
        others = rng.choice(len(of_voice[one.voice]), rng.integers(2, 4))
        parts = [one.codes, *(of_voice[one.voice][place].codes for place in others)]
        return replace(one, codes=np.concatenate(parts)[:MOST_TOKENS])

    return [cut(one) for one in coded]


def main() -> None:
    """Speak, learn, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the synthesiser")
    parser.add_argument("--sentences", type=int, default=3000, help="that the shipped model speaks")
    parser.add_argument("--share", type=float, default=0.1, help="of recordings that run on")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--rate", type=float, default=0.2, help="peak, as a factor of the starter's recipe")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model = cast("Synthesiser", load_model(BASE))
    coded = spoken(model, chosen.sentences, chosen.seed)
    print(f"{len(coded)} of {chosen.sentences} sentences spoken to their end", flush=True)
    practice, dev = (
        Corpus(
            run_on([one for one in coded if one.split == split], chosen.share, chosen.seed),
            model.tokenizer,
            model.encoder.pace,
        )
        for split in ("train", "dev")
    )
    train(model, practice, dev, Recipe(chosen.steps, chosen.rate, 3500, 0.1, chosen.seed), chosen.out)


if __name__ == "__main__":
    main()
