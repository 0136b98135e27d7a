"""L = L_GRPO(all) + w L_DiffRO(filtered), each over its own count: at its limits, under any split, sample by sample."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from diffro_toys import CODES, TEXTS, toy_speaker, toy_spoken, toy_token2text

from speechrl.algorithms import make_algorithm
from speechrl.algorithms.diffro import DiffRO
from speechrl.algorithms.grpo import GRPO
from speechrl.algorithms.hybrid import Hybrid
from speechrl.config.schema import AlgorithmConfig, TrainConfig
from speechrl.train.learner import Learner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from speechrl.algorithms.base import Algorithm
    from speechrl.types import Sample

ADVANTAGES = [[1.0, -0.5, 0.2], [0.0, 0.0, 0.0], [0.7, -0.7, 0.4], [-1.0, 0.3, 0.6], [0.0, 0.0, 0.0]]


def algorithm(
    name: str, *, policy_weight: float | None = None, seed: int = 3, diffro: Any = None, **options: Any
) -> Algorithm:
    config = AlgorithmConfig(name=name, diffro=diffro or {}, **({"kl": "full"} | options))
    if policy_weight is not None:
        return Hybrid(config, DiffRO(config, toy_token2text(), seed), policy_weight)
    return make_algorithm(config, seed=seed, reward_model=toy_token2text())


class Trial:
    """A learner on a fresh toy, whose gradients and forward passes can be looked at."""

    def __init__(self, chosen: Algorithm, *, keep_weights: bool = False, **train: Any) -> None:
        settings = {
            "precision": "fp32",
            "warmup_steps": 0,
            "learning_rate": 1e-3,
            "max_grad_norm": 1e9,
        } | train
        self.model = toy_speaker()
        self.samples = toy_spoken(self.model, ADVANTAGES)
        self.learner = Learner(self.model, chosen, TrainConfig(**settings))
        self.gradients: dict[str, Tensor] = {}
        self.forwards: list[int] = []
        step, score = self.learner._optimizer.step, self.learner._score

        def look() -> None:
            self.gradients = {
                n: p.grad.clone() for n, p in self.model.named_parameters() if p.grad is not None
            }
            if not keep_weights:
                step()

        def count(model: Any, batch: Any, *, keep_logits: bool) -> Any:
            self.forwards.append(len(batch.samples))
            return score(model, batch, keep_logits=keep_logits)

        self.learner._optimizer.step = look  # type: ignore[method-assign, assignment]
        self.learner._score = count  # type: ignore[method-assign]

    def update(self, step: int = 1, samples: Sequence[Sample] | None = None) -> dict[str, float]:
        return dict(self.learner.update(self.samples if samples is None else samples, step).metrics)


def gradients(chosen: Algorithm, samples: Sequence[Sample] | None = None, **train: Any) -> dict[str, Tensor]:
    trial = Trial(chosen, keep_weights=True, **train)
    trial.update(samples=samples)
    return trial.gradients


def assert_identical(one: Trial, other: Trial) -> None:
    """Three updates give the same metrics, forward passes and weights, to the last bit."""
    for step in (1, 2, 3):
        assert one.update(step) == other.update(step)
    assert one.forwards == other.forwards
    theirs = other.learner.weights()
    assert all(torch.equal(value, theirs[name]) for name, value in one.learner.weights().items())


@pytest.mark.parametrize("kl", ["none", "k3", "full"])
def test_hybrid_of_weight_zero_is_grpo(kl: str) -> None:
    options = {"kl": kl, "diffro": {"weight": 0.0, "reward_model": "/nowhere"}}
    hybrid = make_algorithm(AlgorithmConfig.model_validate({"name": "hybrid", **options}))
    assert_identical(
        Trial(hybrid, tokens_per_microbatch=60), Trial(GRPO(AlgorithmConfig(kl=kl)), tokens_per_microbatch=60)
    )


@pytest.mark.parametrize("kl", ["none", "full"])
def test_hybrid_of_policy_weight_zero_is_diffro(kl: str) -> None:
    hybrid = algorithm("hybrid", policy_weight=0.0, kl=kl, diffro={"filter": "none"})
    assert_identical(Trial(hybrid), Trial(algorithm("diffro", kl=kl)))


@pytest.mark.parametrize("loss_mean", ["token", "sequence", "group"])
@pytest.mark.parametrize("chosen", ["none", "advantage", "stopped", "both"])
def test_the_whole_is_the_sum_of_its_parts(loss_mean: Any, chosen: Any) -> None:
    """Gradients of GRPO on all and of DiffRO on what passes, each computed alone, add up to the hybrid's."""
    diffro = {"filter": chosen, "weight": 0.7}
    policy = gradients(algorithm("grpo", loss_mean=loss_mean))
    relaxed = gradients(algorithm("hybrid", policy_weight=0.0, loss_mean=loss_mean, diffro=diffro))
    both = gradients(algorithm("hybrid", loss_mean=loss_mean, diffro=diffro))
    for name, gradient in both.items():
        torch.testing.assert_close(gradient, policy[name] + relaxed[name], atol=1e-6, rtol=1e-4)
    assert sum(float(gradient.square().sum()) for gradient in relaxed.values()) > 1e-6


