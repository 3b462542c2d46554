"""Node perturbation: jitter the activities of units, and credit each weight by what its unit's jitter did to the loss.

J. Werfel, X. Xie, H. S. Seung. Learning curves for stochastic gradient descent in linear feedforward networks, Neural
Computation 17 (2005). doi:10.1162/089976605774320539
I. R. Fiete, H. S. Seung. Gradient learning in spiking neural networks by dynamic perturbation of conductances, Physical
Review Letters 97 (2006), 048104. doi:10.1103/PhysRevLett.97.048104
N. Hiratani, Y. Mehta, T. Lillicrap, P. E. Latham. On the stability and scalability of node perturbation learning,
NeurIPS 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction, finite, per_row, rows_of
from sparsefire.rules.directions import bits, check_count, check_law, draw, generator_of
from sparsefire.rules.drawn import Drawn, undone_on_failure
from sparsefire.rules.quiet import SameNoise, frozen_statistics, settle, with_statistics
from sparsefire.rules.units import credit_, disturbed, record, unit_layers
from sparsefire.rules.weights import check_scale

_RULE = "node perturbation"
Noise = Mapping[str, Tensor]


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
    dense_gradients: ClassVar[bool] = True  # the derivative of a layer by its weights reaches absent ones too
    per_example: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_scale(self.scale)
        check_law(self.law)
        check_count(self.directions)
        check_sided(self.sided)
        check_layers(self.layers)
        self._generator = generator_of(self.rng)

    @undone_on_failure
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        def slopes(asked: Asked, noise: Noise) -> Tensor:
            above = asked.losses(noise, self.scale)
            if self.sided == "two":
                return (above - asked.losses(noise, -self.scale)) / (2 * self.scale)
            return (above - asked.clean) / self.scale

        return credit_by_noise_(self, net, loss_fn, x, y, slopes)


@dataclass
class Asked:
    """A batch whose losses are read again with noise on units: the same noise each time."""

    net: nn.Module
    loss_fn: LossFunction
    x: Any
    y: Any
    layers: Mapping[str, nn.Module]
    budget: Budget
    name: str
    same: SameNoise = field(init=False)
    clean: Tensor = field(default_factory=lambda: torch.empty(0))
    queries: int = 0
    passes: int = 0

    def __post_init__(self) -> None:
        self.same = SameNoise(self.net)

    def losses(self, noise: Noise, size: float) -> Tensor:
        """Return the loss of each row with noise of this size, [rows]."""
        self.same.rewind()
        return self.read(disturbed(self.net, self.x, self.layers, {name: size * n for name, n in noise.items()}))

    def read(self, output: Any, passes: int = 1) -> Tensor:
        """Return the loss of each row for an output, [rows]; ``passes`` is what the output cost."""
        self.queries, self.passes = self.queries + rows_of(self.x), self.passes + passes
        return finite(per_row(self.loss_fn(output, self.y), rows_of(self.x), self.name), self.budget)


class UnitNoise(Protocol):
    """What a rule says about its noise on units."""

    law: str
    directions: int
    layers: str
    budget: Budget
    _generator: torch.Generator


@torch.no_grad()
def credit_by_noise_(
    rule: UnitNoise,
    net: nn.Module,
    loss_fn: LossFunction,
    x: Any,
    y: Any,
    slopes: Callable[[Asked, Noise], Tensor],
    name: str = _RULE,
) -> Tensor:
    """Add to ``.grad`` the mean over draws of slope times noise, carried to the weights by each layer's own derivative.

    Args:
        rule: the law of its noise, how many draws, and on which layers at once.
        net, loss_fn, x, y: as rules are called.
        slopes: of the loss of each row along the noise, [rows].
        name: of the rule, for messages.

    Returns:
        The mean loss of the clean pass.
    """
    layers, rows = unit_layers(net, name), rows_of(x)
    asked, random_bits = Asked(net, loss_fn, x, y, layers, rule.budget, name), 0
    with frozen_statistics(net):
        output, given = record(net, x, layers, name)
        asked.clean = asked.read(output)
        deltas = {layer: torch.zeros_like(value) for layer, value in given.items()}
        groups = [list(layers)] if rule.layers == "all" else [[layer] for layer in layers]
        for names in groups * rule.directions:
            noise = noise_like({layer: given[layer] for layer in names}, rule.law, rule._generator)
            random_bits += bits(rule.law, rows, sum(value[0].numel() for value in noise.values()))
            found = slopes(asked, noise)
            for layer, value in noise.items():
                deltas[layer].addcmul_(value, per_unit(found / (rule.directions * rows), value))
    credit_(layers, given, deltas)
    settle(net, x, asked.same)
    rule.budget.add(rows, asked.queries, asked.passes + 1 + bool(with_statistics(net)), random_bits)
    return asked.clean.mean()


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


def check_layers(layers: str) -> None:
    """Raise when noise is neither on all layers at once nor on each in turn."""
    if layers not in ("all", "each"):
        raise UserError(
            "noise is on all layers or on each in turn.", came=f"layers={layers!r}", expected='"all" or "each"'
        )
