"""Reference curves: what risk a number of samples or queries allows at best, or has been shown to reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sparsefire.convergence.problem import count, one_of
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
        budget = np.asarray(k, dtype=float)
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
        return self._counted("query", 1 / _above(queries, "queries"))

    def per_sample(self, queries: float) -> Reference:
        """Return the curve over samples, the reverse of :meth:`per_query`.

        >>> one_query(10).per_sample(3)(100) == one_query(10)(300)
        True
        """
        return self._counted("sample", _above(queries, "queries"))

    def _counted(self, unit: str, factor: float) -> Reference:
        if self.unit == unit:
            raise UserError(f"the curve counts {unit} already.", came=self.name, expected=f"another unit than {unit}")
        inner = self.curve
        return replace(self, unit=unit, curve=lambda k: inner(k * factor))


def first_order(dimension: int, noise: float = 1.0) -> Reference:
    """Return σ²d/k: slopes of every sample are seen, isotropic inputs, normal noise (Cramér–Rao, reached by SGD).

    Args:
        dimension: d ≥ 1.
        noise: standard deviation σ ≥ 0.

    >>> first_order(10)(1000)
    0.01
    """
    return _parametric("first order", "σ²d/k", "Cramér–Rao", noise**2 * count(dimension, "dimension"), noise)


def one_query(dimension: int, noise: float = 1.0) -> Reference:
    """Return 2σ²d²/k: one squared loss is read per sample, at a point chosen from what was read before.

    Normal isotropic inputs and normal noise. One query at distance v from θ* has the Fisher information
    2vv′/(σ² + |v|²)², of trace 1/(2σ²) at most, and tr I⁻¹ ≥ d²/tr I. The setting is that of arXiv 2311.03483.

    >>> one_query(10)(1000)
    0.2
    """
    constant = 2 * noise**2 * count(dimension, "dimension") ** 2
    return _parametric("one query, adaptive", "2σ²d²/k", "Cramér–Rao; arXiv 2311.03483", constant, noise, "query")


def non_adaptive(dimension: int, noise: float = 1.0, truth: float = 1.0) -> Reference:
    """Return 2(σ² + ‖θ*‖²)d²/k: the queries are normal points that were chosen before anything was read.

    The limit of large d, at the best spread of the points, τ² = (σ² + ‖θ*‖²)/d.

    Args:
        dimension: d ≥ 1.
        noise: standard deviation σ ≥ 0.
        truth: ‖θ*‖² ≥ 0, from the middle of the queries.

    >>> non_adaptive(10, truth=10.0)(1000) / one_query(10)(1000)  # what adapting gains: 1 + ‖θ*‖²/σ²
    11.0
    """
    constant = 2 * (noise**2 + _from_zero(truth, "truth")) * count(dimension, "dimension") ** 2
    return _parametric(
        "one query, not adaptive", "2(σ² + ‖θ*‖²)d²/k", "Cramér–Rao; arXiv 2311.03483", constant, noise, "query"
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
        noise**2 * d * (d + several + extra) / several,
        noise,
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
    constant = noise**2 * s * math.log(math.e * d / s)
    return _parametric("sparse, support unknown", "σ² s log(ed/s)/k", "arXiv 0910.2042", constant, noise)


def hoelder(smoothness: float, dimension: int, *, log_power: float = 0.0, constant: float = 1.0) -> Reference:
    """Return n^(−2β/(2β + d)): regression functions of Hölder smoothness β on d inputs (Stone, 1982).

    Args:
        smoothness: β > 0.
        dimension: d ≥ 1.
        log_power: the curve is multiplied by (log n)^p; the minimax risk in mean square has p = 0.
        constant: factor > 0; the formula says nothing about it.

    >>> round(hoelder(2, 1).exponent, 3)
    0.8
    """
    beta, d = _above(smoothness, "smoothness"), count(dimension, "dimension")
    return _nonparametric(
        "Hölder", "n^(−2β/(2β + d))", "doi:10.1214/aos/1176345969", 2 * beta / (2 * beta + d), log_power, constant
    )


def composition(
    smoothness: Sequence[float], dimensions: Sequence[int], *, log_power: float = 0.0, constant: float = 1.0
) -> Reference:
    """Return max_i n^(−2β_i*/(2β_i* + t_i)), β_i* = β_i ∏_{l > i} min(β_l, 1): compositions of Hölder functions.

    Args:
        smoothness: β_0 … β_q > 0, of the innermost function first.
        dimensions: t_0 … t_q ≥ 1, on how many inputs each component of a function depends.
        log_power: of log n; deep ReLU networks reach the curve with p = 3 (arXiv 1708.06633, theorem 1 and its
            corollaries).
        constant: factor > 0.

    >>> round(composition([2, 1], [1, 1]).exponent, 4)  # additive model: the outer Lipschitz function is the slow one
    0.6667
    """
    betas = [_above(beta, "smoothness") for beta in smoothness]
    sizes = [count(t, "dimensions") for t in dimensions]
    if not betas or len(betas) != len(sizes):
        raise UserError(
            "every function of a composition has a smoothness and a dimension.",
            came=f"{len(betas)} and {len(sizes)}",
            expected="two lists of one length, 1 or more",
        )
    exponents = []
    for i, (beta, t) in enumerate(zip(betas, sizes, strict=True)):
        effective = beta * math.prod(min(outer, 1.0) for outer in betas[i + 1 :])
        exponents.append(2 * effective / (2 * effective + t))
    return _nonparametric(
        "composition", "max_i n^(−2β_i*/(2β_i* + t_i))", "arXiv 1708.06633", min(exponents), log_power, constant
    )


def parametric(name: str, constant: float, *, unit: str = "sample", source: str = "") -> Reference:
    """Return constant/k, for a constant from elsewhere, such as :func:`sparsefire.convergence.query_bound`.

    >>> parametric("own bound", 50.0, unit="query")(100)
    0.5
    """
    one_of(unit, "unit", UNITS)
    return _parametric(name, f"{constant:.6g}/k", source, _from_zero(constant, "constant"), 0.0, unit)


def _parametric(name: str, formula: str, source: str, constant: float, noise: float, unit: str = "sample") -> Reference:
    _from_zero(noise, "noise")
    return Reference(name, formula, source, 1.0, unit, lambda k: constant / k)


def _nonparametric(
    name: str, formula: str, source: str, exponent: float, log_power: float, constant: float
) -> Reference:
    factor, power = _above(constant, "constant"), _from_zero(log_power, "log_power")

    def curve(n: np.ndarray) -> np.ndarray:
        logs = np.log(n) ** power if power else 1.0
        return factor * n**-exponent * logs

    text = formula if not power else f"{formula} (log n)^{power:g}"
    return Reference(name, text, source, exponent, "sample", curve)


def _above(value: Any, name: str) -> float:
    if _from_zero(value, name) == 0:
        raise UserError(f"{name} is no such number.", came=repr(value), expected="a number above 0")
    return float(value)


def _from_zero(value: Any, name: str) -> float:
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise UserError(f"{name} is no such number.", came=repr(value), expected="a number, 0 or more")
    return float(value)
