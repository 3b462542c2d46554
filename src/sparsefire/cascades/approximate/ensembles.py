"""Threshold cascades on large random networks.

The limit of many units with given degrees, joined at random (configuration model; degrees of neighbours are
independent). What is followed through time is the law of the load that the end of a random edge delivers (Burkholz &
Schweitzer, PRE 97, 042312 (2018), doi:10.1103/PhysRevE.97.042312, arXiv:1701.06970): with a_k(t) the chance that a unit
of degree k is active after t steps while one of its neighbours is held inactive, ρ0 the share of sources,

    an edge delivers w(k') with probability Σ k' p_k' / z · a_k'(t), else 0
    L_j(t) = the sum of j such loads
    a_k(t+1) = ρ0 + (1 - ρ0) E F(L_{k-1}(t)),    P(active at t + 1 | k) = ρ0 + (1 - ρ0) E F(L_k(t))

Exposure diversification (Watts 2002) has w = 1 / (own degree), so that L is binomial (Gleeson & Cahalane, PRE 75,
056103 (2007), doi:10.1103/PhysRevE.75.056103). Damage diversification has w = 1 / k' (Burkholz, Garas & Schweitzer, PRE
93, 042313 (2016), arXiv:1503.00925). Loads that are carried and handed on: see
:mod:`~sparsefire.cascades.approximate.bundles`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import fft, special

from sparsefire.cascades.approximate.bundles import initial_loads, shared_load
from sparsefire.cascades.approximate.degree_laws import Cdf, checked, degree_law, edge_law, threshold_laws
from sparsefire.cascades.exact.tree import probabilities
from sparsefire.errors import UserError

LOADS = ("exposure", "damage", "shared")
POINTS = 5040  # per unit of load, for damage
MOST_CELLS = 2**25  # complex numbers per law of thresholds, 512 MB

Fold = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, eq=False)
class MeanField:
    """A threshold cascade in the limit of many units.

    Attributes:
        share: ρ, active units in the end as a share of all.
        by_degree: P(active in the end | degree k), float64 [K + 1].
        over_time: ρ(t), t = 0 … steps, float64 [steps + 1]: all units look at once; ρ(0) is the share of sources, with
            shared loads also of units that break under their own.
        steps: how many were made.
        converged: whether the last step changed less than the tolerance.
        method: what was computed, and on which grid.
        error: how far ``share`` may be off for the grid, from the same with half as many points; 0.0 without grid.
    """

    share: float
    by_degree: np.ndarray
    over_time: np.ndarray
    steps: int
    converged: bool
    method: str
    error: float


def mean_field(
    degrees: Any,
    response: Any,
    *,
    sources: Any = 0.0,
    load: str = "exposure",
    initial: Any = None,
    steps: int = 10_000,
    tolerance: float = 1e-12,
    grid: int | None = None,
) -> MeanField:
    """Return the course and the final share of a threshold cascade on large random networks.

    Undirected; degrees of neighbours are taken as independent. Without sources and with F(0) = 0 nothing ever happens
    here, also where one unit would do: see :func:`~sparsefire.cascades.approximate.windows.cascade_condition`. Shared
    loads are those of :class:`~sparsefire.cascades.load_redistribution.LoadRedistribution` with local sharing.

    Args:
        degrees: a law of degrees, see :func:`~sparsefire.cascades.approximate.degree_laws.degree_law`.
        response: the law of thresholds (with shared loads: capacities): a number, a frozen law of ``scipy.stats``, a
            function F (chance that a load is enough; takes and gives arrays), or a list of such for degrees 0 … K.
        sources: chance to be active from the start, one number or one per degree [K + 1].
        load: ``"exposure"``: the share of active neighbours; ``"damage"``: each active neighbour, of degree k', adds
            1 / k'; ``"shared"``: units carry a load from the start, and what breaks releases all it carries in equal
            shares to its neighbours that hold after the step.
        initial: for shared loads, what units carry at the start, one number or one per degree [K + 1], 0 or more.
        steps: at most so many, 1 or more.
        tolerance: stop when neither the share of active units nor that of active ends of edges rises by more.
        grid: points per unit of load, 2 or more. For damage, 5,040 unless told, on degrees whose least common multiple
            exceeds it; otherwise that multiple, on which all loads are exact. For shared loads fitted to the scale of
            loads and capacities unless told. A load between points is shared by its neighbours so that its mean stays:
            the error falls as grid⁻² where F is smooth, as grid⁻¹ or slower where it jumps.

    Raises:
        UserError: a law that is none, F that is NaN or falls, sources outside [0, 1], a grid too fine for its memory,
            initial loads that are negative, missing, or not shared.

    >>> from sparsefire.cascades.approximate.degree_laws import poisson, regular
    >>> round(mean_field(poisson(3), 0.18, sources=0.01).share, 5)
    0.9412
    >>> from scipy import stats
    >>> [round(mean_field(regular(3), stats.norm(0.5, 0.3), load=w).share, 6) for w in ("exposure", "damage")]
    [0.121671, 0.121671]
    >>> [round(mean_field(regular(3), stats.uniform(), load="shared", initial=x).share, 4) for x in (0.15, 0.25)]
    [0.1899, 0.9295]
    """
    law = degree_law(degrees)
    most = len(law) - 1
    start = probabilities(sources, most + 1, "sources")
    if load not in LOADS:
        raise UserError(f"there is no load {load!r}.", came=repr(load), expected=" or ".join(map(repr, LOADS)))
    points = POINTS if grid is None else grid
    for name, value, least in (("steps", steps, 1), ("grid", points, 2)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
            raise UserError(f"{name} is a whole number.", came=repr(value), expected=f"{least} or more")
    if not tolerance >= 0:
        raise UserError("the tolerance is a change of a share.", came=repr(tolerance), expected="0 or more")
    if (load == "shared") != (initial is not None):
        raise UserError(
            "initial loads belong to shared loads.",
            came=f"load={load!r}, initial={'None' if initial is None else 'given'}",
            expected='load="shared" with initial=, or another load without',
        )
    laws = threshold_laws(response, most)
    if load == "shared":
        course, method, error = shared_load(
            law, start, laws, initial_loads(initial, most), steps, tolerance, None if grid is None else int(grid)
        )
        over_time = course.over_time
        return MeanField(
            float(over_time[-1]), course.by_degree, over_time, len(over_time) - 1, course.converged, method, error
        )
    if load == "exposure":
        return _iterate(law, start, _shares(laws, most), steps, tolerance, "exposure, exact")
    held = [k for k in range(1, most + 1) if law[k] > 0]
    common = math.lcm(*held)
    if common <= points:
        fold = _loads(laws, held, most, common)
        return _iterate(law, start, fold, steps, tolerance, f"damage, exact on multiples of 1/{common}")
    found, coarse = (
        _iterate(law, start, _loads(laws, held, most, n), steps, tolerance, f"damage, {n:,} points per unit of load")
        for n in (int(points), int(points) // 2)
    )
    return replace(found, error=abs(found.share - coarse.share))


def _iterate(law: np.ndarray, start: np.ndarray, fold: Fold, steps: int, tolerance: float, method: str) -> MeanField:
    weight = edge_law(law)
    units, ends = start, start  # P(active | k), of units and of neighbours
    over_time, change = [float(law @ start)], np.inf
    while len(over_time) <= steps and change > tolerance:
        helped, helped_ends = fold(weight * ends)
        # nothing falls: what does is rounding
        more = np.clip(start + (1 - start) * helped, units, 1.0)
        more_ends = np.clip(start + (1 - start) * helped_ends, ends, 1.0)
        over_time.append(float(law @ more))
        change = max(float(law @ (more - units)), float(weight @ (more_ends - ends)))
        units, ends = more, more_ends
    return MeanField(
        over_time[-1], units, np.array(over_time), len(over_time) - 1, bool(change <= tolerance), method, 0.0
    )


def _shares(laws: list[Cdf], most: int) -> Fold:
    """Return the fold for exposure: E F_k(m/k) with m of k neighbours active, and with m of k - 1."""
    size = np.arange(most + 1)
    trials = np.repeat(size, size + 1)  # all pairs m ≤ j, row by row
    rows = np.concatenate([[0], np.cumsum(size + 1)[:-1]])
    active = np.arange(len(trials)) - rows[trials]
    ways = special.gammaln(trials + 1) - special.gammaln(active + 1) - special.gammaln(trials - active + 1)

    def table(degree: np.ndarray) -> np.ndarray:
        shares = active / np.maximum(degree, 1)
        if len(laws) == 1:
            values, back = np.unique(shares, return_inverse=True)
            return checked(laws[0], values)[back]
        parts = [checked(laws[degree[r]], shares[r : r + j + 1]) for j, r in zip(size, rows, strict=True)]
        return np.concatenate(parts)

    own, one_more = table(trials), table(np.minimum(trials + 1, most))

    def fold(delivered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        q = min(1.0, float(delivered.sum()))
        chance = np.exp(ways + special.xlogy(active, q) + special.xlog1py(trials - active, -q))
        at_ends = np.add.reduceat(chance * one_more, rows)
        return np.add.reduceat(chance * own, rows), np.append(0.0, at_ends[:-1])

    return fold


def _loads(laws: list[Cdf], held: list[int], most: int, points: int) -> Fold:
    """Return the fold for damage, E F_k(L_k) and E F_k(L_{k-1}), on a grid of ``points`` per unit of load.

    With G = F(top) - F, which vanishes from some load on, E F(L) = F(top) - Σ P(L = l) G(l), by Parseval from the
    powers of the transform x0 + y of one load. Only what exceeds x0^j is carried, d_j = d_{j-1} (x0 + y) + x0^(j-1) y,
    so that rounding is relative to the activity and never starts a cascade. Where loads beyond G would come round, a
    tilt e^(-θ l) makes them count e^-32.
    """
    top = math.ceil(most * points / held[0])  # no load is larger
    tables = [_until_flat(cdf, points, top) for cdf in laws]
    flat = max(len(table) for table in tables)
    place = points / np.array(held)
    low = np.floor(place).astype(np.int64)
    part = place - low
    size = fft.next_fast_len(max(min(top + 1, 8 * flat), int(low[0]) + 2), real=True)
    theta = 0.0 if size > top else 32.0 / size
    _fits(len(tables) * size)
    lowest, highest = (np.array([table[at] for table in tables]) for at in (0, -1))
    twice = np.full(size // 2 + 1, 2.0 / size)
    twice[0] = 1.0 / size
    if size % 2 == 0:
        twice[-1] = 1.0 / size
    rest = np.zeros((len(tables), size))
    for row, table in zip(rest, tables, strict=True):
        row[: len(table)] = (table[-1] - table) * np.exp(theta * np.arange(len(table)))
    rest = fft.rfft(rest).conj() * twice

    def fold(delivered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        one = np.bincount(low, delivered[held] * (1 - part), low[0] + 2)
        one += np.bincount(low + 1, delivered[held] * part, low[0] + 2)
        active = min(1.0, float(one.sum()))
        y = fft.rfft(one * np.exp(-theta * np.arange(len(one))), size)
        carried, none, some = np.zeros_like(y), 1.0, 0.0  # some = 1 - none, without loss of digits
        units, ends = np.zeros(most + 1), np.zeros(most + 1)
        for j in range(most + 1):
            for k, found in ((j, units), (j + 1, ends)):
                if k <= most:
                    at = k if len(tables) > 1 else 0
                    spent = (carried.real @ rest[at].real) - (carried.imag @ rest[at].imag)
                    found[k] = lowest[at] * none + highest[at] * some - spent
            carried = carried * (1 - active + y) + none * y
            some += none * active
            none *= 1 - active
        return units, ends

    return fold


def _until_flat(cdf: Cdf, points: int, top: int) -> np.ndarray:
    """Return F(0), F(1 / points), … up to where F no longer rises (by 1e-15), or up to the load ``top``."""
    end = float(checked(cdf, np.linspace(0.0, top / points, 257))[-1])
    low, high = -1, top
    while high - low > 1:
        middle = (low + high) // 2
        enough = float(np.asarray(cdf(np.array([middle / points])))[0]) >= end - 1e-15
        low, high = (low, middle) if enough else (middle, high)
    _fits(high + 1)
    found = checked(cdf, np.arange(high + 1) / points)
    found[-1] = end
    return found


def _fits(cells: int) -> None:
    if cells > MOST_CELLS:
        raise UserError(
            "the grid of loads is too fine for its memory.",
            came=f"{cells:,} points",
            expected=f"{MOST_CELLS:,}, for all laws of thresholds together",
            attempt="a smaller grid=, or thresholds that are bounded",
        )
