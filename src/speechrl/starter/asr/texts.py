"""Open-vocabulary English sentences for synthetic speech, from packages that are installed beside this one.

Sources: Debian `fortunes` (the inoffensive set), WordNet's usage examples (`wordnet-base`), Debian package
descriptions, chatterbot-corpus, and the telephony grammar of `templates`. Every sentence is kept as a pair: `raw`,
what a synthesiser reads (with punctuation), and `text`, its words in the alphabet [a-z' ]. A missing source is an
error, for a corpus silently made from less would not repeat itself; the package descriptions are those of the
machine's own package lists, so another Debian release gives other sentences.
"""

from __future__ import annotations

import functools
import gzip
import importlib.util
import json
import random
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from speechrl.errors import DataError
from speechrl.starter.asr import templates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping


def listed(text: str) -> tuple[str, ...]:
    """A list of words written as one string."""
    return tuple(text.split())


FORTUNES_DIR = Path("/usr/share/games/fortunes")
FORTUNE_FILES = listed(
    "art computers cookie debian definitions education fortunes goedel humorists kids knghtbrd law linux "
    "linuxcookie literature love magic medicine miscellaneous news paradoxum people pets platitudes politics "
    "riddles science songs-poems sports startrek tao translate-me wisdom work"
)
WORDNET_DIR = Path("/usr/share/wordnet")
DOCUMENTS_DIR = Path("/usr/share/doc")

MIN_FORBIDDEN_WORDS = 3
NGRAM = 6
JOINED_SHARE = {"fortunes": 0.4, "wordnet": 0.45, "chatterbot": 0.4}
MAX_WORDS = 28
# A synthesiser may read these as letters or expand them in its own way, whatever their case; so the verb
# `sat`, the noun `sun` and a few more are lost with them.
_ABBREVIATIONS = frozenset(
    listed(
        "mr mrs ms dr st jr sr vs etc inc ltd co corp prof rev gen col sgt capt lt hon eg ie viz cf al ed "
        "vol ft lb oz tsp tbsp mt ave blvd dept univ assn bros esq jan feb mar apr jun jul aug sep sept oct "
        "nov dec mon tue tues wed thu thurs fri sat sun ii iii iv vi vii viii ix xi xii am pm ad bc kg km "
        "cm mm hz khz mhz"
    )
)
# Words that a corpus for a recogniser of business calls can do without.
_COARSE = frozenset(
    listed(
        "fuck fucking fucked shit shitty bitch bitches whore slut cunt cock dick nigger faggot fag rape "
        "raped bastard bastards piss pissed tits pussy asshole sex sexual sexually negro jew jews nazi "
        "nazis hitler suicide kill killed naked virgin breasts orgasm prostitute whores damn damned"
    )
)
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')]*\s+(?=[\"'(]*[A-Z])")
_ALLOWED = re.compile(r"[A-Za-z',.?!;: -]+")
_INNER_STOP = re.compile(r"[.:?!;,][A-Za-z]|\b[A-Z]\.|\b[A-Z]{2,}\b|[a-z][A-Z]|\.\.")
_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")


@dataclass(frozen=True)
class Sentence:
    """One sentence: `raw` is read aloud, `text` is what is heard, `source` names where it came from."""

    raw: str
    text: str
    source: str


@dataclass(frozen=True)
class Forbidden:
    """Transcripts of the human test set: whole ones of >= 3 words, and the word 6-grams of all."""

    whole: frozenset[str]
    ngrams: frozenset[tuple[str, ...]]


def normalise(raw: str) -> str:
    """Spoken words of `raw` in lower case: only [a-z' ]; hyphens part words, apostrophes stay inside words.

    >>> normalise("Don't panic -- it's a well-known 'trick'!")
    "don't panic it's a well known trick"
    """
    return " ".join(_WORD.findall(raw.lower()))


@dataclass(frozen=True)
class Wording:
    """A language as it is heard: the words of a text in lower case, and a number in words."""

    normalise: Callable[[str], str]
    number_words: Callable[[int], str]


ENGLISH = Wording(normalise, templates.number_words)


def forbidden_from(transcripts: Iterable[str], wording: Wording = ENGLISH) -> Forbidden:
    """Index transcripts for `overlaps`; digits are compared as words, text in brackets is no speech."""
    whole: set[str] = set()
    ngrams: set[tuple[str, ...]] = set()
    for transcript in transcripts:
        spoken = re.sub(r"\[.*?\]|\(.*?\)", " ", transcript)
        spoken = re.sub(r"\d+", lambda match: f" {wording.number_words(int(match.group()))} ", spoken)
        words = wording.normalise(spoken).split()
        if len(words) >= MIN_FORBIDDEN_WORDS:
            whole.add(" ".join(words))
        ngrams.update(_ngrams(words))
    return Forbidden(frozenset(whole), frozenset(ngrams))


def _ngrams(words: list[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + NGRAM]) for start in range(len(words) - NGRAM + 1))


