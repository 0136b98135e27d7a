"""Make the starter synthesiser and its Token2Text models again, from text to weights: part of `make starter`.

Five steps: speak the corpus (needs flite), its spectrograms, the speech tokenizer and the codes, text encoder and
language model, Token2Text. The first three are resumable. The synthesiser that ships is stopped early on purpose, so
that reinforcement learning has something to do; `--long` trains it on. Minutes and data are in the model card beside
this file.

    python -m speechrl.starter.tts --share 0.02 --work build/trial --out build/trial/tts --token2text-out build/trial

tries the chain in a few minutes, with a fiftieth of the speech and of the steps; what comes out says nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from speechrl.starter.tts import corpus, mels, sft, token2text, tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
LONG_LEARNING_RATE, LONG_STEPS = 0.7, 1500


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is missing of the five steps under one folder."""
    parser = argparse.ArgumentParser(
        prog="python -m speechrl.starter.tts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--work", type=Path, default=Path("build/starter_tts"), help="corpus, spectrograms and codes (5 GB)"
    )
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the synthesiser")
    parser.add_argument(
        "--token2text-out", type=Path, default=HERE.parent, help="folder for the folders of Token2Text models"
    )
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="of the hours of synthetic speech and of the steps of every training, for a trial",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of everything")
    parser.add_argument("--workers", type=int, default=2, help="processes of the first two steps")
    parser.add_argument("--long", type=Path, help="folder for a synthesiser that is trained on")
    chosen = parser.parse_args(arguments)
    if not 0 < chosen.share <= 1:
        parser.error(f"--share {chosen.share:g}: must be above 0 and at most 1")
    seed, workers = ["--seed", str(chosen.seed)], ["--workers", str(chosen.workers)]

    def steps(name: str, full: int) -> list[str]:
        return [name, str(max(1, round(chosen.share * full)))]

    speech, pictures, speech_tokenizer, codes, pairs = (
        str(chosen.work / name) for name in ("corpus", "mels", "tokenizer", "codes", "pairs")
    )
    hours = [str(chosen.share * full) for full in (corpus.HOURS, corpus.FURTHER_HOURS)]
    corpus.main(["--out", speech, "--hours", hours[0], "--further-hours", hours[1], *seed, *workers])
    mels.main(["--corpus", speech, "--out", pictures, *workers])
    trained = [*steps("--steps", tokenizer.STEPS), *steps("--decoder-steps", tokenizer.DECODER_STEPS)]
    tokenizer.main(["--mels", pictures, "--out", speech_tokenizer, "--codes", codes, *trained, *seed])
    coded = ["--codes", codes, "--tokenizer", speech_tokenizer, *seed]
    sft.main([*coded, "--out", str(chosen.out), *steps("--steps", sft.STEPS)])
    readers = [*coded, "--pairs", pairs, "--out", str(chosen.token2text_out), "--share", str(chosen.share)]
    token2text.main([*readers, "--models", "token2text", "token2text_judge"])
    if chosen.long is not None:
        further = [*steps("--steps", LONG_STEPS), "--learning-rate", str(LONG_LEARNING_RATE)]
        sft.main([*coded, "--init", str(chosen.out), "--out", str(chosen.long), *further])


if __name__ == "__main__":
    main()
