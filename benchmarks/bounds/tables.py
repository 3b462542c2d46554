"""What the cases say: risks over the bound of their own queries, what theory says they tend to, and the tables."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from bounds.cases import ATOMS, DESIGNS, DIMENSION, NOISES, READINGS, START, Case
from figures import Interval, mean
from scipy import stats

from sparsefire.convergence.bounds.fisher import best_radius, query_bound
from sparsefire.convergence.exact.constants import asymptotic_constant, scalar_risk
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.update import Update
from sparsefire.randomness import stream

Record = dict[str, Any]
PLACES = tuple((design, noise) for noise in NOISES for design in DESIGNS)
INPUTS = {"normal": "normal", "rademacher": "±1", "student": "Student, 5", "sparse": "sparse, 0.1"}
NOISE = {"normal": "normal", "laplace": "Laplace", "two-point": "two-point"}
READ = {"none": "no baseline", "previous": "previous loss", "mean": "running mean", "score": "score"}
RESAMPLES = 2000


@cache
def bound(design: str, noise: str, d: int) -> float:
    """Return the least k · risk of queries at the rule's own distance; for atoms 2σ²d², that of normal laws."""
    return 2.0 * d * d if (design, noise) == ATOMS else query_bound(LinearRegression(d, design=design, noise_law=noise))


def update(reading: str) -> Update:
    """Return the rule with a baseline, for its constant."""
    return Update("one-query", law="rademacher", baseline=reading)


@cache
def limit(design: str, noise: str, reading: str, d: int) -> float:
    """Return what k · risk over the bound tends to."""
    if reading == "score":
        return 1.0
    problem = LinearRegression(d, design=design, noise_law=noise)
    return asymptotic_constant(update(reading), problem) / bound(design, noise, d)


@cache
def expected(design: str, noise: str, reading: str, d: int, steps: int) -> float:
    """Return the same after ``steps`` steps from θ*, by the recursion that takes errors as normal."""
    recursion = scalar_risk(LinearRegression(d, design=design, noise_law=noise), update(reading))
    risk, offset = 0.0, START * d * d
    for k in range(1, steps + 1):
        risk += (recursion.second_moment(risk) / (k + offset) - 2 * risk) / (k + offset)
    return risk * scale(steps, d) / bound(design, noise, d)


def scale(k: Any, d: int) -> Any:
    """Return (k + k₀)²/k: r_k = N k/(k + k₀)² from θ* on, for α_k = 1/(k + k₀) and E‖ĝ‖² = N."""
    return (k + START * d * d) ** 2 / k


class Cases:
    """The records by case."""

    def __init__(self, found: Sequence[Record]) -> None:
        names = tuple(Case.__dataclass_fields__)
        self.all = {Case(**{name: record[name] for name in names}): record for record in found}

    def get(self, design: str, noise: str, reading: str, d: int = DIMENSION) -> Record | None:
        """Return the record of a case of the usual length."""
        for case, record in self.all.items():
            here = (case.design, case.noise, case.reading, case.dimension) == (design, noise, reading, d)
            if here and case.times <= Case.times:
                return record
        return None

    def scaled(self, design: str, noise: str, reading: str, d: int = DIMENSION) -> np.ndarray | None:
        """Return k · risk over the bound for every run, after the last step."""
        record = self.get(design, noise, reading, d)
        if record is None:
            return None
        return np.array(record["last"]) * scale(record["k"][-1], d) / bound(design, noise, d)

    def ratio(self, design: str, noise: str, reading: str, d: int = DIMENSION) -> Interval | None:
        """Return the mean of these with its t interval; where there is no mean, the median with its own."""
        values = self.scaled(design, noise, reading, d)
        if values is None:
            return None
        by_median = design == "student" or not np.isfinite(values).all()
        return self.middle(design, noise, reading, d) if by_median else mean(values.tolist())

    def diverged(self, design: str, noise: str, reading: str, d: int = DIMENSION) -> int:
        """Return the number of runs that diverged."""
        values = self.scaled(design, noise, reading, d)
        return 0 if values is None else int((~np.isfinite(values)).sum())

    def middle(self, design: str, noise: str, reading: str, d: int = DIMENSION) -> Interval | None:
        """Return their median over that of χ²_d/d, which normal errors have, with an interval from order statistics."""
        values = self.scaled(design, noise, reading, d)
        if values is None:
            return None
        ordered, n = np.sort(values) / (stats.chi2.ppf(0.5, d) / d), len(values)
        low = int(stats.binom.ppf(0.025, n, 0.5))
        return float(np.median(ordered)), float(ordered[max(low - 1, 0)]), float(ordered[min(n - low, n - 1)])

    def saved(self, design: str, noise: str) -> Interval | None:
        """Return the risk of the running mean over that of the score, runs resampled in pairs."""
        mine, score = (self.scaled(design, noise, reading) for reading in ("mean", "score"))
        if mine is None or score is None or design == "student":
            return None
        rng = stream(0, "efficiency", "saved")
        rows = rng.integers(0, len(mine), (RESAMPLES, len(mine)))
        low, high = np.quantile(mine[rows].mean(axis=1) / score[rows].mean(axis=1), [0.025, 0.975])
        return float(mine.mean() / score.mean()), float(low), float(high)


