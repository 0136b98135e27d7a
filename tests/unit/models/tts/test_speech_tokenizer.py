from pathlib import Path

import pytest
import torch

from speechrl.errors import ModelError
from speechrl.models.tts.mel import BANDS
from speechrl.models.tts.speech_tokenizer import (
    SpeechTokenizer,
    SpeechTokenizerConfig,
    load_speech_tokenizer,
)


def small(content_width: int = 0) -> SpeechTokenizer:
    torch.manual_seed(0)
    sizes = {"width": 16, "frame_width": 8, "encoder_blocks": 1, "decoder_blocks": 2, "frame_blocks": 1}
    return SpeechTokenizer(SpeechTokenizerConfig(content_width=content_width, voice_width=6, **sizes)).eval()


def test_codes_are_a_quarter_of_the_frames_and_of_one_book():
    tokenizer = small()
    assert tokenizer.codes == 7 * 5 * 5 * 5
    codes = tokenizer.encode(torch.randn(2, 23, BANDS) - 5, torch.tensor([23, 11]))
    assert codes.shape == (2, 5)
    assert codes.dtype == torch.int64
    assert 0 <= int(codes.min()) <= int(codes.max()) < 875
    assert codes[1, 2:].tolist() == [0, 0, 0]


@pytest.mark.parametrize("content_width", [0, 12])
def test_padding_and_what_lies_in_it_change_nothing(content_width: int):
    tokenizer = small(content_width)
    mel = torch.randn(1, 20, BANDS) - 5
    content = torch.randn(1, 5, content_width) if content_width else None
    alone = tokenizer.encode(mel, torch.tensor([20]), content)
    padded_mel = torch.cat([mel, torch.full((1, 16, BANDS), 99.0)], 1)
    padded_content = (
        None if content is None else torch.cat([content, torch.full((1, 4, content_width), 9.0)], 1)
    )
    both = tokenizer.encode(
        padded_mel.expand(2, -1, -1),
        torch.tensor([20, 36]),
        None if padded_content is None else padded_content.expand(2, -1, -1),
    )
    assert torch.equal(both[0, :5], alone[0])

    voice = torch.randn(1, 6)
    heard = tokenizer.decode(alone, voice, torch.tensor([5]))
    padded = torch.cat([alone, torch.full((1, 4), 874)], 1)
    heard_padded = tokenizer.decode(padded.expand(2, -1), voice.expand(2, -1), torch.tensor([5, 9]))
    assert torch.allclose(heard_padded[0, :20], heard[0], atol=1e-5)
    assert torch.allclose(heard_padded[0, 20:], torch.tensor(1e-5).log())
    assert not torch.allclose(heard_padded[1, 20:], torch.tensor(1e-5).log())


def test_the_voice_is_heard():
    tokenizer = small()
    codes = torch.randint(0, 875, (2, 4)).expand(2, 4)[:1].expand(2, 4)
    mel = tokenizer.decode(codes, torch.eye(6)[:2], torch.tensor([4, 4]))
    assert not torch.allclose(mel[0], mel[1])


def test_gradient_passes_the_quantiser():
    tokenizer = small()
    tokens = torch.tensor([3])
    embedded, _ = tokenizer.quantised(torch.randn(1, 12, BANDS), tokens, None)
    coarse, fine = tokenizer.spoken(embedded, torch.randn(1, 6), tokens)
    (coarse.square().mean() + fine.square().mean()).backward()
    for part in (tokenizer.read_mel, tokenizer.quantiser.project_in, tokenizer.read_voice, tokenizer.fine):
        assert float(part.weight.grad.abs().sum()) > 0


def test_decoding_codes_is_decoding_what_was_quantised():
    tokenizer = small()
    mel, lengths = torch.randn(1, 16, BANDS) - 5, torch.tensor([16])
    embedded, codes = tokenizer.quantised(mel, lengths // 4, None)
    assert torch.allclose(tokenizer.quantiser.indices_to_codes(codes), embedded, atol=1e-5)


def test_saved_and_loaded_is_the_same(tmp_path: Path):
    tokenizer = small(12)
    tokenizer.mel_mean.fill_(-4.0)
    tokenizer.save(tmp_path)
    loaded = load_speech_tokenizer(tmp_path)
    again = load_speech_tokenizer(tmp_path)
    assert loaded.config == tokenizer.config
    assert loaded.codebook == again.codebook == tokenizer.codebook
    assert len(loaded.codebook) == 16
    assert float(loaded.mel_mean[0]) == -4.0
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert torch.allclose(loaded.fine.weight, tokenizer.fine.weight, atol=1e-3)


def test_fingerprint_follows_the_encoder_and_not_the_decoder():
    tokenizer = small()
    before = tokenizer.codebook
    with torch.no_grad():
        for part in tokenizer.decoder_parts():
            for parameter in part.parameters():
                parameter.add_(1.0)
    assert tokenizer.codebook == before
    with torch.no_grad():
        tokenizer.quantiser.project_in.weight.add_(0.1)
    assert tokenizer.codebook != before


def test_every_weight_either_makes_codes_or_learns_on():
    tokenizer = small(12)
    decoding = {id(weight) for part in tokenizer.decoder_parts() for weight in part.parameters()}
    encoding = {name for name, weight in tokenizer.named_parameters() if id(weight) not in decoding}
    roots = {name.split(".")[0] for name in encoding}
    assert roots == {"read_mel", "read_content", "encoder", "encoder_norm", "quantiser"}
    assert {name for name in encoding if name.startswith("quantiser")} == {
        "quantiser.project_in.weight",
        "quantiser.project_in.bias",
    }


def test_recogniser_states_are_given_exactly_when_wanted():
    mel, lengths = torch.zeros(1, 8, BANDS), torch.tensor([8])
    with pytest.raises(ModelError, match="width 12"):
        small(12).encode(mel, lengths)
    with pytest.raises(ModelError, match="given 3"):
        small().encode(mel, lengths, torch.zeros(1, 2, 3))


def test_a_damaged_folder_is_refused(tmp_path: Path):
    with pytest.raises(ModelError, match="not found"):
        load_speech_tokenizer(tmp_path)
    small().save(tmp_path)
    (tmp_path / "speech_tokenizer.safetensors").write_bytes(b"12345678")
    with pytest.raises(ModelError, match="damaged"):
        load_speech_tokenizer(tmp_path)


def test_quiet_differences_are_pressed_together_and_come_back():
    config = SpeechTokenizerConfig(width=8, frame_width=8, quiet_slope=0.2)
    tokenizer = SpeechTokenizer(config)
    mel = torch.tensor([-12.0, -7.0, -2.0])[:, None].expand(3, BANDS)[None]
    seen = tokenizer.normalised(mel)[0, :, 0] * tokenizer.mel_std[0] + tokenizer.mel_mean[0]
    assert seen.tolist() == pytest.approx([-8.0, -7.0, -2.0])

    # A decoder that says -7.5 everywhere means 2.5 below -7.
    wanted = (torch.tensor([-7.5]) - tokenizer.mel_mean) / tokenizer.mel_std
    for layer in (tokenizer.coarse, tokenizer.fine):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    tokenizer.fine.bias.data.copy_(wanted)
    heard = tokenizer.decode(torch.zeros(1, 2, dtype=torch.long), torch.zeros(1, 256), torch.tensor([2]))
    assert torch.allclose(heard, torch.tensor(-9.5), atol=1e-4)
