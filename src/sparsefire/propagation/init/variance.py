"""Initialisers by variance: independent weights whose scale fits the in-degree of each unit in its mask.

In-degree of a unit: how many weights reach it, over in-channels and taps for a convolution. A unit that nothing
reaches stays at zero.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.masks import Masked
from sparsefire.propagation.init import population
from sparsefire.propagation.init.walk import Layer, gain_of, generators, layers_of, write_


def in_degree_(net: nn.Module, *, gain: Any = "relu", weights: str = "normal", rng: Any = None) -> nn.Module:
    """Draw weights of variance gain² / in-degree, unit by unit, in place, and return the network.

    With the gain √2 of ReLU a layer keeps the mean square of its input over the draws of weights (He et al.,
    arXiv:1502.01852; by actual in-degree: Evci et al., arXiv:2010.03533). The typical signal still shrinks with depth,
    faster the narrower and sparser the layers: :func:`typical_`.

    Args:
        net: linear and convolutional layers, masked or not. Their biases become zero; all else is left alone.
        gain: a number above 0, or an activation that ``torch.nn.init.calculate_gain`` knows; ``"relu"`` is √2.
        weights: ``"normal"``, ``"uniform"`` (symmetric about 0) or ``"sign"`` (one magnitude per unit).
        rng: see :func:`sparsefire.randomness.entropy`.

    Raises:
        UserError: another gain or law, no such layer, a weight with a parametrisation of its own. Nothing is written.

    >>> net = in_degree_(nn.Linear(8, 4), gain=1.0, weights="sign", rng=0)
    >>> net.weight.abs().unique().tolist(), net.bias.tolist()
    ([0.3535533845424652], [0.0, 0.0, 0.0, 0.0])
    """
    scale = gain_of(gain)
    _check_weights(weights, tuple(_UNIT))
    found = writable(net)
    for layer, generator in zip(found, generators(rng, len(found)), strict=True):
        write_(layer, draw(layer, weights, generator, scale))
    return net


def signs_(net: nn.Module, *, gain: Any = "relu", rng: Any = None) -> nn.Module:
    """Give every weight of a unit the magnitude gain / √in-degree and a random sign, in place; return the network.

    For layers with very few weights per unit. The kurtosis of pre-activations stays finite with depth for fan-ins
    above 2 μ4, μ4 = E w⁴ / (E w²)²: from 3 on with signs (μ4 = 1), from 7 on with normal weights (μ4 = 3); see
    :func:`sparsefire.propagation.kurtosis`. Signed constants: arXiv:1905.01067, arXiv:1911.13299.

    Args:
        net, gain, rng: as of :func:`in_degree_`. Signs are independent and fair, not balanced.

    Raises:
        UserError: as of :func:`in_degree_`.

    >>> signs_(nn.Linear(2, 3, bias=False), rng=0).weight.abs().tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]
    """
    return in_degree_(net, gain=gain, weights="sign", rng=rng)


def typical_(
    net: nn.Module, *, weights: str = "normal", activation: Any = "relu", realised: bool = False, rng: Any = None
) -> nn.Module:
    """Draw weights of variance gain² / in-degree, the gain per layer keeping the typical signal; return the network.

    The gain of layer l solves E log R = 0, with R = (|x_l|² / n_l) / (|x_(l−1)|² / n_(l−1)), so that log |x_l|² has no
    drift. Its median is then 0 up to a skewness that does not grow with depth, while the mean of |x_l|² does grow.
    The mean is over weights given the actual masks: a population of random signals, each with weights of its own, is
    carried from a dense Gaussian input through the layers (:mod:`sparsefire.propagation.init.population`), and with it
    how many units a signal lives on. For dense normal layers the gain is exact:

        log gain² = log n − Σ_j Bin(n, ½)(j) (ψ(j/2) + log 2) / (1 − 2⁻ⁿ),  j ≥ 1

    Zero Lyapunov exponents as a criterion: arXiv:2602.10949; the finite-width chain: arXiv:1806.06362; rescaling layer
    after layer: arXiv:1511.06422. Only the forward signal is kept; gradients are not looked at. Layers count as one
    chain in the order of the modules, with the activation after each but the last; norms, residual and other branches
    are not followed. A convolution is treated as if all positions carried the same signal, which depth makes of them
    only slowly, and without the edge effects of padding; a linear layer after it as reading each channel several times.
    Where positions differ, their fluctuations average out and this corrects too much: in networks of few channels it
    may end further above the input than :func:`in_degree_` ends below.

    Args:
        net: as of :func:`in_degree_`.
        weights: ``"normal"``, or ``"sign"`` as in :func:`signs_`.
        activation: ``"relu"``, ``"linear"``, or the negative slope of a leaky ReLU as a number in [−1, 1].
        realised: take the gain that keeps log |x|² on average over random inputs to *these* weights, instead of the
            average over weights. What remains is the spread between inputs; layers are then no longer independent.
        rng: see :func:`sparsefire.randomness.entropy`.

    Raises:
        UserError: as of :func:`in_degree_`; an activation that is not homogeneous; two layers with one weight; a layer
            that no signal passes. Nothing is written.

    >>> net = nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 4))
    >>> typical_(net, rng=0) is net
    True
    """
    slope = _slope(activation)
    _check_weights(weights, ("normal", "sign"))
    found = writable(net)
    check_untied(found)
    own = list(generators(rng, len(found)))
    drawn = [draw(layer, weights, generator) for layer, generator in zip(found, own, strict=True)] if realised else None
    gains = population.gains(found, slope, signs=weights == "sign", drawn=drawn, rng=rng)
    for position, (layer, gain) in enumerate(zip(found, gains, strict=True)):
        write_(layer, draw(layer, weights, own[position], gain) if drawn is None else drawn[position].mul_(gain))
    return net


def draw(layer: Layer, weights: str, generator: torch.Generator, gain: float = 1.0) -> Tensor:
    """Return independent weights of variance gain² / in-degree of their unit, zero outside the mask.

    In float64 for a layer of float64, else in float32.
    """
    dtype = torch.float64 if layer.module.weight.dtype == torch.float64 else torch.float32
    weight: Tensor = _UNIT[weights](torch.empty(layer.shape, dtype=dtype), generator)
    scale = (gain * layer.in_degrees().clamp(min=1).rsqrt()).to(dtype)
    weight *= scale.reshape(-1, *[1] * (len(layer.shape) - 1))
    return weight if layer.mask is None else weight.mul_(layer.mask.to(weight.device))


def writable(net: nn.Module) -> list[Layer]:
    """Return the layers, or raise if the weight of one is made from others: what is written would not be what acts."""
    found = layers_of(net)
    for layer in found:
        module: Any = layer.module
        if parametrize.is_parametrized(module, "weight"):
            others = [part for part in module.parametrizations["weight"] if not isinstance(part, Masked)]
        else:
            others = [] if "weight" in module._parameters else [module]
        if others:
            raise UserError(
                f"the weight of {layer.label} is made from other tensors, such as by a weight norm or torch's pruning.",
                came=", ".join(type(part).__name__ for part in others),
                expected="a plain weight, or one masked by sparsify",
                attempt="initialise first, and parametrise then",
            )
    return found


def check_untied(found: list[Layer]) -> None:
    """Raise if two layers hold the same weight, which cannot play two parts."""
    owners: dict[int, Layer] = {}
    for layer in found:
        other = owners.setdefault(id(masks.own_parameter(layer.module)), layer)
        if other is not layer:
            raise UserError(
                f"{layer.label} shares its weight with {other.label}.", expected="a weight of its own for every layer"
            )


_UNIT: dict[str, Any] = {  # laws of variance 1
    "normal": lambda empty, generator: empty.normal_(generator=generator),
    "uniform": lambda empty, generator: empty.uniform_(-math.sqrt(3), math.sqrt(3), generator=generator),
    "sign": lambda empty, generator: empty.random_(2, generator=generator).mul_(2).sub_(1),
}


def _check_weights(weights: Any, names: tuple[str, ...]) -> None:
    if not isinstance(weights, str) or weights not in names:
        raise UserError(
            "there is no such law of weights.", came=f"weights={weights!r}", expected=f"one of {', '.join(names)}"
        )


def _slope(activation: Any) -> float:
    named = {"relu": 0.0, "linear": 1.0}
    if isinstance(activation, str) and activation in named:
        return named[activation]
    if isinstance(activation, int | float) and not isinstance(activation, bool) and -1 <= activation <= 1:
        return float(activation)
    raise UserError(
        "a typical signal is kept by scale alone only through an activation with φ(c h) = c φ(h) for c > 0.",
        came=f"activation={activation!r}",
        expected="'relu', 'linear', or the slope of a leaky ReLU in [-1, 1]",
        attempt="sf.propagation.critical_line for the gain of other activations",
    )
