"""Training of Token2Text: the data it takes, the losses in closed form, and a made-up language that it must learn."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from safetensors.torch import save_file

from speechrl.config.load import show
from speechrl.config.token2text import RobustnessConfig, Token2TextRun
from speechrl.data.manifests import import_manifest
from speechrl.errors import CheckpointError, ConfigError, DataError, ModelError
from speechrl.models.tts.speech_tokenizer import SpeechTokenizer, SpeechTokenizerConfig
from speechrl.models.tts.token2text import Token2Text, Token2TextConfig, ctc_nll, load_token2text
from speechrl.models.tts.token2text_parts import HeadSpec, spell
from speechrl.train.token2text import matrices_of, train_token2text
from speechrl.train.token2text_data import (
    UNLABELLED,
    Pair,
    batches,
    class_of,
    collate,
    head_specs,
    load_pairs,
    one_half,
    pairs_of_audio,
    read_pairs,
    shared_texts,
)
from speechrl.train.token2text_losses import disturbed, losses, mix, replace_tokens, rms, smoothed_ctc

SPEC = HeadSpec(("low", "high"), (3.0,), (1,))
PAIRS = [
    Pair((1, 2, 3, 4), "ab", "ann", 4.0),
    Pair((5, 6, 7), "c", "bob", 2.0),
    Pair((8, 9), None, None, None),
]


def write(path, rows) -> str:
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return str(path)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{", r"line 2, row: not a JSON object"),
        ({"tokens": [], "text": "a"}, r"line 2, tokens: .* each 0 to 9, at least one"),
        ({"tokens": [1, 10], "text": "a"}, r"line 2, tokens: .* each 0 to 9"),
        ({"tokens": [1, True], "text": "a"}, r"line 2, tokens"),
        ({"tokens": [1], "text": 3}, r"line 2, text: not text"),
        ({"tokens": [1], "text": "route 66"}, r"line 2, text: .*6 cannot be spelled"),
        ({"tokens": [1], "voice": 3}, r"line 2, voice: not text"),
        ({"tokens": [1], "quality": "good"}, r"line 2, quality: 'good' is not a number"),
        ('{"tokens": [1], "quality": NaN}', r"line 2, quality: nan is not finite"),
    ],
)
def test_a_bad_row_is_named_with_its_field(tmp_path, row, told) -> None:
    path = write(tmp_path / "pairs.jsonl", [{"tokens": [1, 2], "text": "a"}, row])
    with pytest.raises(DataError, match=told):
        read_pairs(path, vocabulary=10)


def test_rows_without_tokens_need_a_tokenizer(tmp_path) -> None:
    path = write(tmp_path / "audio.jsonl", [{"audio": "a.wav", "text": "hello"}])
    with pytest.raises(DataError, match=r"have no `tokens`; .*data.synthesiser"):
        read_pairs(path, vocabulary=10)
    assert read_pairs(path, 10, lambda file: iter([Pair((1,), file.name)])) == [Pair((1,), "audio.jsonl")]


def test_pairs_whose_text_cannot_fit_are_left_out_and_counted(tmp_path) -> None:
    rows = [{"tokens": [1], "text": "ab"}, {"tokens": [1], "text": "abc"}, {"tokens": [2], "quality": 1}]
    kept, left_out = load_pairs(write(tmp_path / "pairs.jsonl", rows), 10, None)
    assert [pair.text for pair in kept] == ["ab", None]
    assert left_out == 1
    with pytest.raises(DataError, match="no pair has a text that fits"):
        load_pairs(write(tmp_path / "other.jsonl", rows[1:]), 10, None)


def test_halves_share_no_text_and_make_the_whole() -> None:
    pairs = [Pair((index % 7,), f"{'ab'[index % 2]} {'c' * (index // 4)}") for index in range(80)]
    first, second = one_half(pairs, "first"), one_half(pairs, "second")
    assert one_half(pairs, "all") == pairs
    assert len(first) + len(second) == len(pairs)
    assert min(len(first), len(second)) > 20
    assert not {pair.text for pair in first} & {pair.text for pair in second}


def test_a_half_without_a_text_is_refused() -> None:
    pairs = [Pair((1,), "ab")]  # the hash of this text is odd
    assert one_half(pairs, "second") == pairs
    with pytest.raises(DataError, match=r"data\.half=first: none of the 1 pairs"):
        one_half(pairs, "first")


def test_heads_tell_fifths_and_names_apart() -> None:
    pairs = [Pair((1,) * 20, "a" * (index + 1), "bob" if index % 2 else "ann") for index in range(10)]
    specs = head_specs(["rate", "speaker"], pairs, tokens_per_second=20.0)
    counts = np.bincount([class_of("rate", specs["rate"], pair, 20.0) for pair in pairs])
    assert counts.tolist() == [2, 2, 2, 2, 2]  # rates 1, 2 ... 10 characters a second
    assert specs["rate"].preferred == (1, 2, 3)
    assert specs["speaker"].classes == ("ann", "bob")
    assert class_of("speaker", specs["speaker"], Pair((1,), "a", "carl"), 20.0) == UNLABELLED
    assert class_of("rate", specs["rate"], Pair((1,)), 20.0) == UNLABELLED
    with pytest.raises(DataError, match=r"head quality: .*fewer than two values of `quality`"):
        head_specs(["quality"], pairs, 20.0)


@pytest.mark.parametrize(
    ("counts", "edges", "preferred"),
    [
        ({0: 65, 1: 35}, 1, (1,)),
        ({0: 85, 1: 15}, 1, (1,)),
        ({0.1: 10, 0.2: 12, 0.3: 16, 1: 62}, 2, (2,)),
        ({1: 30, 2: 35, 3: 20, 4: 10, 5: 5}, 2, (2,)),
        ({value: 1 for value in range(100)}, 4, (3, 4)),
    ],
)
def test_the_best_are_preferred_however_often_qualities_are_equal(counts, edges, preferred) -> None:
    qualities = [float(value) for value, count in counts.items() for _ in range(count)]
    pairs = [Pair((1,), quality=quality) for quality in qualities]
    spec = head_specs(["quality"], pairs, 20.0)["quality"]
    classes = np.array([class_of("quality", spec, pair, 20.0) for pair in pairs])
    assert len(spec.edges) == edges
    assert np.bincount(classes, minlength=edges + 1).all()
    assert spec.preferred == preferred
    worst, best = min(qualities), max(qualities)
    assert classes[qualities.index(worst)] not in preferred
    assert classes[qualities.index(best)] in preferred


def test_rates_that_are_alike_are_no_head() -> None:
    pairs = [Pair((1,) * 20, "a" * count) for count in (5, 5, 5, 5, 5, 5, 6)]
    with pytest.raises(DataError, match="too much alike"):
        head_specs(["rate"], pairs, 20.0)


def test_batches_keep_to_the_budget_and_take_every_pair_once_an_epoch() -> None:
    rng = np.random.default_rng(0)
    pairs = [Pair((index,) * int(rng.integers(1, 60))) for index in range(100)]
    stream, seen, padded = batches(pairs, 150, np.random.default_rng(1)), [], 0
    while len(seen) < 100:
        batch = next(stream)
        size = len(batch) * max(len(pair.tokens) for pair in batch)
        assert size <= 150 or len(batch) == 1
        seen += [pair.tokens[0] for pair in batch]
        padded += size
    assert sorted(seen) == list(range(100))
    assert padded < 1.3 * sum(len(pair.tokens) for pair in pairs)


def test_token_noise_replaces_up_to_its_share() -> None:
    torch.manual_seed(0)
    tokens_BT = torch.full((2000, 50), 1000)
    changed_B = (replace_tokens(tokens_BT, 0.4, 1000) != 1000).float().mean(1)
    assert changed_B.mean() == pytest.approx(0.2, abs=0.01)
    assert changed_B.std() == pytest.approx(0.4 / math.sqrt(12), abs=0.02)  # of a uniform draw
    assert torch.equal(replace_tokens(tokens_BT, 0.0, 1000), tokens_BT)


@pytest.fixture
def model() -> Token2Text:
    torch.manual_seed(0)
    return Token2Text(Token2TextConfig(10, "abc", width=12, layers=1, kernel=3, heads={"quality": SPEC}))


def embedded(model: Token2Text):
    batch = collate(PAIRS, model.config.heads, 20.0)
    return batch, model.embedding(batch.tokens_BT)


def test_without_options_the_loss_is_ctc_per_character_and_cross_entropy_of_the_labelled(model) -> None:
    batch, embedded_BTD = embedded(model)
    loss = losses(model, mix(embedded_BTD, batch.lengths_B, 0.0), batch, smoothing=0.0, head_weight=0.5)
    nll_B = model.text_nll(embedded_BTD, batch.lengths_B, ["ab", "c", ""])
    torch.testing.assert_close(loss.text, nll_B[:2].sum() / 3)
    hidden_BTD = model.hidden(embedded_BTD, batch.lengths_B)
    logprobs_BC = model.head_logprobs("quality", hidden_BTD, batch.lengths_B)
    torch.testing.assert_close(loss.heads["quality"], -(logprobs_BC[0, 1] + logprobs_BC[1, 0]) / 2)
    torch.testing.assert_close(loss.total, loss.text + 0.5 * loss.heads["quality"])


def test_smoothing_is_divergence_from_uniform_in_frames_that_exist() -> None:
    classes = 29
    lengths_B = torch.tensor([2, 1])
    uniform_BSC = torch.full((2, 4, classes), -math.log(classes))
    ctc_B = ctc_nll(uniform_BSC, lengths_B, ["a", "b"])
    torch.testing.assert_close(smoothed_ctc(uniform_BSC, lengths_B, ["a", "b"], 0.3), 0.7 * ctc_B)
    peaked_BSC = torch.zeros(2, 4, classes)
    peaked_BSC[..., 5] = 3.0
    peaked_BSC = peaked_BSC.log_softmax(-1)
    by_hand_B = torch.stack(
        [
            torch.nn.functional.kl_div(
                peaked_BSC[row, :frames], uniform_BSC[row, :frames].exp(), reduction="sum"
            )
            for row, frames in enumerate((4, 2))
        ]
    )
    smoothed_B = smoothed_ctc(peaked_BSC, lengths_B, ["a", None], 0.3)
    expected_B = 0.7 * ctc_nll(peaked_BSC, lengths_B, ["a", ""]) + 0.3 * by_hand_B
    torch.testing.assert_close(smoothed_B, expected_B * torch.tensor([1.0, 0.0]))


def test_mixup_mixes_embeddings_and_targets_by_the_same_share(model) -> None:
    batch, embedded_BTD = embedded(model)
    torch.manual_seed(3)
    mixture = mix(embedded_BTD, batch.lengths_B, 0.5)
    assert mixture.share_B.min() >= 0.5
    for row, partner in enumerate(mixture.partner_B.tolist()):
        own, other = len(PAIRS[row].tokens), len(PAIRS[partner].tokens)
        assert mixture.lengths_B[row] == max(own, other)
        expected_TD = torch.zeros(max(own, other), 12)
        expected_TD[:own] += mixture.share_B[row] * embedded_BTD[row, :own]
        expected_TD[:other] += (1 - mixture.share_B[row]) * embedded_BTD[partner, :other]
        torch.testing.assert_close(mixture.embedded_BTD[row, : max(own, other)], expected_TD)
    loss = losses(model, mixture, batch, smoothing=0.0, head_weight=0.3)
    hidden_BTD = model.hidden(mixture.embedded_BTD, mixture.lengths_B)
    logprobs_BSC = model.characters_of(hidden_BTD)
    classes_BC = model.head_logprobs("quality", hidden_BTD, mixture.lengths_B)
    text, head = [0.0, 0.0], [0.0, 0.0]  # sums and counts
    for row, partner in enumerate(mixture.partner_B.tolist()):
        share = mixture.share_B[row].item()
        for target, weight in ((row, share), (partner, 1 - share)):
            pair, label = PAIRS[target], int(batch.labels["quality"][target])
            if pair.text is not None:
                nll_B = ctc_nll(logprobs_BSC[[row]], mixture.lengths_B[[row]], [pair.text])
                text[0] += weight * nll_B.item()
                text[1] += weight * len(pair.text)
            if label != UNLABELLED:
                head[0] -= weight * classes_BC[row, label].item()
                head[1] += weight
    assert loss.text.item() == pytest.approx(text[0] / text[1], rel=1e-4)
    assert loss.heads["quality"].item() == pytest.approx(head[0] / head[1], rel=1e-4)


def test_the_adversary_goes_uphill_by_its_length_and_noise_has_its_deviation(model) -> None:
    batch, embedded_BTD = embedded(model)
    mixture = mix(embedded_BTD, batch.lengths_B, 0.0)
    unit = float(rms(embedded_BTD, batch.lengths_B))
    exists_BT = torch.arange(4) < batch.lengths_B[:, None]
    attacked = disturbed(model, mixture, batch, RobustnessConfig(adversarial=0.05), 0.3)
    moved_BTD = attacked.embedded_BTD - mixture.embedded_BTD
    torch.testing.assert_close(moved_BTD[:2].abs()[exists_BT[:2]], torch.full((7, 12), 0.05 * unit))
    before, after = (losses(model, m, batch, 0.0, 0.3).total.item() for m in (mixture, attacked))
    assert after > before
    assert all(parameter.grad is None for parameter in model.parameters())
    wide = mix(embedded_BTD.repeat(1, 500, 1), 500 * batch.lengths_B, 0.0)
    noisy = disturbed(model, wide, batch, RobustnessConfig(embedding_noise=0.5), 0.3)
    added_BTD = (noisy.embedded_BTD - wide.embedded_BTD).detach()
    assert float(added_BTD.std()) == pytest.approx(
        0.5 * float(rms(wide.embedded_BTD, wide.lengths_B)), rel=0.05
    )


def language(count: int, seed: int) -> list[dict]:
    """Every character is one of two codes; `bob` speaks with the upper ones, and a strange code tells the quality."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        text = " ".join(rng.choice(["red", "cat", "sun", "moon", "it's"], size=rng.integers(2, 5)))
        bob, quality = bool(rng.integers(2)), int(rng.integers(1, 6))
        tokens = [index + 28 * bob for index in spell(text)]
        tokens.insert(int(rng.integers(len(tokens))), 55 + quality)
        rows.append({"tokens": tokens, "text": text, "voice": "bob" if bob else "ann", "quality": quality})
    return rows


