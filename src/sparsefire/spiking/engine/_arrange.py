"""What is given, checked and laid out for the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.randomness import integer
from sparsefire.spiking._numbers import finite_array
from sparsefire.spiking.engine import _kernels, _parts
from sparsefire.spiking.engine.drives import Arrivals, PoissonDrive, per_unit, poisson_tables
from sparsefire.wiring.graph import Wiring

BLOCK = 4096  # units whose potentials and arrivals of one step stay in the cache
MOST_BLOCKS = 64


def in_steps(name: str, seconds: Any, dt: float) -> np.ndarray:
    """Return times in whole steps, 1 or more; int64 of the shape that came."""
    times = finite_array(name, seconds)
    steps = np.rint(times / dt)
    wrong = (np.abs(times / dt - steps) > 1e-6 * np.maximum(1.0, np.abs(steps))) | (steps < 1)
    if wrong.any():
        raise UserError(
            f"{name} is not a number of time steps.", came=f"{times[wrong].flat[0]:g} s with dt = {dt:g} s",
            expected=f"{dt:g} s or a multiple of it",
        )  # fmt: skip
    return steps.astype(np.int64)


def blocks_of(units: int) -> tuple[int, int]:
    """Return the size of a block, even, and how many there are: functions of the units alone."""
    size = min(max(BLOCK, -(-units // MOST_BLOCKS)), units)
    size += size & 1
    return size, -(-units // size)


def frozen(values: np.ndarray) -> np.ndarray:
    """Return a read-only view, so that kernels meet one kind of array, whether it came frozen or not."""
    view = np.ascontiguousarray(values).view()
    view.setflags(write=False)
    return view


def arcs(
    wiring: Wiring, weights: np.ndarray, delay: np.ndarray, size: int, blocks: int, by_sign: bool = False
) -> _parts.Arcs:
    """Return the arcs for delivery; where all arcs of each sender weigh the same, one weight stands for them.

    A block has ``size`` columns of arrivals, one for each unit; ``by_sign``: as many more for weights below 0.
    """
    bounds = _kernels.block_bounds(wiring.starts, wiring.receivers, size, blocks)
    local = wiring.receivers % size if blocks > 1 else wiring.receivers
    if by_sign:
        local = local + size * (weights < 0)
    weight = np.zeros(wiring.shape[0])
    same = _kernels.one_each(wiring.starts, weights, weight)
    narrow = (1 + by_sign) * size <= 2**16
    return _parts.Arcs(
        bounds, local.astype(np.uint16 if narrow else np.uint32), frozen(weights[: 0 if same else None]), weight,
        *delays_of(delay),
    )  # fmt: skip


def delays_of(delay: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the delays of arcs in steps, int32 [arcs] or [0], and the one that all have, then."""
    return (delay.astype(np.int32), 0) if delay.ndim else (np.zeros(0, np.int32), int(delay))


def split(drive: Any) -> tuple[list[Any], list[PoissonDrive], list[Arrivals]]:
    """Return the currents, the Poisson drives and the arrivals that a drive consists of."""
    parts = [] if drive is None else list(drive) if isinstance(drive, tuple) else [drive]
    poisson = [part for part in parts if isinstance(part, PoissonDrive)]
    arrivals = [part for part in parts if isinstance(part, Arrivals)]
    if len(arrivals) > 1:
        raise UserError("one drive has several arrivals.", came=f"{len(arrivals)}", expected="their spikes in one")
    return [part for part in parts if not isinstance(part, PoissonDrive | Arrivals)], poisson, arrivals


def currents(parts: list[Any], units: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the constant current [units] and the one that changes, [steps, units] or [0, 0]."""
    constant, changing = np.zeros(units), np.zeros((0, 0))
    for part in parts:
        values = finite_array("the drive", part)
        if values.ndim < 2 and values.shape in ((), (units,)):
            constant = constant + values
        elif values.shape == (steps, units):
            changing = values if not len(changing) else changing + values
        else:
            raise UserError(
                "the drive has another shape than the network.", came=f"shape {values.shape}",
                expected=f"a number, [{units:,}] or [{steps:,}, {units:,}] (steps, units)",
            )  # fmt: skip
    return constant, frozen(changing)


def poisson(parts: list[PoissonDrive], units: int, dt: float, rng: int) -> dict[str, Any]:
    """Return the tables of the counts of all Poisson drives, the weights, and the keys of their numbers."""
    rates = np.array([per_unit("the rate of a Poisson drive", part.rate, units) for part in parts]).reshape(-1, units)
    means, which = np.unique(rates * dt, return_inverse=True)
    weight = [per_unit("the weight of a Poisson drive", part.weight, units) for part in parts]
    return {
        **poisson_tables(means)._asdict(), "table_of": which.reshape(rates.shape).astype(np.int32),
        "weight": np.array(weight).reshape(-1, units), "keys": poisson_keys(len(parts), rng),
    }  # fmt: skip


def poisson_keys(many: int, rng: int) -> np.ndarray:
    """Return the key of each Poisson drive, uint64."""
    return np.array([integer(rng, "spiking", "poisson", number) for number in range(many)], np.uint64)


def arrivals(part: Arrivals, units: int, steps: int, dt: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where the arrivals of each step begin, int64 [steps + 1], and their sources, int32."""
    if part.wiring.shape[1] != units:
        raise UserError(
            "arrivals reach another number of units than the network has.", expected=f"{units:,}",
            came=f"{part.wiring.shape[1]:,}",
        )  # fmt: skip
    when = np.maximum(np.ceil(part.spikes.times / dt - 1e-9).astype(np.int64) - 1, 0)
    kept = np.searchsorted(when, steps)
    return np.searchsorted(when[:kept], np.arange(steps + 1)), part.spikes.units[:kept].astype(np.int32)
