"""Make the starter recogniser again, from text to weights: `make starter`.

Three steps: speak the corpus (needs flite and espeak-ng), run the frozen encoder over it, train in two cycles of a
falling learning rate. The first two steps are resumable. Minutes and data are in the model card beside this file.

`--language it` makes an Italian one in `build/starter_asr_it/model`; its parts are listed in docs/data.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from speechrl.starter.asr import corpus, frames, sft
from speechrl.starter.asr.languages import LANGUAGES

HERE = Path(__file__).parent
SECOND_LEARNING_RATE = 6e-4


def main() -> None:
    """Run what is missing of the three steps under one folder."""
    parser = argparse.ArgumentParser(prog="python -m speechrl.starter.asr", description=__doc__)
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="what it recognises")
    parser.add_argument("--work", type=Path, help="corpus and frames (8 GB in English, 3 GB in Italian)")
    parser.add_argument("--out", type=Path, help="folder of the recogniser")
    parser.add_argument("--hours", type=float, help="hours of synthetic speech; by default the recipe's")
    parser.add_argument("--epochs", type=float, help="of each cycle; by default the recipe's")
    parser.add_argument("--limit", type=int, help="only so many utterances, for a trial")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    chosen = parser.parse_args()
    english = chosen.language == "en"
    work: Path = chosen.work or Path(
        "build/starter_asr" if english else f"build/starter_asr_{chosen.language}"
    )
    out: Path = chosen.out or (HERE if english else work / "model")
    speech, states, first = work / "corpus", work / "frames", work / "first"
    common = ["--language", chosen.language, "--workers", str(chosen.workers)]
    seeds = [["--seed", str(chosen.seed + more)] for more in (0, 1)]
    amount = _given(hours=chosen.hours, limit=chosen.limit)
    corpus.main(["--out", str(speech), *amount, *common, *seeds[0]])
    frames.main(["--corpus", str(speech), "--out", str(states), *common, *seeds[0]])
    common += ["--frames", str(states), *_given(epochs=chosen.epochs)]
    sft.main([*common, "--out", str(first), *seeds[0]])
    again = ["--init", str(first), "--learning-rate", str(SECOND_LEARNING_RATE)]
    sft.main([*common, "--out", str(out), *again, *seeds[1]])


def _given(**options: float | None) -> list[str]:
    return [
        part for name, value in options.items() if value is not None for part in (f"--{name}", str(value))
    ]


if __name__ == "__main__":
    main()
