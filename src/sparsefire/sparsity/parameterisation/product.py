"""Weights as products m · w, and Sign-In, which resets their balance so that signs can flip.

A. Gadhikar, T. Jacobs, C. Zhou, R. Burkholz. Sign-In to the lottery: reparameterizing sparse training from scratch,
NeurIPS 2025. arXiv:2504.12801
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.sparsity.parameterisation.penalised import Penalised, add_gradient_
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.base import Control


class Product(Penalised):
    """Parametrisation ``weight -> mask * (factor * weight)``.

    The layer's own Parameter stays as one factor, w; the other, m, is new. Gradient flow on both conserves
    β = m² − w² (per weight) and moves θ = m·w along −√(4θ² + β²) · ∂L/∂θ. Its penalty is Σ (m² + w²); at strength α_t
    gradient flow then has β_t = β₀ exp(−4 ∫ α), and the bias of the flow moves from ℓ2 to ℓ1.

    PILoT is this product with β₀ = 1 and a strength that is raised and later switched off, so that the ℓ1 bias stays
    without the penalty. T. Jacobs, R. Burkholz. Mask in the mirror: implicit sparsification, ICLR 2025.
    arXiv:2408.09966. Its Algorithm 1 raises α_k while ‖m ⊙ w‖₁ ≥ K; the constants were not to be had. Here
    :class:`~sparsefire.sparsity.topology.steered.Steered` raises it while more weights are alive than the schedule
    wants, lowers it otherwise, and switches it off at the cut.

    Args:
        mask: bool, of the weight's shape.
        theta: the weight to start from.
        beta: the balance m² − w² to start with; 1 by default.
    """

    def __init__(self, mask: Tensor, theta: Tensor, beta: float = 1.0) -> None:
        super().__init__(mask)
        self.beta = beta
        self.factor = nn.Parameter(balanced_factor(theta.detach(), beta))

    def value(self, weight: Tensor) -> Tensor:
        return self.factor * weight

    def slope(self, weight: Tensor) -> Tensor:
        return self.factor

    def penalty(self, weight: Tensor) -> Tensor:
        return self.factor.square().sum() + weight.square().sum()

    def pull_(self, weight: Tensor, strength: float) -> None:
        add_gradient_(weight, weight, 2 * strength)
        add_gradient_(self.factor, self.factor, 2 * strength)

    @torch.no_grad()
    def awaken_(self, fresh: Tensor, weight: Tensor) -> None:
        self.factor[fresh] = self.beta**0.5  # with w = 0: balance β, product 0

    @torch.no_grad()
    def right_inverse(self, weight: Tensor) -> Tensor:
        """Split an effective weight into factors with balance β; m is set, w returned."""
        self.factor.copy_(balanced_factor(weight, self.beta)).mul_(self.kept)
        return super().right_inverse(weight / balanced_factor(weight, self.beta))


def balanced_factor(theta: Tensor, beta: float) -> Tensor:
    """Return m = √((β + √(β² + 4θ²)) / 2), the factor for which m² − (θ/m)² = β.

    >>> m = balanced_factor(torch.tensor([0.0, 2.0]), 1.0)
    >>> (m**2 - (torch.tensor([0.0, 2.0]) / m) ** 2).round(decimals=5).tolist()
    [1.0, 1.0]
    """
    return ((beta + (beta**2 + 4 * theta**2).sqrt()) / 2).sqrt()


class SignIn(Control):
    """Every ``every`` steps (m, w) is reset to balance β, leaving m · w as it is; by default a fortieth of training.

    All layers have the same β. The paper's gain for one neuron, two quadrants of signs instead of one, asks for a
    larger β in the first layer than in the second: with equal ones √(4θ² + β²) differs between the layers by what it
    differed at the start, and a chain of single units that starts balanced wins nothing.

    Args:
        setting: a network whose layers carry :class:`Product`.
        every: steps between two resets.
    """

    needs = frozenset({"optimizer", "steps"})

    def __init__(self, setting: Setting, every: int | None = None) -> None:
        super().__init__(setting)
        self.every = every if every is not None else max(1, (setting.steps or 1) // 40)

    def update(self, step: int) -> None:
        if step % self.every == 0:
            for module in masks.masked(self.setting.net).values():
                masks.write_weight_(module, module.weight.detach().clone())  # type: ignore[operator]
