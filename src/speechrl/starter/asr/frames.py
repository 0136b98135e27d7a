"""Step 2 of the starter recogniser: distort the corpus, run the frozen encoder over it once, keep the frames.

The encoder does not learn, so every epoch of step 3 reads the same frames. Each utterance gets one condition; a share
is joined with its neighbours, so that the model has heard more than one sentence at a time.
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
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from speechrl.data.augment import add_noise, change_gain, make_noise, telephone_band
from speechrl.models.asr.whisper_encoder import SAMPLE_RATE_HZ, load_whisper_frames
from speechrl.starter.asr.languages import LANGUAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CONDITIONS = {"clean": 0.35, "noise": 0.40, "telephone": 0.15, "telephone+noise": 0.10}
JOINING_PROBABILITY = 0.08 / 3
MAX_JOINED_S = 28.0
SNR_RANGE_DB = (3.0, 30.0)


@dataclass(frozen=True, slots=True)
class Clip:
    """What is encoded: one utterance or several joined, not yet distorted."""

    id: str
    text: str
    audio: NDArray[np.float32]


def join_neighbours(clips: Sequence[Clip], rng: np.random.Generator) -> list[Clip]:
    """Replace some clips by themselves and 1 to 6 followers, with pauses of 0.2 to 1.2 s between."""
    joined: list[Clip] = []
    index = 0
    while index < len(clips):
        wanted = int(rng.integers(2, 8)) if rng.random() < JOINING_PROBABILITY else 1
        parts, texts = [clips[index].audio], [clips[index].text]
        index += 1
        while len(texts) < wanted and index < len(clips):
            pause = np.zeros(int(rng.uniform(0.2, 1.2) * SAMPLE_RATE_HZ), np.float32)
            if sum(map(len, parts)) + len(pause) + len(clips[index].audio) > MAX_JOINED_S * SAMPLE_RATE_HZ:
                break
            parts += [pause, clips[index].audio]
            texts.append(clips[index].text)
            index += 1
        identifier = clips[index - 1].id if len(texts) == 1 else f"{clips[index - 1].id}-joined{len(texts)}"
        joined.append(Clip(identifier, " ".join(texts), np.concatenate(parts)))
    return joined


def distort(
    audio: NDArray[np.float32], others: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], str]:
    """Give a clip one condition; babble is made of `others`, speech of the same shard."""
    condition = str(rng.choice(list(CONDITIONS), p=list(CONDITIONS.values())))
    audio = change_gain(audio, float(rng.uniform(-18, 3)))
    if "telephone" in condition:
        audio = telephone_band(audio, SAMPLE_RATE_HZ)
    if "noise" in condition:
        kind = str(rng.choice(["white", "pink", "hum", "babble"]))
        noise = (
            _babble(others, len(audio), rng)
            if kind == "babble"
            else make_noise(kind, len(audio), SAMPLE_RATE_HZ, rng)
        )
        audio = add_noise(audio, noise, float(rng.uniform(*SNR_RANGE_DB)))
    return np.clip(audio, -1.0, 1.0, dtype=np.float32), condition


def _babble(speech: NDArray[np.float32], samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    starts = rng.integers(0, max(len(speech) - samples, 1), size=4)
    babble = np.zeros(samples, np.float32)
    for start in starts:
        babble += np.resize(speech[start : start + samples], samples)
    return babble


def encode_shard(corpus: Path, out: Path, name: str, seed: int, encoder_name: str) -> float:
    """Encode one shard of the corpus; its `.jsonl` is written last and marks it as whole. Returns seconds of audio."""
    torch.set_num_threads(1)
    pcm = np.asarray(np.load(corpus / f"{name}.npy", mmap_mode="r"))
    rows = [json.loads(line) for line in (corpus / f"{name}.jsonl").read_text("utf-8").splitlines()]
    rng = np.random.default_rng([seed, int(name.rsplit("-", 1)[1])])
    speech = pcm.astype(np.float32) / 32768.0
    clips = [
        Clip(row["id"], row["text"], speech[row["offset"] : row["offset"] + row["samples"]]) for row in rows
    ]
    encoder = load_whisper_frames(encoder_name)
    index: list[dict[str, Any]] = []
    frames: list[NDArray[np.float16]] = []
    start = 0
    for clip in join_neighbours(clips, rng):
        audio, condition = distort(clip.audio, speech, rng)
        states = encoder([audio])[0].half().numpy()
        frames.append(states)
        index.append(
            {"id": clip.id, "text": clip.text, "condition": condition, "start": start, "frames": len(states)}
        )
        start += len(states)
    np.save(out / f"{name}.npy", np.concatenate(frames))
    partial = out / f"{name}.jsonl.partial"
    partial.write_text("".join(json.dumps(row) + "\n" for row in index), "utf-8")
    os.replace(partial, out / f"{name}.jsonl")
    return float(len(pcm) / SAMPLE_RATE_HZ)


def encode_corpus(corpus: Path, out: Path, seed: int, workers: int, encoder_name: str) -> None:
    """Encode every finished shard of the corpus that is not encoded yet."""
    out.mkdir(parents=True, exist_ok=True)
    names = sorted(path.stem for path in corpus.glob("shard-*.jsonl") if not (out / path.name).exists())
    began = time.monotonic()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(encode_shard, corpus, out, name, seed, encoder_name) for name in names]
        for done, job in enumerate(jobs, 1):
            seconds = job.result()
            print(
                f"{done}/{len(names)} shards, {seconds / 3600:.2f} h, {time.monotonic() - began:.0f} s",
                flush=True,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the step."""
    parser = argparse.ArgumentParser(description="Distort the corpus and run the frozen encoder over it.")
    parser.add_argument(
        "--corpus", type=Path, required=True, help="directory made by speechrl.starter.asr.corpus"
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of the frames")
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="whose encoder listens")
    parser.add_argument("--seed", type=int, default=1, help="seed of the conditions")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    chosen = parser.parse_args(arguments)
    encoder = LANGUAGES[chosen.language].encoder
    encode_corpus(chosen.corpus, chosen.out, chosen.seed, chosen.workers, encoder)


if __name__ == "__main__":
    main()
