"""What drives a network from outside: spikes that arrive from elsewhere, and Poisson input."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import finite_array
from sparsefire.spiking.spikes import Spikes
from sparsefire.wiring.graph import Wiring


@dataclass(frozen=True, eq=False)
class Arrivals:
    """Given spikes of external sources, each of which acts at once on the units it is wired to.

    A spike in (k dt, (k + 1) dt] arrives in step k.

    Args:
        spikes: of the sources; :meth:`Spikes.counts_in` has the same steps.
        weights: a matrix [units, sources], a :class:`~sparsefire.Wiring` from the sources to the units with its
            weights, or, where source i acts on unit i alone, one number or [units].

    Attributes:
        wiring: from the sources to the units.

    Raises:
        UserError: for another shape, weights that are not finite.

    >>> Arrivals(Spikes([0.1, 0.2], [0, 1], duration=1.0), [[0.5, 0.0], [0.0, 2.0], [1.0, 0.0]]).wiring
    Wiring(2 → 3 units, 3 arcs)
    """

    spikes: Spikes
    weights: Any
    wiring: Wiring = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.spikes, Spikes):
            raise UserError("arrivals are spikes.", came=type(self.spikes).__name__, expected="sf.spiking.Spikes")
        object.__setattr__(self, "wiring", self._wiring())

    def _wiring(self) -> Wiring:
        sources = self.spikes.n_units
        if isinstance(self.weights, Wiring):
            if self.weights.shape[0] != sources:
                raise UserError(
                    "the weights of arrivals do not fit their spikes.", came=f"{self.weights.shape[0]:,} senders",
                    expected=f"{sources:,}",
                )  # fmt: skip
            return self.weights
        values = finite_array("the weights of arrivals", self.weights)
        if values.ndim == 2 and values.shape[1] == sources:
            unit, source = np.nonzero(values)
            return Wiring.from_edges(source, unit, values[unit, source], shape=(sources, values.shape[0]))
        if values.ndim > 1 or values.shape not in ((), (sources,)):
            raise UserError(
                "the weights of arrivals do not fit their spikes.", came=f"shape {values.shape}",
                expected=f"[units, {sources}], [{sources}] or a number",
            )  # fmt: skip
        same = np.arange(sources)
        return Wiring.from_edges(same, same, np.broadcast_to(values, sources), shape=(sources, sources))


@dataclass(frozen=True, eq=False)
class PoissonDrive:
    """Independent Poisson arrivals at every unit.

    The number of arrivals in a step is Poisson with mean rate · dt, from a table of its law in units of 2⁻³² and a
    number that depends on ``rng``, the step and the unit alone.

    Args:
        rate: arrivals per second and unit, Hz; 0 or more, at most 10⁴ in a step. Of many synapses: the sum over them.
            One number, or one for each unit.
        weight: of each arrival; one number, or one for each unit.

    Raises:
        UserError: for rates that are negative, values that are not finite.

    >>> PoissonDrive(rate=1000.0, weight=0.1)
    PoissonDrive(rate=1000.0, weight=0.1)
    """

    rate: Any
    weight: Any

    def __post_init__(self) -> None:
        for name, value in (("rate", self.rate), ("weight", self.weight)):
            found = finite_array(f"the {name} of a Poisson drive", value)
            if found.ndim > 1:
                raise UserError(
                    f"the {name} of a Poisson drive is a number, or one for each unit.", came=f"shape {found.shape}"
                )
            if name == "rate" and (found < 0).any():
                raise UserError("a rate is not negative.", came=f"{found.min():g} Hz", expected="0 or more")


def per_unit(name: str, value: Any, units: int) -> np.ndarray:
    """Return one finite number for each unit, from one or from as many, float64 [units]."""
    found = finite_array(name, value)
    if found.shape not in ((), (units,)):
        raise UserError(
            f"{name} must be one number, or one for each unit.", came=f"shape {found.shape}", expected=f"[{units:,}]"
        )
    return np.broadcast_to(found, units).astype(np.float64)


class PoissonTables(NamedTuple):
    """P(count ≤ k) of some Poisson laws in units of 2⁻³², one law after another, each only where it is above 0.

    A number below 2³² stands for the count ``least`` + how many entries of its law it reaches.
    """

    tables: np.ndarray  # uint64 [entries of all laws]
    begins: np.ndarray  # int64 [laws], the first entry of each
    least: np.ndarray  # int64 [laws], the k of that entry
    guides: np.ndarray  # uint16 [laws, 256]: how many entries every number with this highest byte reaches


def poisson_tables(means: np.ndarray) -> PoissonTables:
    """Return the tables of laws with these means; their width goes with the root of the mean."""
    most = float(means.max(initial=0.0))
    if most > 10_000:
        raise UserError(
            "too many Poisson arrivals in a step.", came=f"{most:g} in the mean", expected="at most 10,000",
            attempt="a constant current for what their mean does",
        )  # fmt: skip
    # Chernoff: P(X ≤ μ − t) ≤ exp(−t²/2μ) and P(X ≥ μ + t) ≤ exp(−t²/(2μ + 2t/3)), here 2⁻³⁴, which rounds to 0.
    far = 34 * math.log(2)
    least = np.maximum(np.floor(means - np.sqrt(2 * far * means)), 0).astype(np.int64)
    last = np.ceil(means + far / 3 + np.sqrt(far**2 / 9 + 2 * far * means)).astype(np.int64)
    widths = last - least + 1
    begins = np.cumsum(widths) - widths
    counts = np.arange(widths.sum()) - np.repeat(begins - least, widths)
    tables = np.rint(special.pdtr(counts, np.repeat(means, widths)) * 2.0**32).astype(np.uint64)
    reached = ((tables + np.uint64(2**24 - 1)) >> np.uint64(24)).astype(np.int64)  # the first byte that reaches each
    guides = np.zeros((len(means), 257), np.uint16)
    np.add.at(guides, (np.repeat(np.arange(len(means)), widths), reached), np.uint16(1))
    return PoissonTables(tables, begins, least, np.cumsum(guides[:, :256], axis=1, dtype=np.uint16))
