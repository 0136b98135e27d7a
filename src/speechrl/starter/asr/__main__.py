"""Make the starter recogniser again, from text to weights: `make starter`.

Three steps: speak the corpus (needs flite and espeak-ng), run the frozen encoder over it, train in two cycles of a
falling learning rate. The first two steps are resumable. Minutes and data are in the model card beside this file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from speechrl.starter.asr import corpus, frames, sft

HERE = Path(__file__).parent
SECOND_LEARNING_RATE = 6e-4


def main() -> None:
    """Run what is missing of the three steps under one folder."""
    parser = argparse.ArgumentParser(prog="python -m speechrl.starter.asr", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("build/starter_asr"), help="corpus and frames (8 GB)"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the recogniser")
    parser.add_argument("--hours", type=float, default=24.0, help="hours of synthetic speech")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    arguments = parser.parse_args()
    seed, workers = str(arguments.seed), str(arguments.workers)
    speech, states = arguments.work / "corpus", arguments.work / "frames"
    corpus.main(["--out", str(speech), "--hours", str(arguments.hours), "--seed", seed, "--workers", workers])
    frames.main(["--corpus", str(speech), "--out", str(states), "--seed", seed, "--workers", workers])
    first = arguments.work / "first"
    common = ["--frames", str(states), "--workers", workers]
    sft.main([*common, "--out", str(first), "--seed", seed])
    second = [
        "--init",
        str(first),
        "--learning-rate",
        str(SECOND_LEARNING_RATE),
        "--seed",
        str(arguments.seed + 1),
    ]
    sft.main([*common, "--out", str(arguments.out), *second])


if __name__ == "__main__":
    main()
