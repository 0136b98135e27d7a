"""The pairs of the starter's Token2Text: which qualities are known of which codes."""

from __future__ import annotations

import numpy as np

from speechrl.config.load import load_as
from speechrl.config.token2text import Token2TextRun
from speechrl.starter.tts import token2text as recipe
from speechrl.starter.tts.token2text import CONFIG, VARIANTS, Rated, rate, with_faults
from speechrl.starter.tts.tokenizer import Coded


def coded(name: str, voice: str, length: int = 20) -> Coded:
    vector = np.full(256, 1 / 16, np.float16)
    return Coded(name, "a word", voice, "train", np.arange(length, dtype=np.uint16), vector)


def test_quality_is_relative_to_the_voice_and_faulty_codes_teach_no_text() -> None:
    ann, bob, third = coded("a", "ann"), coded("b", "bob"), coded("c", "ann")
    rated = [
        Rated(ann, ann.codes.tolist(), True, 4.5),
        Rated(bob, bob.codes.tolist(), True, 2.0),
        Rated(third, [9, 9], False, 3.5),
    ]
    rows = recipe._rows([ann, bob, third], rated, {"ann": 4.0, "bob": 2.5})
    assert [row.get("quality") for row in rows] == [0.5, -0.5, None, -0.5]
    assert rows[3] == {"id": "c-faults", "tokens": [9, 9], "quality": -0.5}
    assert rows[2]["text"] == "a word"
    assert rows[2]["tokens"] == list(range(20))


def test_faults_replace_at_most_their_share() -> None:
    codes = np.full(4000, 900)
    generator = np.random.default_rng(0)
    shares = [np.mean(np.array(with_faults(codes, 875, generator)) != 900) for _ in range(50)]
    assert max(shares) < recipe.MOST_REPLACED + 0.03
    assert min(shares) < 0.05
    assert max(shares) > 0.25


def test_every_other_utterance_is_rated_with_faults_and_mel_is_cut_to_its_codes(monkeypatch) -> None:
    import torch

    class Tokenizer:
        codes = 875

        def decode(self, codes_BN, voice_BD, lengths_B):
            assert lengths_B.tolist() == [20, 7, 12]
            return torch.zeros(len(codes_BN), 4 * codes_BN.shape[1], 80)

    class Scorer:
        def mos(self, clips):
            assert [len(wave) for wave, _ in clips] == [4 * 256 * tokens for tokens in (20, 7, 12)]
            return [4.0, 3.0, 2.0]

    monkeypatch.setattr(
        recipe.FastVocoder, "__call__", lambda self, mels: [np.zeros(256 * len(m)) for m in mels]
    )
    utterances = [coded("a", "ann"), coded("b", "ann", 7), coded("c", "bob", 12)]
    rated = rate(Tokenizer(), utterances, Scorer(), np.random.default_rng(1))
    assert [(one.intact, one.quality) for one in rated] == [(True, 4.0), (False, 3.0), (True, 2.0)]
    assert rated[0].codes == list(range(20))
    assert len(rated[1].codes) == 7


def test_variants_are_right_and_the_judge_shares_no_sentence_with_the_rewards() -> None:
    configs = {
        name: load_as(Token2TextRun, CONFIG, [*overrides, f"output={name}"])
        for name, overrides in VARIANTS.items()
    }
    judge = configs["token2text_judge"]
    for name in ("token2text", "token2text_plain"):
        assert {configs[name].data.half, judge.data.half} == {"first", "second"}
        assert configs[name].model.architecture != judge.model.architecture
        assert configs[name].seed != judge.seed
    assert configs["token2text"].robust.adversarial > 0
    assert configs["token2text_plain"].robust.adversarial == 0
