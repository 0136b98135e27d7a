"""Sets made by disturbing each item, and what is written of them."""

import json
import shutil

import numpy as np
import pytest
import soundfile as sf

from speechrl.data import distort
from speechrl.data.augment import babble_of, quietest_sample
from speechrl.data.derive import KINDS, derive, read_set
from speechrl.data.manifests import read_manifest
from speechrl.data.prompts import to_prompt
from speechrl.data.written import write_derived
from speechrl.errors import DataError
from speechrl.selection.pool import read_pool

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Six items of one to three words, 1 s each, with a gap in the middle."""
    folder = tmp_path_factory.mktemp("distort")
    rng = np.random.default_rng(0)
    rows = []
    for index in range(6):
        audio_S = 0.1 * rng.standard_normal(RATE_HZ)
        audio_S[7_600:8_400] = 0
        sf.write(folder / f"{index}.wav", audio_S, RATE_HZ)
        text = " ".join([f"word{index}"] * (1 + index % 3))
        rows.append({"id": f"u{index}", "audio": f"{index}.wav", "text": text, "keywords": ["word"]})
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "m.jsonl"


def made(cut):
    return cut.supervisions[0].custom["made"]


def items(manifest, kind, seed=3):
    cuts = read_set(f"{manifest}#{kind}@{seed}")
    return [(made(cut), to_prompt(cut)) for cut in cuts]


@pytest.mark.parametrize("kind", ["babble", "speed", "pauses", "repeated"])
def test_every_item_comes_once_and_the_seed_decides(manifest, kind) -> None:
    found = items(manifest, kind)
    assert [record["of"] for record, _ in found] == [[f"u{index}"] for index in range(6)]
    assert all(prompt.keywords == ("word",) for _, prompt in found)
    assert [record for record, _ in found] == [record for record, _ in items(manifest, kind)]
    assert [record for record, _ in found] != [record for record, _ in items(manifest, kind, seed=4)]


def test_speed_changes_the_length_by_its_factor_and_not_the_text(manifest) -> None:
    for index, (record, prompt) in enumerate(items(manifest, "speed")):
        assert record["factor"] != 1
        assert prompt.duration_s == pytest.approx(1 / record["factor"], abs=0.001)
        assert prompt.text.startswith(f"word{index}")


def test_pauses_lie_where_the_record_says_and_part_no_single_word(manifest) -> None:
    plain = [to_prompt(cut) for cut in read_manifest(manifest)]
    for (record, prompt), source in zip(items(manifest, "pauses"), plain, strict=True):
        assert prompt.text == source.text
        kept = np.ones(len(prompt.audio), bool)
        for pause in record["pauses"]:
            start = round(pause["at_s"] * RATE_HZ)
            stretch = slice(start, start + round(pause["length_s"] * RATE_HZ))
            kept[stretch] = False
            assert 1.5 <= pause["length_s"] <= 6
            assert bool(prompt.audio[stretch].any()) == (pause["filling"] != "zero")
        np.testing.assert_allclose(prompt.audio[kept], source.audio, atol=1e-4)
        inner = [pause for pause in record["pauses"] if pause["at_s"] > 0 and not kept[-1]]
        if len(source.text.split()) == 1:
            assert record["pauses"][0]["at_s"] == 0
            assert all(pause["at_s"] - record["pauses"][0]["length_s"] == pytest.approx(1) for pause in inner)


def test_what_is_said_again_is_written_again(manifest) -> None:
    for index, (record, prompt) in enumerate(items(manifest, "repeated")):
        assert 2 <= record["times"] <= 4
        assert prompt.text.split() == [f"word{index}"] * (1 + index % 3) * record["times"]
        assert prompt.duration_s == pytest.approx(record["times"] + sum(record["pauses_s"]), abs=0.001)


def test_babble_is_of_others_and_as_loud_as_recorded(manifest) -> None:
    plain = [to_prompt(cut) for cut in read_manifest(manifest)]
    for (record, prompt), source in zip(items(manifest, "babble"), plain, strict=True):
        assert source.id not in record["voices"]
        assert len(record["voices"]) == 4
        noise_S = prompt.audio - source.audio
        ratio = np.mean(source.audio**2) / np.mean(noise_S**2)
        assert 10 * np.log10(ratio) == pytest.approx(record["snr_db"], abs=0.1)
    assert not babble_of([], 5).any()


def test_the_quietest_moment_is_the_gap() -> None:
    audio_S = np.ones(RATE_HZ, np.float32)
    audio_S[9_000:10_600] = 0
    assert 9_000 <= quietest_sample(audio_S, RATE_HZ) <= 10_600
    assert quietest_sample(audio_S[:100], RATE_HZ) == 50


def test_written_sets_can_be_read_again_with_their_record(manifest, tmp_path) -> None:
    out = tmp_path / "made"
    recipe = write_derived(str(manifest), ["repeated", "telephone"], 7, out)
    cuts = read_manifest(out / "manifest.jsonl")
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert recipe == json.loads((out / "recipe.json").read_text())
    assert recipe["rows"] == len(rows) == 12
    assert {row["made"]["kind"] for row in rows} == {"repeated", "telephone"}
    assert all(row["made"]["seed"] == 7 for row in rows)
    in_memory = to_prompt(read_set(f"{manifest}#repeated@7")[0])
    on_disk = to_prompt(cuts[0])
    assert (in_memory.id, in_memory.text) == (on_disk.id, on_disk.text)
    np.testing.assert_array_equal(in_memory.audio, on_disk.audio)


@pytest.fixture
def licensed(manifest, tmp_path):
    """The same items under two licences of their own, and one of the folder's."""
    folder = tmp_path / "licensed"
    shutil.copytree(manifest.parent, folder)
    own = dict(zip(range(6), ["CC0-1.0", "CC0-1.0", "CC-BY-4.0"], strict=False))
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    rows = [row | ({"licence": own[index]} if index in own else {}) for index, row in enumerate(rows)]
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "LICENSE.txt").write_text("License: MIT\n")
    (folder / "LICENCE").write_text("License: MIT\n")
    (folder / "NOTICE.md").write_text("Spoken by nobody.\n")
    return folder / "m.jsonl"


