"""A toy language of speech: six codes that sound like letters, two silent ones, and a Token2Text that hears them."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING

import torch
from toys import WIDTH, toy_language_model

from speechrl.algorithms import make_algorithm
from speechrl.config.schema import AlgorithmConfig, TrainConfig
from speechrl.models.tts.token2text import Token2Text, Token2TextConfig
from speechrl.models.tts.token2text_parts import HeadSpec
from speechrl.train.learner import Learner
from speechrl.types import Context, Ending, Prompt, Rollout, Sample, Score

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from speechrl.models.language_model import LanguageModel

LETTERS = "abcdef"
SILENT = (6, 7)
CODES = END = 8
LENGTH = 6
TEXTS = ("abc", "fed", "cafe", "bad")


def speak(text: str, generator: torch.Generator) -> list[int]:
    """Codes that sound like the text, with silence strewn in: LENGTH of them."""
    codes = [LETTERS.index(letter) for letter in text]
    while len(codes) < LENGTH:
        place = int(torch.randint(len(codes) + 1, (), generator=generator))
        codes.insert(place, SILENT[int(torch.randint(2, (), generator=generator))])
    return codes


@functools.cache
def _trained() -> Token2Text:
    torch.manual_seed(0)
    heads = {"silence": HeadSpec(("little", "much"), (2.5,), (1,))}
    model = Token2Text(Token2TextConfig(CODES, "toy", width=24, layers=1, kernel=3, heads=heads))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)
    lengths_B = torch.full((32,), LENGTH)
    for _ in range(120):
        texts = [
            "".join(LETTERS[i] for i in torch.randperm(6, generator=generator)[: 2 + n % 4])
            for n in range(32)
        ]
        embedded_BTD = model.embedding(torch.tensor([speak(text, generator) for text in texts]))
        much_B = torch.tensor([int(LENGTH - len(text) > 2.5) for text in texts])
        head_BC = model.head_logprobs("silence", model.hidden(embedded_BTD, lengths_B), lengths_B)
        loss = (
            model.text_nll(embedded_BTD, lengths_B, texts).mean() - head_BC.gather(1, much_B[:, None]).mean()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model


def toy_token2text() -> Token2Text:
    """A fresh copy of a model that hears the toy language almost without errors."""
    return copy.deepcopy(_trained())


def toy_speaker(seed: int = 0) -> LanguageModel:
    return toy_language_model(seed, END)


def toy_context(text: str) -> Tensor:
    """4 positions of noise that depend on the text alone."""
    generator = torch.Generator().manual_seed(
        sum(ord(letter) * 31**place for place, letter in enumerate(text))
    )
    return torch.randn(4, WIDTH, generator=generator)


def toy_sample(
    text: str, tokens: Sequence[int], advantage: float, group: int, logprobs: Sequence[float] | None = None
) -> Sample:
    """A sample that stopped if its last token is END, and was cut otherwise."""
    ending = Ending.STOP if tokens[-1] == END else Ending.LENGTH
    rollout = Rollout(text, tuple(tokens), tuple(logprobs or [-2.0] * len(tokens)), ending)
    score = Score(total=advantage, terms={"accuracy": advantage})
    return Sample(
        Context(text, toy_context(text)), rollout, advantage, group, score, Prompt(text, "tts", text)
    )


def toy_spoken(model: LanguageModel, advantages: Sequence[Sequence[float]], seed: int = 0) -> list[Sample]:
    """One group per row of advantages: random codes of ragged lengths, every third completion cut by length."""
    generator = torch.Generator().manual_seed(seed)
    samples: list[Sample] = []
    for group, row in enumerate(advantages):
        text = TEXTS[group % len(TEXTS)]
        completions = []
        for _ in row:
            length = int(torch.randint(4, 9, (), generator=generator))
            end = () if (len(samples) + len(completions)) % 3 == 2 else (END,)
            completions.append((*torch.randint(CODES, (length,), generator=generator).tolist(), *end))
        with torch.no_grad():
            logprobs_NL = model.eval().score([toy_context(text)], [completions]).logprobs_NL
        samples += [
            toy_sample(text, tokens, advantage, group, logprobs_NL[g, : len(tokens)].tolist())
            for g, (tokens, advantage) in enumerate(zip(completions, row, strict=True))
        ]
    return samples


@functools.cache
def _taught() -> LanguageModel:
    model = toy_speaker()
    generator = torch.Generator().manual_seed(3)
    settings = TrainConfig(precision="fp32", warmup_steps=0, learning_rate=1e-2)
    learner = Learner(model, make_algorithm(AlgorithmConfig(name="sft")), settings)
    for step in range(1, 81):
        samples = []
        for group, text in enumerate(TEXTS * 6):
            wrong = torch.randint(CODES, (LENGTH,), generator=generator).tolist()
            slips = (torch.rand(LENGTH, generator=generator) < 0.35).tolist()
            codes = [
                w if slip else c for c, w, slip in zip(speak(text, generator), wrong, slips, strict=True)
            ]
            samples.append(toy_sample(text, (*codes, END), 1.0, group))
        learner.update(samples, step)
    return learner.finish()


def toy_stammerer() -> LanguageModel:
    """A fresh copy of a policy that speaks the TEXTS, knows when to stop, and gets a code in three wrong."""
    return copy.deepcopy(_taught())
