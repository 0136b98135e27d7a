"""Text as it is compared: one normaliser per language, and the tokens that errors are counted in.

Two forms of a text exist. `normalise` is the form for error rates: English through Whisper's normaliser
(arXiv 2212.04356, appendix C), languages written without spaces character by character, every other one
through `plain`. `plain` only folds case and drops punctuation, so it shows what a normaliser would hide
(fillers, `four four` becoming `44`).
"""

from __future__ import annotations

import unicodedata
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Literal

import regex

from speechrl.errors import DataError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

Unit = Literal["auto", "word", "char", "letter"]

BY_CHARACTER = frozenset({"zh", "yue", "ja", "ko", "th", "lo", "km", "my"})
"""Languages whose errors are counted by character; zh, ja and ko as in CV3-Eval, the others have no spaces either."""

CHARACTERS_PER_WORD = 2
"""Our choice, for languages that are counted by character: the usual length of a Chinese word."""

_SHORT_CODES = {
    code: short
    for short, codes in {
        "af": "afr afrikaans", "am": "amh amharic", "ar": "ara arb arabic", "as": "asm assamese",
        "az": "aze azerbaijani", "be": "bel belarusian", "bg": "bul bulgarian", "bn": "ben bengali",
        "bo": "bod tib tibetan", "bs": "bos bosnian", "ca": "cat catalan", "cs": "ces cze czech", "cy": "cym wel welsh",
        "da": "dan danish", "de": "deu ger german", "el": "ell gre greek", "en": "eng english", "es": "spa spanish",
        "et": "est estonian", "eu": "eus baq basque", "fa": "fas per persian", "fi": "fin finnish",
        "fr": "fra fre french", "ga": "gle irish", "gl": "glg galician", "gu": "guj gujarati", "he": "heb hebrew",
        "hi": "hin hindi", "hr": "hrv croatian", "hu": "hun hungarian", "hy": "hye arm armenian",
        "id": "ind indonesian", "is": "isl ice icelandic", "it": "ita italian", "ja": "jpn japanese",
        "ka": "kat geo georgian", "kk": "kaz kazakh", "km": "khm khmer", "kn": "kan kannada", "ko": "kor korean",
        "ky": "kir kyrgyz", "lo": "lao", "lt": "lit lithuanian", "lv": "lav latvian", "mk": "mkd mac macedonian",
        "ml": "mal malayalam", "mn": "mon mongolian", "mr": "mar marathi", "ms": "msa may malay", "mt": "mlt maltese",
        "my": "mya bur burmese", "nb": "nob", "ne": "nep nepali", "nl": "nld dut dutch", "nn": "nno",
        "no": "nor norwegian", "pa": "pan punjabi", "pl": "pol polish", "ps": "pus pashto", "pt": "por portuguese",
        "ro": "ron rum romanian", "ru": "rus russian", "si": "sin sinhala", "sk": "slk slo slovak",
        "sl": "slv slovenian", "sq": "sqi alb albanian", "sr": "srp serbian", "sv": "swe swedish",
        "sw": "swa swh swahili", "ta": "tam tamil", "te": "tel telugu", "tg": "tgk tajik", "th": "tha thai",
        "tl": "tgl fil tagalog filipino", "tr": "tur turkish", "ug": "uig uyghur", "uk": "ukr ukrainian",
        "ur": "urd urdu", "uz": "uzb uzbek", "vi": "vie vietnamese", "yi": "yid yiddish", "yue": "cantonese",
        "zh": "zho chi cmn chinese mandarin",
    }.items()
    for code in codes.split()
}  # fmt: skip
"""Other ways to write a language: the codes of ISO 639-2 and 639-3, and the names that lhotse's recipes write.

A code that is not here is kept: every language that is treated in a way of its own is here.
"""

