"""Back-propagation, as a rule among others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction, call, rows_of, scalar


@dataclass(eq=False)
class Backprop:
    """The exact gradient by reverse-mode differentiation: ``loss.backward()``.

    >>> net = nn.Linear(2, 1)
    >>> loss = Backprop()(net, nn.functional.mse_loss, torch.ones(4, 2), torch.zeros(4, 1))
    >>> net.weight.grad.shape
    torch.Size([1, 2])
    """

    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    dense_gradients: ClassVar[bool] = True
    per_example: ClassVar[bool] = False

    @torch.enable_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        loss = scalar(loss_fn(call(net, x), y))
        loss.backward()
        self.budget.add(rows_of(x), 1, 3)
        return loss.detach()
