"""Both intervals against the margin: the picture beside the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from sparsefire.data import figures
from sparsefire.report import svg
from sparsefire.search import score_text
from sparsefire.search.names import at_density
from sparsefire.search.wording import closest, find, rows_compared

_ROW = 64.0  # px from one row to the next
_TOP = 22.0  # px kept for the words above the band


@dataclass(frozen=True)
class Interval:
    """One row of the chart: what it is, the estimate and both ends (fractions), and how it is drawn."""

    label: str
    estimate: float
    lower: float
    upper: float
    colour: str
    filled: bool
    guess: bool = False  # a constant guess, which ought to lie left of the line


def rows_to_draw(verdict: Mapping[str, Any]) -> list[Interval]:
    """Return the intervals that decided: selection and confirmation, or the one that ended the search.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> [(row.label, row.colour, row.filled) for row in rows_to_draw(EXAMPLE)]
    [('Selection, 8,000 rows', 'blue', True), ('Confirmation, 2,000 rows', 'good', True)]
    """
    if verdict["state"] == "no-network-needed":
        gate = verdict["gate"]
        reach = gate["estimate"] - gate["lower"]
        label = f"Guess, {rows_compared(verdict)} rows"
        shift = -gate["estimate"]
        return [Interval(label, shift, shift - reach, shift + reach, "grey", False, guess=True)]
    rows = []
    selected = verdict.get("selected")
    chosen = find(verdict, identifier=selected["candidate"]) if selected else None
    if chosen is not None and chosen["difference"] is not None:
        rows.append(_of(chosen, f"Selection, {rows_compared(verdict)} rows", "blue", True))
    else:
        ended = closest(verdict)
        if ended is not None:
            rows.append(_of(ended, at_density(ended), "grey", False))  # the evidence beside it says how many rows
    test = verdict.get("confirmation")
    if test:
        passed = verdict["state"] == "confirmed"
        colour = "good" if passed else "caution"
        rows.append(_of(test, f"Confirmation, {figures.count(test['rows'])} rows", colour, passed))
    return rows


def _of(source: Mapping[str, Any], label: str, colour: str, filled: bool) -> Interval:
    lower = source["lower"]
    upper = source.get("upper")
    upper = 2 * source["difference"] - lower if upper is None else upper
    return Interval(label, source["difference"], lower, upper, colour, filled)


def draw(verdict: Mapping[str, Any], *, width: float) -> Markup:
    """Return the picture at this width in px, or nothing when no difference was estimated.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> 'dotted line' in draw(EXAMPLE, width=340)
    True
    """
    rows = rows_to_draw(verdict)
    if not rows:
        return Markup("")
    margin, score = verdict["margin"], verdict["data"]["score"]
    if rows[0].guess:  # the gate has its own line
        margin = verdict["gate"]["threshold"]
    low = max(min(-2.0 * margin, *(row.lower - 0.12 * margin for row in rows)), -9.0 * margin)
    high = min(max(margin, *(row.upper + 0.08 * margin for row in rows)), 6.0 * margin)
    left, right = 6.0, width - 6.0

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / (high - low) * (right - left)

    bottom = _TOP + _ROW * len(rows) + 6
    parts = [
        svg.rect(x(-margin), _TOP, x(high) - x(-margin), bottom - _TOP, "band"),
        svg.text(
            min(max(x(0), 118), width - 118), 14, "at most the margin worse than dense", "soft small", anchor="middle"
        ),
    ]
    for index, row in enumerate(rows):
        parts += _row(row, index, x, (low, high), (left, right), margin, score)
    parts += _axis(x, low, high, bottom, width, score, rows[0].guess)
    label = "; ".join(_finding(row, margin, score) for row in rows)
    return svg.picture(parts, width=width, height=bottom + 58, label=f"Difference to dense. {label}.")


def _row(
    row: Interval, index: int, x: Any, ends: tuple[float, float], sides: tuple[float, float], margin: float, score: str
) -> list[Markup]:
    top = _TOP + _ROW * index
    y = top + 42
    bound = row.upper if row.guess else row.lower
    shift, shown, _ = score_text.told(row.estimate, bound, margin, score)
    told = f"{shift}, at {'most' if row.guess else 'least'} {shown}"
    room = sides[1] - sides[0] - svg.width_of(told) - 14
    label = next(
        cut for size in range(30, 0, -1) if svg.width_of(cut := svg.shorten(row.label, size)) <= room or size == 1
    )
    parts = [
        svg.text(sides[0], top + 18, label, "ink"),
        svg.text(sides[1] - 6, top + 18, told, "ink", anchor="end"),
        svg.line(x(-margin), y - 14, x(-margin), y + 14, "margin-line"),
        svg.line(x(0), y - 14, x(0), y + 14, "zero-line"),
        svg.line(x(row.lower), y, x(row.upper), y, f"bar {row.colour}"),
    ]
    if row.lower < ends[0]:
        parts.append(svg.path([(sides[0] + 6, y - 5), (sides[0], y), (sides[0] + 6, y + 5)], f"bar {row.colour}"))
    elif ends[0] <= bound <= ends[1]:
        parts.append(svg.line(x(bound), y - 6, x(bound), y + 6, f"bar {row.colour}"))
    kind = "filled" if row.filled else "hollow"
    parts.append(svg.mark(x(row.estimate), y, "circle", f"{kind} {row.colour}", size=5.2))
    return parts


def _axis(x: Any, low: float, high: float, bottom: float, width: float, score: str, guess: bool) -> list[Markup]:
    factor = score_text.scale(score)
    parts = [svg.line(x(low), bottom, x(high), bottom, "axis")]
    step = svg.nice_step(factor * (high - low), 5)
    for value in svg.ticks(factor * low, factor * high, 5):
        at = x(value / factor)
        anchor = "start" if at < 16 else "end" if at > width - 16 else "middle"
        shown = figures.fixed(value, svg.step_decimals(step), plus=True)
        parts.append(svg.line(at, bottom, at, bottom + 4, "axis"))
        parts.append(svg.text(at, bottom + 18, shown if value else "0", "soft", anchor=anchor))
    unit = score_text.difference_unit(score)
    title = f"{score_text.score_name(score)} minus dense" + (f", {unit}" if unit else "")
    parts.append(svg.text(width / 2, bottom + 36, title, "soft", anchor="middle"))
    caption = "passes when the whole bar lies right of the dotted line"
    if guess:
        caption = "a guess ought to lie wholly left of the dotted line"
    parts.append(svg.text(width / 2, bottom + 53, caption, "soft small", anchor="middle"))
    return parts


def _finding(row: Interval, margin: float, score: str) -> str:
    if row.guess:
        shift, most, _ = score_text.told(row.estimate, row.upper, margin, score)
        return f"A constant guess: {shift}, at most {most}; it is not shown to be worse by more than the margin"
    shift, lower, allowed = score_text.told(row.estimate, row.lower, margin, score)
    side = "right of" if row.lower > -margin else "not wholly right of"
    unit = score_text.difference_unit(score)
    return f"{row.label}: {shift}{' ' + unit if unit else ''}, at least {lower}, {side} the margin {allowed}"
