"""Renewal laws by maximum likelihood from the intervals of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize, special, stats

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import finite
from sparsefire.spiking.spikes import trains_of
from sparsefire.spiking.trains.renewal import GammaRenewal, PoissonDeadTime
from sparsefire.statistics._check import confidence_checked

LEAST = 3


@dataclass(frozen=True)
class RenewalFit:
    """A fitted renewal law. Made by :func:`fit_gamma` and :func:`fit_dead_time`.

    Attributes:
        law: with the estimates.
        n: intervals it rests on.
        log_likelihood: of the intervals.
    """

    law: GammaRenewal | PoissonDeadTime
    n: int
    log_likelihood: float

    def interval(self, level: float = 0.95) -> dict[str, tuple[float, float]]:
        """Return an interval for every parameter by its name.

        Gamma: from the information, on the logarithm. Dead time: exact, 2 n λ (mean − least) is χ² of 2 n − 2
        degrees, and (least − t_r) (n − 1)/(mean − least) is F of 2 and 2 n − 2.
        """
        tail, n = (1 - confidence_checked(finite("level", level))) / 2, self.n
        if isinstance(self.law, PoissonDeadTime):
            spread = 1 / self.law.intensity
            low, high = stats.chi2.ppf([tail, 1 - tail], 2 * n - 2) / (2 * n * spread)
            reach = float(stats.f.ppf(1 - 2 * tail, 2, 2 * n - 2)) * spread / (n - 1)
            least = self.law.dead_time
            return {"intensity": (float(low), float(high)), "dead_time": (max(least - reach, 0.0), least)}
        z, g = float(special.ndtri(1 - tail)), self.law.shape
        shape = np.exp(z / np.sqrt(n * (g * g * special.polygamma(1, g) - g)))
        rate = np.exp(z / np.sqrt(n * g))
        return {
            "shape": (float(g / shape), float(g * shape)),
            "firing_rate": (float(self.law.firing_rate / rate), float(self.law.firing_rate * rate)),
        }


def fit_gamma(spikes: Any) -> RenewalFit:
    """Fit a :class:`GammaRenewal` law to the intervals of all trains together.

    Raises:
        UserError: fewer than 3 intervals, or intervals of 0 or all equal.

    >>> fit = fit_gamma(GammaRenewal(4.0, 20.0).sample(100.0, rng=0))
    >>> low, high = fit.interval()["shape"]
    >>> low < 4 < high
    True
    """
    x = _intervals(spikes)
    if x.min() <= 0 or np.ptp(x) == 0:
        raise UserError(
            "a gamma law needs intervals that differ.", came=f"{x.min():g} to {x.max():g} s", expected="above 0"
        )
    mean = float(x.mean())
    gap = float(np.log(mean) - np.log(x).mean())
    start = (3 - gap + np.sqrt((gap - 3) ** 2 + 24 * gap)) / (12 * gap)
    shape = float(optimize.brentq(lambda g: np.log(g) - special.digamma(g) - gap, start / 10, start * 10, xtol=1e-12))
    law = GammaRenewal(shape, 1 / mean)
    return RenewalFit(law, len(x), float(stats.gamma.logpdf(x, shape, scale=mean / shape).sum()))


def fit_dead_time(spikes: Any) -> RenewalFit:
    """Fit a :class:`PoissonDeadTime` law: the dead time is the least interval, 1/λ what the mean is above it.

    >>> round(fit_dead_time(PoissonDeadTime(50.0, 5e-3).sample(100.0, rng=0)).law.dead_time, 4)
    0.005
    """
    x = _intervals(spikes)
    least, spread = float(x.min()), float(x.mean() - x.min())
    if spread <= 0:
        raise UserError("the intervals do not differ.", came=f"{least:g} s each", expected="some spread")
    return RenewalFit(PoissonDeadTime(1 / spread, least), len(x), float(-len(x) * (np.log(spread) + 1)))


def _intervals(spikes: Any) -> np.ndarray:
    found = np.concatenate([np.zeros(0), *(np.diff(train) for train in trains_of(spikes).trains())])
    if len(found) < LEAST:
        raise UserError("there are too few intervals.", came=str(len(found)), expected=f"{LEAST} or more")
    return found
