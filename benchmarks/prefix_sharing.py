"""What sharing the prefix saves: forward + backward of G completions, one prefill against the context repeated G times.

Both compute the same loss of the same small Qwen3 with random weights; the relative difference of their gradients is a
column. Each timing is a ratio of CPU seconds of interleaved runs on one thread, so that a busy machine harms both
alike. Memory is the growth of the largest resident set over one run, in a process of its own (Linux only).

    python benchmarks/prefix_sharing.py            # a few minutes; writes benchmarks/results/prefix_sharing.json
    python benchmarks/prefix_sharing.py --repeats 1 --output /tmp/quick.json
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from speechrl.models.language_model import LanguageModel
from speechrl.models.token_logprobs import token_logprobs

RESULT = Path(__file__).parent / "results" / "prefix_sharing.json"
CASES = ((60, 8), (125, 8), (250, 12))
"""(positions of the context, completions G)."""
CONTEXTS, COMPLETION, VOCABULARY, WIDTH = 2, 32, 2000, 320


def make_model() -> LanguageModel:
    """Five layers of width 320, 8 M parameters: the size of the starter recogniser's language model."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=5,
        num_attention_heads=5,
        num_key_value_heads=5,
        head_dim=64,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=True,
    )
    return LanguageModel(Qwen3ForCausalLM(config), end_token_id=1)


def make_batch(positions: int, group: int) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Contexts of equal length, which favours the naive way, and their completions of shape (contexts, G, tokens)."""
    generator = torch.Generator().manual_seed(1)
    contexts = [torch.randn(positions, WIDTH, generator=generator) * 0.02 for _ in range(CONTEXTS)]
    return contexts, torch.randint(2, VOCABULARY, (CONTEXTS, group, COMPLETION), generator=generator)


def shared(model: LanguageModel, contexts: list[torch.Tensor], tokens_CGL: torch.Tensor) -> torch.Tensor:
    """Mean log-probability, one prefill per context."""
    return model.score(contexts, tokens_CGL.tolist()).logprobs_NL.mean()


def naive(model: LanguageModel, contexts: list[torch.Tensor], tokens_CGL: torch.Tensor) -> torch.Tensor:
    """The same number, from one row per completion that repeats its context."""
    tokens_NL = tokens_CGL.flatten(0, 1)
    repeated = torch.stack(contexts).repeat_interleave(tokens_CGL.shape[1], dim=0)
    inputs = torch.cat([repeated, model.embed(tokens_NL[:, :-1])], dim=1)
    # Logits of the context are never needed: without this the naive way would lose by more.
    output = model.causal_lm(inputs_embeds=inputs, use_cache=False, logits_to_keep=COMPLETION)
    return token_logprobs(output.logits, tokens_NL)[0].mean()


WAYS = {"shared": shared, "naive": naive}


def cpu_seconds(way: str, model: LanguageModel, positions: int, group: int) -> float:
    """CPU seconds of one forward and backward."""
    batch = make_batch(positions, group)
    model.zero_grad()
    start = time.process_time()
    (-WAYS[way](model, *batch)).backward()
    return time.process_time() - start


def gradient(way: str, model: LanguageModel, positions: int, group: int) -> torch.Tensor:
    """All gradients in one vector."""
    model.zero_grad()
    WAYS[way](model, *make_batch(positions, group)).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def _report_memory(way: str, positions: int, group: int, answer: multiprocessing.Queue[float]) -> None:
    torch.set_num_threads(1)
    model = make_model()
    cpu_seconds(way, model, 4, 1)  # libraries and weights are loaded before the count begins
    before = _largest_resident_mib()
    cpu_seconds(way, model, positions, group)
    answer.put(_largest_resident_mib() - before)


def _largest_resident_mib() -> float:
    # Not getrusage: its maximum is inherited from the parent.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def peak_memory_mib(way: str, positions: int, group: int) -> float:
    """Growth of the largest resident set over one forward and backward, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    answer: multiprocessing.Queue[float] = context.Queue()
    process = context.Process(target=_report_memory, args=(way, positions, group, answer))
    process.start()
    mib = answer.get()
    process.join()
    return mib


def measure(positions: int, group: int, repeats: int) -> dict[str, float]:
    """One row of the table."""
    model = make_model()
    cpu_seconds("shared", model, 4, 1)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way, found in seconds.items():
            found.append(cpu_seconds(way, model, positions, group))
    ours, theirs = (gradient(way, model, positions, group) for way in WAYS)
    memory = {way: peak_memory_mib(way, positions, group) for way in WAYS}
    ratios = [slow / fast for slow, fast in zip(seconds["naive"], seconds["shared"], strict=True)]
    return {
        "context_positions": positions,
        "group_size": group,
        "completion_tokens": COMPLETION,
        "contexts": CONTEXTS,
        "shared_cpu_s": round(min(seconds["shared"]), 4),
        "naive_cpu_s": round(min(seconds["naive"]), 4),
        "speedup": round(statistics.median(ratios), 2),
        "speedup_low": round(min(ratios), 2),
        "speedup_high": round(max(ratios), 2),
        "shared_peak_mib": round(memory["shared"], 1),
        "naive_peak_mib": round(memory["naive"], 1),
        "memory_ratio": round(memory["naive"] / memory["shared"], 2),
        "gradient_relative_difference": float(f"{(ours - theirs).norm() / theirs.norm():.1e}"),
    }


def main() -> None:
    """Measure every case, print the table, write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7, help="interleaved pairs per case")
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for positions, group in CASES:
        rows.append(measure(positions, group, arguments.repeats))
        print(json.dumps(rows[-1]), flush=True)
    git = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
        check=False,
    )
    result = {
        "command": f"python benchmarks/prefix_sharing.py --repeats {arguments.repeats}",
        "commit": git.stdout.strip() or "none",
        "machine": f"{platform.machine()}, one thread, torch {torch.__version__}, Python {sys.version.split()[0]}",
        "seeds": [0],
        "rows": rows,
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
