"""Geometry of the page's figures: numbers in, SVG coordinates out; the template draws, the style sheet colours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from speechrl.report.metrics import merge
from speechrl.report.timeline import stages_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_POINTS = 400
MAX_BARS = 90
SMOOTH_FROM = 25
"""Points from which a curve also gets a smoothed line."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A drawing area in SVG units: the figure's size and the margins around the plot."""

    width: int = 330
    height: int = 168
    left: int = 44
    right: int = 8
    top: int = 10
    bottom: int = 24


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis: where it is, and what it says."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Line:
    """A curve: its SVG path, a smoothed path (empty for few points), and its values as text for the legend."""

    name: str
    path: str
    smooth: str
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure of curves over steps."""

    title: str
    note: str
    frame: Frame
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    steps: tuple[int, ...]
    xs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """What a chart shows: a title, metric -> its name in the legend, and whether values read as percent."""

    title: str
    note: str
    metrics: Mapping[str, str]
    percent: bool = False


def line_chart(rows: Sequence[Mapping[str, Any]], panel: Panel, frame: Frame | None = None) -> Chart | None:
    """Draw a panel's metrics over steps; None where no row has any of them.

    Long runs are merged into `MAX_POINTS` points, each metric by its own reducer.
    """
    frame = frame or Frame()
    points = binned(rows, MAX_POINTS)
    columns = {label: [row.get(metric) for row in points] for metric, label in panel.metrics.items()}
    columns = {
        label: values for label, values in columns.items() if any(value is not None for value in values)
    }
    if not columns:
        return None
    steps = [int(row["step"]) for row in points]
    low, high = _range([value for values in columns.values() for value in values if value is not None])
    x_ticks, y_ticks = nice_ticks(steps[0], steps[-1], 5, whole=True), nice_ticks(low, high, 4)
    low, high = min(low, y_ticks[0]), max(high, y_ticks[-1])
    xs = [_place(step, steps[0], steps[-1], frame.left, frame.width - frame.right) for step in steps]

    def y(value: float) -> float:
        return _place(value, low, high, frame.height - frame.bottom, frame.top)

    return Chart(
        title=panel.title,
        note=panel.note,
        frame=frame,
        lines=tuple(
            Line(
                name,
                _path(xs, [None if value is None else y(value) for value in values]),
                _path(xs, [None if value is None else y(value) for value in smooth(values)])
                if len(values) >= SMOOTH_FROM
                else "",
                tuple("–" if value is None else readable(value, panel.percent) for value in values),
            )
            for name, values in columns.items()
        ),
        x_ticks=tuple(
            Tick(_place(tick, steps[0], steps[-1], frame.left, frame.width - frame.right), f"{tick:g}")
            for tick in x_ticks
        ),
        y_ticks=tuple(
            Tick(y(tick), label)
            for tick, label in zip(y_ticks, tick_labels(y_ticks, panel.percent), strict=True)
        ),
        steps=tuple(steps),
        xs=tuple(round(x, 1) for x in xs),
    )


@dataclass(frozen=True, slots=True)
class Bar:
    """A stage's share of a bar: `stage` is its index in the legend."""

    stage: int
    x: float
    y: float
    width: float
    height: float
    label: str


