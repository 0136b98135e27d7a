"""Decoding with a tiny random model: greedy and beam, both precisions, and nothing changed afterwards."""

import numpy as np
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from speechrl.config.schema import EvaluationConfig
from speechrl.evaluate.asr import evaluate_model
from speechrl.models.language_model import LanguageModel
from speechrl.types import Context, Ending, Output, Prompt


class TinyRecogniser:
    """Audio is cut into positions of 16 samples, which a linear layer embeds; a token is its number."""

    task = "asr"
    decoder = None

    def __init__(self):
        torch.manual_seed(0)
        config = Qwen3Config(
            vocab_size=12,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            head_dim=8,
        )
        self.encoder = torch.nn.Linear(16, 16)
        self.language_model = LanguageModel(Qwen3ForCausalLM(config).eval(), end_token_id=0)

    @torch.no_grad()
    def encode(self, prompts):
        audio = [torch.from_numpy(prompt.audio).reshape(-1, 16) for prompt in prompts]
        return [Context(prompt.id, self.encoder(part)) for prompt, part in zip(prompts, audio, strict=True)]

    def decode(self, groups):
        return [[self._text(rollout) for rollout in group.rollouts] for group in groups]

    def _text(self, rollout):
        ids = rollout.token_ids[:-1] if rollout.ending is Ending.STOP else rollout.token_ids
        return Output(" ".join(f"w{token}" for token in ids), rollout.ending, len(ids))


@pytest.fixture(scope="module")
def prompts():
    generator = np.random.default_rng(0)
    sizes = (5, 2, 9, 4, 7)
    return [
        Prompt(str(index), "asr", "w1 w2", audio=generator.normal(size=16 * size).astype(np.float32))
        for index, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_utterance_is_decoded_and_the_model_stays_as_it_was(prompts, beam, precision):
    model = TinyRecogniser()
    before = {name: weight.clone() for name, weight in model.language_model.state_dict().items()}
    config = EvaluationConfig(batch_size=2, beam=beam, max_new_tokens=6)
    found = evaluate_model(
        model, {"test": prompts, "few": prompts[:1]}, config, torch.device("cpu"), precision
    )
    assert [row.id for row in found.sets["test"].rows] == [prompt.id for prompt in prompts]
    assert all(row.length <= 6 and row.ending in ("stop", "length") for row in found.sets["test"].rows)
    assert set(found.seconds) == {"test", "few"}
    after = model.language_model.state_dict()
    assert all(torch.equal(weight, after[name]) for name, weight in before.items())


def test_batches_do_not_change_what_is_recognised(prompts):
    model = TinyRecogniser()
    texts = []
    for batch_size in (1, 5):
        config = EvaluationConfig(batch_size=batch_size, max_new_tokens=6)
        found = evaluate_model(model, {"test": prompts}, config, torch.device("cpu"))
        texts.append([row.hypothesis for row in found.sets["test"].rows])
    assert texts[0] == texts[1]
    assert len(set(texts[0])) > 1
