"""How a batch is cut, ordered or padded must not change what is learned from it."""

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor, nn

from speechrl.algorithms import make_algorithm
from speechrl.algorithms.base import PolicyBatch
from speechrl.config.schema import AlgorithmConfig
from speechrl.rl.reduce import token_weights

VOCABULARY, WIDTH, GROUPS, MEMBERS, LONGEST = 11, 6, 8, 3, 7
CASES = [
    (name, mean, kl)
    for name in ("grpo", "gspo", "mwer", "sft")
    for mean in ("token", "sequence", "group")
    for kl in ("k3", "full")
]


class Policy(nn.Module):
    """A next-token model small enough to differentiate in float64: the embedding of one token predicts the next."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(6)
        shape = {"generator": generator, "dtype": torch.float64}
        self.embedding = nn.Parameter(torch.randn(VOCABULARY, WIDTH, **shape))
        self.out = nn.Parameter(torch.randn(WIDTH, VOCABULARY, **shape))

    def forward(self, tokens_NL: Tensor) -> Tensor:
        return self.embedding[tokens_NL.roll(1, dims=1)] @ self.out


def make_batch(policy, algorithm):
    """A rollout batch: ragged, with an excluded completion in every other group, and a policy that has moved on."""
    generator = torch.Generator().manual_seed(7)
    rows = GROUPS * MEMBERS
    tokens_NL = torch.randint(VOCABULARY, (rows, LONGEST), generator=generator)
    lengths = torch.randint(1, LONGEST + 1, (rows,), generator=generator)
    group_N = torch.arange(GROUPS).repeat_interleave(MEMBERS)
    include = [row % (2 * MEMBERS) != 0 for row in range(rows)]
    weights, count = token_weights(lengths.tolist(), group_N.tolist(), include, algorithm.loss_mean)
    rewards_N = torch.randn(rows, generator=generator, dtype=torch.float64)
    logits_NLV = policy(tokens_NL)
    logprobs_NL = logits_NLV.log_softmax(-1).gather(-1, tokens_NL[..., None])[..., 0]
    noise = lambda: 0.3 * torch.randn(rows, LONGEST, generator=generator, dtype=torch.float64)  # noqa: E731
    batch = PolicyBatch(
        logprobs_NL=logprobs_NL,
        behaviour_logprobs_NL=logprobs_NL.detach() + noise(),
        mask_NL=(torch.arange(LONGEST) < lengths[:, None]).double(),
        advantages_N=torch.ones_like(rewards_N) if algorithm.teacher else rewards_N - rewards_N.mean(),
        rewards_N=rewards_N,
        group_N=group_N,
        weight_N=torch.tensor(weights, dtype=torch.float64),
        reference_logprobs_NL=logprobs_NL.detach() + noise(),
        logits_NLV=logits_NLV,
        reference_logits_NLV=logits_NLV.detach() + noise()[..., None] * torch.arange(VOCABULARY),
    )
    return batch, count


def rows_of(batch, rows):
    return replace(batch, **{name: value[rows] for name, value in tensors_of(batch).items()})


def tensors_of(batch):
    made = {field.name: getattr(batch, field.name) for field in fields(batch)}
    return {name: value for name, value in made.items() if isinstance(value, Tensor)}


def learn(algorithm, policy, micro_batches, count):
    """Loss and gradient of an update: micro-batches add up; the one division is by the count of the whole batch."""
    policy.zero_grad()
    total, sums, counts = 0.0, {}, {}
    losses = [algorithm.loss(batch) for batch in micro_batches]
    (sum(loss.total for loss in losses) / count).backward()
    for loss in losses:
        total += loss.total.item() / count
        for name in loss.sums:
            sums[name] = sums.get(name, 0.0) + loss.sums[name]
            counts[name] = counts.get(name, 0.0) + loss.counts[name]
    metrics = {name: sums[name] / counts[name] for name in sums}
    return total, metrics, [parameter.grad.clone() for parameter in policy.parameters()]


def assert_same(ours, theirs):
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-10, atol=1e-12)
    assert ours[1] == pytest.approx(theirs[1], rel=1e-9, abs=1e-12)
    for mine, other in zip(ours[2], theirs[2], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-11)
    assert max(gradient.abs().max() for gradient in ours[2]) > 1e-6


@pytest.fixture(params=CASES, ids="-".join)
def case(request):
    name, mean, kl = request.param
    algorithm = make_algorithm(AlgorithmConfig(name=name, loss_mean=mean, kl=kl))
    policy = Policy()
    batch, count = make_batch(policy, algorithm)
    return algorithm, policy, batch, count


def test_eight_micro_batches_equal_one(case):
    algorithm, policy, _, count = case
    whole = learn(algorithm, policy, [make_batch(policy, algorithm)[0]], count)
    batch, _ = make_batch(policy, algorithm)
    groups = [rows_of(batch, batch.group_N == group) for group in range(GROUPS)]
    assert_same(learn(algorithm, policy, groups, count), whole)


def test_order_does_not_matter(case):
    algorithm, policy, batch, count = case
    order = torch.randperm(GROUPS * MEMBERS, generator=torch.Generator().manual_seed(8))
    whole = learn(algorithm, policy, [make_batch(policy, algorithm)[0]], count)
    assert_same(learn(algorithm, policy, [rows_of(batch, order)], count), whole)


def test_padding_does_not_matter(case):
    algorithm, policy, batch, count = case
    whole = learn(algorithm, policy, [make_batch(policy, algorithm)[0]], count)
    wider = {
        name: torch.cat([value, torch.full_like(value[:, :2], fill)], dim=1)
        for name, value in tensors_of(batch).items()
        if value.ndim > 1
        for fill in [0.0 if name == "mask_NL" else -77.0]
    }
    assert_same(learn(algorithm, policy, [replace(batch, **wider)], count), whole)


def test_an_idle_micro_batch_adds_nothing(case):
    algorithm, policy, batch, count = case
    whole = learn(algorithm, policy, [make_batch(policy, algorithm)[0]], count)
    idle = replace(batch, weight_N=torch.zeros_like(batch.weight_N))
    assert_same(learn(algorithm, policy, [batch, idle], count), whole)
