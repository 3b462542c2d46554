"""The whole law of a pre-activation through sparse layers: density evolution.

Units of a layer get K inputs from units of the layer before, over weights of one symmetric law, and many units make
these independent (in-trees do not meet: width ≫ fan-in^depth). Then the law of h = Σ w_j φ(h_j) + b follows from that
of the layer before in three steps, which are those of cascades on random networks
(:func:`~sparsefire.cascades.approximate.ensembles.mean_field`, with which the laws of degrees are shared): what one
edge delivers, its convolution over the fan-in by the generating function of the degrees, the response of a unit. Loads
of cascades are multiples of a least one; here they are real, with a peak at 0 and heavy tails. So all is done in
log |h|:

    edge      ω(t) = E ψ(t φ(h)),   ψ the characteristic function of a weight
    fan-in    Φ(t) = G(ω(t)) exp(-σ_b² t² / 2),   G(z) = Σ p_k z^k
    response  P(0 < |h| ≤ x) = 2/π ∫ (Φ(t) - P(h = 0)) sin(t x) d log t,    P(h = 0) = G(P(φ(h) = 0))

Both integrals are convolutions in log t + log x of functions that are smooth in the logarithms, where sums over equal
steps converge faster than any power of the step. sin and cos are faded out before steps are too long for them
(:func:`~sparsefire.propagation.laws._log_grid.fade`), which blurs laws by about a step.

The name is from decoding on sparse graphs (Richardson & Urbanke 2001, doi:10.1109/18.910577); for sparse networks
derived here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sparsefire.errors import UserError
from sparsefire.propagation.laws._log_grid import FADED, MOST_CELLS, correlate, faded, share_out, steps
from sparsefire.propagation.laws.activations import Activation, homogeneous
from sparsefire.propagation.laws.activations import activation as named
from sparsefire.propagation.laws.closure import Sums, homogeneous_fourth, layer_moments, number, sums
from sparsefire.propagation.laws.moments import check_inputs, generating, per_layer, weight_variances
from sparsefire.propagation.laws.signal_law import SignalLaw

TAIL = 1e-13  # mass that is not resolved on either side of a grid
MARGIN = 36.0  # e-folds of t below 1/x: what is left out weighs e^-36
MOST_LOG = 690.0  # of |h|, for float64

_WEIGHTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "normal": lambda z: np.exp(-z * z / 2),
    "uniform": lambda z: np.sinc(z * np.sqrt(3) / np.pi),
    "sign": np.cos,
}


def density_evolution(
    fan_in: Any,
    depth: int | None = None,
    weights: str = "normal",
    *,
    activation: Any = "relu",
    weight_variance: float = 2.0,
    bias_variance: float = 0.0,
    scaled: str = "mean",
    start: Any = None,
    inputs: str = "activated",
    points: int = 32,
) -> list[SignalLaw]:
    """Return the laws of the pre-activations of layers 1 … depth of a wide sparse network.

    Args:
        fan_in: a number, a law or a Wiring for all layers, or a list with one per layer: see
            :func:`~sparsefire.propagation.laws.moments.per_layer`.
        depth: number of layers; may be left out where a list tells it.
        weights: ``"normal"``, ``"uniform"`` or ``"sign"``.
        activation: see :func:`~sparsefire.propagation.laws.activations.activation`.
        weight_variance: σ_w², variance of a weight times its fan-in; 2 keeps E h² of ReLU layers.
        bias_variance: σ_b² of normal biases.
        scaled: ``"mean"``: weights have variance σ_w² / E k; ``"actual"``: σ_w² / k, k the unit's own fan-in.
        start: None for standard normal; a frozen continuous law of ``scipy.stats``; or values, each alike.
        inputs: ``"activated"``: the start is the law of h_0, and φ acts on it; ``"plain"``: it is that of x_0 itself,
            which goes into the first layer as it is.
        points: steps per e-fold of |h|, 16 or more. 32 gives the distribution function to about 1e-10 at the steps and
            1e-8 between them; where φ has kinks other than at 0, 1e-4, and where signs add up numbers of few
            magnitudes, 1e-2: see ``error`` of the laws, which is that of half as many points.

    Raises:
        UserError: weights without a named law, a law that spreads over more than 2^19 steps, wrong arguments.

    Weights of one magnitude make atoms where inputs have atoms (those of hard_tanh, values given): they are blurred.

    >>> laws = density_evolution(3, depth=20)
    >>> round(laws[19].dead(), 5), round(laws[0].kurtosis(), 9), round(float(laws[0].quantile(0.95)), 6)
    (0.23607, 8.0, 1.6313)
    """
    if not isinstance(weights, str) or weights not in _WEIGHTS:
        raise UserError("a law of weights has a name here.", came=repr(weights), expected=", ".join(sorted(_WEIGHTS)))
    check_inputs(inputs)
    if isinstance(points, bool) or not isinstance(points, int | np.integer) or points < 16:
        raise UserError("points is a whole number.", came=repr(points), expected="16 or more")
    bias = number(bias_variance, "bias variance")
    layers = [
        _Layer(law, weight_variances(law, float(weight_variance), scaled), by, weights, bias)
        for law in per_layer(fan_in, depth)
        for by in [sums(weight_variance, law, weights, scaled)]
    ]
    phi = named(activation)
    first = phi if inputs == "activated" else homogeneous(1.0, 1.0)
    fine, coarse = (_run(layers, phi, _start(start, first, n), n) for n in (int(points), int(points) // 2))
    return [
        replace(one, error=float(np.abs(one.within(two.grid) - two.below).max(initial=0.0)))
        for one, two in zip(fine, coarse, strict=True)
    ]


class _Layer(NamedTuple):
    law: np.ndarray
    variances: np.ndarray  # of a weight, by fan-in
    by: Sums
    weights: str
    bias: float


class _Delivered(NamedTuple):
    """What an edge takes up before its weight: the law of |φ(h)| in parts (masses, first step, shift of log)."""

    parts: list[tuple[np.ndarray, int, float]]
    zero: float  # P(φ(h) = 0)
    second: float
    fourth: float


def _run(layers: list[_Layer], phi: Activation, given: _Delivered, points: int) -> list[SignalLaw]:
    found: list[SignalLaw] = []
    for layer in layers:
        found.append(_unit(layer, given, points))
        given = _edge(found[-1], phi, points)
    return found


def _start(start: Any, phi: Activation, points: int) -> _Delivered:
    if start is None:
        lowest = -40 * points
        x = steps(lowest, (40 + 3) * points, points)
        x = x[x < 9]
        mass = np.sqrt(2 / np.pi) * np.exp(-x * x / 2) * x / points
        return _edge(SignalLaw(x, mass / mass.sum(), np.cumsum(mass), 0.0, (1.0, 3.0), 0.0), phi, points)
    if hasattr(start, "ppf") and hasattr(start, "isf") and hasattr(start, "pdf"):
        ends = 0.5 ** np.arange(1, 50)  # panels halve towards both ends of the law
        g, weight = np.polynomial.legendre.leggauss(24)
        tails = (ends[:-1] + ends[1:])[:, None] / 2 + (ends[:-1] - ends[1:])[:, None] / 2 * g
        masses = np.broadcast_to((ends[:-1] - ends[1:])[:, None] / 2 * weight, tails.shape).ravel()
        values = np.concatenate([start.ppf(tails.ravel()), start.isf(tails.ravel())])
        masses = np.concatenate([masses, masses])
    else:
        values = np.asarray(start, dtype=np.float64).ravel()
        masses = np.full(len(values), 1 / max(len(values), 1))
    if not len(values) or not np.isfinite(values).all():
        raise UserError(
            "the start is a law of inputs.",
            came=repr(start)[:80],
            expected="None, a frozen continuous law of scipy.stats, or finite numbers",
        )
    after, masses = phi(values), masses / masses.sum()
    return _points(after, masses, float(masses @ after**2), float(masses @ after**4), points)


def _edge(law: SignalLaw, phi: Activation, points: int) -> _Delivered:
    """Return the law of |φ(h)|; its moments as those of two straight lines, which are exact, and the rest by sums."""
    square, fourth = (m * part for m, part in zip(law.moments, (phi.squares, homogeneous_fourth(phi)), strict=True))
    if phi.homogeneous:
        lowest = round(np.log(law.grid[0]) * points) if len(law.grid) else 0
        parts = [(law.mass / 2, lowest, float(np.log(abs(a)))) for a in phi.slopes if a and len(law.grid)]
        return _Delivered(parts, law.atom + (1 - law.atom) * phi.slopes.count(0.0) / 2, square, fourth)
    x = np.concatenate([law.grid, -law.grid, [0.0]])
    masses = np.concatenate([law.mass / 2, law.mass / 2, [law.atom]])
    values, lines = phi(x), np.where(x > 0, phi.slopes[1], phi.slopes[0]) * x
    square += float(masses @ (values**2 - lines**2))
    return _points(values, masses, square, fourth + float(masses @ (values**4 - lines**4)), points)


def _points(values: np.ndarray, masses: np.ndarray, second: float, fourth: float, points: int) -> _Delivered:
    size = np.abs(values)
    live = (size > np.exp(-MOST_LOG)) & (masses != 0)
    zero = float(masses[~live].sum())
    if not live.any():
        return _Delivered([], 1.0, second, fourth)
    return _Delivered([(*share_out(np.log(size[live]), masses[live], points), 0.0)], zero, second, fourth)


def _unit(layer: _Layer, given: _Delivered, points: int) -> SignalLaw:
    """Return the law of h = Σ w_j x_j + b."""
    moments = layer_moments(layer.by, given.second, given.fourth, layer.bias)
    atom = 0.0 if layer.bias else float(generating(layer.law, given.zero))
    if not moments[0] > 0 or 1 - atom <= TAIL:
        return SignalLaw(np.empty(0), np.empty(0), np.empty(0), 1.0 if not moments[0] > 0 else atom, moments, 0.0)
    highest = int(np.ceil(points * min(np.log(moments[0] / TAIL) / 2, np.log(moments[1] / TAIL) / 4)))
    lowest = int(points * (np.log(moments[0]) / 2 - 24))
    while True:
        if highest - lowest > MOST_CELLS:
            raise UserError(
                "this law spreads over too many scales.",
                came=f"more than {MOST_CELLS:,} steps",
                attempt=f"points={points // 2}, or fewer layers",
            )
        below, mass = _respond(layer, given, atom, lowest, highest, points)
        noise = max(TAIL, 2 * abs(below[-1] - 1 + atom), 8 * -float(mass.min()))
        if below[0] <= noise or lowest <= -MOST_LOG * points:
            break
        lowest = max(lowest - max(16 * points, (highest - lowest) // 2), int(-MOST_LOG * points))
    from_, to = np.argmax(below > noise), len(below) - np.argmax((below < 1 - atom - noise)[::-1])
    kept = slice(max(int(from_) - 1, 0), min(int(to) + 1, len(below)))
    mass, below = np.maximum(mass[kept], 0.0), np.maximum.accumulate(np.clip(below[kept], 0.0, 1 - atom))
    mass *= (1 - atom) / mass.sum()
    grid = steps(lowest, highest - lowest + 1, points)[kept]
    for values in (grid, mass, below):
        values.setflags(write=False)
    return SignalLaw(grid, mass, below, atom, moments, noise)


def _respond(
    layer: _Layer, given: _Delivered, atom: float, lowest: int, highest: int, points: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return P(0 < |h| ≤ x) and the masses at x, on the grid from ``lowest`` to ``highest``."""
    first = -highest - int(MARGIN * points)
    count = int(np.log(FADED * points) * points) - lowest - first + 1
    rest = _transform(layer, given, first, count, points) - atom
    z = steps(first + lowest, count + highest - lowest, points)
    sums_ = correlate(rest, [faded(np.sin, z, points), faded(lambda z: z * np.cos(z), z, points)])
    return sums_[0] * (2 / np.pi / points), sums_[1] * (2 / np.pi / points**2)


