"""The starter synthesiser link by link: the figures of its model card.

    python benchmarks/starter_tts.py --corpus build/starter_tts/corpus --mels build/starter_tts/mels

writes `benchmarks/results/starter_tts.json`. What judges make of held-out speech of the corpus as it was spoken, after
a vocoder alone, and after tokenizer and vocoder, and the CPU seconds that each vocoder takes for a second of speech on
one thread; then the whole chain on the test sentences of `data/tts_en`, which the model never met, as text and
reference voice. Without `--corpus` and `--mels` only the whole chain is measured.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from result_file import write_result

from speechrl.config.schema import EvaluationConfig
from speechrl.data.derive import read_set
from speechrl.data.prompts import to_prompt
from speechrl.evaluate.bootstrap import interval
from speechrl.evaluate.tts import evaluate_model
from speechrl.models.load import load_model
from speechrl.models.tts.mel import SAMPLE_RATE_HZ
from speechrl.models.tts.speech_codes import to_16_khz
from speechrl.models.tts.vocoder import FastVocoder, load_hifigan
from speechrl.rewards.scorers.recogniser import load_recogniser_judge
from speechrl.rewards.scorers.speaker import SpeakerScorer
from speechrl.starter.speech_corpus import read_utterance
from speechrl.starter.tts.corpus import read_manifest
from speechrl.starter.tts.mels import read_seen
from speechrl.text.alignment import align_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from speechrl.models.tts.synthesiser import Synthesiser
    from speechrl.models.tts.vocoder import Vocoder
    from speechrl.starter.tts.mels import Seen

ROOT = Path(__file__).resolve().parents[1]
SAMPLING = {"T 0.8, top-k 25": (0.8, 25), "T 1": (1.0, 0)}


@dataclass(frozen=True)
class Link:
    """Waveforms at 22.05 kHz, and CPU seconds that the vocoder took for a second of them; None where there is none."""

    waves: list[NDArray[np.float32]]
    vocoder_s: float | None = None


def links(synthesiser: Synthesiser, corpus: Path, seen: list[Seen]) -> dict[str, Link]:
    """The same utterances through ever more of the chain."""
    by_id = {row["id"]: row for row in read_manifest(corpus)}
    mels = [torch.from_numpy(one.mel_TM.astype(np.float32)) for one in seen]
    decoded = []
    for one, mel in zip(seen, mels, strict=True):
        content = torch.from_numpy(one.content_ND.astype(np.float32))[None]
        tokens = torch.tensor([len(one.content_ND)])
        codes = synthesiser.decoder.encode(
            mel[None], tokens * 4, content if synthesiser.decoder.config.content_width else None
        )
        voice = torch.from_numpy(one.voice_vector.astype(np.float32))[None]
        decoded.append(synthesiser.decoder.decode(codes, voice, tokens)[0])
    fast, hifigan = FastVocoder(), load_hifigan(torch.bfloat16)
    return {
        "original": Link([read_utterance(corpus, by_id[one.id]) for one in seen]),
        "fast vocoder": sounded(fast, mels),
        "HiFi-GAN": sounded(hifigan, mels),
        "tokenizer + fast vocoder": sounded(fast, decoded),
        "tokenizer + HiFi-GAN": sounded(hifigan, decoded),
    }


def sounded(vocoder: Vocoder, mels: list[torch.Tensor]) -> Link:
    """The sound of mels, timed."""
    vocoder(mels[:2])  # what is made once is not counted
    began = time.process_time()
    waves = vocoder(mels)
    seconds = time.process_time() - began
    return Link(waves, round(seconds / (sum(map(len, waves)) / SAMPLE_RATE_HZ), 4))


def judged(waves: list[NDArray[np.float32]], seen: list[Seen], judge: Any) -> dict[str, Any]:
    """Corpus word error rate with its interval, and by voice."""
    errors, words = [], []
    voices: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for one, heard in zip(seen, judge.transcribe([(wave, SAMPLE_RATE_HZ) for wave in waves]), strict=True):
        found = align_texts(one.text, heard, "en")
        errors.append(found.errors)
        words.append(found.words)
        voices[one.voice][0] += found.errors
        voices[one.voice][1] += found.words
    spread = interval(errors, words, resamples=2000, seed=1)
    assert spread is not None
    return {
        "wer": spread.value, "low": spread.low, "high": spread.high,
        "by_voice": {voice: wrong / total for voice, (wrong, total) in sorted(voices.items())},
    }  # fmt: skip


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="package:starter/tts")
    parser.add_argument("--corpus", type=Path, help="directory of speechrl.starter.tts.corpus")
    parser.add_argument("--mels", type=Path, help="directory of speechrl.starter.tts.mels")
    parser.add_argument("--utterances", type=int, default=100, help="held-out utterances of the corpus")
    parser.add_argument("--sentences", type=int, default=450, help="test sentences for the whole chain")
    parser.add_argument("--judges", nargs="+", default=["whisper-tiny.en", "moonshine-tiny"])
    parser.add_argument("--vocoders", nargs="+", default=["fast", "hifigan"])
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "starter_tts.json")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    synthesiser: Any = load_model(chosen.model)
    rows: list[dict[str, Any]] = []
    if chosen.corpus and chosen.mels:
        shards = sorted(path.stem for path in chosen.mels.glob("shard-*.jsonl"))
        held_out = [seen for shard in shards for seen in read_seen(chosen.mels, shard) if seen.split == "dev"]
        seen = held_out[:: max(1, len(held_out) // chosen.utterances)][: chosen.utterances]
        found = links(synthesiser, chosen.corpus, seen)
        scorer = SpeakerScorer()
        reference = [(to_16_khz(wave), 16_000) for wave in found["original"].waves]
        for judge_name in chosen.judges:
            judge = load_recogniser_judge(judge_name)
            for name, link in found.items():
                row = {
                    "link": name,
                    "judge": judge_name,
                    "utterances": len(seen),
                    "vocoder_s": link.vocoder_s,
                    **judged(link.waves, seen, judge),
                }
                clips = [(wave, SAMPLE_RATE_HZ) for wave in link.waves]
                row["similarity_to_original"] = float(np.mean(scorer.similarity(clips, reference)))
                rows.append(row)
                print(row, flush=True)
    prompts = [to_prompt(cut) for cut in read_set("package:data/tts_en/test.jsonl")][: chosen.sentences]
    for vocoder in chosen.vocoders:
        for sampling, (temperature, top_k) in SAMPLING.items():
            config = EvaluationConfig(
                temperature=temperature,
                top_k=top_k,
                judges=chosen.judges,
                vocoder=vocoder,
                max_new_tokens=400,
            )
            began = time.perf_counter()
            spoken = evaluate_model(synthesiser, {"test": prompts}, config, torch.device("cpu"), "bf16")
            numbers = spoken.to_json(2000, 1)["test"]
            row = {"link": "whole chain", "vocoder": vocoder, "sampling": sampling, **numbers}
            rows.append(row | {"seconds": round(time.perf_counter() - began)})
            print(
                {key: rows[-1][key] for key in ("vocoder", "sampling", "judge_wer", "no_stop_rate")},
                flush=True,
            )
    write_result(
        chosen.out,
        seeds=[1],
        rows=rows,
    )


if __name__ == "__main__":
    main()