@dataclass(frozen=True, slots=True)
class Stack:
    """Stacked seconds of the stages over steps."""

    frame: Frame
    bars: tuple[Bar, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def stage_stack(rows: Sequence[Mapping[str, Any]], stages: Sequence[str]) -> Stack | None:
    """Draw the mean seconds a step of every stage; long runs are merged into `MAX_BARS` bars. None without seconds."""
    if not rows or not stages:
        return None
    frame = Frame(width=1000, height=230, left=46, right=4, top=10, bottom=24)
    groups = chunks(rows, MAX_BARS)
    means = [
        {stage: fmean(stages_of(row, "seconds").get(stage, 0.0) for row in group) for stage in stages}
        for group in groups
    ]
    y_ticks = nice_ticks(0.0, max(sum(mean.values()) for mean in means) or 1.0, 4)
    high = max(y_ticks[-1], *(sum(mean.values()) for mean in means))
    slot = (frame.width - frame.left - frame.right) / len(groups)
    bars: list[Bar] = []
    for index, (group, mean) in enumerate(zip(groups, means, strict=True)):
        base = 0.0
        for number, (stage, seconds) in enumerate(mean.items()):
            top = _place(base + seconds, 0, high, frame.height - frame.bottom, frame.top)
            bottom = _place(base, 0, high, frame.height - frame.bottom, frame.top)
            x = frame.left + index * slot
            label = f"step {_span(group)}, {stage}: {seconds:.3g} s"
            bars.append(
                Bar(number, round(x, 2), round(top, 2), round(slot * 0.86, 2), round(bottom - top, 2), label)
            )
            base += seconds
    every = max(1, round(len(groups) / 8))
    x_ticks = [
        Tick(frame.left + (index + 0.43) * slot, str(groups[index][0]["step"]))
        for index in range(0, len(groups), every)
    ]
    y_marks = [
        Tick(_place(tick, 0, high, frame.height - frame.bottom, frame.top), f"{tick:g} s") for tick in y_ticks
    ]
    return Stack(frame, tuple(bars), tuple(x_ticks), tuple(y_marks))


def binned(rows: Sequence[Mapping[str, Any]], most: int) -> list[Mapping[str, Any]]:
    """The rows themselves where there are few, else `most` rows, each merged from neighbours."""
    return list(rows) if len(rows) <= most else [merge(group) for group in chunks(rows, most)]


def chunks(rows: Sequence[Mapping[str, Any]], most: int) -> list[Sequence[Mapping[str, Any]]]:
    """Cut rows into at most `most` runs of neighbours of equal size; the last may be shorter."""
    size = math.ceil(len(rows) / most)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def smooth(values: Sequence[float | None], reach: float = 0.08) -> list[float | None]:
    """Mean over a window of `reach` of all points on either side, so that the line does not lag behind its points."""
    half = max(1, round(len(values) * reach))
    means: list[float | None] = []
    for index in range(len(values)):
        window = [value for value in values[max(0, index - half) : index + half + 1] if value is not None]
        means.append(fmean(window) if window else None)
    return means


def nice_ticks(low: float, high: float, count: int, *, whole: bool = False) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten apart) that cover [low, high]; inside it for whole numbers."""
    span = (high - low) or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power * count >= span)
    if whole:
        step = max(1.0, math.ceil(step))
        first, last = math.ceil(low / step), math.floor(high / step)
    else:
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)] or [low]


def readable(value: float, percent: bool = False, *, axis: bool = False, digits: int = 3) -> str:
    """A number for people: at most so many digits that count, percent where asked for."""
    if percent:
        return f"{value:.4g}%" if axis and value == 0 else f"{100 * value:.{digits}g}%"
    if abs(value) >= 999.5:
        return f"{value:.0f}"
    return f"{value:.{digits}g}".replace("e-0", "e-")


def tick_labels(ticks: Sequence[float], percent: bool = False) -> list[str]:
    """The ticks of an axis as `readable` writes them, with as many digits as it takes to tell them apart."""
    for digits in range(3, 9):
        labels = [readable(tick, percent, axis=True, digits=digits) for tick in ticks]
        if len(set(labels)) == len(labels):
            break
    return labels


def _range(values: Sequence[float]) -> tuple[float, float]:
    """What the axis shows: at least a tenth of the value, so that what hardly changes is drawn flat."""
    low, high = min(values), max(values)
    middle = (low + high) / 2
    least = 0.1 * (abs(middle) or 1.0)
    if high - low < least:
        return middle - least / 2, middle + least / 2
    return (0.0 if 0 < low < 0.4 * high else low), high


def _place(value: float, low: float, high: float, start: float, end: float) -> float:
    return start if high == low else start + (value - low) / (high - low) * (end - start)


def _path(xs: Sequence[float], ys: Sequence[float | None]) -> str:
    """An SVG path that lifts its pen over missing values; a value alone is a dot."""
    words, pen_down = [], False
    for index, (x, y) in enumerate(zip(xs, ys, strict=True)):
        if y is not None:
            words.append(f"{'L' if pen_down else 'M'}{x:.1f} {y:.1f}")
            if not pen_down and (index + 1 == len(ys) or ys[index + 1] is None):
                words.append("h0")
        pen_down = y is not None
    return "".join(words)


def _span(group: Sequence[Mapping[str, Any]]) -> str:
    first, last = group[0]["step"], group[-1]["step"]
    return str(first) if first == last else f"{first}–{last}"