def _transform(layer: _Layer, given: _Delivered, first: int, count: int, points: int) -> np.ndarray:
    """Return Φ(t) on the grid of t."""
    held = [k for k in np.flatnonzero(layer.law) if k and layer.variances[k] > 0]
    if len({layer.variances[k] for k in held}) <= 1:
        v = layer.variances[held[0]] if held else 0.0
        found = generating(layer.law, _one_weight(layer.weights, v, given, first, count, points))
    else:
        found = np.full(count, layer.law[0])
        for k in held:
            found += layer.law[k] * _one_weight(layer.weights, layer.variances[k], given, first, count, points) ** k
    if layer.bias:
        t = steps(first, count, points)
        with np.errstate(over="ignore"):
            found = found * np.exp(-layer.bias / 2 * t * t)
    return found


def _one_weight(weights: str, variance: float, given: _Delivered, first: int, count: int, points: int) -> np.ndarray:
    """Return ω(t) = E ψ(t x) on the grid of t."""
    found = np.full(count, given.zero)
    if variance == 0:
        return np.ones(count)
    for masses, lowest, shift in given.parts:
        z = steps(first + lowest, count + len(masses) - 1, points, shift + np.log(variance) / 2)
        found += correlate(masses, [faded(_WEIGHTS[weights], z, points)])[0]
    return found