def test_licences_go_with_what_is_made(licensed, tmp_path) -> None:
    out = tmp_path / "made"
    write_derived(str(licensed), ["telephone", "babble", "silence"], 7, out)
    assert (out / "NOTICE.md").read_text() == "Spoken by nobody.\n"
    assert {path.name for path in out.glob("LIC*")} == {"LICENSE.txt", "LICENCE"}
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    own = ["CC0-1.0", "CC0-1.0", "CC-BY-4.0", "MIT", "MIT", "MIT"]
    for row, named in zip(rows[:6], own, strict=True):
        assert row["licence"] == named
    for row in rows[6:12]:
        heard = {own[int(name[1:])] for name in (*row["made"]["of"], *row["made"]["voices"])}
        assert set(row["licence"].split(", ")) == heard
    assert not any("licence" in row for row in rows[12:])
    pool = read_pool([str(out / "manifest.jsonl")])
    assert [item.licence.name for item in pool[:6]] == own
    assert {item.licence.name for item in pool[12:]} == {"MIT"}
    # The same when it is only made in memory.
    names = [f"{licensed}#{kind}@7" for kind in ("telephone", "babble", "silence")]
    made = read_pool([*names, str(licensed)])
    assert [item.licence.name for item in made] == [*(item.licence.name for item in pool), *own]


