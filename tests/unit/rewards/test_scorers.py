"""What the scorers do around their models; the models themselves are heard in tests/integration/test_scorers.py."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from speechrl.config.schema import RewardConfig, RewardsConfig
from speechrl.errors import ConfigError, MissingExtraError, ModelError
from speechrl.rewards.scorers import quality
from speechrl.rewards.scorers.clips import at_16_khz, is_silent, transcribe_pieces
from speechrl.rewards.scorers.moonshine import _read_pieces
from speechrl.rewards.scorers.packages import Package, cache_folder, join_parts
from speechrl.rewards.scorers.pitch import log_f0_std
from speechrl.rewards.scorers.recogniser import (
    FolderRecogniser,
    check_judges,
    check_recogniser,
    load_recogniser_judge,
)
from speechrl.rewards.scorers.whisper import WhisperRecogniser
from speechrl.types import Ending, Output


def tone(rate_hz: int, seconds: float = 1.0, hz: float = 440.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(rate_hz * seconds)) / rate_hz).astype(np.float32)


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 48_000])
def test_a_tone_is_the_same_tone_at_16_khz(rate_hz: int) -> None:
    heard = at_16_khz((tone(rate_hz), rate_hz))
    assert heard.dtype == np.float32
    assert len(heard) == 16_000
    # The edges ring.
    assert np.abs(heard - tone(16_000))[500:-500].max() < 0.01


def test_sound_that_is_none() -> None:
    assert len(at_16_khz((np.zeros(0, np.float32), 22_050))) == 0
    assert is_silent(np.zeros(0, np.float32))
    assert is_silent(np.full(100, 1e-5, np.float32))
    assert not is_silent(tone(16_000))
    with pytest.raises(ValueError, match="mono"):
        at_16_khz((np.zeros((2, 100), np.float32), 16_000))
    with pytest.raises(ValueError, match="not finite"):
        at_16_khz((np.array([0.0, np.nan], np.float32), 16_000))


@pytest.mark.parametrize(
    ("f0", "std"),
    [
        ([100.0, 100.0, 100.0], 0.0),
        # Natural logarithm, population form: one octave apart is ln 2 / 2.
        ([100.0, 200.0], np.log(2) / 2),
        ([200.0, 400.0], np.log(2) / 2),
        ([100.0, np.nan, 0.0, 200.0, np.inf], np.log(2) / 2),
        ([np.nan, 0.0, -1.0], 0.0),
        ([120.0], 0.0),
        ([], 0.0),
    ],
)
def test_log_f0_std(f0: list[float], std: float) -> None:
    assert log_f0_std(f0) == pytest.approx(std)


def test_long_clips_are_cut_where_it_is_quiet() -> None:
    samples = tone(16_000, 70.0)
    samples[27 * 16_000 : 28 * 16_000] = 0
    parts: list[np.ndarray] = []

    def count(pieces: list[np.ndarray]) -> list[str]:
        parts.extend(pieces)
        return [f" {i} " for i in range(len(pieces))]

    silence, short = np.zeros(16_000, np.float32), tone(16_000)
    texts = transcribe_pieces([(silence, 16_000), (samples, 16_000), (short, 16_000)], count)
    assert texts == ["", "0 1 2", "3"]
    assert np.array_equal(parts.pop(), short)
    assert 27 * 16_000 <= len(parts[0]) <= 28 * 16_000
    assert all(len(part) <= 30 * 16_000 for part in parts)
    assert np.array_equal(np.concatenate(parts), samples)


def test_quality_segments_cover_a_clip_evenly() -> None:
    (padded,) = quality._segments(tone(16_000))
    assert padded.shape == (122_880,)
    assert not padded[16_000:].any()
    long = torch.arange(122_880 + 16_001, dtype=torch.float32)
    assert [int(part[0]) for part in quality._segments(long.numpy())] == [0, 8000, 16_001]


def test_halves_are_joined_once(tmp_path: Path) -> None:
    halves = [tmp_path / "a", tmp_path / "b"]
    for half, content in zip(halves, (b"one ", b"two"), strict=True):
        half.write_bytes(content)
    target = tmp_path / "cache" / "model.bin"
    join_parts(halves, target)
    assert target.read_bytes() == b"one two"
    written = target.stat().st_mtime_ns
    join_parts(halves, target)
    assert target.stat().st_mtime_ns == written
    target.write_bytes(b"cut")
    join_parts(halves, target)
    assert target.read_bytes() == b"one two"
    assert sorted(file.name for file in target.parent.iterdir()) == ["model.bin"]
    with pytest.raises(ModelError, match="XDG_CACHE_HOME"):
        join_parts([tmp_path / "none"], target)


def test_cache_is_where_the_user_wants_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("x") == tmp_path / "speechrl" / "x"


def test_a_missing_package_is_named_with_its_pip_line() -> None:
    with pytest.raises(MissingExtraError, match=r"quality needs .* pip install --no-deps no-such==1"):
        Package("no_such_package", "quality", "--no-deps no-such==1").folder()


def test_moonshine_pieces_of_any_length(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.bin"
    long = b"x" * 200
    file.write_bytes(b"\x03<s>\x01a\x04</s>\x02bc\x00" + bytes([128 + 200 % 128, 200 // 128]) + long)
    assert _read_pieces(file) == [b"", b"", b"", b"bc", b"", long]


def rewards(*terms: tuple[str, dict[str, object]]) -> RewardsConfig:
    return RewardsConfig(terms=[RewardConfig(name=name, options=options) for name, options in terms])


@pytest.mark.parametrize(
    ("judge", "term"),
    [
        ("whisper-tiny.en", ("recogniser", {})),
        ("openai/whisper-tiny.en", ("recogniser_nll", {})),
        ("whisper-base", ("recogniser", {"recogniser": "openai/whisper-base"})),
        ("package:starter/asr", ("recogniser", {"recogniser": "package:starter/asr"})),
    ],
)
def test_a_judge_must_not_be_in_the_reward(judge: str, term: tuple[str, dict[str, object]]) -> None:
    with pytest.raises(ConfigError, match=rf"{judge} is also the recogniser of the reward '{term[0]}'"):
        check_judges(["moonshine-tiny", judge], rewards(("duration", {}), term))


def test_other_judges_may_listen() -> None:
    check_judges(["whisper-base", "moonshine-tiny"], rewards(("recogniser", {}), ("token_accuracy", {})))
    check_judges(["whisper-tiny.en"], rewards(("token_accuracy", {}), ("my.py:reward", {}), ("quality", {})))


def test_an_unknown_recogniser_is_told_with_a_suggestion(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no hub")

    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(pipeline=unreachable))
    with pytest.raises(ModelError, match=r"did you mean 'whisper-tiny\.en'"):
        load_recogniser_judge("whisper-tiny")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("whisper-tiny", r"recogniser 'whisper-tiny': .*did you mean 'whisper-tiny\.en'"),
        ("runs/mine/model", "neither a known name nor a folder"),
        ("package:starter/tts", "speaks, and so cannot judge"),
        ("package:starter/arr", "does not ship"),
    ],
)
def test_a_recogniser_that_is_not_there_is_told_before_it_is_loaded(name: str, told: str) -> None:
    with pytest.raises((ModelError, ConfigError), match=told):
        check_recogniser(name)


def test_a_folder_or_what_a_hub_may_have_is_taken_for_a_recogniser(tmp_path: Path) -> None:
    for name in ("package:starter/asr", str(tmp_path), "openai/whisper-large-v3"):
        check_recogniser(name)


class SpelledOut:
    """A language model that answers each context with the tokens it holds, then the end token 0."""

    end_token_id = 0

    def prefill(self, contexts):
        return self._prefix([list(context) for context in contexts])

    def append(self, prefix, tokens_B):
        return self._prefix([rest[1:] for rest in prefix.rest])

    def _prefix(self, rest):
        logits_BV = torch.zeros(len(rest), 10)
        for row, tokens in enumerate(rest):
            logits_BV[row, tokens[0] if tokens else 0] = 1
        return SimpleNamespace(logits_BV=logits_BV, rest=rest)


def test_a_folder_recogniser_reads_until_its_end_token() -> None:
    model = SimpleNamespace(
        language_model=SpelledOut(),
        encode=lambda prompts: [[len(prompt.audio) // 1000, 7] for prompt in prompts],
        transcript=lambda rollout: Output(" ".join(map(str, rollout.token_ids)), Ending.LENGTH, 0),
    )
    clips = [(tone(16_000, 0.3), 16_000), (np.zeros(800, np.float32), 16_000), (tone(16_000, 0.2), 16_000)]
    assert FolderRecogniser(model).transcribe(clips) == ["4 7", "", "3 7"]  # type: ignore[arg-type]


def test_whoever_repeats_himself_in_a_short_window_is_heard_again_in_a_full_one(monkeypatch) -> None:
    recogniser = WhisperRecogniser.__new__(WhisperRecogniser)
    recogniser._short, recogniser._batch_size = True, 2
    recogniser._tokenizer = SimpleNamespace(decode=lambda ids: f"{len(ids)} tokens")
    asked = []

    def generate(pieces, *, short):
        asked.append((short, [len(piece) for piece in pieces]))
        # The clip of 500 samples makes the short window loop, up to the cap of 4 tokens.
        return [[0] * (4 if short and len(piece) == 500 else 3) for piece in pieces], 4

    monkeypatch.setattr(recogniser, "_generate", generate)
    pieces = [np.ones(count, np.float32) for count in (700, 500, 600)]
    assert recogniser._transcribe(pieces) == ["3 tokens"] * 3
    assert asked == [(True, [500, 600]), (True, [700]), (False, [500])]


@pytest.mark.parametrize("seconds", [0.1, 0.505, 0.9])
def test_silence_behind_a_short_clip_is_convolved_once_and_alike(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "_SEGMENT", 16_000)
    torch.manual_seed(0)
    network = quality._Network().eval().requires_grad_(False)
    waves = torch.zeros(2, 16_000)
    waves[0, : int(seconds * 16_000)] = torch.randn(int(seconds * 16_000))
    waves[1, :1000] = torch.randn(1000)
    whole = network.convolve(waves)
    torch.testing.assert_close(network.features(waves), whole)
    # What a frame beyond the clip says depends on how far it is from the end.
    assert not torch.allclose(whole[0, :, -1], whole[0, :, -3])
