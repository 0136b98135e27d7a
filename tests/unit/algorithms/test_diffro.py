"""DiffRO's loss on hand-made batches, and what the hybrid gives to whom."""

import math
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from diffro_toys import CODES, END, TEXTS, toy_sample, toy_token2text

from speechrl.algorithms import diffro as diffro_module
from speechrl.algorithms import make_algorithm
from speechrl.algorithms.base import PolicyBatch
from speechrl.algorithms.diffro import gradients_through, speech_length
from speechrl.algorithms.hybrid import Hybrid
from speechrl.config.schema import AlgorithmConfig
from speechrl.errors import ConfigError, ModelError
from speechrl.models.tts.token2text import Token2Text, Token2TextConfig
from speechrl.models.tts.token2text_parts import HeadSpec
from speechrl.rl.diffro import gumbel_noise
from speechrl.types import Ending, Group, Score, ScoreStatus

SEED = 5
TOKENS = [(0, 1, 6, 2, 7, END), (5, 6, 4, 3, END), (2, 0, 5, 4, 6, 7, 1)]


def algorithm(name="diffro", kl="none", kl_weight=0.1, reward_model=None, policy=None, **diffro):
    config = AlgorithmConfig(name=name, kl=kl, kl_weight=kl_weight, diffro=diffro, **(policy or {}))
    return make_algorithm(config, seed=SEED, reward_model=reward_model or toy_token2text())


def batch(texts=TEXTS[:3], tokens=TOKENS, longest=8, weights=None):
    """Random logits for completions of 5 and 4 codes that stopped and one of 7 that did not."""
    generator = torch.Generator().manual_seed(1)
    rows = len(tokens)
    logits_NLV, reference_NLV = torch.randn(2, rows, 8, CODES + 1, generator=generator)[:, :, :longest]
    lengths_N = torch.tensor([len(ids) for ids in tokens])
    logits_NLV = logits_NLV.clone().requires_grad_()
    zeros_NL = torch.zeros(rows, longest)
    return PolicyBatch(
        logprobs_NL=zeros_NL.clone().requires_grad_(),
        behaviour_logprobs_NL=zeros_NL,
        mask_NL=(torch.arange(longest) < lengths_N[:, None]).float(),
        advantages_N=torch.ones(rows),
        rewards_N=torch.full((rows,), 0.5),
        group_N=torch.arange(rows),
        weight_N=torch.ones(rows) if weights is None else torch.tensor(weights),
        logits_NLV=logits_NLV,
        reference_logits_NLV=reference_NLV,
        samples=tuple(
            toy_sample(text, ids, 1.0, n) for n, (text, ids) in enumerate(zip(texts, tokens, strict=True))
        ),
        noise_keys=tuple((3, 0, place) for place in range(rows)),
    )


def drawn(made):
    """The codes that straight-through Gumbel draws at the speech positions, by hand."""
    rows = []
    for n, sample in enumerate(made.samples):
        length = len(sample.rollout.token_ids) - (sample.rollout.ending is Ending.STOP)
        noise_LK = gumbel_noise((SEED, *made.noise_keys[n]), length, CODES)
        rows.append((made.logits_NLV[n, :length, :CODES] + noise_LK).argmax(-1).tolist())
    return rows


def test_forward_is_the_reward_model_on_the_codes_that_were_drawn():
    made = batch()
    loss = algorithm().loss(made)
    nll_N = toy_token2text().nll(drawn(made), TEXTS[:3])
    assert loss.total.item() == pytest.approx(nll_N.sum().item(), rel=1e-5)
    assert loss.sums["diffro_nll"] / loss.counts["diffro_nll"] == pytest.approx(
        nll_N.sum().item() / (3 + 3 + 4)
    )
    assert loss.sums["diffro_reward"] / loss.counts["diffro_reward"] == pytest.approx(-nll_N.mean().item())
    beliefs = [math.exp(-nll / len(text)) for nll, text in zip(nll_N.tolist(), TEXTS[:3], strict=True)]
    assert loss.sums["diffro_gap"] / 3 == pytest.approx(sum(beliefs) / 3 - 0.5)
    assert loss.sums["diffro_impossible"] == 0


