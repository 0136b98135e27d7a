"""Rules: lines, what is dropped, subsets, and the mix by shares."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from speechrl.config.selection import Line, MixConfig, Range, SelectionConfig, SubsetConfig
from speechrl.selection.rules import choose, find_dropped, holds, mix, quotas, take
from speechrl.selection.utterances import Utterance


def one(name: str, **changes) -> Utterance:
    values: dict[str, object] = dict.fromkeys(field.name for field in dataclasses.fields(Utterance))
    values |= {
        "key": name,
        "id": name,
        "language": "en",
        "audio": name,
        "label": name,
        "reference": name,
        "duration_s": 1.0,
        "verdict": "easy",
        "keyword_count": 0,
    }
    return Utterance(**(values | changes))


def config(**changes) -> SelectionConfig:
    return SelectionConfig.model_validate({"subsets": {"every": {}}, **changes})


def names(utterances) -> list[str]:
    return [each.id for each in utterances]


def test_whatever_a_line_can_ask_for_is_known_of_an_utterance() -> None:
    assert set(Line.model_fields) <= {field.name for field in dataclasses.fields(Utterance)}


def test_a_line_holds_when_everything_in_it_does() -> None:
    line = Line(verdict=["hard", "easy"], duration_s=Range(min=1.0), loop=False)
    assert holds(line, one("a", loop=False))
    assert not holds(line, one("a", loop=True))
    assert not holds(line, one("a", loop=False, duration_s=0.9))
    assert not holds(line, one("a", loop=False, verdict="ambiguous"))


def test_languages_are_the_same_whatever_their_region() -> None:
    line = Line(language=["en", "zh"])
    assert all(holds(line, one("a", language=tag)) for tag in ("en-US", "EN", "English", "zh-Hans", "cmn"))
    assert not holds(line, one("a", language="de"))


def test_what_is_not_known_meets_nothing() -> None:
    assert not holds(Line(wer=Range(max=9.0)), one("a", wer=None))
    assert not holds(Line(spread=False), one("a", spread=None))
    assert holds(Line(spread=False), one("a", spread=False))


@given(st.lists(st.floats(0, 60), max_size=20), st.floats(1, 59))
def test_two_sides_of_a_threshold_share_nothing_and_miss_nothing(durations, threshold) -> None:
    pool = [one(str(number), duration_s=seconds) for number, seconds in enumerate(durations)]
    short = take(pool, SubsetConfig(any=[Line(duration_s=Range(max=threshold))]), 1, None, "short")
    long = take(pool, SubsetConfig(any=[Line(duration_s=Range(min=threshold))]), 1, None, "long")
    assert sorted(names(short) + names(long)) == sorted(names(pool))


def test_the_order_decides_who_is_taken_and_the_unknown_come_last() -> None:
    pool = [one("a", wer=0.1), one("b", wer=None), one("c", wer=0.9), one("d", wer=0.5)]
    worst = SubsetConfig(order="wer")
    assert names(take(pool, worst, 1, 2, "x")) == ["c", "d"]
    best = SubsetConfig(order="wer", descending=False)
    assert names(take(pool, best, 1, None, "x")) == ["a", "d", "c", "b"]


def test_a_random_order_follows_the_seed_and_hardly_the_pool() -> None:
    pool = [one(str(number)) for number in range(40)]
    subset = SubsetConfig()
    first = names(take(pool, subset, 1, 10, "x"))
    assert names(take(pool[::-1], subset, 1, 10, "x")) == first
    assert names(take(pool, subset, 2, 10, "x")) != first
    assert names(take(pool, subset, 1, 10, "y")) != first
    assert [name for name in names(take([*pool, one("new")], subset, 1, 11, "x")) if name in first][
        :9
    ] == first[:9]


def test_a_control_is_as_large_as_what_it_controls() -> None:
    pool = [one(str(number), duration_s=float(number)) for number in range(30)]
    found = choose(
        pool,
        config(
            subsets={
                "control": {"same_size_as": "mixed"},
                "long": {"any": [{"duration_s": {"min": 20.0}}]},
                "short": {"any": [{"duration_s": {"max": 20.0}}]},
                "other": {"same_size_as": "long"},
            },
            mix={"shares": {"long": 0.5, "short": 0.5}},
        ),
    )
    assert list(found) == ["control", "long", "short", "other", "mixed"]
    assert {name: len(chosen) for name, chosen in found.items()} == {
        "control": 20,
        "long": 10,
        "short": 20,
        "other": 10,
        "mixed": 20,
    }


@given(
    st.lists(st.sets(st.sampled_from("xyz"), min_size=1), min_size=1, max_size=40),
    st.sampled_from([(0.5, 0.25, 0.25), (0.4, 0.4, 0.2), (1 / 3, 1 / 3, 1 / 3)]),
)
def test_a_mix_keeps_its_shares_and_takes_nobody_twice(membership, weights) -> None:
    pool = [one(str(number)) for number in range(len(membership))]
    chosen = {
        name: [each for each, homes in zip(pool, membership, strict=True) if name in homes] for name in "xyz"
    }
    shares = dict(zip("xyz", weights, strict=True))
    mixed = mix(chosen, MixConfig(shares=shares), 1)
    assert len({each.key for each in mixed}) == len(mixed)
    for name, count in quotas(shares, len(mixed)).items():
        assert sum(each in chosen[name] for each in mixed) >= count


def test_a_mix_that_is_too_large_takes_what_there_is() -> None:
    chosen = {"x": [one("a")], "y": [one(name) for name in "bcdefgh"]}
    mixed = mix(chosen, MixConfig(shares={"x": 0.5, "y": 0.5}, size=8), 1)
    assert sorted(names(mixed))[0] == "a"
    assert len(mixed) == 5


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 200))
def test_quotas_add_up_and_are_within_one_of_their_share(weights, size) -> None:
    shares = {str(number): weight / sum(weights) for number, weight in enumerate(weights)}
    found = quotas(shares, size)
    assert sum(found.values()) == size
    assert all(abs(found[name] - share * size) < 1 for name, share in shares.items())


def test_reasons_for_dropping_come_in_their_order() -> None:
    pool = [
        one("test"),
        one("nothing", reference=None),
        one("suspect", verdict="label_suspect"),
        one("first", reference="Hello there.", audio="s1"),
        one("again", reference="hello there", audio="s2"),
        one("sound", reference="other words", audio="s1"),
        one("silence1", reference="", audio="s3"),
        one("silence2", reference="", audio="s4"),
    ]
    rules = config(exclude={"suspect_label": {"verdict": ["label_suspect"]}})
    found = find_dropped(pool, rules, lambda each: "held_out_id" if each.id == "test" else None)
    assert found == {
        "test": "held_out_id",
        "nothing": "no_reference",
        "suspect": "suspect_label",
        "again": "same_text",
        "sound": "same_audio",
    }


def test_a_dropped_copy_does_not_drop_what_is_kept() -> None:
    """The first is held out: the second is then no copy of anything that is kept."""
    pool = [one("test", reference="hello"), one("second", reference="hello")]
    found = find_dropped(pool, config(), lambda each: "held_out_id" if each.id == "test" else None)
    assert found == {"test": "held_out_id"}


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"subsets": {"a": {"any": [{}]}}}, "must say something"),
        ({"subsets": {"a": {"any": [{"wer": {"min": 0.5, "max": 0.5}}]}}}, "no value is at least"),
        ({"subsets": {"a": {}, "b": {"same_size_as": "c"}}}, "must be one of a"),
        ({"subsets": {"a": {}}, "mix": {"shares": {"a": 0.5}}}, "add up to 0.5"),
        ({"subsets": {"a": {}}, "mix": {"shares": {"b": 1.0}}}, "no subset"),
        ({"subsets": {"a": {"durations": 1}}}, "Extra inputs"),
        ({"subsets": {"a": {}}, "bands": [0.5, 0.2]}, "ascend"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(tree, said) -> None:
    with pytest.raises(ValidationError, match=said):
        SelectionConfig.model_validate(tree)


def test_copies_of_a_text_are_copies_whatever_the_tag_of_their_language() -> None:
    pool = [one(tag, reference="Please hold the line.", language=tag) for tag in ("en", "en-GB", "English")]
    assert find_dropped(pool, config(), lambda each: None) == {"en-GB": "same_text", "English": "same_text"}


def test_a_mix_is_not_stopped_by_a_size_that_only_rounds_badly() -> None:
    """Of 18 the smallest subset would have to give 2, of 17 and 19 one."""
    sizes, shares = {"x": 1, "y": 10, "z": 12}, {"x": 0.08, "y": 0.4, "z": 0.52}
    assert [quotas(shares, size)["x"] for size in (17, 18, 19, 20)] == [1, 2, 1, 2]
    chosen = {name: [one(f"{name}{i}") for i in range(size)] for name, size in sizes.items()}
    assert len(mix(chosen, MixConfig(shares=shares), 1)) == 19
