"""Score against size: why this network and no smaller one, and what the narrow rival does."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from sparsefire.data import figures
from sparsefire.report import svg
from sparsefire.report.place import Label, Point, place, spread
from sparsefire.search import score_text
from sparsefire.search.names import method_name, short_method
from sparsefire.search.wording import find

Row = Mapping[str, Any]


@dataclass(frozen=True)
class _Frame:
    """Where values lie on the page: weights on a log axis, scores on a linear one."""

    left: float
    top: float
    right: float
    bottom: float
    few: float
    many: float
    low: float
    high: float

    def x(self, weights: float) -> float:
        share = (math.log10(weights) - math.log10(self.few)) / (math.log10(self.many) - math.log10(self.few))
        return self.left + share * (self.right - self.left)

    def y(self, score: float) -> float:
        return self.bottom - (score - self.low) / (self.high - self.low) * (self.bottom - self.top)


def drawable(verdict: Mapping[str, Any]) -> bool:
    """Return whether there is anything besides dense to draw.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> drawable(EXAMPLE)
    True
    """
    dense = find(verdict, kind="dense")
    return dense is not None and dense["score"] is not None and len(_points(verdict)) > 1


def draw(verdict: Mapping[str, Any], *, width: float, height: float, phone: bool = False) -> Markup:
    """Return the chart.

    Args:
        verdict: the dictionary of ``verdict.json``.
        width: px.
        height: px.
        phone: fewer ticks and the names of the lines inside the frame.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> "chosen: gmp, 13,310 weights" in draw(EXAMPLE, width=900, height=400)
    True
    """
    dense = find(verdict, kind="dense")
    assert dense is not None, "call drawable first"
    score, margin = verdict["data"]["score"], verdict["margin"]
    frame = _frame(verdict, dense, margin, width, height, phone)
    selected = verdict.get("selected")
    chosen = find(verdict, identifier=selected["candidate"]) if selected else None

    y_dense, y_margin = frame.y(dense["score"]), frame.y(dense["score"] - margin)
    parts = [svg.rect(frame.left, y_dense, frame.right - frame.left, y_margin - y_dense, "band")]
    parts += _axes(frame, score, width, phone, y_dense)
    parts += [
        svg.line(frame.left, y_dense, frame.right, y_dense, "dense-line"),
        svg.line(frame.left, y_margin, frame.right, y_margin, "margin-line"),
        svg.mark(frame.x(dense["weights"]), y_dense, "circle", "filled ink", size=4.5),
    ]
    drawn, marks, labels = _series(verdict, frame, chosen, phone)
    parts += drawn
    level_parts, inside = _level_labels(verdict, frame, dense, score, phone)
    parts += level_parts
    labels = inside + labels
    marks += _samples([(frame.left, y_dense), (frame.right, y_dense)])
    marks += _samples([(frame.left, y_margin), (frame.right, y_margin)])
    marks.append((frame.x(dense["weights"]), y_dense))
    ring, head, taken = _ring(frame, chosen, width)
    if ring and chosen is not None:  # its leader line
        at = frame.x(chosen["weights"])
        marks += _samples([(at, 26), (at, frame.y(chosen["score"]))], every=4)
    spots = place([label for label, _ in labels], marks, (frame.left, 4, frame.right, frame.bottom), taken=taken)
    for (label, class_), (left, base) in zip(labels, spots, strict=True):
        parts.append(svg.text(left, base, label.words, f"{class_} halo"))
    parts += ring + head
    return svg.picture(parts, width=width, height=height, label=_finding(verdict, dense, chosen, score))


def _points(verdict: Mapping[str, Any]) -> list[Row]:
    return [row for row in verdict["candidates"] if row["score"] is not None and row["weights"]]


def _frame(verdict: Mapping[str, Any], dense: Row, margin: float, width: float, height: float, phone: bool) -> _Frame:
    rows = _points(verdict)
    everything = [row["score"] for row in verdict["candidates"] if row["score"] is not None]
    ends = [row.get(key) for row in rows for key in ("score_low", "score_high") if row["kind"] in ("narrow", "sparse")]
    known = everything + [end for end in ends if end is not None]
    # Failures far below leave the frame, they do not squash the rest; a chosen or linear point stays inside.
    low = max(min(known), dense["score"] - 6.5 * margin)
    high = min(max(known), dense["score"] + 6.5 * margin)
    low, high = min(low, dense["score"] - 1.6 * margin), max(high, dense["score"] + 0.7 * margin)
    room = 0.06 * (high - low)
    weights = [row["weights"] for row in rows]
    few, many = min(weights) / 1.35, max(weights) * 1.25
    left, right = (36.0, width - 8.0) if phone else (42.0, width - 128.0)
    digits = 1 if score_text.scale(verdict["data"]["score"]) > 1 else 2
    return _Frame(left + 6 * (digits - 1), 46.0, right, height - 46.0, few, many, low - room, high + 0.5 * room)


def _axes(frame: _Frame, score: str, width: float, phone: bool, y_dense: float) -> list[Markup]:
    factor = score_text.scale(score)
    parts = []
    levels = svg.ticks(factor * frame.low, factor * frame.high, 5)
    decimals = svg.step_decimals(svg.nice_step(factor * (frame.high - frame.low), 5))
    for value in levels:
        y = frame.y(value / factor)
        shown = figures.fixed(value, decimals) + (score_text.score_unit(score) if value == levels[-1] else "")
        parts.append(svg.line(frame.left, y, frame.right, y, "hair"))
        parts.append(svg.text(frame.left - 8, y + 4, shown, "soft", anchor="end"))
    parts.append(svg.line(frame.left, frame.bottom, frame.right, frame.bottom, "axis"))
    last = -math.inf
    for value in _log_ticks(frame.few, frame.many, phone):
        at, words = frame.x(value), figures.count(value)
        half = svg.width_of(words) / 2
        parts.append(svg.line(at, frame.bottom, at, frame.bottom + 4, "axis"))
        if at - half > last + 8 and at + half < width - 2:
            parts.append(svg.text(at, frame.bottom + 19, words, "soft", anchor="middle"))
            last = at + half
    middle = (frame.left + frame.right) / 2
    parts.append(svg.text(middle, frame.bottom + 38, "weights (log scale)", "soft", anchor="middle"))
    return parts


def _log_ticks(few: float, many: float, phone: bool) -> list[int]:
    decades = range(math.floor(math.log10(few)), math.ceil(math.log10(many)) + 1)
    steps = (1,) if phone or math.log10(many / few) > 4 else (1, 2, 5)
    out = [round(step * 10.0**decade) for decade in decades for step in steps if decade >= 0]
    inside = [value for value in out if few <= value <= many]
    return inside if len(inside) > 1 or steps != (1,) else _log_ticks(few, many, False)


def _series(
    verdict: Mapping[str, Any], frame: _Frame, chosen: Row | None, phone: bool
) -> tuple[list[Markup], list[Point], list[tuple[Label, str]]]:
    """Every method's line: grey first, then narrow, then the chosen method on top."""
    methods: dict[tuple[str, str], list[Row]] = {}
    for row in _points(verdict):
        if row["kind"] in ("sparse", "narrow"):
            methods.setdefault((row["kind"], row["method"]), []).append(row)
    ours = (chosen["kind"], chosen["method"]) if chosen is not None else None
    order = sorted(methods, key=lambda key: (key == ours, key[0] == "narrow"))
    parts: list[Markup] = []
    marks: list[Point] = []
    labels: list[tuple[Label, str]] = []
    others: list[Row] = []
    grey_points: list[Point] = []
    for key in order:
        rows = sorted(methods[key], key=lambda row: -row["weights"])
        colour = "blue" if key == ours else "warm" if key[0] == "narrow" else "grey"
        shape = "square" if key[0] == "narrow" else "circle"
        points = [(frame.x(row["weights"]), frame.y(row["score"])) for row in rows]
        style = "thin" if colour == "grey" else "thick dash" if key[0] == "narrow" else "thick"
        for piece in _clip(points, frame.bottom):
            parts.append(svg.path(piece, f"bar {style} {colour}"))
            marks += _samples(piece)
        seen = []
        for row, (x, y) in zip(rows, points, strict=True):
            if y > frame.bottom:
                continue
            if colour != "grey" and row.get("score_low") is not None:
                top, bottom = frame.y(row["score_high"]), min(frame.y(row["score_low"]), frame.bottom)
                parts.append(svg.line(x, max(top, 4.0), x, bottom, f"bar whisker {colour}"))
                marks += _samples([(x, max(top, 4.0)), (x, bottom)])
            kind = "filled" if row["walk"] in ("passed", "chosen") else "hollow"
            size = 3.2 if colour == "grey" else 4.5
            parts.append(svg.mark(x, y, shape, f"{kind} {colour}", size=size, title=_hover(row, verdict)))
            seen.append((x, y))
        if not seen:
            continue
        if colour == "grey":
            others.append(rows[0])
            grey_points += seen
        elif colour == "warm" and key != ours:
            words = "narrow dense" if phone else "narrow dense, the rival"
            labels.append((Label(words, tuple(seen)), "warm-text strong"))
        elif not phone:
            full, short = method_name(rows[0]), short_method(rows[0])
            words = full if short in (full, full.lower()) else f"{full} ({short})"
            labels.append((Label(words, tuple(seen)), "blue-text strong"))
    labels += _linear(verdict, frame, chosen, parts, marks, phone)
    if others:
        listed = ", ".join(short_method(row) for row in others)
        words = (
            listed if len(listed) < 48 and not phone else f"{len(others)} other methods" if ours else "sparse methods"
        )
        below = sorted(grey_points, key=lambda point: -point[1])[:12]
        labels.append((Label(words, tuple(below)), "soft"))
    return parts, marks, labels


