"""Deep weight factorisation (DWF): products of more than two factors.

C. Kolb, T. Weber, B. Bischl, D. Rügamer. Deep weight factorization: sparse learning through the lens of artificial
symmetries, ICLR 2025. arXiv:2502.02496
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.sparsity.parameterisation.penalised import Penalised, add_gradient_
from sparsefire.sparsity.parameterisation.spred import typical


class Deep(Penalised):
    """Parametrisation θ = ω₁ ⊙ … ⊙ ω_D; the layer's own Parameter is ω₁.

    L(θ) + κ Σ_d ‖ω_d‖² has the minima of L(θ) + κ D Σ_j |θ_j|^(2/D): for a given product the sum of squares is least
    where all factors have one magnitude.

    The paper draws the factors, with variances whose product is that of the layer's weights and magnitudes that are
    neither close to zero nor large. Here the product is the weight to start from itself, so its law is kept exactly;
    the ratios of the factors are those of independent normals with magnitudes in [1/4, 2] standard deviations, and all
    factors but the own one stay off zero: they are made for max(|θ|, ε) with ε a tenth of the typical |θ|.

    Args:
        mask: bool, of the weight's shape.
        theta: the weight to start from.
        depth: D, 2 or more.
        rng: int, the key of the ratios.

    >>> theta = torch.tensor([0.5, -2.0, 0.0])
    >>> deep = Deep(torch.ones(3, dtype=torch.bool), theta, depth=4)
    >>> deep.value(deep.right_inverse(theta)).tolist() == theta.tolist()
    True
    """

    def __init__(self, mask: Tensor, theta: Tensor, depth: int = 3, rng: int = 0) -> None:
        super().__init__(mask)
        if depth < 2:
            raise UserError("a product has two factors at least.", came=f"depth={depth}", expected="2 or more")
        self.depth, self.rng = depth, rng
        for number in range(2, depth + 1):
            self.register_parameter(f"factor{number}", nn.Parameter(torch.zeros_like(theta)))

    def value(self, weight: Tensor) -> Tensor:
        return weight * self.slope(weight)

    def slope(self, weight: Tensor) -> Tensor:
        others = list(self.parameters(recurse=False))
        product: Tensor = others[0]
        for other in others[1:]:
            product = product * other
        return product

    def penalty(self, weight: Tensor) -> Tensor:
        return sum((part.square().sum() for part in self.parameters(recurse=False)), weight.square().sum())

    def pull_(self, weight: Tensor, strength: float) -> None:
        for part in (weight, *self.parameters(recurse=False)):
            add_gradient_(part, part, 2 * strength)

    @torch.no_grad()
    def awaken_(self, fresh: Tensor, weight: Tensor) -> None:
        for part in self.parameters(recurse=False):
            part[fresh] = typical(part)

    @torch.no_grad()
    def right_inverse(self, weight: Tensor) -> Tensor:
        ratios = self._ratios(weight)
        root = weight.abs().clamp_min(0.1 * typical(weight)).pow(1 / self.depth)
        for part, ratio in zip(self.parameters(recurse=False), ratios, strict=True):
            part.copy_(ratio * root)
        own = weight / self.slope(weight)
        for part in self.parameters(recurse=False):
            part.mul_(self.kept)
        return super().right_inverse(own)

    def _ratios(self, like: Tensor) -> Tensor:
        """Return D − 1 of D positive factors with product one."""
        generator = torch.Generator().manual_seed(self.rng)
        low, high = (float(torch.special.ndtr(torch.tensor(edge))) for edge in (0.25, 2.0))
        uniform = torch.rand(self.depth, *like.shape, generator=generator, dtype=torch.float64)
        drawn = torch.special.ndtri(low + (high - low) * uniform)
        return (drawn / drawn.log().mean(0).exp())[1:].to(like)
