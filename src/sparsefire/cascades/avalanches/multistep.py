"""How many events one event causes, from activity of which only part was seen.

Never by regression on the next step alone: it is too low as soon as part of the units is unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from sparsefire import randomness
from sparsefire.errors import UserError
from sparsefire.statistics.intervals import confidence_checked

MOST_LAGS = 200
SPAN = 3.0  # time constants over which slopes are fitted by default: more adds noise, fewer says less of the decay
LEAST = 20  # bins
STRETCHES = 50
LONGER = 5  # times the largest lag, if there are enough stretches
FEWEST_STRETCHES = 8
NO_CORRELATION = "no correlation beyond chance: the ratio means nothing"


@dataclass(frozen=True, eq=False, repr=False)
class BranchingRatio:
    """How many events one event causes in the next bin, m. Made by :func:`branching_ratio`.

    Attributes:
        ratio: m, 0 if no slope is above 0.
        amplitude: b; b = 1 if all units are seen and nothing is added, below 1 otherwise.
        naive: the slope on the next bin alone, r_1 (or that of the first lag); too low if units are unseen.
        lags, slopes: k and the r_k that were fitted, [lags].
        level: of :meth:`interval` where none is named.
        replicates: m by bootstrap, float64 [resamples].
        stretches: how many pieces of the record were drawn from.
        dt: width of a bin in seconds, or None.
        warnings: what stands against it.
    """

    ratio: float
    amplitude: float
    naive: float
    lags: np.ndarray
    slopes: np.ndarray
    level: float
    replicates: np.ndarray
    stretches: int
    dt: float | None
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        low, high = self.interval()
        return (
            f"BranchingRatio({self.ratio:.4g}, {low:.4g} to {high:.4g}, {self.lags[-1]} lags, naive {self.naive:.4g})"
        )

    @property
    def correlated(self) -> bool:
        """Whether activity is correlated beyond chance; if not, the ratio means nothing."""
        return NO_CORRELATION not in self.warnings

    @property
    def timescale(self) -> float:
        """Return -1 / log m in bins, or in seconds if ``dt`` is known; infinite for m of 1 or more."""
        steps = 0.0 if self.ratio == 0 else -1 / np.log(self.ratio) if self.ratio < 1 else np.inf
        return float(steps * (1.0 if self.dt is None else self.dt))

    def interval(self, level: float | None = None) -> tuple[float, float]:
        """Return quantiles of the bootstrap.

        Args:
            level: confidence in (0, 1); None for the one that was asked for at first.
        """
        n, tail = self.stretches, (1 - (self.level if level is None else confidence_checked(level))) / 2
        tail = float(special.ndtr(special.stdtrit(n - 1, tail) * np.sqrt(n / (n - 1))))
        low, high = np.quantile(self.replicates, [tail, 1 - tail])
        return float(low), float(high)


def branching_ratio(
    activity: Any,
    *,
    lags: Any = None,
    level: float = 0.95,
    dt: float | None = None,
    intercept: str = "trial",
    resamples: int = 1000,
    rng: Any = None,
) -> BranchingRatio:
    """Estimate the branching ratio by multistep regression, which holds even if few of the units are seen.

    Wilting & Priesemann 2018 (doi:10.1038/s41467-018-04725-4, arXiv:1608.07035): where E[a_(t+1) | a_t] = m a_t + h,
    the slopes r_k of a_(t+k) on a_t are b m^k, of which b alone depends on how much is seen. Non-linear least squares
    for b and m, after the slopes are mended for the error of the record's own mean (to first order). With Poisson
    offspring and a fraction α of events seen, b = α / (α + (1-α)(1-m²)), so r_1 is far below m.

    The interval comes from a bootstrap of the pairs (a_t, a_(t+k)): the record is cut into stretches by t, 50 or as
    many as can be five times longer than the largest lag (but 8 at least; with many trials they are the stretches);
    stretches are drawn with replacement and the fit is made anew; quantiles are widened for their number (Hesterberg
    2015, doi:10.1080/00031305.2015.1089789). In simulations 91 to 94% of intervals at 95% held m.

    Args:
        activity: events per bin, 0 or more [bins], or [trials, bins]. A common factor changes nothing.
        lags: k, whole numbers from 1; None for up to 200 of them over three time constants of a first fit.
        level: confidence of ``.interval()``.
        dt: width of a bin in seconds, for ``.timescale``.
        intercept: ``"trial"``: a mean for every trial (rates may differ between trials); ``"shared"``: one for all
            (less bias if trials are short).
        resamples: of the bootstrap.
        rng: see :func:`sparsefire.randomness.entropy`.

    Raises:
        UserError: activity that is negative, not finite, constant or shorter than 20 bins; lags that are not whole or
            too large.

    >>> noise = np.random.default_rng(0)
    >>> series = [0]
    >>> for _ in range(20_000):
    ...     series.append(noise.poisson(0.9 * series[-1] + 5))
    >>> found = branching_ratio(noise.binomial(series, 0.2), rng=0)
    >>> found.interval()[0] < 0.9 < found.interval()[1], found.naive < 0.6
    (True, True)
    """
    values = _activity(activity)
    confidence_checked(level)
    if intercept not in ("trial", "shared"):
        raise UserError("there is no such intercept.", came=repr(intercept), expected="trial or shared")
    if isinstance(resamples, bool) or resamples != int(resamples) or resamples < 2:
        raise UserError("a bootstrap needs resamples.", came=repr(resamples), expected="a whole number, 2 or more")
    chosen = _default_lags(values, intercept) if lags is None else _checked_lags(lags, values.shape[1])
    pieces = _pieces(values.shape, int(chosen[-1]))
    xx, xy = _sums(values, chosen, intercept, pieces)
    raw = xy.sum(axis=0) / xx.sum(axis=0)
    lost = _lost(raw, chosen, values.shape[1] if intercept == "trial" else values.size)
    slopes = raw + lost * (1 - raw)
    draws = randomness.stream(rng, "branching ratio").multinomial(
        len(xx), np.full(len(xx), 1 / len(xx)), int(resamples)
    )
    drawn = (draws @ xy) / (draws @ xx)
    drawn += lost * (1 - drawn)
    m, b, _, left = (float(part[0]) for part in _decay(slopes[None], chosen))
    return BranchingRatio(
        m,
        b,
        float(raw[0]),
        chosen,
        slopes,
        float(level),
        _decay(drawn, chosen)[0],
        len(xx),
        None if dt is None else float(dt),
        _doubts(values.shape[1], chosen, slopes, drawn, m, left),
    )


def _lost(raw: np.ndarray, lags: np.ndarray, bins: int) -> float:
    """Return v = var(mean of the record) / var(a): covariances about the record's own mean are too small by it.

    v = (1 + 2 b m / (1 - m)) / bins, with b and m from slopes mended by v; r_k = raw + v (1 - raw).
    """
    lost = 0.0
    for _ in range(4):
        m, b = (float(part[0]) for part in _decay((raw + lost * (1 - raw))[None], lags)[:2])
        if m >= 1:
            return 0.0
        lost = min((1 + 2 * b * m / (1 - m)) / bins, 0.2)
    return lost


def _activity(activity: Any) -> np.ndarray:
    """Return float64 [trials, bins]."""
    given = np.asarray(activity)
    if given.ndim not in (1, 2) or given.dtype.kind not in "biuf":
        raise UserError(
            "activity is a series.", came=f"{given.dtype} of shape {given.shape}", expected="[bins] or [trials, bins]"
        )
    values = np.atleast_2d(given).astype(np.float64)
    if values.shape[1] < LEAST or not len(values):
        raise UserError("the record is too short.", came=f"{values.shape[1]} bins", expected=f"{LEAST} or more")
    wrong = np.argwhere(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        at = tuple(int(i) for i in wrong[0])
        raise UserError(
            "activity is a count of events.",
            came=f"{values[at]} in entry {at[1] if given.ndim == 1 else at}",
            expected="finite, 0 or more",
        )
    if np.ptp(values, axis=1).max() == 0:
        raise UserError("activity that never changes has no slopes.", came=f"{values[0, 0]:g} throughout")
    return values


def _checked_lags(lags: Any, bins: int) -> np.ndarray:
    given = np.atleast_1d(np.asarray(lags))
    if given.ndim != 1 or given.dtype.kind not in "iu" or len(np.unique(given)) < 3:
        raise UserError(
            "lags are whole numbers of bins.", came=repr(lags), expected="3 or more of them", attempt="range(1, 100)"
        )
    found = np.unique(given).astype(np.int64)
    if found[0] < 1 or found[-1] > bins // 2:
        wrong = found[0] if found[0] < 1 else found[-1]
        raise UserError("a lag does not fit into the record.", came=str(wrong), expected=f"1 to {bins // 2}")
    return found


def _default_lags(values: np.ndarray, intercept: str) -> np.ndarray:
    most = max(values.shape[1] // 10, min(values.shape[1] // 2, LEAST))
    first = np.unique(np.rint(np.geomspace(1, most, MOST_LAGS)).astype(np.int64))
    xx, xy = _sums(values, first, intercept, 1)
    m = float(_decay((xy.sum(axis=0) / xx.sum(axis=0))[None], first)[0][0])
    span = most if m >= 1 or m == 0 else int(np.clip(np.ceil(-SPAN / np.log(m)), min(10, most), most))
    return np.unique(np.rint(np.linspace(1, span, min(span, MOST_LAGS))).astype(np.int64))


def _pieces(shape: tuple[int, ...], longest: int) -> int:
    """Return into how many stretches each trial is cut."""
    trials, bins = shape
    wanted = min(STRETCHES, max(FEWEST_STRETCHES, trials * bins // (LONGER * longest)))
    return max(1, min(-(-wanted // trials), (bins - longest) // 2))


def _sums(values: np.ndarray, lags: np.ndarray, intercept: str, pieces: int) -> tuple[np.ndarray, np.ndarray]:
    """Return Σ x² and Σ x y over the pairs x = a_t, y = a_(t+k), less their means, [stretches, lags]."""
    trials, bins = values.shape
    axis = 1 if intercept == "trial" else None
    left = values - values.mean(axis=axis, keepdims=True)
    total, square = (np.pad(part.cumsum(axis=1), ((0, 0), (1, 0))) for part in (left, left**2))
    edges = np.linspace(0, bins - lags[-1], pieces + 1).astype(np.int64)[:-1]
    xx, xy = np.empty((len(lags), trials, pieces)), np.empty((len(lags), trials, pieces))
    for i, k in enumerate(lags):
        ends = np.append(edges[1:], bins - k)
        n, x, y = ends - edges, total[:, ends] - total[:, edges], total[:, ends + k] - total[:, edges + k]
        pairs = n.sum() * (1 if intercept == "trial" else trials)
        x0, y0 = x.sum(axis=axis, keepdims=True) / pairs, y.sum(axis=axis, keepdims=True) / pairs
        xx[i] = square[:, ends] - square[:, edges] - 2 * x0 * x + n * x0**2
        xy[i] = np.add.reduceat(left[:, :-k] * left[:, k:], edges, axis=1) - x0 * y - y0 * x + n * x0 * y0
    return xx.reshape(len(lags), -1).T, xy.reshape(len(lags), -1).T


def _decay(slopes: np.ndarray, lags: np.ndarray, offset: bool = False) -> tuple[np.ndarray, ...]:
    """Fit b m^k (+ c) by least squares to each row of slopes [rows, lags]: m, b, c and the sum of squares, [rows] each.

    Given m the rest is linear, so only log m is searched: on a grid, then by golden section.
    """
    last = float(lags[-1])
    slow = np.geomspace(0.02 / last, 8.0, 100)
    grid = np.concatenate([-slow[::-1], [0.0], np.geomspace(0.02 / last, min(0.7, 40 / last), 20)])
    k = lags.astype(np.float64)
    centre = slopes.mean(axis=1, keepdims=True) if offset else 0.0
    left = slopes - centre
    total = (left**2).sum(axis=1)

    def shapes(rate: np.ndarray) -> np.ndarray:  # m^k, or m^(k - last) where it would overflow
        found = np.exp(rate[..., None] * (k - np.where(rate > 0, last, k[0])[..., None]))
        return found - found.mean(axis=-1, keepdims=True) if offset else found

    def gain(shape: np.ndarray, product: np.ndarray) -> np.ndarray:
        return np.maximum(product, 0.0) ** 2 / np.maximum((shape**2).sum(axis=-1), 1e-300)

    coarse = shapes(grid)
    best = np.argmax(gain(coarse, left @ coarse.T), axis=1)
    low, high = grid[np.maximum(best - 1, 0)], grid[np.minimum(best + 1, len(grid) - 1)]
    part = (np.sqrt(5) - 1) / 2
    for _ in range(45):
        one, two = high - part * (high - low), low + part * (high - low)
        first, second = (gain(s, (left * s).sum(axis=1)) for s in (shapes(one), shapes(two)))
        low, high = np.where(first < second, one, low), np.where(first < second, high, two)
    rate = (low + high) / 2
    shape = shapes(rate)
    product = (left * shape).sum(axis=1)
    found = gain(shape, product)
    scale = np.maximum(product, 0.0) / np.maximum((shape**2).sum(axis=1), 1e-300)
    m = np.where(found > 0, np.exp(rate), 0.0)
    b = scale * np.exp(-rate * np.where(rate > 0, last, k[0]))
    c = (
        (slopes - b[:, None] * np.exp(np.minimum(rate[:, None] * k, 700.0))).mean(axis=1)
        if offset
        else np.zeros(len(m))
    )
    return m, b, c, np.maximum(total - found, 0.0)


def _doubts(
    bins: int, lags: np.ndarray, slopes: np.ndarray, drawn: np.ndarray, m: float, left: float
) -> tuple[str, ...]:
    """Return what stands against r_k = b m^k, in the spirit of the tests in the Supplement of Wilting & Priesemann."""
    said = []
    if np.quantile(drawn.mean(axis=1), 0.05) <= 0:
        said.append(NO_CORRELATION)
    if m >= 1:
        said.append("slopes do not fall with the lag: activity grows, or its rate drifts")
    elif m > 0 and bins < -20 / np.log(m):
        said.append("the record is shorter than twenty time constants: the ratio is too low")
    beside, _, _, rest = (float(part[0]) for part in _decay(slopes[None], lags, offset=True))
    if 2 * rest < left:  # errors of slopes are alike at all lags, so this alone is often chance
        low, high = np.quantile(_decay(drawn, lags, offset=True)[2], [0.005, 0.995])
        if low > 0 or high < 0:
            said.append(f"slopes do not fall to 0 (with an offset the ratio is {beside:.4g}): the rate may drift")
    line = np.polynomial.Polynomial.fit(lags, slopes, 1)(lags)
    if ((slopes - line) ** 2).sum() < left:
        said.append("slopes fall along a line rather than an exponential: the rate may drift")
    return tuple(said)
