"""The candidates as a table that is also a forest plot: who was tested, in which order, and where each walk ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from sparsefire.data import figures
from sparsefire.report import forest, svg
from sparsefire.search import score_text
from sparsefire.search.names import method_name, short_method

Row = Mapping[str, Any]

# Sign, words on the page, words on a phone, colour class.
WALKS = {
    "reference": ("", "reference", "reference", "soft"),
    "passed": ("✓", "passed", "passed", "good-text"),
    "chosen": ("✓", "chosen", "chosen", "good-text strong"),
    "stopped": ("✕", "stopped here", "stopped", "warm-text"),
    "fell-short": ("✕", "fell short", "fell short", "warm-text"),
    "not-tested": ("–", "not tested", "untested", "soft"),
    "yardstick": ("", "for comparison", "compared", "soft"),
}


@dataclass(frozen=True)
class Line:
    """One row of the table, every cell already text; ``forest`` is its piece of the common plot."""

    name: str
    short: str
    amount: str
    weights: str
    macs: str
    size: str
    latency: str
    score: str
    interval: str
    half: str
    difference: str
    bounds: str
    sign: str
    walk: str
    walk_short: str
    walk_class: str
    chosen: bool
    first: bool
    forest: Markup


@dataclass(frozen=True)
class Table:
    """Rows shown, all rows, and the head of the common axis."""

    shown: tuple[Line, ...]
    everything: tuple[Line, ...]
    head: Markup


def table(verdict: Mapping[str, Any]) -> Table:
    """Return the table: the last that passed and the first that stopped per method, and all candidates.

    >>> from sparsefire.search.wording import EXAMPLE
    >>> [(line.name, line.amount, line.sign, line.walk) for line in table(EXAMPLE).shown]
    [('dense', '', '', 'reference'), ('gradual pruning', '5%', '✓', 'chosen'), ('gradual pruning', '2%', '✕', 'stopped here')]
    """  # noqa: E501
    ordered = order(verdict["candidates"])
    shown = worth_showing(ordered)
    estimated = [row for row in shown if row["difference"] is not None]
    axis = forest.domain([row["lower"] for row in estimated], [upper_end(row) for row in estimated], verdict["margin"])
    return Table(
        tuple(_lines(shown, verdict, axis)),
        tuple(_lines(ordered, verdict, None)),
        forest.head(axis, verdict["data"]["score"], width=_plot(verdict["data"]["score"])),
    )


def order(candidates: Iterable[Row]) -> list[Row]:
    """Return candidates in reading order: dense (by either rule), boosting, linear, the chosen method, others, narrow.

    Within a method they go from dense to sparse.

    >>> order([{"kind": "narrow", "method": "narrow", "density": 0.5, "walk": "passed"},
    ...        {"kind": "dense", "method": "dense", "density": None, "walk": "reference"}])[0]["kind"]
    'dense'
    """
    rows = list(candidates)
    ours = next(((row["kind"], row["method"]) for row in rows if row["walk"] == "chosen"), None)
    first_seen: dict[str, int] = {}
    for row in rows:
        first_seen.setdefault(row["method"], len(first_seen))
    fixed = {"dense": 0, "backprop": 1, "boosting": 2, "linear": 3, "sparse": 5, "narrow": 6}

    def key(row: Row) -> tuple[int, int, float]:
        mine = row["kind"] in ("sparse", "narrow") and (row["kind"], row["method"]) == ours
        return (4 if mine else fixed[row["kind"]], first_seen[row["method"]], -(row["density"] or 0.0))

    return sorted(rows, key=key)


def worth_showing(ordered: Sequence[Row]) -> list[Row]:
    """Return the last that passed and the first that stopped per method, and everything that is no method.

    >>> rows = [{"kind": "sparse", "method": "gmp", "walk": w, "score": 0.9} for w in ("passed", "passed", "stopped")]
    >>> [row["walk"] for row in worth_showing(rows)]
    ['passed', 'stopped']
    """
    out: list[Row] = []
    for method in dict.fromkeys((row["kind"], row["method"]) for row in ordered):
        rows = [row for row in ordered if (row["kind"], row["method"]) == method]
        if method[0] not in ("sparse", "narrow"):
            out += rows
            continue
        passed = [row for row in rows if row["walk"] in ("passed", "chosen")]
        stopped = [row for row in rows if row["walk"] in ("stopped", "fell-short")]
        untested = [row for row in rows if row["walk"] == "not-tested" and row["score"] is not None]
        out += passed[-1:] + stopped[:1]
        if any(row["walk"] == "chosen" for row in rows):
            out += untested[:1]
        elif not passed and not stopped:
            out += (untested or rows)[:1]
    return out


def _lines(rows: Sequence[Row], verdict: Mapping[str, Any], axis: forest.Domain | None) -> list[Line]:
    """Rows as text; without an axis the plot is left out."""
    score, margin = verdict["data"]["score"], verdict["margin"]
    ours = next(((row["kind"], row["method"]) for row in verdict["candidates"] if row["walk"] == "chosen"), None)
    compared = [row for row in verdict["candidates"] if row["difference"] is not None and row["kind"] != "dense"]
    decimals = score_text.column_decimals([row["lower"] for row in compared], margin, score)
    out, before = [], None
    for row in rows:
        method = (row["kind"], row["method"]) if row["kind"] in ("sparse", "narrow") else "yardsticks"
        sign, walk, short, class_ = WALKS[row["walk"]]
        known = row["score"] is not None
        half = (row["score_high"] - row["score_low"]) / 2 if known and row.get("score_low") is not None else None
        bounds = ""
        if row in compared:
            bounds = score_text.difference_interval(row["lower"], upper_end(row), score, decimals=decimals)
        out.append(
            Line(
                name=svg.clean(method_name(row)),
                short=svg.clean(short_method(row)),
                amount=figures.short_percent(row["density"]) if row["density"] is not None and has_density(row) else "",
                weights=figures.count(row["weights"]) if row["weights"] is not None else "no network",
                macs=figures.count(row["macs"]) if row.get("macs") is not None else "n/a",
                size=figures.kilobytes(row["bytes"]) if row.get("bytes") is not None else "–",
                latency=figures.microseconds(row["latency_us"]) if row.get("latency_us") is not None else "–",
                score=score_text.score_value(row["score"], score) if known else "–",
                interval=score_text.score_interval(row["score_low"], row["score_high"], score)
                if half is not None
                else "",
                half=f"± {score_text.score_value(half, score)}" if half is not None else "",
                difference=_difference(row, score, decimals),
                bounds=bounds,
                sign=sign,
                walk=walk,
                walk_short=short,
                walk_class=class_,
                chosen=row["walk"] == "chosen",
                first=method != before,
                forest=_forest(row, axis, margin, score, method == ours) if axis else Markup(""),
            )
        )
        before = method
    return out


def has_density(row: Row) -> bool:
    """Return whether a candidate is named together with its density.

    >>> has_density({"kind": "sparse"}), has_density({"kind": "dense"})
    (True, False)
    """
    return row["kind"] in ("sparse", "narrow")


def _difference(row: Row, score: str, decimals: int) -> str:
    if row["kind"] == "dense":
        return "0"
    if row["difference"] is None:
        return "–"
    return score_text.difference(row["difference"], score, decimals=decimals)


def _forest(row: Row, axis: forest.Domain, margin: float, score: str, ours: bool) -> Markup:
    colour = "blue" if ours or row["walk"] == "chosen" else "warm" if row["kind"] == "narrow" else "grey"
    kind = "filled" if row["walk"] in ("passed", "chosen") else "hollow"
    shape = {"narrow": "square", "linear": "diamond"}.get(row["kind"], "circle")
    interval = None if row["difference"] is None else (row["difference"], row["lower"], upper_end(row))
    return forest.row(
        interval,
        axis,
        margin,
        score,
        shape=shape,
        class_=f"{kind} {colour}",
        reference=row["kind"] == "dense",
        width=_plot(score),
    )


def _plot(score: str) -> float:
    """Three decimals in the other columns leave the plot less room."""
    return forest.WIDTH if score_text.scale(score) > 1 else 184.0


def upper_end(row: Row) -> float:
    """Return the upper end of a difference: as stored, or the lower one mirrored.

    >>> upper_end({"difference": -1.0, "lower": -3.0, "upper": None})
    1.0
    """
    upper = row.get("upper")
    return 2 * row["difference"] - row["lower"] if upper is None else upper
