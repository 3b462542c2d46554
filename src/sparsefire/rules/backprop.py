"""Back-propagation, as a rule among others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sparsefire.rules.call import LossFunction, call, scalar


@dataclass(frozen=True)
class Backprop:
    """The exact gradient by reverse-mode differentiation: ``loss.backward()``.

    >>> import torch
    >>> net = nn.Linear(2, 1)
    >>> loss = Backprop()(net, nn.functional.mse_loss, torch.ones(4, 2), torch.zeros(4, 1))
    >>> net.weight.grad.shape
    torch.Size([1, 2])
    """

    dense_gradients = True

    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        loss = scalar(loss_fn(call(net, x), y))
        loss.backward()
        return loss.detach()
