from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from toys import toy_language_model, toy_samples

from speechrl.algorithms import make_algorithm
from speechrl.config.schema import AlgorithmConfig, TrainConfig
from speechrl.train.learner import Learner
from speechrl.train.microbatches import pack
from speechrl.train.tree import join, split
from speechrl.types import Ending

if TYPE_CHECKING:
    from speechrl.algorithms.base import Loss, PolicyBatch
    from speechrl.models.language_model import CompletionScores, LanguageModel
    from speechrl.train.microbatches import MicroBatch
    from speechrl.types import Sample

ADVANTAGES = [[1.0, -1.0, 0.5, -0.5], [2.0, -2.0, 0.0, 0.0], [0.3, 0.3, -0.3, -0.3]]


def learner(
    model: LanguageModel, lora_rank: int = 0, algorithm: dict[str, Any] | None = None, **train: Any
) -> Learner:
    settings = {"precision": "fp32", "warmup_steps": 0, "learning_rate": 1e-2} | train
    config = AlgorithmConfig(**(algorithm or {}))
    return Learner(model, make_algorithm(config), TrainConfig(**settings), lora_rank=lora_rank)


def logprob(model: LanguageModel, sample: Sample) -> float:
    with torch.no_grad():
        scores = model.eval().score([sample.context.embeddings_TD], [[sample.rollout.token_ids]])
    return float(scores.logprobs_NL.sum())


@pytest.mark.parametrize("name", ["grpo", "gspo", "mwer"])
def test_better_than_its_siblings_becomes_likelier(name: str) -> None:
    model = toy_language_model()
    samples = toy_samples(model, [[1.0, -1.0]])
    before = [logprob(model, sample) for sample in samples]
    learner(model, algorithm={"name": name, "kl": "none"}, learning_rate=1e-3).update(samples, 1)
    after = [logprob(model, sample) for sample in samples]
    assert after[0] - before[0] > 0.01
    assert after[1] - before[1] < -0.01


def test_zero_advantage_changes_nothing() -> None:
    model = toy_language_model()
    before = copy.deepcopy(model.state_dict())
    report = learner(model, algorithm={"kl": "none"}).update(toy_samples(model, [[0.0, 0.0]]), 1)
    assert report.metrics["grad_norm"] == 0.0
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_metrics_by_hand() -> None:
    model = toy_language_model()
    samples = [
        replace(s, rollout=replace(s.rollout, logprobs=tuple(p + 0.25 for p in s.rollout.logprobs)))
        for s in toy_samples(model, [[1.0, -1.0]], lengths=(2, 5))
    ]
    metrics = learner(model, learning_rate=0.5, warmup_steps=4).update(samples, 1).metrics
    assert metrics["logprob_gap"] == pytest.approx(0.25, abs=1e-5)
    assert metrics["completion_length"] == (3 + 6) / 2
    assert metrics["learning_rate"] == 0.125
    assert metrics["kl"] == pytest.approx(0.0, abs=1e-6)
    assert metrics["non_finite"] == 0.0
    assert 0 < metrics["entropy"] < 2.08  # ln 8
    # Ratio is e^-0.25 = 0.7788 everywhere, below 1 - 0.2: the negative one is clipped at 0.8, the positive one is not.
    assert metrics["loss"] == pytest.approx((-0.7788 * 3 + 0.8 * 6) / 9, abs=1e-4)
    assert metrics["clip_share"] == pytest.approx(6 / 9)


