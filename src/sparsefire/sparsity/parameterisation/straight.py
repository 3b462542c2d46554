"""Straight-through top-k: sparse forward, dense backward.

T. Lin, S. U. Stich, L. Barba, D. Dmitriev, M. Jaggi. Dynamic model pruning with feedback, ICLR 2020. arXiv:2006.07253
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire.masks import Masked


class StraightThrough(Masked):
    """Parametrisation that keeps all weights, shows those in its mask, and passes the gradient on to all.

    All weights live in ``reserve``, a new parameter; the layer's own Parameter rests, without a gradient, until the
    network is baked. :class:`~sparsefire.sparsity.topology.steered.TopK` says which are in the mask.

    Args:
        mask: bool, of the weight's shape.
        theta: the weight to start from.

    >>> top = StraightThrough(torch.tensor([True, False]), torch.tensor([2.0, 1.0]))
    >>> shown = top(torch.zeros(2)); shown.sum().backward(); shown.tolist(), top.reserve.grad.tolist()
    ([2.0, 0.0], [1.0, 1.0])
    """

    def __init__(self, mask: Tensor, theta: Tensor) -> None:
        super().__init__(mask)
        self.reserve = nn.Parameter(theta.detach().clone())

    def forward(self, weight: Tensor) -> Any:
        return self.reserve * self.kept + (self.reserve - self.reserve.detach()) * (1 - self.kept)

    def value(self, weight: Tensor) -> Tensor:
        return self.reserve

    def slope(self, weight: Tensor) -> float:
        return 0.0

    @torch.no_grad()
    def right_inverse(self, weight: Tensor) -> Tensor:
        self.reserve.copy_(weight)
        return super().right_inverse(weight)

    def factors(self) -> Iterator[nn.Parameter]:
        yield from ()  # the reserve is dense
