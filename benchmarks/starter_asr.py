"""The starter recogniser on held-out speech: the figures of its model card.

    python benchmarks/starter_asr.py

writes `benchmarks/results/starter_asr.json`: human prompts, the same joined to 15-40 s, in noise, over a telephone, and
clips in which nobody speaks; greedy, and with a beam of 4.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from result_file import write_result

from speechrl.config.schema import EvaluationConfig
from speechrl.data.derive import read_set
from speechrl.data.prompts import to_prompt
from speechrl.evaluate.asr import evaluate_model
from speechrl.models.load import load_model

ROOT = Path(__file__).resolve().parents[1]
TEST = "package:data/asterisk_en/test.jsonl"
SETS = {"human": TEST, **{kind: f"{TEST}#{kind}" for kind in ("long", "noise", "telephone", "silence")}}


def main() -> None:
    """Evaluate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="package:starter/asr")
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "starter_asr.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sets = {name: [to_prompt(cut) for cut in read_set(path)] for name, path in SETS.items()}
    model = load_model(arguments.model)
    rows = []
    for beam in arguments.beams:
        config = EvaluationConfig(beam=beam, max_new_tokens=300)
        for name, prompts in sets.items():
            began = time.perf_counter()
            found = evaluate_model(model, {name: prompts}, config, torch.device("cpu"), "fp32")
            seconds = time.perf_counter() - began
            audio_s = sum(prompt.duration_s for prompt in prompts)
            rows.append(
                {"set": name, "beam": beam, **found.to_json()[name], "rtf_one_thread": seconds / audio_s}
            )
    write_result(
        arguments.out,
        seeds=[],
        rows=rows,
    )


if __name__ == "__main__":
    main()