def test_a_budget_packs_whole_groups() -> None:
    samples = toy_samples(toy_language_model(), ADVANTAGES)
    batches = pack(samples, range(len(samples)), budget=70)
    assert sorted(place for batch in batches for place in batch.places) == list(range(len(samples)))
    assert len(batches) > 1
    for batch in batches:
        assert all(len({sample.group for sample in group}) == 1 for group in batch.groups)
        for sample, place in zip(batch.samples, batch.places, strict=True):
            assert sample is samples[place]
    assert [len(batch.groups) for batch in pack(samples, range(len(samples)), budget=1)] == [1, 1, 1]
    assert [len(batch.groups) for batch in pack(samples, range(len(samples)), budget=10**6)] == [3]
    chosen = pack(samples, [5, 0, 2], budget=10**6)[0]
    assert [[sample.rollout for sample in group] for group in chosen.groups] == [
        [samples[0].rollout, samples[2].rollout],
        [samples[5].rollout],
    ]


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_a_loss_that_is_not_finite_leaves_the_weights_alone(bad: float) -> None:
    model = toy_language_model()
    teacher = learner(model)
    good = toy_samples(model, [[1.0, -1.0]])
    before = copy.deepcopy(model.state_dict())
    report = teacher.update([replace(good[0], advantage=bad), good[1]], 1)
    assert report.metrics["non_finite"] == 1.0
    assert not report.updated
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert teacher.update(good, 2).updated
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_nothing_to_learn_from_is_no_update() -> None:
    report = learner(toy_language_model()).update([], 1)
    assert not report.updated
    assert report.metrics["non_finite"] == 0.0


def gradients(model: LanguageModel, samples: list[Sample], **settings: Any) -> dict[str, torch.Tensor]:
    """What one update would step along: the clipped gradient."""
    teacher, found = learner(model, **settings), {}

    def keep() -> None:
        found.update({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})

    teacher._optimizer.step = keep  # type: ignore[method-assign, assignment]
    teacher.update(samples, 1)
    return found


def test_rollouts_that_were_cut_can_be_left_out() -> None:
    model = toy_language_model()
    kept, cut = toy_samples(model, [[1.0, -1.0]])
    cut = replace(cut, rollout=replace(cut.rollout, ending=Ending.LENGTH))
    algorithm = {"length_cut": "mask", "kl": "none"}
    masked = gradients(model, [kept, cut], algorithm=algorithm)
    alone = gradients(model, [kept], algorithm=algorithm)
    for name, gradient in masked.items():
        torch.testing.assert_close(gradient, alone[name], atol=1e-6, rtol=1e-5)
    both = gradients(model, [kept, cut], algorithm={"kl": "none"})
    assert any(not torch.allclose(masked[name], both[name], atol=1e-3) for name in both)


def test_later_updates_are_off_the_policy_before_the_first() -> None:
    model = toy_language_model()
    samples = toy_samples(model, [[1.0, -1.0]])
    own = torch.tensor(samples[0].rollout.logprobs)
    engine = [
        replace(s, rollout=replace(s.rollout, logprobs=(0.0,) * len(s.rollout.logprobs))) for s in samples
    ]
    seen: list[PolicyBatch] = []
    teacher = learner(model, algorithm={"kl": "none"}, updates_per_batch=3)
    original = teacher._algorithm.loss

    def spy(batch: PolicyBatch) -> Loss:
        seen.append(batch)
        return original(batch)

    teacher._algorithm.loss = spy  # type: ignore[method-assign]
    metrics = teacher.update(engine, 1).metrics
    behaviour = [batch.behaviour_logprobs_NL[0, : len(own)] for batch in seen]
    assert torch.equal(behaviour[0], torch.zeros_like(own))
    for later in behaviour[1:]:
        torch.testing.assert_close(later, own)
    assert not torch.allclose(seen[2].logprobs_NL[0, : len(own)].detach(), own)
    assert metrics["logprob_gap"] == pytest.approx(
        -sum(sum(s.rollout.logprobs) for s in samples) / sum(len(s.rollout.logprobs) for s in samples),
        rel=1e-4,
    )


@pytest.mark.parametrize("lora_rank", [0, 4])
@pytest.mark.parametrize("kl", ["k3", "full"])
def test_the_reference_stays_where_training_began(lora_rank: int, kl: str) -> None:
    model = toy_language_model()
    samples = toy_samples(model, ADVANTAGES)
    teacher = learner(model, lora_rank, algorithm={"kl": kl, "kl_weight": 0.1})
    kls = [teacher.update(samples, step).metrics["kl"] for step in (1, 2, 3)]
    assert kls[0] == pytest.approx(0.0, abs=1e-6)
    assert kls[2] > kls[1] > 1e-5


