"""The constant in front of 1/k: what the noise of a rule leaves for Q = I, and the scalar recursion behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sparsefire.convergence.exact._dynamics import Dynamics
from sparsefire.convergence.exact.risk import risks
from sparsefire.convergence.problem import LinearRegression
from sparsefire.convergence.update import Update, read
from sparsefire.errors import UserError

NOISE_KURTOSIS = {"normal": 3.0, "laplace": 6.0, "two-point": 1.0}
DIRECTION_MOMENTS = {"normal": (3.0, 15.0), "rademacher": (1.0, 1.0), "uniform": (9 / 5, 27 / 7)}  # E U⁴, E U⁶


@dataclass(frozen=True)
class ScalarRisk:
    """r ← r (1 − 2α) + α² (noise + linear r + square r²).

    Args:
        noise: E‖ĝ‖² at θ*.
        linear: C of the exact recursion; for rules that read one loss the slope of E‖ĝ‖² in r.
        square: 0 but for rules that read one loss.
        exact: whether the recursion is exact (else fourth moments of δ are those of a normal law).
    """

    noise: float
    linear: float
    square: float
    exact: bool

    def second_moment(self, risk: float) -> float:
        """Return E‖ĝ‖² where E‖δ‖² = risk.

        >>> ScalarRisk(8.0, 16.0, 0.0, True).second_moment(0.5)
        16.0
        """
        return self.noise + risk * (self.linear + risk * self.square)


def scalar_risk(problem: LinearRegression, update: Update) -> ScalarRisk:
    """Return the recursion of the risk for Q = I, all coordinates moving and one step per sample.

    >>> recursion = scalar_risk(LinearRegression(2), Update("forward-gradient"))
    >>> round(recursion.noise, 9), round(recursion.linear, 9), recursion.exact
    (8.0, 16.0, True)
    """
    if not problem.isotropic or update.mask not in (None, problem.dimension) or update.repeats > 1:
        raise UserError(
            "the risk obeys no scalar recursion.",
            came="covariance=, rank=, mask= or repeats=",
            expected="isotropic inputs, all coordinates moving, one step per sample",
        )
    if update.reads_one_loss:
        return _one_query(problem, update)
    moved, shaken = (  # one step of 1 is far beyond the limit; it is made to read the coefficients off
        float(risks(Dynamics(told, update), np.ones(1), "parameters")[1])
        for told in (
            replace(problem, noise=noise, start=start, active=None)
            for noise, start in ((0.0, 1.0), (problem.noise, 0.0))
        )
    )
    return ScalarRisk(shaken, moved + 1, 0.0, True)


def asymptotic_constant(rule: str | Update, problem: LinearRegression | None = None, **given: Any) -> float:
    """Return lim k · risk with steps α_k ~ 1/k (c²/(2c − 1) times that with c/k, c > ½), for Q = I.

    N σ² of the exact recursion. For ``one-query``, with e = ε − c X′U the residual at θ*, L = e²/2 and b the baseline,
    it is E[(L − b)² ‖U‖²]/c²: for normal inputs and noise, Rademacher directions and c² = σ²/d that is 3σ²d² (no
    baseline), 4σ²d² (previous) and 2σ²d²(1 + m/(2 − m)) (mean with memory m), after the setting of arXiv 2311.03483.
    With ``student`` inputs the mean risk of ``one-query`` is infinite from the second step on (E X⁸ is); the constant
    is then that of the limit law of √k δ_k, as medians show it.

    Args:
        rule: a name of :data:`~sparsefire.convergence.update.RULES`, or an ``Update``.
        problem: isotropic; or keywords that describe it.
        **given: fields of ``Update`` and ``LinearRegression``.

    Raises:
        UserError: for ``hebbian``, a transformed reward, and several one-query directions per sample.

    >>> asymptotic_constant("forward-gradient", dimension=10)
    120.0
    >>> round(asymptotic_constant("one-query", dimension=10, law="rademacher", baseline="previous"), 9)
    400.0
    """
    return scalar_risk(*read(rule, problem, given)).noise


def _one_query(problem: LinearRegression, update: Update) -> ScalarRisk:
    if update.rule != "one-query" or update.reward is not None or update.directions > 1:
        raise UserError(
            "no constant is known.",
            came="hebbian, a transformed reward or several directions",
            expected="one-query with one direction; simulate_risk serves the others",
        )
    d, sigma = problem.dimension, problem.noise
    if sigma == 0 and update.radius is None:
        raise UserError("without noise the radius has no default.", came="noise=0", expected="radius=")
    c2 = float(sigma**2 / d if update.radius is None else update.radius**2)
    two, three, fourths = _lengths(update.law, d)
    inputs = problem.inputs_fourth
    even, along = inputs.twice + inputs.trace, inputs.diagonal
    # E[‖U‖² e⁴] with e = ε − X′(cU + δ), in powers of r = E‖δ‖²; δ is normal in its fourth moments
    fourth = np.array(
        [
            d * NOISE_KURTOSIS[problem.noise_law] * sigma**4
            + 6 * sigma**2 * c2 * two
            + c2**2 * (even * three + along * fourths),
            6 * sigma**2 * d + c2 * (even * (2 + 4 / d) + along * 6 / d) * two,
            even * (d + 2) + along * 3,
        ]
    )
    # squares of means: (E e²)² d and E e² E[‖U‖² e²], with E e² = m + r and E[‖U‖² e²]/d = w + r
    m, w = sigma**2 + c2 * d, sigma**2 + c2 * two / d
    squared, crossed = d * np.array([m**2, 2 * m, 1.0]), d * np.array([m * w, m + w, 1.0])
    if update.baseline == "none":
        found = fourth
    else:  # b has the mean of L and the variance share · Var L, which is that of e² averaged over directions
        share = 1.0 if update.baseline == "previous" else update.memory / (2 - update.memory)
        plain = _plain_variance(problem, c2, update.law)
        found = fourth - 2 * crossed + squared + share * d * plain
    noise, linear, square = (found / (4 * c2)).tolist()
    return ScalarRisk(noise, linear, square, exact=False)


def _plain_variance(problem: LinearRegression, c2: float, law: str) -> np.ndarray:
    """Return Var e² in powers of r."""
    d, sigma, inputs = problem.dimension, problem.noise, problem.inputs_fourth
    even, along = inputs.twice + inputs.trace, inputs.diagonal
    two = _lengths(law, d)[0]
    axes = {"coordinates": float(d * d), "sphere": 3 * d * d / (d + 2)}.get(
        law, d * DIRECTION_MOMENTS.get(law, (0,))[0]
    )
    fourth = np.array(
        [
            NOISE_KURTOSIS[problem.noise_law] * sigma**4 + 6 * sigma**2 * c2 * d + c2**2 * (even * two + along * axes),
            6 * sigma**2 + c2 * (even * (2 * d + 4) + along * 6),
            even * (1 + 2 / d) + along * 3 / d,
        ]
    )
    m = sigma**2 + c2 * d
    return fourth - np.array([m**2, 2 * m, 1.0])


def _lengths(law: str, d: int) -> tuple[float, float, float]:
    """Return E‖U‖⁴, E‖U‖⁶ and E[‖U‖² Σ U_j⁴]."""
    if law in ("sphere", "coordinates"):
        return float(d**2), float(d**3), d * (float(d**2) if law == "coordinates" else 3 * d * d / (d + 2))
    m4, m6 = DIRECTION_MOMENTS[law]
    two = d * m4 + d * (d - 1)
    return two, d * m6 + 3 * d * (d - 1) * m4 + d * (d - 1) * (d - 2), d * m6 + d * (d - 1) * m4
