"""Sign-In: weights as products m · w whose balance is reset, so that signs can flip.

A. Gadhikar, T. Jacobs, C. Zhou, R. Burkholz. Sign-In to the lottery: reparameterizing sparse training from scratch,
NeurIPS 2025. arXiv:2504.12801
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.masks import Masked
from sparsefire.sparsity.topology import Topology


class Product(Masked):
    """Parametrisation ``weight -> mask * (factor * weight)``.

    The layer's own Parameter stays as one factor, w; the other, m, is new. Gradient flow on both conserves
    β = m² − w² (per weight) and moves θ = m·w along −√(4θ² + β²) · ∂L/∂θ.

    Args:
        mask: bool, of the weight's shape.
        theta: the weight to start from.
        beta: the balance m² − w² to start with; 1 by default.
    """

    def __init__(self, mask: Tensor, theta: Tensor, beta: float = 1.0) -> None:
        super().__init__(mask)
        self.beta = beta
        self.factor = nn.Parameter(balanced_factor(theta.detach(), beta))

    def forward(self, weight: Tensor) -> Tensor:
        return super().forward(self.factor * weight)

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


class SignIn(Topology):
    """A fixed mask with weights m · w; every ``every`` steps (m, w) is reset to balance β, leaving m · w as it is.

    Args:
        net: a network whose layers carry :class:`Product`.
        every: steps between two resets.
    """

    needs = frozenset({"optimizer", "steps"})

    def __init__(self, net: nn.Module, every: int) -> None:
        super().__init__(net)
        self.every = every

    def update(self) -> None:
        if self.steps_done % self.every == 0:
            for module in masks.layers(self.net).values():
                masks.write_weight_(module, module.weight.detach().clone())  # type: ignore[operator]


def add_factors(
    net: nn.Module,
    drawn: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler | None = None,
) -> None:
    """Give every layer a :class:`Product`, and hand the new factors to the optimizer (and its scheduler)."""
    for name, module in masks.layers(net).items():
        parameter = module.weight
        group = next(g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
        product = Product(drawn[name], parameter)  # type: ignore[arg-type]
        masks.attach_(module, product)
        # Decoupled decay of both factors is no ℓ1 penalty on their product; the new factor takes none of it.
        options = {key: value for key, value in group.items() if key != "params"}
        optimizer.add_param_group({**options, "params": [product.factor], "weight_decay": 0.0})
        if scheduler is not None:
            _follow(scheduler, group)


def _follow(scheduler: torch.optim.lr_scheduler.LRScheduler, group: dict[str, object]) -> None:
    """Extend what a scheduler keeps per group; a sequence of schedulers keeps it in each of its parts."""
    for part in getattr(scheduler, "_schedulers", ()):
        _follow(part, group)
    position = next(i for i, g in enumerate(scheduler.optimizer.param_groups) if g is group)
    for name in ("base_lrs", "max_lrs", "min_lrs", "lr_lambdas", "_last_lr"):
        values = getattr(scheduler, name, None)
        if isinstance(values, list) and position < len(values):
            values.append(values[position])
