"""What training rows and held-out sets have in common."""

from lhotse import CutSet
from lhotse.testing.dummies import dummy_cut, dummy_supervision

from speechrl.data.overlap import shared_rows
from speechrl.types import Prompt


def cut(number: int, text: str, language: str = "en"):
    said = dummy_supervision(number, text=text)
    said.language = language
    return dummy_cut(number, supervisions=[said])


def prompts(*texts: str, language: str = "en") -> list[Prompt]:
    return [Prompt(f"{text}-{language}", "asr", text, language) for text in texts]


def test_rows_that_say_the_same_are_counted_by_set_whatever_their_form() -> None:
    cuts = CutSet.from_cuts([cut(0, "Press one, now!"), cut(1, "goodbye"), cut(2, "nie", "en-US")])
    sets = {
        "leaky": prompts("press one now", "PRESS ONE NOW.", "press two now"),
        "clean": prompts("press", "hello"),
        "german": prompts("nie", language="de"),
    }
    assert shared_rows(cuts, sets) == {"leaky": 2, "german": 1}


def test_silence_shares_nothing() -> None:
    assert shared_rows(CutSet.from_cuts([cut(0, "")]), {"silence": prompts("", "...")}) == {}
