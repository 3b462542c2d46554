"""Renewal trains of any hazard, by quadrature; among them the leaky neuron with escape noise under constant drive."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from scipy import integrate, signal

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import array, finite, function, number
from sparsefire.spiking.neurons.escape import Escape
from sparsefire.spiking.trains.renewal import Renewal

CELLS = 1 << 15
ENOUGH = 40.0  # integrated hazard at which the table ends: S = e⁻⁴⁰ beyond
LONGEST = 1e7  # seconds


@dataclass(frozen=True)
class _Table:
    """The law of an interval less its dead time, on equally spaced nodes [nodes]."""

    s: np.ndarray
    cumulative: np.ndarray
    survival: np.ndarray
    moments: tuple[float, float, float]  # E Y, E Y², E Y³
    recurrence: np.ndarray  # ∫₀ˢ S / E Y


class Tabulated(Renewal):
    """A renewal law whose hazard after the dead time is a function; everything else is quadrature (Simpson's rule)."""

    dead_time: float

    def _after(self, s: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    @cached_property
    def _table(self) -> _Table:
        end = _reach(self._after)
        s = np.linspace(0.0, end, CELLS + 1)
        cumulative = integrate.cumulative_simpson(_rates(self._after, s), x=s, initial=0.0)
        cumulative = np.maximum.accumulate(cumulative)
        survival = np.exp(-cumulative)
        first, second, third = (float(k * integrate.simpson(s ** (k - 1) * survival, x=s)) for k in (1, 2, 3))
        area = integrate.cumulative_simpson(survival, x=s, initial=0.0)
        return _Table(s, cumulative, survival, (first, second, third), np.maximum.accumulate(area) / area[-1])

    def hazard(self, s: Any) -> np.ndarray:
        """Return ρ(s) in Hz, 0 within the dead time."""
        later = array("times", s) - self.dead_time
        return np.where(later >= 0, _rates(self._after, np.maximum(later, 0.0)), 0.0)

    def cumulative(self, s: Any) -> np.ndarray:
        """Return ∫₀ˢ ρ, interpolated between nodes that are 1/32,768 of the law's reach apart."""
        later = np.maximum(array("times", s) - self.dead_time, 0.0)
        table = self._table
        inside = np.interp(later, table.s, table.cumulative)
        beyond = np.maximum(later - table.s[-1], 0.0)
        return inside + beyond * float(_rates(self._after, table.s[-1:])[0])

    @property
    def mean(self) -> float:
        """Mean interval, dead time included."""
        return self.dead_time + self._table.moments[0]

    @property
    def variance(self) -> float:
        """2 ∫ s S − (∫ S)²."""
        first, second, _ = self._table.moments
        return second - first**2

    @property
    def third(self) -> float:
        """Third central moment."""
        first, second, third = self._table.moments
        return third - 3 * first * second + 2 * first**3

    def intervals(self, generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Draw by inversion of the integrated hazard."""
        drawn = generator.standard_exponential(shape)
        return self.dead_time + np.interp(drawn, self._table.cumulative, self._table.s)

    def recurrence(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """Draw the time to the next spike by inversion of ∫ S / μ."""
        within = generator.random(count) < self.dead_time / self.mean
        level = generator.random(count)
        later = self.dead_time + np.interp(level, self._table.recurrence, self._table.s)
        return np.where(within, self.dead_time * level, later)

    def _fano(self, window: float) -> float:
        """Return the Fano factor: by a lattice of the law up to 60 + 3/CV² mean intervals, by its expansion beyond.

        The lattice keeps the mean; two of them are extrapolated (measured error below 1e-5). The expansion is
        Var N = σ² T/μ³ + 1/6 + σ⁴/(2 μ⁴) − κ₃/(3 μ³), with an exponentially small rest (Cox 1962).
        """
        mu, ratio = self.mean, self.cv**2
        if window > (60 + 3 / ratio) * mu:
            return float(ratio + mu / window * (1 / 6 + ratio**2 / 2 - self.third / (3 * mu**3)))
        coarse, fine = (1.0 + 2.0 * self._lattice(window, parts) / window - window / mu for parts in (150, 300))
        return fine + (fine - coarse) / 3

    def _lattice(self, window: float, parts: int) -> float:
        """Return Σ_k E (T − S_k)₊ with the interval's law moved to the nodes of a lattice, means kept."""
        steps = max(int(np.ceil(window / self.mean * parts)), parts)
        width = window / steps
        table = self._table
        short = integrate.cumulative_trapezoid(1 - table.survival, x=table.s, initial=0.0)  # E (x − Y)₊
        nodes = np.arange(-1, min(steps, int((self.dead_time + table.s[-1]) / width) + 2) + 2) * width
        later = np.maximum(nodes - self.dead_time, 0.0)
        mean_excess = np.interp(later, table.s, short) + np.maximum(later - table.s[-1], 0.0)
        masses = np.maximum(np.diff(mean_excess, 2) / width, 0.0)  # hat functions
        impulse = np.zeros(steps + 1)
        impulse[0] = 1.0
        denominator = -masses
        denominator[0] += 1.0
        renewals = signal.lfilter(masses, denominator, impulse)  # F/(1 − F): of all S_k
        return float(renewals @ (window - width * np.arange(steps + 1)))


@dataclass(frozen=True)
class HazardRenewal(Tabulated):
    """A renewal train of any hazard.

    Args:
        rho: takes seconds since the end of the dead time (float64 array) and returns Hz, finite, 0 or more. Jumps of it
            cost accuracy: put a first one into ``dead_time``.
        dead_time: seconds without spikes after each spike.

    Raises:
        UserError: at first use, for a hazard that is negative, not finite, of another shape, or too small to end an
            interval within 10⁷ s.

    Means and CVs have a relative error below 1e-8 for smooth hazards. :meth:`fano` is numerical, see there.

    >>> law = HazardRenewal(lambda s: 50.0 + 0 * s, dead_time=5e-3)
    >>> round(law.rate, 6), round(law.cv, 6), round(law.fano(5.0), 4)
    (40.0, 0.8, 0.6402)
    """

    rho: Callable[[np.ndarray], Any]
    dead_time: float = 0.0

    def __post_init__(self) -> None:
        number("a dead time", self.dead_time, zero=True, unit="seconds")
        function("a hazard", self.rho, "seconds")

    def _after(self, s: np.ndarray) -> np.ndarray:
        return array("a hazard", self.rho(s))


@dataclass(frozen=True)
class EscapeLIF(Tabulated):
    """The leaky neuron with escape noise under constant drive, in continuous time: a renewal train.

    After the refractory time u(s) = u∞ + (v_reset − u∞) e^(−s/τ) with u∞ = v_leak + R I. With x = u − v_threshold the
    hazard is that of ``escape``, which neurons are given too (Gerstner et al. 2014, Neuronal Dynamics, section 9.1).

    Args:
        tau: membrane time constant in seconds.
        drive: R I, in the units of the potentials: not a current but how far it moves the membrane in the end. For a
            neuron of r = 1 it is the drive that :func:`sparsefire.spiking.simulate` takes.
        v_threshold, v_reset, v_leak: potentials.
        escape: an :class:`Escape`: rate ρ₀ in Hz, width Δ in the units of the potentials, and form.
        refractory: seconds.

    >>> law = EscapeLIF(tau=20e-3, drive=20.0, v_threshold=15.0, escape=Escape(rate=100.0, width=2.0))
    >>> round(1e3 * law.mean, 3), round(law.cv, 5)  # milliseconds
    (28.327, 0.25547)
    """

    tau: float = 20e-3
    drive: float = 1.5
    v_threshold: float = 1.0
    v_reset: float = 0.0
    v_leak: float = 0.0
    escape: Escape = field(default_factory=Escape)
    refractory: float = 0.0

    def __post_init__(self) -> None:
        number("tau", self.tau, unit="seconds")
        for name in ("drive", "v_threshold", "v_reset", "v_leak"):
            finite(name, getattr(self, name))
        number("refractory", self.refractory, zero=True, unit="seconds")
        if not isinstance(self.escape, Escape):
            raise UserError("escape is an Escape.", came=repr(self.escape)[:60], expected="Escape(rate=…, width=…)")

    @property
    def dead_time(self) -> float:  # type: ignore[override]
        """The refractory time."""
        return self.refractory

    def potential(self, s: Any) -> np.ndarray:
        """Return u at ``s`` seconds after the end of the refractory time."""
        above = self.v_leak + self.drive
        return above + (self.v_reset - above) * np.exp(-array("times", s) / self.tau)

    def _after(self, s: np.ndarray) -> np.ndarray:
        return self.escape.hazard(self.potential(s) - self.v_threshold)


def _rates(after: Callable[[np.ndarray], np.ndarray], s: np.ndarray) -> np.ndarray:
    """Return a hazard that has been looked at."""
    found = after(s)
    if found.shape != s.shape:
        raise UserError("a hazard has one value for each time.", came=f"shape {found.shape}", expected=f"{s.shape}")
    wrong = np.flatnonzero(~(np.isfinite(found) & (found >= 0)))
    if len(wrong):
        raise UserError(
            "a hazard is finite and 0 or more.", came=f"{found.ravel()[wrong[0]]:g} at {s.ravel()[wrong[0]]:g} s",
            expected="Hz",
        )  # fmt: skip
    return found


def _reach(after: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return where the integrated hazard has reached what is enough, by doubling."""
    start, total, length = 0.0, 0.0, 1e-6
    while start < LONGEST:
        edges = np.linspace(start, start + length, 257)
        parts = total + integrate.cumulative_trapezoid(_rates(after, edges), x=edges, initial=0.0)
        if parts[-1] >= ENOUGH:
            return float(edges[np.searchsorted(parts, ENOUGH)])
        start, total, length = float(edges[-1]), float(parts[-1]), 2 * length
    raise UserError(
        "the hazard is too small to end an interval.", came=f"an integral of {total:.3g} after {start:.3g} s",
        expected=f"{ENOUGH:g} or more",
    )  # fmt: skip
