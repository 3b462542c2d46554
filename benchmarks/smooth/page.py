"""The page: slopes of small networks beside a smoother's on the same rows, and what could have been seen."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from figures import Interval, mean
from smooth.cases import FUNCTIONS, HOW, REPLICATES, ROWS, SMOOTH_REPLICATES, SMOOTH_ROWS, SMOOTHER, Record
from smooth.reading import HEAD, HOW_IT_WAS_DONE, POWER, READING, STOPPED

from sparsefire.convergence.inference.fits import RateFit, fit_rate

WINDOW = (256.0, 4096.0)
"""Rows over which slopes are taken: with fewer, some networks do no better than a constant."""
LONG = (1000.0, 64_000.0)
"""Rows over which the smoother's own exponent is checked."""
Risks = dict[int, dict[int, float]]
"""Risks by number of rows and replicate."""


def by_curve(records: Sequence[Record]) -> dict[tuple[str, str], Risks]:
    """Return risks by function and rule."""
    found: dict[tuple[str, str], Risks] = {}
    for record in records:
        curve = found.setdefault((record["function"], record["rule"]), {})
        curve.setdefault(record["rows"], {})[record["replicate"]] = record["risk"]
    return found


def matrix(curve: Risks, window: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows within a window [m] and the risks there of all replicates that have them all [replicates, m]."""
    rows = [n for n in sorted(curve) if window[0] <= n <= window[1]]
    whole = sorted(set.intersection(*(set(curve[n]) for n in rows))) if rows else []
    return np.array(rows), np.array([[curve[n][r] for n in rows] for r in whole])


def fitted(curve: Risks, window: tuple[float, float] = WINDOW) -> RateFit | None:
    """Return the power law over a window; a replicate keeps its function at all n, so whole replicates are drawn."""
    rows, risks = matrix(curve, window)
    return fit_rate(rows, risks, window=window) if len(rows) > 2 and len(risks) > 1 else None


def steeper(ours: Risks, theirs: Risks) -> Interval | None:
    """Return our slope minus theirs over replicates that both have, each fitted by itself, with a t interval."""
    rows = [n for n in sorted(set(ours) & set(theirs)) if WINDOW[0] <= n <= WINDOW[1]]
    if len(rows) < 3:
        return None
    whole = sorted(set.intersection(*(set(curve[n]) for curve in (ours, theirs) for n in rows)))
    logs = np.log(rows) - np.log(rows).mean()
    slopes = [[np.log([curve[n][r] for n in rows]) @ logs / (logs @ logs) for curve in (theirs, ours)] for r in whole]
    found = [float(b - a) for b, a in slopes]
    return mean(found) if len(found) > 1 else None


def records(found: Sequence[Record]) -> list[Record]:
    """Return a list of numbers for machines."""
    out = []
    for (function, rule), curve in by_curve(found).items():
        fit = fitted(curve)
        if fit is not None:
            low, high = fit.interval()
            out.append(
                {
                    "area": "nonparametric", "job": f"{function}, {rule}", "ours": fit.exponent, "low": low,
                    "high": high, "unit": "slope of the risk in the number of rows, 256 to 4,096",
                }
            )  # fmt: skip
    return out


def markdown(found: Sequence[Record]) -> str:
    """Return the page."""
    curves = by_curve(found)
    exponents = {record["function"]: record["exponent"] for record in found}
    rules = [rule for rule in HOW if any(key[1] == rule for key in curves)]
    shown = [function for function in FUNCTIONS if function in exponents]
    parts = [HEAD, "![Risk against the number of rows](images/nonparametric.svg)\n", READING]
    parts += ["## Does the harness see exponents?\n", *_check(curves, exponents, shown), ""]
    parts += ["## Slopes from 256 to 4,096 rows\n", *_slopes(curves, shown, rules), ""]
    parts += ["## Against back-propagation\n", *_differences(curves, shown, rules), "", POWER, _power(curves, rules)]
    parts += ["## Risks at the largest n\n", *_ends(curves, shown, rules), ""]
    parts += ["## Trainings that still improved at their last step\n", STOPPED, *_unfinished(found, rules), ""]
    how = HOW_IT_WAS_DONE.format(
        replicates=len(REPLICATES), rows=", ".join(f"{n:,}" for n in ROWS), smooth=len(SMOOTH_REPLICATES),
        largest=f"{max(SMOOTH_ROWS):,}",
    )  # fmt: skip
    return "\n".join([*parts, how])


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines)]


def _check(curves: Mapping[tuple[str, str], Risks], exponents: Mapping[str, float], shown: Sequence[str]) -> list[str]:
    lines = []
    for function in shown:
        fit = fitted(curves.get((function, SMOOTHER), {}), LONG)
        off = "–" if fit is None else f"{fit.exponent - exponents[function]:+.2f}"
        lines.append([function, f"{exponents[function]:.2f}", _told(fit), off])
    return _table(["function", "best possible", f"{SMOOTHER}, 1,000 to 64,000 rows", "off by"], lines)


def _slopes(curves: Mapping[tuple[str, str], Risks], shown: Sequence[str], rules: Sequence[str]) -> list[str]:
    names = (SMOOTHER, *rules)
    lines = [[f, *(_told(fitted(curves.get((f, rule), {}))) for rule in names)] for f in shown]
    return _table(["function", *names], lines)


def _differences(curves: Mapping[tuple[str, str], Risks], shown: Sequence[str], rules: Sequence[str]) -> list[str]:
    others = [rule for rule in rules if rule != "backprop"]
    lines = []
    for function in shown:
        base = curves.get((function, "backprop"), {})
        found = [steeper(curves.get((function, rule), {}), base) for rule in others]
        lines.append([function, *("–" if d is None else f"{d[0]:+.2f} [{d[1]:+.2f}, {d[2]:+.2f}]" for d in found)])
    return _table(["slope minus back-propagation's", *others], lines)


def _told(fit: RateFit | None) -> str:
    if fit is None:
        return "–"
    low, high = fit.interval()
    return f"{fit.exponent:.2f} [{low:.2f}, {high:.2f}]"


def _power(curves: Mapping[tuple[str, str], Risks], rules: Sequence[str]) -> str:
    told = []
    for rule in rules:
        fits = [fit for key, curve in curves.items() if key[1] == rule and (fit := fitted(curve)) is not None]
        if fits:
            halves = [(fit.interval()[1] - fit.interval()[0]) / 2 for fit in fits]
            told.append(f"{rule} {np.median(halves):.2f} (at most {max(halves):.2f})")
    return "; ".join(told) + ".\n"


def _ends(curves: Mapping[tuple[str, str], Risks], shown: Sequence[str], rules: Sequence[str]) -> list[str]:
    lines = []
    for function in shown:
        cells = [function]
        for rule in (SMOOTHER, *rules):
            risks = list(curves.get((function, rule), {}).get(ROWS[-1], {}).values())
            cells.append(geometric(risks) if len(risks) > 1 else "–")
        lines.append(cells)
    return _table(["function", SMOOTHER, *rules], lines)


def geometric(risks: Sequence[float]) -> str:
    """Return the geometric mean with its t interval.

    >>> geometric([1.0, 4.0])
    '2.000 [0.000, 13380.187]'
    """
    return "{:.3f} [{:.3f}, {:.3f}]".format(*np.exp(mean(np.log(risks))))


def _unfinished(found: Sequence[Record], rules: Sequence[str]) -> list[str]:
    lines = []
    for rule in rules:
        cells = [rule]
        for n in ROWS:
            last = [record["last"] for record in found if record["rule"] == rule and record["rows"] == n]
            cells.append(f"{np.mean(last):.0%}" if last else "–")
        lines.append(cells)
    return _table(["rule", *(f"n = {n:,}" for n in ROWS)], lines)


def draw(found: Sequence[Record], docs: Path) -> None:
    """Write the picture."""
    sys.path.append(str(docs))
    from make_figures import save  # type: ignore[import-not-found]
    from smooth.picture import drawn

    curves = {key: {n: list(risks.values()) for n, risks in curve.items()} for key, curve in by_curve(found).items()}
    save("nonparametric", drawn(curves, {record["function"]: record["exponent"] for record in found}))
