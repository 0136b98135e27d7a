"""Answers of the starter recogniser to be labelled: part one of `hallucination_detectors.py`, kept on disk.

    python benchmarks/hallucination_set.py --work DIR

For each set of `SETS`, `DIR/NAME.jsonl` holds what the recogniser writes of each item, greedy and (in long audio, in
noise and on silence) sampled at temperature 1, and `DIR/NAME.npz` what its CTC head hears: log-probabilities by item.
`DIR/NAME.speech.json` holds seconds of speech, `DIR/NAME.JUDGE.json` what a second recogniser hears, `DIR/cost.json`
CPU seconds per hour of audio. What is there is not made again. The test split is never read.
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
from speechrl.rewards.asr_detectors import speech_s
from speechrl.rewards.scorers.recogniser import load_recogniser_judge
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.torch_engine import TorchEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
JUDGED = ("long", "silence")
TIMED = "dev-long"
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


def make(work: Path, kinds: Sequence[str]) -> None:
    """Answer every set of these kinds that is not on disk yet."""
    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    model: Recogniser | None = None
    for name in SETS:
        if not name.endswith(tuple(kinds)) or (work / f"{name}.jsonl").exists():
            continue
        model = model or load_model(MODEL)  # type: ignore[assignment]
        began = time.process_time()
        with torch.inference_mode():
            found = list(answers(model, name))
        np.savez(work / f"{name}.npz", **{str(row["id"]): heard.astype(np.float16) for row, heard in found})
        rows = "".join(json.dumps(row) + "\n" for row, _ in found)
        (work / f"{name}.jsonl").write_text(rows)
        print(f"{name}: {len(found)} items, {time.process_time() - began:.0f} s of CPU", flush=True)


def listen(work: Path, judge: str) -> None:
    """Measure speech time, ask a second recogniser, and note what each way of listening costs."""
    costs = json.loads((work / "cost.json").read_text()) if (work / "cost.json").exists() else {}
    ears: dict[str, Callable[[list[Prompt]], list[object]]] = {}
    if "support" not in costs:
        model: Recogniser = load_model(MODEL)  # type: ignore[assignment]
        prompts = read(TIMED)
        began = time.process_time()
        for prompt in prompts:
            model.ctc_logprobs(model.encode([prompt])[0])
        costs["support"] = per_hour(time.process_time() - began, prompts)
    ears["speech"] = lambda prompts: [
        speech_s(p.audio, p.sample_rate_hz) for p in prompts if p.audio is not None
    ]
    if judge:
        second = load_recogniser_judge(judge, window="short")
        ears[judge] = lambda prompts: [
            second.transcribe([(p.audio, p.sample_rate_hz)])[0] for p in prompts if p.audio is not None
        ]
    for name in SETS:
        if not (work / f"{name}.jsonl").exists():
            continue
        for ear, hear in ears.items():
            target = work / f"{name}.{ear}.json"
            if target.exists() or (ear == judge and not name.endswith(JUDGED)):
                continue
            prompts = read(name)
            began = time.process_time()
            heard = hear(prompts)
            if name == TIMED:
                costs[ear] = per_hour(time.process_time() - began, prompts)
            target.write_text(json.dumps(dict(zip((p.id for p in prompts), heard, strict=True))))
            print(f"{target.name}: {time.process_time() - began:.1f} s of CPU", flush=True)
    (work / "cost.json").write_text(json.dumps(costs))


def per_hour(seconds: float, prompts: Sequence[Prompt]) -> float:
    """CPU seconds per hour of audio."""
    return seconds / sum(prompt.duration_s for prompt in prompts) * 3600


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps the answers")
    parser.add_argument(
        "--sets", nargs="+", default=["human", "long", "noise", "silence"], help="which kinds"
    )
    parser.add_argument("--judge", default="moonshine-tiny", help="second recogniser; empty for none")
    chosen = parser.parse_args()
    make(chosen.work, chosen.sets)
    listen(chosen.work, chosen.judge)


if __name__ == "__main__":
    main()
