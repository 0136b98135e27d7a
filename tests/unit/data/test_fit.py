"""A model is asked about every row before a run, and a voice that rows share is read once."""

import json

import numpy as np
import pytest
import soundfile as sf
from speaking_toys import ToySynthesiser
from toys import ToyRecogniser

from speechrl.data import fit
from speechrl.data.checks import check_manifest
from speechrl.data.derive import read_sets
from speechrl.data.fit import fit_texts, refuse_unfit, unfit_cuts, unfit_prompts
from speechrl.data.prompts import to_prompt
from speechrl.errors import ConfigError, DataError
from speechrl.evaluate.sets import load_sets

RATE_HZ = 16_000


@pytest.fixture
def folder(tmp_path):
    speech = 0.1 * np.random.default_rng(0).standard_normal(RATE_HZ)
    sf.write(tmp_path / "voice.flac", speech, RATE_HZ)
    # Silence first, so that a stretch of this file is another voice than the whole of it.
    sf.write(tmp_path / "late.flac", np.concatenate([np.zeros(RATE_HZ), speech]), RATE_HZ)
    return tmp_path


def manifest(folder, *rows, name="rows"):
    path = folder / f"{name}.jsonl"
    items = [
        {"id": f"{name}-{n}", "audio": "voice.flac", "text": "red cat", **row} for n, row in enumerate(rows)
    ]
    path.write_text("\n" + "".join(json.dumps(item) + "\n" for item in items))
    return str(path)


def unfit(names):
    return list(unfit_cuts(ToySynthesiser(), read_sets(names), names))


def test_text_and_voice_of_every_row_are_judged(folder):
    path = manifest(
        folder, {}, {"text": "room 42"}, {"audio": "late.flac"}, {"audio": "late.flac", "duration": 0.8}
    )
    assert [(one.id, one.fault.field) for one in unfit([path])] == [("rows-1", "text"), ("rows-3", "audio")]


def test_a_shared_voice_is_read_once(folder, monkeypatch):
    read = []
    monkeypatch.setattr(fit, "to_prompt", lambda cut, **how: read.append(cut.id) or to_prompt(cut, **how))
    path = manifest(folder, *[{}] * 50, {"audio": "late.flac"}, {"start": 0.1}, {"text": "4", "start": 0.2})
    assert [one.id for one in unfit([path])] == ["rows-52"]
    assert read == ["rows-0", "rows-50", "rows-51"]  # an unfit text needs no voice


def test_a_recogniser_is_asked_without_reading_its_audio(folder, monkeypatch):
    monkeypatch.setattr(fit, "to_prompt", None)
    path = manifest(folder, {"text": "room 42"})
    assert not list(unfit_cuts(ToyRecogniser(), read_sets([path]), [path]))


def test_the_error_names_the_first_rows_and_counts_all(folder):
    first = manifest(folder, {}, *[{"text": f"number {n}"} for n in range(4)], name="first")
    second = manifest(folder, *[{"text": f"more {n}"} for n in range(3)], name="second")
    held_out = manifest(folder, {"text": "7"}, name="held_out")
    model = ToySynthesiser()
    sets = {"test": held_out}
    found = [*unfit([first, second]), *unfit_prompts(model, load_sets(sets, "tts"), sets)]
    with pytest.raises(DataError) as raised:
        refuse_unfit(found, "my/model")
    said = str(raised.value).splitlines()
    assert said[0] == "8 rows are nothing that my/model can take:"
    # Line 1 of the manifest is empty.
    assert said[1] == f"  {first}, row 3 (first-1), text: digits in 'number 0'; spell them out"
    assert said[5] == f"  {second}, row 2 (second-0), text: digits in 'more 0'; spell them out"
    assert said[6] == "  ... and 3 more"
    assert "--for my/model" in said[7]


def test_rows_of_derived_sets_are_named_by_their_set(folder):
    path = manifest(folder, {}, {"text": "2"})
    names = [path, f"{path}#telephone"]
    with pytest.raises(
        DataError, match=r"rows\.jsonl, row 3 \(rows-1\), text(.|\n)*#telephone, rows-1-telephone, text"
    ):
        refuse_unfit(unfit(names), "model")


def test_where_all_is_well_nothing_is_said(folder):
    found = list(unfit([manifest(folder, {})]))
    assert found == []
    refuse_unfit(found, "model")


def test_check_finds_what_a_model_cannot_take(folder):
    path = manifest(folder, {}, {"text": "room 42"}, {"audio": "late.flac", "duration": 0.8, "text": "red"})
    assert check_manifest(path).bad[0].field == "audio"
    report = check_manifest(path, model=ToySynthesiser())
    assert [(bad.row, bad.field, bad.mend) for bad in report.bad] == [
        (3, "text", "spell them out"),
        (4, "audio", "record it again"),
    ]
    assert [row.id for row in report.good] == ["rows-0"]


def test_texts_that_can_be_spoken_stay_in_order():
    assert fit_texts(ToySynthesiser(), ["one", "2", "three"]) == ["one", "three"]
    with pytest.raises(ConfigError, match="model for asr"):
        fit_texts(ToyRecogniser(), ["one"])
