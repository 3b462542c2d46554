"""The pictures of the page."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from figures import mean
from markupsafe import Markup
from noise import digits, laws
from noise import regression as r
from noise.arms import AVERAGE, SPRED
from noise.tables import Outer, Regressions

from sparsefire.report import svg

Record = dict[str, Any]
LOOKS = {
    r.PRODUCT: ("products, two queries", "blue", "circle"),
    r.PRODUCT_REFIT: ("… then refitted by queries", "blue", "diamond"),
    r.SOFT: ("soft threshold, two queries", "warm", "circle"),
    r.SOFT_REFIT: ("… then refitted by queries", "warm", "diamond"),
    r.STOPPED: ("plain, two queries", "grey", "circle"),
    r.LASSO: ("lasso at λ", "ink", "square"),
    r.LASSO_CV: ("lasso, cross-validated", "grey", "square"),
    r.LASSO_REFIT: ("lasso, refitted", "ink", "diamond"),
}
NAMES = {AVERAGE: "curved noise's average alone", "product": "product, uniform noise"}


def draw(found: Sequence[Record], docs: Path) -> None:
    """Write every picture that there are records for."""
    sys.path.append(str(docs))
    from make_figures import save  # type: ignore[import-not-found]

    held = Regressions(found)
    for d in (200, 1000):
        if len(held.places(d)) > 1:
            save(f"synaptic-noise-rows-{d}", rows_picture(held, d))
        if (d, r.CURVES) in held.rows:
            save(f"synaptic-noise-queries-{d}", queries_picture(held, d))
    save("synaptic-noise-laws", laws_picture(found))
    if Outer(found).rows:
        save("synaptic-noise-digits", digits_picture(found))


def stacked(pictures: Sequence[Markup], heights: Sequence[float], label: str, width: float = 860.0) -> Markup:
    """Return pictures one above the other."""
    parts, top = [], 0.0
    for one, height in zip(pictures, heights, strict=True):
        parts.append(Markup(str(one).replace("<svg ", f'<svg y="{svg.number(top)}" ', 1)))  # escaped where it was made
        top += height + 24.0
    return svg.picture(parts, width=width, height=top - 24.0, label=label)


def rows_picture(held: Regressions, d: int) -> Markup:
    """Draw risk and F1 against the number of rows."""
    from make_figures import Line, chart

    rows = held.places(d)

    def lines(name: str) -> list[Any]:
        drawn = []
        for arm, (words, colour, shape) in LOOKS.items():
            points = [(n, *mean(held.values(d, n, arm, name))) for n in rows]
            drawn.append(Line(words, points, colour, shape))
        return drawn

    about = f"{d:,} weights, {r.LIVE} of them not zero"
    one = chart(
        lines("risk"), x_ticks=rows, y_ticks=(0.01, 0.03, 0.1, 0.3, 1, 3, 10), x_title="rows (log scale)",
        y_title=f"excess risk (log scale), mean and 95% interval; {about}", label=f"Excess risk against rows, {about}",
        show_x=lambda v: f"{v:,.0f}", show_y=lambda v: f"{v:g}", log_y=True, height=380.0,
    )  # fmt: skip
    two = chart(
        lines("f1"), x_ticks=rows, y_ticks=(0, 0.25, 0.5, 0.75, 1), x_title="rows (log scale)",
        y_title="F1 of the support", label=f"F1 of the support against rows, {about}", show_x=lambda v: f"{v:,.0f}",
        show_y=lambda v: f"{v:g}", height=300.0,
    )  # fmt: skip
    return stacked([one, two], [380.0, 300.0], f"Excess risk and F1 of the support against rows, {about}")


def queries_picture(held: Regressions, d: int) -> Markup:
    """Draw risk and F1 against the losses that were read; ends of refits and of the lasso are marks at the end."""
    from make_figures import Line, chart

    place = held.rows[d, r.CURVES]

    def lines(name: str) -> list[Any]:
        drawn, ends = [], []
        for arm in (r.PRODUCT, r.SOFT, r.STOPPED):
            words, colour, shape = LOOKS[arm]
            rows = [place[arm][number] for number in sorted(place[arm])]
            picked = [i for i in range(0, len(rows[0]["at"]), 6) if rows[0]["at"][i] >= 100]
            points = [(rows[0]["at"][i], *mean([row[f"curve {name}"][i] for row in rows])) for i in picked]
            drawn.append(Line(words, points, colour, shape))
        last = max(row["queries"] for row in place[r.PRODUCT_REFIT].values())
        for arm in (r.PRODUCT_REFIT, r.LASSO, r.LASSO_REFIT):
            words, colour, shape = LOOKS[arm]
            at = (last, *mean(held.values(d, r.CURVES, arm, name)))
            words = "products, refitted by queries" if arm == r.PRODUCT_REFIT else words
            ends.append(Line(words, [at], colour, shape, joined=False))
        return [*drawn, *ends]

    last = max(row["queries"] for row in place[r.PRODUCT_REFIT].values())
    top = 10.0 ** math.ceil(math.log10(last))
    ticks = [t for t in (100, 1_000, 10_000, 100_000, 1_000_000) if t <= top]
    about = f"{d:,} weights, {r.CURVES} rows"
    common: Any = {"x_ticks": ticks, "x_title": "losses read (log scale)", "show_x": lambda v: f"{v:,.0f}",
                   "show_y": lambda v: f"{v:g}"}  # fmt: skip
    one = chart(
        lines("risk"), y_ticks=(0.03, 0.1, 0.3, 1, 3, 10, 30), log_y=True, height=380.0,
        y_title=f"excess risk (log scale), mean and 95% interval; {about}",
        label=f"Excess risk against losses read, {about}", **common,
    )  # fmt: skip
    two = chart(
        lines("f1"), y_ticks=(0, 0.25, 0.5, 0.75, 1), height=300.0, y_title="F1 of the support, beyond λ/2",
        label=f"F1 against losses read, {about}", **common,
    )  # fmt: skip
    return stacked([one, two], [380.0, 300.0], f"Excess risk and F1 of the support against losses read, {about}")


def laws_picture(found: Sequence[Record]) -> Markup:
    """Draw measured penalties on the lines |θ|^q."""
    from make_figures import Line, chart

    rows = [one for one in found if one["piece"] == "laws" and "q" in one]
    looks = (("grey", "circle"), ("blue", "circle"), ("blue", "diamond"), ("warm", "square"), ("ink", "diamond"))
    drawn = []
    for q, (colour, shape) in zip(laws.EXPONENTS, looks, strict=True):
        points = []
        for size in laws.SIZES:
            values = [one["penalty"] for one in rows if one["q"] == q and one["size"] == size]
            points.append((size, *mean(values)))
        law = [(size, size**q, size**q, size**q) for size in laws.SIZES]
        names = {0.0: "no penalty", 1.0: "lasso", 2.0: "ridge"}
        drawn.append(Line("", points, colour, shape, joined=False))
        drawn.append(Line(f"q = {q:g}" + (f", {names[q]}" if q in names else ""), law, colour, dots=False))
    return chart(
        drawn, x_ticks=laws.SIZES, y_ticks=(0.01, 0.1, 1, 10, 25), x_title="|θ| (log scale)",
        y_title="mean rise of the loss over e²/2 Σ G, noise of variance e²|θ|^q; lines: |θ|^q, marks: measured",
        label="Measured penalties lie on the lines", show_x=lambda v: f"{v:g}", show_y=lambda v: f"{v:g}", log_y=True,
        height=340.0,
    )  # fmt: skip


def digits_picture(found: Sequence[Record]) -> Markup:
    """Draw accuracy against the share of weights beyond 0.01, at the settings chosen on inner splits."""
    from make_figures import Line, chart

    outer, drawn = Outer(found), []
    chosen = [one for one in digits.frontier(found) if one in outer.rows]
    looks = {SPRED: ("blue", "circle"), AVERAGE: ("ink", "diamond"), "product": ("grey", "circle"),
             "product, curved, by row": ("warm", "circle"), "Poisson, curved, by row": ("warm", "square")}  # fmt: skip
    for arm, (colour, shape) in looks.items():
        points = []
        for one in (one for one in chosen if one.arm == arm):
            dense = float(np.mean(outer.values(one, "density 0.01")))
            points.append((dense, *mean(outer.values(one, "accuracy"))))
        if points:
            drawn.append(Line(NAMES.get(arm, arm), sorted(points, reverse=True), colour, shape))
    return chart(
        drawn, x_ticks=(1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01), y_ticks=(0.84, 0.88, 0.92, 0.96, 1.0),
        x_title="share of weights beyond 0.01 (log scale)", y_title="digits: accuracy, mean and 95% interval",
        label="Accuracy against the share of weights that are left", show_x=lambda v: f"{v:g}",
        show_y=lambda v: f"{100 * v:.0f}%", height=380.0,
    )  # fmt: skip