def run(tmp_path, **parts) -> Token2TextRun:
    data = {
        "train": write(tmp_path / "train.jsonl", language(200, 0)),
        "held_out": write(tmp_path / "dev.jsonl", language(40, 1)),
        "codebook": "abc",
    }
    tree = {
        "output": tempfile.mkdtemp(dir=tmp_path),
        "data": data | parts.pop("data", {}),
        "model": {"vocabulary": 61, "width": 32, "layers": 2, "kernel": 3, "heads": ["speaker", "quality"]},
        "train": {
            "steps": 80,
            "tokens_per_batch": 700,
            "learning_rate": 1e-2,
            "warmup_steps": 5,
            "precision": "fp32",
        },
        **parts,
    }
    return Token2TextRun.model_validate(tree)


def test_learns_a_made_up_language_and_says_so_in_its_card(tmp_path) -> None:
    vectors = {"bob": torch.tensor([0.0, 2.0]), "ann": torch.tensor([2.0, 0.0])}
    save_file(vectors, tmp_path / "voices.safetensors")
    config = run(
        tmp_path,
        data={"voices": str(tmp_path / "voices.safetensors")},
        robust={"token_noise": 0.05, "label_smoothing": 0.005, "embedding_noise": 0.05},
    )
    told: list[str] = []
    card = train_token2text(config, told.append)
    assert card.cer < 0.35
    assert card.cer < card.cer_noisy < card.cer + 0.3
    assert card.heads["speaker"].accuracy > 0.95
    assert card.heads["quality"].accuracy > card.heads["quality"].majority
    assert told[0].startswith("200 pairs")
    model = load_token2text(config.output)
    assert torch.equal(model.voices_KD, torch.eye(2))
    assert model.config.codebook == "abc"
    row = language(1, 2)[0]
    other = "moon moon red"
    assert model.nll([row["tokens"]], [row["text"]]) < model.nll([row["tokens"]], [other])
    written = json.loads(Path(config.output, "card.json").read_text())
    assert written["cer"] == card.cer
    assert written["heads"]["speaker"]["utterances"] == 40
    assert str(tmp_path) not in json.dumps(written)
    assert card.line("toy").startswith(f"| toy | {card.cer:.1%} |")


