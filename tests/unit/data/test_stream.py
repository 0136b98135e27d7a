"""The stream is endless, seeded, and the same after a resume."""

import json

import numpy as np
import pytest
import soundfile as sf

from speechrl.data.manifests import read_manifest
from speechrl.data.stream import PromptStream, within_duration
from speechrl.errors import DataError

SIZES = [{"batch_size": 3}, {"batch_duration_s": 2.0}]


@pytest.fixture(scope="module")
def cuts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stream")
    rng = np.random.default_rng(0)
    rows = []
    for index in range(17):
        sf.write(folder / f"{index}.wav", 0.1 * rng.standard_normal(1600 + 800 * index), 16_000)
        rows.append({"id": f"u{index}", "audio": f"{index}.wav", "text": str(index)})
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_manifest(folder / "m.jsonl")


def ids(stream, batches):
    return [[prompt.id for prompt in stream.next_batch()] for _ in range(batches)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("stop", [0, 1, 5, 6, 13])
def test_resumed_equals_uninterrupted(cuts, size, stop):
    whole = ids(PromptStream(cuts, seed=4, **size), 20)
    first = PromptStream(cuts, seed=4, **size)
    ids(first, stop)
    second = PromptStream(cuts, seed=4, **size)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    assert ids(second, 20 - stop) == whole[stop:]


@pytest.mark.parametrize("size", SIZES)
def test_epochs_differ_and_seeds_differ(cuts, size):
    stream = PromptStream(cuts, seed=1, **size)
    first, second = ids(stream, stream.batches_per_epoch), ids(stream, stream.batches_per_epoch)
    assert first != second
    other = PromptStream(cuts, seed=2, **size)
    assert ids(other, other.batches_per_epoch) != first


def test_an_epoch_has_every_prompt_at_most_once_in_full_batches(cuts):
    stream = PromptStream(cuts, batch_size=3)
    batches = ids(stream, stream.batches_per_epoch)
    flat = [name for batch in batches for name in batch]
    assert [len(batch) for batch in batches] == [3] * 5
    assert len(set(flat)) == len(flat)


def test_bucketed_epoch_has_every_prompt_once_within_the_seconds(cuts):
    stream = PromptStream(cuts, batch_duration_s=2.0)
    batches = [stream.next_batch() for _ in range(stream.batches_per_epoch)]
    assert sorted(p.id for batch in batches for p in batch) == sorted(cut.id for cut in cuts)
    assert all(sum(p.duration_s for p in batch) <= 2.0 + 1e-6 for batch in batches)


def test_a_set_smaller_than_a_batch_is_one_batch(cuts):
    stream = PromptStream(cuts, batch_size=99)
    assert [len(batch) for batch in ids(stream, 2)] == [17, 17]


def test_state_of_other_data_or_seed_is_refused(cuts):
    state = PromptStream(cuts, batch_size=3, seed=1).state_dict()
    with pytest.raises(DataError, match="other data, another seed or another batch size"):
        PromptStream(cuts, batch_size=3, seed=2).load_state_dict(state)


def test_exactly_one_size_is_wanted(cuts):
    with pytest.raises(DataError, match="either"):
        PromptStream(cuts)
    with pytest.raises(DataError, match="either"):
        PromptStream(cuts, batch_size=1, batch_duration_s=1.0)


def test_limits_of_duration_leave_out_and_count(cuts):
    kept = within_duration(cuts, 0.2, 0.5)
    assert (len(kept.cuts), kept.left_out) == (7, 10)
    with pytest.raises(DataError, match="none of 17"):
        within_duration(cuts, 5.0, None)
