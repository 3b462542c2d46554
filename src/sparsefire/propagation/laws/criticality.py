"""Three ways in which a sparse ReLU network can be critical, which have little to do with each other.

*Topological*: does a signal arrive at all? Units live as individuals of a Galton-Watson process do, with E k / 2
children on the mean; a fan-in of 2 is critical (:func:`~sparsefire.propagation.laws.sparse.dead_share`).

*Metric*: does its mean square stay? χ = E k s_k / 2 is the factor per layer of the mean over networks (annealed; He's
scaling makes it 1, Schoenholz et al. 2017, arXiv:1611.01232). At finite width the typical signal goes as exp(λ l), with
λ = E log R < log χ (quenched; the Lyapunov exponent, arXiv:2602.10949).

*Localisation*: is it carried by many units? A layer hands on the share 2 μ4 E[k s_k²] / (E k s_k)² of the kurtosis. At
1 or above, E k ≤ 2 μ4, few units carry ever more of the signal, the mean is made by rare networks, and the gap
log χ - λ widens. The participation Σ x⁴ / |x|⁴ by depth shows it at finite width.

What still holds with biases and norm layers:

- A symmetric bias leaves the topology of the signal as it is: a unit is still active with chance 1/2. One that no
  signal reaches is then constant near this input, no longer 0: it may fire, but tells nothing. Kurtosis and drift are
  those of the part without bias, and are diluted by it.
- Batch or layer norm after each layer sets the mean square: the metric criticality is gone. What is constant stays
  constant, so topology is as before. Batch norm rescales every unit on its own, and so mends the uneven scales of units
  that the kurtosis tells of, where anything arrives; layer norm divides all units by one number and leaves kurtosis and
  participation as they are.
- A skip connection carries the signal past a layer: what is said here is true of the branch, not of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.propagation.laws.log_norm import log_norm
from sparsefire.propagation.laws.moments import by_layer, fourth_moment, per_layer
from sparsefire.propagation.laws.sparse import (
    dead_limit,
    dead_share,
    kurtosis,
    kurtosis_limit,
    kurtosis_step,
    scale_moments,
)
from sparsefire.propagation.laws.widths import several, widths_of

DEPTH = 20  # where nothing tells it
SUB, AT, SUPER = "subcritical", "critical", "supercritical"


@dataclass(frozen=True, eq=False)
class Topological:
    """Whether a signal arrives.

    Attributes:
        branching: E k / 2, geometric mean over layers; k is a fan-in.
        dead: share of units that no signal reaches, by layer, float64 [depth]; at finite width if that is given.
        limit: the same after many layers of the last kind and of unlimited width.
        verdict: ``"supercritical"``: a part lives at any depth; ``"critical"``, ``"subcritical"``: all dies.
    """

    branching: float
    dead: np.ndarray
    limit: float
    verdict: str


@dataclass(frozen=True, eq=False)
class Metric:
    """Whether the mean square of a signal stays.

    Attributes:
        chi: factor per layer of the mean square of a pre-activation over networks, geometric mean over layers.
        log_chi: its logarithm.
        verdict: ``"supercritical"``: it grows; ``"critical"``: it stays; ``"subcritical"``: it shrinks.
    """

    chi: float
    log_chi: float
    verdict: str


@dataclass(frozen=True, eq=False)
class Localisation:
    """Whether few units carry the signal.

    Attributes:
        fan_in: E k, geometric mean over layers.
        needed: 2 μ4, the fan-in above which the kurtosis stays finite if all have the same.
        handed_on: share of the kurtosis that a layer hands on, geometric mean over layers.
        kurtosis: by layer, many units, float64 [depth].
        limit: the same after many layers of the last kind; inf if there is none.
        participation: Σ x⁴ / |x|⁴ by layer at finite width, float64 [depth]; None without a width.
        drift: λ, log |x|² / n per layer of a typical signal; None without a width.
        gap: log χ - λ, which the mean hides; None without a width.
        verdict: ``"subcritical"``: the signal stays spread out; ``"critical"``; ``"supercritical"``: it localises.
    """

    fan_in: float
    needed: float
    handed_on: float
    kurtosis: np.ndarray
    limit: float
    participation: np.ndarray | None
    drift: float | None
    gap: float | None
    verdict: str


@dataclass(frozen=True, eq=False)
class Criticalities:
    """The three, apart."""

    topological: Topological
    metric: Metric
    localisation: Localisation

    def __str__(self) -> str:
        t, m, k = self.topological, self.metric, self.localisation
        rows = [
            f"topological   {t.verdict:<14}branching {t.branching:.4g}, dead units {t.dead[-1]:.3g}",
            f"metric        {m.verdict:<14}χ {m.chi:.4g}",
            f"localisation  {k.verdict:<14}fan-in {k.fan_in:.4g} against {k.needed:.4g}, kurtosis {k.kurtosis[-1]:.4g}",
        ]
        if k.drift is not None and k.participation is not None:
            rows[-1] += f", λ {k.drift:.3g} against log χ {m.log_chi:.3g}, participation {k.participation[-1]:.3g}"
        return "\n".join(rows)


def criticalities(
    fan_in: Any,
    depth: int | None = None,
    width: Any = None,
    weights: Any = "normal",
    *,
    scaled: str = "mean",
    weight_variance: float = 2.0,
    distinct: bool = False,
    runs: int = 2_000,
    rng: Any = None,
) -> Criticalities:
    """Return how a sparse ReLU network without biases stands to its three critical points.

    Args:
        fan_in: a number, a law or a Wiring for all layers, or a list with one per layer: see
            :func:`~sparsefire.propagation.laws.moments.per_layer`.
        depth: number of layers; None takes it from lists, or 20.
        width: None for many units; else units of every layer and of the input, or all widths, the input's first.
        weights: ``"normal"``, ``"uniform"``, ``"sign"``, or μ4.
        scaled: ``"mean"``: weights have variance v / E k; ``"actual"``: v / k.
        weight_variance: v. He's is 2.
        distinct: at finite width, whether the inputs of a unit are distinct.
        runs, rng: see :func:`~sparsefire.propagation.laws.log_norm.log_norm`, which is asked at finite width.

    Raises:
        UserError: what its parts raise.

    Inputs are activated (half of them 0) for the dead share and the kurtosis, and normal for drift and participation.
    What biases and norm layers change: see the head of this module. The laws are derived here; see there for sources.

    >>> print(criticalities(fan_in=4, depth=20))
    topological   supercritical branching 2, dead units 0.0874
    metric        critical      χ 1
    localisation  supercritical fan-in 4 against 6, kurtosis 2.493e+04
    >>> criticalities(fan_in=4, weights="sign").localisation.verdict
    'subcritical'
    """
    depth = several(width, depth)
    if depth is None and not by_layer(fan_in):
        depth = DEPTH
    laws = per_layer(fan_in, depth)
    mu4 = fourth_moment(weights)
    if not 0 < weight_variance < np.inf:
        raise UserError("weight_variance is a variance.", came=repr(weight_variance), expected="above 0")
    means = np.array([float(law @ np.arange(len(law))) for law in laws])
    dead = dead_share(laws, None, width, distinct=distinct)
    branching = _geometric(means / 2)
    topological = Topological(branching, dead, dead_limit(laws[-1]), _verdict(branching))
    moments = [scale_moments(law, scaled) for law in laws]
    chi = _geometric(np.array([mean for mean, _, _ in moments]) / 2) * weight_variance / 2
    with np.errstate(divide="ignore"):
        log_chi = float(np.log(chi))
    metric = Metric(chi, log_chi, _verdict(chi))
    handed = _geometric(np.array([kurtosis_step(law, mu4, scaled)[1] if law[1:].any() else np.inf for law in laws]))
    participation, drift, gap = None, None, None
    if width is not None:
        widths = widths_of(width, len(laws))
        found = log_norm(
            laws, None, widths, weights, scaled=scaled, weight_variance=weight_variance, runs=runs, rng=rng
        )
        participation = found.participation
        drift = float(found.means[-1] - np.log(widths[-1] / widths[0])) / len(laws)
        gap = log_chi - drift
    localisation = Localisation(
        _geometric(means),
        2 * mu4,
        handed,
        kurtosis(laws, None, mu4, scaled=scaled),
        kurtosis_limit(laws[-1], mu4, scaled=scaled),
        participation,
        drift,
        gap,
        _verdict(handed),
    )
    return Criticalities(topological, metric, localisation)


def _geometric(values: np.ndarray) -> float:
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(values).mean()))


def _verdict(number: float) -> str:
    return AT if abs(number - 1) <= 1e-9 else SUPER if number > 1 else SUB
