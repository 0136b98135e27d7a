"""Who collapses: 1500 steps of GRPO, DiffRO, and both with and without filtering, from a base that runs away.

    python benchmarks/tts_runaway_base.py --out runs/tts_runaway_base
    python benchmarks/tts_stability.py --base runs/tts_runaway_base

writes `benchmarks/results/tts_stability.json`, with the curves of all; `--page` prints them as a table. The reward is
token accuracy alone, so that no sound is made while training; every 100 steps a recogniser that is in no reward hears
test sentences, sampled at temperature 1. The models at the end are listened to as in `tts_table2.py`, by two judges.
Small batches and a high rate bring on in hours what takes days at full size; so curves are to be compared with each
other. Runs are kept under `--work`; the benchmark goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from result_file import markdown_table, shown, write_result
from training_runs import run_once, train_command
from tts_listening import JUDGES, Table, compare, listen, listen_side_by_side

from speechrl.report.writers import read_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "benchmarks" / "tts.yaml"
METHODS: dict[str, dict[str, Any]] = {
    "GRPO": {"algorithm.name": "grpo"},
    "DiffRO": {"algorithm.name": "diffro"},
    # Weighed as dev chose for tts_table2.py.
    "both, unfiltered": {
        "algorithm.name": "hybrid",
        "algorithm.diffro.filter": "none",
        "algorithm.diffro.weight": 4.0,
    },
    "both, filtered": {
        "algorithm.name": "hybrid",
        "algorithm.diffro.filter": "both",
        "algorithm.diffro.weight": 4.0,
    },
}
STEPS = ("reward", "kl", "length_cut_share", "samples/diffro")
CURVES = ("judge_wer", "tokens_per_char", "no_stop_rate", "similarity", "log_f0_std")
PAIRS = (
    ("both, filtered", "GRPO"),
    ("both, filtered", "DiffRO"),
    ("both, filtered", "both, unfiltered"),
    ("DiffRO", "GRPO"),
)
"""Methods at the end whose errors are compared."""
END_PLAN, END_SENTENCES = {"test": (1, 2)}, 200
"""How the models at the end are listened to: sampling seeds by set, and how many of its sentences."""
COLLAPSED = 1.5
"""A run has collapsed when its judge WER is this many times that of the base, at this evaluation and the next."""


def command(method: str, folder: Path, chosen: argparse.Namespace) -> list[str]:
    """The command line of a run."""
    settings = {
        "output": str(folder), "model.path": str(chosen.base), "seed": chosen.seed,
        "train.steps": chosen.steps, "train.learning_rate": chosen.rate,
        "data.batch_size": 4, "rollout.group_size": 6, "train.checkpoint_every": 100,
        "evaluation.sets": {"sentences": "package:data/tts_en/test.jsonl"}, "evaluation.limit": chosen.sentences,
        "evaluation.every": chosen.every,
        "evaluation.temperature": 1.0, "evaluation.top_k": 0, "evaluation.max_new_tokens": 300,
        "evaluation.judges": ["whisper-tiny.en"], "evaluation.vocoder": "fast", "evaluation.window": "short",
        "evaluation.measures": ["similarity", "log_f0_std"], "report.samples_every": 250, **METHODS[method],
    }  # fmt: skip
    return train_command(CONFIG, settings)


def curves(folder: Path, every: int) -> list[dict[str, float | None]]:
    """What was measured, from the base (step 0) to the last step; None where no rendering could be measured.

    Beside what is heard stand means over the steps since the point before: of the reward, the distance from the base in
    nats a token, the share of rollouts that were cut and the share that DiffRO learned from.
    """
    content = json.loads((folder / "evaluation.json").read_text())
    rows = read_rows(folder / "metrics.jsonl")
    points: list[dict[str, float | None]] = [
        {"step": 0, **{name: content["before"]["sentences"][name] for name in CURVES}}
    ]
    for end in range(every, len(rows) + 1, every):
        steps = rows[end - every : end]
        heard = {name: steps[-1].get(f"evaluation/sentences/{name}") for name in CURVES}
        if end == len(rows):
            heard = {name: content["after"]["sentences"][name] for name in CURVES}
        practised = {
            name: float(np.mean([row[name] for row in steps])) for name in STEPS if name in steps[-1]
        }
        points.append({"step": end, **heard, **practised})
    return points


def collapsed_at(points: list[dict[str, float | None]]) -> float | None:
    """The first step of two measurements in a row beyond `COLLAPSED`; None if there are none."""
    heard = [(point["step"], wer) for point in points if (wer := point["judge_wer"]) is not None]
    limit = COLLAPSED * heard[0][1]
    bad = [(step, wer > limit) for step, wer in heard]
    return next((step for (step, now), (_, after) in pairwise(bad) if now and after), None)


def largest_rise(points: list[dict[str, float | None]]) -> dict[str, float | None]:
    """How far the judge WER rose at most above the run's own best so far, as a share of that best, and at which step.

    What `collapsed_at` cannot see: a run that mends the base first and then loses what it gained. The best of several
    noisy figures is a lucky one, so that some rise is in every curve. No rise is 0, without a step.
    """
    rise, at, best = 0.0, None, math.inf
    for point in points:
        wer = point["judge_wer"]
        if wer is None:
            continue
        if best < math.inf and wer / best - 1 > rise:
            rise, at = wer / best - 1, point["step"]
        best = min(best, wer)
    return {"rise": rise, "step": at}


def main() -> None:
    """Run all four."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="package:starter/tts", help="folder of tts_runaway_base.py")
    parser.add_argument("--work", type=Path, default=Path("runs/tts_stability"), help="run directories")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "tts_stability.json")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--every", type=int, default=100, help="steps between evaluations")
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--sentences", type=int, default=100, help="test sentences that are heard")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="runs at once, one thread each")
    parser.add_argument(
        "--page", action="store_true", help="only print the table of the result that is there"
    )
    chosen = parser.parse_args()
    folders = {m: chosen.work / m.replace(",", "").replace(" ", "_") for m in METHODS}
    if chosen.page:
        print(page(json.loads(chosen.out.read_text())))
        return
    with ThreadPoolExecutor(chosen.workers) as pool:
        list(pool.map(lambda m: run_once(command(m, folders[m], chosen), folders[m]), METHODS))
    found = {m: curves(folder, chosen.every) for m, folder in folders.items()}
    heard = {"base": chosen.work / "heard_base", **{m: folder / "heard" for m, folder in folders.items()}}
    models = {"base": str(chosen.base), **{m: str(folder / "model") for m, folder in folders.items()}}
    listen_side_by_side(
        [(models[m], out) for m, out in heard.items()],
        chosen.workers,
        seeds=END_PLAN,
        sentences=END_SENTENCES,
    )
    table = Table({m: [listen(models[m], out)] for m, out in heard.items()})
    base = {"method": "base", "end": table.row("base", "test"), "points": []}
    rows = [
        {
            "method": m,
            "collapsed_at_step": collapsed_at(points),
            "largest_rise": largest_rise(points),
            "end": table.row(m, "test"),
            "points": points,
        }
        for m, points in found.items()
    ]
    write_result(
        chosen.out,
        seeds=[chosen.seed],
        base=shown(chosen.base),
        rate=chosen.rate,
        sampling_seeds=END_PLAN,
        rows=[base, *rows],
        pairs=[
            {
                "method": method,
                "against": other,
                "judge": judge,
                **compare(table.counts(other, "test", judge), table.counts(method, "test", judge), rate=True),
            }
            for method, other in PAIRS
            for judge in (*JUDGES, "token_cer")
        ],
    )


