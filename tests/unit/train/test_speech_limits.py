"""Texts that a run's token limits would cut are named before the run, with the option that cuts them."""

import json

import numpy as np
import pytest
import soundfile as sf
from speaking_toys import ToySynthesiser

from speechrl.config.load import load_config
from speechrl.config.schema import RunConfig
from speechrl.data.derive import read_sets
from speechrl.errors import DataError
from speechrl.evaluate.sets import load_sets
from speechrl.models.load import load_model
from speechrl.train.speech_limits import refuse_cut_short


class Paced(ToySynthesiser):
    tokens_per_character = 1.3


@pytest.fixture
def manifest(tmp_path):
    sf.write(tmp_path / "voice.wav", 0.1 * np.ones(16_000, np.float32), 16_000)
    texts = ("a" * 100, "b" * 231, "c" * 560, "d" * 230)
    rows = [{"id": f"r{n}", "audio": "voice.wav", "text": text} for n, text in enumerate(texts)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def refuse(model, train, sets=None, rollout=None, evaluation=None):
    """At 1.3 tokens a character, 230 characters take 299 tokens and 231 take 300.3."""
    config = RunConfig.model_validate(
        {
            "task": "tts",
            "output": "run",
            "model": {"path": "toy"},
            "data": {"train": train},
            "rollout": {"max_new_tokens": 300, **(rollout or {})},
            "rewards": {"terms": [{"name": "duration"}]},
            "evaluation": {"sets": sets or {}, **(evaluation or {})},
        }
    )
    held_out = load_sets(config.evaluation.sets, "tts", config.evaluation.limit)
    refuse_cut_short(model, read_sets([train]), [train], held_out, config)


def test_rows_that_cannot_be_spoken_to_their_end_are_named_the_longest_first(manifest):
    with pytest.raises(DataError) as raised:
        refuse(Paced(), manifest)
    said = str(raised.value).splitlines()
    assert said[0].startswith("2 texts take more speech tokens than the run allows, at about 1.30")
    assert said[1] == (
        f"  {manifest}, row 3 (r2), text: 560 characters take about 728 tokens, and rollout.max_new_tokens is 300; "
        "raise it (1092 leaves room), or split the text"
    )
    assert "row 2 (r1)" in said[2]
    assert len(said) == 3


def test_a_limit_by_character_below_the_pace_is_the_one_that_is_named(manifest):
    with pytest.raises(DataError, match=r"4 texts (.|\n)*rollout.tokens_per_character is 1; raise it \(2\.0"):
        refuse(Paced(), manifest, rollout={"tokens_per_character": 1.0, "max_new_tokens": 800})
    refuse(Paced(), manifest, rollout={"tokens_per_character": 1.5, "max_new_tokens": 800})


def test_held_out_sets_have_their_own_limit(manifest):
    enough, sets = {"max_new_tokens": 800}, {"test": manifest}
    with pytest.raises(
        DataError, match=r"1 text takes (.|\n)*row 3 \(r2\).*evaluation.max_new_tokens is 700"
    ):
        refuse(Paced(), manifest, sets, enough, {"max_new_tokens": 700})
    refuse(Paced(), manifest, sets, enough, {"max_new_tokens": 700, "limit": 2})
    refuse(Paced(), manifest, sets, enough, enough)


def test_who_does_not_say_a_pace_is_not_asked(manifest):
    with pytest.raises(DataError):
        refuse(Paced(), manifest)
    refuse(ToySynthesiser(), manifest)


@pytest.mark.parametrize("name", ["quickstart", "grpo_starter", "diffro_starter", "hybrid_starter"])
def test_what_ships_fits(name):
    config = load_config(f"package:configs/tts/{name}.yaml")
    model = load_model(config.model.path)
    assert 1 < model.tokens_per_character < 2
    cuts = read_sets([config.data.train])
    refuse_cut_short(model, cuts, [config.data.train], load_sets(config.evaluation.sets, "tts"), config)
