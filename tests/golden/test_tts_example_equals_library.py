"""`examples/tts_diffro_in_one_file.py` gives the library's numbers: same seed, same loss, same gradient."""

import copy
import importlib.util
import random
import sys
from pathlib import Path

import jiwer
import pytest
import torch
from diffro_toys import CODES, END, TEXTS, toy_context, toy_stammerer, toy_token2text

from speechrl.algorithms import make_algorithm
from speechrl.config.schema import AlgorithmConfig, TrainConfig
from speechrl.rl.advantage import group_advantages
from speechrl.rl.diffro import gumbel_noise, straight_through_embeddings
from speechrl.rl.kl import kl_full
from speechrl.train.learner import Learner
from speechrl.types import Context, Ending, Group, Prompt, Rollout, Score

SEED = 7


def load_example():
    path = Path(__file__).parents[2] / "examples" / "tts_diffro_in_one_file.py"
    spec = importlib.util.spec_from_file_location("tts_diffro_in_one_file", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


example = load_example()


class ToySynthesiser:
    """A policy that stammers, and contexts whose text may be laid out over time."""

    def __init__(self, places=None):
        self.language_model = toy_stammerer().requires_grad_(True)
        self.places_T = None if places is None else torch.tensor(places)

    def encode(self, prompts):
        return [Context(prompt.id, toy_context(prompt.text), self.places_T) for prompt in prompts]


PROMPTS = [Prompt(text, "tts", text) for text in TEXTS]
PLACES = [-0.3, 0.7, 2.3, 3.0]


def frozen_token2text():
    return toy_token2text().requires_grad_(False)


def library_step(model, reference_lm, prompts, generator, name, **diffro):
    """The same update through the library: credit, learner, one division per part; the gradient that it steps along."""
    contexts = model.encode(prompts)
    groups, scores = [], []
    for prompt, context in zip(prompts, contexts, strict=True):
        drawn = example.sample(model, prompt, context, example.GROUP_SIZE, generator)
        rollouts = []
        for codes, stopped in zip(drawn.codes(), drawn.stopped_G.tolist(), strict=True):
            ids = (*codes, END) if stopped else tuple(codes)
            ending = Ending.STOP if stopped else Ending.LENGTH
            rollouts.append(Rollout(prompt.id, ids, (0.0,) * len(ids), ending))
        groups.append(Group(context, tuple(rollouts)))
        heard = toy_token2text().transcribe(drawn.codes())
        scores.append([Score(total, {}) for total in (example.reward(prompt.text, text) for text in heard)])
    config = AlgorithmConfig(name=name, kl="full", kl_weight=example.KL_WEIGHT, diffro=diffro)
    algorithm = make_algorithm(config, seed=SEED, reward_model=toy_token2text())
    samples, stats = algorithm.credit(groups, scores, prompts)
    with torch.no_grad():
        scored = model.language_model.score(
            contexts, [[rollout.token_ids for rollout in group.rollouts] for group in groups]
        )
    # On-policy: the behaviour is the policy itself.
    own = [
        tuple(row[: len(s.rollout.token_ids)].tolist())
        for row, s in zip(scored.logprobs_NL, samples, strict=True)
    ]
    samples = [
        type(s)(
            s.context,
            Rollout(s.prompt.id, s.rollout.token_ids, row, s.rollout.ending),
            *[getattr(s, field) for field in ("advantage", "group", "score", "prompt")],
        )
        for s, row in zip(samples, own, strict=True)
    ]
    learner = Learner(model.language_model, algorithm, TrainConfig(precision="fp32", warmup_steps=0))
    learner._reference.causal_lm.load_state_dict(reference_lm.state_dict())
    gradients = {}

    def keep():
        gradients.update({n: p.grad.clone() for n, p in model.language_model.causal_lm.named_parameters()})

    learner._optimizer.step = keep
    return learner.update(samples, step=1).metrics, stats, gradients


@pytest.mark.parametrize(
    ("name", "policy_weight", "diffro"),
    [
        ("hybrid", 1.0, {"weight": 0.6, "filter": "both"}),
        ("hybrid", 1.0, {"weight": 1.0, "filter": "both", "temperature": 0.5}),
        ("grpo", 1.0, {"weight": 0.0}),
        ("diffro", 0.0, {"weight": 1.0}),
    ],
)
def test_a_whole_step_on_the_same_seed(monkeypatch, name, policy_weight, diffro):
    monkeypatch.setattr(example, "POLICY_WEIGHT", policy_weight)
    monkeypatch.setattr(example, "DIFFRO_WEIGHT", diffro["weight"])
    monkeypatch.setattr(example, "GUMBEL_TEMPERATURE", diffro.get("temperature", 1.0))
    if name == "diffro":  # alone, it learns from every answer that says something
        monkeypatch.setattr(example, "passes", lambda samples, _: torch.tensor([*map(bool, samples.codes())]))
    model = ToySynthesiser(PLACES)
    reference_lm = copy.deepcopy(model.language_model.causal_lm)
    with torch.no_grad():
        for parameter in reference_lm.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2))
    metrics, stats, gradients = library_step(
        ToySynthesiser(PLACES), reference_lm, PROMPTS, torch.Generator().manual_seed(3), name, **diffro
    )
    still = torch.optim.SGD(model.language_model.causal_lm.parameters(), lr=0.0)
    report = example.step(
        model, reference_lm, frozen_token2text(), still, PROMPTS, torch.Generator().manual_seed(3), (SEED, 1)
    )
    assert report.reward == pytest.approx(stats["reward"])
    assert report.loss == pytest.approx(metrics["loss"], rel=1e-4)
    if name != "diffro":  # whose report is over what it learned from
        assert report.kl == pytest.approx(metrics["kl"], rel=1e-4)
    assert report.kl > 0.01
    if name == "hybrid":
        assert report.passed == pytest.approx(metrics["samples/diffro"])
        assert 0.2 < report.passed < 0.8
        assert metrics["loss/diffro"] > 0.01
    for parameter_name, parameter in model.language_model.causal_lm.named_parameters():
        torch.testing.assert_close(
            parameter.grad, gradients[parameter_name], rtol=1e-3, atol=1e-6, msg=parameter_name
        )