def test_nats_and_belief_are_per_character_as_it_is_spelled_and_the_loss_is_not_divided():
    plain, dotted = (
        algorithm().loss(batch(texts=texts)) for texts in (["abc"] * 3, ["A, b... c!", "abc", "abc"])
    )
    assert dotted.counts["diffro_nll"] == len("a b c") + 3 + 3
    nll_N = toy_token2text().nll(drawn(batch()), ["a b c", "abc", "abc"])
    assert dotted.total.item() == pytest.approx(nll_N.sum().item(), rel=1e-5)
    beliefs = [math.exp(-nll / count) for nll, count in zip(nll_N.tolist(), (5, 3, 3), strict=True)]
    assert dotted.sums["diffro_gap"] / 3 == pytest.approx(sum(beliefs) / 3 - 0.5)
    assert plain.counts["diffro_nll"] == 9


def test_weights_spread_an_utterance_over_its_tokens():
    made = batch(weights=[0.5, 0.0, 2.0])
    first, _, third = toy_token2text().nll(drawn(made), TEXTS[:3]).tolist()
    loss = algorithm().loss(made)
    assert loss.total.item() == pytest.approx(0.5 * first + 2 * third, rel=1e-5)
    assert loss.counts["diffro_reward"] == 2


def test_kl_is_that_of_the_full_vocabulary_over_all_tokens():
    made = batch()
    by_torch_NL = torch.nn.functional.kl_div(
        made.reference_logits_NLV.log_softmax(-1),
        made.logits_NLV.log_softmax(-1),
        log_target=True,
        reduction="none",
    ).sum(-1)
    free, held = algorithm().loss(made), algorithm(kl="full", kl_weight=0.3).loss(made)
    kl = (by_torch_NL * made.mask_NL).sum().item()
    assert held.total.item() - free.total.item() == pytest.approx(0.3 * kl, rel=1e-5)
    assert held.sums["kl"] == pytest.approx(kl, rel=1e-5)
    assert held.counts["kl"] == 6 + 5 + 7
    assert "kl" not in free.sums


@pytest.mark.parametrize("relaxation", ["straight_through", "soft"])
def test_gradient_reaches_the_policy_where_it_speaks_and_nothing_else(relaxation):
    reward_model = toy_token2text().train()
    before = {name: value.clone() for name, value in reward_model.state_dict().items()}
    made = batch()
    algorithm(reward_model=reward_model, relaxation=relaxation).loss(made).total.backward()
    gradient_NLV = made.logits_NLV.grad
    for n, length in enumerate([5, 4, 7]):
        assert (gradient_NLV[n, :length, :CODES].abs().sum(-1) > 0).all()
        assert gradient_NLV[n, length:].abs().sum() == 0  # the end token's position and padding
    assert gradient_NLV[..., END].abs().sum() == 0
    assert not reward_model.training
    assert all(p.grad is None and not p.requires_grad for p in reward_model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in reward_model.state_dict().items())


def test_soft_gradient_by_finite_differences():
    soft = algorithm(relaxation="soft", temperature=0.8)
    made = batch()
    soft.loss(made).total.backward()
    direction_NLV = torch.randn(made.logits_NLV.shape, generator=torch.Generator().manual_seed(2))
    step = 1e-2
    ends = [
        soft.loss(
            replace(made, logits_NLV=made.logits_NLV.detach() + sign * step * direction_NLV)
        ).total.item()
        for sign in (1, -1)
    ]
    slope = (made.logits_NLV.grad * direction_NLV).sum().item()
    assert (ends[0] - ends[1]) / (2 * step) == pytest.approx(slope, rel=5e-3)
    assert abs(slope) > 0.1


def test_a_step_against_the_gradient_makes_the_text_likelier():
    made, soft = batch(), algorithm()
    loss = soft.loss(made)
    loss.total.backward()
    better = replace(made, logits_NLV=made.logits_NLV.detach() - 3.0 * made.logits_NLV.grad)
    assert soft.loss(better).total.item() < 0.7 * loss.total.item()


