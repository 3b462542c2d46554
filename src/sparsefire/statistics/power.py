"""What a test can show before it is run: exact power of Tango's test, rows needed, the smallest margin in reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc, gammaln, nctdtr, ndtr, ndtri, stdtrit, xlog1py, xlogy

from sparsefire.errors import UserError
from sparsefire.statistics._check import level_checked, margin_checked
from sparsefire.statistics.trinomial import tango_z


def tango_power(rows: int, discordance: float, margin: float, level: float = 0.05, *, difference: float = 0.0) -> float:
    """Return the exact chance that Tango's test excludes a loss of ``margin``, by enumerating the trinomial.

    Args:
        rows: number of test rows n.
        discordance: chance ψ that exactly one of the two is right on a row, in [0, 1].
        margin: loss to be excluded, a fraction above 0.
        level: one-sided error level.
        difference: true P(only chosen right) − P(only dense right), |difference| ≤ ψ; 0 (equal networks) gives the
            power, −margin the exact level of the test.

    For each number of discordant rows k the test passes from some number of wins c on, found by bisection; the result
    is Σ_k P(k)·P(c ≥ c_k | k) over all k within 8 standard deviations. Milliseconds for any n.

    >>> round(tango_power(1237, 0.02, 0.01), 3)
    0.775
    """
    margin, level = margin_checked(margin), level_checked(level)
    if rows < 1 or not 0.0 <= discordance <= 1.0 or abs(difference) > discordance + 1e-15 or margin >= 1:
        raise UserError(
            "no such trinomial.",
            came=f"rows {rows}, discordance {discordance}, difference {difference}, margin {margin}",
            expected="rows ≥ 1, |difference| ≤ discordance ≤ 1, margin < 1",
        )
    reach = 8 * math.sqrt(rows * discordance * (1 - discordance)) + 40
    k = np.arange(max(0, math.floor(rows * discordance - reach)), min(rows, math.ceil(rows * discordance + reach)) + 1)
    critical = ndtri(1 - level)
    low, high = np.full(len(k), -1), k + 1  # the test fails at low and passes at high (k + 1 stands for never)
    while True:
        open_ = high - low > 1
        if not open_.any():
            break
        middle = (low + high) // 2
        passes = tango_z(k - middle, middle, rows, -margin) > critical
        high, low = np.where(open_ & passes, middle, high), np.where(open_ & ~passes, middle, low)
    wins = 0.5 * (1 + difference / discordance) if discordance > 0 else 0.5
    chance = bdtrc(high - 1, k, min(max(wins, 0.0), 1.0))
    logarithm = gammaln(rows + 1) - gammaln(k + 1) - gammaln(rows - k + 1)
    weight = np.exp(logarithm + xlogy(k, discordance) + xlog1py(rows - k, -discordance))
    return float(min((weight * chance).sum(), 1.0))


def rows_needed(discordance: float, margin: float, level: float = 0.05, power: float = 0.8) -> int:
    """Return how many test rows confirm two equal networks with the given power (normal approximation).

    Args:
        discordance: chance ψ in (0, 1] that exactly one of the two is right on a row.
        margin: loss to be excluded, a fraction above 0.
        level: one-sided error level.
        power: chance to pass if the two are equal, in (0.5, 1).

    (z₁₋α + z_power)²ψ/δ² if δ ≤ ψ/2, else (z₁₋α√(max(ψ, δ) − δ²) + z_power√ψ)²/δ². Check with :func:`tango_power`.

    >>> rows_needed(0.02, 0.01), rows_needed(0.05, 0.02)
    (1237, 773)
    """
    margin, level = margin_checked(margin), level_checked(level)
    if not 0.0 < discordance <= 1.0 or margin >= 1:
        raise UserError(
            f"discordance is {discordance!r}.", came=f"{discordance}, margin {margin}", expected="fractions in (0, 1)"
        )
    z_level, z_power = _quantiles(level, power)
    if margin <= discordance / 2:
        return math.ceil((z_level + z_power) ** 2 * discordance / margin**2)
    root = z_level * math.sqrt(max(discordance, margin) - margin**2) + z_power * math.sqrt(discordance)
    return math.ceil((root / margin) ** 2)


def rows_needed_from_error(rows: int, error: float, margin: float, level: float = 0.05, power: float = 0.8) -> int:
    """Return how many rows confirm two equal networks, from the standard error that so many rows gave.

    >>> rows_needed_from_error(100, 0.01, 0.01)
    619
    """
    z_level, z_power = _quantiles(level_checked(level), power)
    return math.ceil(rows * ((z_level + z_power) * error / margin_checked(margin)) ** 2)


def t_power(error: float, degrees: float, margin: float, level: float = 0.05) -> float:
    """Return the chance that a one-sided t bound excludes a loss of ``margin`` when the two are equal.

    Args:
        error: standard error of the difference, above 0.
        degrees: degrees of freedom of the t quantile.
        margin: loss to be excluded.
        level: one-sided error level.

    >>> round(t_power(0.01, 1000, 0.0248), 2)
    0.8
    """
    critical = float(stdtrit(degrees, 1 - level))
    shift = margin / error
    if degrees <= 200 and shift <= 30:
        return float(1 - nctdtr(degrees, shift, critical))
    return float(ndtr(shift - critical))


def about(count: int) -> int:
    """Round a number of rows to two significant digits, as "about 690 rows would do" shows it.

    >>> about(687), about(95), about(12345)
    (690, 95, 12000)
    """
    digits = 10 ** max(len(str(int(count))) - 2, 0)
    return math.floor(count / digits + 0.5) * digits


def smallest_margin(rows: int, discordance: float, level: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest margin that so many test rows confirm for equal networks with the given power.

    The power of Tango's test rises with the margin, so bisection finds it to 10⁻⁶.

    >>> round(smallest_margin(1000, 0.05), 3)
    0.018
    """
    _quantiles(level_checked(level), power)
    low, high = 0.0, 1.0 - 1e-9
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (low, middle) if tango_power(rows, discordance, middle, level) >= power else (middle, high)
    return high


