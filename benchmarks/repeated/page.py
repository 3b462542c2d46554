"""The page: what a repeat is worth in a network, beside the law of the linear model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from repeated.cases import (
    AGAIN,
    FACTORS,
    LONGER,
    OFFSETS,
    PROBLEMS,
    RUNS,
    SAMPLES,
    TUNING,
    Record,
    control,
    edge,
    exact,
)
from repeated.reading import CONTROL, HEAD, HOW, LONG, READING, SETTLED
from scipy.optimize import minimize_scalar

from sparsefire.convergence import fit_rate
from sparsefire.randomness import stream

RESAMPLES = 2000
Risks = dict[int, np.ndarray]
"""Risks after the last sample [runs] by number of repeats; 0 is the gradient."""


def of(records: Sequence[Record], samples: int | None = None) -> dict[str, Risks]:
    """Return the risks after the last sample by problem and repeats; by default of runs as short as any."""
    found: dict[str, Risks] = {}
    samples = min((record["samples"] for record in records), default=SAMPLES) if samples is None else samples
    for problem in PROBLEMS:
        mine = [r for r in records if r["problem"] == problem.name and r["samples"] == samples]
        if mine:
            found[problem.name] = {r["repeats"]: np.array([path[-1] for path in r["risks"]]) for r in mine}
    return found


def ratios(risks: Risks, rows: np.ndarray | None = None) -> dict[int, float]:
    """Return mean risk over that of the gradient by number of repeats."""
    means = {repeats: float((found if rows is None else found[rows]).mean()) for repeats, found in risks.items()}
    return {repeats: value / means[0] for repeats, value in sorted(means.items()) if repeats}


def dimension(ratio: dict[int, float]) -> float:
    """Return D of the law 1 + D / l nearest to the ratios, in squares of logarithms.

    >>> round(dimension({1: 11.0, 5: 3.0, 10: 2.0}), 3)
    10.0
    """
    repeats = np.array(list(ratio))
    logs = np.log(list(ratio.values()))
    found = minimize_scalar(
        lambda d: float(np.sum((np.log1p(np.exp(d) / repeats) - logs) ** 2)), bounds=(-7.0, 9.0), method="bounded",
        options={"xatol": 1e-6},
    )  # fmt: skip
    return float(np.exp(found.x))


def resampled(risks: Risks) -> list[dict[int, float]]:
    """Return the ratios with the runs drawn afresh; runs are the same in all arms."""
    rng = stream(0, "repeats", "bootstrap")
    runs = min(map(len, risks.values()))
    return [ratios(risks, rng.integers(0, runs, runs)) for _ in range(RESAMPLES)]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the middle 95%."""
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def records(found: Sequence[Record]) -> list[Record]:
    """Return a list of numbers for machines."""
    out = []
    for name, risks in of(found).items():
        if 0 not in risks or len(risks) < 3:
            continue
        out.append({"area": "repeats", "job": name, "ours": dimension(ratios(risks)), "unit": "D of 1 + D / repeats"})
    return out


def distances(found: Sequence[Record]) -> list[float]:
    """Return (mean − exact risk) / standard error of the linear problem with normal directions, at all n ≥ 100."""
    out = []
    for r in found:
        if r["problem"] == PROBLEMS[0].name:
            runs, law = np.array(r["risks"]), exact(r["repeats"], r["factor"], r["offset"], r["samples"])
            late = np.array(r["k"]) >= 100
            error = runs.std(axis=0, ddof=1) / np.sqrt(len(runs))
            out += list(((runs.mean(axis=0) - law[r["k"]]) / error)[late])
    return out


def markdown(found: Sequence[Record]) -> str:
    """Return the page."""
    by = of(found)
    parameters = {record["problem"]: record["parameters"] for record in found}
    head = "| problem | p | D [95%] | D / p | ratio at 1 repeat | ratio at about p | ratio at 100 |"
    laws, ends, slopes = [head, "|---" * 7 + "|"], [], []
    for name, risks in by.items():
        if 0 in risks and len(risks) > 2:
            laws.append(_law(name, parameters[name], risks))
            cells = [_risk(risks.get(r)) + _mark(found, name, r) for r in SHOWN]
            ends.append(f"| {name} | " + " | ".join(cells) + " |")
            slopes.append(f"| {name} | " + " | ".join(_slope(found, name, r) for r in SHOWN) + " |")
    heads = ["| problem | " + " | ".join("gradient" if r == 0 else str(r) for r in SHOWN) + " |"]
    heads += ["|---" * (len(SHOWN) + 1) + "|"]
    parts = [HEAD, "![Risk over that of the gradient against repeats per parameter](images/repeats.svg)\n", READING]
    parts += ["## The law fitted\n", *laws, ""]
    if any(record["samples"] == SAMPLES for record in found):
        law, far = control(SAMPLES), distances(found)
        shown = ", ".join(f"{law[repeats]:.2f} at {repeats}" for repeats in (1, 20, 100))
        parts.append(CONTROL.format(dimension=dimension(law), ratios=shown, far=max(map(abs, far)), number=len(far)))
    longer = of(found, LONGER).get(AGAIN.name, {})
    if 0 in longer and len(longer) > 2:
        parts += [LONG.format(name=AGAIN.name, samples=f"{LONGER:,}"), *_compared(by[AGAIN.name], longer), ""]
    parts += ["## Mean risk ×10³ after the last sample, by repeats\n", *heads, *ends, "", EDGE]
    parts += ["## Exponents over the last 0.75 decades, by repeats\n", SETTLED, *heads, *slopes, ""]
    return "\n".join(
        [
            *parts,
            HOW.format(
                samples=f"{SAMPLES:,}",
                tuning=TUNING,
                runs=RUNS,
                grid=f"{len(FACTORS)} × {len(OFFSETS)}",
                low=FACTORS[0],
                high=FACTORS[-1],
                near=OFFSETS[0],
                far=OFFSETS[-1],
            ),
        ]
    )


