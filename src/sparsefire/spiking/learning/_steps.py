"""What rules that go through a sequence step by step share: inputs, targets and losses of each step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.call import LossFunction, add_gradient_, scalar


def sequence(x: Any, rule: str) -> Tensor:
    """Return the input, or raise when it is no sequence [time, batch, …] of at least one step."""
    if not isinstance(x, Tensor) or x.ndim < 3 or not len(x) or not x.is_floating_point():
        came = f"{x.dtype}, shape {list(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise UserError(f"{rule} reads a sequence.", came=came, expected="a floating-point tensor [time, batch, …]")
    return x.detach()


def parts_of(net: Any, rule: str) -> list[nn.Module]:
    """Return the parts of a chain, or raise when the network is none."""
    if not isinstance(net, nn.Sequential):
        raise UserError(f"{rule} reads a chain.", came=type(net).__name__, expected="sf.spiking.Sequential")
    return list(net)


def refuse_learned_neurons(neuron: nn.Module, rule: str) -> None:
    """Raise when parameters of a neuron ask for gradients, which these rules do not form."""
    for name, parameter in neuron.named_parameters(recurse=False):
        if parameter.requires_grad:
            raise UserError(
                f"{rule} learns weights, not parameters of neurons.", came=f"{name} of {type(neuron).__name__}",
                expected="a number or tensor that is no nn.Parameter",
            )  # fmt: skip


def target(y: Any, step: int, steps: int, each_step: bool) -> Any:
    """Return what the output of a step should be."""
    if not each_step:
        return y
    if not isinstance(y, Tensor) or y.ndim < 1 or len(y) != steps:
        came = f"shape {list(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        raise UserError("there is a target for each step.", came=came, expected=f"a tensor of {steps} steps first")
    return y[step]


def loss_of(loss_fn: LossFunction, output: Tensor, wanted: Any, step: int) -> Tensor:
    """Return the loss of a step, or raise when it is not one finite number."""
    loss = scalar(loss_fn(output, wanted))
    if not bool(torch.isfinite(loss.detach())):
        raise UserError(
            "the loss is not a number.", came=f"{float(loss.detach())} at step {step}",
            expected="finite losses; no gradient has been changed", attempt="a smaller learning rate",
        )  # fmt: skip
    return loss


def add_gradients(parameters: list[nn.Parameter], gradients: list[Tensor | None]) -> None:
    """Accumulate into ``.grad``; parameters that nothing reached are left alone."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            add_gradient_(parameter, gradient)