def test_diffro_is_divided_by_the_tokens_that_pass_its_filter() -> None:
    """By hand: the reward model on the drawn codes of the samples that pass, over their tokens."""
    seen: list[Any] = []
    hybrid = algorithm("hybrid", policy_weight=0.0, kl="none", diffro={"filter": "both"})
    assert isinstance(hybrid, Hybrid)
    assert hybrid.diffro is not None
    hybrid.diffro.loss = lambda batch, loss=hybrid.diffro.loss: seen.append(loss(batch)) or seen[-1]  # type: ignore
    trial = Trial(hybrid)
    metrics = trial.update()
    taken = [sample for sample in trial.samples if hybrid.takes(sample)]
    assert 0 < len(taken) < len(trial.samples)
    tokens = sum(len(sample.rollout.token_ids) for sample in taken)
    assert metrics["loss"] == pytest.approx(float(seen[0].total.detach()) / tokens)
    assert metrics["loss"] == pytest.approx(-seen[0].sums["diffro_reward"] / tokens, rel=1e-5)
    assert metrics["samples/diffro"] == len(taken) / len(trial.samples)


@pytest.mark.parametrize("loss_mean", ["token", "sequence", "group"])
@pytest.mark.parametrize("kl", ["none", "full"])
@pytest.mark.parametrize(("name", "chosen"), [("diffro", "none"), ("hybrid", "both"), ("hybrid", "none")])
def test_the_split_into_micro_batches_changes_nothing(
    name: str, chosen: Any, kl: str, loss_mean: Any
) -> None:
    found = []
    for budget in (1, 60, 10**6):
        chosen_algorithm = algorithm(name, kl=kl, loss_mean=loss_mean, diffro={"filter": chosen})
        trial = Trial(chosen_algorithm, keep_weights=True, tokens_per_microbatch=budget)
        found.append((trial.update(), trial.gradients, len(trial.forwards)))
    (_, _, many), _, (whole, whole_gradients, one) = found
    assert many > one
    for metrics, split, _ in found[:2]:
        assert metrics == pytest.approx(whole, rel=1e-4, abs=1e-6)
        for parameter, gradient in whole_gradients.items():
            torch.testing.assert_close(split[parameter], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("budget", [1, 10**6])
def test_nothing_that_passes_the_filter_is_grpo(budget: int) -> None:
    cut = [replace(s, advantage=-abs(s.advantage)) for s in Trial(algorithm("grpo")).samples]
    ours = gradients(algorithm("hybrid"), cut, tokens_per_microbatch=budget)
    theirs = gradients(algorithm("grpo"), cut, tokens_per_microbatch=budget)
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], atol=1e-7, rtol=1e-5)
    metrics = Trial(algorithm("hybrid")).update(samples=cut)
    assert metrics["samples/diffro"] == 0
    assert metrics["loss/diffro"] == 0
    assert metrics["loss"] == metrics["loss/policy"]


def test_one_seed_repeats_itself_and_another_does_not() -> None:
    runs = []
    for seed in (3, 3, 4):
        trial = Trial(algorithm("hybrid", seed=seed))
        metrics = [trial.update(step) for step in (1, 2)]
        runs.append((metrics, trial.learner.weights()))
    assert runs[0][0] == runs[1][0] != runs[2][0]
    assert all(torch.equal(value, runs[1][1][name]) for name, value in runs[0][1].items())


def test_every_update_on_a_batch_draws_anew() -> None:
    """With the weights held still, the second update of a batch differs from the first by its noise alone."""
    seen: list[float] = []
    relaxed = algorithm("diffro", kl="none")
    relaxed.loss = lambda batch, loss=relaxed.loss: seen.append(loss(batch)) or seen[-1]  # type: ignore
    Trial(relaxed, keep_weights=True, updates_per_batch=2).update()
    assert seen[0].total.item() != seen[1].total.item()  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["diffro", "hybrid"])
