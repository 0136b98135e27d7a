"""An epoch by difficulty: bands in turn, and difficulty that training itself measures."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from speechrl.data.curriculum import Curriculum, known_difficulties
from speechrl.data.manifests import read_manifest
from speechrl.data.stream import PromptStream
from speechrl.errors import DataError
from speechrl.types import Prompt, Score

DIFFICULTY = {f"u{index}": (7 * index % 12) / 12 for index in range(12)}


@pytest.fixture(scope="module")
def cuts(tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("curriculum")
    rows = []
    for index in range(12):
        sf.write(folder / f"{index}.wav", np.full(800, 0.01 * index), 16_000)
        rows.append({"id": f"u{index}", "audio": f"{index}.wav", "text": str(index)})
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_manifest(folder / "m.jsonl")


@dataclass
class Source:
    """Plays training: each prompt that is drawn is then told as difficult as `now` says."""

    stream: PromptStream
    now: dict[str, float] = field(default_factory=dict)

    def epoch(self, steps: int = 12) -> list[str]:
        drawn = []
        for _ in range(steps):
            (prompt,) = self.stream.next_batch()
            self.stream.learn([prompt], [[Score(1.0, {}, metrics={"wer": self.now.get(prompt.id, 0.0)})]])
            drawn.append(prompt.id)
        return drawn


def stream(cuts, order="easy_first", bands=4, refresh=False, known=DIFFICULTY, seed=3) -> PromptStream:
    return PromptStream(cuts, batch_size=1, seed=seed, curriculum=Curriculum(order, bands, refresh, known))


@pytest.mark.parametrize(("order", "sign"), [("easy_first", 1), ("hard_first", -1)])
def test_bands_come_in_turn_and_are_shuffled_inside(cuts, order, sign) -> None:
    played = Source(stream(cuts, order))
    first, second = played.epoch(), played.epoch()
    for drawn in (first, second):
        assert sorted(drawn) == sorted(DIFFICULTY)
        bands = [[sign * DIFFICULTY[name] for name in drawn[start : start + 3]] for start in range(0, 12, 3)]
        assert all(max(low) < min(high) for low, high in itertools.pairwise(bands))
    assert first != second


def test_without_an_order_or_a_measurement_the_stream_is_as_it_was(cuts) -> None:
    plain = Source(PromptStream(cuts, batch_size=1, seed=3)).epoch()
    assert Source(stream(cuts, "none")).epoch() == plain
    assert Source(stream(cuts, known={})).epoch() == plain
    assert stream(cuts, "none").state_dict() == PromptStream(cuts, batch_size=1, seed=3).state_dict()


def test_equal_difficulties_are_in_one_band_and_the_unknown_in_the_middle(cuts) -> None:
    known = {f"u{index}": 0.0 if index < 5 else 1.0 for index in range(10)}  # u10, u11 unknown
    easy, hard = set(list(known)[:5]), set(list(known)[5:])
    assert set(Source(stream(cuts, bands=3, known=known)).epoch()[:5]) == easy
    assert set(Source(stream(cuts, bands=2, known=known)).epoch()[-5:]) == hard


def test_rollouts_of_an_epoch_order_the_next(cuts) -> None:
    new = {name: 1 - value for name, value in DIFFICULTY.items()}
    played = Source(stream(cuts, refresh=True), new)
    first, second = played.epoch(), played.epoch()
    assert max(DIFFICULTY[name] for name in first[:3]) < min(DIFFICULTY[name] for name in first[-3:])
    assert max(new[name] for name in second[:3]) < min(new[name] for name in second[-3:])


def test_the_last_batch_of_an_epoch_counts_for_the_next(cuts) -> None:
    easy_first = stream(cuts, refresh=True)
    last = [easy_first.next_batch() for _ in range(12)][-1]
    assert DIFFICULTY[last[0].id] > 0.7
    easy_first.learn(last, [[Score(1.0, {}, metrics={"wer": 0.0})]])
    drawn = [easy_first.next_batch()[0].id for _ in range(12)]
    assert last[0].id in drawn[:3]


@pytest.mark.parametrize("stop", [0, 5, 12, 17])
def test_resumed_equals_uninterrupted_with_a_refreshed_curriculum(cuts, stop) -> None:
    """In the middle of an epoch the order is the one that it began with, whatever was measured since."""
    new = {name: 1 - value for name, value in DIFFICULTY.items()}
    whole = Source(stream(cuts, refresh=True), new).epoch(30)
    first = Source(stream(cuts, refresh=True), new)
    first.epoch(stop)
    second = Source(stream(cuts, refresh=True), new)
    second.stream.load_state_dict(json.loads(json.dumps(first.stream.state_dict())))
    assert second.epoch(30 - stop) == whole[stop:]


def test_a_position_in_another_order_is_refused(cuts) -> None:
    state = stream(cuts).state_dict()
    with pytest.raises(DataError):
        stream(cuts, "hard_first").load_state_dict(state)
    with pytest.raises(DataError):
        stream(cuts, known={**DIFFICULTY, "u1": 0.9}).load_state_dict(state)


def test_what_token2text_misreads_orders_sentences_to_speak() -> None:
    curriculum = Curriculum("easy_first", 2, True, {"a": 0.1, "b": 0.5})
    prompts = [Prompt(name, "tts", "") for name in "ab"]
    # A recogniser's error rate counts words, and what `data select` wrote counts letters.
    curriculum.measure(
        prompts,
        [
            [Score(0.0, {}, metrics=measured)]
            for measured in ({"token_cer": 0.6}, {"token_cer": 0.2, "wer": 0.9})
        ],
    )
    curriculum.begin_epoch()
    assert curriculum.arrange(["a", "b"]) == [1, 0]


def test_a_failed_score_measures_nothing() -> None:
    curriculum = Curriculum("easy_first", 2, True, {"a": 0.5, "b": 0.1})
    curriculum.measure([Prompt("a", "asr", "")], [[Score(float("nan"), {})]])
    curriculum.begin_epoch()
    assert curriculum.arrange(["a", "b"]) == [1, 0]


def test_known_difficulties_are_those_of_the_manifest(cuts) -> None:
    assert known_difficulties(cuts) == {}
    cuts[0].supervisions[0].custom["difficulty"] = 0.25
    assert known_difficulties(cuts) == {"u0": 0.25}
