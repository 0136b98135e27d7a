"""`python -m speechrl.starter.tts`: the steps in their order, each on what the one before wrote, all by one share."""

from __future__ import annotations

import pytest

from speechrl.config.load import load_as
from speechrl.config.token2text import Token2TextRun
from speechrl.starter.tts import __main__ as chain
from speechrl.starter.tts import corpus, mels, sft, token2text, tokenizer

STEPS = (corpus, mels, tokenizer, sft, token2text)


@pytest.fixture
def calls(monkeypatch):
    found = []
    for step in STEPS:
        name = step.__name__.rsplit(".", 1)[1]
        monkeypatch.setattr(step, "main", lambda given, name=name: found.append((name, options(given))))
    return found


def options(given):
    """Option names with their first value."""
    return {
        name: value for name, value in zip(given, [*given[1:], None], strict=True) if name.startswith("--")
    }


def test_the_whole_chain_is_what_each_step_does_by_default(calls, tmp_path):
    chain.main(["--work", str(tmp_path), "--out", "model"])
    assert [name for name, _ in calls] == ["corpus", "mels", "tokenizer", "sft", "token2text"]
    spoken, seen, coded, learned, read = (given for _, given in calls)
    assert (float(spoken["--hours"]), float(spoken["--further-hours"])) == (
        corpus.HOURS,
        corpus.FURTHER_HOURS,
    )
    assert (int(coded["--steps"]), int(learned["--steps"])) == (tokenizer.STEPS, sft.STEPS)
    assert int(coded["--decoder-steps"]) == tokenizer.DECODER_STEPS
    assert float(read["--share"]) == 1
    assert (seen["--corpus"], coded["--mels"]) == (spoken["--out"], seen["--out"])
    for given in (learned, read):
        assert (given["--codes"], given["--tokenizer"]) == (coded["--codes"], coded["--out"])


def test_a_trial_takes_a_share_of_everything_and_goes_on_from_its_own_model(calls):
    chain.main(["--share", "0.1", "--out", "model", "--long", "further"])
    spoken, _, coded, learned, read, further = (given for _, given in calls)
    assert float(spoken["--hours"]) == pytest.approx(0.1 * corpus.HOURS)
    assert float(spoken["--further-hours"]) == pytest.approx(0.1 * corpus.FURTHER_HOURS)
    assert int(coded["--steps"]) == round(0.1 * tokenizer.STEPS)
    assert int(learned["--steps"]) == round(0.1 * sft.STEPS)
    assert float(read["--share"]) == pytest.approx(0.1)
    assert int(further["--steps"]) == round(0.1 * chain.LONG_STEPS)
    assert (further["--init"], further["--out"]) == ("model", "further")


@pytest.mark.parametrize("share", ["0", "-1", "1.5"])
def test_a_share_that_is_none_is_refused_before_anything_is_spoken(calls, share, capsys):
    with pytest.raises(SystemExit):
        chain.main(["--share", share])
    assert f"--share {share}: must be above 0 and at most 1" in capsys.readouterr().err
    assert calls == []


def test_a_share_of_token2text_is_of_its_own_steps(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(token2text, "train_token2text", lambda config, *_, **__: asked.append(config))

    class Tokenizer:
        codebook, config = "of this test", tokenizer.SpeechTokenizerConfig(384, (8, 8))

    for name, share in (("token2text", 1.0), ("token2text", 0.1), ("token2text_judge", 0.1)):
        token2text.train_variant(name, tmp_path, Tokenizer(), tmp_path, share=share)
    full = load_as(Token2TextRun, token2text.CONFIG, []).train.steps
    assert [config.train.steps for config in asked] == [full, round(0.1 * full), 160]
    assert all(config.data.codebook == "of this test" for config in asked)
