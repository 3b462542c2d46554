"""Learning curves in two pictures: risk against samples, and all dimensions on one curve."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from sparsefire.data import figures
from sparsefire.report import svg
from sparsefire.report.convergence_figures import superscripts
from sparsefire.report.convergence_text import Curve, Outcome, headline, scale
from sparsefire.report.place import Point

_SHAPES = tuple((shape, fill) for fill in ("filled", "hollow") for shape in ("circle", "square", "diamond"))
_FAR = 400.0  # px beyond the frame at which a curve that leaves it is held


@dataclass(frozen=True)
class _Frame:
    """Two logarithmic axes: values [x0, x1] × [y0, y1] onto px."""

    left: float
    right: float
    top: float
    bottom: float
    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        """Return the place of a value in px."""
        return self.left + math.log(value / self.x0) / math.log(self.x1 / self.x0) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Return the height of a value in px; what is not finite, or far outside, is held a little outside."""
        if not value > 0:
            return self.bottom + _FAR
        share = math.log(min(value, 1e300) / self.y0) / math.log(self.y1 / self.y0)
        return min(max(self.bottom - share * (self.bottom - self.top), self.top - _FAR), self.bottom + _FAR)

    def points(self, xs: Iterable[float], ys: Iterable[float]) -> list[Point]:
        """Return points in px, those left of the frame left out."""
        pairs = zip(xs, ys, strict=True)
        return [(self.x(x), self.y(y)) for x, y in pairs if x >= self.x0 * (1 - 1e-12) and not math.isnan(y)]

    def clip(self, parts: Sequence[Markup]) -> Markup:
        """Return the parts cut off at the frame, a mark of whose radius may stand over."""
        x, y, wide, high = self.left - 6, self.top - 6, self.right - self.left + 12, self.bottom - self.top + 6
        box = " ".join(map(svg.number, (x, y, wide, high)))
        return svg.tag("svg", *parts, x=x, y=y, width=wide, height=high, viewBox=box)


def draw_risk(outcome: Outcome, *, width: float, height: float = 420.0) -> Markup:
    """Return the risk against samples, both logarithmic.

    Per dimension: the mean thick, the middle eight in ten runs shaded, the median thin, the exact risk dashed; the risk
    σ²d/k of first-order learning in warm dashes for the smallest and the largest dimension; floors dotted.

    Args:
        outcome: with one curve or more.
        width, height: px.

    >>> from sparsefire.report.convergence_text import example
    >>> "d = 20" in draw_risk(example(), width=600)
    True
    """
    curves = outcome.curves
    frame = _risk_frame(outcome, width, height)
    parts = [*_grid(frame, height, "samples k (log scale)"), svg.text(0, 10, "risk E‖θ − θ*‖² (log scale)", "soft")]
    drawn: list[Markup] = []
    for curve in curves:
        upper, lower = (frame.points(curve.steps, values) for values in (curve.q90, curve.q10))
        drawn.append(svg.path([*upper, *lower[::-1]], "band"))
    drawn += [_first_order(frame, outcome, curve) for curve in _ends(curves) if outcome.noise]
    for curve in curves:
        drawn.append(svg.path(frame.points(curve.steps, curve.median), "bar run blue"))
        drawn.append(svg.path(frame.points(curve.steps, curve.mean), "bar thick blue"))
        if curve.exact is not None:
            drawn.append(svg.path(frame.points(curve.steps, curve.exact), "bar exact"))
        if curve.floor is not None:
            drawn.append(svg.line(frame.left, frame.y(curve.floor), frame.right, frame.y(curve.floor), "bar dotted"))
    for index, curve in enumerate(curves):
        drawn += [_mark(index, x, y) for x, y in _decades(frame, curve.steps, curve.mean)]
    parts.append(frame.clip(drawn))
    parts += _end_labels(frame, outcome)
    return svg.picture(
        parts, width=width, height=height, label=f"Risk against samples, one curve per dimension. {headline(outcome)}"
    )


