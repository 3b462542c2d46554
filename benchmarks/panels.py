"""A sheet of small log-log charts, one per problem, under one legend."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sparsefire.report import svg

WIDE, HIGH, COLUMNS = 276.0, 216.0, 3
Point = tuple[float, float, float, float]
"""x, y and the ends of the interval of y; where these are equal there is no whisker and no mark."""
Looks = Mapping[str, tuple[str, str]]
"""Colour class and mark of each line."""


@dataclass(frozen=True)
class Panel:
    """One chart: lines by name, ticks of the horizontal axis, and a dashed line with what stands at its end."""

    name: str
    lines: Mapping[str, Sequence[Point]]
    ticks: Sequence[float]
    dashed: Sequence[tuple[float, float]] = ()
    words: str = ""


def sheet(panels: Sequence[Panel], title: str, looks: Looks, show: Callable[[float], str]) -> Markup:
    """Return all panels, three in a row.

    Args:
        panels: in order.
        title: what the axes are.
        looks: of lines, in the order of the legend.
        show: how a tick of the horizontal axis is told.
    """
    parts: list[Markup] = [svg.text(0, 12, title, "soft")]
    x = 0.0
    for name, (colour, shape) in looks.items():
        if any(name in panel.lines for panel in panels):
            parts += [svg.mark(x + 6, 32, shape, f"filled {colour}", size=4), svg.text(x + 15, 36, name, "soft")]
            x += 34 + svg.width_of(name)
    for number, panel in enumerate(panels):
        left, top = (number % COLUMNS) * (WIDE + 16), 58 + (number // COLUMNS) * (HIGH + 20)
        parts += _drawn(panel, looks, left, top, show)
    height = 58 + math.ceil(max(len(panels), 1) / COLUMNS) * (HIGH + 20)
    return svg.picture(parts, width=COLUMNS * (WIDE + 16), height=height, label=title)


def _drawn(panel: Panel, looks: Looks, left: float, top: float, show: Callable[[float], str]) -> list[Markup]:
    values = [value for line in panel.lines.values() for point in line for value in point[1:]]
    least = min(point[1] for line in panel.lines.values() for point in line)
    low = max(min(values), least / 3) / 1.15
    high = max(values) * 1.15
    along = [point[0] for line in panel.lines.values() for point in line]
    first, last = min(*panel.ticks, *along), max(*panel.ticks, *along)
    begin, right, bottom = left + 40, left + WIDE - 6, top + HIGH - 34

    def x(value: float) -> float:
        return begin + 8 + math.log(value / first) / math.log(last / first) * (right - begin - 16)

    def y(value: float) -> float:
        return bottom - 4 - math.log(max(value, low) / low) / math.log(high / low) * (bottom - top - 26)

    parts = [svg.text(left, top + 8, panel.name, "strong"), svg.line(begin, bottom, right, bottom, "axis")]
    for tick in _ticks(low, high):
        parts += [svg.line(begin, y(tick), right, y(tick), "hair")]
        parts += [svg.text(begin - 6, y(tick) + 4, f"{tick:g}", "soft", anchor="end")]
    for tick in panel.ticks:
        parts.append(svg.text(x(tick), bottom + 16, show(tick), "soft", anchor="middle"))
    dashed = [(x(at), y(value)) for at, value in panel.dashed if low <= value <= high]
    if len(dashed) > 1:
        parts.append(svg.path(dashed, "bar thin dash ink"))
        parts.append(svg.text(dashed[-1][0], dashed[-1][1] - 5, panel.words, "soft", anchor="end"))
    for name, line in panel.lines.items():
        colour, shape = looks[name]
        parts.append(svg.path([(x(point[0]), y(point[1])) for point in line], f"bar thin {colour}"))
        for at, value, down, up in line:
            if up > down:
                parts.append(svg.line(x(at), y(down), x(at), y(up), f"bar whisker {colour}"))
                parts.append(svg.mark(x(at), y(value), shape, f"filled {colour}", size=3))
    return parts


def _ticks(low: float, high: float) -> list[float]:
    places = [m * 10.0**e for e in range(-6, 4) for m in (1, 2, 5)]
    inside = [value for value in places if low * 1.02 < value < high / 1.02]
    return inside if len(inside) < 8 else [value for value in inside if f"{value:e}"[0] == "1"]