@dataclass(frozen=True)
class PlannedPower:
    """What a test set can confirm, stated before anything is trained.

    Attributes:
        rows: test rows; ``margin``: loss to be excluded; ``level``: one-sided error level.
        discordance: assumed shares of rows on which exactly one of two equal networks is right.
        power: exact chance to confirm equal networks for each of them.
        needed: rows needed for 80 % for each of them, rounded to two digits.
    """

    rows: int
    margin: float
    level: float
    discordance: tuple[float, ...]
    power: tuple[float, ...]
    needed: tuple[int, ...]

    @property
    def low(self) -> bool:
        """Return whether even the most favourable assumption gives less than one chance in two."""
        return max(self.power) < 0.5

    @property
    def text(self) -> str:
        """Return one sentence for the plan."""
        cases = ", ".join(
            f"{power:.0%} if they differ on {share:.0%} of rows (about {needed:,} rows for 80%)"
            for share, power, needed in zip(self.discordance, self.power, self.needed, strict=True)
        )
        return f"{self.rows:,} test rows confirm an equal network with chance {cases}."


def planned_power(
    rows: int, margin: float, level: float = 0.05, discordance: tuple[float, ...] = (0.02, 0.05, 0.1)
) -> PlannedPower:
    """Return the chance to confirm an equal network on so many test rows, for several degrees of disagreement.

    >>> plan = planned_power(360, 0.01)
    >>> plan.low, plan.needed
    (True, (1200, 3100, 6200))
    """
    return PlannedPower(
        rows=rows,
        margin=margin,
        level=level,
        discordance=discordance,
        power=tuple(tango_power(rows, share, margin, level) for share in discordance),
        needed=tuple(about(rows_needed(share, margin, level)) for share in discordance),
    )


def _quantiles(level: float, power: float) -> tuple[float, float]:
    if not 0.5 < power < 1.0:
        raise UserError(f"power is {power!r}.", came=repr(power), expected="a chance between 0.5 and 1, such as 0.8")
    return float(ndtri(1 - level)), float(ndtri(power))
