"""Panels, one per problem: the ratio to the tuned gradient against rows, and the risk against losses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from conjectured import linear
from conjectured.cases import Record
from conjectured.page import AT, GRADIENT, PROBLEMS, against, arms, cells, curve, rows
from markupsafe import Markup
from panels import Panel, Point, sheet

NAMES = {
    linear.TWO: "two queries", linear.ONE: "one query", linear.LASSO: "lasso", linear.FREE: "products: noise",
    linear.SLOPED_FREE: "products: gradient", "feedback alignment": "alignment",
    "node perturbation": "node perturbation",
}  # fmt: skip
"""Arms that are drawn, by what the legend has room for."""
LOOKS = {
    "two queries": ("warm", "circle"), "one query": ("grey", "circle"), "products: noise": ("blue", "circle"),
    "products: gradient": ("warm", "diamond"), "lasso": ("ink", "square"), "alignment": ("grey", "diamond"),
    "node perturbation": ("blue", "diamond"),
}  # fmt: skip


def rows_picture(found: Sequence[Record]) -> Markup:
    """Draw the ratio of risks against rows; below 1 is better than the gradient."""
    held, panels = cells(found), []
    for problem in PROBLEMS:
        lines: dict[str, list[Point]] = {}
        for arm in filter(NAMES.__contains__, arms(problem)):
            for n in rows(problem):
                ratio = against(held.get((problem, arm, n), {}), held.get((problem, GRADIENT, n), {}))
                if ratio is not None:
                    lines.setdefault(NAMES[arm], []).append((float(n), *ratio))
        if lines:
            panels.append(Panel(problem, lines, rows(problem), [(n, 1.0) for n in rows(problem)]))
    title = "risk over that of the tuned gradient, against rows n; product weights from any start"
    return sheet(panels, title, LOOKS, lambda n: f"{n:,.0f}")


def losses_picture(found: Sequence[Record]) -> Markup:
    """Draw the mean risk against losses read; the dashed line is the tuned gradient."""
    held, panels = cells(found), []
    for problem in PROBLEMS:
        n = AT[problem]
        base = held.get((problem, GRADIENT, n), {})
        lines = {}
        for arm in filter(NAMES.__contains__, arms(problem)):
            got = curve(held.get((problem, arm, n), {}))
            if got is not None:
                lines[NAMES[arm]] = [(float(q), float(r), float(r), float(r)) for q, r in zip(*got, strict=True)]
        if lines and base:
            level = float(np.mean([record["risk"] for record in base.values()]))
            panels.append(Panel(f"{problem}, n = {n}", lines, (1e2, 1e3, 1e4, 1e5), [(1e2, level), (1e5, level)]))
    title = "mean risk against losses read; product weights from any start; dashed: the tuned gradient"
    return sheet(panels, title, LOOKS, lambda q: f"10^{math.log10(q):.0f}")
