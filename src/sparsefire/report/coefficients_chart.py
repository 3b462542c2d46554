"""The largest coefficients of a linear model, as bars from zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from sparsefire.data import figures
from sparsefire.report import svg

_LINE = 22.0


@dataclass(frozen=True)
class Coefficients:
    """The picture for a desktop and a phone, the same as rows of text, and how many there are in all."""

    wide: Markup
    phone: Markup
    rows: tuple[tuple[str, str], ...]
    nonzero: int


def draw(
    weight: np.ndarray, feature_names: Sequence[str] = (), classes: Sequence[str] = (), *, most: int = 20
) -> Coefficients:
    """Return the largest coefficients of a linear model.

    Args:
        weight: [outputs, inputs], on standardised inputs.
        feature_names: one per input.
        classes: one per output; with a single output nothing is added to the names.
        most: bars drawn.

    >>> chart = draw(np.array([[0.5, -2.0, 0.0]]), ("age", "dose", "site"))
    >>> chart.rows, chart.nonzero
    ((('dose', '−2.0'), ('age', '+0.50')), 2)
    """
    weight = np.atleast_2d(np.asarray(weight, dtype=np.float64))
    order = np.argsort(-np.abs(weight), axis=None, kind="stable")[:most]
    entries = []
    for flat in order:
        output, column = divmod(int(flat), weight.shape[1])
        value = float(weight[output, column])
        if value == 0:
            break
        name = feature_names[column] if column < len(feature_names) else f"input {column + 1}"
        if weight.shape[0] > 1:
            name = f"{name} → {classes[output] if output < len(classes) else output}"
        entries.append((str(name), value))
    return Coefficients(
        _picture(entries, 900.0, 44),
        _picture(entries, 358.0, 20),
        tuple((svg.clean(name), _told(value)) for name, value in entries),
        int(np.count_nonzero(weight)),
    )


def _told(value: float) -> str:
    decimals = 2 if abs(value) < 1 else 1
    return figures.fixed(value, 3 if abs(value) < 0.095 else decimals, plus=True)


def _picture(entries: Sequence[tuple[str, float]], width: float, length: int) -> Markup:
    if not entries:
        return svg.picture([], width=width, height=4, label="Every coefficient is zero.")
    names = [svg.shorten(name, length) for name, _ in entries]
    left = max(svg.width_of(name) for name in names) + 14
    largest = max(abs(value) for _, value in entries)
    negative = max([-value for _, value in entries if value < 0], default=0.0)
    positive = max([value for _, value in entries if value > 0], default=0.0)
    room = width - left - (48 if negative else 4) - (48 if positive else 4)
    scale = room / (negative + positive or largest)
    zero = left + (48 if negative else 4) + negative * scale
    height = _LINE * len(entries) + 8
    parts = [svg.line(zero, 0, zero, height, "zero-line")]
    for index, ((full, value), name) in enumerate(zip(entries, names, strict=True)):
        y = 4 + _LINE * index
        parts.append(
            svg.text(left - 12, y + 15, name, "ink", anchor="end", full=full if name != svg.clean(full) else "")
        )
        start = zero if value > 0 else zero + value * scale
        parts.append(svg.rect(start, y + 4, abs(value) * scale, 14, "fill blue" if value > 0 else "fill warm"))
        at, anchor = (zero + value * scale + 6, "start") if value > 0 else (zero + value * scale - 6, "end")
        parts.append(svg.text(at, y + 15, _told(value), "ink small", anchor=anchor))
    first, value = entries[0]
    label = f"The {len(entries)} largest coefficients; the largest is {svg.shorten(first, 60)}, {_told(value)}."
    return svg.picture(parts, width=width, height=height, label=label)
