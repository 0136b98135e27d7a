"""What a reward model of tokens is worth: robust against plain training of it, and tokens against sound.

    python benchmarks/tts_rewards.py --plain build/starter_tts/token2text_plain

after `tts_table2.py`, two of whose rows are taken over; writes `benchmarks/results/tts_rewards.json`. From the same
model as there (`--base`), with the same steps and rate: DiffRO through the Token2Text that ships (trained with
disturbances) and through one that was trained without (`--plain`; `python -m speechrl.starter.tts.token2text --models
token2text_plain` makes it; left out if not given); and GRPO on the accuracy that Token2Text reads in the tokens and on
that which a recogniser hears in the sound. Listening is described in `tts_listening.py`; the recogniser of the reward
is none of its judges. `opinion_cer` is what the run's own reward model makes of the test sentences: where it falls and
the judges do not follow, the policy has found a weak spot. `kl` is that of the last step, by training seed. `seconds`
are medians over the steps of further, short runs of GRPO with either reward, in turns and with nothing beside them.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from result_file import shown, write_result
from training_runs import run_once, train_command
from tts_listening import Table, TokenJudge, listen, listen_side_by_side
from tts_table2 import BASE, tuned

from speechrl.report.writers import read_rows

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "benchmarks" / "tts.yaml"
ROBUST = "package:starter/token2text"
SOUND_REWARD = "whisper-base"
TURNS, TIMED_STEPS = 2, 8
"""Of the runs that are timed."""


@dataclass(frozen=True)
class System:
    """A row of the table.

    Attributes:
        method: Whose learning rate it takes, of `tts_table2.py`.
        reward_model: The Token2Text of its reward; for sound, the one whose opinion is reported.
        settings: What it is trained with; None where `tts_table2.py` trained it.
    """

    method: str
    reward_model: str
    settings: dict[str, Any] | None = None

    def folder(self, name: str, seed: int, chosen: argparse.Namespace) -> Path:
        """Of its run."""
        if self.settings is None:
            return Path(chosen.table) / "steps" / f"{self.method.replace(' ', '_')}-{seed}"
        return Path(chosen.work) / f"{name.replace(', ', '_')}-{seed}"


def systems_of(plain: str | None) -> dict[str, System]:
    """The rows."""
    # By character, like Token2Text: only the ear differs.
    hears = {"name": "recogniser", "options": {"recogniser": SOUND_REWARD, "unit": "char"}}
    found = {
        "DiffRO, robust": System("DiffRO R1", ROBUST),
        "GRPO, tokens": System("GRPO R1", ROBUST),
        "GRPO, sound": System("GRPO R1", ROBUST, {"algorithm.name": "grpo", "rewards.terms": [hears]}),
    }
    if plain is not None:
        reads = {"name": "token_accuracy", "options": {"model": plain}}
        settings = {
            "algorithm.name": "diffro", "algorithm.diffro.reward_model": plain, "rewards.terms": [reads]
        }  # fmt: skip
        found["DiffRO, plain"] = System("DiffRO R1", plain, settings)
    return found


def seconds_a_step(folders: list[Path]) -> dict[str, float]:
    """Medians over steps: of the stages that a reward decides about, and of all together."""
    rows = [row for folder in folders for row in read_rows(folder / "metrics.jsonl")]
    stages = [{key: row[key] for key in row if key.startswith("seconds/")} for row in rows]
    found = {
        name: float(np.median([row[f"seconds/{name}"] for row in stages])) for name in ("decode", "score")
    }
    return found | {"step": float(np.median([sum(row.values()) for row in stages]))}


def last_kl(folder: Path) -> float:
    """Nats a token between policy and reference in the last step."""
    *_, last = read_rows(folder / "metrics.jsonl")
    return round(float(last["kl"]), 4)


def time_rewards(systems: dict[str, System], chosen: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds of a step with each reward of GRPO: short runs in turns, with nothing beside them."""
    names = [name for name in systems if name.startswith("GRPO")]
    folders: dict[str, list[Path]] = {name: [] for name in names}
    for turn in range(TURNS):
        for name in names:
            folder = Path(chosen.work) / "timed" / f"{name.replace(', ', '_')}-{turn}"
            settings = {"algorithm.name": "grpo", **(systems[name].settings or {})}
            run_once(train_command(CONFIG, _of_run(folder, settings, chosen, 1, TIMED_STEPS)), folder)
            folders[name].append(folder)
    return {name: seconds_a_step(found) for name, found in folders.items()}


def _of_run(
    folder: Path, settings: dict[str, Any], chosen: argparse.Namespace, seed: int, steps: int
) -> dict[str, Any]:
    common = {"output": str(folder), "model.path": str(chosen.base), "seed": seed, "train.steps": steps}
    return {**common, **settings}


def main() -> None:
    """Train, listen, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--plain", help="folder of a Token2Text that was trained without disturbances")
    parser.add_argument("--base", default=BASE, help="as in tts_table2.py")
    parser.add_argument("--work", type=Path, default=Path("runs/tts_rewards"), help="runs and what was heard")
    parser.add_argument("--table", type=Path, default=Path("runs/tts_table2"), help="those of tts_table2.py")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "tts_rewards.json")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=30, help="as in tts_table2.py")
    parser.add_argument("--workers", type=int, default=2, help="runs at once, one thread each")
    chosen = parser.parse_args()
    systems = systems_of(chosen.plain)
    folders = {
        (name, seed): system.folder(name, seed, chosen)
        for seed in chosen.seeds
        for name, system in systems.items()
    }

    def train(key: tuple[str, int]) -> None:
        (name, seed), folder = key, folders[key]
        system = systems[name]
        if system.settings is None:
            return
        settings = {"train.learning_rate": tuned(system.method, chosen.base).rate, **system.settings}
        run_once(train_command(CONFIG, _of_run(folder, settings, chosen, seed, chosen.steps)), folder)

    with ThreadPoolExecutor(chosen.workers) as pool:
        list(pool.map(train, folders))
    base = chosen.table / "heard" / "base"
    pairs = [(str(folder / "model"), folder / "heard") for folder in folders.values()]
    listen_side_by_side([(chosen.base, base), *pairs], chosen.workers)
    heard: dict[str, list[dict[str, Any]]] = {"base": [listen(chosen.base, base)]}
    for (name, _), folder in folders.items():
        heard.setdefault(name, []).append(listen(str(folder / "model"), folder / "heard"))
    timed = time_rewards(systems, chosen)
    table, rows = Table(heard), []
    for part in ("test", "hard"):
        for name, runs in heard.items():
            row = table.row(name, part)
            if name != "base":
                own = TokenJudge(systems[name].reward_model)
                row["opinion_cer"] = _rate([own(run[part].rows) for run in runs])
                row["opinion_cer_of_base"] = _rate([own(heard["base"][0][part].rows)])
                row["kl"] = [last_kl(folders[name, seed]) for seed in chosen.seeds]
            if name in timed:
                row["seconds"] = timed[name]
            rows.append(row)
    write_result(
        chosen.out,
        seeds=chosen.seeds,
        base=shown(chosen.base),
        steps=chosen.steps,
        rates={name: tuned(system.method, chosen.base).rate for name, system in systems.items()},
        rows=rows,
    )


def _rate(runs: list[list[tuple[float, float]]]) -> float:
    pairs = np.array([pair for run in runs for pair in run])
    return float(pairs[:, 0].sum() / pairs[:, 1].sum())


if __name__ == "__main__":
    main()
