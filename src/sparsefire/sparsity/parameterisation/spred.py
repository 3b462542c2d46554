"""spred: ℓ1 by products and weight decay.

L. Ziyin, Z. Wang. spred: solving L1 penalty with SGD, ICML 2023. arXiv:2210.01212
"""

from __future__ import annotations

import torch
from torch import Tensor

from sparsefire.sparsity.parameterisation.product import Product, balanced_factor


class Spred(Product):
    """Parametrisation θ = m · w with balance zero: m = √|θ|, w = sign(θ) √|θ|.

    L(m ⊙ w) + κ (‖m‖² + ‖w‖²) has the minima of L(θ) + 2κ ‖θ‖₁: for a given product m² + w² is least, 2|θ|, at m² = w².
    The decay must stand in the loss; decoupled decay, as of AdamW, has other minima. Here the strength is steered to a
    density, while the paper takes it as given.

    Args:
        mask: bool, of the weight's shape.
        theta: the weight to start from. At exactly zero neither factor ever moves, as in the paper.

    >>> spred = Spred(torch.ones(2, dtype=torch.bool), torch.tensor([4.0, -9.0]))
    >>> w = spred.right_inverse(torch.tensor([4.0, -9.0])); spred.factor.tolist(), w.tolist()
    ([2.0, 3.0], [2.0, -3.0])
    """

    def __init__(self, mask: Tensor, theta: Tensor) -> None:
        super().__init__(mask, theta, 0.0)

    @torch.no_grad()
    def awaken_(self, fresh: Tensor, weight: Tensor) -> None:
        """Give entries that enter the typical factor of those that are there, w stays zero: balance alone holds not."""
        self.factor[fresh] = typical(self.factor)

    @torch.no_grad()
    def right_inverse(self, weight: Tensor) -> Tensor:
        factor = balanced_factor(weight, 0.0)
        self.factor.copy_(factor).mul_(self.kept)
        return torch.where(factor == 0, 0.0, weight / torch.where(factor == 0, 1.0, factor)) * self.kept


def typical(values: Tensor) -> float:
    """Return the root mean square of the entries that are not zero, or 1 if all are.

    >>> typical(torch.tensor([0.0, 3.0, -3.0]))
    3.0
    """
    present = values[values != 0]
    return float(present.square().mean().sqrt()) if present.numel() else 1.0
