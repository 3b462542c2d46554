"""What a test can show before it is run: exact power of Tango's test, rows needed, the smallest margin in reach."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri, nctdtr, stdtrit
from scipy.stats import binom

from sparsefire.errors import UserError
from sparsefire.statistics._check import level_checked, margin_checked


def tango_z(only_dense: ArrayLike, only_chosen: ArrayLike, rows: ArrayLike, difference: ArrayLike) -> np.ndarray:
    """Return Tango's score statistic for P(only chosen right) − P(only dense right) = difference (arrays broadcast).

    Args:
        only_dense: rows that only the dense one gets right, b.
        only_chosen: rows that only the chosen one gets right, c.
        rows: all rows, n ≥ b + c.
        difference: hypothesis θ in (−1, 1).

    Returns:
        (c − b − nθ)/√(n(2q + θ(1 − θ))), where q is the restricted maximum likelihood estimate of P(only dense right):
        q = (√(B² − 8nC) − B)/(4n), B = −(b + c) + (2n + b − c)θ, C = −bθ(1 − θ). Tango 1998,
        doi:10.1002/(SICI)1097-0258(19980430)17:8<891::AID-SIM780>3.0.CO;2-B.

    >>> round(float(tango_z(0, 0, 268, -0.01)), 3)
    1.645
    """
    b, c, n, theta = (np.asarray(value, dtype=np.float64) for value in (only_dense, only_chosen, rows, difference))
    linear = -(b + c) + (2 * n + b - c) * theta
    constant = -b * theta * (1 - theta)
    q = (np.sqrt(np.maximum(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = np.maximum(n * (2 * q + theta * (1 - theta)), 0.0)
    top = c - b - n * theta
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, top / np.sqrt(variance), np.where(top == 0, 0.0, np.sign(top) * np.inf))


def tango_power(rows: int, discordance: float, margin: float, level: float = 0.05, *, difference: float = 0.0) -> float:
    """Return the exact chance that Tango's test excludes a loss of ``margin``, by enumerating the trinomial.

    Args:
        rows: number of test rows n.
        discordance: chance ψ that exactly one of the two is right on a row, in [0, 1].
        margin: loss to be excluded, a fraction above 0.
        level: one-sided error level.
        difference: true P(only chosen right) − P(only dense right), |difference| ≤ ψ; 0 (equal networks) gives the power,
            −margin the exact level of the test.

    For each number of discordant rows k the test passes from some number of wins c on, found by bisection; the result is
    Σ_k P(k)·P(c ≥ c_k | k) over all k whose tails hold more than 10⁻¹³. Milliseconds for any n.

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
    k = np.arange(int(binom.ppf(1e-13, rows, discordance)), int(binom.isf(1e-13, rows, discordance)) + 1).clip(0)
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
    chance = binom.sf(high - 1, k, min(max(wins, 0.0), 1.0))
    return float(min((binom.pmf(k, rows, discordance) * chance).sum(), 1.0))


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
    return int(math.floor(count / digits + 0.5)) * digits


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
    """Return the chance to confirm an equal network on so many test rows, for several degrees of disagreement (accuracy).

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
