"""A Whisper encoder written as CTranslate2 does comes back as it was, also from a file that was cut in two."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from speechrl.errors import ModelError
from speechrl.models.asr import whisper_encoder
from speechrl.models.asr.ctranslate2_weights import whisper_encoder_weights

if TYPE_CHECKING:
    from pathlib import Path

TINY = {"encoder_layers": 2, "d_model": 16, "encoder_attention_heads": 2, "encoder_ffn_dim": 64}


def _named(encoder: WhisperEncoder) -> dict[str, torch.Tensor]:
    """The names of CTranslate2's converter: queries, keys and values are one matrix, a key's bias is zero."""
    state = encoder.state_dict()
    named = {
        "encoder/position_encodings/encodings": state["embed_positions.weight"],
        **{
            f"encoder/conv{n}/{part}": state[f"conv{n}.{part}"] for n in (1, 2) for part in ("weight", "bias")
        },
        "encoder/layer_norm/gamma": state["layer_norm.weight"],
        "encoder/layer_norm/beta": state["layer_norm.bias"],
        "decoder/embeddings/weight": torch.zeros(3, 2),
    }
    norms = {"self_attention": "self_attn_layer_norm", "ffn": "final_layer_norm"}
    linears = {"self_attention/linear_1": "self_attn.out_proj", "ffn/linear_0": "fc1", "ffn/linear_1": "fc2"}
    for layer in range(TINY["encoder_layers"]):
        ours, theirs = f"layers.{layer}.", f"encoder/layer_{layer}/"
        for their, our in norms.items():
            named[f"{theirs}{their}/layer_norm/gamma"] = state[f"{ours}{our}.weight"]
            named[f"{theirs}{their}/layer_norm/beta"] = state[f"{ours}{our}.bias"]
        for their, our in linears.items():
            for part in ("weight", "bias"):
                named[f"{theirs}{their}/{part}"] = state[f"{ours}{our}.{part}"]
        fused = {
            part: [state[f"{ours}self_attn.{one}_proj.{part}"] for one in "qv"] for part in ("weight", "bias")
        }
        key = state[f"{ours}self_attn.k_proj.weight"]
        named[f"{theirs}self_attention/linear_0/weight"] = torch.cat(
            [fused["weight"][0], key, fused["weight"][1]]
        )
        named[f"{theirs}self_attention/linear_0/bias"] = torch.cat(
            [fused["bias"][0], torch.zeros(len(key)), fused["bias"][1]]
        )
    return named


def _written(named: dict[str, torch.Tensor]) -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"

    out = [struct.pack("<I", 6), text("WhisperSpec"), struct.pack("<II", 3, len(named))]
    for name, tensor in named.items():
        data = tensor.numpy().astype(np.float32).tobytes()
        shape = struct.pack(f"<B{tensor.dim()}I", tensor.dim(), *tensor.shape)
        out += [text(name), shape, struct.pack("<BI", 0, len(data)), data]
    return b"".join(out)


@pytest.fixture
def encoder() -> WhisperEncoder:
    torch.manual_seed(0)
    encoder = WhisperEncoder(WhisperConfig(**TINY, num_mel_bins=80)).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return encoder


@pytest.mark.parametrize("cut", [None, 1000])
def test_the_encoder_comes_back(
    encoder: WhisperEncoder, cut: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = _written(_named(encoder))
    pieces = [content] if cut is None else [content[:cut], content[cut:]]
    package = tmp_path / "tiny_whisper"
    package.mkdir()
    (package / "__init__.py").touch()
    for number, piece in enumerate(pieces):
        (package / f"part{number}").write_bytes(piece)
    monkeypatch.syspath_prepend(tmp_path)
    parts = tuple(("tiny_whisper", f"part{number}") for number in range(len(pieces)))
    packaged = whisper_encoder.Packaged(
        parts, "tiny-whisper", TINY["encoder_layers"], TINY["d_model"], TINY["encoder_attention_heads"]
    )
    monkeypatch.setitem(whisper_encoder.PACKAGED, "tiny/whisper", packaged)
    frames = whisper_encoder.load_whisper_frames("tiny/whisper")
    assert frames.width == TINY["d_model"]
    mel = torch.randn(1, 80, 3000)
    with torch.no_grad():
        expected = encoder(mel).last_hidden_state
        torch.testing.assert_close(frames.encoder(mel).last_hidden_state, expected, rtol=0, atol=1e-5)


def test_a_piece_that_is_missing_or_cut_short_is_told(encoder: WhisperEncoder, tmp_path: Path) -> None:
    content = _written(_named(encoder))
    whole, half = tmp_path / "whole", tmp_path / "half"
    whole.write_bytes(content)
    half.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"part2: no such model file"):
        whisper_encoder_weights(half, tmp_path / "part2")
    with pytest.raises(ModelError, match="cut short"):
        whisper_encoder_weights(half)
    assert whisper_encoder_weights(whole)["conv1.weight"].shape == (16, 80, 3)


@pytest.mark.parametrize(("name", "width"), [("openai/whisper-tiny.en", 384), ("openai/whisper-base", 512)])
def test_heads_divide_the_width_of_what_packages_carry(name: str, width: int) -> None:
    packaged = whisper_encoder.PACKAGED[name]
    assert packaged.width == width == 64 * packaged.heads
