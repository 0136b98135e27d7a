"""Texts to be spoken: their alphabet, the guard between training and tests, and the sets that ship."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import soundfile as sf
from hypothesis import given
from hypothesis import strategies as st

from speechrl.errors import DataError
from speechrl.starter.asr.texts import Sentence, normalise
from speechrl.starter.tts.texts import HELD_OUT_SETS, SPOKEN, HeldOut, ended, is_fit, read_texts, spoken_text

DATA = Path(__file__).parents[3] / "data" / "tts_en"
SIZES = {"train": 3000, "dev": 200, "test": 450, "hard": 100, "voices": 5}
VOICES = ("flite-awb", "flite-rms", "flite-slt", "hibari-heart", "piper-joe")


def _rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (DATA / f"{name}.jsonl").read_text("utf-8").splitlines()]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("Don't panic; it's a well-known 'trick'!", "don't panic, it's a well known trick!"),
        ("Stop!! Who goes there?", "stop! who goes there?"),
        ("...and so on.", "and so on."),
        ("The dogs' mat", "the dogs mat"),
        ("", ""),
    ],
)
def test_spoken_text_keeps_words_and_the_four_signs(raw: str, text: str) -> None:
    assert spoken_text(raw) == text


@given(st.text())
def test_spoken_text_repeats_itself_and_stays_in_its_alphabet(raw: str) -> None:
    text = spoken_text(raw)
    assert spoken_text(text) == text
    assert not set(text) - set("abcdefghijklmnopqrstuvwxyz' .,?!")


@given(st.text(alphabet="abc XYZ'-.,;:?!", max_size=40))
def test_spoken_text_has_the_words_of_the_recogniser_texts(raw: str) -> None:
    assert normalise(spoken_text(raw)) == normalise(raw)


@pytest.mark.parametrize(
    ("raw", "source", "expected"),
    [
        ("It rained", "wordnet", "it rained."),
        ("It rained,", "fortunes", "it rained."),
        ("What is rain", "chatterbot", "what is rain?"),
        ("What is rain", "fortunes", "what is rain."),
        ("Rain; more rain!", "fortunes", "rain, more rain!"),
    ],
)
def test_every_sentence_ends(raw: str, source: str, expected: str) -> None:
    sentence = ended(Sentence(raw, normalise(raw), source))
    assert sentence.text == expected
    assert sentence.raw[0] == raw[0]


@pytest.mark.parametrize(
    ("raw", "fit"),
    [
        ("The meeting is at noon.", True),
        ("Jim: what is that?", False),
        ("What, does, an, amber, light", False),
        ("My name is R, O, Y.", False),
        ("He bought a gun.", False),
    ],
)
def test_is_fit(raw: str, fit: bool) -> None:
    assert is_fit(Sentence(raw, normalise(raw), "fortunes")) is fit


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("The old clock in the hall, strikes on Monday!", True),  # the sentence itself
        ("the old clock in the yard strikes on monday", True),  # one word differs
        ("the old bell in the hall chimes on thursday", False),  # two words and a name differ
        ("the old clock in the hall strikes on thursday", True),  # another name
        ("they know that the old clock in the hall is slow", True),  # six words in a row
        ("they know that the old clock in the yard is slow", False),  # five
        ("dial twenty one", True),  # "dial seven two two" has a number there as well
        ("dial her again", False),
    ],
)
def test_what_is_near_a_held_out_sentence(text: str, near: bool) -> None:
    held_out = HeldOut.of(["the old clock in the hall strikes on monday.", "dial seven two two."])
    assert held_out.is_near(text) is near


def test_a_missing_set_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"build\.py"):
        read_texts(tmp_path / "test.jsonl")


@pytest.mark.parametrize("name", SIZES)
def test_shipped_sets_have_their_size_alphabet_and_voices(name: str) -> None:
    rows = _rows(name)
    assert len(rows) == len({row["id"] for row in rows}) == len({row["text"] for row in rows}) == SIZES[name]
    assert all(SPOKEN.fullmatch(row["text"]) and row["language"] == "en" for row in rows)
    counts = Counter(row["audio"] for row in rows)
    assert sorted(counts) == [f"voices/{voice}.flac" for voice in VOICES]
    assert set(counts.values()) == {SIZES[name] // len(VOICES)}


def test_shipped_training_texts_keep_clear_of_all_that_judges() -> None:
    held_out = HeldOut.of(row["text"] for name in HELD_OUT_SETS for row in _rows(name))
    assert [row["text"] for row in _rows("train") if held_out.is_near(row["text"])] == []


@pytest.mark.parametrize("name", HELD_OUT_SETS)
def test_shipped_evaluation_sets_keep_clear_of_each_other(name: str) -> None:
    others = HeldOut.of(row["text"] for other in HELD_OUT_SETS if other != name for row in _rows(other))
    assert [row["text"] for row in _rows(name) if others.is_near(row["text"])] == []


def test_hard_sentences_are_twenty_of_each_kind_and_the_long_ones_are_long() -> None:
    rows = _rows("hard")
    kinds = Counter(row["id"].split("-")[1] for row in rows)
    assert kinds == dict.fromkeys(("repetition", "twister", "digits", "rare", "long"), 20)
    assert all(25 <= len(row["text"].split()) <= 40 for row in rows if "-long-" in row["id"])


@pytest.mark.parametrize("voice", VOICES)
def test_reference_voices_are_five_seconds_at_16_khz(voice: str) -> None:
    info = sf.info(DATA / "voices" / f"{voice}.flac")
    assert (info.samplerate, info.channels) == (16000, 1)
    assert 4.0 < info.duration < 6.5


def test_the_folder_is_small() -> None:
    assert sum(path.stat().st_size for path in DATA.rglob("*") if path.is_file()) < 2_000_000
