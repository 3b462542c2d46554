"""Which law a path follows: a power, a power above a floor, or a power with a logarithm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from sparsefire.convergence._inputs import row
from sparsefire.convergence.inference import _power_laws as laws
from sparsefire.convergence.inference._paths import prepared, read
from sparsefire.convergence.inference._resample import log_covariance, statistic_of
from sparsefire.convergence.inference.fits import PER_DECADE, RateFit, fit_rate
from sparsefire.errors import UserError

FEWEST_RUNS = 20
ROUNDING = 1e-9  # errors of exact curves below this are none
MOST_POINTS = 8  # of the test


@dataclass(frozen=True, eq=False)
class ModelChoice:
    """Three laws for one path, and how well each holds.

    Attributes:
        fits: a :class:`RateFit` per model.
        criterion: Akaike's criterion per model, lower is better; for an exact curve the largest error of log risk.
        p_values: chance of residuals as large as these if the model held (F test); NaN for an exact curve.
    """

    fits: dict[str, RateFit]
    criterion: dict[str, float]
    p_values: dict[str, float]

    @property
    def best(self) -> RateFit:
        """The fit with the lowest criterion, and without a floor where one makes no difference."""
        return self.fits[min(self.criterion, key=lambda name: (self.criterion[name], name == "floor"))]

    def weights(self) -> dict[str, float]:
        """Return Akaike weights e^(-Δ/2) / Σ e^(-Δ/2), which add up to 1; for an exact curve 1 for the best."""
        if np.isnan(list(self.p_values.values())).all():
            return {name: float(fit is self.best) for name, fit in self.fits.items()}
        powers = special.softmax([-value / 2 for value in self.criterion.values()])
        return {name: float(power) for name, power in zip(self.criterion, powers, strict=True)}


def choose_model(
    estimate: Any,
    values: Any = None,
    *,
    window: tuple[float, float] | None = None,
    models: Sequence[str] = laws.MODELS,
    resamples: int = 2000,
    rng: Any = 0,
) -> ModelChoice:
    """Say which law holds: a power, a power above a floor, or a power with a logarithm.

    Args:
        estimate, values, window, resamples, rng: as for :func:`fit_rate`; 20 runs or more, or an exact curve.
        models: which to compare.

    Raises:
        UserError: as :func:`fit_rate`; no models, fewer than 20 runs, runs that are copies of one another.

    Residuals e of the log means at up to 8 steps (at most a fifth as many as runs) are measured by their own
    covariance S/n over the runs, Q = n eᵀS⁻¹e at its smallest. Criterion: n log(1 + Q/(n-1)) + 2 q with q parameters,
    the likelihood of a growth curve; p-value: Q (n-p+q) / ((p-q)(n-1)) against F(p-q, n-p+q) (Rao 1965,
    doi:10.1093/biomet/52.3-4.447). One decade hardly tells a logarithm from a slightly smaller exponent: give a
    window of two or three.

    >>> k = np.arange(10, 10_001)
    >>> choose_model(k, np.log(k) / k, window=(100, 10_000)).best.model
    'log'
    """
    models = row(models, "models", ", ".join(laws.MODELS))
    if not models:
        raise UserError("there is nothing to choose from.", came="no models", expected=", ".join(laws.MODELS))
    steps, risks = prepared(*read(estimate, values), window, "mean", PER_DECADE)
    fits = {
        model: fit_rate(estimate, values, model=model, window=window, resamples=resamples, rng=rng) for model in models
    }
    if len(risks) == 1:
        errors = {
            name: max(float(np.abs(np.log(fit.values / fit.predict(fit.steps))).max()), ROUNDING)
            for name, fit in fits.items()
        }
        return ModelChoice(fits, errors, dict.fromkeys(fits, np.nan))
    runs = len(risks)
    if runs < FEWEST_RUNS:
        raise UserError(
            "a model cannot be tested with few runs.", came=f"{runs} runs", expected=f"{FEWEST_RUNS} or more"
        )
    points = min(MOST_POINTS, runs // 5, len(steps))
    used = np.unique(np.rint(np.linspace(0, len(steps) - 1, points)).astype(np.int64))
    x, blocks = np.log(steps[used]), [risks[:, used]]
    try:
        whiten = np.linalg.inv(np.linalg.cholesky(log_covariance(blocks)))
    except np.linalg.LinAlgError:
        raise UserError(
            "the runs do not differ by themselves at every step, so that nothing measures a residual.",
            came=f"{runs} runs whose covariance over {len(x)} steps is singular",
            expected="independent runs; one exact curve [p] where there is no noise",
        ) from None
    criterion, p_values = {}, {}
    for model in models:
        squares = float(laws.fit(x, np.log(statistic_of(blocks, "mean"))[None], model, whiten)[1][0])
        parameters = 3 if model == "floor" else 2
        left = len(x) - parameters
        criterion[model] = float(runs * np.log1p(squares / (runs - 1)) + 2 * parameters)
        ratio = squares * (runs - left) / (left * (runs - 1)) if left else 0.0
        p_values[model] = float(special.fdtrc(left, runs - left, ratio)) if left else 1.0
    return ModelChoice(fits, criterion, p_values)
