from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

from speechrl.errors import ModelError
from speechrl.models.language_model import LanguageModel
from speechrl.models.load import load_model
from speechrl.models.tts import synthesiser as module
from speechrl.models.tts import voice_encoder
from speechrl.models.tts.mel import HOP
from speechrl.models.tts.speech_tokenizer import FRAMES_PER_TOKEN, SpeechTokenizer, SpeechTokenizerConfig
from speechrl.models.tts.synthesiser import SpeechPromptEncoder, Synthesiser, SynthesiserConfig
from speechrl.models.tts.text_encoder import ALPHABET, Pace, TextEncoder, TextEncoderConfig
from speechrl.models.tts.voice_encoder import VoiceEncoder
from speechrl.rollout.base import SamplingParams
from speechrl.rollout.torch_engine import TorchEngine
from speechrl.types import Ending, Group, Prompt, Rollout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WIDTH = 32
END = 875


def characters() -> PreTrainedTokenizerFast:
    signs = ["<pad>", "<unk>", *ALPHABET.replace(" ", "\u2581")]
    tokenizer = Tokenizer(
        models.BPE({sign: index for index, sign in enumerate(signs)}, [], unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")


def toy() -> Synthesiser:
    torch.manual_seed(0)
    tokenizer = characters()
    config = SynthesiserConfig(
        TextEncoderConfig(len(tokenizer), hidden=16, layers=1, kernel=3, width=WIDTH), 1.4
    )
    qwen = Qwen3Config(
        vocab_size=END + 1, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16,
    )  # fmt: skip
    encoder = SpeechPromptEncoder(TextEncoder(config.text_encoder), Pace(), VoiceEncoder())
    speech = SpeechTokenizer(
        SpeechTokenizerConfig(width=16, frame_width=16, encoder_blocks=1, decoder_blocks=2, frame_blocks=1)
    )
    return Synthesiser(
        config,
        encoder.eval().requires_grad_(False),
        LanguageModel(Qwen3ForCausalLM(qwen), END),
        speech.eval().requires_grad_(False),
        tokenizer,
    )


@pytest.fixture(scope="module")
def synthesiser() -> Synthesiser:
    return toy()


def voice(seed: int, seconds: float = 1.0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(round(16_000 * seconds))).astype(np.float32)


PROMPT = Prompt("a", "tts", "Hello, you!", audio=voice(0))


def rollout(ids: Sequence[int], ending: Ending) -> Rollout:
    return Rollout("a", tuple(ids), (0.0,) * len(ids), ending)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"text": " ... "}, "prompt a, text: no word"),
        (
            {"text": "room 42 & up"},
            "prompt a, text: unsupported characters & 2 4 in 'room 42 & up'; .* spell out",
        ),
        ({"text": "so long " * 250}, "prompt a, text: 1999 characters .* more than the 600 .* split"),
        ({"audio": None}, "prompt a, audio: no reference voice"),
        ({"audio": voice(0, 0.1)}, r"prompt a, audio: .* 0\.10 s is too short .* at least 0\.5 s"),
        ({"audio": np.zeros(16_000, np.float32)}, "prompt a, audio: .* silent"),
        ({"sample_rate_hz": 22_050}, "prompt a, audio: .* 22050 Hz; resample to 16000 Hz"),
    ],
)
def test_what_cannot_be_spoken_is_said_clearly(
    synthesiser: Synthesiser, change: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ModelError, match=complaint):
        synthesiser.encode([PROMPT, replace(PROMPT, **change)])


def test_a_prompt_can_be_judged_before_its_voice_is_loaded(synthesiser: Synthesiser) -> None:
    assert synthesiser.fault(PROMPT) is None
    assert synthesiser.fault(replace(PROMPT, audio=None)) is None
    for audio in (None, PROMPT.audio):
        fault = synthesiser.fault(replace(PROMPT, text="room 42", audio=audio))
        assert fault is not None
        assert fault.field == "text"
    silent = synthesiser.fault(replace(PROMPT, audio=np.zeros(16_000, np.float32)))
    assert silent is not None
    assert silent.field == "audio"


