"""Is this text in the language it should be in?

Told by script, and by function words where languages share the Latin one. The answer has three values, and
`unknown` is common: two words of Latin letters say little about their language, and nothing tells Russian from
Bulgarian here. Whoever punishes a mismatch leaves the unknown alone.
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from typing import Literal

import regex

from speechrl.text.normalise import plain, primary_language

LanguageMatch = Literal["match", "mismatch", "unknown"]

MIN_FUNCTION_WORDS = 3
"""Different function words of another language that it takes to speak of a mismatch."""
MIN_HAN = 8
"""Chinese characters, and nothing else, that are not taken for a name in Japanese or Korean."""
MIN_LETTERS = 2
"""A single letter of another script may be a symbol, like a Greek one in a formula."""

SCRIPTS: dict[str, tuple[str, ...]] = {
    language: tuple(scripts.split())
    for scripts, languages in {
        "Latin": "af az ca cs cy da de en es et eu fi fr ga gl hr hu id is it lt lv ms mt nb nl nn no pl pt ro sk sl sq"
        " sv sw tl tr uz vi",
        "Cyrillic": "be bg kk ky mk mn ru tg uk",
        "Cyrillic Latin": "bs sr",
        "Arabic": "ar fa ps ug ur",
        "Devanagari": "hi mr ne",
        "Bengali": "as bn",
        "Hebrew": "he yi",
        "Han": "zh yue",
        "Han Hiragana Katakana": "ja",
        "Hangul Han": "ko",
        "Ethiopic": "am",
        "Tibetan": "bo",
        "Greek": "el",
        "Gujarati": "gu",
        "Armenian": "hy",
        "Georgian": "ka",
        "Khmer": "km",
        "Kannada": "kn",
        "Lao": "lo",
        "Malayalam": "ml",
        "Myanmar": "my",
        "Gurmukhi": "pa",
        "Sinhala": "si",
        "Tamil": "ta",
        "Telugu": "te",
        "Thai": "th",
    }.items()
    for language in languages.split()
}
"""Scripts that a language is written in; one that is missing here is always `unknown`."""

FUNCTION_WORDS: dict[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "cs": "a je v se na že to s z do o i ale jako si za by jsem jsou který aby pro od tak",
        "da": "og i det er en at til af på ikke jeg der den som med for de et vi har du kan var han hun",
        "de": "der die das und ist nicht ein eine ich zu mit sie den von auf es im dem für wir auch wie ihr aber bitte",
        "en": "the and of to is that it you was for are with his they this have from not be at what your can will",
        "es": "el la de que y en los las un una por con no es para se del al su lo pero más como está usted",
        "fi": "ja on ei se että en hän oli mutta ole mitä kun niin tämä minä sinä joka mukaan ovat vain",
        "fr": "le la les de des et est un une que qui dans pour pas sur avec il elle ne vous nous ce au du je à",
        "hu": "a az és hogy nem is egy ez de van meg csak volt ha mint azt vagy már ön kell",
        "id": "yang dan di ini itu dengan untuk tidak dari dalam akan pada saya adalah ke anda bisa ada kami mereka",
        "it": "il di che la è un una per non in sono con del della le si lo gli come ma anche questo più al",
        "nb": "og i det er en at til av på ikke jeg som med for de et vi har du kan var han hun ble fra",
        "nl": "de het een en van is dat niet ik te in op zijn met voor je er aan ook maar hij wij naar deze",
        "pl": "i w nie na to jest się z że do jak co ale po tak za od są dla jego przez czy ten już",
        "pt": "o a de que e do da em um uma para com não os as no na por mais se ao você é está",
        "ro": "și de la în nu a cu este un o pe că din să se mai care pentru au sunt ce fi",
        "sv": "och i det är en att till av på inte jag som med för de ett vi har du kan var han hon den från",
        "tr": "ve bir bu için ile de da ne çok ama daha gibi değil ben sen var mı olarak kadar sonra",
        "vi": "là và của có không tôi một được cho này các người với trong những đã bạn anh đó",
    }.items()
}
"""Frequent function words; `no` and `nn` are read as `nb`."""

# Scripts without spaces give a unit a character, the others a unit a word, so that one brand name weighs one.
_UNITS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}]|\p{Hangul}+|\p{L}[\p{L}\p{M}]*")
_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
_HAN = regex.compile(r"\p{Han}")
_LATIN = regex.compile(r"\p{Latin}")
_LETTER = regex.compile(r"\p{L}")


@lru_cache(maxsize=8192)
def match_language(text: str, language: str) -> LanguageMatch:
    """Whether `text` is written in `language`.

    By script: `mismatch` when most units (words; characters of Chinese and Japanese) are in scripts that the
    language does not use. One or two Latin words in a language of another script may be a name: `unknown`. Kana
    are no Chinese, and `MIN_HAN` Chinese characters with nothing beside them no Japanese or Korean. In Latin
    scripts by function words: `mismatch` from `MIN_FUNCTION_WORDS` different ones of another language
    on, if that is more than twice those of its own; `match` when its own are at least as many as any other's,
    and some. All else is `unknown`.
    """
    code = primary_language(language)
    units = units_of(text)
    if code not in SCRIPTS or sum(map(len, units)) < MIN_LETTERS:
        return "unknown"
    own = sum(bool(_script(code).match(unit)) for unit in units)
    if 2 * own < len(units):
        return "unknown" if len(units) <= 2 and all(_LATIN.match(unit) for unit in units) else "mismatch"
    if code in ("zh", "yue"):
        return "mismatch" if len(_KANA.findall(text)) >= 2 else "match"
    if code in ("ja", "ko") and len(units) >= MIN_HAN and all(map(_HAN.match, units)):
        return "mismatch"
    if "Latin" in SCRIPTS[code]:
        return _match_function_words(text, code)
    return "match" if sum(scripts == SCRIPTS[code] for scripts in SCRIPTS.values()) == 1 else "unknown"


def units_of(text: str) -> list[str]:
    """Words, but single characters of Chinese and Japanese; digits and punctuation are left out."""
    return _UNITS.findall(text)  # type: ignore[no-any-return]


def foreign_letters(text: str, language: str, reference: str = "") -> int:
    """Letters of `text` in a script that neither the language nor `reference` uses, nor Latin, which names are in."""
    code = primary_language(language)
    if code not in SCRIPTS:
        return 0
    own = _script(code)
    strange = [
        letter for letter in _LETTER.findall(text) if not own.match(letter) and not _LATIN.match(letter)
    ]
    if not strange:  # as nearly always: the reference is not looked through for every word
        return 0
    known = {_alphabet(letter) for letter in _LETTER.findall(reference)}
    return sum(_alphabet(letter) not in known for letter in strange)


def _alphabet(letter: str) -> str:
    """The first word of a letter's name in Unicode, which is that of its script (`CYRILLIC`, `CJK`)."""
    return unicodedata.name(letter, "").partition(" ")[0]


def _match_function_words(text: str, code: str) -> LanguageMatch:
    code = "nb" if code in ("no", "nn") else code
    if code not in FUNCTION_WORDS:
        return "unknown"
    words = set(plain(text).split())
    counts = {name: len(words & known) for name, known in FUNCTION_WORDS.items()}
    own = counts.pop(code)
    best_other = max(counts.values())
    if best_other >= MIN_FUNCTION_WORDS and best_other > 2 * own:
        return "mismatch"
    return "match" if own and own >= best_other else "unknown"


@cache
def _script(code: str) -> regex.Pattern[str]:
    # The long vowel mark of Japanese belongs to the common script.
    return regex.compile("[ー" + "".join(rf"\p{{{name}}}" for name in SCRIPTS[code]) + "]")
