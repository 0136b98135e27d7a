"""Make a set of human speech from the Asterisk prompts of one language, out of two Debian packages.

    apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-g722 ffmpeg
    python data/asterisk/build.py

rebuilds `data/asterisk_en`. With `--language it`, and the packages of that language, it makes `build/asterisk_it`,
which is not kept in the repository.

Writes `{train,dev,test}.flac` (all prompts of a split, one after another), `{train,dev,test}.jsonl` (where each one is
and what it says), `split.json` (the rule, the counts, what was left out and why) and `LICENSE.txt`.

The split is by text: prompts that say nearly the same are joined into a cluster, and none crosses a split. What differs
from language to language is in a file each beside this one.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING

import english
import italian
import numpy as np
import soundfile as sf

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = {"en": english, "it": italian}
SAMPLE_RATE_HZ = 16_000
MAX_DURATION_S = 30.0
SPLITS = ("train", "dev", "test")
QUOTAS = {"test": {"long": 130, "short": 70}, "dev": {"long": 40, "short": 40}}
"""Utterances wanted of three words or more (`long`) and of fewer (`short`); train takes the rest."""
MAX_CLUSTER_HELD_OUT = 4
SIMILARITY = 0.8
CONTAINED_WORDS = 4
KEYWORDS_PER_PROMPT = 3
TYPOGRAPHY = str.maketrans({"’": "'", "…": " ", "“": " ", "”": " "})


@dataclass(frozen=True)
class Source:
    """One prompt of the packages: its name, its transcript there and cleaned, its words, its samples (int16)."""

    id: str
    raw: str
    text: str
    words: list[str]
    audio: np.ndarray

    @property
    def duration_s(self) -> float:
        """Seconds of audio."""
        return len(self.audio) / SAMPLE_RATE_HZ


def words_of(text: str, language: ModuleType) -> list[str]:
    """Lower-case words, without punctuation."""
    return language.WORD.findall(text.lower())


def clean(prompt: str, raw: str, language: ModuleType) -> str:
    """The transcript as spoken: no notes or ellipses, digits and keys in words, a capital and a full stop."""
    text = language.FIXES.get(prompt, raw)
    text = re.sub(r"\s*[\[(<][^\])>]*[\])>]", " ", text)
    text = text.replace("...", " ").translate(TYPOGRAPHY)
    for key, name in language.KEYS.items():
        text = text.replace(key, f" {name} ")
    text = re.sub(r"\d", lambda digit: f" {language.DIGITS[int(digit.group())]} ", text)
    for wrong, right in language.SPELLING.items():
        text = re.sub(rf"(?<!\w){wrong}(?!\w)", right, text, flags=re.IGNORECASE)
    text = re.sub(r"\s+([,.;:?!])", r"\1", re.sub(r"\s+", " ", text)).strip(" ,;:")
    if not text:
        return ""
    text = text[0].upper() + text[1:]
    return text if text[-1] in ".?!" else text + "."


def decode(path: Path) -> np.ndarray:
    """Decode one G.722 file to int16 samples at 16 kHz."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-f", "g722", "-i", str(path), "-f", "s16le", "-"]
    return np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, dtype="<i2")


def read_sources(
    sounds: Path, transcripts: Path, language: ModuleType
) -> tuple[list[Source], dict[str, str]]:
    """Read every prompt that has speech and a transcript; also return the ones left out, with the reason."""
    sources: list[Source] = []
    left_out: dict[str, str] = {}
    for line in gzip.decompress(transcripts.read_bytes()).decode("utf-8-sig").splitlines():
        prompt, colon, raw = (part.strip() for part in line.partition(":"))
        if not colon or prompt.startswith(";"):
            continue
        if raw[0] + raw[-1] in ("[]", "<>", "()"):
            left_out[prompt] = f"no speech: {raw}"
        elif not (path := sounds / f"{prompt}.g722").exists():
            left_out[prompt] = "no audio in the package"
        elif prompt in language.UNCLEAR:
            left_out[prompt] = language.UNCLEAR[prompt]
        elif len(audio := decode(path)) > MAX_DURATION_S * SAMPLE_RATE_HZ:
            left_out[prompt] = f"longer than {MAX_DURATION_S:.0f} s"
        else:
            text = clean(prompt, raw, language)
            sources.append(Source(prompt, raw, text, words_of(text, language), audio))
    return sources, left_out


def units(text: str, language: ModuleType) -> list[tuple[str, ...]]:
    """The whole transcript and each of its sentences of `CONTAINED_WORDS` words or more, as words."""
    parts = [words_of(part, language) for part in re.split(r"[.?!;:]", text)]
    return [tuple(words_of(text, language)), *(tuple(part) for part in parts if len(part) >= CONTAINED_WORDS)]


def near(left: tuple[str, ...], right: tuple[str, ...]) -> bool:
    """Whether two word sequences are near copies: equal, similar, or one inside the other."""
    if left == right:
        return True
    short, long = sorted((left, right), key=len)
    if len(short) >= CONTAINED_WORDS and f" {' '.join(short)} " in f" {' '.join(long)} ":
        return True
    if len(short) < SIMILARITY / (2 - SIMILARITY) * len(long):
        return False
    common = len(set(left) & set(right)) / len(set(left) | set(right))
    return common >= SIMILARITY or SequenceMatcher(None, left, right, autojunk=False).ratio() >= SIMILARITY


