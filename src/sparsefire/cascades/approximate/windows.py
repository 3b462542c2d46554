"""Where cascades turn global: mean degrees, loads, numbers of sources."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special

from sparsefire.cascades.approximate.degree_laws import Cdf, checked, degree_law, poisson, threshold_cdf, threshold_laws
from sparsefire.errors import UserError

FAMILIES: dict[str, Callable[[float], Any]] = {"poisson": poisson}


def cascade_condition(degrees: Any, response: Any) -> float:
    """Return how many units one active unit activates on a large random network, Σ k (k-1) p_k (F(1/k) - F(0)) / z.

    One unit can start a global cascade if it is 1 or more (Watts, PNAS 99, 5766 (2002), doi:10.1073/pnas.082090499;
    Gleeson & Cahalane 2007, doi:10.1103/PhysRevE.75.056103). Loads are shares of active neighbours.

    Args:
        degrees: see :func:`~sparsefire.cascades.approximate.degree_laws.degree_law`.
        response: the law of thresholds: a number, a frozen law of ``scipy.stats``, a function F, or a list of such for
            degrees 0 … K. With F(0) > 0 many units start by themselves, and it says what one more does.

    >>> cascade_condition([0.0, 0.25, 0.0, 0.75], 0.3)
    1.8
    """
    law = degree_law(degrees)
    k = np.arange(1, len(law))
    laws = threshold_laws(response, len(law) - 1)
    if len(laws) == 1:
        values = checked(laws[0], np.append(0.0, 1 / k[::-1]))
        rise = values[:0:-1] - values[0]
    else:
        rise = np.array([np.diff(checked(laws[d], np.array([0.0, 1 / d])))[0] for d in k])
    return float((k * (k - 1) * law[1:]) @ rise / (k @ law[1:]))


def independent_condition(degrees: Any, probability: float) -> float:
    """Return the same for the independent cascade, w (E k² - E k) / E k: global cascades above 1.

    >>> independent_condition([0.0, 0.25, 0.0, 0.75], 0.5)
    0.9
    """
    law = degree_law(degrees)
    if not 0 <= probability <= 1:
        raise UserError("the chance of an arc is a probability.", came=repr(probability), expected="0 to 1")
    k = np.arange(len(law))
    return float(probability * ((k * (k - 1)) @ law) / (k @ law))


def window(
    response: Any,
    family: str | Callable[[float], Any] = "poisson",
    *,
    means: tuple[float, float] = (0.01, 200.0),
    points: int = 800,
) -> list[tuple[float, float]]:
    """Return the intervals of mean degrees on which one unit can start a global cascade, in rising order.

    The ends are where :func:`cascade_condition` crosses 1. For Poisson degrees and one threshold φ that is
    z P(Pois(z) ≤ ⌊1/φ⌋ - 2) = 1.

    Args:
        response: the law of thresholds, as of :func:`cascade_condition`.
        family: ``"poisson"``, or a function from the mean (or any one parameter) to a law of degrees, continuous.
        means: least and largest to look at; a window that reaches one of them ends there.
        points: at which the condition is tried first, 2 or more, evenly on the scale of logarithms: a window that fits
            between two of them may be missed.

    Returns:
        Pairs (from, to); empty if there is no window.

    >>> [(round(a, 4), round(b, 4)) for a, b in window(0.18)]
    [(1.0207, 5.7647)]
    >>> window(0.26)
    []
    """
    low, high = means
    if not 0 < low < high < np.inf or points < 2:
        raise UserError(
            "means are a range, tried at points.",
            came=f"means={means!r}, points={points!r}",
            expected="0 < least < largest, and 2 points or more",
        )
    if not callable(family) and family not in FAMILIES:
        raise UserError(
            f"there is no family {family!r}.", came=repr(family), expected=f"{', '.join(FAMILIES)}, or a function"
        )
    make = family if callable(family) else FAMILIES[family]

    def excess(mean: float) -> float:
        return cascade_condition(make(mean), response) - 1

    tried = np.geomspace(low, high, points)
    tried[-1] = high
    inside = np.array([excess(float(z)) for z in tried]) >= 0
    edges = []
    for at in np.flatnonzero(inside[1:] != inside[:-1]):
        edges.append(float(optimize.brentq(excess, tried[at], tried[at + 1], xtol=1e-12)))
    if inside[0]:
        edges.insert(0, float(low))
    if inside[-1]:
        edges.append(float(high))
    return list(zip(edges[::2], edges[1::2], strict=True))


@dataclass(frozen=True, eq=False)
class Bundle:
    """Fibres under a load that is shared by all that are left, in the limit of many.

    Attributes:
        share: U, intact fibres in the end as a share of all; 0.0 after a collapse.
        over_time: U(t), t = 0 … steps, float64 [steps + 1]; U(0) = 1.
        steps: how many were made.
        converged: whether the last step changed less than the tolerance.
    """

    share: float
    over_time: np.ndarray
    steps: int
    converged: bool


def bundle(load: float, strength: Any, *, steps: int = 100_000, tolerance: float = 1e-12) -> Bundle:
    """Return what is left of a bundle of fibres, U(t+1) = 1 - F(σ / U(t)) from U(0) = 1.

    Daniels 1945, doi:10.1098/rspa.1945.0011; Pradhan, Hansen & Chakrabarti, Rev. Mod. Phys. 82, 499 (2010),
    doi:10.1103/RevModPhys.82.499. For a finite number of fibres:
    :func:`~sparsefire.cascades.exact.closed_forms.bundle_law`.

    Args:
        load: σ ≥ 0, per fibre at the start.
        strength: the law F of the load at which a fibre breaks: a number, a frozen law of ``scipy.stats``, a function.
        steps: at most so many. Near the critical load they are many: the change falls as 1 / t² there.
        tolerance: 0 or more.

    >>> from scipy import stats
    >>> [round(bundle(load, stats.uniform).share, 6) for load in (0.1, 0.2, 0.24, 0.26)]
    [0.887298, 0.723607, 0.6, 0.0]
    """
    if not 0 <= load < np.inf:
        raise UserError("a load is 0 or more.", came=repr(load), expected="a finite number, 0 or more")
    if steps < 1 or not tolerance >= 0:
        raise UserError("there must be steps.", came=f"steps={steps!r}, tolerance={tolerance!r}", expected="1 or more")
    cdf = threshold_cdf(strength)
    over_time, change = [1.0], np.inf
    while len(over_time) <= steps and change > tolerance:
        left = over_time[-1]
        broken = float(checked(cdf, np.array([load / left]))[0]) if left > 0 else 1.0
        over_time.append(min(left, 1 - broken))
        change = left - over_time[-1]
    return Bundle(over_time[-1], np.array(over_time), len(over_time) - 1, bool(change <= tolerance))


def critical_load(strength: Any) -> tuple[float, float]:
    """Return the largest load per fibre that a large bundle bears, and the share that is intact just then.

    σ_c = sup x P(strength ≥ x), over the load x of an intact fibre.

    Args:
        strength: as of :func:`bundle`.

    Raises:
        UserError: a law with a tail so heavy that x P(strength ≥ x) has no bound.

    >>> from scipy import stats
    >>> [round(x, 6) for x in critical_load(stats.uniform)]
    [0.25, 0.5]
    """
    cdf = threshold_cdf(strength)

    def intact(x: Any) -> np.ndarray:  # P(strength ≥ x): the limit from the left
        return 1 - checked(cdf, np.nextafter(np.atleast_1d(np.asarray(x, dtype=np.float64)), -np.inf))

    tails = np.geomspace(1e-12, 4e-4, 60)
    x = _quantiles(cdf, np.concatenate([tails, np.arange(1, 2000) / 2000, 1 - tails[::-1]]))
    borne = x * intact(x)
    best = int(np.argmax(borne))
    if best == len(x) - 1 and x[-1] > x[-2] * (1 + 1e-9):
        raise UserError(
            "no load is critical: some fibres bear any.",
            came=f"x P(strength ≥ x) still rises at x = {x[-1]:.3g}",
            expected="a law of strengths with a lighter tail",
        )
    at, found = float(x[best]), float(borne[best])
    low, high = float(x[max(best - 1, 0)]), float(x[min(best + 1, len(x) - 1)])
    if high > low:
        finer = optimize.minimize_scalar(
            lambda v: -v * float(intact(v)[0]), bounds=(low, high), method="bounded", options={"xatol": 1e-10 * high}
        )
        if -finer.fun > found:
            at, found = float(finer.x), float(-finer.fun)
    return found, float(intact(at)[0])


def bootstrap_critical(units: int, probability: float, threshold: int = 2) -> float:
    """Return the critical number of sources of bootstrap percolation on G(n, p): fewer stay few, more take nearly all.

    a_c = (1 - 1/r) ((r-1)! / (n p^r))^(1/(r-1)), for 1/n ≪ p ≪ n^(-1/r) (Janson, Łuczak, Turova & Vallier, Ann. Appl.
    Probab. 22, 1989 (2012), doi:10.1214/11-AAP822, arXiv:1012.3535).

    Args:
        units: n.
        probability: p, that two units are joined, in (0, 1].
        threshold: r ≥ 2, active neighbours that a unit needs.

    >>> round(bootstrap_critical(400_000, 5e-5), 6)
    500.0
    """
    n, p, r = _bootstrap(units, probability, threshold)
    logs = (special.gammaln(r) - np.log(n) - r * np.log(p)) / (r - 1)
    return float((1 - 1 / r) * np.exp(logs))


def bootstrap_final(units: int, probability: float, sources: float, threshold: int = 2) -> float:
    """Return the number of active units in the end of bootstrap percolation on G(n, p), to leading order.

    The smallest t with t = a + (n - a) P(Bin(t, p) ≥ r): a unit that has not been reached has seen t active units, each
    joined to it with chance p. Below a_c it is φ a_c r / (r-1) in the limit, φ the root in [0, 1] of
    r φ - φ^r = (r-1) a / a_c (doi:10.1214/11-AAP822, theorem 3.1); for r = 2: 2 a_c (1 - √(1 - a/a_c)).

    Args:
        units, probability, threshold: as of :func:`bootstrap_critical`.
        sources: a, in [0, n], chosen at random.

    >>> [round(bootstrap_final(400_000, 5e-5, a), 1) for a in (250, 600)]
    [292.1, 400000.0]
    """
    n, p, r = _bootstrap(units, probability, threshold)
    if not 0 <= sources <= n:
        raise UserError("sources are some of the units.", came=repr(sources), expected=f"0 to {n:,}")
    t = float(sources)
    for _ in range(10_000_000):
        reached = float(special.betainc(r, t - r + 1, p)) if t > r - 1 else 0.0
        more = max(t, sources + (n - sources) * reached)
        if more - t <= 1e-9 * (1 + t):
            break
        t = more
    return more


def _bootstrap(units: int, probability: float, threshold: int) -> tuple[int, float, int]:
    for name, value, least in (("units", units, 1), ("threshold", threshold, 2)):
        if isinstance(value, bool) or value != int(value) or value < least:
            raise UserError(f"{name} is a whole number.", came=repr(value), expected=f"{least} or more")
    if not 0 < probability <= 1:
        raise UserError("two units are joined with a chance.", came=repr(probability), expected="above 0, up to 1")
    return int(units), float(probability), int(threshold)


def _quantiles(cdf: Cdf, levels: np.ndarray) -> np.ndarray:
    """Return the smallest x ≥ 0 with F(x) ≥ each level, by bisection."""
    end = 1.0
    while float(checked(cdf, np.array([end]))[0]) < levels[-1]:
        end *= 2
        if end > 1e300:
            raise UserError(
                "some fibres never break.",
                came=f"F({end:.0e}) = {float(cdf(np.array([end]))[0]):.6g}",
                expected="a law of strengths that reaches 1",
            )
    low, high = np.zeros(len(levels)), np.full(len(levels), end)
    high[checked(cdf, np.zeros(1))[0] >= levels] = 0.0
    for _ in range(1100):  # halves the distance, down to neighbouring numbers
        middle = (low + high) / 2
        if not ((middle > low) & (middle < high)).any():
            break
        enough = np.asarray(cdf(middle)) >= levels
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high
