"""The law of log |x_L|² / |x_0|² in ReLU networks of finite width, sparse or dense: drift, spread, quantiles.

Zero bias; every unit of layer l draws k distinct inputs, k from a law of fan-ins, and independent symmetric weights of
variance s_k. Each network is passed once by one signal, so that the chain x_0, x_1, … over fresh layers has exactly the
law of one input over random networks. Given x, the R = |x'|² / |x|² of a layer with n' units after n has

    E R = n' m / (2 n),                        m = E k s_k
    Var R / (E R)² = (2 K - 1) / n',           K = E h⁴ / (E h²)² given x
    K = (1 - P) 3 E[k(k-1) s_k²] / m² · n / (n - 1) + P μ4 E[k s_k²] / m² · n,        P = Σ x⁴ / |x|⁴

With a mask of density d and normal weights that is Var R = 5/n + 6 (1-d)/(d n) P. The participation P of the next layer
is about 2K / (n' + 2K - 1), a ratio of means. Derived here; that log |x_L|² is a sum over layers with a drift E log R
below log E R, and a normal limit, is Hanin & Nica 2018, arXiv:1812.05994 for dense networks; initialisation by that
drift (the Lyapunov exponent) is arXiv:2602.10949.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import special

from sparsefire.errors import UserError
from sparsefire.propagation.laws import _ranks
from sparsefire.propagation.laws.moments import fourth_moment, per_layer
from sparsefire.propagation.laws.sparse import active_law, check_distinct, kurtosis_step, scale_moments
from sparsefire.propagation.laws.widths import several, widths_of
from sparsefire.randomness import integer

METHODS = ("auto", "normal", "population")
DRAWN = {"normal": 0, "uniform": 1, "sign": 2}
MOST_KEPT = 0.5  # of the kurtosis by a layer, for the normal law
MOST_ERROR = 0.0225  # of its distribution function
WIDE = 1024  # from here on the chance that nothing is left is no number worth computing in the normal regime


@dataclass(frozen=True, eq=False)
class LogNorm:
    """The law of log |x_l|² / |x_0|², layer by layer.

    Attributes:
        means, deviations: of the logarithm, among the signals that are not 0, float64 [depth].
        dead: chance that all units are silent, float64 [depth].
        participation: mean of Σ x⁴ / |x|⁴, the inverse number of units that carry the signal, float64 [depth].
        method: ``"normal"`` or ``"population"``.
        runs: networks that were sampled; 0 for the normal law.
        error: how far the distribution function may be off: for the normal law as measured, NaN outside the range of
            that; for samples 0, their noise is told by intervals.
        samples: float64 [depth, runs], in rising order, -inf where all units are silent; or [depth, 0].
    """

    means: np.ndarray
    deviations: np.ndarray
    dead: np.ndarray
    participation: np.ndarray
    method: str
    runs: int
    error: float
    samples: np.ndarray = field(repr=False)

    def drift(self) -> float:
        """Return λ = E log R per layer, averaged over the layers, among the signals that are not 0 in the end."""
        return float(self.means[-1] / len(self.means))

    def drift_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return an interval for the drift: ± standard errors of a mean for samples, the drift twice for the law."""
        if not 0 < level < 1:
            raise UserError("an interval needs a confidence.", came=f"level={level!r}", expected="a number in (0, 1)")
        alive = self.runs * (1 - self.dead[-1])
        half = special.ndtri((1 + level) / 2) * self.deviations[-1] / np.sqrt(alive) if alive >= 1 else np.nan
        half = half / len(self.means) if self.runs else 0.0
        return float(self.drift() - half), float(self.drift() + half)

    def spread(self) -> float:
        """Return the standard deviation per layer: that of the last layer over √depth."""
        return float(self.deviations[-1] / np.sqrt(len(self.means)))

    def quantile(self, q: Any) -> np.ndarray:
        """Return quantiles by layer, float64 [*q.shape, depth]; -inf within the chance that all units are silent."""
        q = _ranks.chances(q)
        if self.runs:
            return np.asarray(_ranks.quantile(self.samples, q))
        with np.errstate(invalid="ignore"):
            alive = (q[..., None] - self.dead) / (1 - self.dead)
            return np.where(alive > 0, self.means + self.deviations * special.ndtri(np.maximum(alive, 0)), -np.inf)

    def interval(self, q: float, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """Return the ends of an interval for a quantile, float64 [depth] each.

        Order statistics of the samples, which assume nothing; for the normal law its quantiles at q ± ``error``.
        """
        if self.runs:
            return _ranks.interval(self.samples, q, level)
        low, high = self.quantile(np.clip([q - self.error, q + self.error], 0, 1))
        return low, high

    def cdf(self, value: Any) -> np.ndarray:
        """Return P(log |x_l|² / |x_0|² ≤ value) by layer, float64 [*value.shape, depth]."""
        value = np.asarray(value, dtype=np.float64)
        if self.runs:
            rows = [np.searchsorted(row, value, side="right") / self.runs for row in self.samples]
            return np.stack(rows, axis=-1)
        return self.dead + (1 - self.dead) * special.ndtr((value[..., None] - self.means) / self.deviations)


def log_norm(
    fan_in: Any,
    depth: int | None = None,
    width: Any = None,
    weights: Any = "normal",
    *,
    scaled: str = "mean",
    weight_variance: float = 2.0,
    x: Any = None,
    method: str = "auto",
    runs: int = 2_000,
    rng: Any = None,
) -> LogNorm:
    """Return the law of log |x_l|² / |x_0|² by layer, over random networks.

    Args:
        fan_in: a number, a law or a Wiring for all layers, or a list with one per layer: see
            :func:`~sparsefire.propagation.laws.moments.per_layer`. ``width`` itself for a dense network, the law
            hypergeometric(n_in n_out, weights, n_in) for a mask with a given number of weights.
        depth: number of layers; may be left out where a list tells it.
        width: units of every layer and of the input, or all widths, the input's first.
        weights: ``"normal"``, ``"uniform"``, ``"sign"``; μ4 for the normal law only.
        scaled: ``"mean"``: weights have variance v / E k; ``"actual"``: v / k, k the fan-in of the unit they lead to.
        weight_variance: v. He's is 2.
        x: the input [n_0]; None for a normal one.
        method: ``"normal"``: log |x_l|² is normal, with the means and variances of the chain at the head of this
            module, the sum of -log(1 + c) / 2 and of log(1 + c), c = Var R / (E R)². ``"population"``: sampled signals
            through layers that are drawn as they go, exact. ``"auto"``: normal where a layer hands on at most half of
            the kurtosis (E k ≥ 4 μ4, twice the fan-in from which it is finite) and the error is 0.0225 at most (width
            256 or so for 50 layers), else population.
        runs: of the population, 2 or more. The same rng gives the same runs.
        rng: see :mod:`sparsefire.randomness`.

    Raises:
        UserError: no width, more distinct inputs than units, an input that is 0, a law of weights that cannot be drawn.

    The ``error`` of the normal law is 0.01 + 0.25 Σ c² / √(Σ c): that is an upper edge of what was measured against
    20,000 sampled signals at 15 settings of widths 32 to 512, depths 5 to 50.

    >>> law = log_norm(fan_in=16, depth=50, width=512)
    >>> law.method, round(law.drift(), 4), law.quantile([0.05, 0.5, 0.95])[:, -1].round(2).tolist()
    ('normal', -0.0075, [-1.8, -0.37, 1.05])
    >>> law = log_norm(fan_in=3, depth=20, width=64, runs=500, rng=0)
    >>> law.method, law.drift() < -0.05, bool(law.dead[-1] < 0.05)
    ('population', True, True)
    """
    if width is None:
        raise UserError("the spread comes from finite width.", came="width=None", expected="a number of units")
    if method not in METHODS:
        raise UserError("there is no such method.", came=repr(method), expected=", ".join(map(repr, METHODS)))
    if isinstance(runs, bool) or not isinstance(runs, int | np.integer) or runs < 2:
        raise UserError("runs are counted.", came=repr(runs), expected="2 or more")
    if not 0 < weight_variance < np.inf:
        raise UserError("weight_variance is a variance.", came=repr(weight_variance), expected="above 0")
    mu4 = fourth_moment(weights)
    laws = per_layer(fan_in, several(width, depth))
    widths = widths_of(width, len(laws))
    check_distinct(laws, widths)
    given = np.empty(0) if x is None else _input(x, widths[0])
    kept = max(kurtosis_step(law, mu4, scaled)[1] if law[1:].any() else np.inf for law in laws)
    drifts = np.arange(1, len(laws) + 1) * np.log(weight_variance / 2)
    if method == "auto" and kept > MOST_KEPT:
        method = "population"
    if method != "population":
        found = _normal(laws, widths, mu4, scaled, given, drifts, kept <= MOST_KEPT)
        if method == "normal" or found.error <= MOST_ERROR:
            return found
    return _population(laws, widths, weights, scaled, given, drifts, int(runs), rng)


def _input(x: Any, units: int) -> np.ndarray:
    x = np.asarray(x, dtype=np.float64)
    if x.shape != (units,) or not np.isfinite(x).all() or not x.any():
        raise UserError(
            "x is one input.", came=f"shape {x.shape}", expected=f"{units} finite numbers that are not all 0"
        )
    return x / np.abs(x).max()


def _normal(
    laws: list[np.ndarray],
    widths: list[int],
    mu4: float,
    scaled: str,
    given: np.ndarray,
    drifts: np.ndarray,
    measured: bool,
) -> LogNorm:
    if not all(law[1:].any() for law in laws):
        raise UserError("nothing arrives over no connection.", came="a fan-in of 0 for all", expected="some above 0")
    share = 3 / (widths[0] + 2) if not len(given) else (given**4).sum() / (given**2).sum() ** 2
    means, spreads, shares = np.empty(len(laws)), np.empty(len(laws)), np.empty(len(laws))
    for at, law in enumerate(laws):
        n, units = widths[at], widths[at + 1]
        mean, pairs, singles = scale_moments(law, scaled)
        k = (1 - share) * 3 * pairs / mean**2 * n / max(n - 1, 1) + share * mu4 * singles / mean**2 * n
        spreads[at] = (2 * k - 1) / units
        means[at] = np.log(units * mean / (2 * n)) - np.log1p(spreads[at]) / 2
        share = shares[at] = 2 * k / (units + 2 * k - 1)
    dead = np.zeros(len(laws))
    if max(widths) < WIDE:
        first = widths[0] if not len(given) else int(np.count_nonzero(given))
        dead = np.array([law[0] for law in active_law(laws, width=widths, distinct=True, inputs=first)])
    error = 0.01 + 0.25 * float((spreads**2).sum() / np.sqrt(spreads.sum())) if measured else np.nan
    deviations = np.sqrt(np.cumsum(np.log1p(spreads)))
    return LogNorm(np.cumsum(means) + drifts, deviations, dead, shares, "normal", 0, error, np.empty((len(laws), 0)))


def _population(
    laws: list[np.ndarray],
    widths: list[int],
    weights: Any,
    scaled: str,
    given: np.ndarray,
    drifts: np.ndarray,
    runs: int,
    rng: Any,
) -> LogNorm:
    if not isinstance(weights, str):
        raise UserError(
            "weights that are drawn need a law.",
            came=repr(weights),
            expected=", ".join(map(repr, DRAWN)),
            attempt="method='normal'",
        )
    from sparsefire.propagation.laws import _kernels

    cumulative = [np.cumsum(law) for law in laws]
    for row in cumulative:
        row[row > 1 - 1e-12] = 1.0
    k = [np.arange(len(law), dtype=np.float64) for law in laws]
    if scaled == "mean":
        scales = [np.full(len(law), 2 / max(float(law @ c), 1e-300)) for law, c in zip(laws, k, strict=True)]
    else:
        scales = [2 / np.maximum(c, 1) for c in k]
    logs, participation = np.empty((runs, len(laws))), np.empty((runs, len(laws)))
    live = np.empty((runs, len(laws)), np.int64)
    _kernels.chains(
        DRAWN[weights],
        given,
        np.array(widths, np.int64),
        np.concatenate(cumulative),
        np.concatenate(scales),
        np.concatenate([[0], np.cumsum([len(law) for law in laws])]).astype(np.int64),
        0,
        np.uint64(integer(rng, "log norm")),
        logs,
        live,
        participation,
    )
    logs += drifts
    alive = np.where(live > 0, logs, np.nan)
    counts = (live > 0).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.nansum(alive, 0) / counts
        deviations = np.sqrt(np.nansum((alive - means) ** 2, 0) / (counts - 1))
        shares = np.nansum(participation, 0) / counts
    return LogNorm(means, deviations, 1 - counts / runs, shares, "population", runs, 0.0, np.sort(logs, axis=0).T)
