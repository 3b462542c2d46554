"""Predictive coding: activities settle where they predict each other best, weights follow the errors that remain.

J. C. R. Whittington, R. Bogacz. An approximation of the error backpropagation algorithm in a predictive coding network
with local Hebbian synaptic plasticity. Neural Computation 29, 1229-1262, 2017. doi:10.1162/NECO_a_00949
B. Millidge, A. Tschantz, C. L. Buckley. Predictive coding approximates backprop along arbitrary computation graphs,
2020 (fixed predictions). arXiv:2006.04182
Y. Song, T. Lukasiewicz, Z. Xu, R. Bogacz. Can the brain do backpropagation? Exact implementation of backpropagation in
predictive coding networks. NeurIPS 2020 (the schedule here called z-il).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction, finite, scalar
from sparsefire.rules.local.chain import Block, backward, blocks, one_input, unmoved_on_error
from sparsefire.rules.quiet import SameNoise, frozen_statistics

_NAME = "predictive coding"
_VARIANTS = ("strict", "fixed-prediction", "z-il")


@dataclass(eq=False)
class PredictiveCoding:
    """Relax a value v_l for each block's output to lower the prediction errors, then let the weights follow.

        F = Σ_{l<L} ½ |v_l − f_l(v_{l−1})|² + c(f_L(v_{L−1})),   v_0 = x
        v_l ← v_l − step · ∂F/∂v_l,   g = ∂F/∂θ   at the relaxed values, mean over rows

    f_l is a block: a layer with weights and what follows it until the next one. c is the loss of each row; with half
    the summed squared error it is the usual energy with the output clamped to its target. Values start at the forward
    pass, where all errors but the last are zero.

    ``"strict"`` does just this. Its update is not the gradient; the relative difference vanishes in proportion to the
    errors (the loss times a factor that goes to 0) once the relaxation has come to rest. ``"fixed-prediction"`` keeps
    f_l and its derivatives at the forward pass, so that the errors settle to those of back-propagation, whatever their
    size. ``"z-il"`` is strict with step 1, but each block takes its update at the very step when the error arrives,
    L − l steps after the start: that is back-propagation exactly.

    Args:
        steps: of the relaxation, 1 or more; z-il takes one per hidden block instead.
        step_size: above 0, at most 1; z-il takes 1.
        variant: ``"strict"``, ``"fixed-prediction"`` or ``"z-il"``.

    One call counts 3 + 2 · steps (strict), 3 + steps (fixed-prediction) or 2L + 1 (z-il, L blocks) in
    ``budget.forward_passes`` and reads 2 + steps, 2 or L + 1 losses. The loss that comes back is that of the forward
    pass, which is also the prediction.

    Raises:
        UserError: a network that is no chain of such blocks, by the name of the layer; a loss or an energy that is no
            finite number.

    >>> net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    >>> rule = PredictiveCoding(variant="z-il")
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> found = net[0].weight.grad.clone(); net.zero_grad()
    >>> nn.functional.mse_loss(net(torch.ones(5, 3)), torch.zeros(5, 1)).backward()
    >>> torch.allclose(found, net[0].weight.grad)
    True
    """

    steps: int = 20
    step_size: float = 0.2
    variant: str = "strict"
    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    dense_gradients: ClassVar[bool] = True
    per_example: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UserError("a relaxation takes steps.", came=f"steps={self.steps!r}", expected="1 or more")
        if not 0 < self.step_size <= 1:
            raise UserError("a step is a share of the way.", came=f"step_size={self.step_size!r}", expected="(0, 1]")
        if self.variant not in _VARIANTS:
            raise UserError(f"there is no variant {self.variant!r}.", expected=", ".join(map(repr, _VARIANTS)))

    @torch.enable_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        chain, entering = blocks(net, _NAME), one_input(x, _NAME)
        energy = _Energy(net, chain, loss_fn, entering, y)
        with unmoved_on_error(net):
            values, loss = energy.start()  # the one pass that moves running statistics
            finite(loss, self.budget)
            with frozen_statistics(net):
                queries, passes = self._learnt(energy, values)
        self.budget.add(samples=len(entering), queries=queries, forward_passes=passes)
        return loss

    def _learnt(self, energy: _Energy, values: list[Tensor]) -> tuple[int, int]:
        """Add the estimate to ``.grad``; return losses read and passes used, those of the forward pass included."""
        if self.variant == "z-il":
            return _one_by_one(energy, values)
        return self._settled(energy, values) if self.variant == "strict" else self._settled_around(energy, values)

    def _settled(self, energy: _Energy, values: list[Tensor]) -> tuple[int, int]:
        for _ in range(self.steps):
            values = energy.lowered(values, energy.terms(values), self.step_size)
        left = torch.stack(energy.terms([value.detach() for value in values])).sum() / energy.rows
        finite(left.detach(), self.budget)
        backward([left], [None])
        return 2 + self.steps, 3 + 2 * self.steps

    def _settled_around(self, energy: _Energy, values: list[Tensor]) -> tuple[int, int]:
        """Let the errors ε_l = ∂F/∂f_l settle, with the derivatives of the forward pass: ε_l → J_{l+1}ᵀ ε_{l+1}."""
        *predictions, output = energy.predictions(values)
        top = energy.rows * scalar(energy.loss_fn(output, energy.y))
        errors = [torch.zeros_like(value) for value in values[1:]]
        for _ in range(self.steps if errors else 0):
            sent = torch.autograd.grad([*predictions[1:], top], values[1:], [*errors[1:], None], retain_graph=True)
            errors = [torch.lerp(error, one, self.step_size) for error, one in zip(errors, sent, strict=True)]
        backward([*predictions, top], [error / energy.rows for error in errors] + [torch.ones_like(top) / energy.rows])
        return 2, 3 + self.steps

    @torch.no_grad()
    def predict(self, net: nn.Module, x: Any) -> Tensor:
        """Return what the network predicts with nothing clamped to its output: a forward pass."""
        found: Tensor = net(one_input(x, _NAME))
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule remembers, as plain numbers: what it has spent."""
        return {"budget": self.budget.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        self.budget.load_state_dict(state["budget"])


class _Energy:
    """F of one batch as a function of the values; every evaluation sees the same noise."""

    def __init__(self, net: nn.Module, chain: list[Block], loss_fn: LossFunction, x: Tensor, y: Any) -> None:
        self.chain, self.loss_fn, self.x, self.y, self.rows = chain, loss_fn, x, y, len(x)
        self.noise = SameNoise(net)

    @torch.no_grad()
    def start(self) -> tuple[list[Tensor], Tensor]:
        """Return what enters each block in a forward pass, ready to be differentiated by, and the loss."""
        values, h = [self.x], self.x
        for block in self.chain:
            h = block(h)
            values.append(h)
        loss = scalar(self.loss_fn(values.pop(), self.y)).detach()
        return [self.x, *(value.clone().requires_grad_() for value in values[1:])], loss

    def predictions(self, values: list[Tensor]) -> list[Tensor]:
        """Return what each block makes of its value."""
        self.noise.rewind()
        return [block(value) for block, value in zip(self.chain, values, strict=True)]

    def terms(self, values: list[Tensor]) -> list[Tensor]:
        """Return F in parts: the error of each hidden block's prediction, and the loss, summed over rows."""
        *predictions, output = self.predictions(values)
        errors = [(value - one).square().sum() / 2 for value, one in zip(values[1:], predictions, strict=True)]
        return [*errors, self.rows * scalar(self.loss_fn(output, self.y))]

    def lowered(self, values: list[Tensor], terms: list[Tensor], step: float) -> list[Tensor]:
        """Return the values one step further down F."""
        if len(values) == 1:
            return values
        slopes = torch.autograd.grad(torch.stack(terms).sum(), values[1:], retain_graph=True)
        moved = [(value - step * slope).detach() for value, slope in zip(values[1:], slopes, strict=True)]
        return [self.x, *(value.requires_grad_() for value in moved)]


def _one_by_one(energy: _Energy, values: list[Tensor]) -> tuple[int, int]:
    """Update the last block at once and each block below one step of size 1 later, when the error has reached it."""
    for number in reversed(range(len(energy.chain))):
        terms = energy.terms(values)
        own = [p for module in _modules(energy.chain[number]) for p in module.parameters() if p.requires_grad]
        if own:
            (terms[number] / energy.rows).backward(inputs=own, retain_graph=True)
        if number:
            values = energy.lowered(values, terms, 1.0)
    return 1 + len(energy.chain), 1 + 2 * len(energy.chain)


def _modules(block: Block) -> tuple[nn.Module, ...]:
    return (*block.before, block.layer, *block.after)
