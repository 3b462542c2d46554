"""Node perturbation: jitter the activities of units, and credit each weight by what its unit's jitter did to the loss.

J. Werfel, X. Xie, H. S. Seung. Learning curves for stochastic gradient descent in linear feedforward networks, Neural
Computation 17 (2005). doi:10.1162/089976605774320539
I. R. Fiete, H. S. Seung. Gradient learning in spiking neural networks by dynamic perturbation of conductances, Physical
Review Letters 97 (2006), 048104. doi:10.1103/PhysRevLett.97.048104
N. Hiratani, Y. Mehta, T. Lillicrap, P. E. Latham. On the stability and scalability of node perturbation learning,
NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction, finite, per_row, rows_of
from sparsefire.rules.directions import bits, check_count, check_law, draw, generator_of
from sparsefire.rules.drawn import Drawn
from sparsefire.rules.quiet import SameNoise, frozen_statistics, settle, with_statistics
from sparsefire.rules.units import credit_, disturbed, record, unit_layers
from sparsefire.rules.weights import check_scale

_RULE = "node perturbation"


@dataclass(eq=False)
class NodePerturbation(Drawn):
    """Estimate dL/da of all unit activities a by noise on them, then differentiate each layer alone.

    Every example b and unit j has noise ξ_bj of its own, added to the outputs a (before the activation) of all layers
    with trainable parameters, and a loss L_b of its own:

        δ_bj = mean over K draws of [L_b(a + cξ) − L_b(a − cξ)] / (2c) · ξ_bj   (one-sided: − L_b(a), by c)
        ∂L/∂w_ji ≈ mean over b of δ_bj x_bi

    The mean over the noise is the gradient up to O(c²), for a linear network with squared loss at every c. Its variance
    grows with the number of units that are perturbed at once, not with the number of weights: a linear map of n inputs
    and m outputs learns more slowly than by the gradient by the factor m + 2 with normal noise. ``layers="each"``
    perturbs one layer at a time, which leaves less noise in each estimate and takes more passes.

    Where a norm layer takes statistics from the batch, an example is credited for its own loss only, not for what it
    does to others through the statistics.

    Each call runs a clean pass and 2K disturbed ones (one-sided K; ``"each"`` this many per layer); the budget counts
    all losses read, and the derivatives of the layers as one further pass. The losses are one per example,
    ``reduction="none"``; ``.grad`` is that of their mean, which is returned, from the clean pass.

    Args:
        scale: c, the size of the noise in units of the activity.
        law: of the noise, unit variance: ``"rademacher"``, ``"normal"``, ``"sphere"``, ``"uniform"``, ``"coordinates"``
            (one unit per example and draw).
        sided: ``"two"`` or ``"one"``.
        directions: K, draws per call and example.
        layers: ``"all"`` at once or ``"each"`` in turn.
        rng: draws the noise; None, an integer, or a NumPy or torch generator.

    Raises:
        UserError: when called with a network whose trainable parameters do not all sit in layers that are called once
            and return a tensor with rows first; with a loss that is not one number per row, or not finite.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    >>> rule = NodePerturbation(rng=0)
    >>> squared = lambda out, y: (out - y).square().sum(1)
    >>> loss = rule(net, squared, torch.ones(5, 3), torch.zeros(5, 2))
    >>> net[0].weight.grad.shape, rule.budget.queries, rule.budget.random_bits
    (torch.Size([4, 3]), 15, 30)
    """

    scale: float = 0.01
    law: str = "rademacher"
    sided: str = "two"
    directions: int = 1
    layers: str = "all"
    rng: Any = None
    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    dense_gradients: ClassVar[bool] = True  # the derivative of a layer by its weights reaches absent ones too
    per_example: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_scale(self.scale)
        check_law(self.law)
        check_count(self.directions)
        check_sided(self.sided)
        if self.layers not in ("all", "each"):
            raise UserError(
                "noise is on all layers or on each in turn.", came=f"layers={self.layers!r}", expected='"all" or "each"'
            )
        self._generator = generator_of(self.rng)

    @torch.no_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        layers, rows, same = unit_layers(net, _RULE), rows_of(x), SameNoise()
        asked = random_bits = 0

        def losses(output: Any) -> Tensor:
            nonlocal asked
            asked += 1
            return finite(per_row(loss_fn(output, y), rows, _RULE), self.budget)

        def losses_near(noise: dict[str, Tensor], size: float) -> Tensor:
            same.rewind()
            return losses(disturbed(net, x, layers, {name: size * value for name, value in noise.items()}))

        with frozen_statistics(net):
            output, given = record(net, x, layers, _RULE)
            clean = losses(output)
            deltas = {name: torch.zeros_like(value) for name, value in given.items()}
            groups = [list(layers)] if self.layers == "all" else [[name] for name in layers]
            for names in groups * self.directions:
                noise = noise_like({name: given[name] for name in names}, self.law, self._generator)
                random_bits += bits(self.law, rows, sum(value[0].numel() for value in noise.values()))
                above = losses_near(noise, self.scale)
                if self.sided == "two":
                    slopes = (above - losses_near(noise, -self.scale)) / (2 * self.scale)
                else:
                    slopes = (above - clean) / self.scale
                for name, value in noise.items():
                    deltas[name].addcmul_(value, per_unit(slopes / (self.directions * rows), value))
        credit_(layers, given, deltas)
        settle(net, x, same)
        extra = int(bool(with_statistics(net)))
        self.budget.add(rows, rows * asked, asked + 1 + extra, random_bits)
        return clean.mean()


def noise_like(given: Mapping[str, Tensor], law: str, generator: torch.Generator) -> dict[str, Tensor]:
    """Return noise of unit variance by layer, of the shapes of these outputs: one draw per row over all layers.

    >>> noise = noise_like({"a": torch.zeros(2, 3), "b": torch.zeros(2, 1, 2)}, "sphere", generator_of(0))
    >>> (noise["a"].square().sum(1) + noise["b"].square().sum((1, 2))).round(decimals=4).tolist()
    [5.0, 5.0]
    """
    rows = len(next(iter(given.values())))
    sizes = [value[0].numel() for value in given.values()]
    drawn = draw(law, rows, sum(sizes), generator, next(iter(given.values())).dtype)
    pieces = zip(given.items(), drawn.split(sizes, dim=1), strict=True)
    return {name: piece.reshape(value.shape).to(value) for (name, value), piece in pieces}


def per_unit(numbers: Tensor, like: Tensor) -> Tensor:
    """Return numbers [rows] so that they multiply a tensor [rows, ...] row by row.

    >>> per_unit(torch.ones(2), torch.zeros(2, 3, 4)).shape
    torch.Size([2, 1, 1])
    """
    return numbers.to(like.dtype).reshape(-1, *[1] * (like.ndim - 1))


def check_sided(sided: str) -> None:
    """Raise when differences are neither two-sided nor one-sided."""
    if sided not in ("two", "one"):
        raise UserError("differences have one side or two.", came=f"sided={sided!r}", expected='"two" or "one"')
