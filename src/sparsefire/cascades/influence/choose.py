"""Influence maximisation: the k sources from which a cascade gets furthest, with a proven factor.

Where spread is monotone and submodular (independent cascades; linear thresholds that are uniform) the greedy choice
reaches 1 - 1/e of the best spread (Kempe, Kleinberg, Tardos 2003, doi:10.1145/956750.956769). Here greedy works on
reverse-reachable sets, and a second, independent half of them measures what it chose: OPIM-C (Tang, Tang, Xiao, Yuan
2018, doi:10.1145/3183713.3183749). With θ sets in each half, doubled from round to round,

    low  = n · lower limit (sets of the second half that the k sources meet, of θ)            spread of the k sources
    high = n · upper limit (sets of the first half that any k units can meet, of θ)           spread of the best k
    stop when low / high ≥ 1 - 1/e - ε, or θ = 2 n (a (1 - 1/e) + b)² / (k ε²),
    a² = ln(6/δ), b² = (1 - 1/e) (ln C(n, k) + ln(6/δ)), where greedy keeps that factor without being measured

and each limit errs with probability δ / (3 rounds), so what is said holds with probability 1 - δ. The sets of a round
are independent and their number is fixed in advance, so the limits are those of Clopper and Pearson, exact and tighter
than the paper's martingale bounds.

Other models have no such property. There the lazy greedy choice CELF (Leskovec et al. 2007,
doi:10.1145/1281192.1281239) compares sampled spreads, and nothing is guaranteed.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from sparsefire import randomness
from sparsefire.cascades.distribution import clopper_pearson
from sparsefire.cascades.influence.reverse_reachable import Backwards, backwards, first_met, joined, reverse_sets
from sparsefire.cascades.sources import read_sources
from sparsefire.errors import UserError
from sparsefire.statistics.intervals import mean_interval
from sparsefire.wiring.graph import Wiring

FACTOR = 1 - 1 / math.e
LEAST_DELTA = 1e-12
MOST_MEMBERS = 1_000_000_000  # of all sets together, at 8 bytes each
CELF_RUNS = 1_000


@dataclass(frozen=True, eq=False, repr=False)
class Influence:
    """Sources that were chosen, and how far they get.

    Attributes:
        sources: ids int64 [k], in the order in which they were chosen.
        gains: what each adds to the spread of those before it, float64 [k]; the first one's is its spread.
        spread: expected number of active units in the end, from sets that did not choose; they decide when to stop,
            which makes it a little too high.
        interval: limits of the spread, 95% confidence.
        guarantee: spread over the best spread of any k candidates is at least this, or None: nothing is known.
        confidence: of the guarantee, None without one.
        best: upper limit of the best spread at this confidence, None where there is none.
        method: ``"reverse-reachable"`` or ``"celf"``.
        samples: reverse-reachable sets of both halves, or cascades sampled in all; 0 where spread was given exactly.
    """

    sources: np.ndarray
    gains: np.ndarray
    spread: float
    interval: tuple[float, float]
    guarantee: float | None
    confidence: float | None
    best: float | None
    method: str
    samples: int

    def __repr__(self) -> str:
        count = "1 source" if len(self.sources) == 1 else f"{len(self.sources):,} sources"
        return f"Influence({count}, spread {self.spread:.6g}, {self.method})"

    def text(self) -> str:
        """Return one sentence about what was found and how sure it is."""
        low, high = self.interval
        some = "source reaches" if len(self.sources) == 1 else "sources reach"
        found = f"{len(self.sources):,} {some} {self.spread:.6g} units on average (95%: {low:.6g} to {high:.6g})"
        if self.guarantee is None:
            return f"{found}; no bound on what others could reach is known."
        sure = "" if self.confidence == 1 else f", with {100 * (self.confidence or 0.0):.6g}% confidence"
        return f"{found}, at least {self.guarantee:.3g} of what any as many could{sure}."


def maximise(
    model: Any,
    k: int,
    epsilon: float = 0.1,
    *,
    delta: float | None = None,
    candidates: Any = None,
    spread: Callable[[np.ndarray], float] | None = None,
    runs: int | None = None,
    rng: Any = None,
    workers: int | None = 1,
) -> Influence:
    """Choose k sources whose cascade is expected to get far.

    An :class:`IndependentCascade` or :class:`LinearThreshold` is answered from reverse-reachable sets with a guarantee,
    any other model by CELF without one; see the module. Memory: 8 bytes for every member of the first half's sets.

    Args:
        model: a cascade model; for CELF anything with ``wiring`` and ``sample(sources, runs, rng, workers)``.
        k: how many sources, 1 … candidates.
        epsilon: what may be lost from the factor 1 - 1/e, in (0, 1 - 1/e); time grows as 1/ε².
        delta: chance that the guarantee fails, in [1e-12, 1); None: 1/n, at most 0.05.
        candidates: ids, or a bool mask [n], of the units that may be chosen; None: all.
        spread: a function of ids int64 that returns the exact expected final size; asks for CELF. Every candidate is
            tried, so it should be quick. For the two models named above the guarantee is then 1 - (1 - 1/k)^k.
        runs: of reverse-reachable sets: at most so many in each half, whatever is certified by then (None: as many as
            ε needs); of CELF: cascades for each spread (None: 1,000), the same streams for all candidates.
        rng: see :func:`sparsefire.randomness.entropy`.
        workers: threads; they do not change the result.

    Raises:
        UserError: a model that is none, k, ε, δ or runs out of range, sets that need more than 8 GB.

    >>> from sparsefire.cascades.independent import IndependentCascade
    >>> star = Wiring.from_edges([0] * 9 + [10], [*range(1, 10), 11])
    >>> found = maximise(IndependentCascade(star, 0.5), 2, rng=0)
    >>> found.sources.tolist(), found.guarantee >= 1 - 1 / np.e - 0.1
    ([0, 10], True)
    >>> found = maximise(IndependentCascade(star, 0.5), 2, spread=lambda ids: len(ids) + 4.5 * (0 in ids))
    >>> found.sources.tolist(), found.spread, found.guarantee
    ([0, 1], 6.5, 0.75)
    """
    if not isinstance(getattr(model, "wiring", None), Wiring) or not callable(getattr(model, "sample", None)):
        raise UserError(
            "this is no cascade model.", came=type(model).__name__, expected="such as IndependentCascade(wiring, 0.1)"
        )
    units = model.wiring.units
    allowed = _candidates(candidates, units)
    k = _whole(k, "k", int(allowed.sum()), "the number of candidates")
    if not 0 < epsilon < FACTOR:
        raise UserError(f"epsilon is {epsilon!r}.", came=repr(epsilon), expected="a number in (0, 1 - 1/e = 0.632)")
    chance = min(0.05, 1 / units) if delta is None else float(delta)
    if not LEAST_DELTA <= chance < 1:
        raise UserError(f"delta is {delta!r}.", came=repr(delta), expected=f"a number in [{LEAST_DELTA:g}, 1)")
    most = None if runs is None else _whole(runs, "runs", 2**31 - 2)
    reading = backwards(model)
    if reading is None or spread is not None:
        return _lazy_greedy(model, k, allowed, spread, most or CELF_RUNS, rng, workers, submodular=reading is not None)
    return _certified(reading, k, float(epsilon), chance, allowed, most, rng, workers)


def schedule(units: int, candidates: int, k: int, epsilon: float, delta: float) -> list[int]:
    """Return how many sets each half holds in each round; with the last number greedy needs no measuring.

    >>> schedule(1000, 1000, 10, 0.1, 0.001)[:2], len(schedule(1000, 1000, 10, 0.1, 0.001))
    ([34, 68], 17)
    """
    failure = math.log(6 / delta)
    choices = special.gammaln(candidates + 1) - special.gammaln(k + 1) - special.gammaln(candidates - k + 1)
    size = 2 * (FACTOR * math.sqrt(failure) + math.sqrt(FACTOR * (float(choices) + failure))) ** 2
    most = math.ceil(size * units / (k * epsilon**2))
    sizes = [math.ceil(size / 4)]  # less than the paper's start: where cascades are large, few sets are enough
    while sizes[-1] < most:
        sizes.append(min(2 * sizes[-1], most))
    return sizes


def _certified(
    reading: Backwards,
    k: int,
    epsilon: float,
    delta: float,
    allowed: np.ndarray,
    runs: int | None,
    rng: Any,
    workers: int | None,
) -> Influence:
    from sparsefire.cascades.influence._kernels import cover

    units, goal = reading.units, FACTOR - epsilon
    sizes = schedule(units, int(allowed.sum()), k, epsilon, delta)
    enough, tail = sizes[-1], delta / (3 * len(sizes))
    if runs is not None and runs < enough:
        sizes = [*(size for size in sizes if size < runs), runs]
    base = randomness.entropy(rng)
    choosing, measuring = (np.uint64(randomness.integer(base, "influence", half)) for half in ("choose", "measure"))
    ends, members = np.empty(0, np.int64), np.empty(0, np.int32)
    for size in sizes:
        _room(len(members), size, len(ends))
        more = reverse_sets(reading, size - len(ends), choosing, workers, len(ends))
        ends, members = joined([ends, more[0]], [members, more[1]])
        chosen, gained, bound = cover(ends, members, allowed, k)
        high = max(k, units * _limits(int(bound), size, tail)[1])
        hoped = max(k, units * _limits(int(gained.sum()), size, tail)[0])
        if size < sizes[-1] and hoped < goal * high:
            continue  # the half that chose flatters its choice: measuring it would only disappoint
        met = first_met(reading, chosen, size, measuring, workers)
        low = max(k, units * _limits(int(met.sum()), size, tail)[0])
        if low >= goal * high:
            break
    around = _limits(int(met.sum()), size, 0.025 / len(sizes))  # holds whichever round is the last
    gains = units / size * met
    factor = max(low / high, goal) if size == enough else low / high
    return Influence(
        sources=chosen,
        gains=gains,
        spread=float(max(k, gains.sum())),
        interval=(float(max(k, units * around[0])), float(max(k, units * around[1]))),
        guarantee=float(min(factor, 1.0)),
        confidence=1 - delta,
        best=float(high),
        method="reverse-reachable",
        samples=2 * size,
    )


def _limits(hits: int, samples: int, tail: float) -> tuple[float, float]:
    low, high = clopper_pearson(hits, samples, 1 - 2 * tail)
    return float(low), float(high)


def _room(members: int, size: int, sets: int) -> None:
    if sets and members * size > MOST_MEMBERS * sets:
        raise UserError(
            "the reverse-reachable sets would need more than 8 GB.",
            came=f"{sets:,} sets of {members / sets:,.0f} units on average, {size:,} wanted",
            expected=f"at most {MOST_MEMBERS:,} units in all sets together",
            attempt=f"runs={sets}, or a larger epsilon",
        )


def _lazy_greedy(
    model: Any,
    k: int,
    allowed: np.ndarray,
    spread: Callable[[np.ndarray], float] | None,
    runs: int,
    rng: Any,
    workers: int | None,
    submodular: bool,
) -> Influence:
    base, tried = randomness.entropy(rng), 0
    paired, fresh = (randomness.integer(base, "influence", part) for part in ("compare", "measure"))

    def value(sources: list[int]) -> float:
        nonlocal tried
        tried += 1
        ids = np.array(sources, dtype=np.int64)
        return float(spread(ids) if spread else model.sample(ids, runs, paired, workers).sizes.mean())

    chosen: list[int] = []
    reached: list[float] = []
    queue = [(-math.inf, unit, -1) for unit in np.flatnonzero(allowed).tolist()]  # minus gain, id, sources known then
    while len(chosen) < k:
        gain, unit, known = heapq.heappop(queue)
        before = reached[-1] if reached else 0.0
        if known == len(chosen):
            chosen.append(unit)
            reached.append(before - gain)
        else:
            heapq.heappush(queue, (before - value([*chosen, unit]), unit, len(chosen)))
    sources = np.array(chosen, dtype=np.int64)
    if spread is None:
        average = mean_interval(model.sample(sources, max(runs, 2), fresh, workers).sizes)
    else:
        average = (reached[-1],) * 3
    proven = submodular and spread is not None
    return Influence(
        sources=sources,
        gains=np.diff(np.array(reached), prepend=0.0),
        spread=average[0],
        interval=(average[1], average[2]),
        guarantee=1 - (1 - 1 / k) ** k if proven else None,
        confidence=1.0 if proven else None,
        best=None,
        method="celf",
        samples=0 if spread else (tried * runs + max(runs, 2)),
    )


def _candidates(candidates: Any, units: int) -> np.ndarray:
    if candidates is None:
        return np.ones(units, np.bool_)
    given = np.asarray(candidates)
    if given.dtype.kind not in "biu" or not len(np.atleast_1d(given)):
        raise UserError("candidates are units.", came=f"{given.dtype} {given.shape}", expected="ids, or a bool mask")
    allowed = np.zeros(units, np.bool_)
    allowed[read_sources(given, units).ids] = True
    return allowed


def _whole(value: Any, name: str, most: int, why: str = "") -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
        raise UserError(
            f"{name} is {value!r}.", came=repr(value), expected=f"1 to {most:,}" + (f", {why}" if why else "")
        )
    return int(value)
