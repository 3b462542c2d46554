"""The wall that derivatives do not pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError


class _Wall(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise UserError(
            "this chip has no backward pass.",
            came="a derivative through the network",
            expected="a rule without derivatives: NodePerturbation, TwoQuery, WeightPerturbation, OneQuery, SPSA, STDP",
            attempt="constrain(net, backward=True) to train beside the chip",
        )


def walled(value: Any) -> Any:
    """Return the value with every tensor in it behind the wall, where a derivative would be recorded."""
    if isinstance(value, Tensor):
        return _Wall.apply(value) if torch.is_grad_enabled() and value.requires_grad else value
    if isinstance(value, tuple):
        parts = [walled(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def _before(_: nn.Module, inputs: tuple[Any, ...]) -> Any:
    return walled(inputs)


def _after(_: nn.Module, __: Any, output: Any) -> Any:
    return walled(output)


def wall_off(net: nn.Module, parts: list[nn.Module]) -> None:
    """Refuse derivatives of what a network returns, and of what its parts return by what they receive."""
    for part in parts:
        part.register_forward_pre_hook(_before)
    net.register_forward_hook(_after)
