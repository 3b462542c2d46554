"""One column of intervals on a common axis, cut into rows: the forest plot inside a table."""

from __future__ import annotations

from markupsafe import Markup

from sparsefire.data import figures
from sparsefire.report import svg
from sparsefire.search import score_text

WIDTH = 216.0  # px, unless a table has less room
HEIGHT = 30.0

Domain = tuple[float, float]


def domain(lows: list[float], highs: list[float], margin: float) -> Domain:
    """Return the common axis: the margin and zero are always on it, far failures are not.

    >>> domain([-0.008, -0.2], [0.004], 0.01)
    (-0.044, 0.013)
    """
    return (
        round(max(min([-1.6 * margin, *lows]) - 0.15 * margin, -4.4 * margin), 9),
        round(min(max([1.15 * margin, *highs]) + 0.15 * margin, 3.4 * margin), 9),
    )


def row(
    interval: tuple[float, float, float] | None,
    axis: Domain,
    margin: float,
    score: str,
    *,
    shape: str = "circle",
    class_: str = "filled grey",
    reference: bool = False,
    width: float = WIDTH,
) -> Markup:
    """Return one row; band, margin and zero line run through all rows without a gap.

    Args:
        interval: estimate, lower and upper end as fractions, or None when nothing was estimated.
        axis: from :func:`domain`.
        margin: the largest loss allowed, a positive fraction.
        score: ``accuracy``, ``auc`` or ``r2``.
        shape: ``circle``, ``square`` or ``diamond``.
        class_: ``filled`` or ``hollow``, and a colour.
        reference: draw the dot of the dense network at zero instead.
        width: px of the column.

    >>> 'aria-label="−0.2 points, from −0.8 to +0.4"' in row((-0.002, -0.008, 0.004), (-0.03, 0.012), 0.01, "accuracy")
    True
    """
    middle = HEIGHT / 2
    edge = _x(-margin, axis, width)
    parts = [
        svg.rect(edge, 0, min(_x(margin, axis, width), width - 2) - edge, HEIGHT, "band"),
        svg.line(edge, 0, edge, HEIGHT, "margin-line"),
        svg.line(_x(0, axis, width), 0, _x(0, axis, width), HEIGHT, "zero-line"),
    ]
    label = "not estimated"
    if reference:
        parts.append(svg.mark(_x(0, axis, width), middle, "circle", "filled ink", size=4))
        label = "reference, 0"
    elif interval is not None:
        estimate, lower, upper = interval
        parts += _bar(estimate, lower, upper, axis, score, shape, class_, width)
        ends = score_text.difference(lower, score), score_text.difference(upper, score)
        label = f"{score_text.difference(estimate, score, unit=True)}, from {ends[0]} to {ends[1]}"
    return svg.picture(parts, width=width, height=HEIGHT, label=label, class_="forest")


def head(axis: Domain, score: str, *, width: float = WIDTH) -> Markup:
    """Return the numbers of the common axis, for the head of the column.

    >>> "−1" in head((-0.02, 0.012), "accuracy")
    True
    """
    factor = score_text.scale(score)
    most = int(width // 34)
    step = svg.nice_step(factor * (axis[1] - axis[0]), most)
    parts, last = [], -99.0
    for value in svg.ticks(factor * axis[0], factor * axis[1], most):
        shown = figures.fixed(value, svg.step_decimals(step), plus=True) if value else "0"
        half = svg.width_of(shown, 11.5) / 2
        at = min(max(_x(value / factor, axis, width), half), width - half)
        if at - half > last + 4:
            parts.append(svg.text(at, 11, shown, "soft small", anchor="middle"))
            last = at + half
    unit = score_text.difference_unit(score) or score_text.score_name(score)
    low, high = (figures.fixed(factor * end, svg.step_decimals(step) + 1, plus=True) for end in axis)
    return svg.picture(parts, width=width, height=14, label=f"axis from {low} to {high} {unit}", class_="forest")


def _x(value: float, axis: Domain, width: float) -> float:
    return 6 + (value - axis[0]) / (axis[1] - axis[0]) * (width - 12)


def _bar(
    estimate: float, lower: float, upper: float, axis: Domain, score: str, shape: str, class_: str, width: float
) -> list[Markup]:
    middle = HEIGHT / 2
    shown = score_text.difference(estimate, score)
    if estimate < axis[0]:
        return [svg.text(6, middle + 4, f"◂ {shown}", "soft")]
    if estimate > axis[1]:
        return [svg.text(width - 6, middle + 4, f"{shown} ▸", "soft", anchor="end")]
    colour = class_.split()[-1]
    left, right = max(lower, axis[0]), min(upper, axis[1])
    parts = [svg.line(_x(left, axis, width), middle, _x(right, axis, width), middle, f"bar {colour}")]
    for end, cut, turn in ((left, lower < axis[0], 4), (right, upper > axis[1], -4)):
        if cut:  # an arrow where the interval goes on
            at = _x(end, axis, width)
            parts.append(svg.path([(at + turn, middle - 4), (at, middle), (at + turn, middle + 4)], f"bar {colour}"))
    parts.append(svg.mark(_x(estimate, axis, width), middle, shape, class_, size=4))
    return parts
