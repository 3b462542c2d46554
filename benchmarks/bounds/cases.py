"""All simulations: which inputs, noise and reading; a part of them, in this order, is already a balanced table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sparsefire.convergence.bounds.fisher import score_reward
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.schedules import harmonic
from sparsefire.convergence.simulation.simulate import simulate_risk
from sparsefire.convergence.update import Update
from sparsefire.randomness import integer

Record = dict[str, Any]
DESIGNS = ("normal", "rademacher", "student", "sparse")
NOISES = ("normal", "laplace", "two-point")
READINGS = ("none", "previous", "mean", "score")
ATOMS = ("rademacher", "two-point")
"""Where a residual takes finitely many values: there is no bound and no score."""
DIMENSION = 10
START = 6
"""k₀ over d²."""
POINTS = 12
"""Steps at which risks are kept, on a geometric grid."""
LONG = (("normal", "laplace"), ("rademacher", "laplace"))
"""Inputs and noise whose score is followed for longer."""
DIMENSIONS = {5: 2048, 20: 512}
"""Other dimensions, where the running mean is tried, and their runs."""


@dataclass(frozen=True)
class Case:
    """One reading of the loss by the one-query rule, from θ₀ = θ*, with α_k = 1/(k + k₀) for ``times`` k₀ steps."""

    design: str
    noise: str
    reading: str
    dimension: int = DIMENSION
    runs: int = 2048
    times: int = 40

    @property
    def offset(self) -> int:
        """k₀."""
        return START * self.dimension**2

    @property
    def problem(self) -> LinearRegression:
        """What is learnt, from the truth on: what remains is what the noise does."""
        return LinearRegression(self.dimension, design=self.design, noise_law=self.noise, start=0.0)

    @property
    def update(self) -> Update:
        """The rule, ±1 directions, c² = σ²/d."""
        if self.reading == "score":
            return Update("one-query", law="rademacher", reward=score_reward(self.problem))
        return Update("one-query", law="rademacher", baseline=self.reading)


def run(case: Case) -> list[Record]:
    """Return the risks over steps, and those of every run after the last one; readings share inputs and noise."""
    steps = case.times * case.offset
    at = np.unique(np.round(np.geomspace(case.offset / 10, steps, POINTS)).astype(int))
    found = simulate_risk(
        case.update,
        case.problem,
        steps=steps,
        step_size=harmonic(offset=case.offset),
        runs=case.runs,
        rng=integer(0, "efficiency", case.design, case.noise, case.dimension),
        record=at,
        workers=1,
    )
    kept = {
        "k": found.steps[1:].tolist(),
        "mean": found.mean()[1:].tolist(),
        "error": found.standard_error()[1:].tolist(),
        "median": found.median()[1:].tolist(),
        "last": [float(f"{value:.6g}") for value in found.values[:, -1]],
    }
    return [{**asdict(case), **kept}]


def all_cases() -> list[Case]:
    """Return everything."""
    places = [(design, noise) for noise in NOISES for design in DESIGNS]
    main = [Case(*place, reading) for place in places for reading in READINGS if reading_there(*place, reading)]
    long = [Case(*place, "score", runs=512, times=400) for place in LONG]
    others = [Case(*place, "mean", d, runs) for d, runs in DIMENSIONS.items() for place in places]
    return [*main, *long, *others]


def reading_there(design: str, noise: str, reading: str) -> bool:
    """Say whether there is such a reading: atoms have no score."""
    return reading != "score" or (design, noise) != ATOMS


def few() -> list[Case]:
    """Return cases for a minute."""
    places = (("normal", "normal"), ("sparse", "laplace"))
    return [Case(*place, reading, 5, 256, 20) for place in places for reading in READINGS]


def done(case: Case, found: Sequence[Record]) -> bool:
    """Say whether the record of a case is there."""
    return any(all(record[name] == value for name, value in asdict(case).items()) for record in found)
