"""Equilibrium propagation: the gradient from how an equilibrium moves when its output is nudged.

B. Scellier, Y. Bengio. Equilibrium propagation: bridging the gap between energy-based models and backpropagation.
Frontiers in Computational Neuroscience 11:24, 2017. arXiv:1602.05179
A. Laborieux et al. Scaling equilibrium propagation to deep ConvNets by drastically reducing its gradient estimator
bias, 2021 (nudging both ways). arXiv:2006.03824
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction, finite, scalar
from sparsefire.rules.local.chain import Block, backward, linear_blocks, one_input, weights_of

_NAME = "equilibrium propagation"
_Nudge = Callable[[Tensor], Tensor]


@dataclass(eq=False)
class EquilibriumPropagation:
    """Read a chain of linear layers as a Hopfield network with symmetric weights, and compare two of its equilibria.

        E(a; θ) = Σ_l [ G_l(a_l) − a_lᵀ (W_l a_{l−1} + b_l) ],   G_l' = ρ_l⁻¹,   a_0 = x
        u_l ← u_l + step · (W_l a_{l−1} + b_l + W_{l+1}ᵀ a_{l+1} − u_l − β ∂c/∂a_l),   a_l = ρ_l(u_l)
        g = (1/2β) [ ∂E/∂θ(a at +β) − ∂E/∂θ(a at −β) ]

    ρ_l is the activation after layer l, none being the identity (so that logits go with a cross-entropy); c is the loss
    of each row and acts on the last layer alone. The free equilibrium (β = 0) is the prediction, and not what
    ``net(x)`` gives: there is feedback. g approaches the gradient of the loss *at the free equilibrium* with an error
    of order β²; one-sided nudging takes the free equilibrium for −β, divides by β, and has order β. Both hold where the
    relaxation has come to rest; large weights need more and smaller steps. After a call ``residual`` holds how far the
    free phase was from rest: the largest |bracket| of its last step, over rows and units.

    Args:
        beta: β, size of the nudge, above 0; it applies to each row, whatever the size of the batch.
        steps_free: of the free relaxation, from the states of a plain forward pass; 1 or more.
        steps_nudged: of each nudged one, from the free equilibrium; 1 or more.
        step_size: in (0, 1].
        nudging: ``"symmetric"`` or ``"one-sided"``.

    With share s of the weights above the first layer, whose input is constant, one call counts
    1 + 2s (steps_free + k · steps_nudged) + 2 in ``budget.forward_passes``, k = 2 nudged phases or 1, and reads
    1 + k · steps_nudged losses. The loss that comes back is that of the free equilibrium.

    Raises:
        UserError: a network that is no chain of linear layers with at most one activation each that never falls (Tanh,
            Hardsigmoid, Hardtanh, Sigmoid, ReLU), by the name of the layer; a loss or a state that is no finite number.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    >>> rule = EquilibriumPropagation(beta=0.1)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> torch.equal(loss, rule.predict(net, torch.ones(5, 3)).square().mean())
    True
    """

    beta: float = 0.1
    steps_free: int = 30
    steps_nudged: int = 15
    step_size: float = 0.5
    nudging: str = "symmetric"
    residual: float = field(default=math.nan, init=False, repr=False)
    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    dense_gradients: ClassVar[bool] = True
    per_example: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.beta < math.inf:
            raise UserError("a nudge has a size.", came=f"beta={self.beta!r}", expected="a number above 0")
        for name in ("steps_free", "steps_nudged"):
            if getattr(self, name) < 1:
                raise UserError(
                    "a relaxation takes steps.", came=f"{name}={getattr(self, name)!r}", expected="1 or more"
                )
        if not 0 < self.step_size <= 1:
            raise UserError("a step is a share of the way.", came=f"step_size={self.step_size!r}", expected="(0, 1]")
        if self.nudging not in ("symmetric", "one-sided"):
            raise UserError(f"there is no nudging {self.nudging!r}.", expected='"symmetric" or "one-sided"')

    @torch.enable_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        chain, entering = linear_blocks(net, _NAME), one_input(x, _NAME)
        rows, symmetric = len(entering), self.nudging == "symmetric"
        machine = _Machine(chain, entering)
        free = machine.relaxed(machine.start(), self.steps_free, self.step_size)
        loss = scalar(loss_fn(machine.activities(free)[-1], y)).detach()
        finite(loss, self.budget)
        residual = machine.residual

        def nudged(beta: float) -> list[Tensor]:
            def push(output: Tensor) -> Tensor:
                return beta * rows * _slope(loss_fn, output, y)

            return machine.relaxed(free, self.steps_nudged, self.step_size, push)

        up, down = nudged(self.beta), nudged(-self.beta) if symmetric else free
        width = 2 * self.beta if symmetric else self.beta
        contrast = (machine.energy(up) - machine.energy(down)) / (width * rows)
        finite(contrast.detach(), self.budget)
        backward([contrast], [None])
        self.residual = residual
        self._count(chain, rows, 2 if symmetric else 1)
        return loss

    @torch.no_grad()
    def predict(self, net: nn.Module, x: Any) -> Tensor:
        """Return the output of the free equilibrium, [rows, outputs]."""
        machine = _Machine(linear_blocks(net, _NAME), one_input(x, _NAME))
        return machine.activities(machine.relaxed(machine.start(), self.steps_free, self.step_size))[-1]

    def _count(self, chain: list[Block], rows: int, phases: int) -> None:
        first, *upper = weights_of(chain)
        share = sum(upper) / (first + sum(upper))
        passes = 1 + 2 * share * (self.steps_free + phases * self.steps_nudged) + 2
        self.budget.add(samples=rows, queries=1 + phases * self.steps_nudged, forward_passes=passes)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule remembers, as plain numbers: what it has spent."""
        return {"budget": self.budget.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        self.budget.load_state_dict(state["budget"])


class _Machine:
    """A chain with its input clamped; states are the u_l, [rows, units] each."""

    @torch.no_grad()
    def __init__(self, chain: list[Block], x: Tensor) -> None:
        self.chain, self.x = chain, x
        self.weights = [block.layer.weight.detach() for block in chain]  # type: ignore[operator]
        self.drive = chain[0].layer(x)
        self.residual = math.nan

    def activities(self, states: list[Tensor]) -> list[Tensor]:
        return [self._activity(number, u) for number, u in enumerate(states)]

    def _activity(self, number: int, u: Tensor) -> Tensor:
        for rho in self.chain[number].after:
            u = rho(u.clone())  # an in-place activation would write into the state
        return u

    @torch.no_grad()
    def start(self) -> list[Tensor]:
        """Return the states of a plain forward pass."""
        states = [self.drive]
        for number, block in enumerate(self.chain[1:]):
            states.append(block.layer(self._activity(number, states[-1])))
        return states

    @torch.no_grad()
    def relaxed(self, states: list[Tensor], steps: int, size: float, push: _Nudge | None = None) -> list[Tensor]:
        """Return the states after so many steps of all layers at once; ``push`` acts on the output."""
        for _ in range(steps):
            a = self.activities(states)
            targets = []
            for number in range(len(states)):
                target = self.drive if number == 0 else self.chain[number].layer(a[number - 1])
                if number + 1 < len(states):
                    target = target + a[number + 1] @ self.weights[number + 1]
                elif push is not None:
                    target = target - push(a[number])
                targets.append(target)
            pulls = [target - u for u, target in zip(states, targets, strict=True)]
            states = [u + size * pull for u, pull in zip(states, pulls, strict=True)]
        self.residual = max(float(pull.abs().max()) for pull in pulls)
        return states

    def energy(self, states: list[Tensor]) -> Tensor:
        """Return the part of E that depends on θ, summed over rows; its gradient at fixed activities is ∂E/∂θ."""
        a = [activity.detach() for activity in self.activities(states)]
        below = [self.x, *a[:-1]]
        return -torch.stack(
            [(out * block.layer(into)).sum() for out, block, into in zip(a, self.chain, below, strict=True)]
        ).sum()


def _slope(loss_fn: LossFunction, output: Tensor, y: Any) -> Tensor:
    with torch.enable_grad():
        seen = output.detach().requires_grad_()
        return torch.autograd.grad(scalar(loss_fn(seen, y)), seen)[0]