def overlaps(text: str, forbidden: Forbidden) -> bool:
    """Whether normalised `text` is a test transcript of >= 3 words, or shares a 6-gram of words with any transcript."""
    return text in forbidden.whole or any(ngram in forbidden.ngrams for ngram in _ngrams(text.split()))


def asterisk_transcripts(language: str = "en") -> list[str]:
    """Transcripts of Debian's asterisk-core-sounds of a language, one a prompt.

    Raises:
        DataError: the file is not installed.
    """
    package = f"asterisk-core-sounds-{language}"
    path = DOCUMENTS_DIR / package / f"core-sounds-{language}.txt.gz"
    if not path.is_file():
        raise DataError(f"{path}: not found; install the Debian package {package}")
    lines = gzip.decompress(path.read_bytes()).decode("utf-8", "replace").splitlines()
    return [line.split(":", 1)[1].strip() for line in lines if ":" in line and not line.startswith(";")]


def _hibari_words() -> frozenset[str]:
    spec = importlib.util.find_spec("hibari")
    if spec is None or spec.origin is None:
        raise DataError(
            "pronunciation lexicon: package hibari-tts is not installed; pip install hibari-tts==0.2.1"
        )
    words: set[str] = set()
    for name in ("gold", "silver"):
        path = Path(spec.origin).parent / "assets" / f"lexicon_us_{name}.json.gz"
        words.update(word.lower() for word in json.loads(gzip.decompress(path.read_bytes())))
    return frozenset(words)


def _known(word: str, lexicon: frozenset[str]) -> bool:
    if word in lexicon:
        return True
    stem = word.removesuffix("'s")
    return stem in lexicon or (len(stem) > 3 and stem.endswith("s") and stem[:-1] in lexicon)


def clean(raw: str, lexicon: frozenset[str], max_words: int = MAX_WORDS) -> str | None:
    """Tidied sentence that every synthesiser reads as the words `normalise` gives, or None if it cannot be trusted.

    Refused are digits, rare symbols, URLs and code, abbreviations, acronyms, coarse words, words outside of `lexicon`
    (whose pronunciation would be a guess), and anything but 1 to `max_words` words.
    """
    tidy = re.sub(r"\s*--+\s*|\s+-\s+", ", ", raw.replace('"', " ").replace("`", "'"))
    tidy = re.sub(r"(?<![A-Za-z])'|'(?![A-Za-z])", " ", tidy)
    tidy = re.sub(r"\s+([,.?!;:])", r"\1", " ".join(tidy.split())).strip(" ,;:-'")
    tidy = re.sub(r"\.{2,}", ",", re.sub(r"([,;:?!])[,;:?!.]+", r"\1", tidy)).strip(" ,;:")
    if not tidy or not _ALLOWED.fullmatch(tidy) or _INNER_STOP.search(tidy):
        return None
    words = normalise(tidy).split()
    if not 1 <= len(words) <= max_words or max(map(len, words)) > 18:
        return None
    if any(word in _ABBREVIATIONS or word in _COARSE or not _known(word, lexicon) for word in words):
        return None
    if any(len(word) == 1 and word not in "aio" for word in words):
        return None
    return tidy[0].upper() + tidy[1:]


def fortunes(directory: Path, names: Iterable[str], install: str) -> Iterator[str]:
    """Sentences of at least four words of fortune files.

    Raises:
        DataError: a file is missing; the Debian packages of `install` bring it.
    """
    for name in names:
        path = directory / name
        if not path.is_file():
            raise DataError(f"{path}: not found; install the Debian packages {install}")
        for entry in path.read_text("utf-8", "replace").split("\n%\n"):
            # Attributions ("-- Mark Twain") are cut, with what follows them.
            body = re.split(r"\n\s*--|\n\t\t+", entry)[0]
            parts = _SENTENCE_END.split(" ".join(body.split()))
            yield from (part for part in parts if len(part.split()) >= 4)


def _wordnet(directory: Path = WORDNET_DIR) -> Iterator[str]:
    for part in ("noun", "verb", "adj", "adv"):
        path = directory / f"data.{part}"
        if not path.is_file():
            raise DataError(f"{path}: not found; install the Debian package wordnet-base")
        for line in path.read_text("utf-8", "replace").splitlines():
            yield from (example for example in re.findall(r'"([^"]+)"', line) if len(example.split()) >= 5)


def _package_descriptions() -> Iterator[str]:
    listing = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True, text=True).stdout
    for line in sorted(set(re.findall(r"^Description(?:-en)?: (.+)$", listing, flags=re.MULTILINE))):
        short = re.split(r"\s+[(\[]|\s+--?\s+", line)[0]
        if len(short.split()) >= 4:
            yield short


