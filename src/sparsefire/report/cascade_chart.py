"""The law of a cascade in two pictures: how often each size occurs, and how often a cascade gets at least so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from sparsefire.cascades.distribution import SizeDistribution
from sparsefire.cascades.shape import PER_DECADE, binned, log_bins, modes
from sparsefire.data import figures
from sparsefire.report import cascade_text, svg
from sparsefire.report.place import Box, Label, Point, place

RAREST = 1e-6  # probabilities below are not drawn
_POINTS = 240  # sizes of the second picture


@dataclass(frozen=True)
class _Axis:
    """A logarithmic axis of sizes from ``first`` to ``units``, with a place for 0 in front if it occurs."""

    left: float
    right: float
    first: int
    units: int

    def x(self, size: float) -> float:
        """Return the place of a size in px; 0 stands where one half would."""
        low, high = self._log(self.first), self._log(self.units)
        return self.left + (self._log(size) - low) / max(high - low, 1e-9) * (self.right - self.left)

    def _log(self, size: float) -> float:
        return math.log10(max(size, 0.5))

    def ticks(self) -> list[int]:
        """Return sizes to write at the axis: powers of ten, 0 if it has a place, and the number of units."""
        powers = [10**power for power in range(len(str(self.units)))]
        inside = [size for size in powers if self.first <= size <= self.units]
        out = [0] * (self.first == 0) + inside
        last = 0 if not out else self.x(out[-1])
        return out + [self.units] * (self.right - last > 52)


def draw_sizes(law: SizeDistribution, *, width: float, height: float = 260.0) -> Markup:
    """Return the share of cascades in each of eight bins per decade, with the median and the mean.

    Args:
        law: on one unit or more.
        width, height: px.

    >>> "mean 0.75" in draw_sizes(SizeDistribution.from_pmf([0.5, 0.25, 0.25], "tree"), width=440)
    True
    """
    edges = log_bins(len(law.pmf) - 1, PER_DECADE)
    mass = binned(law, edges)
    axis = _axis(law, width, 48.0)
    top, bottom = 44.0, height - 44.0
    highest = max(float(mass.max()), 1e-9)
    ticks = svg.ticks(0.0, highest, 4)

    def y(value: float) -> float:
        return bottom - value / (1.02 * highest) * (bottom - top)

    parts = []
    decimals = svg.step_decimals(svg.nice_step(100 * highest, 4))
    for value in ticks:
        parts.append(svg.line(axis.left, y(value), axis.right, y(value), "hair"))
        shown = figures.fixed(100 * value, decimals) + ("%" if value == ticks[-1] else "")
        parts.append(svg.text(axis.left - 13, y(value) + 4, shown, "soft", anchor="end"))
    bars: list[Box] = []
    for begin, end, value in zip(edges[:-1].tolist(), edges[1:].tolist(), mass.tolist(), strict=True):
        if value <= 0:
            continue
        left, right = _bar(axis, begin, end)
        head = min(y(value), bottom - 0.8)
        parts.append(svg.rect(left, head, right - left, bottom - head, "fill blue"))
        bars.append((left, head, right, bottom))
    marks: list[Point] = []
    parts += _size_axis(axis, bottom, height, "active units in the end (log scale)")
    mean, median = law.mean(), int(law.quantile(0.5))
    both = [(mean, f"mean {cascade_text.amount(mean)}", "bar thin dash warm", "warm-text strong", 14.0)]
    both.append((median, f"median {figures.count(median)}", "bar thin ink", "ink strong", 31.0))
    for size, words, line, text, at in both:
        x = axis.x(size)
        parts.append(svg.line(x, at + 4, x, bottom, line))
        end = x + 6 + svg.width_of(words) > axis.right
        parts.append(svg.text(x - 5 if end else x + 5, at + 4, words, f"{text} halo", anchor="end" if end else None))
        marks += [(x, at + 6 * step) for step in range(int((bottom - at) / 6))]
    parts += _group_labels(law, axis, marks, bars, top, bottom)
    label = f"Share of cascades by size. Median {figures.count(median)}, mean {cascade_text.amount(mean)}."
    return svg.picture(parts, width=width, height=height, label=f"{label} {cascade_text.grouping(law)}".strip())


def draw_at_least(law: SizeDistribution, *, width: float, height: float = 260.0) -> Markup:
    """Return P(at least k units) on logarithmic axes, of a sampled law with its simultaneous 95% band.

    Args:
        law: on one unit or more.
        width, height: px.

    >>> "95%" in draw_at_least(SizeDistribution.from_samples([1, 2, 2, 5], 6), width=460)
    True
    """
    units = len(law.pmf) - 1
    axis = _axis(law, width, 56.0)
    top, bottom = 26.0, height - 44.0
    at_least = np.append(1.0, law.survival[:-1])
    low, high = at_least, at_least
    if law.band is not None:
        low, high = np.append(1.0, 1 - law.band[1][:-1]), np.append(1.0, 1 - law.band[0][:-1])
    rarest = RAREST if law.samples is None else max(RAREST, 0.5 / law.samples)
    shown = at_least[at_least >= rarest]
    floor = 10.0 ** min(math.floor(math.log10(max(float(shown.min()), rarest)) + 1e-9), -1)

    def y(value: float) -> float:
        return top + math.log10(max(value, floor)) / math.log10(floor) * (bottom - top)

    parts = [svg.text(0, 10, "share of cascades that reach at least so many", "soft")]
    for power in range(0, round(math.log10(floor)) - 1, -1):
        value = 10.0**power
        parts.append(svg.line(axis.left, y(value), axis.right, y(value), "hair"))
        parts.append(svg.text(axis.left - 8, y(value) + 4, figures.short_percent(value), "soft", anchor="end"))
    sizes = np.unique(np.append(np.geomspace(1, units, _POINTS).round().astype(np.int64), units))
    sizes = np.append(0, sizes) if axis.first == 0 else sizes
    if law.band is not None:
        upper, lower = (_steps(axis, y, sizes, values) for values in (high, low))
        parts.append(svg.path([*upper, *lower[::-1]], "band"))
    drawn = sizes[: int((at_least[sizes] >= floor * (1 - 1e-9)).sum()) + 1]
    parts.append(svg.path(_steps(axis, y, drawn, at_least), "bar thick blue"))
    for q in (0.5, 0.05):
        size = int(law.quantile(1 - q))
        x = axis.x(size)
        words = f"{'half' if q == 0.5 else '1 in 20'}: {figures.count(size)}"
        parts.append(svg.mark(x, y(float(at_least[size])), "circle", "filled blue", size=4, title=words))
        parts.append(_beside(axis, x, y(float(at_least[size])), words))
    parts += _size_axis(axis, bottom, height, "active units in the end (log scale)")
    label = "Share of cascades that reach at least so many units" + (", with 95% band" if law.band is not None else "")
    return svg.picture(parts, width=width, height=height, label=label)


def _axis(law: SizeDistribution, width: float, left: float) -> _Axis:
    return _Axis(left, width - 14.0, 0 if law.pmf[0] > 0 else 1, len(law.pmf) - 1)


def _bar(axis: _Axis, begin: int, end: int) -> tuple[float, float]:
    """Ends of the bar of the sizes begin … end - 1 in px: as wide as an eighth of a decade where there is room."""
    middle = (axis.x(begin) + axis.x(end - 1)) / 2
    half = max(axis.x(10 ** (1 / PER_DECADE)) - axis.x(1), axis.x(end - 1) - axis.x(begin)) / 2
    left = (
        max(middle - half, (axis.x(begin - 1) + axis.x(begin)) / 2) if begin > axis.first else middle - min(half, 8.0)
    )
    right = min(middle + half, (axis.x(end - 1) + axis.x(end)) / 2)
    return max(left, axis.left - 8), max(right - 0.6, left + 0.6)


def _size_axis(axis: _Axis, bottom: float, height: float, title: str) -> list[Markup]:
    parts = [svg.line(axis.left - 4, bottom, axis.right + 8, bottom, "axis")]
    for size in axis.ticks():
        x = axis.x(size)
        parts.append(svg.line(x, bottom, x, bottom + 4, "axis"))
        at_end = size == axis.units and size >= 1000
        parts.append(
            svg.text(
                x + (12 if at_end else 0),
                bottom + 19,
                figures.count(size),
                "soft",
                anchor="end" if at_end else "middle",
            )
        )
    parts.append(svg.text((axis.left + axis.right) / 2, height - 6, title, "soft", anchor="middle"))
    return parts


def _group_labels(
    law: SizeDistribution, axis: _Axis, marks: list[Point], bars: list[Box], top: float, bottom: float
) -> list[Markup]:
    """The share of each group beside it, where there are several."""
    groups = modes(law)
    if len(groups) < 2:
        return []
    heights = range(24, int(bottom - top), 20)
    labels = [
        Label(
            cascade_text.share(group.probability),
            tuple(
                (axis.x(size), bottom - height) for size in (group.low, group.peak, group.high) for height in heights
            ),
        )
        for group in groups
    ]
    spots = place(labels, marks, (axis.left, top, axis.right + 8, bottom), taken=bars)
    return [
        svg.text(x, base, label.words, "blue-text strong halo") for label, (x, base) in zip(labels, spots, strict=True)
    ]


def _steps(axis: _Axis, y: Callable[[float], float], sizes: np.ndarray, values: np.ndarray) -> list[Point]:
    """Corners of a falling staircase."""
    out, before = [], axis.x(int(sizes[0]))
    for size in sizes.tolist():
        height, at = y(float(values[size])), axis.x(size)
        out += [(before, height), (at, height)]
        before = at
    return out


def _beside(axis: _Axis, x: float, y: float, words: str) -> Markup:
    room = axis.right - x > svg.width_of(words) + 12
    return svg.text(x + 9 if room else x - 9, y - 5 if room else y + 16, words, "halo", anchor=None if room else "end")