def test_the_reward_model_stays_as_it_is(name: str) -> None:
    chosen = algorithm(name)
    reward_model = chosen.reward_model if isinstance(chosen, DiffRO) else chosen.diffro.reward_model  # type: ignore
    before = {key: value.clone() for key, value in reward_model.state_dict().items()}
    trial = Trial(chosen)
    trial.learner.policy.train()
    for step in (1, 2):
        trial.update(step)
    assert all(torch.equal(value, before[key]) for key, value in reward_model.state_dict().items())
    assert all(parameter.grad is None for parameter in reward_model.parameters())
    assert not reward_model.training
    assert not any(key.startswith("reward") for key in trial.learner.state_dict()["weights"])
    moved: list[torch.device] = []
    reward_model.to = moved.append
    trial.learner.to(torch.device("cpu"))
    assert moved == [torch.device("cpu")]


def test_both_curves_tell_what_they_are_of() -> None:
    """And what both parts could report is GRPO's, which is over all samples, once."""
    found = []
    for name in ("hybrid", "grpo"):
        trial = Trial(algorithm(name))
        assert trial.learner._reference is not None
        trial.learner._reference.load_state_dict(toy_speaker(seed=1).state_dict())
        found.append(trial.update())
    metrics, grpo = found
    assert metrics["loss"] == pytest.approx(metrics["loss/policy"] + metrics["loss/diffro"])
    assert metrics["samples/policy"] == 1.0  # the KL moves all of them
    assert {"diffro_nll", "diffro_reward", "diffro_gap", "diffro_impossible"} < metrics.keys()
    assert grpo["kl"] > 0.01
    shared = ("kl", "ratio", "clip_share", "entropy", "logprob_gap")
    assert {name: metrics[name] for name in shared} == {name: grpo[name] for name in shared}
    assert "loss/policy" not in grpo


# --- samples that cannot move the policy are not read -----------------------------------------------------------------


def read_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GRPO, "moves", lambda self, sample: True)


@pytest.mark.parametrize("loss_mean", ["token", "sequence", "group"])
@pytest.mark.parametrize("name", ["grpo", "gspo", "hybrid"])
@pytest.mark.parametrize("updates", [1, 2])
def test_leaving_out_zero_advantages_is_the_same_update(
    name: str, loss_mean: Any, updates: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"updates_per_batch": updates}
    fewer = Trial(algorithm(name, kl="none", loss_mean=loss_mean), **train)
    metrics = fewer.update()
    assert sum(fewer.forwards) == updates * 9
    assert metrics["samples/policy"] == 9 / 15
    read_everything(monkeypatch)
    everything = Trial(algorithm(name, kl="none", loss_mean=loss_mean), **train)
    all_metrics = everything.update()
    assert sum(everything.forwards) == updates * 15
    for parameter, gradient in everything.gradients.items():
        torch.testing.assert_close(fewer.gradients[parameter], gradient, atol=1e-6, rtol=1e-4)
    for same in ("loss", "grad_norm", "completion_length"):
        assert metrics[same] == pytest.approx(all_metrics[same], rel=1e-4, abs=1e-7)


def test_what_another_part_needs_is_read() -> None:
    """Without the advantage in the filter, DiffRO learns from samples of groups without spread."""
    trial = Trial(algorithm("hybrid", kl="none", diffro={"filter": "none"}))
    metrics = trial.update()
    assert sum(trial.forwards) == 15
    assert metrics["samples/policy"] == 9 / 15
    assert metrics["samples/diffro"] == 1.0


def test_with_a_kl_every_sample_is_read() -> None:
    trial = Trial(algorithm("grpo", kl="k3"))
    trial.update()
    assert sum(trial.forwards) == 2 * 15  # policy and reference


def test_a_batch_without_any_spread_is_one_step_of_momentum(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    for _ in range(2):
        trial = Trial(algorithm("grpo", kl="none"))
        trial.update(1)
        metrics = trial.update(2, [replace(sample, advantage=0.0) for sample in trial.samples])
        runs.append((metrics, trial.learner.weights(), trial.forwards[-1]))
        read_everything(monkeypatch)
    (metrics, weights, read), (all_metrics, all_weights, all_read) = runs
    assert (read, all_read) == (1, 15)
    assert metrics["grad_norm"] == all_metrics["grad_norm"] == 0.0
    assert metrics["samples/policy"] == 0.0
    for name, value in weights.items():
        torch.testing.assert_close(value, all_weights[name], atol=1e-6, rtol=1e-5)


def test_toys_speak_the_toy_language() -> None:
    """What the tests above stand on: some samples stopped, some did not, and the reward model knows letters."""
    endings = {sample.rollout.ending for sample in Trial(algorithm("grpo")).samples}
    assert len(endings) == 2
    assert toy_token2text().transcribe([[0, 6, 1, 7, 2]]) == [TEXTS[0]]
    assert toy_token2text().config.vocabulary == CODES
