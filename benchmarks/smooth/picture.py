"""The picture: risk against the number of rows, one panel per function, the best possible slope beside."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from figures import mean
from markupsafe import Markup
from panels import Panel, sheet
from smooth.cases import FUNCTIONS, HOW, ROWS, SMOOTHER

LOOKS = {
    "backprop": ("ink", "circle"), "feedback alignment": ("grey", "diamond"), "node perturbation": ("blue", "circle"),
    "two queries": ("warm", "circle"), SMOOTHER: ("grey", "square"),
}  # fmt: skip
Curves = Mapping[tuple[str, str], Mapping[int, list[float]]]


def drawn(curves: Curves, exponents: Mapping[str, float]) -> Markup:
    """Return a panel for each function that networks have learned."""
    panels = []
    for function in FUNCTIONS:
        lines = {}
        for rule in LOOKS:
            have = curves.get((function, rule), {})
            points = [(float(n), *np.exp(mean(np.log(have[n])))) for n in ROWS if len(have.get(n, [])) > 1]
            if points:
                lines[rule] = points
        if any(rule in lines for rule in HOW):
            start, exponent = max(line[0][1] for line in lines.values()), exponents[function]
            ideal = [(n, start * (n / ROWS[0]) ** -exponent) for n in np.geomspace(ROWS[0], ROWS[-1], 40)]
            panels.append(Panel(function, lines, ROWS[::2], ideal, f"n^−{exponent:.2f}"))
    return sheet(
        panels, "squared risk against rows n; dashed: the best possible slope at large n", LOOKS, lambda n: f"{n:,.0f}"
    )
