"""Mean field of random networks, dense and sparse: what a layer does to variance, kurtosis and correlation.

Wide dense layers, h = W φ(h′) + b with weights of variance σ_w² / fan-in and biases of variance σ_b², have normal h:

    q′ = σ_w² E φ(√q g)² + σ_b²
    c′ = (σ_w² E φ(x) φ(y) + σ_b²) / q′,    (x, y) normal, variance q, correlation c
    χ₁ = σ_w² E φ′(√q* g)²

(Poole et al. 2016, arXiv:1606.05340; Schoenholz et al. 2017, arXiv:1611.01232; for ReLU in closed form Cho & Saul 2009,
and so for any two straight lines). χ₁ is the gain of squared gradients and of small differences between inputs.

Sparse layers (``fan_in=``) differ in that h is not normal: :mod:`~sparsefire.propagation.laws.closure` tells what is
taken instead. For homogeneous activations variance and kurtosis are exact; else the law of h is closed by two moments.
Against :func:`~sparsefire.propagation.laws.density_evolution.density_evolution`, ten layers of tanh with normal weights
or signs: variance off by 0.01% at fan-in 32, 0.2-0.4% at 8, 2% at 3 (by normal laws: 0.9%, 2-4%, 7-12%); GELU or ELU,
whose tails are heavy: 3-20% at 4 to 8. χ₁ is the spectral radius of :mod:`~sparsefire.propagation.laws.gain`: within
0.5% of simulated tanh networks at fan-in 8 and 32. Correlations are taken to be alike for all units, which is rough
where fan-ins are small: two inputs become alike more slowly than here (ReLU from c = 0.3, six layers: 0.745 simulated
at fan-in 8, 0.786 at 16, 0.805 at 64; 0.807 here and in dense layers).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from sparsefire.errors import UserError
from sparsefire.propagation.laws._one_layer import CRITICAL, Layer, checked_variances, critical
from sparsefire.propagation.laws.activations import homogeneous
from sparsefire.propagation.laws.moments import check_inputs, per_layer


@dataclass(frozen=True, eq=False)
class Orbit:
    """What layers 1 … depth make of an input, float64 [depth] each.

    Attributes:
        variance: q, of a pre-activation.
        kurtosis: E h⁴ / (E h²)²; 3 for dense layers.
        correlation: of the pre-activations of two inputs.
    """

    variance: np.ndarray
    kurtosis: np.ndarray
    correlation: np.ndarray


@dataclass(frozen=True)
class FixedPoint:
    """Where layers lead to.

    Attributes:
        variance: q*; inf if it grows without end.
        kurtosis: K*; inf if it does.
        correlation: c*, to which the correlation of two different inputs goes.
        slope: χ₁ = σ_w² E φ′(h)² at q*.
        variance_slope: dq′/dq at q*, kurtosis held.
        correlation_slope: dc′/dc at c*; χ₁ where c* = 1.
    """

    variance: float
    kurtosis: float
    correlation: float
    slope: float
    variance_slope: float
    correlation_slope: float

    @property
    def stable(self) -> bool:
        """Whether the variance returns to q* after a small change."""
        return bool(np.isfinite(self.variance) and abs(self.variance_slope) < 1 - CRITICAL)

    @property
    def phase(self) -> str:
        """``"ordered"`` (χ₁ < 1, inputs become alike, gradients vanish), ``"critical"`` or ``"chaotic"``."""
        if abs(self.slope - 1) <= CRITICAL:
            return "critical"
        return "ordered" if self.slope < 1 else "chaotic"


class DepthScale(NamedTuple):
    """ξ_q and ξ_c in layers: deviations of variance and of correlation change by a factor e over so many."""

    variance: float
    correlation: float


class CriticalLine(NamedTuple):
    """Weight variances with χ₁ = 1, and q* there."""

    weight_variance: Any
    variance: Any


def variance_map(
    variance: Any,
    activation: Any = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    *,
    kurtosis: Any = 3.0,
    fan_in: Any = None,
    scaled: str = "mean",
) -> np.ndarray:
    """Return q′ = σ_w² E φ(h)² + σ_b², the variance after one more layer.

    Args:
        variance: q, of h before it, 0 or more, any shape.
        activation: see :func:`~sparsefire.propagation.laws.activations.activation`.
        weight_variance: σ_w², times fan-in: 2 is He's.
        bias_variance: σ_b².
        kurtosis: of h, broadcast with ``variance``; 3 is normal.
        fan_in: None for dense; matters for ``scaled="actual"``, where units without inputs get nothing.
        scaled: ``"mean"``: weights have variance σ_w² / E k; ``"actual"``: σ_w² / k, k the unit's own fan-in.

    Raises:
        UserError: no activation, a negative variance.

    >>> variance_map([0.5, 1.0]).tolist()
    [0.5, 1.0]
    >>> variance_map(0.57005, "tanh", 1.76095, 0.05).round(4).tolist()
    0.57
    """
    layer = Layer.of(activation, weight_variance, bias_variance, fan_in, "normal", scaled)
    q, k = np.broadcast_arrays(checked_variances(variance), np.asarray(kurtosis, dtype=np.float64))
    return layer.variances(q, k)[()]


def kurtosis_map(
    variance: Any,
    kurtosis: Any,
    activation: Any = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    *,
    fan_in: Any = None,
    weights: Any = "normal",
    scaled: str = "mean",
) -> np.ndarray:
    """Return the kurtosis of h after one more layer; 3 for dense ones.

    Args:
        variance, kurtosis: of h before it, broadcast.
        fan_in: see :func:`~sparsefire.propagation.laws.moments.fan_in_law`.
        weights: see :func:`~sparsefire.propagation.laws.moments.fourth_moment`.
        activation, weight_variance, bias_variance, scaled: as of :func:`variance_map`.

    >>> kurtosis_map(1.0, 3.0, fan_in=4).tolist(), kurtosis_map(1.0, 4.5, fan_in=4, weights="sign").tolist()
    (6.75, 4.5)
    """
    layer = Layer.of(activation, weight_variance, bias_variance, fan_in, weights, scaled)
    q, k = np.broadcast_arrays(checked_variances(variance), np.asarray(kurtosis, dtype=np.float64))
    return _each(lambda one, two: layer.step(one, two)[1], q, k)


def correlation_map(
    correlation: Any,
    activation: Any = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    *,
    variance: float | None = None,
    kurtosis: float | None = None,
    fan_in: Any = None,
    weights: Any = "normal",
    scaled: str = "mean",
) -> np.ndarray:
    """Return the correlation of two inputs after one more layer, of the shape of ``correlation``.

    Args:
        correlation: c in [-1, 1].
        variance, kurtosis: of h for both inputs; None takes the fixed point, or a kurtosis of 3 for a given variance.
        activation, weight_variance, bias_variance, fan_in, weights, scaled: as of :func:`kurtosis_map`.

    >>> correlation_map([0.0, 1 / np.pi, 1.0]).round(6).tolist()
    [0.31831, 0.493731, 1.0]
    """
    layer = Layer.of(activation, weight_variance, bias_variance, fan_in, weights, scaled)
    given = np.asarray(correlation, dtype=np.float64)
    if not (abs(given) <= 1 + 1e-12).all():
        raise UserError("a correlation is between -1 and 1.", came=repr(correlation)[:80], expected="-1 to 1")
    layer, q, k = _place(layer, variance, kurtosis)
    return _each(lambda c: layer.correlation(q, k, c), np.clip(given, -1, 1))


def slope(
    activation: Any = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    *,
    variance: float | None = None,
    correlation: float = 1.0,
    kurtosis: float | None = None,
    fan_in: Any = None,
    weights: Any = "normal",
    scaled: str = "mean",
) -> float:
    """Return χ = σ_w² E φ′(x) φ′(y) at a correlation; χ₁ for c = 1.

    χ₁ is what the square of a small difference, or of a gradient, is multiplied by per layer; χ is dc′/dc at the fixed
    point of the variance. For arguments see :func:`correlation_map`.

    >>> slope("relu"), round(slope("tanh", 1.76095, 0.05), 5)
    (1.0, 1.0)
    >>> round(slope("tanh", 1.76095, 0.05, fan_in=8), 3)
    1.007
    """
    layer = Layer.of(activation, weight_variance, bias_variance, fan_in, weights, scaled)
    layer, q, k = _place(layer, variance, kurtosis)
    return layer.slope(q, k, float(correlation))


def orbit(
    depth: int | None,
    activation: Any = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    *,
    fan_in: Any = None,
    weights: Any = "normal",
    scaled: str = "mean",
    variance: float = 1.0,
    correlation: float | None = None,
    kurtosis: float = 3.0,
    inputs: str = "activated",
) -> Orbit:
    """Return variance, kurtosis and correlation of layers 1 … depth.

    Args:
        depth: number of layers; None where a list of fan-ins tells it.
        fan_in: None for dense; or see :func:`~sparsefire.propagation.laws.moments.per_layer`.
        variance, correlation, kurtosis: of two inputs. A correlation of None leaves correlations out (nan), which is
            much faster if φ has no closed form.
        inputs: ``"activated"``: these are of h_0, and φ acts on it; ``"plain"``: they are of x_0 itself, which goes
            into the first layer as it is.
        activation, weight_variance, bias_variance, weights, scaled: as of :func:`kurtosis_map`.

    >>> found = orbit(100, correlation=0.0)
    >>> found.correlation[[0, 1, 9, 99]].round(6).tolist()
    [0.31831, 0.493731, 0.871536, 0.996423]
    >>> orbit(10, fan_in=16).kurtosis.round(3)[[0, -1]].tolist()
    [3.938, 4.5]
    """
    check_inputs(inputs)
    if fan_in is None:
        per_layer(1, depth)
        layers = [Layer.of(activation, weight_variance, bias_variance, None, weights, scaled)] * int(depth or 0)
    else:
        laws = per_layer(fan_in, depth)
        layers = [Layer.of(activation, weight_variance, bias_variance, law, weights, scaled) for law in laws]
    q, k, c = float(checked_variances(variance)), float(kurtosis), np.nan if correlation is None else float(correlation)
    found = np.empty((3, len(layers)))
    for at, layer in enumerate(layers):
        if at == 0 and inputs == "plain":
            layer = layer._replace(phi=homogeneous(1.0, 1.0))
        c = layer.correlation(q, k, c) if not np.isnan(c) else c
        q, k = layer.step(q, k)
        found[:, at] = q, k, c
    return Orbit(*found)


def fixed_point(
    activation: Any = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    *,
    fan_in: Any = None,
    weights: Any = "normal",
    scaled: str = "mean",
    variance: float = 1.0,
) -> FixedPoint:
    """Return the fixed point that layers lead to from a variance.

    Args:
        variance: q at the start: where several fixed points exist it matters; where all q are fixed, as for ReLU with
            σ_w² = 2 and no bias, it stays.
        activation, weight_variance, bias_variance, fan_in, weights, scaled: as of :func:`kurtosis_map`.

    q* is the first root of q′(q) = q in the direction in which q′ leads, to 1e-13. c* is 1 if the correlation map is
    not steeper than 1 there, else its root below 1: the map is convex on [0, 1]. At q* = 0 or inf slopes of
    correlations are those of the limit, per change of the variance. For sparse layers the map is a closure whose slope
    at 1 differs from χ₁ a little: c* is 1 if one of them says so.

    >>> found = fixed_point("tanh", 1.5, 0.05)
    >>> round(found.variance, 5), found.correlation, round(found.slope, 5), found.phase
    (0.41804, 1.0, 0.93864, 'ordered')
    >>> round(fixed_point("tanh", 2.5, 0.05).correlation, 5)
    0.4468
    """
    layer = Layer.of(activation, weight_variance, bias_variance, fan_in, weights, scaled)
    q, k = layer.fixed(float(checked_variances(variance)))
    near, at = layer.at(q)
    chi, chi_q = near.slope(at, k, 1.0), near.variance_slope(at, k)
    steady = 1.0 if 0 < q < np.inf else near.step(at, k)[0] / at  # per change of the variance
    c = near.fixed_correlation(at, k, chi / steady)
    if c == 1 or layer.law is None:
        steep = (chi if c == 1 else near.slope(at, k, c)) / steady
    else:
        step = 1e-3 * (1 - c)  # of the closed map: its slope is not that of one scale
        steep = (near.correlation(at, k, c + step) - near.correlation(at, k, c - step)) / (2 * step)
    return FixedPoint(q, k, c, chi, chi_q, steep)


def depth_scale(
    activation: Any = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    *,
    fan_in: Any = None,
    weights: Any = "normal",
    scaled: str = "mean",
    variance: float = 1.0,
) -> DepthScale:
    """Return ξ_q = 1 / |log dq′/dq| and ξ_c = 1 / |log dc′/dc| at the fixed point, in layers; inf where critical.

    Networks of about 6 ξ_c layers can still be trained (Schoenholz et al. 2017). For arguments see :func:`fixed_point`.

    >>> depth_scale("tanh", 1.5, 0.05).correlation.__round__(3), depth_scale("relu").correlation
    (15.791, inf)
    """
    at = fixed_point(
        activation, weight_variance, bias_variance, fan_in=fan_in, weights=weights, scaled=scaled, variance=variance
    )
    return DepthScale(_layers(at.variance_slope), _layers(at.correlation_slope))


def critical_line(
    activation: Any = "tanh",
    bias_variance: Any = 0.0,
    *,
    fan_in: Any = None,
    weights: Any = "normal",
    scaled: str = "mean",
) -> CriticalLine:
    """Return the weight variances at which χ₁ = 1, and q* there; of the shape of ``bias_variance``.

    The smallest root of q - E φ² / E φ′² = σ_b² with σ_w² = 1 / E φ′². Where there is none both are nan. For ReLU and
    other homogeneous activations σ_w² = 2 / (a² + b²) always, a and b the slopes, but q grows without end (inf) if
    there is a bias, and any q is fixed (nan) if not. q* may be unstable, as it is for GELU and SiLU; in sparse layers,
    where ρ(T) = 1 is looked for around the dense place, such are not found (nan).

    Args:
        activation: see :func:`~sparsefire.propagation.laws.activations.activation`.
        bias_variance: σ_b² ≥ 0.
        fan_in, weights, scaled: as of :func:`kurtosis_map`.

    >>> found = critical_line("tanh", [0.001, 0.05])
    >>> found.weight_variance.round(5).tolist(), found.variance.round(5).tolist()
    ([1.18919, 1.76095], [0.10729, 0.57005])
    """
    biases = checked_variances(bias_variance, "bias variance")
    found = np.array([critical(activation, float(b), fan_in, weights, scaled) for b in biases.ravel()])
    return CriticalLine(found[:, 0].reshape(biases.shape)[()], found[:, 1].reshape(biases.shape)[()])


def _place(layer: Layer, variance: float | None, kurtosis: float | None) -> tuple[Layer, float, float]:
    if variance is None:
        q, k = layer.fixed(1.0) if kurtosis is None else (layer.start(1.0, kurtosis), kurtosis)
    else:
        q, k = float(checked_variances(variance)), 3.0 if kurtosis is None else kurtosis
    return *layer.at(q), float(k)


def _layers(steep: float) -> float:
    if abs(steep - 1) <= CRITICAL:
        return np.inf
    return float(1 / abs(np.log(abs(steep)))) if steep else 0.0


def _each(function: Callable[..., float], *arrays: np.ndarray) -> np.ndarray:
    values = [function(*map(float, items)) for items in zip(*(a.ravel() for a in arrays), strict=True)]
    return np.array(values, dtype=np.float64).reshape(arrays[0].shape)[()]
