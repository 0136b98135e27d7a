import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechrl.text.loops import Loop, find_loops, needed_repeats, unsupported_loops


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("a b c d e f", []),
        ("no no", []),
        ("no no no", [Loop(0, ("no",), 3)]),
        ("go try it try it try it try", [Loop(1, ("try", "it"), 7)]),
        ("thank you thank you", []),
        ("a b c d a b c d", [Loop(0, ("a", "b", "c", "d"), 8)]),
        ("x a a a y b b b b", [Loop(1, ("a",), 3), Loop(5, ("b",), 4)]),
        ("a a a a a a a a", [Loop(0, ("a",), 8)]),
    ],
)
def test_loops_by_hand(text: str, expected: list[Loop]) -> None:
    assert find_loops(text.split()) == expected


@pytest.mark.parametrize(
    ("reference", "hypothesis", "too_many"),
    [
        ("try again", "try try try again", [2]),
        ("try try try again", "try try try again", []),
        ("try try try again", "try try try try again", []),
        ("try try try again", "try try try try try again", [2]),
        ("again", "try try try again", [2]),
        ("b a b a b a", "a b a b a b", []),
        ("one two three four", "one two three four one two three four", [4]),
        ("one two three four one two three four", "one two three four one two three four", []),
        ("a", "x y x y x y x", [5]),
    ],
)
def test_what_the_reference_repeats_is_allowed(reference: str, hypothesis: str, too_many: list[int]) -> None:
    assert [extra for _, extra in unsupported_loops(reference.split(), hypothesis.split())] == too_many


@given(st.lists(st.sampled_from("abc"), max_size=16))
def test_a_loop_is_what_it_says(tokens: list[str]) -> None:
    for loop in find_loops(tokens):
        stretch = tokens[loop.start : loop.start + loop.span]
        assert len(stretch) == loop.span
        assert stretch == (list(loop.unit) * (loop.repeats + 1))[: loop.span]
        assert loop.repeats >= needed_repeats(len(loop.unit))
    assert unsupported_loops(tokens, tokens) == []