@pytest.mark.parametrize("seed", range(3))
def test_the_mathematics(seed):
    generator = torch.Generator().manual_seed(seed)
    logits_GLV, reference_GLV = torch.randn(2, 3, 5, CODES, generator=generator)
    torch.testing.assert_close(example.full_kl(logits_GLV, reference_GLV), kl_full(logits_GLV, reference_GLV))
    noise_LK = example.gumbel((seed, 2), 5, CODES)
    assert torch.equal(noise_LK, gumbel_noise((seed, 2), 5, CODES))
    draws = example.straight_through(logits_GLV, noise_LK.expand(3, 5, CODES))
    whole_G = torch.tensor([5, 5, 5])
    ours = straight_through_embeddings(
        logits_GLV, noise_LK.expand(3, 5, CODES), 1.0, torch.eye(CODES), whole_G
    )
    assert torch.equal(draws, ours)
    rewards_PG = torch.randn(4, 5, generator=generator)
    rewards_PG[1] = 0.3
    library = group_advantages(rewards_PG, torch.ones(4, 5, dtype=torch.bool)).advantages_PG
    torch.testing.assert_close(torch.stack([example.advantages(row_G) for row_G in rewards_PG]), library)


def test_reward_is_one_minus_the_character_error_rate():
    shuffle = random.Random(0)
    for _ in range(50):
        reference = "".join(shuffle.choices("abcd", k=shuffle.randint(1, 7)))
        hypothesis = "".join(shuffle.choices("abcd", k=shuffle.randint(0, 20)))
        assert example.reward(reference, hypothesis) == pytest.approx(
            max(-1.0, 1 - jiwer.cer(reference, hypothesis))
        )
    assert example.reward("It's, ok!", "it's ok") == 1.0


def test_the_filter():
    samples = example.Samples(
        Context("x", torch.zeros(1, 2)),
        "abc",
        torch.zeros(4, 3),
        torch.tensor([[1.0, 1, 1], [1, 1, 1], [1, 1, 1], [1, 0, 0]]),
        torch.tensor([True, True, False, True]),
    )
    kept_G = example.passes(samples, torch.tensor([0.5, -0.5, 0.5, 0.5]))
    assert kept_G.tolist() == [True, False, False, False]


def test_the_example_learns_the_toy():
    model, token2text = ToySynthesiser(), frozen_token2text()
    lm = model.language_model.causal_lm
    reference_lm, optimiser = copy.deepcopy(lm), torch.optim.AdamW(lm.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(4)
    before = example.evaluate(model, token2text, PROMPTS * 8)
    for number in range(1, 21):
        example.step(model, reference_lm, token2text, optimiser, PROMPTS, generator, (1, number))
    assert example.evaluate(model, token2text, PROMPTS * 8) < 0.8 * before
