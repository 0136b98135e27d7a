"""Which texts are hard to speak, and why: rules that one can read, each with a score.

A synthesiser stumbles over a few kinds of text long before it does over others. Each rule is a function text -> score,
0 where the text is not of the kind, and higher the more of it there is; a score counts words unless it says so.

| kind | a text is of it when |
|---|---|
| `repetition` | a word or phrase comes twice in a row, or one word of four letters comes three times |
| `twister` | three different content words in a row begin alike, or two pairs of words are hardly different |
| `digits` | it has three digits or number words |
| `abbreviations` | it has letters to be spelled, a shortened word (Dr., approx.), or a unit behind a number |
| `code_switching` | two words are in a foreign script, or are function words of one other language |
| `long` | it has 25 words |

Kinds follow the hard sentences of `data/tts_en` and the hard cases of Seed-TTS (arXiv 2406.02430); the rules are ours.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import combinations, groupby
from typing import TYPE_CHECKING

import regex
from rapidfuzz.distance import Levenshtein

from speechrl.text.language import FUNCTION_WORDS, foreign_letters
from speechrl.text.loops import find_loops
from speechrl.text.normalise import primary_language

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_OFTEN, OFTEN_LETTERS = 3, 4
MIN_ALIKE_ONSETS = 3
MIN_NEAR_PAIRS, NEAR_LETTERS = 2, 4
MIN_NUMBERS = 3
MIN_FOREIGN_WORDS = 2
LONG_WORDS = 25

_PART = r"[\p{L}\p{N}][\p{L}\p{M}\p{N}\u200c\u200d]*"
_WORD = regex.compile(rf"{_PART}(?:['\u2019-]{_PART})*")
_NUMBERS = """
zero oh one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million
billion point half quarter third fourth fifth sixth sixths seventh eighth ninth tenth
"""
_NUMBER_WORDS = frozenset(_NUMBERS.split())
# Letters that sound alike at the beginning of an English word; the longer ones come first.
_SOUNDS = "sh:sh ch:ch th:th ph:f wh:w wr:r kn:n gn:n ps:s c:k q:k x:z"
_ONSETS = dict(pair.split(":") for pair in _SOUNDS.split())
_SOFT_C = re.compile(r"c[eiy]")
_SMALL = """
a an as am are at been but by did do does had has have he her him i if in into me my no nor on or our out own
she so some than their them then there these those through too under up us we were when which while who whom
whose why would could should
"""
_SMALL_WORDS = FUNCTION_WORDS["en"] | frozenset(_SMALL.split())
_SHORTENED = re.compile(
    r"\b(?:dr|mr|mrs|ms|prof|st|sr|jr|vs|etc|approx|dept|inc|ltd|corp|vol|ave|blvd|e\.g|i\.e|a\.m|p\.m)\.",
    re.IGNORECASE,
)
_SPELLED = re.compile(r"\b(?:(?:[A-Z]\.){2,}|(?:[A-Z]{2,}s?|[A-Z]+[0-9]+[A-Z0-9]*|[A-Z][a-z][A-Z])\b)")
_UNIT = re.compile(
    r"\d\s?(?:km|cm|mm|kg|mg|ml|hz|khz|mhz|ghz|kb|mb|gb|tb|mph|kph|rpm|lbs?|oz|ft|min|hrs?)\b|\d\s?[%°$€£]"
)
_MONEY = re.compile(r"[$€£]\s?\d")


def hardness(text: str, language: str = "en") -> dict[str, float]:
    """The kinds that a text is of, with their scores; empty for an ordinary one.

    Args:
        text: Text to be spoken, with its punctuation and capitals where it has some.
        language: ISO 639-1 code. `twister` and number words are rules of English, and give nothing elsewhere.
    """
    scores = {kind: rule(text, language) for kind, rule in RULES.items()}
    return {kind: score for kind, score in scores.items() if score > 0}


def repetition(text: str) -> float:
    """Words that repeat the ones before them, or a longer word's mentions after the first, whichever is more."""
    words = _words(text)
    looped = sum(loop.span - len(loop.unit) for loop in find_loops(words, phrase_tokens=1))
    content = [word for word in words if len(word) >= OFTEN_LETTERS and word not in _SMALL_WORDS]
    often = [count - 1 for count in Counter(content).values() if count >= MIN_OFTEN]
    return float(max(looped, sum(often)))


def twister(text: str, language: str = "en") -> float:
    """Different content words of one onset in a row, and pairs of words that are hardly different."""
    if primary_language(language) != "en":
        return 0.0
    content = list(
        dict.fromkeys(word for word in _words(text) if word not in _SMALL_WORDS and not word.isdigit())
    )
    runs = [len(list(run)) for _, run in groupby(_onset(word) for word in content)]
    alike = sum(length for length in runs if length >= MIN_ALIKE_ONSETS)
    longer = [word for word in content if len(word) >= NEAR_LETTERS and word not in _NUMBER_WORDS]
    near = sum(_near(a, b) for a, b in combinations(longer, 2))
    return float(alike + (near if near >= MIN_NEAR_PAIRS else 0))


def digits(text: str, language: str = "en") -> float:
    """Digits, and number words of English."""
    said = (
        [word for word in _words(text) if word in _NUMBER_WORDS] if primary_language(language) == "en" else []
    )
    count = sum(letter.isdigit() for letter in text) + len(said)
    return float(count) if count >= MIN_NUMBERS else 0.0


def abbreviations(text: str) -> float:
    """Words to be spelled or expanded; a text in capitals throughout has none to be spelled."""
    shouted = text.upper() == text
    spelled = [] if shouted else _SPELLED.findall(text)
    return float(
        len(spelled) + len(_SHORTENED.findall(text)) + len(_UNIT.findall(text)) + len(_MONEY.findall(text))
    )


def code_switching(text: str, language: str = "en") -> float:
    """Words of a foreign script, or function words of the likeliest other language that the own one lacks."""
    words = _WORD.findall(text)
    foreign = sum(foreign_letters(word, language) > 0 for word in words)
    own = FUNCTION_WORDS.get(primary_language(language), frozenset())
    if own:
        lower = {word.casefold() for word in words} - own - _SMALL_WORDS
        # Single letters are initials as often as words.
        others = (len({word for word in lower & known if len(word) > 1}) for known in FUNCTION_WORDS.values())
        foreign = max(foreign, max(others))
    return float(foreign) if foreign >= MIN_FOREIGN_WORDS else 0.0


def long(text: str) -> float:
    """Words, from `LONG_WORDS` on."""
    count = len(_WORD.findall(text))
    return float(count) if count >= LONG_WORDS else 0.0


RULES: dict[str, Callable[[str, str], float]] = {
    "repetition": lambda text, _language: repetition(text),
    "twister": twister,
    "digits": digits,
    "abbreviations": lambda text, _language: abbreviations(text),
    "code_switching": code_switching,
    "long": lambda text, _language: long(text),
}
"""The rules by kind."""


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORD.findall(text)]


def _onset(word: str) -> str:
    if _SOFT_C.match(word):
        return "s"
    return next((sound for letters, sound in _ONSETS.items() if word.startswith(letters)), word[0])


def _near(a: str, b: str) -> bool:
    """One letter apart, unless one is merely the other with an ending."""
    if a.startswith(b) or b.startswith(a):
        return False
    return Levenshtein.distance(a, b) == 1
