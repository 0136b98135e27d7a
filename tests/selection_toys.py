"""A pool, rules and `select` on the toy recogniser."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from toys import WORDS, ToyRecogniser

from speechrl.config.selection import SelectionConfig
from speechrl.selection.run import select

SIZE = 14


class Counting(ToyRecogniser):
    """Counts how often each utterance is encoded."""

    encoded: list[str]

    def __init__(self) -> None:
        super().__init__()
        self.encoded = []

    def encode(self, prompts):
        self.encoded += [prompt.id for prompt in prompts]
        return super().encode(prompts)


def text(index: int) -> str:
    return f"{WORDS[index % 7]} {WORDS[(3 * index + 2) % 7]} {WORDS[index // 7]}"


def write_pool(folder: Path, *, labelled: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(SIZE):
        sf.write(folder / f"{index}.wav", np.full(1600 + 160 * index, 0.02 * (index + 1)), 16_000)
        row = {"id": f"clip-{index}", "audio": f"{index}.wav", **({"text": text(index)} if labelled else {})}
        rows.append(json.dumps(row))
    path = folder / "pool.jsonl"
    path.write_text("\n".join(rows) + "\n")
    return path


def rules(**changes) -> SelectionConfig:
    tree = {
        "probe": {
            "samples": 4,
            "max_new_tokens": 5,
            "batch_size": 2,
            "shard_size": 4,
            "keep_contexts_gb": 0.001,
        },
        "subsets": {"every": {}, "short": {"any": [{"duration_s": {"max": 0.15}}]}},
        **changes,
    }
    return SelectionConfig.model_validate(tree)


class Chooser:
    """`select` on the toy, and what it took."""

    def __init__(self) -> None:
        self.model = Counting()
        self.told: list[tuple[str, int, int]] = []
        self.stop_at: tuple[str, int] | None = None

    def __call__(self, config, pool, out, **options):
        def progress(name: str, done: int, total: int) -> None:
            self.told.append((name, done, total))
            if self.stop_at == (name, done):
                raise KeyboardInterrupt

        return select(
            config,
            "toy",
            [str(pool)],
            out,
            torch.device("cpu"),
            progress,
            load=lambda path: self.model,
            **options,
        )
