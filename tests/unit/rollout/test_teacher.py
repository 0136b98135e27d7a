from __future__ import annotations

import pytest
import torch

from speechrl.rollout.teacher import TeacherRollouts, unwritable
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


def test_references_that_a_vocabulary_cannot_write_are_counted() -> None:
    def tokenize(text: str) -> list[int]:
        return [1 if letter.isascii() else 0 for letter in text]

    texts = ["plain words", "\u00dcber na\u00efve dreams", "na\u00efve"]
    assert unwritable(texts, tokenize, 0) == (2, ["na\u00efve", "\u00fcber"])
    assert unwritable(texts, tokenize, None) == (0, [])
