"""Four formats, one CutSet; what cannot be read is refused with its place, and nothing is ever run."""

import json

import numpy as np
import pytest
import soundfile as sf
from lhotse import CutSet

from speechrl.data.manifests import import_manifest, read_manifest, refuse_sources
from speechrl.data.prompts import to_prompt
from speechrl.data.rows import Problem, Row, read_rows
from speechrl.errors import DataError

RATE_HZ = 16_000


def ramp(seconds, rate_hz=RATE_HZ):
    return np.linspace(-0.5, 0.5, round(seconds * rate_hz), dtype=np.float32)


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "wavs").mkdir()
    sf.write(tmp_path / "wavs" / "a.wav", ramp(2.0), RATE_HZ, subtype="FLOAT")
    sf.write(tmp_path / "wavs" / "b.flac", ramp(1.0), RATE_HZ)
    return tmp_path


def test_plain_rows_keep_text_language_keywords_and_span(folder):
    rows = [
        {"audio": "wavs/a.wav", "text": "the middle", "start": 0.5, "duration": 1.0, "keywords": ["middle"]},
        {"audio": "wavs/b.flac", "text": "", "id": "quiet", "language": "de"},
    ]
    first, second = (to_prompt(cut) for cut in read_manifest(write_jsonl(folder / "m.jsonl", rows)))
    assert (first.id, first.text, first.language, first.keywords) == (
        "m-000001",
        "the middle",
        "en",
        ("middle",),
    )
    np.testing.assert_array_equal(first.audio, ramp(2.0)[8000:24000])
    assert first.audio.dtype == np.float32
    assert (second.id, second.text, second.language, second.duration_s) == ("quiet", "", "de", 1.0)


def test_nemo_kaldi_and_lhotse_give_the_same_prompts(folder):
    nemo = write_jsonl(
        folder / "nemo.json",
        [{"audio_filepath": "wavs/a.wav", "text": "hello there", "offset": 0.25, "duration": 0.5}],
    )
    kaldi = folder / "kaldi"
    kaldi.mkdir()
    (kaldi / "wav.scp").write_text(f"rec {folder}/wavs/a.wav\n")
    (kaldi / "segments").write_text("utt rec 0.25 0.75\n")
    (kaldi / "text").write_text("utt hello there\n")
    assert import_manifest(nemo, folder / "cuts" / "c.jsonl.gz") == 1
    prompts = [to_prompt(read_manifest(path)[0]) for path in (nemo, kaldi, folder / "cuts" / "c.jsonl.gz")]
    for prompt in prompts:
        assert prompt.text == "hello there"
        np.testing.assert_array_equal(prompt.audio, ramp(2.0)[4000:12000])


def test_a_moved_cut_set_finds_its_relative_audio(folder):
    import_manifest(
        write_jsonl(folder / "m.jsonl", [{"audio": "wavs/a.wav", "text": "x"}]), folder / "c.jsonl"
    )
    (folder / "c.jsonl").write_text((folder / "c.jsonl").read_text().replace(f"{folder}/", ""))
    assert to_prompt(read_manifest(folder / "c.jsonl")[0]).duration_s == 2.0


def test_kaldi_pipe_is_refused_and_not_run(folder):
    (folder / "wav.scp").write_text(f"utt touch {folder}/ran |\n")
    (folder / "text").write_text("utt hello\n")
    with pytest.raises(DataError, match="shell pipe, which is never run"):
        read_manifest(folder)
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("kind", ["command", "url"])
def test_cut_set_that_would_run_or_download_is_refused(folder, kind):
    import_manifest(
        write_jsonl(folder / "m.jsonl", [{"audio": "wavs/a.wav", "text": "x"}]), folder / "c.jsonl"
    )
    cut = json.loads((folder / "c.jsonl").read_text())
    cut["recording"]["sources"][0].update(type=kind, source=f"touch {folder}/ran")
    with pytest.raises(DataError, match=f"comes from a {kind}, which is never"):
        read_manifest(write_jsonl(folder / "bad.jsonl", [cut]))
    assert not (folder / "ran").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"audio": "gone.wav", "text": "x"}, r"row 2 .*audio: .*gone\.wav cannot be opened"),
        ({"audio": "wavs/a.wav"}, "row 2 .*text: missing"),
        ({"audio": "wavs/a.wav", "text": "x", "start": -1}, "row 2 .*start: -1 is not a number of seconds"),
        ({"audio": "wavs/a.wav", "text": "x", "duration": 9.0}, "row 2 .*duration: ends at 9.000 s"),
        ({"audio": "wavs/a.wav", "text": "x", "keywords": "x"}, "row 2 .*keywords: not a list"),
        ({"audio": "wavs/a.wav", "text": "x", "id": "first"}, "row 2 .*already used in row 1"),
    ],
)
def test_bad_rows_are_named_with_field_and_reason(folder, row, message):
    rows = [{"id": "first", "audio": "wavs/a.wav", "text": "x"}, row]
    with pytest.raises(DataError, match=message):
        read_manifest(write_jsonl(folder / "m.jsonl", rows))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("hello\n", "line 1: not a JSON object"),
        ('{"wav": "a.wav"}\n', "unknown kind of manifest with the keys wav"),
    ],
)
def test_unknown_formats_are_refused(tmp_path, content, message):
    (tmp_path / "m.jsonl").write_text(content)
    with pytest.raises(DataError, match=message):
        read_manifest(tmp_path / "m.jsonl")