def test_padding_changes_nothing():
    narrow, wide = batch(longest=7), batch(longest=8)
    losses = []
    for made in (narrow, wide):
        losses.append(algorithm(kl="full").loss(made))
        losses[-1].total.backward()
    assert losses[0].total.item() == pytest.approx(losses[1].total.item(), rel=1e-6)
    torch.testing.assert_close(narrow.logits_NLV.grad, wide.logits_NLV.grad[:, :7])


def test_each_utterance_alone_is_the_same():
    made = batch()
    together = algorithm(kl="full").loss(made)
    alone = 0.0
    for n in range(3):
        picked = {
            name: getattr(made, name)[n : n + 1]
            for name in PolicyBatch.__dataclass_fields__
            if name not in ("reference_logprobs_NL", "progress", "shared")
        }
        alone += algorithm(kl="full").loss(PolicyBatch(**picked)).total.item()
    assert together.total.item() == pytest.approx(alone, rel=1e-5)


def test_noise_is_keyed_by_seed_and_by_what_the_learner_says():
    made = batch()
    other_step = replace(made, noise_keys=tuple((4, 0, place) for place in range(3)))
    other_seed = make_algorithm(
        AlgorithmConfig(name="diffro", kl="none"), seed=6, reward_model=toy_token2text()
    )
    totals = [
        algorithm().loss(made),
        algorithm().loss(made),
        algorithm().loss(other_step),
        other_seed.loss(made),
    ]
    assert totals[0].total.item() == totals[1].total.item()
    assert len({loss.total.item() for loss in totals}) == 3


def test_temperature_is_annealed():
    soft = algorithm(relaxation="soft", temperature=2.0, final_temperature=0.5)
    cool = algorithm(relaxation="soft", temperature=0.5)
    warm = algorithm(relaxation="soft", temperature=2.0)
    assert soft.loss(batch()).total.item() == warm.loss(batch()).total.item()
    assert soft.loss(replace(batch(), progress=1.0)).total.item() == cool.loss(batch()).total.item()
    assert warm.loss(batch()).total.item() != cool.loss(batch()).total.item()


def test_a_text_that_cannot_fit_is_counted_and_moves_nothing():
    made = batch(texts=["abc", "abcdefabcdef", "cafe"])  # 12 letters; 4 codes have 8 frames
    loss = algorithm().loss(made)
    loss.total.backward()
    assert math.isfinite(loss.total.item())
    assert made.logits_NLV.grad.isfinite().all()
    assert made.logits_NLV.grad[1].abs().sum() == 0
    assert loss.sums["diffro_impossible"] / loss.counts["diffro_impossible"] == pytest.approx(1 / 3)
    assert loss.counts["diffro_reward"] == 2


def test_logits_that_are_not_numbers_are_not_hidden():
    made = batch()
    made = replace(made, logits_NLV=made.logits_NLV * math.nan)
    assert math.isnan(algorithm().loss(made).total.item())


def test_heads_add_their_log_probabilities():
    made = batch()
    plain, more = algorithm().loss(made), algorithm(heads={"silence": 0.5}).loss(made)
    tokens = drawn(made)
    reward_model = toy_token2text()
    expected = 0.0
    for ids in tokens:
        lengths_B = torch.tensor([len(ids)])
        hidden_BTD = reward_model.hidden(reward_model.embedding(torch.tensor([ids])), lengths_B)
        expected += reward_model.head_logprobs("silence", hidden_BTD, lengths_B)[0, 1].item()
    assert more.total.item() == pytest.approx(plain.total.item() - 0.5 * expected, rel=1e-5)
    assert more.sums["diffro_silence"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ModelError, match="no head 'mood'"):
        algorithm(heads={"mood": 1.0}).loss(made)


@pytest.mark.parametrize("kl", ["none", "full"])
def test_nothing_counts_gives_a_connected_zero(kl):
    made = batch(weights=[0.0, 0.0, 0.0])
    made = replace(made, logprobs_NL=made.logits_NLV.log_softmax(-1)[..., 0])
    loss = algorithm(kl=kl).loss(made)
    loss.total.backward()
    assert loss.total.item() == 0
    assert torch.equal(made.logits_NLV.grad, torch.zeros_like(made.logits_NLV))


