"""What a reward model of tokens is worth: robust against plain training of it, and tokens against sound.

    python benchmarks/tts_rewards.py --plain build/starter_tts/token2text_plain

writes `benchmarks/results/tts_rewards.json`. From the shipped synthesiser, with the same steps and rate: DiffRO through
the Token2Text that ships (trained with disturbances) and through one that was trained without (`--plain`; made by
`python -m speechrl.starter.tts.token2text --models token2text_plain`, left out if not given); and GRPO on the accuracy
that Token2Text reads in the tokens and on that which a recogniser hears in the sound. Listening is described in
`tts_listening.py`; the recogniser of the reward is none of its judges. `opinion_cer` is what the run's own reward model
makes of the test sentences: where it falls and the judges do not follow, the policy has found a weak spot.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from training_runs import run_once, train_command
from tts_listening import JUDGES, Count, TokenJudge, by_sentence, compare, listen, value, word_errors

from speechrl.report.environment import describe_environment
from speechrl.report.writers import read_rows

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "benchmarks" / "tts.yaml"
BASE = "package:starter/tts"
ROBUST = "package:starter/token2text"
SOUND_REWARD = "whisper-base"
MEASURES = ("similarity", "quality", "log_f0_std", "no_stop", "tokens")


def rows_of(plain: str | None) -> dict[str, tuple[str, dict[str, Any]]]:
    """Reward model and settings of each system."""
    diffro = {"algorithm.name": "diffro", "algorithm.diffro.reward_model": ROBUST}
    found: dict[str, tuple[str, dict[str, Any]]] = {
        "DiffRO, robust": (ROBUST, diffro),
        "GRPO, tokens": (ROBUST, {"algorithm.name": "grpo"}),
        "GRPO, sound": (
            ROBUST,
            {
                "algorithm.name": "grpo",
                "rewards.terms": [{"name": "recogniser", "options": {"recogniser": SOUND_REWARD}}],
            },
        ),
    }
    if plain is not None:
        term = {"name": "token_accuracy", "options": {"model": plain}}
        found["DiffRO, plain"] = (
            plain,
            {**diffro, "algorithm.diffro.reward_model": plain, "rewards.terms": [term]},
        )
    return found


def seconds_a_step(folder: Path) -> dict[str, float]:
    """Medians over steps: of the stages that a reward decides about, and of all together."""
    rows = read_rows(folder / "metrics.jsonl")
    stages = [{key: row[key] for key in row if key.startswith("seconds/")} for row in rows]
    found = {
        name: float(np.median([row[f"seconds/{name}"] for row in stages])) for name in ("decode", "score")
    }
    return found | {"step": float(np.median([sum(row.values()) for row in stages]))}


def main() -> None:
    """Train, listen, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plain", help="folder of a Token2Text that was trained without disturbances")
    parser.add_argument("--work", type=Path, default=Path("runs/tts_rewards"), help="runs and what was heard")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "tts_rewards.json")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--workers", type=int, default=2, help="runs at once, one thread each")
    chosen = parser.parse_args()
    systems = rows_of(chosen.plain)
    folders = {
        (name, seed): chosen.work / f"{name.replace(', ', '_')}-{seed}"
        for seed in chosen.seeds
        for name in systems
    }
    shared = {"train.steps": chosen.steps, "train.learning_rate": chosen.rate}

    def train(key: tuple[str, int]) -> None:
        folder = folders[key]
        settings = {"output": str(folder), "seed": key[1], **shared, **systems[key[0]][1]}
        run_once(train_command(CONFIG, settings), folder)

    with ThreadPoolExecutor(chosen.workers) as pool:
        list(pool.map(train, folders))
    heard: dict[str, list[dict[str, Any]]] = {"base": [listen(BASE, chosen.work / "base" / "heard")]}
    for (name, _), folder in folders.items():
        heard.setdefault(name, []).append(listen(str(folder / "model"), folder / "heard"))
    rows = []
    for part in ("test", "hard"):
        counters: dict[str, Count] = {judge: word_errors(judge) for judge in JUDGES}
        counters |= {"token_cer": TokenJudge(), **{name: value(name) for name in MEASURES}}
        sums = {
            name: {
                key: by_sentence(
                    [count(run[part].rows) for run in runs], [row.id for row in runs[0][part].rows]
                )
                for key, count in counters.items()
            }
            for name, runs in heard.items()
        }
        for name, runs in heard.items():
            row: dict[str, Any] = {"system": name, "set": part, "training_seeds": len(runs)}
            row |= {key: float(counts[:, 0].sum() / counts[:, 1].sum()) for key, counts in sums[name].items()}
            if name != "base":
                own = TokenJudge(systems[name][0])
                row["opinion_cer"] = _rate([own(run[part].rows) for run in runs])
                row["opinion_cer_of_base"] = _rate([own(heard["base"][0][part].rows)])
                row["against_base"] = {
                    judge: compare(sums["base"][judge], sums[name][judge], rate=True) for judge in JUDGES
                }
                row["seconds"] = seconds_a_step(folders[name, chosen.seeds[0]])
            rows.append(row)
    environment = describe_environment()
    content = {
        "command": " ".join(["python benchmarks/tts_rewards.py", *sys.argv[1:]]),
        "commit": environment["commit"],
        "machine": environment,
        "seeds": chosen.seeds,
        "steps": chosen.steps,
        "rows": rows,
    }
    chosen.out.write_text(json.dumps(content, indent=1) + "\n")


def _rate(runs: list[list[tuple[float, float]]]) -> float:
    pairs = np.array([pair for run in runs for pair in run])
    return float(pairs[:, 0].sum() / pairs[:, 1].sum())


if __name__ == "__main__":
    main()
