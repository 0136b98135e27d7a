"""How long an update takes with each budget of a micro-batch, on this machine.

    python benchmarks/microbatch_size.py

writes `benchmarks/results/microbatch_size.json`. The shipped synthesiser speaks eight sentences eight times; the hybrid
then learns from the same 64 samples with every budget. The gradient is the same; the ratios are of seconds in one
process, budgets taken in turns.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from result_file import write_result

from speechrl.algorithms import make_algorithm
from speechrl.config.load import load_config
from speechrl.data.derive import read_set
from speechrl.data.prompts import to_prompt
from speechrl.models.load import load_model
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.torch_engine import TorchEngine
from speechrl.train.learner import Learner
from speechrl.types import Sample, Score

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "package:configs/tts/quickstart.yaml"
GROUP = 8


def main() -> None:
    """Sample once, update in turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "microbatch_size.json")
    parser.add_argument("--budgets", type=int, nargs="+", default=[512, 1024, 2048, 4096, 8192])
    parser.add_argument("--rounds", type=int, default=4, help="the first of them warms up")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    config = load_config(CONFIG)
    model = load_model(config.model.path)
    samples = sample(model)
    learners = {}
    for budget in chosen.budgets:
        policy = load_model(config.model.path).language_model
        algorithm = make_algorithm(config.algorithm, seed=1)
        algorithm.check(model)
        settings = config.train.model_copy(update={"tokens_per_microbatch": budget})
        learners[budget] = Learner(policy, algorithm, settings)
    seconds: dict[int, list[float]] = {budget: [] for budget in chosen.budgets}
    for step in range(1, chosen.rounds + 1):
        for budget, learner in learners.items():
            began = time.perf_counter()
            learner.update(samples, step)
            seconds[budget].append(time.perf_counter() - began)
    median = {budget: statistics.median(found[1:]) for budget, found in seconds.items()}
    quickest = min(median.values())
    write_result(
        chosen.out,
        threads=chosen.threads,
        completion_tokens=sum(len(one.rollout.token_ids) for one in samples),
        rows=[
            {
                "tokens_per_microbatch": budget,
                "seconds": seconds[budget][1:],
                "times_quickest": found / quickest,
            }
            for budget, found in median.items()
        ],
    )
    for budget, found in median.items():
        print(f"{budget:6d}  {found:6.2f} s  {found / quickest:.2f}")


def sample(model) -> list[Sample]:
    """Eight sentences, each spoken `GROUP` times, every other time well."""
    prompts = [to_prompt(cut) for cut in read_set("package:data/tts_en/train.jsonl")[:8]]
    engine = TorchEngine(
        model.language_model,
        SamplingParams(1.0, 0, 1.0, 300),
        "cpu",
        torch.bfloat16,
        tokens_per_character=3.0,
    )
    groups = engine.sample(model.encode(prompts), prompts, GROUP, seed=1)
    return [
        Sample(group.context, rollout, (-1.0) ** place, number, Score(0.0, {}), prompt)
        for number, (prompt, group) in enumerate(zip(prompts, groups, strict=True))
        for place, rollout in enumerate(group.rollouts)
    ]


if __name__ == "__main__":
    main()