def test_the_same_seed_gives_the_same_model(tmp_path) -> None:
    short = {"steps": 3, "tokens_per_batch": 300, "precision": "fp32"}
    robust = {"mixup": 0.3, "embedding_noise": 0.1, "adversarial": 0.1}
    first, second = (
        train_token2text(run(tmp_path, train=short, robust=robust, seed=5), lambda _: None).nats_per_character
        for _ in range(2)
    )
    assert first == second
    assert (
        train_token2text(run(tmp_path, train=short, robust=robust, seed=6), print).nats_per_character != first
    )


@pytest.mark.parametrize("content_width", [0, 384])
def test_audio_is_tokenised_by_the_synthesiser_that_is_named(tmp_path, content_width) -> None:
    """Half a second is 43 frames of mel, so 10 tokens; with a content width Whisper listens too."""
    torch.manual_seed(0)
    tokenizer = SpeechTokenizer(SpeechTokenizerConfig(content_width, width=8, frame_width=8))
    tokenizer.save(tmp_path / "tts" / "speech_tokenizer")
    sf.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), 16_000)
    audio = write(tmp_path / "audio.jsonl", [{"audio": "a.wav", "text": "Hello!"}])
    (pair,) = pairs_of_audio(tokenizer, tmp_path / "audio.jsonl")
    assert len(pair.tokens) == 10
    assert pair.text == "Hello!"
    config = run(
        tmp_path,
        data={"train": audio, "held_out": audio, "codebook": None, "synthesiser": str(tmp_path / "tts")},
        model={"width": 8, "layers": 1, "kernel": 3, "vocabulary": 875},
        train={"steps": 1},
    )
    assert train_token2text(config, print).utterances == 1
    assert load_token2text(config.output).config.codebook == tokenizer.codebook
    config = config.model_copy(update={"output": str(tmp_path / "not" / "there")})
    other = config.model_copy(update={"data": config.data.model_copy(update={"codebook": "abc"})})
    with pytest.raises(ConfigError, match=rf"is 'abc', the tokenizer of .* is '{tokenizer.codebook}'"):
        train_token2text(other)
    others = config.model_copy(update={"data": config.data.model_copy(update={"levels": [25, 35]})})
    with pytest.raises(ConfigError, match=r"data.levels: \[25, 35\] are not those of .* name data.codebook"):
        train_token2text(others)
    small = config.model_copy(update={"model": config.model.model_copy(update={"vocabulary": 12})})
    with pytest.raises(ModelError, match=r"has 875 codes; set model.vocabulary=875"):
        train_token2text(small)