def test_a_batch_without_logits_is_refused():
    with pytest.raises(ValueError, match="logits"):
        algorithm().loss(replace(batch(), logits_NLV=None))


def test_speech_length():
    stopped, _, cut = (sample.rollout for sample in batch().samples)
    assert speech_length(stopped) == 5
    assert speech_length(cut) == 7
    assert speech_length(replace(stopped, ending=Ending.UNPARSABLE)) == 0
    silent = toy_sample("abc", (END,), 1.0, 0)
    assert not algorithm().include(silent)


SAMPLES = {
    "good": toy_sample("abc", (0, 1, END), 0.5, 0),
    "bad": toy_sample("abc", (0, 1, END), -0.5, 0),
    "equal": toy_sample("abc", (0, 1, END), 0.0, 0),
    "good, cut": toy_sample("abc", (0, 1), 0.5, 0),
    "bad, cut": toy_sample("abc", (0, 1), -0.5, 0),
    "good, silent": toy_sample("abc", (END,), 0.5, 0),
}


@pytest.mark.parametrize(
    ("chosen", "taken"),
    [
        ("none", ["good", "bad", "equal", "good, cut", "bad, cut"]),
        ("advantage", ["good", "good, cut"]),
        ("stopped", ["good", "bad", "equal"]),
        ("both", ["good"]),
    ],
)
def test_filters(chosen, taken):
    hybrid = algorithm("hybrid", filter=chosen)
    assert [name for name, sample in SAMPLES.items() if hybrid.parts["diffro"].include(sample)] == taken
    assert all(hybrid.parts["policy"].include(sample) for sample in SAMPLES.values())
    masked = algorithm("hybrid", filter=chosen, policy={"length_cut": "mask"})
    assert not any(part.include(SAMPLES["good, cut"]) for part in masked.parts.values())


def test_parts_of_factor_zero_are_not_there():
    nowhere = AlgorithmConfig(name="hybrid", kl="k3", diffro={"weight": 0.0, "reward_model": "/nowhere"})
    policy = make_algorithm(nowhere)
    assert list(policy.parts) == ["policy"]
    assert not policy.needs_logits
    both = algorithm("hybrid", weight=0.7)
    assert {name: part.factor for name, part in both.parts.items()} == {"policy": 1.0, "diffro": 0.7}
    assert both.needs_logits
    assert list(Hybrid(both.config, both.diffro, policy_weight=0.0).parts) == ["diffro"]


def test_a_reward_model_that_is_not_there_is_named():
    for name in ("diffro", "hybrid"):
        with pytest.raises(ModelError, match="/nowhere: no Token2Text there"):
            make_algorithm(AlgorithmConfig(name=name, diffro={"reward_model": "/nowhere"}))


def test_the_reward_model_is_loaded_from_its_folder(tmp_path):
    toy_token2text().save(tmp_path)
    config = AlgorithmConfig(name="diffro", kl="none", diffro={"reward_model": str(tmp_path)})
    loaded = make_algorithm(config, seed=SEED)
    # Weights lie in half precision.
    assert loaded.loss(batch()).total.item() == pytest.approx(
        algorithm().loss(batch()).total.item(), rel=0.05
    )


class Speaker:
    def __init__(self, task="tts", codes=CODES, codebook="toy"):
        self.task, self.codes, self.codebook = task, codes, codebook


@pytest.mark.parametrize("name", ["diffro", "hybrid"])
def test_policy_and_reward_model_must_mean_the_same(name):
    made = algorithm(name)
    made.check(Speaker())
    with pytest.raises(ConfigError, match="needs a synthesiser"):
        made.check(Speaker(task="asr"))
    with pytest.raises(ModelError, match=r"diffro\.reward_model, package:starter/token2text: .*speech codes"):
        made.check(Speaker(codes=9))
    with pytest.raises(ModelError, match="tokenizer"):
        made.check(Speaker(codebook="other"))
    make_algorithm(AlgorithmConfig()).check(Speaker(task="asr"))


