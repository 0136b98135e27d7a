"""What decoding saves when the samples of a group share their context: the shipped recogniser, real speech.

    python benchmarks/shared_contexts.py

writes `benchmarks/results/shared_contexts.json`. Groups of 8 samples of 8 items at temperature 1 in bfloat16, with the
context held once for the group and, in turns in the same process, with a copy of it for every sample; CPU seconds on
one thread, without the prefill. Both draw with the same random numbers. Rounding differs, so some samples part after a
while: both are cut at the same number of tokens, and the end of speech is left out, so that they do equal work.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from result_file import write_result

from speechrl.data.derive import read_set
from speechrl.data.prompts import to_prompt
from speechrl.models import kv_cache
from speechrl.models.kv_cache import SharingLayer
from speechrl.models.load import load_model
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.torch_engine import TorchEngine

RESULT = Path(__file__).parent / "results" / "shared_contexts.json"
SETS = {
    "as recorded": "package:data/asterisk_en/train.jsonl",
    "long": "package:data/asterisk_en/train.jsonl#long",
}
ITEMS, GROUP = 8, 8
NEVER = 10**9


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=80, help="of every sample")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model: Any = load_model("package:starter/asr")
    params = SamplingParams(temperature=1.0, max_new_tokens=chosen.tokens)
    language_model = model.language_model
    language_model.end_token_id = -1  # no token ends a sample
    engine = TorchEngine(language_model, params, "cpu", torch.bfloat16)
    rows = []
    for name, manifest in SETS.items():
        cuts = sorted(read_set(manifest), key=lambda cut: -cut.duration)
        prompts = [to_prompt(cut) for cut in cuts[:: max(1, len(cuts) // ITEMS)][:ITEMS]]
        contexts = model.encode(prompts)
        seconds: dict[str, list[float]] = {"shared": [], "copied": [], "prefill": []}
        for repeat in range(chosen.repeats + 1):
            for way, threshold in (("shared", 1), ("copied", NEVER)):
                kv_cache.SHARED_POSITIONS = threshold
                began = time.process_time()
                engine.sample(contexts, prompts, GROUP, seed=repeat)
                seconds[way].append(time.process_time() - began)
            began = time.process_time()
            with torch.inference_mode():
                engine._model.prefill(contexts)
            seconds["prefill"].append(time.process_time() - began)
        medians = {
            way: statistics.median(values[1:]) for way, values in seconds.items()
        }  # the first warms up
        with torch.inference_mode():
            held = {
                way: _megabytes(engine, contexts, threshold)
                for way, threshold in (("shared", 1), ("copied", NEVER))
            }
        rows.append(
            {
                "audio": name,
                "longest_context": max(len(one.embeddings_TD) for one in contexts),
                "seconds_shared": medians["shared"] - medians["prefill"],
                "seconds_copied": medians["copied"] - medians["prefill"],
                "times_quicker": (medians["copied"] - medians["prefill"])
                / (medians["shared"] - medians["prefill"]),
                "megabytes_held_before_the_first_token": held,
            }
        )
        print(rows[-1], flush=True)
    write_result(
        chosen.out,
        seeds=list(range(1, chosen.repeats + 1)),
        items=ITEMS,
        group=GROUP,
        tokens=chosen.tokens,
        rows=rows,
    )


def _megabytes(engine: TorchEngine, contexts: Any, threshold: int) -> float:
    """Keys and values of all layers, room to grow included."""
    kv_cache.SHARED_POSITIONS = threshold
    rows = torch.arange(len(contexts)).repeat_interleave(GROUP)
    prefix = engine._model.prefill(contexts).select(rows, in_place_growth=True)
    tensors = []
    for layer in prefix.cache.layers:
        tensors += [layer._key_storage, layer._value_storage]
        if isinstance(layer, SharingLayer):
            tensors += [layer.shared.keys_CHDT, layer.shared.values_CHTD]
    return round(sum(tensor.nbytes for tensor in tensors) / 2**20, 1)


if __name__ == "__main__":
    main()
