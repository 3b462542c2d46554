"""Hawkes processes: every spike makes further spikes likelier. Rates, correlations and exact draws.

λ_i(t) = μ_i + Σ_j N_ij Σ_k β e^(−β (t − t_k^j)), k over the spikes of j before t (Hawkes 1971,
doi:10.1093/biomet/58.1.83). N_ij is how many spikes of i one spike of j causes directly: the branching ratio of cascade
theory, [to, from].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.spiking._numbers import array, choice, number
from sparsefire.spiking.neurons.escape import Escape
from sparsefire.spiking.spikes import Spikes, trains_of
from sparsefire.spiking.trains._hawkes_kernels import compensators
from sparsefire.wiring.graph import Wiring

FORGOTTEN = 40.0  # slowest time constants of history before the recording: e⁻⁴⁰ of it is missed


@dataclass(frozen=True, eq=False)
class Hawkes:
    """A stationary Hawkes process with an exponential kernel.

    Args:
        baseline: μ in Hz, 0 or more [units], or one number for a single unit.
        branching: N, 0 or more [units, units] as [to, from], or one number for a single unit.
        decay: β in Hz, above 0: a spike's effects come after 1/β seconds in the mean.

    Raises:
        UserError: shapes that differ, values below 0, a spectral radius of N of 1 or more, where activity diverges.

    >>> law = Hawkes(baseline=1.0, branching=0.5, decay=2.0)
    >>> law.rates.tolist(), round(float(law.fano(40.0)[0]), 3), law.radius
    ([2.0], 3.925, 0.5)
    >>> Hawkes(1.0, 1.0, 2.0)
    Traceback (most recent call last):
    sparsefire.errors.UserError: the activity diverges: every spike causes one or more.
      came      a spectral radius of 1
      expected  below 1
    """

    baseline: np.ndarray
    branching: np.ndarray
    decay: float

    def __init__(self, baseline: Any, branching: Any, decay: float) -> None:
        mu, n = np.atleast_1d(array("a baseline", baseline)), np.atleast_2d(array("branching", branching))
        if mu.ndim != 1 or n.shape != (len(mu), len(mu)):
            raise UserError(
                "baseline and branching do not fit.", came=f"shapes {mu.shape} and {n.shape}",
                expected="[units] and [units, units]",
            )  # fmt: skip
        for name, values in (("a baseline", mu), ("a branching ratio", n)):
            if not np.isfinite(values).all() or values.min(initial=0.0) < 0:
                raise UserError(f"{name} is 0 or more.", came=f"{np.min(values):g}", expected="finite numbers")
        for name, value in (("baseline", mu), ("branching", n), ("decay", number("a decay", decay, unit="Hz"))):
            object.__setattr__(self, name, value)
        if self.radius >= 1:
            raise UserError(
                "the activity diverges: every spike causes one or more.",
                came=f"a spectral radius of {self.radius:.6g}", expected="below 1",
            )  # fmt: skip

    @property
    def n_units(self) -> int:
        """How many units."""
        return len(self.baseline)

    @property
    def radius(self) -> float:
        """Spectral radius of the branching matrix; for one unit the branching ratio n."""
        return float(np.abs(linalg.eigvals(self.branching)).max())

    @property
    def timescale(self) -> float:
        """Slowest time constant of the activity, 1/(β (1 − radius)), seconds."""
        return 1.0 / (self.decay * (1.0 - self.radius))

    @property
    def rates(self) -> np.ndarray:
        """Stationary firing rates (1 − N)⁻¹ μ in Hz, float64 [units]."""
        return linalg.solve(np.eye(self.n_units) - self.branching, self.baseline)

    def covariance_density(self, lag: Any) -> np.ndarray:
        """Return Cov(spikes of i at t + lag, spikes of j at t) per s², lag above 0, float64 [*lag, to, from].

        e^(−K lag) (Σ + β N D), K = β (1 − N), D = diag(rates), where Σ, the covariance of the intensities, solves
        K Σ + Σ Kᵀ = β² N D Nᵀ. For negative lags take the transpose; at 0 a delta of weight D comes on top.
        """
        lags = array("lags", lag)
        if not np.isfinite(lags).all() or lags.min(initial=0.0) < 0:
            raise UserError("a lag is 0 or more.", came=repr(lag), expected="seconds", attempt="the transpose, below 0")
        drift, start = self._drift()
        flat = [linalg.expm(-drift * t) @ start for t in lags.ravel()]
        return np.array(flat).reshape(*lags.shape, self.n_units, self.n_units)

    def _drift(self) -> tuple[np.ndarray, np.ndarray]:
        drift = self.decay * (np.eye(self.n_units) - self.branching)
        caused = self.decay * self.branching * self.rates  # β N D
        sigma = linalg.solve_continuous_lyapunov(drift, self.decay * caused @ self.branching.T)
        return drift, sigma + caused

    def count_covariance(self, window: float) -> np.ndarray:
        """Return the covariance of the numbers of spikes in a window of the stationary process, [units, units].

        T D + M + Mᵀ with M = (T K⁻¹ − K⁻² (1 − e^(−KT))) (Σ + β N D); over T it tends to (1 − N)⁻¹ D (1 − N)⁻ᵀ.

        Args:
            window: T in seconds, above 0.
        """
        t = number("a window", window, unit="seconds")
        drift, start = self._drift()
        inner = linalg.solve(drift, np.eye(self.n_units) - linalg.expm(-drift * t))
        one_sided = linalg.solve(drift, (t * np.eye(self.n_units) - inner) @ start)
        return t * np.diag(self.rates) + one_sided + one_sided.T

    def fano(self, window: float) -> np.ndarray:
        """Return variance over mean of the number of spikes of each unit, float64 [units].

        For one unit 1 + ((1−n)⁻² − 1) (1 − (1 − e^(−kT))/(kT)), k = β (1 − n). Exact.
        """
        return np.diag(self.count_covariance(window)) / (self.rates * window)

    def compensated(self, spikes: Spikes) -> tuple[np.ndarray, np.ndarray]:
        """Return ∫₀ᵗ λ_i at every spike (of its own unit), [spikes], and at the end of the recording, [units].

        Spikes before the recording are taken as absent.
        """
        given = trains_of(spikes)
        if given.n_units != self.n_units:
            raise UserError("other units than those of the law.", came=f"{given.n_units}", expected=f"{self.n_units}")
        return compensators(given.times, given.units, self.baseline, self.branching, self.decay, given.duration)

    def sample(self, duration: float, *, rng: Any = None, start: str = "equilibrium") -> Spikes:
        """Draw the process exactly, by clusters (Hawkes & Oakes 1974, doi:10.2307/3212693).

        Baseline spikes come as a Poisson process; every spike of j causes Poisson(N_ij) spikes of i, each after a time
        of law Exp(β); and so on. Costs a few sorts of all spikes.

        Args:
            duration: seconds, above 0.
            rng: see :func:`sparsefire.randomness.entropy`.
            start: ``"equilibrium"``: the process also ran for 40 of its slowest time constants before the recording,
                which is stationary up to e⁻⁴⁰; ``"empty"``: there were no spikes before.
        """
        length = number("a duration", duration, unit="seconds")
        choice("start", start, ("equilibrium", "empty"))
        before = FORGOTTEN * self.timescale if start == "equilibrium" else 0.0
        generator = stream(rng, "hawkes")
        counts = generator.poisson(self.baseline * (length + before))
        units = np.repeat(np.arange(self.n_units), counts)
        times = generator.random(len(units)) * (length + before) - before
        fertility = self.branching.sum(axis=0)
        ladder = np.cumsum(self.branching, axis=0) / np.where(fertility > 0, fertility, 1.0)
        shelf = (ladder.T + np.arange(self.n_units)[:, None]).ravel()  # whose children: shelf j, rungs i
        all_times, all_units = [], []
        while len(times):
            all_times.append(times)
            all_units.append(units)
            offspring = generator.poisson(fertility[units])
            parent = np.repeat(units, offspring)
            times = np.repeat(times, offspring) + generator.standard_exponential(len(parent)) / self.decay
            parent, times = parent[times <= length], times[times <= length]
            rung = np.searchsorted(shelf, parent + generator.random(len(parent)), side="right")
            units = np.minimum(rung - parent * self.n_units, self.n_units - 1)
        when = np.concatenate(all_times) if all_times else np.zeros(0)
        who = np.concatenate(all_units) if all_units else np.zeros(0, np.int64)
        return Spikes.sorted_from(when[when >= 0], who[when >= 0], self.n_units, length)

    def network(self, dt: float, *, rng: Any = None) -> tuple[Wiring, Any]:
        """Return the wiring and the neurons that make this process, for ``simulate(*law.network(dt), dt=dt, …)``.

        LIF neurons with tau = 1/β that leak to μ, threshold 0, soft reset (which takes away the threshold, nothing) and
        linear escape: in each step of dt a unit fires with probability 1 − exp(−v dt). A spike of j adds
        N_ij (1 − e^(−β dt))/dt to v_i. So given the spikes, at the ends of their steps, v dt is ∫ λ dt over the step
        exactly, and started at rest, as ``simulate`` does, the past is empty as for :meth:`compensated`. What a step
        changes: a unit has no two spikes in it, and none acts before the next one. Stationary rates are therefore

            (1 − N)⁻¹ (μ − δ),  δ = E[v − (1 − e^(−v dt))/dt] ≈ dt E[v²]/2,

        below those of the law by an error of order 1 in dt; choose dt well below 1/rates and 1/β.

        Args:
            dt: seconds per step, at most 1/β.
            rng: for the noise of the neurons where they run as a torch module; ``simulate`` has its own.

        Returns:
            A :class:`~sparsefire.Wiring`, an arc for each N_ij above 0, and a :class:`~sparsefire.spiking.LIF`.

        >>> from sparsefire.spiking import check, simulate
        >>> law = Hawkes([5.0, 5.0], [[0.3, 0.2], [0.4, 0.1]], 50.0)
        >>> run = simulate(*law.network(dt=1e-3), duration=100.0, dt=1e-3)
        >>> run.wiring, check(run.spikes, law).passed
        (Wiring(2 units, 4 arcs), True)
        """
        from sparsefire.spiking.neurons.lif import LIF  # late: torch

        step = number("dt", dt, unit="seconds")
        neurons = LIF(
            self.n_units, tau=1 / self.decay, v_threshold=0.0, v_leak=self.baseline, dt=step, reset="soft",
            escape=Escape(rate=1.0, width=1.0, form="linear"), rng=rng,
        )  # fmt: skip
        to, start = np.nonzero(self.branching)
        weights = self.branching[to, start] * -np.expm1(-self.decay * step) / step
        return Wiring.from_edges(start, to, weights, units=self.n_units), neurons

    def __repr__(self) -> str:
        return f"Hawkes({self.n_units} units, radius {self.radius:.4g}, decay {self.decay:.4g} Hz)"


def branching_of_timescale(timescale: Any, decay: float) -> Any:
    """Return the branching ratio n = 1 − 1/(β τ) of a Hawkes process whose activity decays with time constant τ.

    So the estimate of cascade theory, :func:`sparsefire.cascades.avalanches.branching_ratio`, which holds when few of
    the units are seen, and the likelihood of :func:`fit_hawkes` speak of one number: counts in bins have an
    autocorrelation e^(−β (1 − n) lag), and ``branching_ratio(counts, dt=…).timescale`` is τ.

    Args:
        timescale: τ in seconds, a number or an array.
        decay: β in Hz.

    Raises:
        UserError: a decay or timescale that is not above 0; a timescale below that of the kernel, 1/β.

    >>> branching_of_timescale(1.0, 2.0)
    0.5
    """
    rate = number("a decay", decay, unit="Hz")
    tau = array("a timescale", timescale)
    if not (tau >= 1 / rate).all():
        raise UserError(
            "activity cannot fade faster than its kernel.",
            came=f"{tau.min():g} s",
            expected=f"1/β = {1 / rate:g} s or more",
        )
    found = 1.0 - 1.0 / (rate * tau)
    return found if found.ndim else float(found)
