from __future__ import annotations

import torch

from speechrl.rollout.teacher import TeacherRollouts
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
