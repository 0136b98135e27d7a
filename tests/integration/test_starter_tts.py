"""The synthesiser that ships: its parts belong together, and what it says is understood by those who never met it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import speechrl.starter
from speechrl.config.schema import EvaluationConfig
from speechrl.data.derive import read_set
from speechrl.data.prompts import to_prompt
from speechrl.evaluate.tts import evaluate_model
from speechrl.models.load import load_model
from speechrl.models.tts.token2text import check_vocabulary, load_token2text

SENTENCES = 12
MOST_MB = 40


@pytest.fixture(scope="module")
def synthesiser():
    return load_model("package:starter/tts")


@pytest.fixture(scope="module")
def spoken(synthesiser):
    prompts = [to_prompt(cut, task="tts") for cut in read_set("package:data/tts_en/dev.jsonl")][:SENTENCES]
    config = EvaluationConfig(judges=["whisper-tiny.en"], vocoder="fast", window="short", max_new_tokens=300)
    return evaluate_model(synthesiser, {"dev": prompts}, config, torch.device("cpu"), "bf16").sets["dev"].rows


def test_the_starter_is_small():
    here = Path(speechrl.starter.__file__).parent
    folders = ("tts", "token2text", "token2text_judge")
    weights = [path for name in folders for path in (here / name).rglob("*.safetensors")]
    assert sum(path.stat().st_size for path in weights) < MOST_MB * 1e6


def test_most_words_are_heard_in_time_and_in_the_right_voice(spoken):
    heard = [row.judges["whisper-tiny.en"] for row in spoken]
    assert sum(one.errors for one in heard) < 0.4 * sum(one.words for one in heard)
    assert not any(row.no_stop for row in spoken)
    assert sum(row.similarity for row in spoken) / SENTENCES > 0.8


@pytest.mark.parametrize("name", ["token2text", "token2text_judge"])
def test_token2text_reads_the_codes_of_the_synthesiser(synthesiser, spoken, name):
    reader = load_token2text(f"package:starter/{name}")
    check_vocabulary(reader, synthesiser, name)
    tokens, texts = [row.token_ids for row in spoken], [row.text for row in spoken]
    own = reader.nll(tokens, texts)
    another = reader.nll(tokens, texts[1:] + texts[:1])
    assert (own < another).all()
