"""A distribution as a picture: bars in an SVG file that any browser, and a Markdown page, shows as it is."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from speechrl.report.charts import Frame, Tick, nice_ticks, readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BINS = 24
FRAME = Frame(width=520, height=230, left=46, right=22, top=46, bottom=40)
COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#e15759")
INK, FAINT, PAPER = "#333", "#ddd", "#fff"


@dataclass(frozen=True, slots=True)
class Distribution:
    """What a histogram shows.

    Attributes:
        title: Above it.
        axis: What the values are, with their unit.
        values: Name in the legend -> values; each is drawn as shares of its own number.
        percent: Whether values read as percent.
        high: The last bin takes all values from here on; None ends at the largest.
    """

    title: str
    axis: str
    values: Mapping[str, Sequence[float]]
    percent: bool = False
    high: float | None = None


def histogram(shown: Distribution) -> str | None:
    """Draw a distribution as the text of an SVG file; None where there are no values."""
    series = {name: list(values) for name, values in shown.values.items() if values}
    if not series:
        return None
    x_ticks, edges = _bins([value for values in series.values() for value in values], shown.high)
    shares = {name: bin_shares(values, edges) for name, values in series.items()}
    y_ticks = nice_ticks(0.0, max(max(share) for share in shares.values()), 4)
    top = y_ticks[-1]

    def x(value: float) -> float:
        width = FRAME.width - FRAME.left - FRAME.right
        return FRAME.left + (value - edges[0]) / (edges[-1] - edges[0]) * width

    def y(share: float) -> float:
        return FRAME.height - FRAME.bottom - share / top * (FRAME.height - FRAME.top - FRAME.bottom)

    parts = [*_axes(shown, [Tick(x(tick), readable(tick, shown.percent, axis=True)) for tick in x_ticks])]
    parts += [_rule(y(tick), readable(tick, True, axis=True)) for tick in y_ticks]
    slot = (x(edges[1]) - x(edges[0])) * 0.88 / len(shares)
    for number, (name, share) in enumerate(shares.items()):
        colour = COLOURS[number % len(COLOURS)]
        for edge, value in zip(edges, share, strict=False):
            label = f"{name}, {shown.axis} from {readable(edge, shown.percent)}: {readable(value, True)}"
            parts.append(
                f'<rect x="{x(edge) + number * slot:.1f}" y="{y(value):.1f}" width="{slot:.1f}" '
                f'height="{y(0) - y(value):.1f}" fill="{colour}"><title>{escape(label)}</title></rect>'
            )
        legend = f"{name} ({len(series[name])})"
        at = FRAME.left + number * 112
        parts.append(f'<rect x="{at}" y="27" width="9" height="9" fill="{colour}"/>')
        parts.append(_text(at + 13, 35, legend))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {FRAME.width} {FRAME.height}" '
        f'width="{FRAME.width}" height="{FRAME.height}" font-family="system-ui, sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="{PAPER}"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def bin_shares(values: Sequence[float], edges: Sequence[float]) -> list[float]:
    """Share of the values in each bin; what lies outside is in the first or the last, so that they add up to 1."""
    counts = [0] * (len(edges) - 1)
    size = (edges[-1] - edges[0]) / len(counts)
    for value in values:
        counts[min(len(counts) - 1, max(0, int((value - edges[0]) / size + 1e-9)))] += 1
    return [count / len(values) for count in counts]


def _bins(values: Sequence[float], high: float | None) -> tuple[list[float], list[float]]:
    """Round ticks, and edges of bins between the first and the last of them."""
    low, top = min(0.0, *values), max(values)
    top = top if high is None else min(top, high)
    ticks = nice_ticks(low, top if top > low else low + 1.0, 6)
    step = (ticks[-1] - ticks[0]) / BINS
    return ticks, [ticks[0] + step * index for index in range(BINS + 1)]


def _axes(shown: Distribution, x_ticks: Sequence[Tick]) -> list[str]:
    base = FRAME.height - FRAME.bottom
    axis = (
        shown.axis
        if shown.high is None
        else f"{shown.axis} ({readable(shown.high, shown.percent)} and more at the end)"
    )
    return [
        f'<text x="{FRAME.left}" y="17" fill="{INK}" font-size="13" font-weight="600">{escape(shown.title)}</text>',
        *(_text(tick.at, base + 14, tick.label, "middle") for tick in x_ticks),
        _text((FRAME.left + FRAME.width - FRAME.right) / 2, base + 31, axis, "middle"),
    ]


def _rule(at: float, label: str) -> str:
    line = f'<path d="M{FRAME.left} {at:.1f}H{FRAME.width - FRAME.right}" stroke="{FAINT}"/>'
    return line + _text(FRAME.left - 5, at + 4, label, "end")


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{INK}" text-anchor="{anchor}">{escape(text)}</text>'
