"""Estimates to curves: fitted exponents with intervals, beside exact risks and what theory says."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsefire.convergence.exact.constants import asymptotic_constant
from sparsefire.convergence.exact.stability import gradient_scale, stability_limit, stationary_risk
from sparsefire.convergence.inference.fits import fit_powers, fit_rate
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.simulation.estimate import RiskEstimate
from sparsefire.convergence.update import Update
from sparsefire.errors import UserError
from sparsefire.report.convergence_text import Curve, Exponent

SIZES = {"sgd": 1, "node-perturbation": 1}  # power of d in k · risk; 2 for the other rules


@dataclass(frozen=True)
class Schedule:
    """α_k = factor/(k + offset), or factor for every k where ``falls`` is false."""

    factor: float
    offset: float = 0.0
    falls: bool = True

    def __call__(self, k: Any) -> Any:
        return self.factor / (k + self.offset) if self.falls else self.factor + 0.0 * np.asarray(k)

    def __str__(self) -> str:
        if not self.falls:
            return f"{self.factor:.6g}"
        return f"{self.factor:.6g}/k" if self.offset == 0 else f"{self.factor:.6g}/(k + {self.offset:.6g})"


@dataclass(frozen=True, eq=False)
class Job:
    """One dimension: what is learnt, by which rule, with which steps."""

    problem: LinearRegression
    update: Update
    schedule: Schedule
    samples: int
    runs: int


def make_curve(job: Job, estimate: RiskEstimate) -> Curve:
    """Return the curve of one dimension with all that theory says about it."""
    largest = float(job.schedule(1.0))
    floor = None if job.schedule.falls else _known(lambda: stationary_risk(job.update, job.problem, step_size=largest))
    with np.errstate(all="ignore"):
        low, high = estimate.interval()
        found = _exponent(job, estimate)
        q10, q90 = (estimate.quantile(q) for q in (0.1, 0.9))
    return Curve(
        dimension=job.problem.dimension,
        steps=np.asarray(estimate.steps),
        mean=estimate.mean(),
        low=low,
        high=high,
        median=estimate.median(),
        q10=q10,
        q90=q90,
        exact=estimate.exact,
        exponent=found,
        limit=limit_of(job),
        floor=floor or None,
        step_size=f"{job.schedule}",
        largest=largest,
        stable=stable(job),
    )


def in_dimension(jobs: Sequence[Job], estimates: Sequence[RiskEstimate]) -> Exponent | None:
    """Return the exponent in d of the risk at the end, or None below three dimensions or where runs diverged."""
    sizes = [job.problem.dimension for job in jobs]
    try:
        found = fit_powers(sizes, estimates)
        known = [estimate.exact for estimate in estimates if estimate.exact is not None]
        exact = fit_powers(sizes, [float(curve[-1]) for curve in known]).slope if len(known) == len(jobs) else None
    except UserError:
        return None
    low, high = found.interval()
    told = all(limit_of(job) for job in jobs)
    theory = float(SIZES.get(jobs[0].update.rule, 2)) if told else None
    return Exponent(found.slope, -high, -low, exact, theory, sizes[0], sizes[-1])


def stable(job: Job) -> float | None:
    """Return the stability limit, or None where none is known."""
    return _known(lambda: stability_limit(job.update, job.problem))


def decay(job: Job) -> float:
    """Return p of the factor k^−p by which steps c/k shrink the initial error: 2c, times the mean step per sample."""
    return 2 * job.schedule.factor * job.update.repeats * gradient_scale(job.update)


def limit_of(job: Job) -> float | None:
    """Return lim k · risk with steps c/(k + k₀), c² N/(2c − 1) where 2c > 1, or None where there is none or not known.

    N is E‖ĝ‖² at θ*; with l repeats per sample c² (l N + l (l − 1) σ²d)/(2cl − 1), because the noise is shared.
    """
    repeats = job.update.repeats
    constant = _known(lambda: asymptotic_constant(replace(job.update, repeats=1), job.problem))
    if constant is None or constant == 0 or not job.schedule.falls or decay(job) <= 1:
        return None
    shared = repeats * (repeats - 1) * float(job.problem.noise) ** 2 * job.problem.dimension
    return job.schedule.factor**2 * (repeats * constant + shared) / (decay(job) - 1)


def _exponent(job: Job, estimate: RiskEstimate) -> Exponent | None:
    """The exponent in k of the mean over the last decade, or None where runs diverged or too little is recorded."""
    try:
        found = fit_rate(estimate)
        exact = None if estimate.exact is None else fit_rate((estimate.steps, estimate.exact), window=found.window)
    except UserError:
        return None
    low, high = found.interval()
    theory = (min(1.0, decay(job)) if job.problem.noise else None) if job.schedule.falls else 0.0
    return Exponent(
        found.exponent, low, high, None if exact is None else exact.exponent, theory, *map(int, found.window)
    )


def _known(call: Callable[[], float]) -> float | None:
    """What a closed form says, or None where there is none for the rule."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            value = float(call())
    except UserError:
        return None
    return value if np.isfinite(value) else None