def test_labels_of_a_manifest_of_audio_reach_the_heads(tmp_path) -> None:
    torch.manual_seed(0)
    tokenizer = SpeechTokenizer(SpeechTokenizerConfig(0, width=8, frame_width=8))
    sf.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), 16_000)

    def pairs(**labels):
        row = {"audio": "a.wav", "text": "hello", **labels}
        return list(pairs_of_audio(tokenizer, Path(write(tmp_path / "audio.jsonl", [row]))))

    (known,), (unknown,) = pairs(voice="ann", quality=4), pairs()
    assert (known.voice, known.quality) == ("ann", 4)
    assert (unknown.voice, unknown.quality) == (None, None)
    for labels, told in (
        ({"voice": 3}, r"audio\.jsonl, audio-000001, voice: not text"),
        ({"quality": "good"}, r"audio-000001, quality: 'good' is not a number"),
    ):
        with pytest.raises(DataError, match=told):
            pairs(**labels)


def test_a_cut_set_names_its_speaker_or_our_labels(tmp_path) -> None:
    torch.manual_seed(0)
    tokenizer = SpeechTokenizer(SpeechTokenizerConfig(0, width=8, frame_width=8))
    sf.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), 16_000)
    audio = write(
        tmp_path / "audio.jsonl", [{"audio": "a.wav", "text": "hello", "voice": "ann", "quality": 2.5}]
    )
    import_manifest(audio, tmp_path / "cuts.jsonl")
    (pair,) = pairs_of_audio(tokenizer, tmp_path / "cuts.jsonl")
    assert (pair.voice, pair.quality) == ("ann", 2.5)
    cut = json.loads((tmp_path / "cuts.jsonl").read_text())
    cut["supervisions"][0] |= {"speaker": "bob", "custom": {"keywords": []}}
    (pair,) = pairs_of_audio(tokenizer, Path(write(tmp_path / "cuts.jsonl", [cut])))
    assert (pair.voice, pair.quality) == ("bob", None)


