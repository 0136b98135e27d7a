"""Answers of the starter recogniser to be labelled: part one of `hallucination_detectors.py`, kept on disk.

    python benchmarks/hallucination_set.py --work DIR

For each set of `SETS`, `DIR/NAME.jsonl` holds what the recogniser writes of each item, greedy and (in long audio and in
noise) sampled at temperature 1, and `DIR/NAME.npz` what its CTC head hears: log-probabilities by item. A set that is
there is not made again. The test split is never read.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from speechrl.data.derive import read_set
from speechrl.data.prompts import to_prompt
from speechrl.models.load import load_model
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.torch_engine import TorchEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speechrl.models.asr.recogniser import Recogniser
    from speechrl.types import Prompt

MODEL = "package:starter/asr"
DATA = "package:data/asterisk_en"
SETS = {
    "dev-long": "dev.jsonl#long@1",
    "dev-silence": "dev.jsonl#silence@5",
    "train-long": "train.jsonl#long@1",
    "dev-human": "dev.jsonl",
    "train-silence": "train.jsonl#silence@6",
    "train-human": "train.jsonl",
    "dev-noise": "dev.jsonl#noise@3",
    "train-noise": "train.jsonl#noise@3",
}
SAMPLED = ("long", "noise", "silence")
SEED = 7
BATCH = 16
MAX_TOKENS = 300


def read(name: str) -> list[Prompt]:
    """The items of a set, shortest first."""
    return sorted((to_prompt(cut) for cut in read_set(f"{DATA}/{SETS[name]}")), key=lambda p: p.duration_s)


def answers(model: Recogniser, name: str) -> Iterator[tuple[dict[str, object], np.ndarray]]:
    """A row and the CTC log-probabilities (frames, tokens + 1) of each item of a set."""
    sampling = SamplingParams(temperature=1.0, max_new_tokens=MAX_TOKENS)
    engine = TorchEngine(model.language_model, sampling, "cpu", torch.float32)
    prompts = read(name)
    for start in range(0, len(prompts), BATCH):
        batch = prompts[start : start + BATCH]
        contexts = model.encode(batch)
        texts = {
            "greedy": [model.transcript(rollout).text for rollout in engine.greedy(contexts, MAX_TOKENS)]
        }
        if name.endswith(SAMPLED):
            groups = engine.sample(contexts, batch, 1, SEED + start)
            texts["sampled"] = [model.transcript(group.rollouts[0]).text for group in groups]
        for index, (prompt, context) in enumerate(zip(batch, contexts, strict=True)):
            row: dict[str, object] = {
                "id": prompt.id,
                "reference": prompt.text,
                "duration_s": prompt.duration_s,
                **{how: found[index] for how, found in texts.items()},
            }
            yield row, model.ctc_logprobs(context).numpy()


def make(work: Path) -> None:
    """Answer every set that is not on disk yet."""
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    model: Recogniser | None = None
    for name in SETS:
        if (work / f"{name}.jsonl").exists():
            continue
        model = model or load_model(MODEL)  # type: ignore[assignment]
        began = time.process_time()
        with torch.inference_mode():
            found = list(answers(model, name))
        np.savez(work / f"{name}.npz", **{str(row["id"]): heard.astype(np.float16) for row, heard in found})
        rows = "".join(json.dumps(row) + "\n" for row, _ in found)
        (work / f"{name}.jsonl").write_text(rows)
        print(f"{name}: {len(found)} items, {time.process_time() - began:.0f} s of CPU", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps the answers")
    make(parser.parse_args().work)


if __name__ == "__main__":
    main()