def test_missing_manifest_and_folder_without_wav_scp(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_manifest(tmp_path / "m.jsonl")
    with pytest.raises(DataError, match=r"without wav\.scp"):
        read_manifest(tmp_path)


def test_8_khz_is_resampled_in_place_of_being_refused(tmp_path):
    time_s = np.arange(8000) / 8000
    sf.write(tmp_path / "a.wav", np.sin(2 * np.pi * 440 * time_s).astype(np.float32), 8000)
    prompt = to_prompt(read_manifest(write_jsonl(tmp_path / "m.jsonl", [{"audio": "a.wav", "text": "a"}]))[0])
    assert (prompt.sample_rate_hz, len(prompt.audio)) == (16_000, 16_000)
    inner = slice(1000, -1000)
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    np.testing.assert_allclose(prompt.audio[inner], expected[inner], atol=5e-3)


def test_nan_and_several_channels_do_not_become_prompts(tmp_path):
    bad = ramp(1.0)
    bad[7] = np.nan
    sf.write(tmp_path / "nan.wav", bad, RATE_HZ, subtype="FLOAT")
    cut = read_manifest(write_jsonl(tmp_path / "m.jsonl", [{"audio": "nan.wav", "text": "a"}]))[0]
    with pytest.raises(DataError, match="NaN"):
        to_prompt(cut)
    sf.write(tmp_path / "four.wav", np.zeros((1600, 4)), RATE_HZ)
    with pytest.raises(DataError, match="has 4 channels, one is wanted"):
        read_manifest(write_jsonl(tmp_path / "m.jsonl", [{"audio": "four.wav", "text": "a"}]))


def test_import_asks_for_a_cut_set_name(folder):
    source = write_jsonl(folder / "m.jsonl", [{"audio": "wavs/a.wav", "text": "x"}])
    with pytest.raises(DataError, match=r"\.jsonl or \.jsonl\.gz"):
        import_manifest(source, folder / "out.csv")
    with pytest.raises(DataError, match="another name"):
        import_manifest(source, source)
    import_manifest(source, folder / "out.jsonl")
    assert isinstance(CutSet.from_jsonl(folder / "out.jsonl"), CutSet)


@pytest.fixture
def serialised_cut(folder):
    import_manifest(
        write_jsonl(folder / "m.jsonl", [{"audio": "wavs/b.flac", "text": "x"}]), folder / "c.jsonl"
    )
    return json.loads((folder / "c.jsonl").read_text())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone.wav", "gone.wav cannot be opened"),
        ("text.wav", "is a text file"),
        ("none.wav", "holds no samples"),
        ("four.wav", "has 4 channels, and its recording lists 1"),
        ("slow.wav", "is sampled at 8000 Hz, and its recording says 16000 Hz"),
        ("short.wav", "is 0.250 s long, and its recording says 1.000 s"),
        ("cut.flac", "is truncated"),
    ],
)
def test_a_cut_set_is_held_against_its_files_before_they_are_needed(folder, serialised_cut, name, reason):
    (folder / "text.wav").write_text("this is a text")
    sf.write(folder / "none.wav", ramp(0.0), RATE_HZ)
    sf.write(folder / "four.wav", np.zeros((RATE_HZ, 4)), RATE_HZ)
    sf.write(folder / "slow.wav", ramp(1.0, 8_000), 8_000)
    sf.write(folder / "short.wav", ramp(0.25), RATE_HZ)
    sf.write(folder / "long.flac", ramp(2.0), RATE_HZ)
    whole = (folder / "long.flac").read_bytes()
    (folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    serialised_cut["recording"]["sources"][0]["source"] = str(folder / name)
    with pytest.raises(DataError, match=f"row 1 .*audio: .*{reason}"):
        read_manifest(write_jsonl(folder / "bad.jsonl", [serialised_cut]))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"supervisions": 5}, "supervisions"),
        ({"supervisions": [7]}, "supervisions"),
        ({"supervisions": [{"text": 7}]}, "text"),
        ({"supervisions": [{"language": 7}]}, "language"),
        ({"supervisions": [{"language": "plain English"}]}, "language"),
        ({"supervisions": [{"custom": {"keywords": 5}}]}, "keywords"),
        ({"tracks": [1]}, "tracks"),
        ({"recording": {"sources": 5}}, "recording"),
        ({"duration": "long"}, "audio"),
        ({"duration": None}, "audio"),
        ({"start": 9.0}, "audio"),
        ({"channel": [0, 1], "type": "MultiCut"}, "audio"),
    ],
)
def test_a_cut_of_the_wrong_shape_is_a_bad_row(folder, serialised_cut, changed, field):
    with pytest.raises(DataError, match=rf"row 1 .*\), {field}: "):
        read_manifest(write_jsonl(folder / "bad.jsonl", [serialised_cut | changed]))