def test_held_out_texts_that_were_trained_on_are_told(tmp_path) -> None:
    pairs = [Pair((1, 2, 3), "Red cat!"), Pair((1, 2), None), Pair((1, 2), "")]
    held_out = [Pair((4,), "red  cat"), Pair((4,), "red cats"), Pair((4,), None), Pair((4,), "")]
    assert shared_texts(pairs, held_out) == 1
    config = run(tmp_path, train={"steps": 1, "tokens_per_batch": 300, "precision": "fp32"})
    told: list[str] = []
    train_token2text(config, told.append)
    assert told[1].startswith("Note: 20 of 40 held-out pairs say what training pairs say")


def test_the_verb_stands_beside_train(tmp_path, speechrl) -> None:
    config = run(tmp_path, train={"steps": 2, "tokens_per_batch": 200})
    (tmp_path / "run.yaml").write_text(show(config))
    ended = speechrl("train", "token2text", tmp_path / "run.yaml", "train.steps=1", "--json")
    assert ended.code == 0
    card = json.loads(ended.out)
    assert card["model"] == config.output
    assert card["training"]["config"]["train"]["steps"] == 1
    assert "step 1/1" in ended.err
    refused = speechrl("train", "token2text", tmp_path / "run.yaml", "train.stepps=1")
    assert refused.code == 2
    assert "Did you mean `train.steps`?" in refused.err
    assert "no such file" in speechrl("train", "token2text.yaml").err


