"""The tail of the sizes of avalanches: a power law or something else?

Never by a line through a log-log histogram, which has no sound error.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from sparsefire.errors import UserError
from sparsefire.statistics.intervals import confidence_checked

ALTERNATIVES = ("lognormal", "exponential", "truncated_power_law")
FEW = 50  # points in a tail below which its exponent is uncertain beyond its standard error (Clauset et al. 2009)


@dataclass(frozen=True)
class Comparison:
    """The power law against another law of the tail.

    Attributes:
        other: the other law.
        ratio: log L(power law) - log L(other); below 0 the other fits better.
        p_value: of so large a ratio of either sign if neither is nearer to the truth (Vuong); for the truncated power
            law, which contains the power law, of so much gain if there is no truncation (chi-square, 1 degree).
    """

    other: str
    ratio: float
    p_value: float


@dataclass(frozen=True)
class TailFit:
    """A power law P(x) ~ x^-exponent fitted to what is at least ``xmin``. Made by :func:`tail_fit`.

    Attributes:
        exponent: the estimate.
        error: its standard error, for this ``xmin``.
        xmin: where the tail begins.
        distance: Kolmogorov–Smirnov distance between the tail and the fit.
        tail: how many values are in the tail; ``samples``: of how many.
        comparisons: with other laws.
        warnings: what stands against it.
    """

    exponent: float
    error: float
    xmin: float
    distance: float
    tail: int
    samples: int
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...] = ()

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return exponent ± z · error. Where ``xmin`` was chosen from the same data it is too narrow."""
        half = float(special.ndtri((1 + confidence_checked(level)) / 2)) * self.error
        return self.exponent - half, self.exponent + half

    def text(self) -> str:
        """Return the fit, one line for each comparison, and the warnings."""
        low, high = self.interval()
        lines = [
            f"exponent {self.exponent:.4g} (95% interval {low:.4g} to {high:.4g}) from the {self.tail:,} of "
            f"{self.samples:,} values that are {self.xmin:g} or more; distance {self.distance:.3g}"
        ]
        for c in self.comparisons:
            verdict = (
                "undecided"
                if c.p_value >= 0.05
                else "power law fits better"
                if c.ratio > 0
                else f"{c.other} fits better"
            )
            lines.append(f"against {c.other}: log-likelihood ratio {c.ratio:.4g}, p = {c.p_value:.2g}: {verdict}")
        return "\n".join([*lines, *self.warnings])


def tail_fit(sizes: Any, *, xmin: float | None = None, discrete: bool = True) -> TailFit:
    """Fit a power law to the tail of sizes by maximum likelihood, and set it against other laws.

    Clauset, Shalizi, Newman 2009 (doi:10.1137/070710111): P(x) = x^-a / ζ(a, xmin) for whole numbers, with
    var a = 1 / (n ∂²/∂a² log ζ(a, xmin)); density (a-1)/xmin (x/xmin)^-a otherwise, with error (a-1)/√n. ``xmin``
    minimises the Kolmogorov–Smirnov distance. Fits and comparisons by the package ``powerlaw`` (Alstott, Bullmore,
    Plenz 2014, doi:10.1371/journal.pone.0085777): a few seconds, most of them for the truncated law; to choose ``xmin``
    from 100,000 sizes takes some twenty.

    Args:
        sizes: above 0, whole numbers if ``discrete`` [values]. Leave out cascades that never began.
        xmin: where the tail begins; None to choose it from the sizes.
        discrete: whether sizes are counts.

    Raises:
        UserError: no sizes, or sizes that are not above 0 or not whole, or fewer than 2 different ones in the tail; the
            package ``powerlaw`` is not installed.
    """
    package = _powerlaw()
    values = _positive(sizes, discrete)
    low = None if xmin is None else float(xmin)
    if low is not None and not (low > 0 and (low == np.floor(low) or not discrete)):
        raise UserError("this is no start of a tail.", came=f"xmin={xmin!r}", expected="a size, above 0")
    different, wanted = len(np.unique(values if low is None else values[values >= low])), 4 if low is None else 2
    if different < wanted:
        raise UserError(
            "a tail needs values that differ.",
            came=f"{different} different of {len(values):,}" + ("" if low is None else f" at {low:g} or more"),
            expected=f"{wanted} or more",
        )
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        fit = package.Fit(
            values,
            xmin=low,
            discrete=discrete,
            estimate_discrete=False,  # the likelihood itself, not its approximation for large xmin
            parameter_ranges={"alpha": [0, 100]},  # else no exponent above 3 is found
            verbose=0,
        )
        law = fit.power_law
        compared = [(name, *fit.distribution_compare("power_law", name)) for name in ALTERNATIVES]
    tail = int(fit.n_tail)
    return TailFit(
        float(law.alpha),
        _exponent_error(float(law.alpha), float(fit.xmin), tail, discrete),
        float(fit.xmin),
        float(law.D),
        tail,
        len(values),
        tuple(Comparison(name.replace("_", " "), float(ratio), float(p)) for name, ratio, p in compared),
        () if tail >= FEW else (f"only {tail} values in the tail: the exponent may be far off",),
    )


def _powerlaw() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module("powerlaw")
    except ImportError as error:
        raise UserError(
            "fits of tails need the package powerlaw.",
            came="it is not installed",
            attempt="pip install 'sparsefire[cascades]'",
        ) from error


def _positive(sizes: Any, discrete: bool) -> np.ndarray:
    values = np.asarray(sizes)
    if values.ndim != 1 or (values.size and values.dtype.kind not in "iuf"):
        raise UserError("sizes are one number each.", came=f"{values.dtype} of shape {values.shape}")
    if not len(values):
        raise UserError("there is no tail without sizes.", came="0 sizes", expected="dozens at least")
    values = values.astype(np.float64)
    good = np.isfinite(values) & (values > 0)
    wrong = np.flatnonzero(~(good & (values == np.floor(values))) if discrete else ~good)
    if len(wrong):
        at = int(wrong[0])
        raise UserError(
            "a size is above 0, and whole if it is a count.",
            came=f"{values[at]:g} in entry {at}",
            expected="1, 2, 3, …" if discrete else "a finite number above 0",
            attempt="" if not discrete or values[at] <= 0 or not np.isfinite(values[at]) else "discrete=False",
        )
    return values


def _exponent_error(exponent: float, xmin: float, n: int, discrete: bool) -> float:
    if not discrete:
        return (exponent - 1) / float(np.sqrt(n))
    step = 1e-3 * (exponent - 1)
    below, at, above = np.log(special.zeta(exponent + step * np.array([-1, 0, 1]), xmin))
    return float(step / np.sqrt(n * (below - 2 * at + above)))