def page(content: Mapping[str, Any]) -> str:
    """Tables in Markdown: the curves at every third evaluation, and the models at the end."""
    base, *rows = content["rows"]
    steps = [point["step"] for point in rows[0]["points"]][::3]
    curves_told = []
    for row in rows:
        wers = {point["step"]: point["judge_wer"] for point in row["points"]}
        mean = np.mean([wer for step, wer in wers.items() if step and wer is not None])
        at, risen = row["collapsed_at_step"], largest_rise(row["points"])
        rise = "none" if risen["step"] is None else f"{risen['rise']:+.0%} at {risen['step']:.0f}"
        told = ["-" if wers[step] is None else f"{wers[step]:.1%}" for step in steps]
        curves_told.append(
            [row["method"], *told, f"{mean:.1%}", "no" if at is None else f"at {at:.0f}", rise]
        )
    ends = []
    for row in (base, *rows):
        end, last = row["end"], (row["points"] or [{}])[-1]
        cut, kl = last.get("length_cut_share"), last.get("kl")
        told = [
            *(_change(end[name]) for name in (*JUDGES, "token_cer")),
            f"{end['no_stop']['mean']:.1%}",
            "-" if cut is None else f"{cut:.1%}",
            f"{end['similarity']['mean']:.3f}",
            "-" if kl is None else f"{kl:.2f}",
        ]
        ends.append([row["method"], *told])
    return "\n\n".join(
        (
            markdown_table(
                ["judge WER after", *map(str, steps), "mean", "collapsed", "most above own best"], curves_told
            ),
            markdown_table(
                ["at the end", *JUDGES, "CER, tokens", "never stop", "rollouts cut", "similarity", "KL"], ends
            ),
            markdown_table(["errors", *JUDGES, "CER, tokens"], _pairs(content["pairs"])),
        )
    )


def _pairs(pairs: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """A line per two methods: how the errors of the first stand to those of the second."""
    found: dict[str, list[str]] = {}
    for one in pairs:
        told = f"{one['relative_change']:+.0%} [{one['low']:+.0%}, {one['high']:+.0%}]"
        found.setdefault(f"{one['method']} against {one['against']}", []).append(told)
    return [[name, *told] for name, told in found.items()]


def _change(found: Mapping[str, Any]) -> str:
    """A rate, and how it stands to the base's."""
    against = found.get("against_base")
    if against is None:
        return f"{found['mean']:.1%}"
    low, high = against["low"], against["high"]
    return f"{found['mean']:.1%} ({against['relative_change']:+.0%} [{low:+.0%}, {high:+.0%}])"


if __name__ == "__main__":
    main()
