"""Held-out sets by name."""

import json

import numpy as np
import pytest
import soundfile as sf

from speechrl.data import distort
from speechrl.errors import ConfigError, DataError
from speechrl.evaluate import sets as sets_module
from speechrl.evaluate.sets import load_sets


@pytest.fixture
def manifest(tmp_path):
    rows = []
    for index in range(3):
        sf.write(tmp_path / f"{index}.wav", 0.1 * np.sin(np.arange(8000) * 0.1 * (index + 1)), 16_000)
        rows.append({"id": str(index), "audio": f"{index}.wav", "text": "hello there", "keywords": ["hello"]})
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_manifest_and_what_is_derived_from_it(manifest):
    sets = load_sets({"test": str(manifest), "noise": f"{manifest}#noise", "silence": f"{manifest}#silence"})
    assert [prompt.id for prompt in sets["test"]] == ["0", "1", "2"]
    assert sets["test"][0].keywords == ("hello",)
    assert [prompt.text for prompt in sets["noise"]] == ["hello there"] * 3
    assert not np.array_equal(sets["noise"][0].audio, sets["test"][0].audio)
    assert {prompt.text for prompt in sets["silence"]} == {""}


def test_a_limit_takes_the_beginning_of_every_set(manifest):
    sets = load_sets({"test": str(manifest), "noise": f"{manifest}#noise"}, limit=2)
    assert [prompt.id for prompt in sets["test"]] == ["0", "1"]
    assert len(sets["noise"]) == 2


def test_what_a_limit_leaves_out_is_not_even_read(manifest):
    heard = []
    read = sets_module.to_prompt
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sets_module, "to_prompt", lambda cut, **options: heard.append(cut.id) or read(cut, **options)
        )
        load_sets({"test": str(manifest)}, limit=2)
    assert heard == ["0", "1"]


def test_derived_sets_are_the_same_every_time(manifest):
    first, second = (load_sets({"noise": f"{manifest}#noise"})["noise"] for _ in range(2))
    assert all(np.array_equal(one.audio, other.audio) for one, other in zip(first, second, strict=True))


def test_a_name_that_cannot_be_a_file_is_refused(manifest):
    with pytest.raises(ConfigError, match=r"evaluation\.sets"):
        load_sets({"../test": str(manifest)})


def test_an_unknown_ending_is_refused(manifest):
    with pytest.raises(DataError):
        load_sets({"loud": f"{manifest}#loud"})


def test_of_a_derived_set_no_more_is_made_than_the_limit(manifest, monkeypatch):
    made = []
    monkeypatch.setattr(distort, "telephone_band", lambda audio, rate: made.append(1) or audio)
    load_sets({"telephone": f"{manifest}#telephone"}, limit=1)
    assert made == [1]