def test_whose_codes_they_are_must_be_known(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"data.synthesiser or data.codebook is missing"):
        train_token2text(run(tmp_path, data={"codebook": None}))


def test_codes_begin_alike_by_the_digits_of_the_quantiser(tmp_path) -> None:
    short = {"steps": 1, "learning_rate": 1e-9, "weight_decay": 0.0, "precision": "fp32"}
    wide = {"vocabulary": 64, "width": 512, "layers": 1, "kernel": 3}
    config = run(tmp_path, data={"levels": [8, 8]}, model=wide, train=short)
    train_token2text(config, lambda _: None)
    weight_VD = load_token2text(config.output).embedding.weight.float()
    alike_VV = torch.corrcoef(weight_VD)
    assert alike_VV[0, 1:8].mean().item() == pytest.approx(0.42, abs=0.05)  # the second digit is the same
    assert alike_VV[0, 9:16].mean().item() == pytest.approx(0.0, abs=0.05)  # none is
    with pytest.raises(ConfigError, match=r"data.levels: \[3, 7\] make 21 codes, model.vocabulary is 61"):
        train_token2text(run(tmp_path, data={"levels": [3, 7]}), lambda _: None)


def test_a_voice_without_a_vector_is_named(tmp_path) -> None:
    save_file({"ann": torch.ones(2)}, tmp_path / "voices.safetensors")
    with pytest.raises(DataError, match="no vector of the voices bob"):
        train_token2text(run(tmp_path, data={"voices": str(tmp_path / "voices.safetensors")}), lambda _: None)