EDGE = "† the schedule lies at the edge of the grid it was chosen from.\n"


def _compared(short: Risks, long: Risks) -> list[str]:
    """Return the ratios after few and after many samples."""
    rows = ["| samples | D [95%] | " + " | ".join(f"ratio at {r}" for r in sorted(long) if r) + " |"]
    rows.append("|---" * (len(long) + 1) + "|")
    for samples, risks in ((SAMPLES, {r: short[r] for r in long}), (LONGER, long)):
        ratio, again = ratios(risks), resampled(risks)
        low, high = interval([dimension(one) for one in again])
        cells = [f"{samples:,}", f"{dimension(ratio):.1f} [{low:.1f}, {high:.1f}]"]
        for repeats in ratio:
            a, b = interval([one[repeats] for one in again])
            cells.append(f"{ratio[repeats]:.2f} [{a:.2f}, {b:.2f}]")
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _law(name: str, p: int, risks: Risks) -> str:
    ratio, again = ratios(risks), resampled(risks)
    low, high = interval([dimension(one) for one in again])
    near = min(ratio, key=lambda repeats: abs(np.log(repeats / p)))
    cells = [name, str(p), f"{dimension(ratio):.1f} [{low:.1f}, {high:.1f}]", f"{low / p:.2f} to {high / p:.2f}"]
    for repeats in (1, near, max(ratio)):
        a, b = interval([one[repeats] for one in again])
        cells.append(f"{ratio[repeats]:.2f} [{a:.2f}, {b:.2f}]" + (f" at {repeats}" if repeats == near else ""))
    return "| " + " | ".join(cells) + " |"


def _mark(found: Sequence[Record], name: str, repeats: int) -> str:
    mine = [r for r in found if r["problem"] == name and r["repeats"] == repeats and r["samples"] != LONGER]
    return " †" if any(map(edge, mine)) else ""


def _slope(found: Sequence[Record], name: str, repeats: int) -> str:
    for record in found:
        if record["problem"] == name and record["repeats"] == repeats and record["samples"] != LONGER:
            fit = fit_rate(record["k"], np.array(record["risks"]), window=(record["k"][-4], record["k"][-1]))
            low, high = fit.interval()
            return f"{fit.exponent:.2f} [{low:.2f}, {high:.2f}]"
    return "–"


SHOWN = (0, 1, 5, 20, 100)


def _risk(values: np.ndarray | None) -> str:
    if values is None:
        return "–"
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    return f"{1000 * values.mean():.2f} ± {1000 * half:.2f}"


def draw(found: Sequence[Record], docs: Path) -> None:
    """Write the picture."""
    sys.path.append(str(docs))
    from make_figures import Line, chart, save  # type: ignore[import-not-found]

    parameters = {record["problem"]: record["parameters"] for record in found}
    looks = [("ink", "circle"), ("grey", "circle"), ("grey", "diamond"), ("blue", "circle"), ("warm", "circle"),
             ("warm", "diamond")]  # fmt: skip
    lines, drawn = [], of(found)
    drawn.pop(PROBLEMS[0].name, None)  # the control with normal directions lies on that with signs
    for (colour, shape), (name, risks) in zip(looks, drawn.items(), strict=False):
        if 0 not in risks or len(risks) < 3:
            continue
        again = resampled(risks)
        points = []
        for repeats, value in ratios(risks).items():
            low, high = interval([one[repeats] for one in again])
            points.append((repeats / parameters[name], value, max(low, 0.8), high))
        lines.append(Line(name, points, colour, shape))
    axis = np.geomspace(0.005, 15, 60)
    law = [(x, 1 + 1 / x, 1 + 1 / x, 1 + 1 / x) for x in axis if 1 + 1 / x <= 160]
    lines.append(Line("1 + p / l", law, "ink", "square", dots=False))
    save(
        "repeats",
        chart(
            lines, x_ticks=[0.005, 0.02, 0.1, 0.5, 2, 10], y_ticks=[0.5, 1, 2, 5, 10, 20, 50, 100, 160],
            x_title="repeats l per parameter p (log scale)", y_title="risk over that of the gradient (log scale)",
            label="Risk of repeated forward gradients over that of the gradient, against repeats per parameter",
            show_x=lambda x: f"{x:g}", show_y=lambda y: f"{y:g}", log_y=True, height=420.0,
        ),
    )  # fmt: skip