def test_cuts_without_a_language_get_the_one_that_is_given(folder, serialised_cut):
    del serialised_cut["supervisions"][0]["language"]
    manifest = write_jsonl(folder / "bare.jsonl", [serialised_cut])
    assert to_prompt(read_manifest(manifest, "de")[0]).language == "de"


def test_kaldi_tables_may_use_tabs(folder):
    (folder / "wav.scp").write_text("utt\twavs/a.wav\n")
    (folder / "text").write_text("utt\thello there\n")
    assert to_prompt(read_manifest(folder)[0]).text == "hello there"


def test_a_supervision_manifest_is_not_taken_for_plain_rows(folder):
    row = {"id": "a", "recording_id": "a", "start": 0.0, "duration": 1.0, "text": "x"}
    with pytest.raises(DataError, match="unknown kind of manifest"):
        read_manifest(write_jsonl(folder / "supervisions.jsonl", [row]))


def test_kaldi_rows_are_lost_by_nobody(folder):
    (folder / "wav.scp").write_text("u1 wavs/a.wav\nu1 wavs/b.flac\n")
    (folder / "text").write_text("u1 first\nu1 second\nu3 nobody says this\n")
    found = list(read_rows(folder))
    assert [(row.row, row.id, row.field) for row in found if isinstance(row, Problem)] == [
        (2, "u1", "wav.scp"),
        (2, "u1", "text"),
        (3, "u3", "text"),
    ]
    assert [row.text for row in found if isinstance(row, Row)] == ["first"]


@pytest.mark.parametrize("text", ["\u266a \u2026 \u266a", "..."])
def test_a_text_without_a_word_is_no_silence(folder, text):
    with pytest.raises(DataError, match=r"row 1 .*text: no word in"):
        read_manifest(write_jsonl(folder / "m.jsonl", [{"audio": "wavs/a.wav", "text": text}]))


def test_what_cannot_be_read_or_written_again_is_a_bad_row(folder):
    good = json.dumps({"id": 0, "audio": "wavs/a.wav", "text": "x"})
    lines = [good, "[" * 100_000, '{"audio": "wavs/a.wav", "text": "b\\ud800"}']
    (folder / "m.jsonl").write_text("\n".join(lines) + "\n")
    first, *others = read_rows(folder / "m.jsonl")
    assert (first.id, first.named) == ("0", True)
    assert [row.reason for row in others] == ["not a JSON object"] * 2


def test_a_row_is_plain_by_its_audio_and_its_language_may_have_either_name(folder):
    rows = [
        {"audio": "wavs/a.wav", "text": "eins", "type": "call", "lang": "de"},
        {"audio": "wavs/b.flac", "text": "zwei", "recording": "b", "language": "de"},
    ]
    assert [cut.supervisions[0].language for cut in read_manifest(write_jsonl(folder / "m.jsonl", rows))] == [
        "de"
    ] * 2
    rows = [{"audio_filepath": "wavs/a.wav", "text": "eins", "language": "de"}]
    assert read_manifest(write_jsonl(folder / "n.jsonl", rows))[0].supervisions[0].language == "de"


def test_a_broken_first_line_is_one_bad_row(folder):
    (folder / "m.jsonl").write_text('{"audio": "wa\n{"audio": "wavs/a.wav", "text": "one"}\n')
    first, second = read_rows(folder / "m.jsonl")
    assert isinstance(first, Problem)
    assert isinstance(second, Row)


def test_a_cut_whose_supervisions_have_no_text_says_not_what_is_said(folder):
    manifest = write_jsonl(folder / "m.jsonl", [{"audio": "wavs/a.wav", "text": "one"}])
    import_manifest(manifest, folder / "c.jsonl")
    (item,) = [json.loads(line) for line in (folder / "c.jsonl").read_text().splitlines()]
    del item["supervisions"][0]["text"]
    without = write_jsonl(folder / "c.jsonl", [item])
    with pytest.raises(DataError, match="text: missing from its supervisions"):
        read_manifest(without)
    (cut,) = read_manifest(without, labelled=False)
    assert to_prompt(cut).text == ""
    item["supervisions"] = []
    (silence,) = read_manifest(write_jsonl(folder / "c.jsonl", [item]))
    assert to_prompt(silence).text == ""


def test_nothing_is_written_over_what_is_read(folder):
    manifest = write_jsonl(folder / "m.jsonl", [{"audio": "wavs/a.wav", "text": "one"}])
    with pytest.raises(DataError, match="is what is read"):
        refuse_sources(["other.jsonl", manifest], [None, folder / "wavs" / ".." / "m.jsonl"])
    with pytest.raises(DataError, match="given twice"):
        refuse_sources([manifest], [folder / "good.jsonl", folder / "wavs" / ".." / "good.jsonl"])
    refuse_sources([manifest], [folder / "good.jsonl", None])
