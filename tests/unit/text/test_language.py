import pytest

from speechrl.text.language import LanguageMatch, foreign_letters, match_language


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("the conference is locked and you are not on the list", "en", "match"),
        ("la conférence est fermée et vous n'êtes pas sur la liste", "en", "mismatch"),
        ("la conférence est fermée et vous n'êtes pas sur la liste", "fr", "match"),
        ("der Name ist nicht auf der Liste", "en", "mismatch"),
        ("the name is not on that list", "de", "mismatch"),
        ("invalid extension", "en", "unknown"),
        ("la chiamata è in attesa e non si può trasferire", "it", "match"),
        ("the call is on hold and you are not on the list", "it", "mismatch"),
        ("bonjour", "en", "unknown"),
        ("你好世界", "en", "mismatch"),
        ("hello 你好 world again", "en", "unknown"),
        ("你好世界", "zh", "match"),
        ("我用iPhone手机", "zh", "match"),
        ("please leave your message", "zh", "mismatch"),
        ("iPhone", "zh", "unknown"),
        ("これはペンです", "zh", "mismatch"),
        ("これはペンです", "ja", "match"),
        ("東京都", "ja", "match"),
        ("今天天气很好我们一起去公园散步吧", "ja", "mismatch"),
        ("今天天气很好我们一起去公园散步吧", "ko", "mismatch"),
        ("大韓民國", "ko", "match"),
        ("大韓民國은 民主共和國이다", "ko", "match"),
        ("안녕하세요 반갑습니다", "ko", "match"),
        ("привет мир", "ru", "unknown"),
        ("hello out there", "ru", "mismatch"),
        ("καλημέρα", "el", "match"),
        ("hello there my friend", "xx", "unknown"),
        ("12 34", "en", "unknown"),
        ("", "en", "unknown"),
        ("μ", "en", "unknown"),
        ("um um um um try again", "en", "unknown"),
    ],
)
def test_language_table(text: str, language: str, expected: LanguageMatch) -> None:
    assert match_language(text, language) == expected


@pytest.mark.parametrize(
    ("text", "language", "count"),
    [("hello мир", "en", 3), ("hello", "ru", 0), ("データ", "ja", 0), ("μ meter", "en", 1), ("мир", "xx", 0)],
)
def test_foreign_letters(text: str, language: str, count: int) -> None:
    assert foreign_letters(text, language) == count


@pytest.mark.parametrize(("reference", "count"), [("", 3), ("μ", 3), ("салом", 0), ("say салом", 0)])
def test_a_script_of_the_reference_is_not_foreign(reference: str, count: int) -> None:
    assert foreign_letters("hello мир", "en", reference) == count
