"""Step 2 of the starter synthesiser: spectrograms, recogniser states and voice vectors of the corpus.

    python -m speechrl.starter.tts.mels --corpus DIR --out DIR --workers 2

For every finished shard of the corpus a directory holds `shard-00000.mel.npy` (float16, frames x 80), `.content.npy`
(float16, tokens x 384: Whisper's states at the times of the speech tokens), `.voices.npy` (float16, one vector of 256
per utterance) and, written last, `.jsonl` with id, text, voice, split, start and tokens; start and tokens count tokens,
of four frames each.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from speechrl.models.asr.whisper_encoder import load_whisper_frames
from speechrl.models.tts.mel import SAMPLE_RATE_HZ, log_mel
from speechrl.models.tts.speech_codes import CONTENT_ENCODER, at_token_times, to_16_khz
from speechrl.models.tts.speech_tokenizer import FRAMES_PER_TOKEN
from speechrl.models.tts.voice_encoder import load_voice_encoder
from speechrl.starter.speech_corpus import read_utterance
from speechrl.starter.tts.corpus import read_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

_BATCH = 32


@dataclass(frozen=True, slots=True)
class Seen:
    """One utterance as the tokenizer's training sees it; arrays are views of memory-mapped shards."""

    id: str
    text: str
    voice: str
    split: str
    mel_TM: NDArray[np.float16]
    content_ND: NDArray[np.float16]
    voice_vector: NDArray[np.float16]


def see_shard(corpus: Path, out: Path, name: str) -> float:
    """Write one shard; returns its hours of speech."""
    torch.set_num_threads(1)
    rows = [row for row in read_manifest(corpus) if row["shard"] == name]
    listener, voices = load_whisper_frames(CONTENT_ENCODER), load_voice_encoder()
    mels: list[Tensor] = []
    contents: list[Tensor] = []
    vectors: list[Tensor] = []
    for first in range(0, len(rows), _BATCH):
        speech = [read_utterance(corpus, row) for row in rows[first : first + _BATCH]]
        batch = [log_mel(torch.from_numpy(clip)) for clip in speech]
        batch = [mel[: len(mel) // FRAMES_PER_TOKEN * FRAMES_PER_TOKEN] for mel in batch]
        heard = [to_16_khz(clip) for clip in speech]
        # One clip a pass: attention over padding takes twice as long.
        contents += [
            at_token_times(listener([clip])[0], len(mel) // FRAMES_PER_TOKEN).half()
            for clip, mel in zip(heard, batch, strict=True)
        ]
        vectors.append(voices(heard).half())
        mels += [mel.half() for mel in batch]
    lines, start = [], 0
    for row, mel in zip(rows, mels, strict=True):
        kept = {key: row[key] for key in ("id", "text", "voice", "split")}
        tokens = len(mel) // FRAMES_PER_TOKEN
        lines.append(json.dumps(kept | {"start": start, "tokens": tokens}) + "\n")
        start += tokens
    np.save(out / f"{name}.mel.npy", torch.cat(mels).numpy())
    np.save(out / f"{name}.content.npy", torch.cat(contents).numpy())
    np.save(out / f"{name}.voices.npy", torch.cat(vectors).numpy())
    partial = out / f"{name}.jsonl.partial"
    partial.write_text("".join(lines), "utf-8")
    os.replace(partial, out / f"{name}.jsonl")
    return float(sum(row["samples"] for row in rows) / SAMPLE_RATE_HZ / 3600)


def see_corpus(corpus: Path, out: Path, workers: int) -> None:
    """Write every finished shard of the corpus that is not written yet."""
    out.mkdir(parents=True, exist_ok=True)
    finished = sorted({row["shard"] for row in read_manifest(corpus)})
    missing = [name for name in finished if not (out / f"{name}.jsonl").exists()]
    began = time.monotonic()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(see_shard, corpus, out, name) for name in missing]
        for done, job in enumerate(jobs, 1):
            hours, spent_s = job.result(), time.monotonic() - began
            print(f"mels: {done}/{len(missing)} shards, {hours:.2f} h, {spent_s:.0f} s", flush=True)


def read_seen(folder: Path, name: str) -> Iterator[Seen]:
    """Utterances of one shard, in corpus order."""
    mel_TM = np.load(folder / f"{name}.mel.npy", mmap_mode="r")
    content_ND = np.load(folder / f"{name}.content.npy", mmap_mode="r")
    vectors = np.load(folder / f"{name}.voices.npy")
    for index, line in enumerate((folder / f"{name}.jsonl").read_text("utf-8").splitlines()):
        row = json.loads(line)
        start, end = row["start"], row["start"] + row["tokens"]
        frames = slice(start * FRAMES_PER_TOKEN, end * FRAMES_PER_TOKEN)
        who = (row["id"], row["text"], row["voice"], row["split"])
        yield Seen(*who, mel_TM[frames], content_ND[start:end], vectors[index])


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the step."""
    parser = argparse.ArgumentParser(description="Spectrograms, recogniser states and voice vectors.")
    parser.add_argument("--corpus", type=Path, required=True, help="directory of speechrl.starter.tts.corpus")
    parser.add_argument("--out", type=Path, required=True, help="directory of the spectrograms")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    chosen = parser.parse_args(arguments)
    see_corpus(chosen.corpus, chosen.out, chosen.workers)


if __name__ == "__main__":
    main()