@pytest.mark.parametrize("name", ["diffro", "hybrid"])
def test_heads_are_looked_at_before_the_first_loss(name):
    algorithm(name, heads={"silence": 0.5}).check(Speaker())
    with pytest.raises(
        ConfigError, match=r"algorithm\.diffro\.heads: .* no head 'silense' \(its heads: silence\)"
    ):
        algorithm(name, heads={"silence": 0.5, "silense": 0.5}).check(Speaker())


def test_a_speaker_head_needs_voices_to_choose_from():
    def heard_by(voices_KD):
        config = Token2TextConfig(
            CODES, "toy", width=8, layers=1, heads={"speaker": HeadSpec(("ann", "bob"))}
        )
        return algorithm(reward_model=Token2Text(config, voices_KD), heads={"speaker": 1.0})

    heard_by(torch.eye(2)).check(Speaker())
    with pytest.raises(ConfigError, match=r"algorithm\.diffro\.heads: the head 'speaker' .* no voices"):
        heard_by(None).check(Speaker())


@pytest.mark.parametrize(
    ("architecture", "device", "cudnn"),
    [("gru", "cuda", False), ("gru", "cpu", True), ("convnext", "cuda", True)],
)
def test_a_recurrent_reward_model_keeps_off_cudnn_which_has_no_gradient_in_evaluation_mode(
    architecture, device, cudnn
):
    model = Token2Text(Token2TextConfig(CODES, "toy", architecture, width=8, layers=1)).eval()
    before = torch.backends.cudnn.enabled
    with gradients_through(model, torch.device(device)):
        assert torch.backends.cudnn.enabled == (before and cudnn)
    assert torch.backends.cudnn.enabled == before


def test_the_reward_model_is_asked_where_gradients_pass(monkeypatch):
    inside, asked = [], []

    @contextmanager
    def around(model, device):
        inside.append(device)
        yield
        inside.pop()

    monkeypatch.setattr(diffro_module, "gradients_through", around)
    made = algorithm()
    made.reward_model.backbone.register_forward_hook(lambda *_: asked.append(list(inside)))
    made.loss(batch()).total.backward()
    assert asked == [[torch.device("cpu")]]


def test_diffro_alone_gives_every_group_a_lesson():
    policy = {"length_cut": "mask"}
    made = algorithm(policy=policy)
    assert made.include(SAMPLES["equal"])
    assert made.moves(SAMPLES["equal"])
    assert not made.include(SAMPLES["bad, cut"])


@pytest.mark.parametrize("name", ["diffro", "hybrid"])
def test_what_the_reward_model_reads_in_rollouts_is_told_unless_a_reward_told_it(name):
    """By hand: `abc` is said, then `bad` with a letter too many, then nothing; only what was judged is read."""
    texts, said = ("abc", "bad", "fed", "abc"), ((0, 1, 2, END), (1, 0, 0, 3, END), (END,), (0, 1, 2, END))
    samples = [toy_sample(text, ids, 1.0, n) for n, (text, ids) in enumerate(zip(texts, said, strict=True))]

    class Reader(Token2Text):
        def transcribe(self, tokens, batch_size=32):
            return ["".join("abcdef"[code] for code in ids) for ids in tokens]

    made = algorithm(name, reward_model=Reader(Token2TextConfig(CODES, "toy", width=24, layers=1, kernel=3)))
    groups = [Group(sample.context, (sample.rollout,)) for sample in samples]
    prompts = [sample.prompt for sample in samples]
    scores = [[sample.score] for sample in samples]
    scores[3] = [Score(math.nan, {}, ScoreStatus.FAILED, "raised")]
    _, stats = made.credit(groups, scores, prompts)
    assert (stats["letter_errors"], stats["letters"]) == (0 + 1 + 3, 9)
    assert stats["token_cer"] == pytest.approx(4 / 9)
    scores[0] = [replace(scores[0][0], metrics={"token_cer": 0.5})]
    assert "token_cer" not in made.credit(groups, scores, prompts)[1]