def test_a_context_does_not_depend_on_its_batch(synthesiser: Synthesiser) -> None:
    prompts = [PROMPT, Prompt("b", "tts", "A much longer text, I think.", audio=voice(1, 2.0))]
    for prompt, together in zip(prompts, synthesiser.encode(prompts), strict=True):
        alone = synthesiser.encode([prompt])[0]
        assert together.prompt_id == prompt.id
        torch.testing.assert_close(together.embeddings_TD, alone.embeddings_TD)
        assert torch.equal(together.positions_T, alone.positions_T)
        assert torch.equal(together.voice_D, alone.voice_D)
        torch.testing.assert_close(together.voice_D.norm(), torch.tensor(1.0))


def test_speech_begins_at_position_0(synthesiser: Synthesiser) -> None:
    contexts = synthesiser.encode([PROMPT, replace(PROMPT, text="Yes.")])
    assert synthesiser.language_model.prefill(contexts).next_position_B.tolist() == [0.0, 0.0]
    pieces = contexts[0].positions_T[1:-1]
    assert (pieces.diff() > 0).all()
    assert pieces[0] > 0


def test_a_voice_is_listened_to_once(monkeypatch: pytest.MonkeyPatch) -> None:
    speaker, heard = toy(), []
    listen = speaker.encoder.voice.forward
    monkeypatch.setattr(
        speaker.encoder.voice, "forward", lambda clips: heard.append(len(clips)) or listen(clips)
    )
    speaker.encode([PROMPT, replace(PROMPT, text="more")])
    speaker.encode([replace(PROMPT, audio=voice(0).copy())])
    assert heard == [1]
    speaker.encode([replace(PROMPT, audio=voice(3))])
    assert heard == [1, 1]


def test_voices_that_are_known_and_new_ones_may_come_together_when_no_more_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(voice_encoder, "_KEPT", 2)
    speaker = toy()
    first, second, third = (replace(PROMPT, audio=voice(seed)) for seed in range(3))
    speaker.encode([first, second])
    again, _ = speaker.encode([first, third])
    assert torch.equal(again.embeddings_TD, toy().encode([first])[0].embeddings_TD)


def test_outputs_hold_speech_tokens_without_the_end(synthesiser: Synthesiser) -> None:
    context = synthesiser.encode([PROMPT])[0]
    group = Group(
        context,
        (rollout([5, 6, END], Ending.STOP), rollout([7, 8, 9], Ending.LENGTH), rollout([END], Ending.STOP)),
    )
    silent = synthesiser.decode([group], audio=False)[0]
    assert [output.token_ids for output in silent] == [(5, 6), (7, 8, 9), ()]
    assert [output.ending for output in silent] == [Ending.STOP, Ending.LENGTH, Ending.UNPARSABLE]
    assert [output.waveform for output in silent] == [None] * 3
    sounding = synthesiser.decode([group], audio=True)[0]
    assert [replace(output, waveform=None) for output in sounding] == silent
    assert [len(output.waveform) for output in sounding] == [FRAMES_PER_TOKEN * HOP * n for n in (2, 3, 0)]
    assert {output.waveform.dtype for output in sounding} == {np.dtype(np.float32)}
    assert {output.sample_rate_hz for output in sounding} == {22_050}


