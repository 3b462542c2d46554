"""The page: fitted exponents beside the best possible ones and a smoother's, with what could have been seen."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from figures import mean
from smooth.cases import FUNCTIONS, HOW, REPLICATES, ROWS, SMOOTH_REPLICATES, SMOOTH_ROWS, SMOOTHER, Record
from smooth.reading import HEAD, HOW_IT_WAS_DONE, READING

from sparsefire.convergence.fits import RateFit, fit_powers

FROM = 256
"""Rows from which exponents are fitted: with fewer, some networks do no better than a constant."""
Risks = dict[int, list[float]]
"""Risks by number of rows."""


def by_curve(records: Sequence[Record]) -> dict[tuple[str, str], Risks]:
    """Return risks by function and rule."""
    found: dict[tuple[str, str], Risks] = {}
    for record in records:
        curve = found.setdefault((record["function"], record["rule"]), {})
        curve.setdefault(record["rows"], []).append(record["risk"])
    return found


def fitted(curve: Risks, first: int) -> RateFit | None:
    """Return the power law of a curve from ``first`` rows on, where there are three sizes with two replicates each."""
    sizes = sorted(n for n, risks in curve.items() if n >= first and len(risks) > 1)
    return fit_powers(sizes, [np.array(curve[n]) for n in sizes]) if len(sizes) > 2 else None


def fits(records: Sequence[Record]) -> dict[tuple[str, str], RateFit]:
    """Return all fits."""
    found = {}
    for (function, rule), curve in by_curve(records).items():
        fit = fitted(curve, 0 if rule == SMOOTHER else FROM)
        if fit is not None:
            found[function, rule] = fit
    return found


def records(found: Sequence[Record]) -> list[Record]:
    """Return a list of numbers for machines."""
    out = []
    for (function, rule), fit in fits(found).items():
        low, high = fit.interval()
        out.append(
            {
                "area": "nonparametric", "job": f"{function}, {rule}", "ours": fit.exponent, "low": low, "high": high,
                "unit": "exponent of the risk in the number of rows",
            }
        )  # fmt: skip
    return out


def markdown(found: Sequence[Record]) -> str:
    """Return the page."""
    exponents = {record["function"]: record["exponent"] for record in found}
    held = fits(found)
    rules = [rule for rule in HOW if any(key[1] == rule for key in held)]
    head = [
        "| function | best possible | " + SMOOTHER + " | " + " | ".join(rules) + " |",
        "|---" * (len(rules) + 3) + "|",
    ]
    lines = []
    for function in FUNCTIONS:
        if function in exponents:
            cells = [function, f"{exponents[function]:.2f}"]
            cells += [_told(held.get((function, rule))) for rule in (SMOOTHER, *rules)]
            lines.append("| " + " | ".join(cells) + " |")
    how = HOW_IT_WAS_DONE.format(
        replicates=len(REPLICATES), rows=", ".join(f"{n:,}" for n in ROWS), first=FROM, smooth=len(SMOOTH_REPLICATES),
        smallest=f"{SMOOTH_ROWS[0]:,}", largest=f"{SMOOTH_ROWS[-1]:,}",
    )  # fmt: skip
    parts = [HEAD, "![Risk against the number of rows](images/nonparametric.svg)\n", READING, "## Exponents\n"]
    parts += [*head, *lines, "", "## Power\n", _power(held, rules), "## Risks at the largest n\n"]
    return "\n".join([*parts, *_ends(by_curve(found), rules), "", how])


def _told(fit: RateFit | None) -> str:
    if fit is None:
        return "–"
    low, high = fit.interval()
    return f"{fit.exponent:.2f} [{low:.2f}, {high:.2f}]"


def _power(held: Mapping[tuple[str, str], RateFit], rules: Sequence[str]) -> str:
    halves = {}
    for rule in rules:
        widths = [np.subtract(*fit.interval()[::-1]) / 2 for key, fit in held.items() if key[1] == rule]
        halves[rule] = (float(np.median(widths)), float(max(widths)))
    told = "; ".join(f"{rule} {middle:.2f} (at most {most:.2f})" for rule, (middle, most) in halves.items())
    return (
        "Half the width of an interval, in the middle over functions: "
        + told
        + ". A difference from the best possible exponent of 1.43 times that is seen with 80% power.\n"
    )


def _ends(curves: Mapping[tuple[str, str], Risks], rules: Sequence[str]) -> list[str]:
    lines = ["| function | " + " | ".join((SMOOTHER, *rules)) + " |", "|---" * (len(rules) + 2) + "|"]
    for function in FUNCTIONS:
        cells = [function]
        for rule in (SMOOTHER, *rules):
            risks = curves.get((function, rule), {}).get(ROWS[-1], [])
            if len(risks) > 1:
                value, low, high = mean(risks)
                cells.append(f"{value:.3f} [{low:.3f}, {high:.3f}]")
            else:
                cells.append("–")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def draw(found: Sequence[Record], docs: Path) -> None:
    """Write the picture: six functions, every rule."""
    sys.path.append(str(docs))
    from make_figures import save  # type: ignore[import-not-found]
    from smooth.picture import drawn

    save("nonparametric", drawn(by_curve(found), {record["function"]: record["exponent"] for record in found}))