_LANGUAGE = regex.compile(r"[a-z]{2,3}(?:-[a-z0-9]+)*")
_PUNCTUATION = regex.compile(r"[\p{P}\p{S}]+")
# The two joiners change what a word is in Persian and in Indic scripts; other format characters are invisible, and
# tatweel only makes an Arabic word longer.
_INVISIBLE = regex.compile(r"[\p{Cf}\u0640--[\u200c\u200d]]+", regex.VERSION1)
_DIGIT = regex.compile(r"[\p{Nd}--[0-9]]", regex.VERSION1)
_TURKISH_CAPITALS = str.maketrans("\u0130I", "i\u0131")
_BETWEEN_THOUSANDS = regex.compile(r"(?<=\p{Nd})[.,'\u2019\u00a0\u202f](?=\p{Nd}{3}(?!\p{Nd}))")
_PIECES = regex.compile(r"\p{Nd}+|[\p{Latin}\p{Cyrillic}\p{Greek}][\p{Latin}\p{Cyrillic}\p{Greek}\p{M}]*|\X")
# All that is written for an apostrophe. Some are letters to Unicode, and an acute by itself becomes a space in NFKC.
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bb\u02bc\u00b4\uff07`", "'"))
_BRACKETS = str.maketrans(dict.fromkeys("[](){}<>", " "))


def primary_language(language: str) -> str:
    """The primary subtag of a language tag: `en` of `en-GB` and `English`, `zh` of `zh-Hans` and `cmn`.

    Raises:
        DataError: `language` is no tag of ISO 639 letters and no name that is known.
    """
    return _tag(language).partition("-")[0]


def check_language(language: str) -> None:
    """See that texts of a language can be compared, before there are any.

    Raises:
        DataError: `language` is not a language tag.
        MissingExtraError: `zh-Hans` without OpenCC.
    """
    normalise("\u4e00", language)


def is_by_character(language: str) -> bool:
    """Whether errors of this language are counted by character."""
    return primary_language(language) in BY_CHARACTER


def tokens_per_word(language: str) -> int:
    """How many tokens stand for a word where a number counts words: `CHARACTERS_PER_WORD`, or 1."""
    return CHARACTERS_PER_WORD if is_by_character(language) else 1


@lru_cache(maxsize=65_536)
def normalise(text: str, language: str = "en") -> str:
    """The form of `text` that error rates compare.

    - `en`: Whisper's English normaliser, with two differences. Words in brackets stay, since a policy in
      training would else learn to hide insertions in brackets; typographic apostrophes count as straight
      ones.
    - `BY_CHARACTER` languages: `plain` without spaces. `zh-Hans` also folds traditional characters into
      simplified ones with OpenCC (extra `chinese`); `zh` never does, so that a result does not depend on what
      is installed.
    - others: `plain`.

    A text with letters or digits never becomes empty: where a normaliser would do that (`um` in English),
    `plain` is returned. Results are cached.

    Args:
        text: Any text.
        language: ISO 639-1 code, optionally with subtags.

    Raises:
        DataError: `language` is not a language tag.
        MissingExtraError: `zh-Hans` without OpenCC.
    """
    tag = _tag(language)
    primary = tag.partition("-")[0]
    fallback = plain(text, language)
    if not fallback:
        return ""
    if primary == "en":
        return _english(text) or fallback
    if primary in BY_CHARACTER:
        if tag.startswith("zh-hans"):
            fallback = _simplified()(fallback)
        return fallback.replace(" ", "")
    return fallback


def plain(text: str, language: str = "en") -> str:
    """Unicode form: `folded`, digits of any script to 0-9, punctuation and symbols to spaces, single spaces.

    Unlike Whisper's basic normaliser it keeps combining marks (vowel signs), and what stands in brackets. The language
    matters to Turkish and Azerbaijani alone, see `folded`.
    """
    digits = _DIGIT.sub(lambda found: str(unicodedata.digit(found[0])), folded(text, language))
    return " ".join(_PUNCTUATION.sub(" ", digits).split())


def folded(text: str, language: str = "en") -> str:
    """NFKC, case folded as `language` does, one kind of apostrophe, nothing invisible but joiners; all else is kept."""
    if primary_language(language) in ("tr", "az"):
        # Their dotted and dotless i are two letters; Unicode's case folding knows only English.
        text = unicodedata.normalize("NFC", text).translate(_TURKISH_CAPITALS)
    visible = _INVISIBLE.sub("", text).translate(_APOSTROPHES)
    return unicodedata.normalize("NFKC", visible).casefold()


def tokens(text: str, language: str = "en", unit: Unit = "auto") -> list[str]:
    """What errors are counted in: words, or characters.

    Args:
        text: Any text; it is normalised here.
        language: ISO 639-1 code.
        unit: `auto` takes characters for `BY_CHARACTER` languages and words for the rest. Characters are
            grapheme clusters, and spaces are not among them (jiwer's character error rate counts them). `letter` takes
            characters of the `plain` form: for texts that spell, in which a number word is no number.
    """
    return list(_tokens(text, language, unit))


@lru_cache(maxsize=65_536)
def _tokens(text: str, language: str, unit: Unit) -> tuple[str, ...]:
    if unit == "letter":
        return tuple(regex.findall(r"\X", plain(text).replace(" ", "")))
    by_character = is_by_character(language)
    normal = normalise(text, language)
    if unit == "char" or (unit == "auto" and by_character):
        return tuple(regex.findall(r"\X", normal.replace(" ", "")))
    return tuple((plain(text) if by_character else normal).split())


@lru_cache(maxsize=8192)
def said_one_by_one(text: str, language: str = "en") -> tuple[str, ...]:
    """What loops are looked for in: words, each in its own normal form, so that `four four` stays two.

    A number is one (`1,000,000,000` and `1000` are no loops of zeros), and so is a word of letters among the
    characters of `BY_CHARACTER` languages.

    Args:
        text: Any text.
        language: ISO 639-1 code.
    """
    words = plain(_BETWEEN_THOUSANDS.sub("", text), language).split()
    if not is_by_character(language):
        return tuple(normalise(word, language) for word in words)
    return tuple(piece for word in words for piece in _PIECES.findall(normalise(word, language)))


@lru_cache(maxsize=1024)
def _tag(language: str) -> str:
    primary, *others = language.strip().lower().replace("_", "-").split("-")
    tag = "-".join([_SHORT_CODES.get(primary, primary), *others])
    if not _LANGUAGE.fullmatch(tag):
        raise DataError(
            f"language {language!r} is not a language tag: write an ISO 639-1 code such as 'en' or 'zh'"
        )
    return tag


def _english(text: str) -> str:
    """Whisper's form of an English text, or an empty string where it cannot read the text."""
    try:
        easy = _INVISIBLE.sub("", text).translate(_APOSTROPHES).translate(_BRACKETS)
        return _english_normaliser()(easy).strip()
    except (AssertionError, ValueError):
        # It cannot read a number of thousands of digits, which a looping policy does write.
        return ""


@cache
def _english_normaliser() -> Callable[[str], str]:
    """Built on first use: it loads a mapping of 1700 spellings."""
    from whisper_normalizer.english import EnglishTextNormalizer

    normaliser: Callable[[str], str] = EnglishTextNormalizer()
    return normaliser


@cache
def _simplified() -> Callable[[str], str]:
    try:
        from opencc import OpenCC
    except ImportError as error:
        raise MissingExtraError(
            "language zh-Hans folds traditional into simplified characters with OpenCC: "
            "pip install 'speechrl[chinese]', or write zh to compare the characters as they are"
        ) from error
    convert: Callable[[str], str] = OpenCC("t2s").convert
    return convert
