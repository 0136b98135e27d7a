"""A recogniser that knows nothing, small enough to train in a test, and speech-like data for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

WORDS = ("red", "green", "blue", "one", "two", "three")
RATE_HZ = 16_000


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a saved recogniser with random weights: a Whisper encoder of one layer, a Qwen3 of two."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import (
        PreTrainedTokenizerFast,
        Qwen3Config,
        Qwen3ForCausalLM,
        WhisperConfig,
        WhisperModel,
    )

    from speechrl.models.asr.adapter import StackingAdapter
    from speechrl.models.asr.recogniser import AudioEncoder, Recogniser, RecogniserConfig
    from speechrl.models.asr.whisper_encoder import load_whisper_frames
    from speechrl.models.language_model import LanguageModel

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    whisper = WhisperConfig(
        d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=32, decoder_ffn_dim=32, **heads
    )
    WhisperModel(whisper).save_pretrained(folder / "whisper")
    frames = load_whisper_frames(str(folder / "whisper"))
    tokens = ["<s>", "</s>", "<pad>", "<unk>", *WORDS]
    words = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    language_model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokens), hidden_size=16, intermediate_size=32, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, head_dim=8, bos_token_id=0, eos_token_id=1,
        )
    )  # fmt: skip
    encoder = AudioEncoder(frames, StackingAdapter(frames.width, 4, 16, 16, len(tokens)))
    config = RecogniserConfig(str(folder / "whisper"), stack=4, adapter_hidden=16)
    recogniser = Recogniser(config, encoder, LanguageModel(language_model, end_token_id=1), tokenizer)
    recogniser.save(folder / "model")
    return folder / "model"


@pytest.fixture
def tiny_data(tmp_path: Path) -> Path:
    """Manifest of eight clips of half a second, each a tone of its own with a text of two words."""
    folder = tmp_path / "data"
    folder.mkdir()
    rows = []
    for index in range(8):
        tone = 0.3 * np.sin(np.arange(RATE_HZ // 2) * 0.02 * (index + 1))
        sf.write(folder / f"{index}.wav", tone.astype(np.float32), RATE_HZ)
        text = f"{WORDS[index % 3]} {WORDS[3 + index % 3]}"
        rows.append({"id": f"clip-{index}", "audio": f"{index}.wav", "text": text})
    manifest = folder / "train.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


@pytest.fixture
def tiny_config(tmp_path: Path, tiny_model: Path, tiny_data: Path) -> Path:
    """A configuration of three quick steps of GRPO, with an evaluation before and after."""
    path = tmp_path / "tiny.yaml"
    path.write_text(
        f"""
task: asr
output: {tmp_path / "run"}
model: {{path: {tiny_model}}}
data: {{train: {tiny_data}, batch_size: 2}}
rollout: {{group_size: 4, max_new_tokens: 6}}
rewards: {{terms: [{{name: accuracy}}]}}
algorithm: {{name: grpo}}
train: {{steps: 3, warmup_steps: 0, precision: fp32, threads: 1, device: cpu}}
evaluation: {{sets: {{held_out: {tiny_data}}}, max_new_tokens: 6, bootstrap: 50}}
report: {{tensorboard: false}}
"""
    )
    return path
