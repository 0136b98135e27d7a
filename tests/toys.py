"""A speech model so small that training it takes seconds: random Qwen3, contexts drawn from the prompt's id."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile as sf
import torch
from safetensors.torch import save_file
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from speechrl.config.schema import RunConfig
from speechrl.models.language_model import LanguageModel
from speechrl.train import run
from speechrl.types import Context, Ending, Output, Rollout, Sample, Score

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from speechrl.models.base import Fault
    from speechrl.types import Group, Prompt, Task

WORDS = ("red", "green", "blue", "cat", "dog", "sun", "moon")
END = len(WORDS)
WIDTH = 32


def toy_language_model(seed: int = 0, end: int = END) -> LanguageModel:
    """Over the tokens below `end`, which ends a completion."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=end + 1,
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        tie_word_embeddings=True,
        attention_dropout=0.1,  # would make scoring random if anything forgot evaluation mode
    )
    return LanguageModel(Qwen3ForCausalLM(config), end)


class ToyRecogniser:
    """Implements `models.base.SpeechModel`; hears nothing but the prompt's id."""

    task: Task = "asr"
    decoder: nn.Module | None = None

    def __init__(self, seed: int = 0) -> None:
        self.encoder: nn.Module = nn.Identity()
        self.language_model = toy_language_model(seed)

    def fault(self, prompt: Prompt) -> Fault | None:
        return None

    def encode(self, prompts: Sequence[Prompt]) -> list[Context]:
        return [Context(prompt.id, context(prompt.id)) for prompt in prompts]

    def decode(self, groups: Sequence[Group], *, audio: bool = True) -> list[list[Output]]:
        return [[self._output(rollout) for rollout in group.rollouts] for group in groups]

    def _output(self, rollout: Rollout) -> Output:
        ids = [token for token in rollout.token_ids if token != END]
        return Output(text=" ".join(WORDS[token] for token in ids), ending=rollout.ending, length=len(ids))

    def tokenize(self, text: str) -> list[int]:
        return [WORDS.index(word) for word in text.split()]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        weights = {name: tensor.clone() for name, tensor in self.language_model.state_dict().items()}
        save_file(weights, folder / "model.safetensors")
        (folder / "speechrl.json").write_text('{"model": "toy"}')


def context(prompt_id: str) -> torch.Tensor:
    """4 to 7 positions of noise that depend on the id alone."""
    digest = hashlib.sha256(prompt_id.encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:6], "big"))
    return torch.randn(4 + digest[7] % 4, WIDTH, generator=generator)


def toy_samples(
    model: LanguageModel, advantages: Sequence[Sequence[float]], *, lengths: Sequence[int] = (2, 5, 3, 4)
) -> list[Sample]:
    """One group per row of advantages; behaviour log-probabilities are the model's own."""
    samples = []
    for group, row in enumerate(advantages):
        generator = torch.Generator().manual_seed(group)
        completions = [
            (
                *tuple(torch.randint(len(WORDS), (lengths[g % len(lengths)],), generator=generator).tolist()),
                END,
            )
            for g in range(len(row))
        ]
        where = Context(f"p{group}", context(f"p{group}"))
        with torch.no_grad():
            scored = model.eval().score([where.embeddings_TD], [completions])
        for g, advantage in enumerate(row):
            logprobs = tuple(scored.logprobs_NL[g, : len(completions[g])].tolist())
            rollout = Rollout(where.prompt_id, completions[g], logprobs, Ending.STOP)
            score = Score(total=advantage, terms={"accuracy": advantage})
            samples.append(Sample(where, rollout, advantage, group, score, prompt=None))  # type: ignore[arg-type]
    return samples


def toy_config(folder: Path, **changes: object) -> RunConfig:
    """A run on eight prompts of two words, with audio that nobody hears; `train__steps=3` changes `train.steps`."""
    rows = []
    for index in range(8):
        sf.write(folder / f"{index}.wav", np.full(1600, 0.01 * index, np.float32), 16_000)
        text = f"{WORDS[index % 7]} {WORDS[(3 * index + 2) % 7]}"
        rows.append(json.dumps({"id": f"clip-{index}", "audio": f"{index}.wav", "text": text}))
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(rows) + "\n")
    tree: dict[str, Any] = {
        "task": "asr",
        "output": str(folder / "run"),
        "model": {"path": "toy"},
        "data": {"train": str(manifest), "batch_size": 4},
        "rollout": {"group_size": 6, "max_new_tokens": 3},
        "rewards": {"terms": [{"name": "accuracy"}]},
        "algorithm": {"kl_weight": 0.001},
        "train": {"steps": 6, "learning_rate": 1e-2, "warmup_steps": 0, "precision": "fp32", "device": "cpu"},
        "evaluation": {"sets": {"seen": str(manifest)}, "max_new_tokens": 4, "bootstrap": 50},
        "report": {"tensorboard": False},
    }
    for key, value in changes.items():
        section, _, name = key.rpartition("__")
        (tree.setdefault(section, {}) if section else tree)[name] = value
    return RunConfig.model_validate(tree)


def toy_run(config: RunConfig, resume: bool) -> None:
    """`train` on the toy, for a process of its own."""
    torch.set_num_threads(1)
    run.load_model = lambda path: ToyRecogniser()
    run.train(config, resume=resume)
