"""Distributions as pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechrl.report.histogram import BINS, Distribution, bin_shares, histogram


@given(st.lists(st.floats(-5, 50), min_size=1, max_size=60))
def test_shares_add_up_and_nothing_is_lost_outside_of_the_axis(values) -> None:
    edges = [float(number) for number in range(11)]
    shares = bin_shares(values, edges)
    assert sum(shares) == pytest.approx(1)
    assert shares[-1] == pytest.approx(sum(value >= 9 - 1e-9 for value in values) / len(values))


def test_bars_are_as_high_as_their_shares() -> None:
    svg = histogram(Distribution("Title & more", "s", {"one": [0.0, 0.0, 0.0, 6.0], "none": []}))
    root = ET.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    bars = [bar for bar in root.iter(f"{space}rect") if bar.find(f"{space}title") is not None]
    heights = sorted(float(bar.get("height")) for bar in bars)
    assert len(bars) == BINS
    assert heights[-1] == pytest.approx(3 * heights[-2], abs=0.2)
    assert heights[-3] == 0
    assert "Title & more" in [text.text for text in root.iter(f"{space}text")]


def test_nothing_to_show_is_no_picture() -> None:
    assert histogram(Distribution("t", "x", {"a": []})) is None
    assert histogram(Distribution("t", "x", {"a": [0.0]})) is not None