def draw_collapse(outcome: Outcome, *, width: float, height: float = 300.0) -> Markup:
    """Return k · risk over its limit against k / (d^size log d): where theory speaks, all dimensions are at 1.

    Args:
        outcome: curves without a limit are left out.
        width, height: px.

    >>> from sparsefire.report.convergence_text import example
    >>> "k / (d log d)" in draw_collapse(example(), width=440)
    True
    """
    xs, ys = {}, {}
    for index in collapsing(outcome):
        curve = outcome.curves[index]
        xs[index] = curve.steps[1:] / scale(outcome, curve)
        ys[index] = curve.steps[1:] * curve.mean[1:] / (curve.limit or 1.0)
    low, high = min(float(x[0]) for x in xs.values()), max(float(x[-1]) for x in xs.values())
    low = min(max(low, 0.01), high / 10)  # far below 1 there is nothing to see
    near = np.concatenate([ys[i][(xs[i] >= low) & np.isfinite(ys[i]) & (ys[i] > 0)] for i in xs])
    least, most = min(max(float(near.min()), 1e-4), 0.5), min(max(float(near.max()), 1.0), 1e3)
    bottom = 10.0 ** math.floor(math.log10(least))
    frame = _Frame(52.0, width - 14.0, 40.0, height - 44.0, low, high, bottom, 1.6 * most)
    size = "d" if outcome.size == 1 else f"d{superscripts(outcome.size)}"
    parts = [
        *_grid(frame, height, f"k / ({size} log d) (log scale)"),
        svg.text(0, 10, "k · risk over its limit", "soft"),
    ]
    parts += _key(outcome, list(xs), frame)
    drawn = [svg.line(frame.left, frame.y(1), frame.right, frame.y(1), "bar dotted")]
    for index in xs:
        drawn.append(svg.path(frame.points(xs[index], ys[index]), "bar thin blue"))
    for index in xs:
        drawn += [_mark(index, x, y) for x, y in _decades(frame, xs[index], ys[index])]
    parts.append(frame.clip(drawn))
    last = outcome.curves[max(xs)]
    said = f"At the end it is {figures.fixed(last.of_limit or 0, 2)} at d = {last.dimension}." if last.of_limit else ""
    label = f"k times risk over its limit against k over {size} log d, one curve per dimension. {said}"
    return svg.picture(parts, width=width, height=height, label=label)


def collapsing(outcome: Outcome) -> list[int]:
    """Return the numbers of the curves that have a limit and stay finite, which :func:`draw_collapse` can show.

    >>> from sparsefire.report.convergence_text import example
    >>> collapsing(example())
    [0, 1]
    """
    curves = enumerate(outcome.curves)
    return [index for index, curve in curves if curve.limit and len(curve.steps) > 2 and np.isfinite(curve.mean[-1])]


def _risk_frame(outcome: Outcome, width: float, height: float) -> _Frame:
    curves = outcome.curves
    lows = [_smallest(values) for curve in curves for values in (curve.mean, curve.median, curve.exact)]
    if outcome.noise:
        lows += [outcome.noise**2 * curve.dimension / curve.steps[-1] for curve in _ends(curves)]
    highs = [_largest(values) for curve in curves for values in (curve.mean, curve.exact)]
    low = max(min(value for value in lows if value), 1e-12)
    start = max(float(curve.mean[0]) for curve in curves) or low
    high = min(max(value for value in highs if value), max(1e6 * start, 100 * low))
    y0, y1 = 10.0 ** math.floor(math.log10(low) + 0.02), 10.0 ** math.ceil(math.log10(high) - 0.02)
    x1 = float(max(outcome.samples, 2))
    return _Frame(58.0, width - 74.0, 28.0, height - 44.0, min(_first(curves), x1 / 2), x1, y0, max(y1, 10 * y0))


def _first(curves: Sequence[Curve]) -> float:
    """The power of ten below the k at which the first curve has moved by a tenth."""
    moved = [np.flatnonzero(np.abs(curve.mean / curve.mean[0] - 1) > 0.1) for curve in curves if curve.mean[0] > 0]
    ks = [max(float(curve.steps[at[0]]), 1.0) for curve, at in zip(curves, moved, strict=False) if len(at)]
    return 10.0 ** math.floor(math.log10(min(ks))) if ks else 1.0


def _smallest(values: np.ndarray | None) -> float | None:
    kept = values[np.isfinite(values) & (values > 0)] if values is not None else np.empty(0)
    return float(kept.min()) if len(kept) else None


def _largest(values: np.ndarray | None) -> float | None:
    kept = values[np.isfinite(values) & (values > 0)] if values is not None else np.empty(0)
    return float(kept.max()) if len(kept) else None


