"""Hawkes processes by maximum likelihood, with standard errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg, optimize, special

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.spiking._numbers import choice, finite, number, whole
from sparsefire.spiking.spikes import Spikes, trains_of
from sparsefire.spiking.trains._hawkes_kernels import log_likelihood
from sparsefire.spiking.trains.hawkes import Hawkes
from sparsefire.statistics._check import confidence_checked

OF = ("branching", "baseline", "decay")
LEAST = 20  # spikes
EDGE = 1e-7  # a branching ratio below this has its estimate at the bound 0


@dataclass(frozen=True, eq=False, repr=False)
class HawkesFit:
    """A fitted Hawkes process. Made by :func:`fit_hawkes`.

    Attributes:
        baseline, branching, decay: the estimates, as in :class:`Hawkes`.
        errors: standard errors by name, of the same shapes, from the observed information; nan for a branching ratio
            whose estimate is 0 (the bootstrap has an interval there) and for a decay that was given.
        log_likelihood: at the estimate.
        n_spikes: how many spikes it rests on.
        replicates: estimates from a parametric bootstrap by name [resamples, …], or None.
        converged: whether the maximum was found.
    """

    baseline: np.ndarray
    branching: np.ndarray
    decay: float
    errors: dict[str, np.ndarray]
    log_likelihood: float
    n_spikes: int
    replicates: dict[str, np.ndarray] | None = None
    converged: bool = True

    @property
    def law(self) -> Hawkes:
        """The process; an error where the estimate has a spectral radius of 1 or more."""
        return Hawkes(self.baseline, self.branching, self.decay)

    @property
    def radius(self) -> float:
        """Spectral radius of the estimated branching matrix."""
        return float(np.abs(linalg.eigvals(self.branching)).max())

    def interval(self, level: float = 0.95, of: str = "branching") -> tuple[np.ndarray, np.ndarray]:
        """Return an interval (low, high) for every entry.

        From the observed information: estimate ± z · error for branching ratios, and the same on the logarithm for
        baseline and decay. With a bootstrap: its quantiles, mirrored at the estimate (basic bootstrap).

        Args:
            level: confidence in (0, 1).
            of: ``"branching"``, ``"baseline"`` or ``"decay"``.
        """
        tail = (1 - confidence_checked(finite("level", level))) / 2
        choice("parameter", of, OF)
        value = np.asarray(getattr(self, of), float)
        if self.replicates is not None:
            low, high = np.quantile(self.replicates[of], [tail, 1 - tail], axis=0)
            return np.maximum(2 * value - high, 0.0), np.maximum(2 * value - low, 0.0)
        half = float(special.ndtri(1 - tail)) * self.errors[of]
        if of == "branching":
            return np.maximum(value - half, 0.0), value + half
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.exp(half / value)
            return value / factor, value * factor

    def __repr__(self) -> str:
        units = len(self.baseline)
        if units > 1:
            return f"HawkesFit({units} units, radius {self.radius:.4g}, {self.n_spikes:,} spikes)"
        low, high = (float(end[0, 0]) for end in self.interval())
        return f"HawkesFit(n = {self.radius:.4g}, {low:.4g} to {high:.4g}, {self.n_spikes:,} spikes)"


def fit_hawkes(spikes: Any, *, decay: float | None = None, resamples: int = 0, rng: Any = None) -> HawkesFit:
    """Fit baseline, branching and decay by maximum likelihood.

    log L = Σ log λ(t_k) − Σ_i ∫ λ_i (Ogata 1978, doi:10.1007/BF02480216), by the recursion of the exponential kernel
    with its gradient, O(spikes · units) a step; L-BFGS-B with branching ratios kept at 0 or more. For a given decay the
    problem is concave; the decay is started from three places, and kept from ten over the recording (slower effects
    look like a trend) to ten over the shortest interval. Spikes before the recording are taken as absent.

    Args:
        spikes: Spikes, or a run of a simulation.
        decay: β in Hz if it is known; None to fit it.
        resamples: of a parametric bootstrap (each a draw and a fit); 0 for none. It needs an estimate of spectral
            radius below 1.
        rng: for the bootstrap.

    Raises:
        UserError: fewer than 20 spikes, a unit without spikes.

    >>> spikes = Hawkes(1.0, 0.5, 2.0).sample(500.0, rng=0)
    >>> fit = fit_hawkes(spikes)
    >>> low, high = fit.interval()
    >>> bool(low[0, 0] < 0.5 < high[0, 0]), fit.n_spikes == len(spikes)
    (True, True)
    """
    given = trains_of(spikes)
    draws = whole("resamples", resamples, 0) and whole("resamples", resamples, 2)
    if len(given) < LEAST or (given.counts == 0).any():
        silent = int((given.counts == 0).sum())
        raise UserError(
            "there are too few spikes to fit.", came=f"{len(given)} spikes, {silent} silent units",
            expected=f"{LEAST} or more, from every unit", attempt="leave silent units out",
        )  # fmt: skip
    fixed = None if decay is None else number("a decay", decay, unit="Hz")
    found = _fit(given, fixed)
    if not draws:
        return found
    law = found.law
    again = [
        _fit(law.sample(given.duration, rng=stream(rng, "hawkes bootstrap", k)), fixed) for k in range(draws)
    ]  # fmt: skip
    replicates = {name: np.array([getattr(fit, name) for fit in again]) for name in OF}
    return HawkesFit(
        found.baseline, found.branching, found.decay, found.errors, found.log_likelihood, found.n_spikes, replicates,
        found.converged,
    )  # fmt: skip


def _fit(spikes: Spikes, decay: float | None) -> HawkesFit:
    m, length = spikes.n_units, float(spikes.duration)
    rates = np.maximum(spikes.firing_rates, 0.5 / length)

    def unpack(p: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        return np.exp(p[:m]), p[m : m + m * m].reshape(m, m), float(np.exp(p[-1])) if decay is None else decay

    def loss(p: np.ndarray) -> tuple[float, np.ndarray]:
        mu, n, beta = unpack(p)
        value, by_mu, by_n, by_decay = log_likelihood(spikes.times, spikes.units, mu, n, beta, length)
        by = [by_mu * mu, by_n.ravel()] + ([np.array([by_decay * beta])] if decay is None else [])
        return -value / scale, -np.concatenate(by) / scale

    scale = float(max(len(spikes), 1))
    total = len(spikes) / length
    starts = [None] if decay is not None else [0.3 * total / m, 3 * total / m, 30 * total / m]
    bounds = (
        [(-40.0, 40.0)] * m
        + [(0.0, None)] * (m * m)
        + ([(np.log(10 / length), _fastest(spikes))] if decay is None else [])
    )
    options = {"maxiter": 2000, "maxfun": 5000, "ftol": 1e-14, "gtol": 1e-9}
    best: Any = None
    for beta in starts:
        begin = [np.log(rates / 2), np.full(m * m, 0.5 / m)]
        if beta is not None:
            begin.append(np.clip(np.log([beta]), *bounds[-1]))
        tried = optimize.minimize(
            loss, np.concatenate(begin), jac=True, method="L-BFGS-B", bounds=bounds, options=options
        )
        if best is None or tried.fun < best.fun:
            best = tried
    mu, n, beta = unpack(best.x)
    error = _errors(loss, best.x, bounds, scale)
    errors = {
        "baseline": error[:m] * mu, "branching": error[m : m + m * m].reshape(m, m),
        "decay": np.asarray(error[-1] * beta if decay is None else np.nan),
    }  # fmt: skip
    steepest = np.abs(np.where((best.x <= 0) & (best.jac > 0), 0.0, best.jac)[: m + m * m]).max()
    return HawkesFit(mu, n, beta, errors, float(-best.fun * scale), len(spikes), None, bool(steepest < 1e-4))


def _fastest(spikes: Spikes) -> float:
    """Return the logarithm of ten over the shortest interval above 0: faster decays look the same."""
    gaps = np.diff(spikes.times)
    return float(np.log(10 / gaps[gaps > 0].min(initial=spikes.duration / 20)))


def _errors(loss: Any, at: np.ndarray, bounds: list[Any], scale: float) -> np.ndarray:
    """Return standard errors from the observed information of the parameters that are not at a bound."""
    free = [k for k, (low, _) in enumerate(bounds) if not (low == 0.0 and at[k] < EDGE)]
    hessian = np.empty((len(free), len(free)))
    for row, k in enumerate(free):
        step = 1e-4 * max(abs(at[k]), 0.05)
        up, down = at.copy(), at.copy()
        up[k], down[k] = at[k] + step, at[k] - step
        hessian[row] = (loss(up)[1][free] - loss(down)[1][free]) * scale / (2 * step)
    found = np.full(len(at), np.nan)
    try:
        variance = np.diag(linalg.inv((hessian + hessian.T) / 2))
        found[free] = np.sqrt(np.where(variance > 0, variance, np.nan))
    except linalg.LinAlgError:
        pass
    return found
