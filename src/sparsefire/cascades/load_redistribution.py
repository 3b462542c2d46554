"""Load redistribution: what breaks hands its load to what still holds (fibre bundles, power grids)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from sparsefire.cascades.exact.closed_forms import complete_law_with, is_complete
from sparsefire.cascades.exact.solution import Solution, alike
from sparsefire.cascades.laws import ROUNDING, check_thresholds, each_its_own, fixed, is_law, per_unit, quantiles
from sparsefire.cascades.model import CascadeModel, checked_units
from sparsefire.cascades.sampling.runs import Record, Runner
from sparsefire.cascades.sources import Sources
from sparsefire.errors import UserError
from sparsefire.wiring.graph import Wiring

MOST_ALIKE = 1_000  # units up to which ``auto`` takes the O(n³) law of units that are alike
CELLS = 262_144  # capacities drawn at once
ROUNDS = 100_000  # of the mean field; only within 1e-8 of a critical load are so many needed


@dataclass(frozen=True, eq=False)
class LoadRedistribution(CascadeModel):
    """A unit breaks when its load reaches its capacity; what it carries then goes to units that still hold.

    Peirce 1926 and Daniels 1945, doi:10.1098/rspa.1945.0011 (equal sharing); Pradhan, Hansen & Chakrabarti 2010,
    doi:10.1103/RevModPhys.82.499; Burkholz & Schweitzer 2018, arXiv:1701.06970 (local sharing on networks).

    Steps are synchronous. In step 0 the sources break, whatever their load, and all whose load reaches their capacity.
    Units that break in a step release all they carry at once, in equal shares, and those whose load now reaches their
    capacity break in the next. If nobody is left to take it, the load is lost. The size is the number of broken units.

    With global sharing, more load, less capacity or more sources never break less. With local sharing they may: a unit
    that breaks early does not collect and pass on what it would have got (last example).

    With local sharing ``sample(who=True)`` names the neighbour whose share made a unit's load reach its capacity,
    shares counted in the order in which neighbours broke; with global sharing it is nobody in particular: ``by`` is -1.

    Args:
        wiring: square. Its weights are not used; parallel arcs take a share each. Global sharing needs no arcs.
        load: at the start, 0 or more, one number or one per unit [n].
        capacity: a number, one per unit [n] (infinite: never breaks), or a frozen law of ``scipy.stats`` from which
            every unit draws its own in every run.
        sharing: ``"local"``: among out-neighbours that hold after the step; ``"global"``: among all that hold, as in
            the fibre bundle.

    Raises:
        UserError: loads that are negative or not finite, capacities that are NaN, either of another length, a law
            without ``ppf``, another kind of sharing.

    >>> from scipy import stats
    >>> ring = Wiring.from_edges([0, 1, 2, 3], [1, 2, 3, 0], directed=False)
    >>> LoadRedistribution(ring, 0.15, stats.uniform(), sharing="global").size_distribution().pmf.round(6).tolist()
    [0.522006, 0.3072, 0.11025, 0.0306, 0.029944]
    >>> chain = Wiring.from_edges([0, 1], [1, 2])
    >>> [LoadRedistribution(chain, load, [4, 2, 4]).sample(runs=1).sizes.tolist() for load in ([4, 1, 0], [4, 2, 0])]
    [[3], [2]]
    """

    wiring: Wiring
    load: Any
    capacity: Any
    sharing: str = "local"

    methods: ClassVar[tuple[str, ...]] = ("auto", "exact", "mean-field", "monte-carlo")

    def __post_init__(self) -> None:
        units = checked_units(self.wiring)
        object.__setattr__(self, "load", fixed(self.load, "load"))
        object.__setattr__(self, "capacity", fixed(self.capacity, "capacity"))
        if self.sharing not in ("local", "global"):
            raise UserError(
                f"there is no sharing {self.sharing!r}.", came=repr(self.sharing), expected='"local" or "global"'
            )
        load = per_unit(self.load, units, "load")
        wrong = np.flatnonzero(~((load >= 0) & np.isfinite(load)))
        if len(wrong):
            at = int(wrong[0])
            raise UserError(f"the load of unit {at} is none.", came=f"{load[at]}", expected="0 or more, finite")
        with np.errstate(over="ignore"):
            if not np.isfinite(load.sum()):
                raise UserError("the loads add up to infinity.", came=f"{load.max():.3g} at most", expected="less")
        check_thresholds(self.capacity, units, "capacity")

    @cached_property
    def _load(self) -> np.ndarray:
        return per_unit(self.load, self.wiring.units, "load")

    @cached_property
    def _given(self) -> np.ndarray:
        """Capacities [n] that are not drawn."""
        return per_unit(self.capacity, self.wiring.units, "capacity")

    @cached_property
    def _among_all(self) -> bool:
        return self.sharing == "global" or is_complete(self.wiring)

    def _capacities(self, first: int, runs: int, key: np.uint64) -> np.ndarray:
        """Return capacities [runs, n], or [1, n] where they are given; loads that miss them by rounding reach them."""
        if is_law(self.capacity):
            from sparsefire.cascades.sampling.streams import uniforms

            values = quantiles(self.capacity, uniforms(self.wiring.units, first, runs, key))
        else:
            values = self._given[None, :]
        return np.ascontiguousarray(values * (1 - ROUNDING * np.sign(values)))

    def _runner(self, start: Sources) -> Runner:
        from sparsefire.cascades.sampling.loads import among_all, among_neighbours

        wiring, load, drawn = self.wiring, self._load, is_law(self.capacity)
        none = np.empty(0, np.int64)

        def prepared(first: int, runs: int, key: np.uint64) -> tuple[np.ndarray, np.ndarray]:
            capacities = self._capacities(first, runs, key)
            if self.sharing == "global":
                slack = capacities - load
                return slack, none if drawn else np.argsort(slack[0], kind="stable")
            return capacities, none if drawn else np.flatnonzero(load >= capacities[0])

        given = None if drawn else prepared(0, 1, np.uint64(0))

        def run(first: int, runs: int, key: np.uint64, record: Record) -> None:
            few = max(1, CELLS // wiring.units) if drawn else runs
            for low in range(0, runs, few):
                part = slice(low, min(low + few, runs))
                count, begin = part.stop - low, first + low
                room, order = given or prepared(begin, count, key)
                if self.sharing == "global":
                    among_all(load, room, order, start.ids, start.chances, begin, count, key, record.part(part))
                else:
                    among_neighbours(
                        wiring.starts, wiring.receivers, load, room, drawn, order, start.ids, start.chances, begin,
                        count, key, record.part(part),
                    )  # fmt: skip

        return run

    def _reached(self, load: np.ndarray, units: Any) -> np.ndarray:
        """Return P(capacity ≤ load) of these units; the loads are all of them if every unit has a law of its own."""
        load = load * (1 + ROUNDING)
        if is_law(self.capacity):
            return np.asarray(self.capacity.cdf(load), dtype=np.float64)
        return (self._given[units] <= load).astype(np.float64)

    def _alike(self, chances: np.ndarray) -> bool:
        """Return whether load goes to all, and all units but those that break for sure are alike."""
        rest = chances < 1
        values = [self._load[rest], chances[rest]]
        if not is_law(self.capacity):
            values.append(self._given[rest])
        elif each_its_own(self.capacity):
            return False
        return self._among_all and all((v == v[:1]).all() for v in values)

    def _exact(self, chances: np.ndarray, hurry: bool) -> Solution | None:
        """With m units that are alike and j of them broken, a unit that holds carries x_j = x + (s + j x) / (m - j),
        s being what the sure sources carry; it is broken by then with probability F_j = p + (1 - p) F(x_j), as if its
        capacity were 0 with probability p. Capacities are independent, so :func:`complete_law` applies."""
        units = self.wiring.units
        if not is_law(self.capacity) and np.isin(chances, (0.0, 1.0)).all():
            return self._settled(chances)
        if not self._alike(chances) or (hurry and units > MOST_ALIKE):
            return None
        sure = chances == 1
        rest = np.flatnonzero(~sure)
        failing = np.ones(units)
        if len(rest):
            x, p, j = self._load[rest[0]], chances[rest[0]], np.arange(len(rest))
            loads = x + (self._load[sure].sum() + j * x) / (len(rest) - j)
            failing[units - len(rest) :] = p + (1 - p) * self._reached(loads, rest[0])
        return alike(complete_law_with(units - len(rest), failing, "fibre bundle, equal sharing"), sure)

    def _solvable(self, chances: np.ndarray) -> str:
        return (
            "global sharing (or a complete graph) of units with one load, one capacity or law and one chance to start, "
            "sure sources apart; or given capacities and sure sources"
        )

    def _cavity(self, chances: np.ndarray) -> np.ndarray:
        """The limit of many units: unit i holds with probability U_i = (1 - p_i) (1 - F_i(load_i + s)), and each that
        holds has taken s = Σ (1 - U_i) load_i / Σ U_i. The least s, by steps from 0, as the cascade goes. With units
        that are alike: U = (1 - p) (1 - F(x / U)), Daniels 1945; uniform capacities: U = 1/2 + √(1/4 - x), x ≤ 1/4.
        """
        if not self._among_all:
            raise UserError(
                "local sharing has no mean field on a given wiring.",
                came=f"sharing={self.sharing!r}",
                expected='sharing="global", or a complete graph',
                attempt='method="monte-carlo"',
            )
        units, load = len(chances), self._load
        if each_its_own(self.capacity):
            some, back, counts = np.arange(units), np.arange(units), np.ones(units, np.int64)
        else:  # units that are alike stay so
            kinds = [load, chances] if is_law(self.capacity) else [load, chances, self._given]
            _, some, back, counts = np.unique(
                np.array(kinds), axis=1, return_index=True, return_inverse=True, return_counts=True
            )
        load, hold = load[some], 1 - chances[some]
        share, holds = 0.0, hold
        for _ in range(ROUNDS):
            holds = hold * (1 - self._reached(load + share, some))
            if not counts @ holds > 0:
                break
            more = float(counts @ ((1 - holds) * load) / (counts @ holds))
            if more - share <= 1e-13 * (more + load.max()):
                break
            share = more
        return (1 - holds)[back.reshape(-1)]
