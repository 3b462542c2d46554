"""Scores by group: each group is held to the margin on its own, with its rows and base rate beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from sparsefire.data import figures
from sparsefire.report import forest, svg
from sparsefire.search import score_text

Row = Mapping[str, Any]

_PLOT = 168.0  # px, the column of the intervals
_VERDICTS = {
    "within the margin": ("✓", "good-text"),
    "worse": ("✕", "warm-text"),
    "cannot tell": ("?", "caution-text"),
}


@dataclass(frozen=True)
class GroupLine:
    """One row of the table, every cell already text."""

    name: str
    full: str
    whole: bool
    rows: str
    base_rate: str
    dense: tuple[str, str]
    chosen: tuple[str, str]
    missed: tuple[str, str]
    difference: tuple[str, str]
    sign: str
    word: str
    word_class: str
    forest: Markup


@dataclass(frozen=True)
class GroupSection:
    """Everything said about one grouping column."""

    column: str
    head_name: str
    text: str
    lines: tuple[GroupLine, ...]
    head: Markup
    positive: str
    has_base_rate: bool
    has_missed: bool
    marks_wide: Markup
    marks_phone: Markup
    errors_wide: Markup
    errors_phone: Markup


def section(verdict: Mapping[str, Any], group: Mapping[str, Any]) -> GroupSection:
    """Return the section of one grouping column.

    Args:
        verdict: the dictionary of ``verdict.json``.
        group: one entry of its ``groups``.

    >>> part = section(EXAMPLE[0], EXAMPLE[1])
    >>> [(line.name, line.sign, line.word) for line in part.lines]
    [('All rows', '✓', 'within the margin'), ('Female', '?', 'cannot tell')]
    """
    score, margin, data = verdict["data"]["score"], verdict["margin"], verdict["data"]
    whole = whole_row(verdict, group)
    rows = ([whole] if whole else []) + list(group["rows"])
    ends = [row["difference"] for row in rows if row.get("difference")]
    axis = forest.domain([end[1] for end in ends], [end[2] for end in ends], margin)
    decimals = score_text.column_decimals([end[1] for end in ends], margin, score)
    lines = tuple(_line(row, axis, margin, score, decimals, whole=row is whole) for row in rows)
    classes = list(data.get("classes") or ())
    positive = f"{data['target']} = {classes[1]}" if len(classes) == 2 else ""
    missed = bool(positive) and any(row.get("missed") and row.get("false_alarm") for row in group["rows"])
    level = group.get("level")
    joint = ""
    if level and len(group["rows"]) > 1:
        joint = f" Intervals by group hold together at 95% (each is {figures.short_percent(level)})."
    return GroupSection(
        column=svg.clean(group["column"]),
        head_name=svg.shorten(group["column"], 30),
        text=f"Test rows only.{joint} A group can fail while the whole passes, "
        "so each is held to the margin on its own.",
        lines=lines,
        head=forest.head(axis, score, width=_PLOT),
        positive=svg.shorten(positive, 30),
        has_base_rate=bool(positive) and any(row.get("base_rate") is not None for row in rows),
        has_missed=missed,
        marks_wide=_marks(rows, whole, score, str(verdict["kind"]), 440.0),
        marks_phone=_marks(rows, whole, score, str(verdict["kind"]), 358.0),
        errors_wide=_error_bars(rows, whole, positive, classes, 460.0) if missed else Markup(""),
        errors_phone=_error_bars(rows, whole, positive, classes, 358.0) if missed else Markup(""),
    )


def within(group: Mapping[str, Any]) -> tuple[int, int, list[str]]:
    """Return how many groups lie within the margin, how many there are, and the names of the others with their words.

    >>> within(EXAMPLE[1])
    (0, 1, ['cannot tell for Female'])
    """
    rows = group["rows"]
    fine = sum(row["verdict"] == "within the margin" for row in rows)
    others = [
        f"{row['verdict']} for {svg.shorten(row['name'], 24)}" for row in rows if row["verdict"] != "within the margin"
    ]
    return fine, len(rows), others


def whole_row(verdict: Mapping[str, Any], group: Mapping[str, Any]) -> Row | None:
    """Return the row of all test rows: as stored in ``group["all"]``, else made from the scores of the whole test.

    >>> whole_row(EXAMPLE[0], {"all": {"name": "All rows", "rows": 3}, "rows": []})["rows"]
    3
    """
    if group.get("all"):
        return group["all"]
    test, scores, score = verdict.get("confirmation"), verdict.get("test_scores") or {}, verdict["data"]["score"]
    dense, chosen = (scores.get("dense") or {}).get(score), (scores.get("chosen") or {}).get(score)
    if not test or dense is None or chosen is None:
        return None
    margin = verdict["margin"]
    word = "within the margin" if test["lower"] > -margin else "worse" if test["upper"] < -margin else "cannot tell"
    return {
        "name": "All rows", "rows": test["rows"], "base_rate": None, "dense": dense, "chosen": chosen,
        "difference": [test["difference"], test["lower"], test["upper"]], "verdict": word, "missed": None,
        "false_alarm": None,
    }  # fmt: skip


def _line(row: Row, axis: forest.Domain, margin: float, score: str, decimals: int, *, whole: bool) -> GroupLine:
    sign, class_ = _VERDICTS.get(row["verdict"], ("", "soft"))
    told = ("–", "")  # too few rows to say
    if row["difference"] is not None:
        estimate, lower, upper = row["difference"]
        told = (
            score_text.difference(estimate, score, decimals=decimals),
            score_text.difference_interval(lower, upper, score, decimals=decimals),
        )
    kind = "filled" if row["verdict"] == "within the margin" else "hollow"
    base = row.get("base_rate")
    return GroupLine(
        name=svg.shorten(row["name"], 44),
        full=svg.clean(row["name"]),
        whole=whole,
        rows=figures.count(row["rows"]),
        base_rate=figures.fixed(100 * base, 0) + "%" if base is not None else "–",
        dense=_value(row["dense"], score),
        chosen=_value(row["chosen"], score),
        missed=_share(row.get("missed")),
        difference=told,
        sign=sign,
        word=row["verdict"],
        word_class=class_,
        forest=forest.row(row["difference"], axis, margin, score, class_=f"{kind} blue", width=_PLOT),
    )


def _value(interval: Sequence[float] | None, score: str) -> tuple[str, str]:
    if interval is None:
        return "–", ""
    return score_text.score_value(interval[0], score), score_text.score_interval(interval[1], interval[2], score)


def _share(interval: Sequence[float] | None) -> tuple[str, str]:
    if not interval:
        return "–", ""
    value, low, high = (figures.fixed(100 * min(max(end, 0.0), 1.0), 0) for end in interval)
    return f"{value}%", f"[{low}, {high}]"


def _marks(rows: Sequence[Row], whole: Row | None, score: str, kind: str, width: float) -> Markup:
    """Dense and chosen as two marks per group; groups that are too small for a score have none."""
    rows = [row for row in rows if row["dense"] is not None and row["chosen"] is not None]
    if not rows:
        return Markup("")
    factor = score_text.scale(score)
    names = [svg.shorten(row["name"], 14) for row in rows]
    left, right = max(svg.width_of(name) for name in names) + 14, width - 16
    ends = [value for row in rows for key in ("dense", "chosen") for value in row[key]]
    low, high = min(ends), max(ends)
    pad = 0.06 * (high - low) or 0.01
    low, high = low - pad, high + pad

    def x(value: float) -> float:
        return left + (value - low) / (high - low) * (right - left)

    bottom = 34.0 + 36 * len(rows)
    parts = [
        svg.mark(left + 6, 10, "circle", "filled ink", size=4), svg.text(left + 15, 14, "dense", "ink"),
        svg.mark(left + 72, 10, "diamond", "filled blue", size=4),
        svg.text(left + 82, 14, f"chosen: {kind}" if kind != "None" else "chosen", "blue-text strong"),
    ]  # fmt: skip
    levels = svg.ticks(factor * low, factor * high, 5 if width > 400 else 4)
    decimals = svg.step_decimals(svg.nice_step(factor * (high - low), 5 if width > 400 else 4))
    for value in levels:
        at = x(value / factor)
        parts.append(svg.line(at, 26, at, bottom, "hair"))
        unit = score_text.score_unit(score) if value == levels[-1] else ""
        parts.append(svg.text(at, bottom + 17, figures.fixed(value, decimals) + unit, "soft", anchor="middle"))
    for index, (row, name) in enumerate(zip(rows, names, strict=True)):
        y = 46.0 + 36 * index
        full = "" if name == row["name"] else row["name"]
        parts.append(svg.text(0, y + 4, name, "ink strong" if row is whole else "ink", full=full))
        for key, shift, shape, colour in (("dense", -6, "circle", "ink"), ("chosen", 6, "diamond", "blue")):
            parts.append(svg.line(x(row[key][1]), y + shift, x(row[key][2]), y + shift, f"bar {colour}"))
            parts.append(svg.mark(x(row[key][0]), y + shift, shape, f"filled {colour}", size=4))
    title = f"{score_text.score_name(score)} on test rows"
    parts.append(svg.text((left + right) / 2, bottom + 35, title, "soft", anchor="middle"))
    label = "; ".join(
        f"{svg.shorten(row['name'], 40)}: dense {score_text.score_value(row['dense'][0], score)}, "
        f"chosen {score_text.score_value(row['chosen'][0], score)}"
        for row in rows
    )
    return svg.picture(parts, width=width, height=bottom + 42, label=f"{title}. {label}")


def _error_bars(rows: Sequence[Row], whole: Row | None, positive: str, classes: Sequence[str], width: float) -> Markup:
    """Errors of both kinds, per hundred rows of that kind; bars start at zero."""
    shown = [row for row in rows if row.get("missed") and row.get("false_alarm")]
    names = [svg.shorten(row["name"], 12) for row in shown]
    left = max(svg.width_of(name) for name in names) + 14
    across = (width - left - 24) / 2
    target = positive.rsplit(" = ", 1)[0]
    heads = (f"{positive} missed", f"{target} = {classes[0]} called {classes[1]}")
    most = max(max(row[key][2], row[key][0]) for row in shown for key in ("missed", "false_alarm"))
    scale = (across - 34) / min(max(most, 0.02), 1.0)
    parts: list[Markup] = []
    for column, (key, title) in enumerate(zip(("missed", "false_alarm"), heads, strict=True)):
        x = left + column * (across + 24)
        words = svg.shorten(title, int(across / 7.4))
        parts.append(svg.text(x, 14, words, "warm-text strong", full=title if words != title else ""))
        parts.append(svg.text(x, 29, "of 100 such rows", "soft small"))
        for index, row in enumerate(shown):
            y = 56.0 + 36 * index
            value, low, high = (min(max(end, 0.0), 1.0) for end in row[key])
            parts += [
                svg.line(x, y, x + across - 4, y, "hair"),
                svg.rect(x, y - 4, value * scale, 8, "soft-fill warm"),
                svg.line(x + low * scale, y, x + high * scale, y, "bar warm"),
                svg.mark(x + value * scale, y, "circle", "filled warm", size=3.6),
                svg.text(x + high * scale + 9, y + 4.5, figures.fixed(100 * value, 0), "ink strong halo"),
            ]
    for index, (row, name) in enumerate(zip(shown, names, strict=True)):
        full = "" if name == row["name"] else row["name"]
        parts.append(svg.text(0, 60.0 + 36 * index, name, "ink strong" if row is whole else "ink", full=full))
    label = "; ".join(
        f"{svg.shorten(row['name'], 40)}: {figures.fixed(100 * row['missed'][0], 0)} missed, "
        f"{figures.fixed(100 * row['false_alarm'][0], 0)} called wrongly, of 100"
        for row in shown
    )
    return svg.picture(parts, width=width, height=54.0 + 36 * len(shown), label=label)


# One verdict and one group, for the examples above.
EXAMPLE: tuple[dict[str, Any], dict[str, Any]] = (
    {
        "kind": "linear", "margin": 0.01, "data": {"score": "accuracy", "target": "income", "classes": ["0", "1"]},
        "confirmation": {"rows": 9768, "difference": -0.005, "lower": -0.008, "upper": -0.002},
        "test_scores": {"dense": {"accuracy": [0.853, 0.846, 0.86]}, "chosen": {"accuracy": [0.849, 0.841, 0.856]}},
    },
    {
        "column": "sex", "level": 0.975,
        "rows": [
            {"name": "Female", "rows": 3238, "base_rate": 0.11, "dense": [0.926, 0.916, 0.936],
             "chosen": [0.925, 0.914, 0.934], "difference": [-0.002, -0.012, 0.004], "verdict": "cannot tell",
             "missed": [0.51, 0.45, 0.57], "false_alarm": [0.02, 0.01, 0.03]},
        ],
    },
)  # fmt: skip