def _grid(frame: _Frame, height: float, title: str) -> list[Markup]:
    """Hairlines and words at powers of ten, at most about seven of them on each axis, and the axis at the bottom."""
    parts = []
    for value in _powers(frame.y0, frame.y1, 7):
        y = frame.y(value)
        parts.append(svg.line(frame.left, y, frame.right, y, "hair"))
        parts.append(svg.text(frame.left - 8, y + 4, _power_text(value), "soft", anchor="end"))
    parts.append(svg.line(frame.left, frame.bottom, frame.right, frame.bottom, "axis"))
    for value in _powers(frame.x0, frame.x1, int((frame.right - frame.left) / 62)):
        x = frame.x(value)
        parts.append(svg.line(x, frame.bottom, x, frame.bottom + 4, "axis"))
        parts.append(svg.text(x, frame.bottom + 19, _power_text(value), "soft", anchor="middle"))
    parts.append(svg.text((frame.left + frame.right) / 2, height - 6, title, "soft", anchor="middle"))
    return parts


def _powers(low: float, high: float, most: int) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    step = max(1, math.ceil((last - first) / max(most, 1)))
    return [10.0**power for power in range(first, last + 1) if (power - last) % step == 0]


def _power_text(value: float) -> str:
    """A power of ten as a reader writes it: plain up to a million, then with an exponent."""
    power = round(math.log10(value))
    if 0 <= power <= 6:
        return figures.count(10**power)
    return figures.significant(value) if -4 < power < 0 else f"10{superscripts(power)}"


def _first_order(frame: _Frame, outcome: Outcome, curve: Curve) -> Markup:
    """σ²d/k from where it is below the start."""
    constant = outcome.noise**2 * curve.dimension
    begin = min(max(frame.x0, constant / frame.y1), frame.x1)
    return svg.path(frame.points([begin, frame.x1], [constant / begin, constant / frame.x1]), "bar thin dash warm")


def _ends(curves: Sequence[Curve]) -> list[Curve]:
    return [curves[0], curves[-1]] if len(curves) > 1 else [curves[0]]


def _decades(frame: _Frame, xs: np.ndarray, ys: np.ndarray) -> Iterator[Point]:
    """One point per power of ten and the last, inside the frame."""
    wanted = [*_powers(frame.x0, frame.x1, 1000), float(xs[-1])]
    for at in sorted({int(np.argmin(np.abs(np.log(np.maximum(xs, 1e-300) / value)))) for value in wanted}):
        if xs[at] >= frame.x0 and ys[at] > 0 and frame.top <= frame.y(float(ys[at])) <= frame.bottom:
            yield frame.x(float(xs[at])), frame.y(float(ys[at]))


def _mark(index: int, x: float, y: float) -> Markup:
    shape, fill = _SHAPES[index % len(_SHAPES)]
    return svg.mark(x, y, shape, f"{fill} blue", size=3.4)


def _end_labels(frame: _Frame, outcome: Outcome) -> list[Markup]:
    """The dimension beside the end of each curve, and the words of the first-order lines where there is room."""
    ends = [(max(frame.y(float(curve.mean[-1])), frame.top + 2), curve.dimension) for curve in outcome.curves]
    parts, last = [], -math.inf
    for y, dimension in sorted(ends):
        last = max(y, last + 15)  # pushed down, never off the top
        parts.append(
            svg.text(
                frame.right + 10, min(last, frame.bottom) + 4, f"d = {figures.count(dimension)}", "blue-text strong"
            )
        )
    if outcome.noise:
        x, y = _first_order_label(frame, outcome)
        words = f"σ²d/k, d = {figures.count(outcome.curves[0].dimension)}"
        parts.append(svg.text(x, y, words, "warm-text halo", anchor="end"))
    return parts


def _first_order_label(frame: _Frame, outcome: Outcome) -> Point:
    """Left of the lowest first-order line, where nothing else is drawn."""
    constant = outcome.noise**2 * outcome.curves[0].dimension
    needed = frame.left + svg.width_of(f"σ²d/k, d = {outcome.curves[0].dimension}") + 12
    first = max(frame.x0, constant / frame.y1)
    for k in np.geomspace(math.sqrt(first * frame.x1), frame.x1, 40).tolist():
        if frame.x(k) - 8 > needed and frame.y(constant / k) > frame.top + 40:
            return frame.x(k) - 8, min(frame.y(constant / k) + 10, frame.bottom - 6)
    return frame.right - 8, frame.bottom - 6


def _key(outcome: Outcome, shown: Sequence[int], frame: _Frame) -> list[Markup]:
    """The marks with their dimensions in one line above the frame."""
    parts, x = [], frame.left
    for index in shown:
        words = f"d = {figures.count(outcome.curves[index].dimension)}"
        if x + 12 + svg.width_of(words) > frame.right + 12:
            parts.append(svg.text(x, 28, "…", "soft"))
            break
        parts += [_mark(index, x + 4, 24), svg.text(x + 12, 28, words, "blue-text")]
        x += 24 + svg.width_of(words)
    return parts
