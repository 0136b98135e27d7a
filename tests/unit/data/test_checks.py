"""Every kind of bad row is found, named and separated; the good rows can be trained on."""

import json

import numpy as np
import pytest
import soundfile as sf

from speechrl.data.checks import Limits, check_manifest, clipped_share
from speechrl.data.manifests import import_manifest, read_manifest

RATE_HZ = 16_000


def speech(seconds=1.0, rate_hz=RATE_HZ):
    return (0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate_hz))).astype(np.float32)


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path):
    nan, infinite = speech(), speech()
    nan[100], infinite[5] = np.nan, -np.inf
    files = {
        "good": (speech(), RATE_HZ),
        "telephone": (speech(rate_hz=8000), 8000),
        "nan": (nan, RATE_HZ),
        "infinite": (infinite, RATE_HZ),
        "clipped": (np.clip(speech() * 20, -1, 1), RATE_HZ),
        "short": (speech(0.05), RATE_HZ),
        "long": (speech(3.0), RATE_HZ),
        "four": (np.zeros((1600, 4)), RATE_HZ),
        "silent": (np.zeros(RATE_HZ), RATE_HZ),
        "absurd": (speech(0.5), 500),
        "no_samples": (speech(0.0), RATE_HZ),
    }
    for name, (audio, rate_hz) in files.items():
        sf.write(tmp_path / f"{name}.wav", audio, rate_hz, subtype="FLOAT")
    for ending in ("wav", "flac"):
        sf.write(tmp_path / f"whole.{ending}", speech(2.0), RATE_HZ)
        data = (tmp_path / f"whole.{ending}").read_bytes()
        (tmp_path / f"truncated.{ending}").write_bytes(data[: len(data) // 2])
    (tmp_path / "text.wav").write_text("this is a transcript, not audio\n")
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("row", "field", "reason"),
    [
        ({"audio": "gone.wav"}, "audio", "cannot be opened"),
        ({"audio": "folder"}, "audio", "is a folder"),
        ({"audio": "text.wav"}, "audio", "is a text file"),
        ({"audio": "empty.wav"}, "audio", "empty file"),
        ({"audio": "no_samples.wav"}, "audio", "no samples"),
        ({"audio": "truncated.wav"}, "audio", "truncated"),
        ({"audio": "truncated.flac"}, "audio", "truncated"),
        ({"audio": "nan.wav"}, "audio", "1 of 16000 samples are NaN or infinite"),
        ({"audio": "infinite.wav"}, "audio", "1 of 16000 samples are NaN or infinite"),
        ({"audio": "clipped.wav"}, "audio", "clipped"),
        ({"audio": "four.wav"}, "audio", "4 channels"),
        ({"audio": "silent.wav"}, "audio", "digital silence"),
        ({"audio": "absurd.wav"}, "audio", "500 Hz"),
        ({"audio": "short.wav"}, "duration", "too short"),
        ({"audio": "long.wav"}, "duration", "too long"),
        ({"audio": "good.wav", "duration": 1.5}, "duration", "ends at 1.500 s"),
        ({"audio": "good.wav", "text": " "}, "text", "empty"),
        ({"audio": "good.wav", "text": None}, "text", "missing"),
        ({"audio": "good.wav", "id": "one"}, "id", "already used in row 1"),
    ],
)
def test_bad_row_is_found_and_the_others_are_kept(folder, row, field, reason):
    rows = [{"id": "one", "audio": "good.wav", "text": "hello"}, {"text": "hello", **row}]
    report = check_manifest(write_jsonl(folder / "m.jsonl", rows), Limits(max_duration_s=2.5))
    assert [good.id for good in report.good] == ["one"]
    (problem,) = report.bad
    assert (problem.row, problem.field) == (2, field)
    assert reason in problem.reason
    assert problem.mend
    assert not report.ok


def test_a_line_that_is_not_json_is_one_bad_row(folder):
    manifest = write_jsonl(folder / "m.jsonl", [{"audio": "good.wav", "text": "hello"}])
    manifest.write_text(manifest.read_text() + "{broken\n")
    report = check_manifest(manifest)
    assert (len(report.good), report.bad[0].row, report.bad[0].reason) == (1, 2, "not a JSON object")


def test_8_khz_is_noted_and_good(folder):
    report = check_manifest(write_jsonl(folder / "m.jsonl", [{"audio": "telephone.wav", "text": "hello"}]))
    assert report.ok
    assert "8000 Hz and will be resampled" in report.notes[0]


def test_silence_may_have_empty_text_when_allowed(folder):
    manifest = write_jsonl(folder / "m.jsonl", [{"audio": "silent.wav", "text": ""}])
    assert not check_manifest(manifest).ok
    assert check_manifest(manifest, Limits(allow_empty_text=True)).ok


def test_good_rows_and_bad_list_are_written_and_readable(folder):
    rows = [
        {"audio": "good.wav", "text": "hello", "start": 0.25, "duration": 0.5, "keywords": ["hello"]},
        {"audio": "gone.wav", "text": "lost"},
    ]
    report = check_manifest(write_jsonl(folder / "m.jsonl", rows))
    report.write_good(folder / "out" / "good.jsonl")
    report.write_bad(folder / "out" / "bad.jsonl")
    (cut,) = read_manifest(folder / "out" / "good.jsonl")
    assert (cut.start, cut.duration, cut.supervisions[0].custom["keywords"]) == (0.25, 0.5, ["hello"])
    (bad,) = [json.loads(line) for line in (folder / "out" / "bad.jsonl").read_text().splitlines()]
    assert set(bad) == {"row", "id", "field", "reason", "mend"}
    assert report.to_json()["good"] == 1
    json.dumps(report.to_json())


def test_cut_sets_are_checked_and_written_as_cut_sets(folder):
    manifest = write_jsonl(folder / "m.jsonl", [{"audio": f"{n}.wav", "text": n} for n in ("good", "nan")])
    import_manifest(manifest, folder / "c.jsonl")
    report = check_manifest(folder / "c.jsonl")
    assert [problem.row for problem in report.bad] == [2]
    report.write_good(folder / "good.jsonl")
    assert [cut.supervisions[0].text for cut in read_manifest(folder / "good.jsonl")] == ["good"]


def test_a_channel_that_is_not_there_is_a_bad_row(folder):
    manifest = write_jsonl(folder / "m.jsonl", [{"audio": "good.wav", "text": str(n)} for n in (1, 2)])
    import_manifest(manifest, folder / "c.jsonl")
    rows = [json.loads(line) for line in (folder / "c.jsonl").read_text().splitlines()]
    rows[1]["channel"] = 1
    report = check_manifest(write_jsonl(folder / "c.jsonl", rows))
    assert [(problem.row, "channel 1 is not in" in problem.reason) for problem in report.bad] == [(2, True)]


@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW", "ALAW", "PCM_U8", "FLOAT"])
def test_clipping_is_found_at_the_full_scale_of_every_encoding(folder, subtype):
    wave = np.sin(np.arange(8000) / 10)
    sf.write(folder / "loud.wav", np.clip(3 * wave, -1, 1), 8000, subtype=subtype)
    sf.write(folder / "peak.wav", 0.985 * wave, 8000, subtype="FLOAT")
    loud, peak = (sf.read(folder / f"{name}.wav", dtype="float32")[0] for name in ("loud", "peak"))
    assert clipped_share(loud) == pytest.approx(0.78, abs=0.03)
    assert clipped_share(peak) < 0.01


def test_clipping_needs_two_neighbours_at_full_scale():
    audio_S = np.zeros(10, np.float32)
    audio_S[3] = 1.0
    assert clipped_share(audio_S) == 0
    audio_S[4] = -1.0
    assert clipped_share(audio_S) == pytest.approx(0.2)


@pytest.mark.parametrize("length", [0x7FFFF000, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_wav_from_a_pipe_does_not_know_its_length(folder, length):
    sf.write(folder / "piped.wav", speech(), RATE_HZ, subtype="PCM_16")
    data = (folder / "piped.wav").read_bytes()
    place = data.index(b"data") + 4
    (folder / "piped.wav").write_bytes(data[:place] + length.to_bytes(4, "little") + data[place + 4 :])
    manifest = write_jsonl(folder / "m.jsonl", [{"audio": "piped.wav", "text": "hello"}])
    assert check_manifest(manifest).ok


def test_good_rows_are_read_back_as_they_were_checked(folder):
    manifest = write_jsonl(folder / "m.jsonl", [{"audio": "good.wav", "text": "hallo"}])
    import_manifest(manifest, folder / "cuts.jsonl")
    cut = json.loads((folder / "cuts.jsonl").read_text())
    del cut["supervisions"][0]["language"]
    check_manifest(write_jsonl(folder / "bare.jsonl", [cut]), language="de").write_good(
        folder / "good.jsonl.gz"
    )
    (again,) = read_manifest(folder / "good.jsonl.gz")
    assert again.supervisions[0].language == "de"


def test_good_rows_keep_what_tells_whether_their_id_is_their_own(tmp_path):
    sf.write(tmp_path / "a.wav", np.full(16_000, 0.1, np.float32), 16_000)
    made = {"kind": "repeated", "of": ["x"], "times": 2}
    rows = [{"audio": "a.wav", "text": "one"}, {"id": "b", "audio": "a.wav", "text": "two", "made": made}]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    check_manifest(tmp_path / "m.jsonl").write_good(tmp_path / "good.jsonl")
    first, second = map(json.loads, (tmp_path / "good.jsonl").read_text().splitlines())
    assert "id" not in first
    assert (second["id"], second["made"]) == ("b", made)
    assert read_manifest(tmp_path / "good.jsonl")[1].supervisions[0].custom["made"] == made


def test_good_rows_keep_the_labels_of_token2text(folder):
    rows = [{"audio": "good.wav", "text": "hallo", "voice": "ann", "quality": 3.5}]
    check_manifest(write_jsonl(folder / "m.jsonl", rows)).write_good(folder / "good.jsonl")
    (again,) = read_manifest(folder / "good.jsonl")
    assert again.supervisions[0].custom == {"keywords": [], "voice": "ann", "quality": 3.5, "unnamed": True}