def test_adapters_train_and_merge_into_a_plain_model() -> None:
    model, plain = toy_language_model(), toy_language_model()
    samples = toy_samples(model, ADVANTAGES)
    teacher = learner(model, lora_rank=4, algorithm={"kl": "none"})
    for step in (1, 2):
        teacher.update(samples, step)
    trained = [logprob(model, sample) for sample in samples]
    assert trained[0] != pytest.approx(logprob(plain, samples[0]), abs=1e-3)
    plain.load_state_dict(teacher.weights())
    assert [logprob(plain, sample) for sample in samples] == pytest.approx(trained, abs=1e-4)
    finished = teacher.finish()
    assert set(finished.state_dict()) == set(plain.state_dict())
    assert [logprob(finished, sample) for sample in samples] == pytest.approx(trained, abs=1e-4)


def test_bf16_learns_the_same_direction() -> None:
    gaps = {}
    for precision in ("fp32", "bf16"):
        model = toy_language_model()
        samples = toy_samples(model, [[1.0, -1.0]])
        before = logprob(model, samples[0])
        report = learner(model, precision=precision, learning_rate=1e-3).update(samples, 1)
        gaps[precision] = report.metrics["logprob_gap"]
        assert logprob(model, samples[0]) > before
    assert gaps["fp32"] < 1e-6 < gaps["bf16"] < 0.05


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_saved_and_loaded_it_goes_on_bit_for_bit(lora_rank: int) -> None:
    samples = toy_samples(toy_language_model(), ADVANTAGES)
    torch.manual_seed(5)
    first = learner(toy_language_model(), lora_rank)
    first.update(samples, 1)
    tree, tensors = split(first.state_dict())
    expected = first.update(samples, 2)
    second = learner(toy_language_model(), lora_rank)
    second.load_state_dict(join(json.loads(json.dumps(tree)), tensors))
    assert second.update(samples, 2) == expected
    for name, value in first.weights().items():
        assert torch.equal(value, second.weights()[name]), name


@pytest.mark.parametrize("lora_rank", [0, 4])
def test_the_reference_reads_a_batch_once_however_many_updates(lora_rank: int) -> None:
    model = toy_language_model()
    samples = toy_samples(model, ADVANTAGES)
    teacher = learner(model, lora_rank, updates_per_batch=3, tokens_per_microbatch=1)
    calls: list[int] = []
    original = teacher._score_reference

    def spy(batch: MicroBatch) -> CompletionScores:
        calls.append(batch.samples[0].group)
        return original(batch)

    teacher._score_reference = spy  # type: ignore[method-assign]
    kl = teacher.update(samples, 1).metrics["kl"]
    assert sorted(calls) == [0, 1, 2]
    assert kl > 0


def test_updates_before_one_that_is_not_finite_are_owned_up_to() -> None:
    model = toy_language_model()
    teacher = learner(model, updates_per_batch=2)
    before = copy.deepcopy(model.state_dict())
    step, calls = teacher._optimizer.step, []

    def spoil() -> None:
        step()
        calls.append(1)
        next(model.parameters()).data.fill_(float("nan"))

    teacher._optimizer.step = spoil  # type: ignore[method-assign, assignment]
    report = teacher.update(toy_samples(model, [[1.0, -1.0]]), 1)
    assert len(calls) == 1
    assert report.updated
    assert report.metrics["non_finite"] == 1.0
    assert any(not torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_state_of_another_rank_is_refused() -> None:
    narrow, wide = (learner(toy_language_model(), lora_rank=rank) for rank in (1, 4))
    with pytest.raises(RuntimeError, match="has shape"):
        wide.load_state_dict(narrow.state_dict())


@pytest.mark.parametrize(("kl", "kept"), [("k3", False), ("full", True)])
def test_logits_of_the_reference_are_kept_where_they_are_read(kl: str, kept: bool) -> None:
    model = toy_language_model()
    teacher = learner(model, algorithm={"kl": kl})
    asked = []
    score = teacher._score

    def spy(*arguments: Any, keep_logits: bool) -> CompletionScores:
        asked.append((arguments[0] is teacher._reference, keep_logits))
        return score(*arguments, keep_logits=keep_logits)

    teacher._algorithm.needs_logits = True
    teacher._score = spy  # type: ignore[method-assign, assignment]
    teacher.update(toy_samples(model, [[1.0, -1.0]]), 1)
    assert asked == [(False, True), (True, kept)]
