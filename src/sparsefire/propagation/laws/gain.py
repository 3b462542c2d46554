"""What squared gradients are multiplied by in a sparse layer: the spectral radius of a message operator.

Along a path the square of a gradient picks up w² φ′(h)² in every layer. In wide dense layers these factors are
independent and their mean is χ₁ = σ_w² E φ′(h)². In sparse ones the weight and the activity of the path are a part of
h, so that the factors depend on each other: one that knows h goes on as

    (T f)(h) = Σ E[w² φ′(h′)² f(h′) | h],    h′ = w φ(h) + the other K - 1 inputs + b,

with K the fan-in of a unit found over an edge (k p_k / E k), and the mean of products grows as ρ(T) per layer: the
branching number of this cascade (derived here; see :mod:`sparsefire.cascades.branching` for those of units). For two
straight lines and symmetric weights ρ(T) = χ₁. The other inputs are closed by two moments, as all else here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.propagation.laws.activations import Activation
from sparsefire.propagation.laws.closure import Mixture, mixture
from sparsefire.propagation.laws.gaussian import nodes
from sparsefire.propagation.laws.moments import fourth_moment, weight_variances

_FEW = 12  # nodes for the weight of the path
_NARROW = 0.1  # normals below this share of the spread of h are too narrow for its nodes


def gain(
    phi: Activation,
    variance: float,
    second: float,
    fourth: float,
    law: np.ndarray,
    weight_variance: float,
    bias_variance: float = 0.0,
    weights: Any = "normal",
    scaled: str = "mean",
) -> float:
    """Return ρ(T) at a stationary law of h.

    Args:
        phi: φ.
        variance: E h².
        second, fourth: E φ(h)² and E φ(h)⁴.
        law: of fan-ins, float64 [K + 1].
        weight_variance, bias_variance, weights, scaled: as of
            :func:`~sparsefire.propagation.laws.mean_field.kurtosis_map`.

    >>> from sparsefire.propagation.laws.activations import activation
    >>> found = gain(activation("relu"), 1.0, 0.5, 2.25, np.array([0.0, 0.0, 0.0, 0.0, 1.0]), 2.0)
    >>> round(found, 6)
    1.0
    """
    h, measure = nodes(variance, phi.kinks)
    k, mu4 = np.arange(len(law)), fourth_moment(weights)
    v = weight_variances(law, weight_variance, scaled)
    operator = np.zeros((len(h), len(h)))
    for fan_in in np.flatnonzero((law > 0) & (k > 0) & (v > 0)):
        others, one = fan_in - 1, float(v[fan_in])
        signal = others * one * second
        rest = signal + bias_variance
        power = others * one**2 * mu4 * fourth + 3 * others * (others - 1) * (one * second) ** 2
        power += 6 * signal * bias_variance + 3 * bias_variance**2
        parts = mixture(rest, power / rest**2 if rest > 0 else 3.0, min(bias_variance, rest))
        parts = parts._replace(variances=np.maximum(parts.variances, _NARROW**2 * variance))
        for w, share in zip(*_path_weights(weights, mu4), strict=True):
            chances = _density(h, w * np.sqrt(one) * phi.function(h), parts) * measure
            operator += law[fan_in] * fan_in * one * share * chances / chances.sum(1, keepdims=True)
    operator *= phi.derivative(h) ** 2
    return float(np.abs(np.linalg.eigvals(operator)).max())


def _path_weights(weights: Any, mu4: float) -> tuple[np.ndarray, np.ndarray]:
    """Return weights (variance 1) and shares E[w²; w near them], which add up to 1."""
    if weights == "normal":
        w, share = np.polynomial.hermite_e.hermegauss(_FEW)
        return w, share / np.sqrt(2 * np.pi) * w**2
    if weights == "uniform":
        w, share = np.polynomial.legendre.leggauss(_FEW)
        return w * np.sqrt(3), share / 2 * 3 * w**2
    return np.sqrt(mu4) * np.array([-1.0, 1.0]), np.full(2, 0.5)  # of the right E w⁴ / E w²


def _density(h: np.ndarray, shift: np.ndarray, parts: Mixture) -> np.ndarray:
    found = np.zeros((len(shift), len(h)))
    for share, mean, variance in zip(*parts, strict=True):
        if share > 1e-12:
            z = (h - shift[:, None] - mean) / np.sqrt(variance)
            found += share * np.exp(-z * z / 2) / np.sqrt(2 * np.pi * variance)
    return found
