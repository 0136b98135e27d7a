"""Open-vocabulary Italian sentences for synthetic speech: the sources of `texts` that there are in Italian.

Debian `fortunes-it`, which writes accents as apostrophes (`perche'`), chatterbot-corpus, and the telephony grammar of
`templates_it`. Words are trusted that Debian's word list `witalian` knows.
"""

from __future__ import annotations

import functools
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING

from speechrl.errors import DataError
from speechrl.rollout.teacher import spoken_form
from speechrl.starter.asr import templates_it
from speechrl.starter.asr.texts import (
    FORTUNES_DIR,
    MAX_WORDS,
    Wording,
    assemble,
    asterisk_transcripts,
    chatterbot,
    collect,
    forbidden_from,
    fortunes,
    listed,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from speechrl.starter.asr.texts import Sentence

ITALIAN = Wording(spoken_form, templates_it.number_words)
LEXICON = Path("/usr/share/dict/italian")
FORTUNE_FILES = tuple(
    f"it/{name}"
    for name in listed(
        "adams computer definizioni formiche italia itatrek jackfr leggi luke luttazzi norm paolotedeschi zuse"
    )
)
JOINED_SHARE = {"fortunes": 0.35, "chatterbot": 0.4}

_ACCENTED = {"a": "à", "e": "èé", "i": "ì", "o": "ò", "u": "ù"}
# Words that the list lacks.
_ALSO_KNOWN = frozenset(listed("a e i o è ed ad po ah oh eh ok euro bar ex"))
_ABBREVIATIONS = frozenset(
    listed("sig dott prof ecc etc ing avv geom rag spa srl pag vol cap art num tel km kg cm ii iii iv vii")
)
# What a corpus for a recogniser of business calls can do without; beginnings of words.
_COARSE = re.compile(
    r"\b(?:cazz|figa|fica|stronz|merd|puttan|troi|zoccol|vaffan|fotter|fottut|incul|scop(?:a|o|at|are)\b|coglion|"
    r"pompin|sborr|minchi|cul[oi]\b|tett[ae]\b|sess|porno|orgasm|pen[ei]\b|vagin|mutand|nud[oaie]\b|stupr|negr|ebre|"
    r"frocio|froci|ricchion|lesbic|gay\b|nazis|hitler|uccid|ammazz|suicid|cadaver|prostitut|bastard|pisci|cacc[ah]|"
    r"cacare|scoregg|preservativ|erezion|masturb|vergin|mignott|terron|handicap|spastic|mongol|scem|idiot|imbecill)"
)
_LETTERS = "A-Za-zàèéìòùÀÈÉÌÒÙ"
_ALLOWED = re.compile(rf"[{_LETTERS}',.?!;: -]+")
_APOSTROPHE = re.compile(rf"([{_LETTERS}]+)'(?![{_LETTERS}])")
_INNER_STOP = re.compile(rf"[.:?!;,][{_LETTERS}]|\b[A-Z]\.|\b[A-ZÀÈÉÌÒÙ]{{2,}}\b|[a-zàèéìòù][A-ZÀÈÉÌÒÙ]|\.\.")


def mend_accents(raw: str, lexicon: frozenset[str]) -> str:
    """Write `perche'` as `perché` and `e'` as `è` where `lexicon` has the word with an accent; `po'` stays.

    >>> mend_accents("E' qui perche' ha un po' di eta'", frozenset(["perché", "età"]))
    "È qui perché ha un po' di età"
    """

    def mended(match: re.Match[str]) -> str:
        word = match.group(1)
        if word in ("e", "E"):
            return "è" if word == "e" else "È"
        for accent in _ACCENTED.get(word[-1].lower(), ""):
            if word[:-1].lower() + accent in lexicon:
                return word[:-1] + accent
        return match.group()

    return _APOSTROPHE.sub(mended, raw)


def clean(raw: str, lexicon: frozenset[str], max_words: int = MAX_WORDS) -> str | None:
    """As `texts.clean`, for Italian: a tidied sentence of known words only, or None."""
    quoted = raw.replace('"', " ").replace("`", "'").replace("’", "'")
    tidy = re.sub(r"\s*--+\s*|\s+-\s+", ", ", mend_accents(quoted, lexicon))
    tidy = re.sub(rf"(?<![{_LETTERS}])'", " ", tidy)
    if any(word.lower() != "po" for word in _APOSTROPHE.findall(tidy)):
        return None  # an accent that the lexicon does not decide, or a quotation's end
    tidy = re.sub(r"\s+([,.?!;:])", r"\1", " ".join(tidy.split())).strip(" ,;:-")
    tidy = re.sub(r"\.{2,}", ",", re.sub(r"([,;:?!])[,;:?!.]+", r"\1", tidy)).strip(" ,;:")
    if not tidy or not _ALLOWED.fullmatch(tidy) or _INNER_STOP.search(tidy):
        return None
    text = spoken_form(tidy)
    said = text.split()
    if not 1 <= len(said) <= max_words or max(map(len, said)) > 20 or _COARSE.search(text):
        return None
    if any(word in _ABBREVIATIONS or not _known(word, lexicon) for word in said):
        return None
    return tidy[0].upper() + tidy[1:]


def _known(word: str, lexicon: frozenset[str]) -> bool:
    """Every part of a word is known; one before an apostrophe may lack its last vowel."""
    *elided, last = word.split("'")
    return (last in lexicon or last in _ALSO_KNOWN) and all(
        any(part + vowel in lexicon or part + vowel in _ALSO_KNOWN for vowel in ("", *"aeio"))
        for part in elided
    )


@functools.cache
def _lexicon() -> frozenset[str]:
    if not LEXICON.is_file():
        raise DataError(f"{LEXICON}: not found; install the Debian package witalian")
    lines = LEXICON.read_text("utf-8").splitlines()
    return frozenset(line.strip().lower() for line in lines if len(line.strip()) > 1)


def collect_sentences(
    seed: int, templates_drawn: int = 6000, single_words: int = 1200
) -> tuple[list[Sentence], dict[str, int]]:
    """As `texts.collect_sentences`, for Italian.

    Raises:
        DataError: a source is not installed.
    """
    rng = random.Random(seed)
    tidy = functools.partial(clean, lexicon=_lexicon())
    seen = set[str]()
    sources: dict[str, Iterable[str]] = {
        "templates": (templates_it.sentence(rng) for _ in range(templates_drawn)),
        "chatterbot": chatterbot("italian"),
        "fortunes": fortunes(FORTUNES_DIR, FORTUNE_FILES, "fortunes-it"),
    }
    found_in = {name: collect(name, lines, tidy, seen, wording=ITALIAN) for name, lines in sources.items()}
    forbidden = forbidden_from(asterisk_transcripts("it"), ITALIAN)
    return assemble(found_in, JOINED_SHARE, tidy, forbidden, rng, single_words, ITALIAN)
