"""`examples/asr_grpo_in_one_file.py` gives the library's numbers: same seed, same loss, same gradient."""

import copy
import importlib.util
import random
import sys
from pathlib import Path
from types import SimpleNamespace

import jiwer
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from speechrl.algorithms import make_algorithm
from speechrl.algorithms.base import PolicyBatch
from speechrl.config.schema import AlgorithmConfig
from speechrl.models.language_model import LanguageModel
from speechrl.rl.advantage import group_advantages
from speechrl.rl.kl import kl_k3
from speechrl.rl.policy_loss import clipped_surrogate, token_ratio
from speechrl.rl.reduce import token_weights
from speechrl.types import Context, Ending, Group, Prompt, Rollout, Score

VOCABULARY, WIDTH, END = 12, 16, 2
WORDS = ["", "", "", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight"]


def load_example():
    path = Path(__file__).parents[2] / "examples" / "asr_grpo_in_one_file.py"
    spec = importlib.util.spec_from_file_location("asr_grpo_in_one_file", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


example = load_example()


def tiny_lm(seed):
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        initializer_range=0.3,
    )
    return Qwen3ForCausalLM(config).eval()


@pytest.mark.parametrize("seed", range(5))
def test_advantages(seed):
    rewards_PG = torch.randn(6, 5, generator=torch.Generator().manual_seed(seed))
    rewards_PG[2] = 0.1
    library = group_advantages(rewards_PG, torch.ones(6, 5, dtype=torch.bool)).advantages_PG
    torch.testing.assert_close(torch.stack([example.advantages(row_G) for row_G in rewards_PG]), library)


@pytest.mark.parametrize("seed", range(5))
def test_clipped_loss_and_kl_in_value_and_gradient(seed):
    generator = torch.Generator().manual_seed(seed)
    policy_GL, behaviour_GL, reference_GL = torch.randn(3, 6, 9, generator=generator).mul(0.3).sub(2)
    advantages_G = torch.randn(6, generator=generator)
    policy_GL.requires_grad_()
    mask_GL = torch.ones(6, 9)
    ratio_GL = token_ratio(policy_GL, behaviour_GL, mask_GL)
    pairs = [
        (
            example.clipped_loss(policy_GL, behaviour_GL, advantages_G),
            clipped_surrogate(ratio_GL, advantages_G, example.CLIP_LOW, example.CLIP_HIGH)[0],
        ),
        (example.k3(policy_GL, reference_GL), kl_k3(policy_GL, reference_GL)),
    ]
    for ours, library in pairs:
        torch.testing.assert_close(ours, library, rtol=1e-5, atol=1e-6)
        gradients = [
            torch.autograd.grad(loss.sum(), policy_GL, retain_graph=True)[0] for loss in (ours, library)
        ]
        torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-6)
        assert gradients[0].abs().max() > 0


def test_word_errors_are_those_of_jiwer():
    shuffle = random.Random(0)
    for _ in range(100):
        reference = shuffle.choices("abcd", k=shuffle.randint(1, 7))
        hypothesis = shuffle.choices("abcd", k=shuffle.randint(0, 9))
        counts = jiwer.process_words(" ".join(reference), " ".join(hypothesis))
        errors = counts.substitutions + counts.deletions + counts.insertions
        assert example.word_errors(reference, hypothesis) == errors


class ToyRecogniser:
    """Contexts of random embeddings and a vocabulary of number words around a tiny language model."""

    def __init__(self, lm):
        self.language_model = SimpleNamespace(causal_lm=lm, end_token_id=END)
        self.tokenizer = SimpleNamespace(
            decode=lambda ids, skip_special_tokens: " ".join(WORDS[i] for i in ids)
        )
        generator = torch.Generator().manual_seed(9)
        self.contexts = [
            Context(str(i), torch.randn(n, WIDTH, generator=generator)) for i, n in enumerate((4, 7, 5))
        ]

    def encode(self, prompts):
        return [self.contexts[int(prompt.id)] for prompt in prompts]


