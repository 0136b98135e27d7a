"""How utterances are told apart, and what is heard in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from speechrl.errors import DataError
from speechrl.selection.judges import read_hypotheses
from speechrl.selection.pool import audio_digest, longest_pause_s, read_pool
from speechrl.selection.shards import Shards

RATE_HZ = 16_000


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(1)
    return (level * rng.standard_normal(round(seconds * RATE_HZ))).astype(np.float32)


def test_a_copy_in_another_lossless_file_is_the_same_sound(tmp_path: Path) -> None:
    sound = np.round(noise(0.5) * 32768).astype(np.int16)
    for name in ("a.wav", "a.flac"):
        sf.write(tmp_path / name, sound, RATE_HZ, subtype="PCM_16")
    wav, flac = (sf.read(tmp_path / name, dtype="float32")[0] for name in ("a.wav", "a.flac"))
    padded = np.concatenate([np.zeros(99, np.float32), wav, np.zeros(7, np.float32)])
    assert audio_digest(wav) == audio_digest(flac) == audio_digest(padded)
    assert audio_digest(wav) != audio_digest(0.9 * wav)


def test_silences_of_two_lengths_are_two_sounds() -> None:
    assert audio_digest(np.zeros(10, np.float32)) != audio_digest(np.zeros(11, np.float32))


def test_the_longest_pause_lies_inside_the_speech() -> None:
    quiet = noise(1.5, 1e-4)
    sound = np.concatenate([noise(2.0, 1e-4), noise(1.0), quiet, noise(1.0), quiet[:8000], noise(1.0), quiet])
    assert longest_pause_s(sound, RATE_HZ) == pytest.approx(1.5, abs=0.05)
    assert longest_pause_s(noise(2.0), RATE_HZ) == 0
    assert longest_pause_s(np.zeros(RATE_HZ, np.float32), RATE_HZ) == 0
    assert longest_pause_s(np.zeros(0, np.float32), RATE_HZ) == 0


def manifest(folder: Path, name: str, ids: list[str]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    sf.write(folder / "a.wav", noise(0.5), RATE_HZ)
    rows = [{"id": one, "audio": "a.wav", "text": one, "start": 0.1 * index} for index, one in enumerate(ids)]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder / name)


def test_keys_are_of_the_sound_not_of_the_text(tmp_path: Path) -> None:
    name = manifest(tmp_path, "m.jsonl", ["a", "b"])
    first = [item.key for item in read_pool([name])]
    assert len(set(first)) == 2
    Path(name).write_text(Path(name).read_text().replace('"text": "a"', '"text": "other"'))
    assert [item.key for item in read_pool([name])] == first
    sf.write(tmp_path / "a.wav", noise(0.5, 0.2), RATE_HZ)
    assert not {item.key for item in read_pool([name])} & set(first)


def test_two_manifests_may_not_share_an_id(tmp_path: Path) -> None:
    names = [manifest(tmp_path / "x", "m.jsonl", ["a"]), manifest(tmp_path / "y", "m.jsonl", ["a"])]
    with pytest.raises(DataError, match="also in"):
        read_pool(names)


def test_a_manifest_is_named_once(tmp_path: Path) -> None:
    name = manifest(tmp_path, "m.jsonl", ["a"])
    with pytest.raises(DataError, match="named twice"):
        read_pool([name, name])


def test_a_licence_comes_from_the_folder_or_is_unknown(tmp_path: Path) -> None:
    known, unknown = manifest(tmp_path / "x", "m.jsonl", ["a"]), manifest(tmp_path / "y", "m.jsonl", ["b"])
    (tmp_path / "x" / "LICENSE").write_text("\nMIT License\n\nPermission is ...\n")
    assert [item.licence.name for item in read_pool([known, unknown])] == ["MIT License", "unknown"]
    row = json.loads(Path(unknown).read_text())
    Path(unknown).write_text(json.dumps(row | {"licence": "CC-BY-4.0"}))
    assert read_pool([unknown])[0].licence.name == "CC-BY-4.0"


def test_separators_inside_a_text_break_no_row(tmp_path: Path) -> None:
    row = {"key": "a", "id": "a", "hypothesis": "one\u2028two\x85three"}
    Shards(tmp_path).add([row])
    assert Shards(tmp_path).rows == {"a": row}
    assert read_hypotheses(tmp_path / "shard-00000.jsonl") == {"a": row["hypothesis"]}


def test_a_broken_shard_is_named(tmp_path: Path) -> None:
    Shards(tmp_path).add([{"key": "a"}])
    Shards(tmp_path).add([{"key": "b"}])
    assert set(Shards(tmp_path).rows) == {"a", "b"}
    (tmp_path / "shard-00001.jsonl").write_text('{"key": "b"')
    with pytest.raises(DataError, match="shard-00001"):
        Shards(tmp_path)
