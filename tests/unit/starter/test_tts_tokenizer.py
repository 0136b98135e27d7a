import json
from pathlib import Path

import numpy as np
import pytest
import torch

from speechrl.models.tts.speech_codes import at_token_times, to_16_khz
from speechrl.models.tts.speech_tokenizer import (
    SpeechTokenizer,
    SpeechTokenizerConfig,
    load_speech_tokenizer,
)
from speechrl.starter.tts.mels import read_seen
from speechrl.starter.tts.tokenizer import (
    BATCH_CROPS,
    CONTENT_WIDTH,
    TokenizerTraining,
    draw,
    read_codes,
    read_training_data,
    set_mel_statistics,
    train_decoder,
    write_codes,
)


def small() -> SpeechTokenizer:
    torch.manual_seed(0)
    sizes = {"width": 16, "frame_width": 8, "encoder_blocks": 1, "decoder_blocks": 1, "frame_blocks": 1}
    return SpeechTokenizer(SpeechTokenizerConfig(content_width=CONTENT_WIDTH, **sizes))


@pytest.fixture
def mels(tmp_path: Path) -> Path:
    """Six utterances of two voices in one shard, one of them for dev; speech is a ramp over time plus noise."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "mels"
    folder.mkdir()
    tokens, rows, start = [30, 12, 60, 5, 25, 9], [], 0
    for index, count in enumerate(tokens):
        row = {"id": f"u{index}", "text": f"text {index}", "voice": "ab"[index % 2]}
        split = "dev" if index == 5 else "train"
        rows.append(json.dumps(row | {"split": split, "start": start, "tokens": count}))
        start += count
    frames = np.linspace(-8, -2, start * 4)[:, None] + rng.normal(0, 0.1, (start * 4, 80))
    np.save(folder / "shard-00000.mel.npy", frames.astype(np.float16))
    np.save(folder / "shard-00000.content.npy", rng.normal(size=(start, CONTENT_WIDTH)).astype(np.float16))
    np.save(folder / "shard-00000.voices.npy", np.eye(6, 256, dtype=np.float16))
    (folder / "shard-00000.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    return folder


def test_states_are_read_at_the_middle_of_each_token():
    """State i stands for i + 1/2 fiftieths of a second; a ramp stays a ramp under interpolation."""
    token_s = 1024 / 22050
    states = (torch.arange(50) + 0.5)[:, None] / 50
    read = at_token_times(states, 20)
    expected = (torch.arange(20) + 0.5)[:, None] * token_s
    assert torch.allclose(read, expected, atol=1e-4)
    assert at_token_times(states[:1], 3).tolist() == [states[0].tolist()] * 3


def test_resampling_keeps_time_and_pitch():
    tone = np.sin(2 * np.pi * 441 * np.arange(22050) / 22050).astype(np.float32)
    heard = to_16_khz(tone)
    assert len(heard) == 16000
    assert int(np.abs(np.fft.rfft(heard)).argmax()) == 441


def test_crops_are_pieces_of_their_utterance_in_their_voice(mels: Path):
    seen = read_training_data(mels)
    assert [one.id for one in seen] == ["u0", "u1", "u2", "u3", "u4"]
    codes = [np.arange(len(one.mel_TM) // 4, dtype=np.uint16) + 100 * index for index, one in enumerate(seen)]
    crops = draw(seen, codes, np.random.default_rng(0))
    for place in range(BATCH_CROPS):
        count = int(crops.tokens_B[place])
        first = int(crops.codes_BN[place, 0])
        owner, start = divmod(first, 100)
        assert torch.equal(crops.codes_BN[place, :count], torch.arange(first, first + count))
        wanted = torch.from_numpy(seen[owner].mel_TM[start * 4 : (start + count) * 4].astype(np.float32))
        assert torch.equal(crops.mel_BTM[place, : count * 4], wanted)
        assert not crops.mel_BTM[place, count * 4 :].any()
        lender = int(crops.voice_BD[place].argmax())
        assert seen[lender].voice == seen[owner].voice


def test_loss_ignores_padding_and_reaches_every_weight(mels: Path):
    seen = read_training_data(mels)
    training = TokenizerTraining(small(), seen)
    crops = draw(seen, None, np.random.default_rng(0))
    loss, parts, codes = training(crops)
    assert len(codes) == int(crops.tokens_B.sum())
    assert set(parts) == {"l1", "content"}
    loss.backward()
    assert all(weight.grad is not None for weight in training.parameters())
    beyond = torch.arange(crops.mel_BTM.shape[1]) >= 4 * crops.tokens_B[:, None]
    crops.mel_BTM[beyond] = 50.0
    crops.content_BND[beyond[:, ::4]] = 50.0
    assert torch.allclose(training(crops)[0], loss, atol=1e-5)


def test_codes_are_those_of_each_utterance_alone_and_stay_when_the_decoder_learns(mels: Path, tmp_path: Path):
    tokenizer, out = small(), tmp_path / "codes"
    set_mel_statistics(tokenizer, read_training_data(mels))
    tokenizer.save(tmp_path / "tokenizer")
    tokenizer = load_speech_tokenizer(tmp_path / "tokenizer")
    assert write_codes(tokenizer, mels, out) == 1
    assert write_codes(tokenizer, mels, out) == 0
    coded = list(read_codes(out))
    assert [one.split for one in coded] == ["train"] * 5 + ["dev"]
    for one, seen in zip(coded, read_seen(mels, "shard-00000"), strict=True):
        mel = torch.from_numpy(seen.mel_TM.astype(np.float32))[None]
        states = torch.from_numpy(seen.content_ND.astype(np.float32))[None]
        alone = tokenizer.encode(mel, torch.tensor([mel.shape[1]]), states)
        assert torch.equal(alone[0], torch.from_numpy(one.codes.astype(int)))
        assert np.array_equal(one.voice_vector, seen.voice_vector)

    before, mouth = tokenizer.codebook, tokenizer.fine.weight.clone()
    train_decoder(tokenizer, mels, out, steps=2, seed=1)
    assert tokenizer.codebook == before
    assert not torch.equal(tokenizer.fine.weight, mouth)
    assert not any(weight.requires_grad for weight in tokenizer.parameters())