def _linear(
    verdict: Mapping[str, Any],
    frame: _Frame,
    chosen: Row | None,
    parts: list[Markup],
    marks: list[Point],
    phone: bool,
) -> list[tuple[Label, str]]:
    row = find(verdict, kind="linear")
    if row is None or row["score"] is None or not row["weights"]:
        return []
    x, y = frame.x(row["weights"]), frame.y(row["score"])
    text = "linear" if phone else f"linear {score_text.score_value(row['score'], verdict['data']['score'], unit=True)}"
    if y > frame.bottom:  # below the frame: say so at its foot
        return [(Label(f"▾ {text}", ((x, frame.bottom - 4),)), "ink")]
    is_chosen = chosen is not None and chosen["id"] == row["id"]
    if is_chosen and row.get("score_low") is not None:
        low = min(frame.y(row["score_low"]), frame.bottom)
        parts.append(svg.line(x, max(frame.y(row["score_high"]), 4.0), x, low, "bar whisker blue"))
    colour = "blue" if is_chosen else "ink"
    parts.append(svg.mark(x, y, "diamond", f"filled {colour}", size=4.5, title=_hover(row, verdict)))
    marks += [(x, y), (x - 4, y), (x + 4, y)]
    return [] if is_chosen else [(Label(text, ((x, y),)), "ink")]


