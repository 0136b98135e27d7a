"""Speaking and judging with tones for words: what is heard is known exactly."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from speaking_toys import (
    RATE_HZ,
    Broken,
    PerfectJudge,
    TiredJudge,
    ToySynthesiser,
    ears,
    sentence,
    spoken,
    toy_ears,
    words_of,
)
from toys import WORDS

from speechrl.config.schema import EvaluationConfig
from speechrl.errors import RewardError
from speechrl.evaluate import tts
from speechrl.evaluate.sound import Renderer, sounding_s
from speechrl.evaluate.tts import evaluate_model, judge
from speechrl.types import Ending, Output

TEXTS = ("red cat", "blue dog sun moon", "green", "dog dog cat sun red", "moon")


@pytest.fixture
def prompts():
    return [sentence(f"s{index}", text, 0.2 + 0.1 * index) for index, text in enumerate(TEXTS)]


def config(**changes) -> EvaluationConfig:
    return EvaluationConfig(
        **{"batch_size": 2, "max_new_tokens": 5, "vocoder": "fast", "temperature": 1.0, **changes}
    )


def run(prompts, model=None, who=None, **changes):
    return evaluate_model(
        model or ToySynthesiser(),
        {"test": prompts},
        config(**changes),
        torch.device("cpu"),
        ears=who or toy_ears(),
    )


def test_a_row_counts_what_each_judge_heard():
    prompts = [sentence("a", "red cat sun"), sentence("b", "blue dog")]
    said = [spoken("red dog sun moon"), spoken("blue dog", Ending.LENGTH)]
    first, second = judge(toy_ears(), prompts, said, seed=7)
    heard = first.judges["perfect"]
    assert heard.text == "red dog sun moon"
    assert (heard.substitutions, heard.deletions, heard.insertions, heard.words) == (1, 0, 1, 3)
    assert (heard.character_errors, heard.characters) == (7, 9)  # cat -> dog, and moon
    assert (first.judges["deaf"].deletions, first.judges["deaf"].words) == (3, 3)
    assert (first.tokens, first.characters, first.token_ids) == (4, 11, said[0].token_ids)
    assert (first.seed, first.no_stop, second.no_stop) == (7, False, True)
    assert first.duration_s == pytest.approx(0.4)
    assert first.similarity == pytest.approx(1.0, abs=0.01)
    assert first.quality is first.dnsmos is first.log_f0_std is None
    assert first.problems == {}


def test_no_sound_is_silence_and_not_a_failure():
    listening = PerfectJudge()
    who = ears({"listening": listening}, {"similarity": Broken()})
    (row,) = judge(who, [sentence("a", "red cat")], [spoken("")], seed=1)
    assert listening.clips == 0
    assert (row.judges["listening"].text, row.judges["listening"].deletions) == ("", 2)
    assert row.similarity is None
    assert row.speaking_rate is None
    assert row.silent
    assert row.problems == {}


def test_a_second_of_zeros_is_silence_too():
    nothing = replace(spoken("red cat"), waveform=np.zeros(16_000, np.float32), sample_rate_hz=16_000)
    (row,) = judge(toy_ears(), [sentence("a", "red cat")], [nothing], seed=1)
    assert row.silent
    assert (row.similarity, row.quality, row.log_f0_std) == (None, None, None)
    assert row.judges["perfect"].deletions == 2
    assert row.problems == {}


def test_every_sentence_is_spoken_once_per_seed_and_heard_as_it_was_said(prompts):
    found = run(prompts, seeds=[1, 5])
    rows = found.sets["test"].rows
    assert [(row.seed, row.id) for row in rows] == [(seed, f"s{i}") for seed in (1, 5) for i in range(5)]
    for row in rows:
        assert row.judges["perfect"].text.split() == [WORDS[token] for token in row.token_ids]
        assert len(row.token_ids) == row.tokens <= 5
        assert row.no_stop == (row.tokens == 5)
    assert [row.token_ids for row in rows[:5]] != [row.token_ids for row in rows[5:]]
    assert found.seconds["test"] > 0


def test_judges_are_loaded_as_the_evaluation_says(prompts, monkeypatch):
    asked = {}
    monkeypatch.setattr(tts, "load_ears", lambda judges, **how: asked.update(how) or toy_ears())
    evaluate_model(
        ToySynthesiser(), {"test": prompts}, config(timeout_s=7.0, window="short"), torch.device("cpu")
    )
    assert (asked["timeout_s"], asked["window"]) == (7.0, "short")


def test_the_same_seed_says_the_same_and_the_model_stays_as_it_was(prompts):
    model = ToySynthesiser()
    before = {name: weight.clone() for name, weight in model.language_model.state_dict().items()}
    first, second = (run(prompts, model).sets["test"] for _ in range(2))
    assert first == second
    after = model.language_model.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_batches_do_not_share_their_chances():
    # One context under many ids: with chances by place in the batch, every batch would say the same.
    prompts = [sentence("same", "red cat")] * 6
    said = {row.token_ids for row in run(prompts, batch_size=1).sets["test"].rows}
    assert len(said) > 1


def test_greedy_needs_no_chance(prompts):
    one, other = (
        run(prompts, temperature=0.0, seeds=[seed], batch_size=size) for seed, size in ((1, 2), (2, 5))
    )
    assert [row.token_ids for row in one.sets["test"].rows] == [
        row.token_ids for row in other.sets["test"].rows
    ]


def test_each_voice_speaks_for_itself(prompts):
    found = run(prompts, temperature=0.0)
    assert all(
        row.similarity == pytest.approx(1.0, abs=0.02) for row in found.sets["test"].rows if row.tokens
    )


def test_a_failed_judge_is_counted_and_is_no_deletion(prompts):
    found = evaluate_model(
        ToySynthesiser(),
        {"test": prompts * 4},
        config(batch_size=20),
        torch.device("cpu"),
        ears=ears({"perfect": PerfectJudge(), "tired": TiredJudge()}),
    ).sets["test"]
    asleep = [row for row in found.rows if row.problems]
    assert len(asleep) == 1
    assert asleep[0].judges["tired"] is None
    assert asleep[0].judges["perfect"] is not None
    assert asleep[0].problems == {"tired": "took longer than 1 s"}
    numbers = found.to_json(resamples=50)
    assert numbers["failed"] == {"tired": 1}
    words = sum(row.judges["perfect"].words for row in found.rows if not row.problems)
    errors = sum(row.judges["perfect"].errors for row in found.rows if not row.problems)
    assert numbers["judges"]["tired"]["wer"] == pytest.approx(errors / words)


@pytest.mark.parametrize(
    "who", [ears({"tired": TiredJudge()}), ears({"perfect": PerfectJudge()}, {"quality": Broken()})]
)
def test_too_many_failures_end_the_evaluation_with_their_reason(prompts, who):
    with pytest.raises(RewardError, match=r"failed on .* of 5 renderings.*\n.*(took longer|no model)"):
        run(prompts, who=who)


def test_sound_can_be_kept(prompts):
    kept = {}
    evaluate_model(
        ToySynthesiser(),
        {"test": prompts},
        config(),
        torch.device("cpu"),
        ears=toy_ears(),
        keep=lambda name, row, output: kept.update({(name, row.id): (row, output)}),
    )
    assert set(kept) == {("test", prompt.id) for prompt in prompts}
    for row, output in kept.values():
        assert words_of(output.waveform) == row.judges["perfect"].text.split()


def test_sound_is_made_again_from_tokens(prompts):
    said = [spoken("red cat sun"), spoken("", Ending.STOP), spoken("blue", Ending.LENGTH)]
    silent = [Output("", output.ending, output.length, output.token_ids) for output in said]
    made = Renderer(ToySynthesiser())(prompts[:3], silent)
    assert [output.token_ids for output in made] == [output.token_ids for output in said]
    assert [output.ending for output in made] == [output.ending for output in said]
    assert [words_of(output.waveform) for output in made] == [["red", "cat", "sun"], [], ["blue"]]


def test_pauses_do_not_sound():
    pause = np.zeros(RATE_HZ // 2, np.float32)
    tone = 0.3 * np.sin(np.arange(RATE_HZ) * 0.5).astype(np.float32)
    clip = Output("", Ending.STOP, 3, (), np.concatenate([pause, tone, pause]), RATE_HZ)
    assert sounding_s(clip) == pytest.approx(1.0, abs=0.03)
    assert sounding_s(Output("", Ending.STOP, 3, (), pause, RATE_HZ)) == 0.0
    assert sounding_s(Output("", Ending.STOP, 3)) == 0.0