def show(value: Interval | None) -> str:
    """Return a number with its interval."""
    return "" if value is None else f"{value[0]:.2f} [{value[1]:.2f}, {value[2]:.2f}]"


def main_table(cases: Cases) -> str:
    """Return risk over the bound, simulated, and what it tends to."""
    lines = [
        "| noise | inputs | bound / 2σ²d² | " + " | ".join(READ[reading] for reading in READINGS) + " |",
        "|---|---|---|" + "---|" * len(READINGS),
    ]
    for design, noise in PLACES:
        cells = []
        for reading in READINGS:
            value = cases.ratio(design, noise, reading)
            flag = "‡" if cases.diverged(design, noise, reading) else ""
            aim = limit(design, noise, reading, DIMENSION)
            cells.append("" if value is None else f"{show(value)}{flag} → {aim:.2f}")
        atoms = (design, noise) == ATOMS
        own = "none" if atoms else f"{bound(design, noise, DIMENSION) / (2 * DIMENSION**2):.3f}"
        flag = "*" * atoms + "†" * (design == "student")
        lines.append(f"| {NOISE[noise]} | {INPUTS[design]}{flag} | {own} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def median_table(cases: Cases) -> str:
    """Return the same for the typical run, and what the score saves."""
    lines = [
        "| noise | inputs | running mean, by the median | score, by the median | running mean / score, means |",
        "|---|---|---|---|---|",
    ]
    for design, noise in PLACES:
        if cases.get(design, noise, "mean") is None or (design, noise) == ATOMS:
            continue
        cells = [show(cases.middle(design, noise, reading)) for reading in ("mean", "score")]
        lines.append(
            f"| {NOISE[noise]} | {INPUTS[design]} | {' | '.join(cells)} | {show(cases.saved(design, noise))} |"
        )
    return "\n".join(lines) + "\n"


def early_table(cases: Cases) -> str:
    """Return how the simulations compare with the recursion at the same step."""
    lines = ["| noise | inputs | " + " | ".join(READ[r] for r in READINGS[:3]) + " |", "|---|---|---|---|---|"]
    for design, noise in PLACES:
        cells = []
        for reading in READINGS[:3]:
            record, value = cases.get(design, noise, reading), cases.ratio(design, noise, reading)
            if record is None or value is None:
                continue
            law = expected(design, noise, reading, DIMENSION, record["k"][-1])
            flag = "‡" if cases.diverged(design, noise, reading) else ""
            cells.append(show((value[0] / law, value[1] / law, value[2] / law)) + flag)
        if len(cells) == 3:
            name = INPUTS[design] + "†" * (design == "student")
            lines.append(f"| {NOISE[noise]} | {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def diverged_text(cases: Cases) -> str:
    """Return how many runs diverged where some did."""
    said = []
    for case, record in cases.all.items():
        lost = sum(not np.isfinite(value) for value in record["last"])
        if lost:
            kind = f"{INPUTS[case.design]} inputs, {NOISE[case.noise]} noise, {READ[case.reading]}"
            said.append(f"{lost} of {case.runs:,} ({kind}, d = {case.dimension})")
    return "‡: runs diverged: " + ";\n".join(said) + ".\nThe median over all runs is shown.\n" if said else ""


def dimension_table(cases: Cases) -> str:
    """Return what the running mean costs at other dimensions: the limit by quadrature, and simulated."""
    sizes = (2, 5, 10, 20, 100)
    lines = [
        "| noise | inputs | " + " | ".join(f"d = {d}" for d in sizes) + " | simulated, d = 5 | d = 10 | d = 20 |",
        "|---|---|" + "---|" * (len(sizes) + 3),
    ]
    for design, noise in PLACES:
        if (design, noise) == ATOMS:
            continue
        limits = [f"{limit(design, noise, 'mean', d):.3f}" for d in sizes]
        place, name = (design, noise, "mean"), INPUTS[design] + "†" * (design == "student")
        tried = [show(cases.ratio(*place, d)) + "‡" * (cases.diverged(*place, d) > 0) for d in (5, 10, 20)]
        lines.append(f"| {NOISE[noise]} | {name} | " + " | ".join([*limits, *tried]) + " |")
    return "\n".join(lines) + "\n"


def radius_table() -> str:
    """Return where a query tells most, and what that is worth."""
    lines = ["| noise | inputs | best distance / σ | bound there / bound at σ |", "|---|---|---|---|"]
    for design, noise in PLACES:
        problem = LinearRegression(DIMENSION, design=design, noise_law=noise)
        if noise == "two-point":
            where = "anywhere" if (design, noise) == ATOMS else "the nearer the better"
            lines.append(f"| {NOISE[noise]} | {INPUTS[design]} | {where} | 0 |")
            continue
        best = best_radius(problem)
        edge = best * DIMENSION**0.5 > 1.999
        there = query_bound(problem, best) / query_bound(problem)
        distance = f"{'≥ ' * edge}{best * DIMENSION**0.5:.2f}"
        lines.append(f"| {NOISE[noise]} | {INPUTS[design]} | {distance} | {there:.3f} |")
    return "\n".join(lines) + "\n"