def _ring(
    frame: _Frame, chosen: Row | None, width: float
) -> tuple[list[Markup], list[Markup], list[tuple[float, float, float, float]]]:
    """The ring around the chosen point and its label at the head of the chart."""
    if chosen is None or chosen["score"] is None:
        return [], [], []
    x, y = frame.x(chosen["weights"]), frame.y(chosen["score"])
    name = {"linear": "linear model", "narrow": "narrow dense"}.get(chosen["kind"], short_method(chosen))
    words = svg.shorten(f"chosen: {name}, {figures.count(chosen['weights'])} weights", 44)
    half = svg.width_of(words) / 2 + 4
    middle = min(max(x, half), width - half)
    ring = [svg.mark(x, y, "circle", "ring blue", size=10)]
    if y - 10 > 28:
        ring.append(svg.line(x, 26, x, y - 10, "bar whisker thin blue"))
    head = [svg.text(middle, 18, words, "blue-text strong", anchor="middle")]
    return ring, head, [(middle - half, 4, middle + half, 26), (x - 12, y - 12, x + 12, y + 12)]


def _level_labels(
    verdict: Mapping[str, Any], frame: _Frame, dense: Row, score: str, phone: bool
) -> tuple[list[Markup], list[tuple[Label, str]]]:
    """Names of the three level lines: right of the frame, or on a phone inside it, where there is room."""
    parts: list[Markup] = []
    names = []
    boosting = find(verdict, kind="boosting")
    value = score_text.score_value(dense["score"], score, unit=True)
    names.append((frame.y(dense["score"]), f"dense {value}", "ink strong"))
    names.append((frame.y(dense["score"] - verdict["margin"]), "dense − margin", "blue-text strong"))
    if boosting is not None and boosting["score"] is not None:
        y = frame.y(boosting["score"])
        value = score_text.score_value(boosting["score"], score, unit=True)
        if y > frame.bottom:
            names.append((frame.bottom - 4, f"▾ boosting {value}", "ink"))
        elif y < frame.top - 16:
            names.append((frame.top - 16, f"▴ boosting {value}", "ink"))
        else:
            parts.append(svg.line(frame.left, y, frame.right, y, "boosting-line"))
            names.append((y, f"boosting {value}", "ink"))
    if phone:
        across = [frame.left + (frame.right - frame.left) * share for share in (0.02, 0.25, 0.5, 0.75, 0.98)]
        return parts, [(Label(words, tuple((x, y) for x in across)), class_) for y, words, class_ in names]
    heights = spread([y + 4 for y, *_ in names], 17.0, 16.0, frame.bottom + 4)
    for base, (_, words, class_) in zip(heights, names, strict=True):
        parts.append(svg.text(frame.right + 8, base, words, class_))
    return parts, []


