import pytest

from speechrl.rewards.asr_hallucination import find_hallucinations, hallucination


@pytest.mark.parametrize(
    ("reference", "hypothesis", "language", "kinds"),
    [
        # What must not be punished: right, wrong, short, empty, spelled otherwise, repeated by the speaker.
        ("please hold the line", "please hold the line", "en", []),
        ("please hold the line", "peas fold a lime", "en", []),
        ("please hold the line", "please hold the line now sir", "en", []),
        ("please hold the line", "", "en", []),
        ("", "", "en", []),
        ("", "...", "en", []),
        ("no no no no", "no no no no", "en", []),
        ("no no no no", "no no no", "en", []),
        ("dial 4444", "dial four four four four", "en", []),
        ("dial four four four four now", "dial 4 4 4 4 then", "en", []),
        ("it costs 2 million", "it costs 2000000", "en", []),
        ("i won't", "I will not", "en", []),
        ("say 你好 please", "say 你好 please", "en", []),
        ("我用手机", "我用iPhone手机", "zh", []),
        ("vous n'êtes pas sur la liste", "vous n'êtes pas sur la liste", "en", []),
        ("the angle", "the angle μ", "en", []),
        ("um o um um", "uh uh", "en", []),
        ("这个要一千元", "这个要1000元", "zh", []),
        ("一万円", "10000円", "ja", []),
        ("หนึ่งพัน", "1000", "th", []),
        ("la somma è un miliardo di euro", "la somma è 1.000.000.000 di euro", "it", []),
        ("我们 go to the 商店", "我门 go to the 商电", "en", []),
        # What must be.
        ("好的", "好的 no no no no no no", "zh", ["loop", "insertion_run", "translation"]),
        ("好的", "好的hahahahahaha", "zh", ["loop", "insertion_run"]),
        ("", "thank you", "en", ["on_silence"]),
        ("try again", "try try try try again", "en", ["loop"]),
        ("try again", "um um um um try again", "en", ["loop"]),
        ("ha", "hahahahahaha", "en", ["loop"]),
        (
            "we will call you back",
            "we will call you back we will call you back",
            "en",
            ["loop", "insertion_run"],
        ),
        ("call me", "call me on my other phone", "en", ["insertion_run"]),
        ("call me", "call me привет", "en", ["foreign_script", "translation"]),
        (
            "the conference is closed",
            "la conférence est fermée et vous pas sur",
            "en",
            ["insertion_run", "translation"],
        ),
        ("你好世界", "please leave a message", "zh", ["insertion_run", "translation"]),
        ("今天天气很好", "今天天气天气天气天气很好", "zh", ["loop"]),
    ],
)
def test_rules(reference: str, hypothesis: str, language: str, kinds: list[str]) -> None:
    assert [item.kind for item in find_hallucinations(reference, hypothesis, language)] == kinds
    assert hallucination(reference, hypothesis, language) == (-1.0 if kinds else 0.0)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "value"),
    [
        ("try again", "try again", 0.0),
        ("try again", "try try try try again", -3 / 5),
        ("call me", "call me on my other phone", -4 / 6),
        ("", "anything", -1.0),
    ],
)
def test_span_penalty_is_the_share_of_the_hypothesis(reference: str, hypothesis: str, value: float) -> None:
    assert hallucination(reference, hypothesis, penalty="span") == pytest.approx(value)


def test_longer_loops_cost_more_by_span() -> None:
    values = [hallucination("try again", "try " * n + "again", penalty="span") for n in range(1, 40)]
    assert values[0] == values[1] == 0.0
    assert values[2:] == sorted(set(values[2:]), reverse=True)
    assert min(values) > -1.0


def test_insertion_run_length_is_an_option() -> None:
    assert hallucination("call me", "call me on my phone") == 0.0
    assert hallucination("call me", "call me on my phone", min_run=3) == -1.0
    assert hallucination("a b", "x a y b z", min_run=3) == 0.0


def test_foreign_words_count_even_where_the_rest_is_right() -> None:
    long = "we are sorry but all of our lines are busy at the moment so please call again"
    assert [item.kind for item in find_hallucinations(long, long + " до свидания")] == [
        "foreign_script",
        "translation",
    ]


def test_runs_of_alike_insertions_know_made_up_words_from_misheard_ones() -> None:
    reference = "please hold the line while i try that extension"
    replaced = "please hold the line over seven green hills extension"
    misheard = "please old a lime wile eye dry that extention"
    assert hallucination(reference, replaced, min_run=3) == 0.0
    assert hallucination(reference, replaced, min_run=3, insertions="alike") == -1.0
    share = hallucination(reference, replaced, penalty="span", min_run=3, insertions="alike")
    assert share == pytest.approx(-4 / 9)
    assert hallucination(reference, misheard, min_run=3, insertions="alike") == 0.0
    # Only `excess` is known where characters are counted.
    assert hallucination("你好", "你好", "zh", insertions="alike") == 0.0
