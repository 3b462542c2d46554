"""Poisson trains whose intensity changes in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.spiking._numbers import array, function, number, whole
from sparsefire.spiking.spikes import Spikes

CELLS = 1 << 16


@dataclass(frozen=True, eq=False)
class InhomogeneousPoisson:
    """Independent Poisson trains of intensity λ(t), which is the same for all.

    Args:
        intensity: a function of seconds (float64 array in, Hz out), or Hz in bins of ``dt`` seconds [bins].
        most: for a function: a bound that λ never exceeds; trains are drawn by thinning (Lewis & Shedler 1979,
            doi:10.1002/nav.3800260304), and a λ above the bound is an error.
        dt: for bins: their width in seconds; trains are drawn by inversion.

    Raises:
        UserError: for an intensity that is negative or not finite, ``most`` or ``dt`` missing, a λ above ``most``, more
            seconds asked for than there are bins.

    >>> law = InhomogeneousPoisson([10.0, 30.0], dt=0.5)
    >>> law.cumulative([0.25, 0.75, 1.0]).tolist()
    [2.5, 12.5, 20.0]
    """

    intensity: Any
    most: float | None = None
    dt: float | None = None

    def __post_init__(self) -> None:
        if callable(self.intensity):
            if self.most is None:
                raise UserError("a function of time needs a bound.", came="most=None", expected="Hz", attempt="most=…")
            number("most", self.most, unit="Hz")
            function("an intensity", self.intensity, "times")
            return
        if self.dt is None:
            raise UserError("bins need a width.", came="dt=None", expected="seconds", attempt="dt=…")
        number("dt", self.dt, unit="seconds")
        bins = array("an intensity", self.intensity)
        if bins.ndim != 1 or not len(bins) or not np.isfinite(bins).all() or bins.min() < 0:
            raise UserError("an intensity is 0 or more.", came=f"shape {bins.shape}", expected="finite Hz [bins]")
        object.__setattr__(self, "intensity", bins)

    def __call__(self, t: Any) -> np.ndarray:
        """Return λ(t) in Hz."""
        when = array("times", t)
        if not callable(self.intensity):
            assert self.dt is not None
            place = np.clip(np.ceil(when / self.dt - 1e-9).astype(np.int64) - 1, 0, len(self.intensity) - 1)
            return self.intensity[place]
        found = array("an intensity", self.intensity(when))
        assert self.most is not None
        if found.shape != when.shape or not np.isfinite(found).all() or (found.size and found.min() < 0):
            raise UserError("an intensity is 0 or more.", came=f"shape {found.shape}", expected="finite Hz")
        if found.size and found.max() > self.most * (1 + 1e-9):
            raise UserError("the intensity is above its bound.", came=f"{found.max():g} Hz", expected=f"{self.most:g}")
        return found

    def cumulative(self, t: Any) -> np.ndarray:
        """Return ∫₀ᵗ λ; of a function by the midpoint rule on 65,536 cells, linear within a cell."""
        when = array("times", t)
        if callable(self.intensity):
            end = float(when.max(initial=0.0)) or 1.0
            edges: np.ndarray = np.linspace(0.0, end, CELLS + 1)
            parts = self((edges[1:] + edges[:-1]) / 2) * (end / CELLS)
        else:
            assert self.dt is not None
            edges = np.arange(len(self.intensity) + 1) * self.dt
            parts = self.intensity * self.dt
            if when.size and when.max() > edges[-1] * (1 + 1e-9):
                raise UserError("the bins end before.", came=f"{when.max():g} s", expected=f"at most {edges[-1]:g} s")
        return np.interp(when, edges, np.concatenate([[0.0], np.cumsum(parts)]))

    def sample(self, duration: float, n_trains: int = 1, *, rng: Any = None) -> Spikes:
        """Draw independent trains, one for each unit, between 0 and ``duration`` seconds."""
        length, trains = number("a duration", duration, unit="seconds"), whole("n_trains", n_trains)
        generator = stream(rng, "poisson trains")
        times: np.ndarray
        if callable(self.intensity):
            assert self.most is not None
            count = generator.poisson(self.most * length * trains)
            tried = np.sort(generator.random(count) * length)
            times = tried[generator.random(count) * self.most < self(tried)]
        else:
            assert self.dt is not None
            total = float(self.cumulative(length))
            edges = np.arange(len(self.intensity) + 1) * self.dt
            level = np.sort(generator.random(generator.poisson(total * trains)) * total)
            reached = np.concatenate([[0.0], np.cumsum(self.intensity * self.dt)])
            times = np.minimum(_invert(level, reached, edges), length)
        return Spikes(times, generator.integers(0, trains, len(times)), trains, length)


def _invert(level: np.ndarray, reached: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the times at which a piecewise linear rise reaches each level."""
    place = np.maximum(np.searchsorted(reached, level, side="left"), 1)  # never the end of an even stretch
    rise = reached[place] - reached[place - 1]
    return edges[place - 1] + (level - reached[place - 1]) / rise * (edges[place] - edges[place - 1])