def test_every_rollout_sounds_as_it_does_alone(
    synthesiser: Synthesiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOKENS_PER_PASS", 100)
    one = synthesiser.encode([PROMPT])[0]
    other = replace(one, voice_D=-one.voice_D)
    rng = np.random.default_rng(0)
    spoken = [
        ((one, other)[index % 2], rng.integers(0, END, size=length).tolist())
        for index, length in enumerate((30, 3, 70, 41, 40, 1))
    ]
    for utterance, mel_FM in zip(spoken, synthesiser.mels(spoken), strict=True):
        torch.testing.assert_close(mel_FM, synthesiser.mels([utterance])[0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(synthesiser.mels([(one, [4] * 9)])[0], synthesiser.mels([(other, [4] * 9)])[0])


def test_another_vocoder_may_speak(synthesiser: Synthesiser) -> None:
    class Beep:
        sample_rate_hz = 8_000

        def __call__(self, mels: Sequence[torch.Tensor]) -> list[np.ndarray]:
            return [np.ones(len(mel_FM), np.float32) for mel_FM in mels]

    context = synthesiser.encode([PROMPT])[0]
    sounds = synthesiser.speak([(context, []), (context, [1, 2])], Beep())
    assert [len(sound) for sound in sounds] == [0, 2 * FRAMES_PER_TOKEN]


def test_it_speaks_through_the_rollout_engine(synthesiser: Synthesiser) -> None:
    params = SamplingParams(temperature=1.0, max_new_tokens=12)
    engine = TorchEngine(synthesiser.language_model, params, "cpu", torch.float32)
    contexts = synthesiser.encode([PROMPT])
    groups = engine.sample(contexts, [PROMPT], 2, seed=1)
    for answer in groups[0].rollouts:
        scores = synthesiser.language_model.score(contexts, [[answer.token_ids]])
        torch.testing.assert_close(
            scores.logprobs_NL[0].detach(), torch.tensor(answer.logprobs), rtol=1e-4, atol=1e-4
        )
    assert all(output.waveform is not None for output in synthesiser.decode(groups)[0])


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A saved synthesiser; the voice encoder is the random one of `toy`."""
    monkeypatch.setattr(module, "load_voice_encoder", lambda: toy().encoder.voice)
    toy().save(tmp_path / "model")
    return tmp_path / "model"


def test_a_saved_model_comes_back(saved: Path) -> None:
    before, after = toy(), load_model(str(saved))
    assert isinstance(after, Synthesiser)
    assert after.config == before.config
    old, new = before.encode([PROMPT])[0], after.encode([PROMPT])[0]
    torch.testing.assert_close(new.embeddings_TD, old.embeddings_TD, rtol=0, atol=5e-3)
    torch.testing.assert_close(new.positions_T, old.positions_T, rtol=1e-3, atol=0)
    scores = [model.language_model.score([old], [[[3, 4, END]]]).logprobs_NL for model in (before, after)]
    torch.testing.assert_close(scores[0], scores[1], rtol=0, atol=5e-3)
    assert not any(weight.requires_grad for weight in after.encoder.parameters())
    assert all(weight.requires_grad for weight in after.language_model.parameters())


def test_saving_again_changes_no_weight(saved: Path) -> None:
    weights = {path: path.read_bytes() for path in saved.rglob("*.safetensors")}
    description = (saved / "speechrl.json").read_text()
    model = load_model(str(saved))
    assert json.loads(description)["codebook"] == model.codebook
    model.save(saved)
    assert {path: path.read_bytes() for path in saved.rglob("*.safetensors")} == weights
    assert (saved / "speechrl.json").read_text() == description


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("codebook", "0" * 16, "codebook .* speaks the codes of 0000000000000000"),
        ("mel", {"bands": 100}, "another mel"),
        ("text_encoder", {"hidden": 16}, "cannot load the synthesiser"),
    ],
)
def test_parts_that_do_not_fit_are_refused(saved: Path, field: str, value: object, complaint: str) -> None:
    description = json.loads((saved / "speechrl.json").read_text())
    (saved / "speechrl.json").write_text(json.dumps(description | {field: value}))
    with pytest.raises(ModelError, match=complaint):
        load_model(str(saved))


def test_a_vocabulary_that_is_not_the_codes_and_the_end_is_refused(saved: Path) -> None:
    model = load_model(str(saved))
    model.language_model.causal_lm.resize_token_embeddings(END + 1 + 24)
    model.save(saved)
    with pytest.raises(ModelError, match=f"predicts {END + 25} tokens, .* {END} codes"):
        load_model(str(saved))


def test_a_missing_part_is_named(saved: Path) -> None:
    (saved / "text_encoder.safetensors").unlink()
    with pytest.raises(ModelError, match=r"text_encoder\.safetensors"):
        load_model(str(saved))


def test_weights_cut_short_are_refused(saved: Path) -> None:
    weights = saved / "text_encoder.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot load the synthesiser"):
        load_model(str(saved))


def test_a_description_without_a_codebook_is_refused(saved: Path) -> None:
    description = json.loads((saved / "speechrl.json").read_text())
    del description["codebook"]
    (saved / "speechrl.json").write_text(json.dumps(description))
    with pytest.raises(ModelError, match=r"cannot load the synthesiser.*codebook"):
        load_model(str(saved))
