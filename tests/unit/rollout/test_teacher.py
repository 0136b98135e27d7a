from __future__ import annotations

import pytest
import torch

from speechrl.rollout.teacher import TeacherRollouts, spoken_form, unwritable
from speechrl.text.alignment import align_texts
from speechrl.types import Context, Ending, Prompt


def test_a_teacher_gives_the_reference_once_with_its_end() -> None:
    contexts = [Context("a", torch.zeros(2, 4)), Context("b", torch.zeros(3, 4))]
    prompts = [Prompt("a", "asr", "hi"), Prompt("b", "asr", "")]
    teacher = TeacherRollouts(lambda text: [ord(letter) for letter in text], end_token_id=0)
    teacher.load({}, 1)
    first, second = teacher.sample(contexts, prompts, group_size=8, seed=1)
    assert first.context is contexts[0]
    (rollout,) = first.rollouts
    assert rollout.token_ids == (ord("h"), ord("i"), 0)
    assert rollout.logprobs == (0.0, 0.0, 0.0)
    assert rollout.ending is Ending.STOP
    assert second.rollouts[0].token_ids == (0,)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Login incorrect. Please, press 5!", "login incorrect please press 5"),
        ("Waldo\u2019s party's x-ray", "waldo's party's x ray"),
        ("'Quoted' words' end", "quoted words end"),
        (
            "STRASSE stra\u00dfe \u0939\u093f\u0928\u094d\u0926\u0940",
            "strasse strasse \u0939\u093f\u0928\u094d\u0926\u0940",
        ),
        ("It costs $5, or 3.5 percent.", "it costs $5 or 3.5 percent"),
        ("1,500 at 10:30, -4 and 50% of 20\u20ac", "1,500 at 10:30 -4 and 50% of 20\u20ac"),
        ("covid-19, pages 4-5, the 3rd, 3.5km, 4x4", "covid 19 pages 4 5 the 3rd 3.5km 4x4"),
        ("co\u00adoperate", "cooperate"),
        ("\u0645\u06cc\u200c\u0631\u0648\u0645", "\u0645\u06cc\u200c\u0631\u0648\u0645"),
        ("...", ""),
    ],
)
def test_references_are_written_as_a_recogniser_writes(text: str, words: str) -> None:
    """Capitals and punctuation are unknown tokens of its vocabulary, which the policy must not learn to write."""
    seen: list[str] = []

    def tokenize(written: str) -> list[int]:
        seen.append(written)
        return []

    TeacherRollouts(tokenize, 0).sample([Context("a", torch.zeros(2, 4))], [Prompt("a", "asr", text)], 1, 1)
    assert seen == [words]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("It costs $5 and 3.5 percent.", "en"),
        ("He has 1,500 dollars, 50% off; don't co\u00adoperate!", "en"),
        ("I\u011fd\u0131r'da \u0131l\u0131k \u0130stanbul I\u015eIK", "tr"),
        (
            "\u0645\u06cc\u200c\u0631\u0648\u0645 \u0628\u0647 \u062e\u0627\u0646\u0647\u200c\u0647\u0627",
            "fa",
        ),
        ("\u0dc1\u0dca\u200d\u0dbb\u0dd3 \u0dbd\u0d82\u0d9a\u0dcf", "si"),
        ("\u09b0\u200d\u09cd\u09af\u09be\u09ac \u0985\u09ab\u09bf\u09b8", "bn"),
        ("\u043f\u02bc\u044f\u0442\u044c \u044f\u0431\u043b\u0443\u043a", "uk"),
    ],
)
def test_what_is_taught_is_right_by_the_error_rate(text: str, language: str) -> None:
    assert align_texts(text, spoken_form(text, language), language).errors == 0


def test_references_that_a_vocabulary_cannot_write_are_counted() -> None:
    def tokenize(text: str) -> list[int]:
        return [1 if letter.isascii() else 0 for letter in text]

    texts = ["plain words", "\u00dcber na\u00efve dreams", "na\u00efve"]
    prompts = [Prompt(text, "asr", text) for text in texts]
    assert unwritable(prompts, tokenize, 0) == (2, ["na\u00efve", "\u00fcber"])
    assert unwritable(prompts, tokenize, None) == (0, [])
