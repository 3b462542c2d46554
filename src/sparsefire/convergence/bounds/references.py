"""Reference curves: what risk a number of samples or queries allows at best, or has been shown to reach."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sparsefire.convergence._inputs import above, floats, from_zero, number
from sparsefire.convergence.bounds.fisher import first_order_bound
from sparsefire.convergence.nonparametric.functions import Function
from sparsefire.convergence.problem import LinearRegression, count, one_of
from sparsefire.errors import UserError

UNITS = ("sample", "query")


@dataclass(frozen=True, eq=False)
class Reference:
    """A curve of risk over budget.

    Attributes:
        name: what it is the risk of.
        formula: as text, in the letters of ``source``.
        source: where it stands.
        exponent: a of k^(−a), logarithms left out.
        unit: what k counts: ``"sample"`` or ``"query"``.

    Called with k it gives the risk: a number for a number, an array for an array; k > 0.

    >>> curve = first_order(10, noise=2.0)
    >>> curve(100), curve.exponent, curve.unit
    (0.4, 1.0, 'sample')
    """

    name: str
    formula: str
    source: str
    exponent: float
    unit: str
    curve: Callable[[np.ndarray], np.ndarray] = field(repr=False)

    def __call__(self, k: Any) -> Any:
        budget = floats(k, "the budget")
        if not np.all(budget > 0):
            raise UserError("a budget is above 0.", came=repr(k), expected=f"numbers of {self.unit} above 0")
        found = np.asarray(self.curve(budget), dtype=float)
        return float(found) if found.ndim == 0 else found

    def per_query(self, queries: float) -> Reference:
        """Return the curve over queries when every sample is asked ``queries`` times: risk(n) = risk_samples(n / q).

        Args:
            queries: per sample, above 0; :attr:`sparsefire.convergence.Update.queries` of a rule.

        >>> forward_gradient(10).per_query(2)(400) == forward_gradient(10)(200)
        True
        """
        return self._counted("query", 1 / above(queries, "queries"))

    def per_sample(self, queries: float) -> Reference:
        """Return the curve over samples, the reverse of :meth:`per_query`.

        >>> one_query(10).per_sample(3)(100) == one_query(10)(300)
        True
        """
        return self._counted("sample", above(queries, "queries"))

    def _counted(self, unit: str, factor: float) -> Reference:
        if self.unit == unit:
            raise UserError(f"the curve counts {unit} already.", came=self.name, expected=f"another unit than {unit}")
        inner = self.curve
        return replace(self, unit=unit, curve=lambda k: inner(k * factor))


def first_order(dimension: int, noise: float = 1.0) -> Reference:
    """Return σ²d/k: slopes of every sample are seen, isotropic inputs, normal noise (Cramér–Rao, reached by SGD).

    The curve of :func:`sparsefire.convergence.first_order_bound`, which has other noises and covariances.

    Args:
        dimension: d ≥ 1.
        noise: standard deviation σ ≥ 0.

    >>> first_order(10)(1000)
    0.01
    """
    constant = first_order_bound(LinearRegression(dimension, noise=noise))
    return _parametric("first order", "σ²d/k", "Cramér–Rao", constant)


def one_query(dimension: int, noise: float = 1.0) -> Reference:
    """Return 2σ²d²/k: one squared loss is read per sample, at a point chosen from what was read before.

    The Cramér–Rao bound, for normal isotropic inputs and normal noise only: for estimators without bias at any k, and
    for regular ones as k → ∞ (there the least that any can have near every θ*). A biased one, such as a start close to
    θ*, may be below it at finite k. One query at distance v from θ* has the Fisher information 2vv′/(σ² + |v|²)², of
    trace 1/(2σ²) at most, and tr I⁻¹ ≥ d²/tr I. Other inputs and noises: :func:`sparsefire.convergence.query_bound`,
    which may be lower. The setting is that of arXiv 2311.03483.

    Args:
        dimension: d ≥ 1.
        noise: standard deviation σ ≥ 0.

    >>> one_query(10)(1000)
    0.2
    """
    constant = 2 * from_zero(noise, "noise") ** 2 * count(dimension, "dimension") ** 2
    return _parametric("one query, adaptive", "2σ²d²/k", "Cramér–Rao; arXiv 2311.03483", constant, "query")


def non_adaptive(dimension: int, noise: float = 1.0, truth: float = 1.0) -> Reference:
    """Return 2(σ² + ‖θ*‖²)d²/k: the queries are normal points that were chosen before anything was read.

    The Cramér–Rao bound in the sense of :func:`one_query`, in the limit of large d, at the best spread of the points,
    τ² = (σ² + ‖θ*‖²)/d.

    Args:
        dimension: d ≥ 1.
        noise: standard deviation σ ≥ 0.
        truth: ‖θ*‖² ≥ 0, from the middle of the queries.

    >>> non_adaptive(10, truth=10.0)(1000) / one_query(10)(1000)  # what adapting gains: 1 + ‖θ*‖²/σ²
    11.0
    """
    constant = 2 * (from_zero(noise, "noise") ** 2 + from_zero(truth, "truth")) * count(dimension, "dimension") ** 2
    return _parametric(
        "one query, not adaptive", "2(σ² + ‖θ*‖²)d²/k", "Cramér–Rao; arXiv 2311.03483", constant, "query"
    )


def forward_gradient(dimension: int, noise: float = 1.0, directions: int = 1, law: str = "normal") -> Reference:
    """Return σ²d(d + l + 1)/(lk): forward gradients with l directions or l repeats per sample, α_k = 1/(l k) or 1/k.

    Args:
        dimension: d ≥ 1.
        noise: standard deviation σ ≥ 0.
        directions: l ≥ 1; 1 gives σ²d(d + 2)/k (arXiv 2309.15001), more arXiv 2411.17567.
        law: ``"normal"``; ``"rademacher"``, ``"sphere"`` and ``"coordinates"`` give σ²d(d + l − 1)/(lk).

    >>> forward_gradient(10)(1000), forward_gradient(10, law="rademacher")(1000)
    (0.12, 0.1)
    """
    one_of(law, "law", ("normal", "rademacher", "sphere", "coordinates"))
    d, several = count(dimension, "dimension"), count(directions, "directions")
    extra = 1 if law == "normal" else -1
    return _parametric(
        "forward gradient",
        f"σ²d(d + l {'+' if extra > 0 else '−'} 1)/(lk)",
        "arXiv 2309.15001" if several == 1 else "arXiv 2411.17567",
        from_zero(noise, "noise") ** 2 * d * (d + several + extra) / several,
    )


def sparse(dimension: int, active: int, noise: float = 1.0) -> Reference:
    """Return σ² s log(ed/s)/k: s of d coordinates are not 0, nobody says which, slopes are seen; minimax order.

    Args:
        dimension: d ≥ 1.
        active: s, from 1 to d.
        noise: standard deviation σ ≥ 0.

    >>> round(sparse(1000, 10)(1000), 5)
    0.05605
    """
    d = count(dimension, "dimension")
    s = count(active, "active", d)
    constant = from_zero(noise, "noise") ** 2 * s * math.log(math.e * d / s)
    return _parametric("sparse, support unknown", "σ² s log(ed/s)/k", "arXiv 0910.2042", constant)


def nonparametric(
    exponent: Function | float, *, log_power: float = 0.0, constant: float = 1.0, name: str = "", source: str = ""
) -> Reference:
    """Return n^(−a): what squared risk falls like where nothing but the smoothness of a function is known.

    Args:
        exponent: a in (0, 1], such as the ``minimax_exponent`` of a class in
            :mod:`sparsefire.convergence.nonparametric.functions`, or a function of that module, whose class has it.
        log_power: the curve is multiplied by (log n)^p, p ≥ 0. The minimax risk of a Hölder class has p = 0; deep ReLU
            networks reach that of compositions with p = 3 (arXiv 1708.06633, theorem 1 and its corollaries).
        constant: factor > 0; the theory says nothing about it.
        name, source: of the curve, for a table; by default those of the exponents of ``functions``.

    >>> from sparsefire.convergence.nonparametric.functions import hoelder, minimax_exponent
    >>> nonparametric(hoelder(2.0, 1, rng=0)).exponent
    0.8
    >>> round(nonparametric(minimax_exponent([(2, 1), (1, 1)]))(1000), 4)  # an additive model
    0.01
    """
    a = exponent.exponent if isinstance(exponent, Function) else exponent
    if not number(a) or not 0 < a <= 1:
        raise UserError("there is no such exponent.", came=repr(exponent), expected="a Function, or a number in (0, 1]")
    factor, power = above(constant, "constant"), from_zero(log_power, "log_power")

    def curve(n: np.ndarray) -> np.ndarray:
        logs = np.log(n) ** power if power else 1.0
        return factor * n**-a * logs

    formula = f"n^(−{a:.4g})" + (f" (log n)^{power:g}" if power else "")
    where = source or "doi:10.1214/aos/1176345969; arXiv 1708.06633"
    return Reference(name or "nonparametric", formula, where, float(a), "sample", curve)


def parametric(name: str, constant: float, *, unit: str = "sample", source: str = "") -> Reference:
    """Return constant/k, for a constant from elsewhere, such as :func:`sparsefire.convergence.query_bound`.

    >>> parametric("own bound", 50.0, unit="query")(100)
    0.5
    """
    one_of(unit, "unit", UNITS)
    constant = from_zero(constant, "constant")
    return _parametric(name, f"{constant:.6g}/k", source, constant, unit)


def _parametric(name: str, formula: str, source: str, constant: float, unit: str = "sample") -> Reference:
    return Reference(name, formula, source, 1.0, unit, lambda k: constant / k)
