"""Where the chosen model errs on the test rows: a confusion matrix, the most confused pairs, or residuals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from sparsefire.data import figures
from sparsefire.report import svg

_MOST_CLASSES = 15
_MOST_DOTS = 1500


@dataclass(frozen=True)
class Errors:
    """Pictures for a desktop and a phone, one sentence, and the most confused pairs where a matrix would not fit."""

    wide: Markup
    phone: Markup
    text: str
    pairs: tuple[tuple[str, str, str], ...] = ()
    fan: bool = False  # residuals, which need the full width


def confusion(counts: Sequence[Sequence[int]], classes: Sequence[str]) -> Errors:
    """Return the confusion of a classification; more than 15 classes become the 15 most confused pairs.

    Args:
        counts: [true class, predicted class].
        classes: their names.

    >>> confusion([[5, 1], [0, 4]], ["no", "yes"]).text
    '1 of 10 test rows wrong. Counts, dots are zero.'
    """
    table = np.asarray(counts, dtype=np.int64)
    wrong, rows = int(table.sum() - np.trace(table)), int(table.sum())
    lead = f"{figures.count(wrong)} of {figures.count(rows)} test rows wrong."
    off = table - np.diag(np.diag(table))
    flat = [int(i) for i in np.argsort(-off, axis=None, kind="stable")[:_MOST_CLASSES]]
    pairs = [divmod(i, len(table)) for i in flat if off.ravel()[i] > 0]
    listed = tuple(
        (classes[true], classes[predicted], figures.count(int(off[true, predicted]))) for true, predicted in pairs
    )
    widest = len(str(table.max())) if table.size else 1
    if len(table) > _MOST_CLASSES or 6.2 * widest + 4 > 300 / len(table):
        text = f"{lead} The {len(listed)} most confused pairs:" if listed else lead
        return Errors(Markup(""), Markup(""), text, listed)
    finding = lead
    if listed:
        finding += (
            f" Most often {svg.shorten(listed[0][0], 30)} taken for {svg.shorten(listed[0][1], 30)}, {listed[0][2]}."
        )
    return Errors(
        _matrix(table, classes, 392.0, finding),
        _matrix(table, classes, 358.0, finding),
        f"{lead} Counts, dots are zero.",
    )


def _matrix(table: np.ndarray, classes: Sequence[str], width: float, label: str) -> Markup:
    longest = 12 if len(table) <= 6 else 7
    names = [svg.shorten(name, longest) for name in classes]
    left = 22 + max(svg.width_of(name) for name in names) + 8
    cell = min((width - left - 4) / len(table), 62.0)
    tall = min(cell, 30.0) if len(table) > 4 else 38.0
    fits = [svg.shorten(name, max(int(cell / 7.2), 1)) for name in classes]
    top = 40.0
    parts = [
        svg.text(left + cell * len(table) / 2, 12, "predicted", "soft small", anchor="middle"),
        svg.tag("text", "true", transform=f"translate(11 {svg.number(top + tall * len(table) / 2)}) rotate(-90)",
                class_="soft small", text_anchor="middle"),
    ]  # fmt: skip
    for index in range(len(table)):
        full = classes[index]
        x = left + cell * (index + 0.5)
        shown = fits[index]
        parts.append(svg.text(x, 30, shown, "ink", anchor="middle", full=full if shown != full else ""))
        y = top + tall * (index + 0.5) + 4.5
        parts.append(
            svg.text(left - 8, y, names[index], "ink", anchor="end", full=full if names[index] != full else "")
        )
    for true, predicted in np.ndindex(*table.shape):
        value = int(table[true, predicted])
        x, y = left + cell * predicted, top + tall * true
        if value and true == predicted:
            parts.append(svg.rect(x + 0.5, y + 0.5, cell - 1, tall - 1, "right-cell"))
        elif value:
            parts.append(svg.rect(x + 1.5, y + 1.5, cell - 3, tall - 3, "wrong-cell", radius=2))
        words, class_ = (
            (figures.count(value), "ink" if true == predicted else "warm-text strong") if value else ("·", "soft")
        )
        if 7.2 * len(words) + 4 > cell:
            words, class_ = str(value), f"{class_} small"
        parts.append(svg.text(x + cell / 2, y + tall / 2 + 4.5, words, class_, anchor="middle"))
    return svg.picture(parts, width=width, height=top + tall * len(table) + 6, label=label)


def residuals(prediction: Sequence[float], residual: Sequence[float], target: str) -> Errors:
    """Return true minus predicted against predicted, with the median and the 10 and 90% lines.

    Args:
        prediction: predicted values of the test rows, in the units of the target.
        residual: true minus predicted, same order.
        target: name of the target.

    >>> "360 test rows" in residuals(list(range(360)), [0.0, 1.0] * 180, "price").text
    True
    """
    at, off = np.asarray(prediction, dtype=np.float64), np.asarray(residual, dtype=np.float64)
    keep = np.isfinite(at) & np.isfinite(off)
    at, off = at[keep], off[keep]
    text = f"True minus predicted {svg.shorten(target, 60)} on {figures.count(len(at))} test rows."
    if len(at) < 2 or at.max() == at.min():
        return Errors(Markup(""), Markup(""), text)
    order = np.argsort(at, kind="stable")
    bins = [part for part in np.array_split(order, max(2, min(12, len(at) // 25))) if len(part)]
    centres = [float(np.median(at[part])) for part in bins]
    lines = {level: [float(np.quantile(off[part], level)) for part in bins] for level in (0.1, 0.5, 0.9)}
    first, last = (lines[0.9][end] - lines[0.1][end] for end in (0, -1))
    if first > 0 and last / first > 1.5:
        text += " The fan widens: large predictions are less certain."
    elif last > 0 and first / last > 1.5:
        text += " The fan narrows: small predictions are less certain."
    middle = float(np.median(off))
    label = f"{text} Median {figures.significant(abs(middle))} {'below' if middle < 0 else 'above'} the prediction."
    return Errors(
        _fan(at, off, centres, lines, 900.0, 300.0, label),
        _fan(at, off, centres, lines, 358.0, 280.0, label),
        text,
        fan=True,
    )


def _fan(
    at: np.ndarray,
    off: np.ndarray,
    centres: list[float],
    lines: dict[float, list[float]],
    width: float,
    height: float,
    label: str,
) -> Markup:
    right, top, bottom = width - 58.0, 10.0, height - 46.0
    low, high = float(np.quantile(off, 0.002)), float(np.quantile(off, 0.998))
    low, high = min(low, *lines[0.1]), max(high, *lines[0.9])
    pad = 0.08 * (high - low) or 1.0
    low, high = min(low, 0.0) - pad, max(high, 0.0) + pad
    start, end = float(at.min()), float(at.max())
    step = svg.nice_step(high - low, 5)
    heights = {
        value: figures.fixed(value, svg.step_decimals(step), plus=True) if value else "0"
        for value in svg.ticks(low, high, 5)
    }
    left = max(46.0, 12.0 + max(svg.width_of(shown) for shown in heights.values()))

    def x(value: float) -> float:
        return left + (value - start) / (end - start) * (right - left)

    def y(value: float) -> float:
        return bottom - (min(max(value, low), high) - low) / (high - low) * (bottom - top)

    parts: list[Markup] = []
    for value, shown in heights.items():
        parts.append(svg.line(left, y(value), right, y(value), "hair" if value else "zero-line"))
        parts.append(svg.text(left - 8, y(value) + 4, shown, "soft", anchor="end"))
    most = 6 if width > 500 else 3
    step = svg.nice_step(end - start, most)
    for value in svg.ticks(start, end, most):
        parts.append(
            svg.text(x(value), bottom + 18, figures.fixed(value, svg.step_decimals(step)), "soft", anchor="middle")
        )
    parts.append(svg.text((left + right) / 2, bottom + 38, "predicted value", "soft", anchor="middle"))
    every = max(1, -(-len(at) // _MOST_DOTS))
    parts.append(
        svg.dots([(x(a), y(b)) for a, b in zip(at[::every], off[::every], strict=True)], "dots small-dots faint")
    )
    previous = -99.0
    for level, words, class_ in ((0.9, "90%", "dash"), (0.5, "median", "thick"), (0.1, "10%", "dash")):
        points = [(x(a), y(b)) for a, b in zip(centres, lines[level], strict=True)]
        parts.append(svg.path(points, f"bar {class_} ink"))
        base = max(points[-1][1] + 4, previous + 14)
        parts.append(svg.text(right + 8, base, words, "ink small"))
        previous = base
    return svg.picture(parts, width=width, height=height, label=label)
