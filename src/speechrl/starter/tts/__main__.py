"""Make the starter synthesiser and its Token2Text models again, from text to weights: part of `make starter`.

Five steps: speak the corpus (needs flite), its spectrograms, the speech tokenizer and the codes, text encoder and
language model, Token2Text. The first three are resumable. The synthesiser that ships is stopped early on purpose, so
that reinforcement learning has something to do; `--long` trains it on. Minutes and data are in the model card beside
this file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from speechrl.starter.tts import corpus, mels, sft, token2text, tokenizer

HERE = Path(__file__).parent
LONG_LEARNING_RATE, LONG_STEPS = 0.7, 1500


def main() -> None:
    """Run what is missing of the five steps under one folder."""
    parser = argparse.ArgumentParser(prog="python -m speechrl.starter.tts", description=__doc__)
    parser.add_argument(
        "--work", type=Path, default=Path("build/starter_tts"), help="corpus, spectrograms and codes (5 GB)"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the synthesiser")
    parser.add_argument(
        "--token2text-out", type=Path, default=HERE.parent, help="folder for the folders of Token2Text models"
    )
    parser.add_argument("--hours", type=float, default=11.5, help="hours of synthetic speech")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything")
    parser.add_argument("--workers", type=int, default=2, help="processes of the first two steps")
    parser.add_argument("--long", type=Path, help="folder for a synthesiser that is trained on")
    arguments = parser.parse_args()
    seed, workers = ["--seed", str(arguments.seed)], ["--workers", str(arguments.workers)]
    speech, pictures, speech_tokenizer, codes, pairs = (
        str(arguments.work / name) for name in ("corpus", "mels", "tokenizer", "codes", "pairs")
    )
    corpus.main(["--out", speech, "--hours", str(arguments.hours), *seed, *workers])
    mels.main(["--corpus", speech, "--out", pictures, *workers])
    tokenizer.main(["--mels", pictures, "--out", speech_tokenizer, "--codes", codes, *seed])
    coded = ["--codes", codes, "--tokenizer", speech_tokenizer, *seed]
    sft.main([*coded, "--out", str(arguments.out)])
    shipped = ["--models", "token2text", "token2text_judge"]
    token2text.main([*coded, "--pairs", pairs, "--out", str(arguments.token2text_out), *shipped])
    if arguments.long is not None:
        further = ["--steps", str(LONG_STEPS), "--learning-rate", str(LONG_LEARNING_RATE)]
        sft.main([*coded, "--init", str(arguments.out), "--out", str(arguments.long), *further])


if __name__ == "__main__":
    main()