def cluster(sources: list[Source], language: ModuleType) -> list[list[Source]]:
    """Join near copies by union-find; clusters come in the order of a hash of their transcripts."""
    parents = list(range(len(sources)))

    def root(index: int) -> int:
        while parents[index] != index:
            index = parents[index]
        return index

    parts = [units(source.text, language) for source in sources]
    for i in range(len(sources)):
        for j in range(i):
            if root(i) != root(j) and any(near(a, b) for a in parts[i] for b in parts[j]):
                parents[root(i)] = root(j)
    groups: dict[int, list[Source]] = {}
    for index, source in enumerate(sources):
        groups.setdefault(root(index), []).append(source)
    return sorted(groups.values(), key=lambda group: digest(" ".join(sorted(s.raw.lower() for s in group))))


def digest(text: str) -> str:
    """Hash that orders clusters."""
    return hashlib.sha256(text.encode()).hexdigest()


def split(clusters: list[list[Source]], language: ModuleType) -> dict[str, list[Source]]:
    """Fill test, then dev, up to their quotas in hash order; train takes the rest.

    Big clusters and ambiguous ones go to train: the first say too much of the same, the second cannot be judged.
    """
    out: dict[str, list[Source]] = {name: [] for name in SPLITS}
    left = {name: dict(quota) for name, quota in QUOTAS.items()}
    for group in clusters:
        need = Counter("long" if len(source.words) >= 3 else "short" for source in group)
        ambiguous = any(language.AMBIGUOUS.search(source.text) for source in group)
        held_out = len(group) <= MAX_CLUSTER_HELD_OUT and not ambiguous
        name = next((n for n in QUOTAS if held_out and all(left[n][k] >= need[k] for k in need)), "train")
        for kind in need:
            if name != "train":
                left[name][kind] -= need[kind]
        out[name].extend(group)
    return {name: sorted(sources, key=lambda source: source.id) for name, sources in out.items()}


def keywords_of(source: Source, document_frequency: Counter[str], language: ModuleType) -> list[str]:
    """The rarest content words of a prompt of three words or more, in the order they are said."""
    words = list(dict.fromkeys(source.words))
    if len(source.words) < 3:
        return []
    content = [
        word for word in words if len(word) >= 4 and word.isalpha() and word not in language.FUNCTION_WORDS
    ]
    rare = sorted(content, key=lambda word: (document_frequency[word], -len(word), word))
    return [word for word in words if word in rare[:KEYWORDS_PER_PROMPT]]


def write_split(
    folder: Path, name: str, sources: list[Source], frequency: Counter[str], code: str
) -> dict[str, object]:
    """Write one split's audio and manifest; return its counts."""
    start = 0
    with (folder / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        for source in sources:
            row: dict[str, object] = {
                "id": source.id,
                "audio": f"{name}.flac",
                "start": start / SAMPLE_RATE_HZ,
                "duration": source.duration_s,
                "text": source.text,
                "language": code,
            }
            if keywords := keywords_of(source, frequency, LANGUAGES[code]):
                row["keywords"] = keywords
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            start += len(source.audio)
    audio = np.concatenate([source.audio for source in sources])
    sf.write(folder / f"{name}.flac", audio, SAMPLE_RATE_HZ, subtype="PCM_16", compression_level=1.0)
    return {
        "utterances": len(sources),
        "utterances_of_3_words_or_more": sum(len(source.words) >= 3 for source in sources),
        "words": sum(len(source.words) for source in sources),
        "minutes": round(start / SAMPLE_RATE_HZ / 60, 2),
        "pcm_sha256": hashlib.sha256(audio.tobytes()).hexdigest(),
    }


def main() -> None:
    """Build everything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--language", choices=LANGUAGES, default="en", help="language of the prompts")
    parser.add_argument("--root", type=Path, default=Path("/"), help="where the packages are unpacked")
    parser.add_argument(
        "--out", type=Path, help="folder to write; data/asterisk_en, or build/asterisk_ and the language"
    )
    options = parser.parse_args()
    code, language = options.language, LANGUAGES[options.language]
    out: Path = options.out or ROOT / ("data" if code == "en" else "build") / f"asterisk_{code}"
    out.mkdir(parents=True, exist_ok=True)
    documents = options.root / "usr/share/doc" / f"asterisk-core-sounds-{code}"
    sounds = options.root / "usr/share/asterisk/sounds" / language.VOICE
    sources, left_out = read_sources(sounds, documents / f"core-sounds-{code}.txt.gz", language)
    clusters = cluster(sources, language)
    frequency = Counter(word for source in sources for word in set(source.words))
    parts = split(clusters, language)
    counts = {name: write_split(out, name, part, frequency, code) for name, part in parts.items()}
    shutil.copyfile(documents / "copyright", out / "LICENSE.txt")
    summary = {
        "rule": (
            "prompts are clustered when a whole transcript or a sentence of"
            f" {CONTAINED_WORDS} words or more equals, is contained in, or is {SIMILARITY:.0%} alike (word Jaccard or"
            " edit ratio) to that of another; clusters are taken in the order of the SHA-256 of their transcripts,"
            " first into test, then dev, up to the quotas; clusters of more than"
            f" {MAX_CLUSTER_HELD_OUT} prompts or whose spelling the sound does not decide, and the rest, go to train"
        ),
        "quotas": QUOTAS,
        "clusters": len(clusters),
        "largest_cluster": max(len(group) for group in clusters),
        "splits": counts,
        "left_out": left_out,
    }
    (out / "split.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    minutes = math.fsum(source.duration_s for source in sources) / 60
    print(f"{len(sources)} prompts, {minutes:.1f} min, {len(clusters)} clusters; {len(left_out)} left out")


if __name__ == "__main__":
    main()
