"""A pool of speech for reinforcement learning that supervised training has not seen: synthetic, open vocabulary.

The human train split is small (266 prompts), and a model that has converged on it gives the same answer to each of them
every time: nothing to learn from. So `benchmarks/asr_grpo.py` lets every method practise on other speech as well. This
makes it: the corpus recipe of the starter with another seed (other sentences in other voices), a FLAC an utterance and
a manifest that `data.train` reads. It needs flite and espeak-ng, and the extra `tts-data`.

    python benchmarks/asr_pool.py --out runs/asr_pool
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import soundfile as sf

from speechrl.starter.asr import corpus

SAMPLE_RATE_HZ = 16_000


def make(folder: Path, hours: float, seed: int) -> Path:
    """Speak the pool if it is not there yet; returns its manifest."""
    manifest = folder / "manifest.jsonl"
    if manifest.is_file():
        return manifest
    corpus.build(folder / "corpus", hours, seed, workers=1)
    (folder / "audio").mkdir(parents=True, exist_ok=True)
    rows = []
    for row, samples in corpus.iterate_utterances(folder / "corpus"):
        name = f"audio/{row['id']}.flac"
        sf.write(folder / name, samples, SAMPLE_RATE_HZ)
        rows.append({"id": row["id"], "audio": name, "text": row["text"], "language": "en"})
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def main() -> None:
    """Make the pool."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("runs/asr_pool"))
    parser.add_argument("--hours", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    print(make(arguments.out, arguments.hours, arguments.seed))


if __name__ == "__main__":
    main()
