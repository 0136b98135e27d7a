"""What the adapters do between models, which are stand-ins or untrained here, and the mixer."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from speechrl.config.schema import RewardConfig, RewardsConfig
from speechrl.errors import ConfigError, ModelError
from speechrl.models.tts.token2text import Token2Text, Token2TextConfig
from speechrl.rewards.base import RewardMixer
from speechrl.rewards.scorers.clips import Clip
from speechrl.rewards.tts import spoken_accuracy
from speechrl.rewards.tts_judges import (
    PitchSpread,
    Quality,
    RecogniserAccuracy,
    RecogniserLikelihood,
    TokenAccuracy,
    VoiceSimilarity,
)
from speechrl.types import Ending, Output, Prompt

SCORERS = "speechrl.rewards.scorers"
VOICE = np.ones(4, np.float32)
PROMPT = Prompt("p", "tts", "hello there", audio=VOICE, sample_rate_hz=16_000)


def sound(*samples: float) -> Output:
    return Output("", Ending.STOP, 3, (1, 2, 3), np.array(samples, np.float32), 22_050)


MUTE = Output("", Ending.STOP, 3, (1, 2, 3))


class Parrot:
    """Hears what a dictionary says of the first sample; also plays the other scorers."""

    def transcribe(self, clips: Sequence[Clip]) -> list[str]:
        assert all(rate_hz == 22_050 for _, rate_hz in clips)
        return [{1: "hello there", 2: "hello"}.get(int(samples[0]), "") for samples, _ in clips]

    def similarity(self, clips: Sequence[Clip], references: Sequence[Clip]) -> list[float]:
        assert all(reference[0] is VOICE for reference in references)
        return [float(samples[0]) for samples, _ in clips]

    def mos(self, clips: Sequence[Clip]) -> list[float]:
        return [float(samples[0]) for samples, _ in clips]

    spreads = mos


def test_recogniser_judges_in_order_and_fails_what_has_no_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{SCORERS}.recogniser.load_recogniser_judge", lambda name, window: Parrot())
    verdicts = RecogniserAccuracy(shape="exp").judge([sound(1), MUTE, sound(2), sound(0)], [PROMPT] * 4)
    assert [verdict.heard for verdict in verdicts] == ["hello there", None, "hello", ""]
    assert [verdicts[i].value for i in (0, 2, 3)] == pytest.approx([1.0, math.exp(-1.25), math.exp(-2.5)])
    assert verdicts[1].problem.startswith("needs a waveform")


def test_only_a_whisper_knows_how_likely_a_text_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{SCORERS}.recogniser.load_recogniser_judge", lambda name, window: Parrot())
    with pytest.raises(ConfigError, match="moonshine-tiny cannot tell"):
        RecogniserLikelihood(recogniser="moonshine-tiny")


def test_similarity_needs_a_reference_voice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{SCORERS}.speaker.SpeakerScorer", Parrot)
    unknown, mute = Prompt("q", "tts", "hi"), Prompt("r", "tts", "hi", audio=np.zeros(99, np.float32))
    spoken = [sound(value) for value in (0.2, 0.3, 0.35, 0.4)]
    verdicts = VoiceSimilarity().judge(spoken, [PROMPT, unknown, mute, PROMPT])
    values = [0.2, math.nan, math.nan, 0.4]
    assert [verdict.value for verdict in verdicts] == pytest.approx(values, nan_ok=True)
    assert "no reference voice" in verdicts[1].problem
    assert "silent reference voice" in verdicts[2].problem


def test_quality_and_pitch_log_what_they_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{SCORERS}.quality.DistillMOS", lambda precision: Parrot())
    monkeypatch.setattr(f"{SCORERS}.pitch.PitchTracker", Parrot)
    (verdict,) = Quality().judge([sound(4.0)], [PROMPT])
    assert (verdict.value, verdict.metrics) == (0.75, {"distillmos": 4.0})
    (verdict,) = PitchSpread(cap=0.25).judge([sound(0.5)], [PROMPT])
    assert (verdict.value, verdict.metrics) == (0.25, {"log_f0_std": 0.5})


@pytest.fixture
def token2text(tmp_path: Path) -> str:
    torch.manual_seed(3)
    config = Token2TextConfig(vocabulary=10, codebook="abc", width=8, layers=1, kernel=3)
    Token2Text(config).save(tmp_path / "t2t")
    return str(tmp_path / "t2t")


def test_tokens_are_read_without_sound(token2text: str) -> None:
    terms = [
        RewardConfig(name=name, options={"model": token2text}) for name in ("token_accuracy", "token_nll")
    ]
    group = [Output("", Ending.STOP, n, tuple(i % 10 for i in range(n))) for n in (30, 12, 3)]
    with RewardMixer(RewardsConfig(terms=terms)) as mixer:
        assert not mixer.hears
        assert {model.config.codebook for model in mixer.token2texts.values()} == {"abc"}
        ((long, _, short),) = mixer.score([group], [PROMPT])
        model = mixer.token2texts["token_nll"]
    (heard,) = model.transcribe([group[0].token_ids])
    assert long.heard == heard
    assert long.terms["token_accuracy"] == spoken_accuracy(PROMPT.text, heard, unit="letter")
    nll = float(model.nll([group[0].token_ids], [PROMPT.text])[0])
    assert long.terms["token_nll"] == pytest.approx(math.exp(-nll / len(PROMPT.text) / 3))
    # Three tokens are six frames, too few for eleven characters: impossible, and no failure.
    assert short.terms["token_nll"] == 0.0


@pytest.mark.parametrize("name", ["token_accuracy", "token_nll"])
def test_what_reads_tokens_says_how_much_it_misreads(token2text: str, name: str) -> None:
    output = Output("", Ending.STOP, 30, tuple(i % 10 for i in range(30)))
    term = RewardConfig(name=name, options={"model": token2text})
    with RewardMixer(RewardsConfig(terms=[term])) as mixer:
        ((score,),) = mixer.score([[output]], [PROMPT])
        (read,) = mixer.token2texts[name].transcribe([output.token_ids])
    assert score.metrics["letters"] == len("hellothere")
    assert score.metrics["token_cer"] == score.metrics["letter_errors"] / score.metrics["letters"]
    assert score.metrics["token_cer"] == 1 - spoken_accuracy(PROMPT.text, read, unit="letter", floor=None)


def test_a_token2text_of_other_codes_is_named_with_its_term_and_folder(token2text: str) -> None:
    reader = RewardConfig(name="token_nll", options={"model": token2text})
    terms = [RewardConfig(name="duration"), reader]
    other = SimpleNamespace(codes=10, codebook="xyz")
    with RewardMixer(RewardsConfig(terms=terms)) as mixer:
        mixer.check(SimpleNamespace(codes=10, codebook="abc"))  # type: ignore[arg-type]
        with pytest.raises(ModelError, match=rf"of the reward 'token_nll', {token2text}: .*'abc'.*'xyz'"):
            mixer.check(other)  # type: ignore[arg-type]


def test_a_token_of_another_vocabulary_fails_alone(token2text: str) -> None:
    judge = TokenAccuracy(model=token2text)
    foreign = Output("", Ending.STOP, 1, (99,))
    with RewardMixer(
        RewardsConfig(
            terms=[RewardConfig(name="token_accuracy", options={"model": token2text})], max_failed_share=1.0
        )
    ) as mixer:
        ((good, bad),) = mixer.score([[MUTE, foreign]], [PROMPT])
    assert good.total == judge.judge([MUTE], [PROMPT])[0].value
    assert "token 99" in bad.reason
