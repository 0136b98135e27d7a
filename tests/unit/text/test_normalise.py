import itertools
import sys
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechrl.errors import DataError, MissingExtraError
from speechrl.text import normalise as module
from speechrl.text.language import SCRIPTS
from speechrl.text.normalise import normalise, plain, primary_language, said_one_by_one, tokens


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Mr. Smith won't pay twenty-one dollars.", "mister smith will not pay $21"),
        ("en", "The COLOUR, please!", "the color please"),
        ("en-GB", "The COLOUR, please!", "the color please"),
        ("en", "I don\u2019t know", "i do not know"),
        ("en", "press (any) [key] <now>", "press any key now"),
        ("en", "four four two", "442"),
        ("de", "Grüße, STRASSE und Straße!", "grüsse strasse und strasse"),
        ("fr", "L'été, ça va ?", "l été ça va"),
        ("it", "È già l’ora: perché no?", "è già l ora perché no"),
        ("el", "ΟΔΟΣ οδός", "οδοσ οδόσ"),
        ("zh", "你好，世界！ＡＢＣ 12", "你好世界abc12"),
        ("ja", "ｶﾀｶﾅ、データです。", "カタカナデータです"),
        ("ko", "안녕 하세요.", "안녕하세요"),
        ("hi", "नमस्ते, दुनिया!", "नमस्ते दुनिया"),
        ("ru", "Привет -- мир", "привет мир"),
        ("English", "The COLOUR, please!", "the color please"),
        ("eng", "The COLOUR, please!", "the color please"),
        ("cmn", "你好，世界！", "你好世界"),
        ("Chinese", "你好，世界！", "你好世界"),
        ("deu", "STRASSE", "strasse"),
        ("tr", "\u0130stanbul ISPARTA", "istanbul \u0131sparta"),
        ("tr", "I\u0307stanbul", "istanbul"),
        ("aze", "I\u015eIQ", "\u0131\u015f\u0131q"),
        ("uk", "п\u02bcять п'ять п\u2019ять", "п ять п ять п ять"),
        ("it", "l\u00b4acqua", "l acqua"),
        ("en", "don\u00b4t", "do not"),
        ("ar", "كتـــاب ٣", "كتاب 3"),
        ("en", "", ""),
        ("en", " ... !? ", ""),
        ("en", "\u200bhi\ufeff", "hi"),
    ],
)
def test_normal_forms(language: str, text: str, expected: str) -> None:
    assert normalise(text, language) == expected


@pytest.mark.parametrize(
    ("text", "language"),
    [("um", "en"), ("Uh, hmm.", "en"), ("(um)", "en"), ("你好", "en"), ("hello", "zh"), ("%5%", "en")],
)
def test_text_is_never_emptied(text: str, language: str) -> None:
    assert normalise(text, language)


@given(st.text(max_size=30), st.sampled_from(["en", "zh", "ko", "th", "fr", "hi", "xx"]))
def test_empty_exactly_when_there_is_nothing_to_say(text: str, language: str) -> None:
    letters = any(letter.isalnum() for letter in text)
    if letters:
        assert normalise(text, language)
        assert tokens(text, language)
        assert tokens(text, language, "word")
    assert bool(normalise(text, language)) == bool(plain(text))
    assert normalise(text, language) == " ".join(normalise(text, language).split())


def test_english_normaliser_that_gives_up_falls_back() -> None:
    endless = "4" * 5000
    assert normalise(endless, "en") == endless


def test_english_numbers_never_raise() -> None:
    words = "double triple point and a half dollars cent minus hundred oh one twenty five 3.5 $5 %"
    for text in map(" ".join, itertools.permutations(words.split(), 3)):
        assert normalise(text, "en")


@pytest.mark.parametrize(
    ("text", "language", "unit", "expected"),
    [
        ("Hello, world", "en", "auto", ["hello", "world"]),
        ("no way", "en", "char", list("noway")),
        ("Seven, it's", "en", "char", list("7itis")),
        ("Seven, it's", "en", "letter", list("sevenits")),
        ("你好 ok", "zh", "auto", ["你", "好", "o", "k"]),
        ("你好 ok", "zh", "word", ["你好", "ok"]),
        ("ที่นี่", "th", "auto", ["ที่", "นี่"]),
        ("नमस्ते जी", "hi", "auto", ["नमस्ते", "जी"]),
        ("", "zh", "auto", []),
    ],
)
def test_tokens(text: str, language: str, unit: module.Unit, expected: list[str]) -> None:
    assert tokens(text, language, unit) == expected


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("dial four four, 1,000,000,000!", "en", ("dial", "4", "4", "1000000000")),
        ("um um 1.000.000", "it", ("um", "um", "1000000")),
        ("555 555", "en", ("555", "555")),
        ("I\u015eIK \u0130yi", "tr", ("\u0131\u015f\u0131k", "iyi")),
        ("这个要1000元", "zh", ("这", "个", "要", "1000", "元")),
        ("no no www.a.com 天天", "zh", ("no", "no", "www", "a", "com", "天", "天")),
        ("ที่ 1000", "th", ("ที่", "1000")),
    ],
)
def test_what_loops_are_looked_for_in(text: str, language: str, expected: tuple[str, ...]) -> None:
    assert said_one_by_one(text, language) == expected


@pytest.mark.parametrize(
    ("code", "short"),
    [
        ("tam", "ta"),
        ("bul", "bg"),
        ("urd", "ur"),
        ("slo", "sk"),
        ("Tamil", "ta"),
        ("fil", "tl"),
        ("nob", "nb"),
    ],
)
def test_other_ways_to_write_a_language(code: str, short: str) -> None:
    assert primary_language(code) == short


def test_every_language_of_a_known_script_may_be_written_with_three_letters() -> None:
    assert {primary_language(code) for code in module._SHORT_CODES} >= set(SCRIPTS)


def test_tokens_are_the_callers_own() -> None:
    tokens("a cached list", "en").append("spoilt")
    assert tokens("a cached list", "en") == ["a", "cached", "list"]


@pytest.mark.parametrize("language", ["Klingon", "", "e", "en us", "12"])
def test_what_is_no_language_tag_is_refused(language: str) -> None:
    with pytest.raises(DataError, match="ISO 639-1"):
        normalise("hello", language)


def test_traditional_characters_are_folded_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class FakeOpenCC:
        def __init__(self, config: str) -> None:
            assert config == "t2s"

        def convert(self, text: str) -> str:
            return text.replace("\u570b", "国")

    module._simplified.cache_clear()
    monkeypatch.setitem(sys.modules, "opencc", types.SimpleNamespace(OpenCC=FakeOpenCC))
    assert normalise("中\u570b", "zh-Hans") == "中国"
    assert normalise("中\u570b", "zh") == "中\u570b"
    module._simplified.cache_clear()


def test_folding_without_opencc_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    module._simplified.cache_clear()
    monkeypatch.setitem(sys.modules, "opencc", None)
    with pytest.raises(MissingExtraError, match=r"speechrl\[chinese\]"):
        normalise("没有安装", "zh_Hans")