def library_gradients(lm, reference_lm, recogniser, prompts, generator):
    """The same update through the library: shared prefill, credit, weights, loss, one division."""
    sampled = [
        example.sample(lm, context.embeddings_TD, END, example.GROUP_SIZE, generator)
        for context in recogniser.encode(prompts)
    ]
    groups, scores = [], []
    for prompt, samples in zip(prompts, sampled, strict=True):
        rollouts = []
        for tokens, behaviour, mask in zip(
            samples.tokens_GL, samples.behaviour_GL, samples.mask_GL, strict=True
        ):
            ids = tuple(tokens[mask > 0].tolist())
            ending = Ending.STOP if ids[-1] == END else Ending.LENGTH
            rollouts.append(Rollout(prompt.id, ids, tuple(behaviour[mask > 0].tolist()), ending))
        groups.append(Group(recogniser.contexts[int(prompt.id)], tuple(rollouts)))
        totals = [example.reward(prompt.text, text) for text in example.transcripts(recogniser, samples)]
        scores.append([Score(total, {"accuracy": total}) for total in totals])

    algorithm = make_algorithm(
        AlgorithmConfig(
            clip_low=example.CLIP_LOW, clip_high=example.CLIP_HIGH, kl="k3", kl_weight=example.KL_WEIGHT
        )
    )
    samples, stats = algorithm.credit(groups, scores, prompts)
    contexts = [group.context.embeddings_TD for group in groups]
    completions = [[rollout.token_ids for rollout in group.rollouts] for group in groups]
    policy = LanguageModel(lm, END).score(contexts, completions)
    with torch.no_grad():
        reference = LanguageModel(reference_lm, END).score(contexts, completions)
    rollouts = [sample.rollout for sample in samples]
    group_ids = [sample.group for sample in samples]
    weights, count = token_weights(
        [len(rollout.token_ids) for rollout in rollouts],
        group_ids,
        [algorithm.include(sample) for sample in samples],
        algorithm.loss_mean,
    )
    behaviour_NL = torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(rollout.logprobs) for rollout in rollouts], batch_first=True
    )
    loss = algorithm.loss(
        PolicyBatch(
            logprobs_NL=policy.logprobs_NL,
            behaviour_logprobs_NL=behaviour_NL,
            mask_NL=policy.mask_NL,
            advantages_N=torch.tensor([sample.advantage for sample in samples]),
            rewards_N=torch.tensor([sample.score.total for sample in samples]),
            group_N=torch.tensor(group_ids),
            weight_N=torch.tensor(weights),
            reference_logprobs_NL=reference.logprobs_NL,
        )
    )
    lm.zero_grad()
    (loss.total / count).backward()
    torch.nn.utils.clip_grad_norm_(lm.parameters(), 1.0)
    gradients = {name: parameter.grad.clone() for name, parameter in lm.named_parameters()}
    return loss.total.item() / count, loss.sums["kl"] / loss.counts["kl"], stats, gradients


def test_a_whole_step_on_the_same_seed():
    lm, reference_lm = tiny_lm(0), tiny_lm(1)
    recogniser = ToyRecogniser(lm)
    prompts = [
        Prompt("0", "asr", "One two."),
        Prompt("1", "asr", "seven"),
        Prompt("2", "asr", "Four, four, six!"),
    ]
    loss, kl, stats, gradients = library_gradients(
        copy.deepcopy(lm), reference_lm, recogniser, prompts, torch.Generator().manual_seed(3)
    )
    still = torch.optim.SGD(lm.parameters(), lr=0.0)  # leaves the gradient to be looked at
    report = example.step(recogniser, reference_lm, still, prompts, torch.Generator().manual_seed(3))

    assert report.loss == pytest.approx(loss, rel=1e-4)
    assert report.kl == pytest.approx(kl, rel=1e-4)
    assert report.kl > 0.01
    assert report.reward == pytest.approx(stats["reward"])
    assert report.zero_spread_share == pytest.approx(stats["zero_spread_share"])
    for name, parameter in lm.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], rtol=1e-3, atol=1e-5, msg=name)


def test_the_example_learns_the_toy():
    """From a random policy, saying one word must become likelier when the reward asks for it."""
    lm = tiny_lm(0)
    recogniser = ToyRecogniser(lm)
    optimiser = torch.optim.AdamW(lm.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(4)
    prompts = [Prompt(str(i), "asr", "five") for i in range(3)]
    reference_lm = copy.deepcopy(lm)
    rewards = [
        example.step(recogniser, reference_lm, optimiser, prompts, generator).reward for _ in range(25)
    ]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.5
    assert example.evaluate(recogniser, prompts) < 0.5
