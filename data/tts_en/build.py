"""Rebuild the texts and reference voices of this folder.

    apt-get install flite fortunes fortunes-min wordnet-base
    pip install 'speechrl[tts-data]'
    python data/tts_en/build.py

Writes, beside this file: `{train,dev,test,hard}.jsonl` (what is to be spoken, and in whose voice), `voices.jsonl` and
`voices/*.flac` (the reference voices). `hard.txt` is written by hand, apart from the long sentences, which are found.
The corpus of the starter synthesiser is made after this folder and keeps clear of it.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf

from speechrl.starter.asr.texts import normalise
from speechrl.starter.asr.voices import SAMPLE_RATE_HZ, render, trim_silence
from speechrl.starter.tts.texts import HeldOut, count_words, pool, spoken_text
from speechrl.starter.tts.voices import VOICES, level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from speechrl.starter.asr.texts import Sentence

HERE = Path(__file__).parent
SEED = 20
SIZES = {"test": 450, "dev": 200, "train": 3000}
WORDS = {"test": (4, 14), "dev": (4, 14), "train": (4, 16)}
SOURCE_SHARES = {"fortunes": 0.4, "wordnet": 0.5, "chatterbot": 0.1}
LONG_WORDS, LONG_COUNT = (25, 40), 20
MIN_NEW_WORD_SHARE = 0.4
MARGIN_S = 0.1

REFERENCES = {
    "hibari-heart": "Early every Thursday the baker opens his shop and stacks warm loaves of rye in the window.",
    "flite-slt": "My grandmother kept a jar of silver buttons on the shelf above the kitchen stove for luck.",
    "flite-rms": "Twelve grey pigeons sat along the railway fence while the evening train rolled slowly past.",
    "flite-awb": "Somebody has left an orange bicycle leaning against our garden gate since yesterday noon.",
    "piper-joe": "Before the storm arrived, the sailors tied down every barrel and folded up the wide canvas.",
}


def read_hard() -> dict[str, list[str]]:
    """Hand-written hard sentences by kind."""
    kinds: dict[str, list[str]] = {}
    for line in (HERE / "hard.txt").read_text("utf-8").splitlines():
        if line.startswith("# "):
            kinds[line[2:]] = []
        else:
            kinds[list(kinds)[-1]].append(spoken_text(line))
    return kinds


def choose(
    found: list[Sentence], count: int, words: tuple[int, int], taken: set[str], clear_of: HeldOut
) -> list[str]:
    """The first `count` sentences that fit, of which each brings words that the ones before did not have."""
    chosen: list[str] = []
    met: set[str] = set()
    for sentence in found:
        content = {word for word in normalise(sentence.text).split() if len(word) > 3}
        varied = bool(content) and len(content - met) >= MIN_NEW_WORD_SHARE * len(content)
        fits = words[0] <= count_words(sentence.text) <= words[1]
        if len(chosen) == count:
            return chosen
        if fits and varied and sentence.text not in taken and not clear_of.is_near(sentence.text):
            chosen.append(sentence.text)
            taken.add(sentence.text)
            # Three thousand sentences cannot go on bringing new words.
            met |= content if count < 1000 else set()
    raise SystemExit(
        f"only {len(chosen)} of {count} sentences found; install the sources named in the docstring"
    )


def choose_set(
    split: str, sources: dict[str, list[Sentence]], taken: set[str], clear_of: HeldOut
) -> list[str]:
    """Texts of one set, its sources mixed by `SOURCE_SHARES`."""
    texts = [
        text
        for source, share in SOURCE_SHARES.items()
        for text in choose(sources[source], round(share * SIZES[split]), WORDS[split], taken, clear_of)
    ]
    random.Random(SEED).shuffle(texts)
    return texts


def rows(split: str, names: list[str], texts: list[str]) -> Iterator[dict[str, str]]:
    """Manifest rows; voices take turns."""
    for index, (name, text) in enumerate(zip(names, texts, strict=True)):
        voice = VOICES[index % len(VOICES)]
        yield {"id": f"{split}-{name}", "text": text, "audio": f"voices/{voice}.flac", "language": "en"}


def write(split: str, names: list[str], texts: list[str]) -> None:
    """Write one manifest."""
    lines = [json.dumps(row) + "\n" for row in rows(split, names, texts)]
    (HERE / f"{split}.jsonl").write_text("".join(lines), "utf-8")


def write_voices() -> None:
    """Speak the reference sentences."""
    (HERE / "voices").mkdir(exist_ok=True)
    lines: list[str] = []
    for voice, raw in REFERENCES.items():
        speech = trim_silence(render(raw, voice, SAMPLE_RATE_HZ), MARGIN_S)
        path = f"voices/{voice}.flac"
        sf.write(
            HERE / path, np.round(level(speech) * 32767).astype(np.int16), SAMPLE_RATE_HZ, subtype="PCM_16"
        )
        lines.append(
            json.dumps({"id": voice, "text": spoken_text(raw), "audio": path, "language": "en"}) + "\n"
        )
    (HERE / "voices.jsonl").write_text("".join(lines), "utf-8")


def main() -> None:
    """Write everything, or the texts alone."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts-only", action="store_true", help="leave the reference voices as they are")
    if not parser.parse_args().texts_only:
        write_voices()
    sources = pool(SEED)
    hard = read_hard()
    written = [text for texts in hard.values() for text in texts] + [
        spoken_text(raw) for raw in REFERENCES.values()
    ]
    taken: set[str] = set()
    hard["long"] = choose(sources["fortunes"], LONG_COUNT, LONG_WORDS, taken, HeldOut.of(written))
    hard_names = [f"{kind}-{index:02d}" for kind, texts in hard.items() for index in range(len(texts))]
    held_out = written + hard["long"]
    write("hard", hard_names, [text for texts in hard.values() for text in texts])
    for split in ("test", "dev", "train"):
        texts = choose_set(split, sources, taken, HeldOut.of(held_out))
        write(split, [f"{index:04d}" for index in range(len(texts))], texts)
        held_out += texts


if __name__ == "__main__":
    main()
