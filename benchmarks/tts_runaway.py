"""Does the starter synthesiser run away? Shares of samples that never end, or take twice their time, by temperature.

    python benchmarks/tts_runaway.py

writes `benchmarks/results/tts_runaway.json`. Dev sentences are spoken several times at each temperature, without any
sound: lengths are counted in speech tokens, and `token2text_judge`, which is in no reward, reads the tokens. A sample
is twice too long when it has twice the tokens of the median of its sentence at temperature 1, and cut when it reaches
the token limit, which is six times what the longest sentence needs.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from result_file import shown, write_result

from speechrl.data.derive import read_set
from speechrl.data.prompts import to_prompt
from speechrl.models.load import load_model
from speechrl.models.tts.token2text import load_token2text
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.torch_engine import TorchEngine
from speechrl.text.alignment import align_texts
from speechrl.types import Ending

ROOT = Path(__file__).resolve().parents[1]
JUDGE = "package:starter/token2text_judge"
LIMIT = 800
BATCH = 8


def main() -> None:
    """Sample, count, read."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="package:starter/tts")
    parser.add_argument("--sentences", type=int, default=128, help="of dev")
    parser.add_argument("--samples", type=int, default=4, help="of each sentence")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 1.15, 1.3, 1.5, 1.75, 2.0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "tts_runaway.json")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model, judge = load_model(chosen.model), load_token2text(JUDGE)
    cuts = list(read_set("package:data/tts_en/dev.jsonl"))[: chosen.sentences]
    prompts = [to_prompt(cut, task="tts") for cut in cuts]
    contexts = model.encode(prompts)
    usual: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    for temperature in chosen.temperatures:
        params = SamplingParams(temperature, max_new_tokens=LIMIT)
        engine = TorchEngine(model.language_model, params, "cpu", torch.bfloat16)
        ratios, cut_samples, errors, characters = [], 0, 0, 0
        for start in range(0, len(prompts), BATCH):
            part = slice(start, start + BATCH)
            groups = engine.sample(contexts[part], prompts[part], chosen.samples, chosen.seed + start)
            for prompt, outputs in zip(prompts[part], model.decode(groups, audio=False), strict=True):
                lengths = [output.length for output in outputs]
                middle = usual.setdefault(prompt.id, float(np.median(lengths)))
                ratios += [length / middle for length in lengths]
                cut_samples += sum(output.ending is Ending.LENGTH for output in outputs)
                for heard in judge.transcribe([output.token_ids for output in outputs]):
                    found = align_texts(prompt.text, heard, prompt.language, "letter")
                    errors += found.errors
                    characters += found.words
        rows.append(
            {
                "temperature": temperature,
                "samples": len(ratios),
                "cut": cut_samples,
                "twice_too_long": int(sum(ratio >= 2 for ratio in ratios)),
                "longest_ratio": max(ratios),
                "token_cer": errors / characters,
            }
        )
        print(rows[-1], flush=True)
    write_result(chosen.out, seeds=[chosen.seed], model=shown(chosen.model), rows=rows)


if __name__ == "__main__":
    main()