def _clip(points: Sequence[Point], bottom: float) -> list[list[Point]]:
    """Cut a polyline at the foot of the frame; what is below is left out."""
    pieces: list[list[Point]] = []
    current: list[Point] = []
    for index, (x, y) in enumerate(points):
        if index:
            before = points[index - 1]
            if (y > bottom) != (before[1] > bottom):
                share = (bottom - before[1]) / (y - before[1])
                current.append((before[0] + share * (x - before[0]), bottom))
                if y > bottom:
                    pieces.append(current)
                    current = []
        if y <= bottom:
            current.append((x, y))
    if len(current) > 1:
        pieces.append(current)
    return pieces


def _samples(points: Sequence[Point], every: float = 7.0) -> list[Point]:
    """Points along a polyline, close enough together to stand for it when labels are placed."""
    out = []
    for (ax, ay), (bx, by) in itertools.pairwise(points):
        pieces = max(1, math.ceil(math.hypot(bx - ax, by - ay) / every))
        out += [(ax + (bx - ax) * k / pieces, ay + (by - ay) * k / pieces) for k in range(pieces + 1)]
    return out


def _hover(row: Row, verdict: Mapping[str, Any]) -> str:
    score = verdict["data"]["score"]
    amount = f" {figures.short_percent(row['density'])}" if row["density"] is not None else ""
    value = score_text.score_value(row["score"], score, unit=True)
    return f"{method_name(row)}{amount}: {figures.count(row['weights'])} weights, {value}"


def _finding(verdict: Mapping[str, Any], dense: Row, chosen: Row | None, score: str) -> str:
    name = score_text.score_name(score)
    text = (
        f"Cross-validated {name} against number of weights. Dense: {figures.count(dense['weights'])} weights, "
        f"{score_text.score_value(dense['score'], score, unit=True)}."
    )
    if chosen is not None and chosen["score"] is not None:
        text += (
            f" Chosen: {method_name(chosen)}, {figures.count(chosen['weights'])} weights, "
            f"{score_text.score_value(chosen['score'], score, unit=True)}."
        )
    else:
        text += " No smaller network stayed within the margin with its whole interval."
    return text
