"""Batches of similar length: nothing lost, little padded, each epoch another, and the same for the same seed."""

import numpy as np

from speechrl.train.length_batches import length_batches

LENGTHS = np.random.default_rng(5).integers(1, 200, size=500).tolist()
BUDGET = 1000


def epochs(seed: int, count: int = 2) -> list[list[list[int]]]:
    rng = np.random.default_rng(seed)
    return [length_batches(LENGTHS, BUDGET, rng) for _ in range(count)]


def test_every_item_comes_once_within_the_budget_and_few_positions_are_padding() -> None:
    (made,) = epochs(1, 1)
    assert sorted(place for batch in made for place in batch) == list(range(len(LENGTHS)))
    used = [max(LENGTHS[place] for place in batch) * len(batch) for batch in made]
    assert max(used) <= BUDGET
    assert sum(used) < 1.2 * sum(LENGTHS)


def test_an_epoch_is_another_than_the_last_and_a_seed_tells_all_of_them() -> None:
    first, second = epochs(1)
    assert {tuple(batch) for batch in first} != {tuple(batch) for batch in second}
    assert epochs(1) == [first, second]


def test_an_item_beyond_the_budget_is_alone() -> None:
    made = length_batches([5, 50, 5], 20, np.random.default_rng(0))
    assert sorted(map(sorted, made)) == [[0, 2], [1]]