def chatterbot(language: str) -> Iterator[str]:
    """Sentences of chatterbot-corpus in a language, by its English name.

    Raises:
        DataError: the package is not installed.
    """
    spec = importlib.util.find_spec("chatterbot_corpus")
    if spec is None or spec.origin is None:
        raise DataError(
            "conversations: package chatterbot-corpus is not installed; pip install chatterbot-corpus"
        )
    for path in sorted((Path(spec.origin).parent / "data" / language).glob("*.yml")):
        for turns in yaml.safe_load(path.read_text("utf-8"))["conversations"]:
            for turn in turns:
                yield from _SENTENCE_END.split(" ".join(str(turn).split()))


def _template_sentences(rng: random.Random, count: int) -> Iterator[str]:
    for _ in range(count):
        yield templates.sentence(rng)


def _frequent_words(sentences: Iterable[Sentence], count: int) -> list[str]:
    counts = Counter(word for sentence in sentences for word in sentence.text.split() if len(word) > 2)
    return [word for word, _ in counts.most_common(count)]


def join_neighbours(
    sentences: list[Sentence], share: float, rng: random.Random, wording: Wording = ENGLISH
) -> list[Sentence]:
    """Join about `share` of neighbouring pairs into one utterance, so that longer ones with pauses exist."""
    joined: list[Sentence] = []
    for sentence in sentences:
        last = joined[-1] if joined else None
        words = len(sentence.text.split()) + (len(last.text.split()) if last else 0)
        if last is not None and words <= MAX_WORDS and rng.random() < share:
            raw = f"{last.raw.rstrip('.?!')}{last.raw[-1] if last.raw[-1] in '.?!' else '.'} {sentence.raw}"
            joined[-1] = Sentence(raw, wording.normalise(raw), sentence.source)
        else:
            joined.append(sentence)
    return joined


def collect(
    source: str,
    lines: Iterable[str],
    tidy: Callable[[str], str | None],
    seen: set[str],
    max_words: int = MAX_WORDS,
    wording: Wording = ENGLISH,
) -> list[Sentence]:
    """Usable sentences of one source: tidied unless they are templates, and none that is in `seen`, which grows."""
    kept: list[Sentence] = []
    for line in lines:
        raw = tidy(line) if source != "templates" else line
        if raw is None or (text := wording.normalise(raw)) in seen or len(text.split()) > max_words:
            continue
        seen.add(text)
        kept.append(Sentence(raw, text, source))
    return kept


def read_sources(
    rng: random.Random, templates_drawn: int, max_words: int = MAX_WORDS
) -> dict[str, list[Sentence]]:
    """Usable sentences by source, each at most once, in the order of the sources; `rng` draws the templates.

    Raises:
        DataError: a source is not installed.
    """
    tidy = functools.partial(clean, lexicon=_hibari_words(), max_words=max_words)
    seen = set[str]()
    sources: dict[str, Iterable[str]] = {
        "templates": _template_sentences(rng, templates_drawn),
        "chatterbot": chatterbot("english"),
        "fortunes": fortunes(FORTUNES_DIR, FORTUNE_FILES, "fortunes and fortunes-min"),
        "wordnet": _wordnet(),
        "packages": _package_descriptions(),
    }
    return {source: collect(source, lines, tidy, seen, max_words) for source, lines in sources.items()}


def collect_sentences(
    seed: int, templates_drawn: int = 11000, single_words: int = 1500
) -> tuple[list[Sentence], dict[str, int]]:
    """All usable sentences, shuffled by `seed`, and counts: kept by source and dropped for overlap with the test set.

    Raises:
        DataError: a source is not installed.
    """
    rng = random.Random(seed)
    found_in = read_sources(rng, templates_drawn)
    tidy = functools.partial(clean, lexicon=_hibari_words())
    forbidden = forbidden_from(asterisk_transcripts())
    return assemble(found_in, JOINED_SHARE, tidy, forbidden, rng, single_words)


def assemble(
    found_in: Mapping[str, list[Sentence]],
    joined_shares: Mapping[str, float],
    tidy: Callable[[str], str | None],
    forbidden: Forbidden,
    rng: random.Random,
    single_words: int,
    wording: Wording = ENGLISH,
) -> tuple[list[Sentence], dict[str, int]]:
    """Join neighbours, add frequent words on their own, keep the test set out, and shuffle; returns also the counts.

    Args:
        found_in: Sentences by source.
        joined_shares: Of neighbouring pairs, by source; 0 for those left out.
        tidy: Decides about single words.
        forbidden: Of the test set.
        rng: For joints and order.
        single_words: How many of the most frequent words become sentences.
        wording: Of the language.
    """
    seen = {sentence.text for found in found_in.values() for sentence in found}
    kept: list[Sentence] = []
    for source, found in found_in.items():
        rng.shuffle(found)
        kept += join_neighbours(found, joined_shares.get(source, 0.0), rng, wording)
    words = collect("words", _frequent_words(kept, single_words), tidy, seen, wording=wording)
    allowed = [sentence for sentence in kept + words if not overlaps(sentence.text, forbidden)]
    rng.shuffle(allowed)
    counts = dict(Counter(sentence.source for sentence in allowed))
    return allowed, counts | {"dropped_for_test_overlap": len(kept) + len(words) - len(allowed)}
