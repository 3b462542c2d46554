"""How every rule is called, and what all of them do with inputs, losses and gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import Diverged, UserError
from sparsefire.rules.budget import Budget

LossFunction = Callable[[Any, Any], Tensor]


class Rule(Protocol):
    """Estimate the gradient of ``loss_fn(net(x), y)``, add it to ``.grad`` of the parameters, return the loss.

    ``x`` is a tensor, a tuple (``net(*x)``) or a mapping (``net(**x)``); ``y`` is anything ``loss_fn`` understands;
    the loss is a scalar, or one number per row for rules that say ``per_example``. ``dense_gradients`` says whether
    absent weights get a gradient when a topology asks for one.
    """

    budget: Budget

    @property
    def dense_gradients(self) -> bool: ...

    @property
    def per_example(self) -> bool: ...

    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor: ...


def call(net: Callable[..., Any], x: Any) -> Any:
    """Apply a network to a tensor, a tuple of positional or a mapping of named inputs."""
    if isinstance(x, Mapping):
        return net(**x)
    if isinstance(x, tuple):
        return net(*x)
    return net(x)


def rows_of(x: Any) -> int:
    """Return how many rows a batch has: the length of its first tensor."""
    if isinstance(x, Tensor):
        return len(x)
    parts = x.values() if isinstance(x, Mapping) else x
    return next((len(part) for part in parts if isinstance(part, Tensor) and part.ndim), 1)


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


def per_row(loss: Any, rows: int, rule: str) -> Tensor:
    """Return the losses, one number per row, or raise when they are not.

    Args:
        loss: what the loss function returned.
        rows: of the batch.
        rule: its name, for the message.
    """
    if not isinstance(loss, Tensor) or loss.ndim < 1 or loss.shape[0] != rows or loss.numel() != rows:
        came = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise UserError(
            f"{rule} needs one loss per row.",
            came=came,
            expected=f'shape ({rows},), such as reduction="none" gives',
        )
    return loss.reshape(rows)


def finite(losses: Tensor, budget: Budget, what: str = "losses") -> Tensor:
    """Return the losses, or raise when one is NaN or infinite; nothing has been changed by then."""
    if not bool(torch.isfinite(losses).all()):
        bad = losses[~torch.isfinite(losses)].flatten()
        raise Diverged(
            f"the loss is not a number at call {budget.calls + 1} of the rule.",
            came=f"{len(bad)} of {losses.numel()} {what} are {float(bad[0])}",
            expected=f"finite {what}; the parameters are as they were before this call",
            attempt="a smaller learning rate or a smaller perturbation",
        )
    return losses


@torch.no_grad()
def add_gradient_(parameter: nn.Parameter, gradient: Tensor) -> None:
    """Accumulate into ``.grad`` as backward does: in the parameter's layout of memory, which fused steps rely on."""
    if parameter.grad is None:
        parameter.grad = torch.empty_like(parameter).copy_(gradient)
    else:
        parameter.grad.add_(gradient)


def refuse_dense_request(net: nn.Module, rule: str) -> None:
    """Raise when a topology asks for the gradient of absent weights, which this rule does not see."""
    for module in masks.masked(net).values():
        masked = masks.mask_of(module)
        if masked is not None and masked.dense_gradient:
            raise UserError(
                f"this topology needs the gradient of absent weights, and {rule} fills only active ones.",
                came="a topology that grows by gradient, such as rigl",
                expected="one that grows without: set or chts; or that grows nothing: static, gmp, sign-in, lrr",
            )
