"""Derivatives that stand in for that of a spike: the step function itself is flat wherever it is smooth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sparsefire.errors import UserError
from sparsefire.spiking._numbers import choice, number

SHAPES = ("fast-sigmoid", "arctan", "triangle", "sigmoid")


def surrogate_slope(distance: Tensor, shape: str, steepness: float) -> Tensor:
    """Return the derivative used in place of that of 1[distance > 0], of the shape of ``distance``.

    With x = v − threshold and steepness β: ``"fast-sigmoid"`` 1/(1 + β|x|)² (Zenke, Ganguli 2018,
    doi:10.1162/neco_a_01086), ``"arctan"`` 1/(1 + (πβx/2)²) (Fang et al. 2021, arXiv:2007.05785, up to its factor β/2),
    ``"triangle"`` max(0, 1 − β|x|) (Bellec et al. 2018, arXiv:1803.09574), ``"sigmoid"`` 4σ(βx)(1 − σ(βx)). All are 1
    at x = 0, so that shapes can be compared at one scale (Zenke, Vogels 2021, doi:10.1162/neco_a_01367).

    >>> surrogate_slope(torch.tensor([0.0, 0.1]), "fast-sigmoid", 10.0).tolist()
    [1.0, 0.25]
    """
    _check(distance, shape, steepness)
    if shape == "fast-sigmoid":
        return (1 + steepness * distance.abs()).square().reciprocal()
    if shape == "arctan":
        return (1 + (torch.pi / 2 * steepness * distance).square()).reciprocal()
    if shape == "triangle":
        return (1 - steepness * distance.abs()).clamp(min=0)
    half = torch.sigmoid(steepness * distance)
    return 4 * half * (1 - half)


class _Spike(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(distance: Tensor, shape: str, steepness: float) -> Tensor:
        return (distance > 0).to(distance.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        distance, ctx.shape, ctx.steepness = inputs
        ctx.save_for_backward(distance)
        ctx.save_for_forward(distance)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (distance,) = ctx.saved_tensors
        return grad * surrogate_slope(distance, ctx.shape, ctx.steepness), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        (distance,) = ctx.saved_tensors
        return tangent * surrogate_slope(distance, ctx.shape, ctx.steepness)


def spike(distance: Tensor, shape: str = "fast-sigmoid", steepness: float = 10.0) -> Tensor:
    """Return 1 where ``distance`` > 0, else 0, with the derivative of :func:`surrogate_slope`.

    >>> distance = torch.tensor([-0.1, 0.1], requires_grad=True)
    >>> fired = spike(distance); fired.sum().backward(); fired.tolist(), distance.grad.tolist()
    ([0.0, 1.0], [0.25, 0.25])
    """
    _check(distance, shape, steepness)
    return _Spike.apply(distance, shape, steepness)


def _check(distance: Any, shape: Any, steepness: Any) -> None:
    if not isinstance(distance, Tensor) or not distance.is_floating_point():
        came = f"{distance.dtype}" if isinstance(distance, Tensor) else type(distance).__name__
        raise UserError("a distance is a floating-point tensor.", came=came, expected="v − threshold")
    choice("surrogate", shape, SHAPES)
    number("steepness", steepness)
