"""Bundles of fibres on large random networks: what breaks shares its load among its neighbours.

The process of :class:`~sparsefire.cascades.load_redistribution.LoadRedistribution` with local sharing, in the limit of
many units with given degrees, joined at random (Burkholz & Schweitzer, PRE 97, 042312 (2018),
doi:10.1103/PhysRevE.97.042312, arXiv:1701.06970). Hold one unit: then its neighbours are independent. After step t each
of them holds with chance a, or has broken and delivered some load, with law D of mass 1 - a. Of n neighbours b have
broken with weight C(n, b) aⁿ⁻ᵇ, and together have delivered M_b = D^*b. In the next step units break that the load of
step t - 1 left whole and that of step t does not. With δ = D(t) - D(t-1), l the load of a unit at the start and G(x) =
1 - F(l + x), they have received

    B_b = Σ_{c<b} C(b, c) [δ^*(b-c) * (G M_c) - G (δ^*(b-c) * M_c)],    M of step t - 1

The same for all degrees, and of the order of δ, so that rounding never starts a cascade. With a' = a(t+1) and ρ0 the
share of sources,

    P(breaks in step t + 1 | k) = (1 - ρ0) Σ_b C(k, b) a^(k-b) |B_b|
    a - a' = Σ_k k p_k / z (1 - ρ0) Σ_b C(k-1, b) a^(k-1-b) |B_b|

and of the k - 1 others round a neighbour that breaks, r hold and s break with it with weight (k-1)! / (b! r! s!) a'^r
(a - a')^s B_b: it delivers (l + x) / (r + 1). In step 0 sources break, and all whose own load is enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import fft, special

from sparsefire.cascades.approximate.degree_laws import Cdf, checked, edge_law
from sparsefire.cascades.laws import per_unit
from sparsefire.errors import UserError

POINTS = 360  # up to the usual load, about
PARTS = 12  # halves, thirds, … of the load at the start lie on the grid: much of what is delivered is one of them
FIRST, LAST = 4, 64  # the largest load, in units of the usual one: where to begin, and where to end
SAME = 1e-7  # change of the share at which twice the largest load is no longer tried
ENDLESS = 1e18  # a load that breaks all that ever breaks
TILT = 16.0
CACHED = 1024  # columns that stay in the cache, for some tens of degrees
MOST_CELLS = 2**22  # about 512 MB


@dataclass(frozen=True, eq=False)
class Course:
    """P(broken in the end | degree k) [K + 1], the share of broken units after each step, and whether the last step
    changed less than the tolerance."""

    by_degree: np.ndarray
    over_time: np.ndarray
    converged: bool


@dataclass(frozen=True, eq=False)
class _Kind:
    """Units with one law of capacities and one load at the start: which degrees they have."""

    cdf: Cdf
    load: float
    degrees: np.ndarray

    @property
    def most(self) -> int:
        return int(self.degrees[-1])


@dataclass(frozen=True, eq=False)
class _Grid:
    """Loads that were received: 0, 1, … top - 1 times ``step``; the last place, ``top``, stands for all from there on.

    Transforms carry the whole mass as one column more, and ``back`` puts into the last place what lies nowhere else.
    What would come round counts e^-16, by a tilt e^(-16 l / size).
    """

    step: float
    top: int

    @cached_property
    def size(self) -> int:
        return int(fft.next_fast_len(2 * self.top, real=True))

    @cached_property
    def tilt(self) -> np.ndarray:
        return np.exp(-TILT / self.size * np.arange(self.top))

    def forward(self, laws: np.ndarray) -> np.ndarray:
        waves = fft.rfft(laws[..., :-1] * self.tilt, self.size)
        return np.concatenate([waves, laws.sum(axis=-1, keepdims=True)], axis=-1)

    def back(self, waves: np.ndarray) -> np.ndarray:
        laws = np.empty((*waves.shape[:-1], self.top + 1))
        # no load has a negative chance: what does is rounding
        laws[..., :-1] = np.maximum(fft.irfft(waves[..., :-1], self.size)[..., : self.top] / self.tilt, 0.0)
        laws[..., -1] = np.maximum(waves[..., -1].real - laws[..., :-1].sum(axis=-1), 0.0)
        return laws

    def shared(self, law: np.ndarray, load: float, takers: int) -> np.ndarray:
        """Return the law of (load + x) / takers; between two points both take a part, so that the mean stays."""
        place = np.minimum((np.arange(self.top + 1) + load / self.step) / takers, self.top)
        low = np.minimum(place.astype(np.int64), self.top - 1)
        part = law * (place - low)
        return np.bincount(low, law - part, self.top + 1) + np.bincount(low + 1, part, self.top + 1)


def initial_loads(initial: Any, most: int) -> np.ndarray:
    """Return the loads that units of degree 0 … most carry at the start, float64 [most + 1], checked.

    >>> initial_loads(0.5, 2).tolist()
    [0.5, 0.5, 0.5]
    """
    found = per_unit(initial, most + 1, "initial load", "a number, or one per degree")
    wrong = np.flatnonzero(~((found >= 0) & (found <= ENDLESS)))
    if len(wrong):
        at = int(wrong[0])
        raise UserError(f"the initial load of degree {at} is none.", came=f"{found[at]}", expected=f"0 to {ENDLESS:g}")
    return found


def shared_load(
    law: np.ndarray, start: np.ndarray, laws: list[Cdf], initial: np.ndarray, steps: int, tolerance: float,
    grid: int | None,
) -> tuple[Course, str, float]:  # fmt: skip
    """Return the course of a bundle on a large random network, what was computed, and how far its share may be off.

    Loads beyond the largest on the grid count as that. It is doubled, with half as many points, until that changes the
    share by 1e-7 or less. The error is what twice the points change, and what twice the largest load did.

    Args:
        law: of degrees [K + 1].
        start: share of sources by degree [K + 1].
        laws: of capacities, one for all degrees or K + 1.
        initial: load at the start by degree [K + 1].
        steps, tolerance: of :func:`~sparsefire.cascades.approximate.ensembles.mean_field`.
        grid: points per unit of load; None: about 360 up to the usual load, which is the one at the start, or what half
            of those that may break then have to receive if that is more, on average over neighbours.

    A step takes O(K² G) for G points where one law of capacities and one load serve all degrees, O(K³ G) where each
    degree has its own.
    """
    kinds = _kinds(laws, initial)
    usual = np.empty(len(law))
    for kind in kinds:
        usual[kind.degrees] = max(kind.load, _half(kind))
    weight = edge_law(law)
    scale = float(weight @ usual) or 1.0
    step = _step(scale, initial[(weight > 0) & (initial > 0)]) if grid is None else 1.0 / grid
    top = max(FIRST * scale, 2 * float(usual[weight > 0].max()))
    limit = max(LAST * scale, top)
    rows = len(law) + sum(kind.most + 1 for kind in kinds)

    def course(step: float, top: float) -> Course:
        return _course(law, start, kinds, _Grid(step, math.ceil(top / step)), steps, tolerance)

    if rows * (top / step) > MOST_CELLS:
        raise UserError(
            "the grid of loads is too fine for its memory.",
            came=f"{top / step:,.0f} points up to a load of {top:.3g}, for {rows} laws of load",
            expected=f"{MOST_CELLS // rows:,} points",
            attempt="a smaller grid=, or fewer degrees",
        )
    coarse = course(2 * step, top)
    while True:
        wider = course(2 * step, 2 * top)
        moved = abs(float(wider.over_time[-1] - coarse.over_time[-1]))
        if moved <= SAME or 2 * top > limit or rows * (2 * top / step) > MOST_CELLS:
            break
        top, coarse = 2 * top, wider
    found = course(step, top)
    error = abs(float(found.over_time[-1] - coarse.over_time[-1])) + moved
    return found, f"shared load, {1 / step:,.5g} points per unit of load up to {top:.3g}", error


def _kinds(laws: list[Cdf], initial: np.ndarray) -> list[_Kind]:
    if len(laws) > 1:
        return [_Kind(cdf, float(load), np.array([k])) for k, (cdf, load) in enumerate(zip(laws, initial, strict=True))]
    return [_Kind(laws[0], float(load), np.flatnonzero(initial == load)) for load in np.unique(initial)]


def _step(scale: float, loads: np.ndarray) -> float:
    """Return the step of the grid: the smallest load at the start is a multiple, unless that takes far more points."""
    least = float(loads.min(initial=scale))
    parts = PARTS * round(POINTS * least / (PARTS * scale))
    return least / parts if parts else scale / POINTS


def _half(kind: _Kind) -> float:
    """Return what half of the units have to receive that may break, but not under the load that they have."""

    def reached(x: float) -> float:
        return float(checked(kind.cdf, np.array([kind.load + x]))[0])

    own, end = reached(0.0), reached(ENDLESS)
    if not end > own:
        return 0.0
    high = 1.0
    while high < ENDLESS and reached(high) < (own + end) / 2:
        high *= 2
    while high > 1e-18 and reached(high / 2) >= (own + end) / 2:
        high /= 2
    low = high / 2
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) >= (own + end) / 2 else (middle, high)
    return high


def _course(
    law: np.ndarray, start: np.ndarray, kinds: list[_Kind], grid: _Grid, steps: int, tolerance: float
) -> Course:
    most, weight, free = len(law) - 1, edge_law(law), 1 - start
    loads = grid.step * np.arange(grid.top + 1)
    unbroken = [1 - checked(kind.cdf, kind.load + loads) for kind in kinds]  # G
    units = np.empty(most + 1)
    for kind, table in zip(kinds, unbroken, strict=True):
        units[kind.degrees] = start[kind.degrees] + free[kind.degrees] * (1 - table[0])
    together = np.zeros((most + 1, grid.top + 1))  # M
    together[0, 0] = 1.0
    broken: Sequence[np.ndarray] = [together[:1]] * len(kinds)
    less = float(weight @ units)
    holds = 1 - less
    more = _delivered(weight * units, kinds, broken, holds, less, grid)  # δ
    delivered = np.zeros(grid.top + 1)  # D
    over_time, change = [min(1.0, float(law @ units))], np.inf
    while len(over_time) <= steps and change > tolerance:
        past, wave = grid.forward(delivered), grid.forward(more)
        broken = [
            _pushed(table * together[: kind.most + 1], wave, grid) for kind, table in zip(kinds, unbroken, strict=True)
        ]
        gained = _gained(past, wave, most, grid)
        for kind, table, rows in zip(kinds, unbroken, broken, strict=True):
            rows -= table * gained[: kind.most + 1]
            np.maximum(rows, 0.0, out=rows)
        together += gained
        delivered += more
        # which units, and which ends of edges, break in this step
        share, less = np.zeros(most + 1), 0.0
        for kind, rows in zip(kinds, broken, strict=True):
            mass = rows.sum(axis=1)
            for k in kind.degrees:
                share[k] = free[k] * (_binomial(k, holds) @ mass[: k + 1])
                if weight[k] > 0:
                    less += weight[k] * free[k] * (_binomial(k - 1, holds) @ mass[:k])
        less = min(less, holds)
        holds -= less
        more = _delivered(weight * free, kinds, broken, holds, less, grid)
        units = np.minimum(units + share, 1.0)
        over_time.append(max(over_time[-1], min(1.0, float(law @ units))))
        change = max(float(law @ share), less)
    return Course(units, np.array(over_time), bool(change <= tolerance))


def _pushed(rows: np.ndarray, wave: np.ndarray, grid: _Grid) -> np.ndarray:
    """Return Σ_{c<b} C(b, c) δ^*(b-c) * Q_c for b = 0 … n, given Q_0 … Q_n.

    As if Q_c were a power qᶜ: S_ij = qⁱ ((q + δ)ʲ - qʲ) = S_{i+1,j-1} + δ (S_{i,j-1} + q^(i+j-1)), and S_0b is sought.
    """
    given = grid.forward(rows)
    found = np.zeros_like(given)
    for first in range(0, given.shape[1], CACHED):
        here = slice(first, first + CACHED)
        q, delta = given[:, here], wave[here]
        s, t = np.zeros_like(q), np.empty_like(q)
        for j in range(1, len(q)):
            left = len(q) - j
            np.add(s[:left], q[j - 1 : -1], out=t[:left])
            t[:left] *= delta
            t[:left] += s[1 : left + 1]
            found[j, here] = t[0]
            s, t = t, s
    return grid.back(found)


def _gained(past: np.ndarray, wave: np.ndarray, most: int, grid: _Grid) -> np.ndarray:
    """Return (D + δ)^*b - D^*b for b = 0 … most."""
    found = np.zeros((most + 1, len(past)), dtype=np.complex128)
    power = np.ones_like(past)
    for b in range(1, most + 1):
        found[b] = found[b - 1] * (past + wave) + power * wave
        power *= past
    return grid.back(found)


def _delivered(
    chances: np.ndarray, kinds: list[_Kind], broken: Sequence[np.ndarray], holds: float, less: float, grid: _Grid
) -> np.ndarray:
    """Return the law of what the end of an edge delivers by breaking in this step, D(t+1) - D(t).

    Args:
        chances: of degrees, [K + 1].
        broken: for each kind the laws of what was received, by the number of broken others, [at most K + 1, top + 1].
        holds, less: a(t+1), a(t) - a(t+1).
    """
    found = np.zeros(grid.top + 1)
    for kind, rows in zip(kinds, broken, strict=True):
        table = np.zeros((len(rows), kind.most))  # by others broken before, and others that hold
        for k in kind.degrees[chances[kind.degrees] > 0]:
            before, after = np.ogrid[: min(k, len(rows)), :k]
            now = np.maximum(k - 1 - before - after, 0)
            logs = special.gammaln(k) - sum(special.gammaln(m + 1.0) for m in (before, after, now))
            ways = np.exp(logs + special.xlogy(after, holds) + special.xlogy(now, less))
            table[: len(before), :k] += np.where(before + after < k, chances[k] * ways, 0.0)
        for takers, amounts in enumerate(table.T @ rows, start=1):
            found += grid.shared(amounts, kind.load, takers)
    return found


def _binomial(n: int, holds: float) -> np.ndarray:
    """Return C(n, b) holds^(n-b), b = 0 … n."""
    b = np.arange(n + 1)
    logs = special.gammaln(n + 1.0) - special.gammaln(b + 1.0) - special.gammaln(n - b + 1.0)
    return np.exp(logs + special.xlogy(n - b, holds))
