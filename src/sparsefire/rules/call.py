"""How every rule is called, and what all of them do with inputs, losses and gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError

LossFunction = Callable[[Any, Any], Tensor]


class Rule(Protocol):
    """Estimate the gradient of ``loss_fn(net(x), y)``, add it to ``.grad`` of the parameters, return the loss.

    ``x`` is a tensor, a tuple (``net(*x)``) or a mapping (``net(**x)``); ``y`` is anything ``loss_fn`` understands;
    the loss is a scalar. ``dense_gradients`` says whether absent weights get a gradient when a topology asks for one.
    """

    dense_gradients: bool

    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor: ...


def call(net: Callable[..., Any], x: Any) -> Any:
    """Apply a network to a tensor, a tuple of positional or a mapping of named inputs."""
    if isinstance(x, Mapping):
        return net(**x)
    if isinstance(x, tuple):
        return net(*x)
    return net(x)


def scalar(loss: Any) -> Tensor:
    """Return the loss, or raise when it is not one number."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        came = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise UserError(
            "a rule needs one loss for the batch.",
            came=came,
            expected='a scalar tensor, such as reduction="mean" gives',
        )
    return loss.reshape(())


@torch.no_grad()
def add_gradient_(parameter: nn.Parameter, gradient: Tensor) -> None:
    """Accumulate into ``.grad``, as backward does."""
    if parameter.grad is None:
        parameter.grad = gradient.detach().clone()
    else:
        parameter.grad.add_(gradient)
