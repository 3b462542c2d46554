"""Powerpropagation: weights that are powers, so that the large ones learn faster and the small ones stay small.

J. Schwarz, S. M. Jayakumar, R. Pascanu, P. E. Latham, Y. W. Teh. Powerpropagation: a sparsity inducing weight
reparameterisation, NeurIPS 2021. arXiv:2110.00296
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsefire.errors import UserError
from sparsefire.masks import Masked
from sparsefire.sparsity.parameterisation.spred import typical

SHY = 0.1  # magnitude of φ at which a weight enters, in typical ones


class Power(Masked):
    """Parametrisation w = φ |φ|^(a − 1), with slope a |φ|^(a − 1). Zero is a critical point: signs stay.

    A weight that has just entered cannot start at zero, where its gradient vanishes. It starts at a tenth of the
    typical φ (a hundredth of the typical weight for a = 2), on the side that its gradient points to where there is one.

    Args:
        mask: bool, of the weight's shape.
        theta: the weight to start from.
        power: a, 1 or more; 1 leaves the weight as it is.

    >>> power = Power(torch.ones(2, dtype=torch.bool), torch.zeros(2), 3.0)
    >>> power.value(torch.tensor([2.0, -1.0])).tolist(), power.slope(torch.tensor([2.0, -1.0])).tolist()
    ([8.0, -1.0], [12.0, 3.0])
    """

    def __init__(self, mask: Tensor, theta: Tensor, power: float = 2.0) -> None:
        super().__init__(mask)
        if not power >= 1:
            raise UserError("the power must not be below one.", came=f"power={power}", expected="1 or more, such as 2")
        self.power = power

    def value(self, weight: Tensor) -> Tensor:
        steep = weight.detach().abs().pow(self.power - 1)
        # The second part is zero, its gradient is not: that of |φ|^(a − 1) would be 0 · ∞ at zero for a below 2.
        return weight * steep + (self.power - 1) * steep * (weight - weight.detach())

    def slope(self, weight: Tensor) -> Tensor:
        return self.power * weight.abs().pow(self.power - 1)

    @torch.no_grad()
    def awaken_(self, fresh: Tensor, weight: Tensor) -> None:
        weight[fresh] = (downhill(weight) * (SHY * typical(weight)))[fresh]

    @torch.no_grad()
    def right_inverse(self, weight: Tensor) -> Tensor:
        return super().right_inverse(weight.sign() * weight.abs().pow(1 / self.power))


def downhill(weight: Tensor) -> Tensor:
    """Return the signs in which weights would go, from the gradient; by turns +1 and −1 where there is none.

    >>> downhill(torch.zeros(3)).tolist()
    [1.0, -1.0, 1.0]
    """
    turns = torch.ones_like(weight).reshape(-1)
    turns[1::2] = -1.0
    turns = turns.view_as(weight)
    return turns if weight.grad is None else torch.where(weight.grad == 0, turns, -weight.grad.sign()).to(weight)
