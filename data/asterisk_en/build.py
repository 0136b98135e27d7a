"""Rebuild the English Asterisk prompts of this folder from two Debian packages.

    apt-get install asterisk-core-sounds-en asterisk-core-sounds-en-g722 ffmpeg
    python data/asterisk_en/build.py

Writes, beside this file: `{train,dev,test}.flac` (all prompts of a split, one after another),
`{train,dev,test}.jsonl` (where each one is and what it says), `split.json` (the rule, the counts, what was left
out and why) and `LICENSE.txt`.

The split is by text: prompts that say nearly the same are joined into a cluster, and none crosses a split.
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

import numpy as np
import soundfile as sf

SAMPLE_RATE_HZ = 16_000
MAX_DURATION_S = 30.0
SPLITS = ("train", "dev", "test")
QUOTAS = {"test": {"long": 130, "short": 70}, "dev": {"long": 40, "short": 40}}
"""Utterances wanted of three words or more (`long`) and of fewer (`short`); train takes the rest."""
MAX_CLUSTER_HELD_OUT = 4
SIMILARITY = 0.8
CONTAINED_WORDS = 4
KEYWORDS_PER_PROMPT = 3

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

FIXES = {
    "pbx-invalidpark": "I am sorry, but there is no call parked on that extension. Please try again.",
    "vm-forwardoptions": "Press 1 to prepend the message or 2 to forward the message without prepending.",
    "vm-mismatch": "The password you entered and re-entered did not match. Please try again.",
    "vm-savefolder": "Which folder should I save this message to?",
    "spy-h323": "H 3 2 3",
}
"""Transcripts that differ from what is said: two Whisper models agreed on the other reading."""

UNCLEAR = {
    "spy-iax": "an acronym said as a word",
    "spy-iax2": "an acronym said as a word",
}
"""Prompts whose transcript does not tell what is said."""

SPELLING = {
    "umute": "unmute",
    "represenatives": "representatives",
    "un-indentified": "unidentified",
    "witheld": "withheld",
    "fourtieth": "fortieth",
    "exclaimation-point": "exclamation point",
    "mail box": "mailbox",
    "re-?record": "re-record",
    "call-forward": "call forward",
    "speed-dial": "speed dial",
    "touch tone": "touchtone",
    "can not": "cannot",
    "xray": "x-ray",
    r"a\.m\.": "AM",
    r"p\.m\.": "PM",
    "i": "I",
}
"""Slips of the package's transcripts, as patterns, and words that it writes in two ways."""

AMBIGUOUS = re.compile(r"\b[B-HJ-Z]\b|[A-Z]{2}|^(A|I|For|Four|To|Two|One|Oh)\.$")
"""Transcripts that the sound does not decide: spelled letters, acronyms, single words with a homophone."""

FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
    a about after all also am an and any are as at attempt be been but by can cannot could currently
    did do does each eight entered exactly five for four from had has have he her here his how i if
    in into is it its just like may me more most my nine no not now of off on once one or other
    otherwise our please seven she should since six so some than thank that the their them then
    there these they this those three through to too two unable was we were what when where which
    while who will wish with would yes yet you your yourself zero
        """,
    )
)
"""Words that are never keywords."""


@dataclass(frozen=True)
class Source:
    """One prompt of the packages: its name, its transcript there and cleaned, its samples (int16)."""

    id: str
    raw: str
    text: str
    audio: np.ndarray

    @property
    def words(self) -> list[str]:
        """Lower-case words of the transcript."""
        return words_of(self.text)

    @property
    def duration_s(self) -> float:
        """Seconds of audio."""
        return len(self.audio) / SAMPLE_RATE_HZ


def words_of(text: str) -> list[str]:
    """Lower-case words, without punctuation."""
    return re.findall(r"[a-z0-9']+", text.lower())


def clean(prompt: str, raw: str) -> str:
    """The transcript as spoken: no notes or ellipses, digits and keys in words, a capital and a full stop."""
    text = FIXES.get(prompt, raw)
    text = re.sub(r"\s*[\[(<][^\])>]*[\])>]", " ", text)
    text = text.replace("...", " ").replace("*", " star ").replace("#", " pound ")
    text = re.sub(r"\d", lambda digit: f" {DIGITS[int(digit.group())]} ", text)
    for wrong, right in SPELLING.items():
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


def read_sources(sounds: Path, transcripts: Path) -> tuple[list[Source], dict[str, str]]:
    """Read every prompt that has speech and a transcript; also return the ones left out, with the reason."""
    sources: list[Source] = []
    left_out: dict[str, str] = {}
    for line in gzip.decompress(transcripts.read_bytes()).decode("utf-8").splitlines():
        prompt, colon, raw = (part.strip() for part in line.partition(":"))
        if not colon or prompt.startswith(";"):
            continue
        if raw[0] + raw[-1] in ("[]", "<>", "()"):
            left_out[prompt] = f"no speech: {raw}"
        elif not (path := sounds / f"{prompt}.g722").exists():
            left_out[prompt] = "no audio in the package"
        elif prompt in UNCLEAR:
            left_out[prompt] = UNCLEAR[prompt]
        elif len(audio := decode(path)) > MAX_DURATION_S * SAMPLE_RATE_HZ:
            left_out[prompt] = f"longer than {MAX_DURATION_S:.0f} s"
        else:
            sources.append(Source(prompt, raw, clean(prompt, raw), audio))
    return sources, left_out


def units(text: str) -> list[tuple[str, ...]]:
    """The whole transcript and each of its sentences of `CONTAINED_WORDS` words or more, as words."""
    parts = [words_of(part) for part in re.split(r"[.?!;:]", text)]
    return [tuple(words_of(text)), *(tuple(part) for part in parts if len(part) >= CONTAINED_WORDS)]


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


def cluster(sources: list[Source]) -> list[list[Source]]:
    """Join near copies by union-find; clusters come in the order of a hash of their transcripts."""
    parents = list(range(len(sources)))

    def root(index: int) -> int:
        while parents[index] != index:
            index = parents[index]
        return index

    parts = [units(source.text) for source in sources]
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


def split(clusters: list[list[Source]]) -> dict[str, list[Source]]:
    """Fill test, then dev, up to their quotas in hash order; train takes the rest.

    Big clusters and ambiguous ones go to train: the first say too much of the same, the second cannot be judged.
    """
    out: dict[str, list[Source]] = {name: [] for name in SPLITS}
    left = {name: dict(quota) for name, quota in QUOTAS.items()}
    for group in clusters:
        need = Counter("long" if len(source.words) >= 3 else "short" for source in group)
        ambiguous = any(AMBIGUOUS.search(source.text) for source in group)
        held_out = len(group) <= MAX_CLUSTER_HELD_OUT and not ambiguous
        name = next((n for n in QUOTAS if held_out and all(left[n][k] >= need[k] for k in need)), "train")
        for kind in need:
            if name != "train":
                left[name][kind] -= need[kind]
        out[name].extend(group)
    return {name: sorted(sources, key=lambda source: source.id) for name, sources in out.items()}


def keywords_of(source: Source, document_frequency: Counter[str]) -> list[str]:
    """The rarest content words of a prompt of three words or more, in the order they are said."""
    words = list(dict.fromkeys(source.words))
    if len(source.words) < 3:
        return []
    content = [word for word in words if len(word) >= 4 and word.isalpha() and word not in FUNCTION_WORDS]
    rare = sorted(content, key=lambda word: (document_frequency[word], -len(word), word))
    return [word for word in words if word in rare[:KEYWORDS_PER_PROMPT]]


def write_split(folder: Path, name: str, sources: list[Source], frequency: Counter[str]) -> dict[str, object]:
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
                "language": "en",
            }
            if keywords := keywords_of(source, frequency):
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
    parser.add_argument("--root", type=Path, default=Path("/"), help="where the packages are unpacked")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write")
    options = parser.parse_args()
    documents = options.root / "usr/share/doc/asterisk-core-sounds-en"
    sounds = options.root / "usr/share/asterisk/sounds/en_US_f_Allison"
    sources, left_out = read_sources(sounds, documents / "core-sounds-en.txt.gz")
    clusters = cluster(sources)
    frequency = Counter(word for source in sources for word in set(source.words))
    counts = {n: write_split(options.out, n, part, frequency) for n, part in split(clusters).items()}
    shutil.copyfile(documents / "copyright", options.out / "LICENSE.txt")
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
    (options.out / "split.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    minutes = math.fsum(source.duration_s for source in sources) / 60
    print(f"{len(sources)} prompts, {minutes:.1f} min, {len(clusters)} clusters; {len(left_out)} left out")


if __name__ == "__main__":
    main()