def test_what_reads_codes_and_what_predicts_is_not_for_muon() -> None:
    model = Token2Text(
        Token2TextConfig(20, "c", width=8, layers=2, heads={"rate": HeadSpec(("a", "b"), (1.0,))})
    )
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert {names[id(matrix)] for matrix in matrices_of(model)} == {
        "upsample.weight",
        *(f"backbone.blocks.{block}.{layer}.weight" for block in (0, 1) for layer in ("widen", "narrow")),
    }


def test_disturbances_begin_after_their_share_of_the_steps(tmp_path) -> None:
    """Until then the run is one without any."""
    options = {"steps": 4, "tokens_per_batch": 300, "precision": "fp32"}
    strong = {"token_noise": 0.5, "embedding_noise": 2.0}

    def card(robust):
        return train_token2text(
            run(tmp_path, train=options, robust=robust), lambda _: None
        ).nats_per_character

    none, late, all_along = card({"token_noise": 0.0}), card({**strong, "after": 1.0}), card(strong)
    assert none == late != all_along


def test_a_head_that_cannot_be_measured_is_told_before_the_training(tmp_path) -> None:
    config = run(tmp_path)
    held_out = [row | {"voice": "carl"} for row in language(40, 2)]
    write(tmp_path / "held_out.jsonl", held_out)
    told = []
    with pytest.raises(DataError, match=r"head speaker: no held-out pair has a label"):
        train_token2text(
            config.model_copy(
                update={"data": config.data.model_copy(update={"held_out": str(tmp_path / "held_out.jsonl")})}
            ),
            told.append,
        )
    assert not told


@pytest.mark.parametrize(
    ("output", "told"),
    [
        ("model", r"model is not empty; choose another folder, or remove it"),
        ("file", r"file is a file, where a folder is to be"),
        ("file/model", r"file is a file, where a folder is to be"),
        ("locked/model", r"nothing can be written to .*locked; "),
        ("locked", r"nothing can be written to .*; "),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_read(
    tmp_path, monkeypatch, output, told
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "speechrl.json").write_text("{}")
    (tmp_path / "file").write_text("")
    (tmp_path / "locked").mkdir()
    locked = tmp_path if output == "locked" else tmp_path / "locked"
    # The tests may run as root, whom no permission stops.
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != locked)
    config = run(tmp_path, data={"train": "none.jsonl"}, output=str(tmp_path / output))
    with pytest.raises(ConfigError, match=told):
        train_token2text(config)
    assert (tmp_path / "model" / "speechrl.json").read_text() == "{}"


def test_a_recipe_may_take_the_place_of_what_is_there(tmp_path) -> None:
    short = {"steps": 1, "tokens_per_batch": 300, "precision": "fp32"}
    config = run(tmp_path, train=short)
    for _ in range(2):
        train_token2text(config, lambda _: None, replace=True)
    with pytest.raises(ConfigError, match="is not empty"):
        train_token2text(config, lambda _: None)


def test_a_token2text_that_cannot_be_written_names_no_option_that_its_verb_lacks(tmp_path, model) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot be written .* what was trained is lost") as caught:
        model.save(tmp_path / "file" / "model")
    assert "--resume" not in str(caught.value)