def test_babble_whose_voices_are_not_named_is_under_all_licences(licensed, tmp_path) -> None:
    write_derived(str(licensed), ["noise"], 7, tmp_path / "made")
    rows = [json.loads(line) for line in (tmp_path / "made" / "manifest.jsonl").read_text().splitlines()]
    assert {row["made"]["noise"] for row in rows} >= {"babble"}
    for row, own in zip(rows, ["CC0-1.0", "CC0-1.0", "CC-BY-4.0", "MIT", "MIT", "MIT"], strict=True):
        assert row["licence"] == ("CC-BY-4.0, CC0-1.0, MIT" if row["made"]["noise"] == "babble" else own)


def test_without_licences_of_their_own_rows_say_none(manifest, tmp_path) -> None:
    write_derived(str(manifest), ["telephone"], 7, tmp_path / "made")
    assert '"licence"' not in (tmp_path / "made" / "manifest.jsonl").read_text()


def test_unknown_kinds_and_used_folders_are_refused(manifest, tmp_path) -> None:
    with pytest.raises(DataError, match="unknown kind 'loud'; known: long, noise"):
        write_derived(str(manifest), ["loud"], 1, tmp_path / "new")
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="not empty"):
        write_derived(str(manifest), ["noise"], 1, tmp_path)
    assert not (tmp_path / "audio").exists()


def test_every_kind_says_what_it_is() -> None:
    from speechrl.data import derive

    assert all(f"`#{kind}`" in derive.__doc__ for kind in KINDS)


def test_kinds_that_use_the_same_noise_keep_their_ids_apart(manifest, tmp_path) -> None:
    write_derived(str(manifest), [kind for kind in KINDS if kind != "long"], 3, tmp_path / "made")
    rows = [json.loads(line) for line in (tmp_path / "made" / "manifest.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in rows}) == len(rows)


def test_what_cannot_be_read_leaves_no_half_set_behind(manifest, tmp_path, monkeypatch) -> None:
    out, others = tmp_path / "made", []

    def fail(cut, *arguments):
        if cut.id == "u4":
            for name in others:
                (out / name).write_text("somebody else's")
            raise DataError("u4: its audio cannot be loaded")
        return to_prompt(cut, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(distort, "to_prompt", fail)
        with pytest.raises(DataError, match="u4"):
            write_derived(str(manifest), ["repeated"], 3, out)
        assert not out.exists()
        others.append("note.txt")
        with pytest.raises(DataError, match="u4"):
            write_derived(str(manifest), ["repeated"], 3, out)
    assert [path.name for path in out.iterdir()] == ["note.txt"]
    (out / "note.txt").unlink()
    write_derived(str(manifest), ["repeated"], 3, out)


def test_items_are_made_one_by_one(manifest, monkeypatch) -> None:
    opened = []

    def load(cut, *arguments):
        opened.append(cut.id)
        return to_prompt(cut, *arguments)

    monkeypatch.setattr("speechrl.data.distort.to_prompt", load)
    for kind in ("speed", "pauses", "repeated", "telephone"):
        opened.clear()
        next(derive(f"{manifest}#{kind}@3"))
        assert len(opened) == 1


def test_a_folder_that_is_a_link_is_written_through(manifest, tmp_path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_derived(str(manifest), ["repeated"], 3, tmp_path / "link")
    assert len(list(read_manifest(tmp_path / "real" / "manifest.jsonl"))) == 6
    assert {path.name for path in (tmp_path / "real").iterdir()} == {"audio", "manifest.jsonl", "recipe.json"}


def test_babble_needs_somebody_else(tmp_path, manifest) -> None:
    shutil.copy(manifest.parent / "0.wav", tmp_path)
    (tmp_path / "m.jsonl").write_text('{"audio": "0.wav", "text": "one"}\n')
    with pytest.raises(DataError, match="has one alone"):
        read_set(f"{tmp_path / 'm.jsonl'}#babble")
    kinds = {made(read_set(f"{tmp_path / 'm.jsonl'}#noise@{seed}")[0])["noise"] for seed in range(8)}
    assert kinds == {"pink", "hum"}
