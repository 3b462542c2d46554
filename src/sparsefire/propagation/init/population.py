"""A population of random signals that walks through the layers, and the gains that keep its typical size.

Every signal has weights of its own, drawn given the masks. For an input x and normal weights of variance 1 / k_i, k_i
the in-degree of unit i, the pre-activations are independent, h_i ~ N(0, s_i) with s_i = Σ_j m_ij x_j² / k_i (m_ij: the
number of weights from j to i, above 1 for taps of a convolution). So a layer is met exactly by its s, however few the
units are, and x carries the memory of the masks: on how few units the signal lives. Derived here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from torch import Tensor

from sparsefire import randomness
from sparsefire.errors import UserError
from sparsefire.propagation.init.walk import Layer

SIGNALS = 128
FEW = 64
"""In-degrees from here on are enough for signs to act as normal weights; the error in E log R is of order 1/(n k)."""


def gains(
    layers: Sequence[Layer], slope: float, *, signs: bool = False, drawn: Sequence[Tensor] | None = None, rng: Any
) -> list[float]:
    """Return, for each layer, the gain that makes E log R = 0 given that something is alive behind it.

    Args:
        layers: in order; the activation follows each but the last.
        slope: φ(h) = h for h > 0 and slope · h below.
        signs: weights ±1/√k instead of normal ones.
        drawn: weights with gain 1. All signals then meet these, and the gains are for them alone.
        rng: of the signals.

    Raises:
        UserError: a layer that no signal passes.
    """
    generator = randomness.stream(rng, "typical signals")
    x = np.empty((SIGNALS, 0))
    found = []
    for position, layer in enumerate(layers):
        after = 1.0 if position == len(layers) - 1 else slope
        x = _fitted(x, _in_channels(layer), generator)
        if drawn is None:
            log_ratio, x = _through_law(x, layer, after, signs, generator)
        else:
            log_ratio, x = _measured(_activated(_realised(x, layer, drawn[position]), after))
        alive = x.any(axis=1)
        if not alive.any():
            raise UserError(
                f"no signal passes {layer.label}, so that none can be kept.",
                came=f"a mean in-degree of {float(layer.in_degrees().mean()):.3g}",
                expected="units that are reached by living ones; 3 weights or more per unit for ReLUs",
                attempt="a higher density, layout='critical', or in_degree_",
            )
        # The dead make room for copies of the living: the law given survival so far.
        x[~alive] = x[alive][generator.integers(alive.sum(), size=int((~alive).sum()))]
        found.append(math.exp(-log_ratio / 2))
    return found


def expected_log(s: np.ndarray, slope: float) -> tuple[np.ndarray, np.ndarray]:
    """Return E[log S | S > 0] and P(S > 0) for S = Σ_i φ(h_i)² / n, h_i ~ N(0, s_i) independent.

    By Frullani's integral, on a trapezoidal rule in log t, which converges exponentially:

        E log S = ∫₀^∞ (e^(−t) − E e^(−tS)) dt / t,
        E e^(−tS) = Π_i ½ ((1 + 2 t s_i / n)^(−½) + (1 + 2 t slope² s_i / n)^(−½))

    Args:
        s: variances ≥ 0, float64 [signals, units].
        slope: of φ below 0.

    Returns:
        Two float64 [signals]; where S is surely 0, the logarithm is 0.

    >>> value, _ = expected_log(np.ones((1, 3)), 1.0)  # χ² of 3 degrees: ψ(3/2) + log(2/3)
    >>> round(float(value[0]), 8)
    -0.36897513
    """
    means = s.mean(axis=1) * (1 + slope**2) / 2
    reached = means > 0
    share = s / np.where(reached, means, 1.0)[:, None] * (2 / s.shape[1])
    dead = 0.5 ** (s > 0).sum(axis=1) if slope == 0 else np.where(reached, 0.0, 1.0)
    alive = np.where(reached, 1 - dead, 0.0)
    total = np.zeros(len(s))
    for step in (0.5, -0.5):
        for number in range(0 if step > 0 else 1, 200):
            t = math.exp(step * number)
            first = 1 / np.sqrt(1 + t * share)
            second = 1.0 if slope == 0 else first if abs(slope) == 1 else 1 / np.sqrt(1 + t * slope**2 * share)
            laplace = (0.5 * (first + second)).prod(axis=1)
            term = math.exp(-t) - (laplace - dead) / np.where(reached, alive, 1.0)
            term[~reached] = 0.0
            total += abs(step) * term
            if np.abs(term).max() < 1e-10:
                break
    return np.where(reached, total + np.log(np.where(reached, means, 1.0)), 0.0), alive


def _through_law(
    x: np.ndarray, layer: Layer, slope: float, signs: bool, generator: np.random.Generator
) -> tuple[float, np.ndarray]:
    """Return E log R of a layer with gain 1, and the signals behind it, each through weights of its own."""
    degrees = layer.in_degrees().numpy()
    few = (degrees > 0) & (degrees < FEW) if signs else np.zeros(len(degrees), dtype=bool)
    whole = layer.mask is None and getattr(layer.module, "groups", 1) == 1
    if whole:
        s = np.ones((1, layer.shape[0]))  # each unit hears all of a signal of mean square 1
    if not whole or few.any():
        heard = _heard(layer, degrees)
        s = s if whole else (heard @ (x**2).T).T
    noise = generator.standard_normal((len(x), layer.shape[0]))
    if not few.any():
        values, alive = expected_log(s, slope)
        log_ratio = float((values * alive).sum() / max(alive.sum(), np.finfo(float).tiny))
        return log_ratio, _measured(_activated(noise * np.sqrt(s), slope))[1]
    h = noise * np.sqrt(s)
    h[:, few] = _signed(x, heard[few], generator)
    return _measured(_activated(h, slope))


def _signed(x: np.ndarray, heard: sparse.csr_matrix, generator: np.random.Generator) -> np.ndarray:
    """Return h [signals, units] of random signs, new ones for every signal."""
    size, starts = np.sqrt(heard.data), heard.indptr[:-1]
    h = np.empty((len(x), heard.shape[0]))
    together = max(1, 2**20 // heard.nnz)
    for first in range(0, len(x), together):
        part = x[first : first + together, heard.indices]
        part *= size * (generator.integers(2, size=part.shape, dtype=np.int8) * 2 - 1)
        np.add.reduceat(part, starts, axis=1, out=h[first : first + together])
    return h


def _heard(layer: Layer, degrees: np.ndarray) -> sparse.csr_matrix:
    """Return 1 / in-degree for every weight there is, CSR [units, in-channels]; taps are entries of their own."""
    taps = math.prod(layer.shape[2:])
    if layer.mask is None:
        kept = np.ones((layer.shape[0], layer.shape[1] * taps), dtype=bool)
    else:
        kept = layer.mask.flatten(1).cpu().numpy()
    units, entries = kept.nonzero()
    groups = getattr(layer.module, "groups", 1)
    channels = entries // taps + units // (layer.shape[0] // groups) * layer.shape[1]
    ends = np.concatenate([[0], np.cumsum(degrees.astype(np.int64))])
    return sparse.csr_matrix((1 / degrees[units], channels, ends), shape=(layer.shape[0], _in_channels(layer)))


def _realised(x: np.ndarray, layer: Layer, weight: Tensor) -> np.ndarray:
    """Return h [signals, units] of the very weights."""
    groups = getattr(layer.module, "groups", 1)
    matrix = weight.flatten(2).sum(2) if weight.ndim > 2 else weight
    blocks = matrix.numpy().reshape(groups, -1, layer.shape[1])
    parts = x.astype(blocks.dtype).reshape(len(x), groups, -1).swapaxes(0, 1)
    return (parts @ blocks.swapaxes(1, 2)).swapaxes(0, 1).reshape(len(x), -1).astype(np.float64)


def _activated(h: np.ndarray, slope: float) -> np.ndarray:
    return np.where(h > 0, h, slope * h)


def _measured(x: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the mean of log mean square over the signals that live, and the signals with mean square 1 (or dead)."""
    sizes = (x**2).mean(axis=1)
    alive = sizes > 0
    x /= np.sqrt(np.where(alive, sizes, 1.0))[:, None]
    return (float(np.log(sizes[alive]).mean()) if alive.any() else 0.0), x


def _fitted(x: np.ndarray, channels: int, generator: np.random.Generator) -> np.ndarray:
    """Return the signals as the next layer reads them: as they are, each channel several times, or Gaussian anew."""
    if x.shape[1] and channels % x.shape[1] == 0:
        return np.repeat(x, channels // x.shape[1], axis=1)
    return _measured(generator.standard_normal((len(x), channels)))[1]


def _in_channels(layer: Layer) -> int:
    return layer.shape[1] * int(getattr(layer.module, "groups", 1))
