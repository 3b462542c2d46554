"""Decorrelated node perturbation: inputs of layers made uncorrelated, and credit by what activities really did.

S. Dalm, J. Offergeld, N. Ahmad, M. van Gerven. Efficient deep learning with decorrelated backpropagation and effective
learning through decorrelated node perturbation, 2023. arXiv:2310.00965
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.call import LossFunction, finite, per_row, rows_of
from sparsefire.rules.directions import bits, check_law, generator_of
from sparsefire.rules.drawn import Drawn, undone_on_failure
from sparsefire.rules.node_perturbation import noise_like, per_unit
from sparsefire.rules.quiet import SameNoise, frozen_statistics, settle, with_statistics
from sparsefire.rules.units import credit_, disturbed, record, unit_layers
from sparsefire.rules.weights import check_scale

_RULE = "decorrelated node perturbation"
_PREFIX = "decorrelate_"


class Decorrelate(nn.Module):
    """Hand on x̂ = R x, with a matrix R that is no parameter: a buffer, the identity at first.

    Args:
        features: of x, its last axis.

    >>> Decorrelate(2)(torch.tensor([[1.0, 2.0]]))
    tensor([[1., 2.]])
    """

    R: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("R", torch.eye(features))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.R.T

    @torch.no_grad()
    def turned(self, decorrelated: Tensor, rate: float) -> Tensor:
        """Return R − rate · (mean(x̂ x̂ᵀ) − diag(mean(x̂²))) R.

        Args:
            decorrelated: x̂ [..., features]; the mean is over all but the last axis.
            rate: 0 or more.

        >>> Decorrelate(2).turned(torch.tensor([[1.0, 2.0]]), 0.1)
        tensor([[ 1.0000, -0.2000],
                [-0.2000,  1.0000]])
        """
        rows = decorrelated.reshape(-1, decorrelated.shape[-1])
        squares = rows.square().mean(0)
        through = rows.T @ (rows @ self.R / len(rows))  # no features × features × features where rows are few
        return self.R - rate * (through - squares[:, None] * self.R)

    def extra_repr(self) -> str:
        return f"features={len(self.R)}"


def with_decorrelation(net: nn.Sequential) -> nn.Sequential:
    """Return a network that computes the same and whose linear layers read inputs that a rule can decorrelate.

    A :class:`Decorrelate` is set in front of every Linear layer, in nested ``nn.Sequential`` too, as
    ``decorrelate_<name>``. The layers are those of the network itself, not copies, under the names they had: what an
    optimizer holds and saved states stay valid. Inputs of convolutions, and of layers inside other modules, are left as
    they are.

    Raises:
        UserError: no ``nn.Sequential``, or one without a Linear layer.

    >>> list(with_decorrelation(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1)))._modules)
    ['decorrelate_0', '0', '1', 'decorrelate_2', '2']
    """
    if not isinstance(net, nn.Sequential) or type(net).forward is not nn.Sequential.forward:
        raise UserError("decorrelation needs a chain.", came=type(net).__name__, expected="an nn.Sequential")
    prepared = _prepared(net)
    if not _decorrelating(prepared):
        raise UserError(
            "there is no input to decorrelate.", came=f"{net}", expected="a Linear layer in an nn.Sequential"
        )
    return prepared.train(net.training)


def _prepared(net: nn.Sequential) -> nn.Sequential:
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    for name, module in net._modules.items():
        assert module is not None
        if isinstance(module, nn.Linear) and _PREFIX + name not in net._modules:
            parts[_PREFIX + name] = Decorrelate(module.in_features).to(module.weight)
        parts[name] = _prepared(module) if type(module) is nn.Sequential else module
    return nn.Sequential(parts)


@dataclass(eq=False)
class DecorrelatedNodePerturbation(Drawn):
    """Estimate dL/da from how all activities really changed under noise, on decorrelated inputs.

    Noise of size c is added to the outputs of all layers at once, its own for each example; activities a become ã, by
    their own noise and by what comes from the layers below:

        δ_b = N [L̃_b − L_b] (ã_b − a_b) / |ã_b − a_b|²

    over all N units together: the one-sided directional derivative along the realised change, for which the noise
    need not be known. Each layer makes the gradient of its weights from δ alone. For one layer its mean is the gradient
    up to O(c); for several it is not in general, since the change of a unit carries that of the units below. In the
    same call the matrices R of :func:`with_decorrelation` move on what they gave in the clean pass, see
    :meth:`Decorrelate.turned`. The formulas are those of summaries of the paper; its tables have not been reproduced.

    The losses are one per example, ``reduction="none"``; ``.grad`` is that of their mean, which is returned.

    Args:
        scale: c, in units of the activity.
        rate: of the decorrelation, 0 leaves R alone; too large a rate lets R diverge, above about 1 over the largest
            second moment of the inputs.
        law: of the noise, see :class:`~sparsefire.rules.node_perturbation.NodePerturbation`.
        rng: draws the noise; None, an integer, or a NumPy or torch generator.

    Raises:
        UserError: when called with a network that was not prepared, that node perturbation refuses, or whose R would
            no longer be finite; with a loss that is not one number per row, or not finite.

    >>> net = with_decorrelation(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))
    >>> rule = DecorrelatedNodePerturbation(rng=0)
    >>> squared = lambda out, y: (out - y).square().sum(1)
    >>> loss = rule(net, squared, torch.ones(5, 3), torch.zeros(5, 2))
    >>> net[1].weight.grad.shape, rule.budget.queries
    (torch.Size([4, 3]), 10)
    """

    scale: float = 1e-3
    rate: float = 1e-3
    law: str = "normal"
    rng: Any = None
    dense_gradients: ClassVar[bool] = True  # the derivative of a layer by its weights reaches absent ones too
    per_example: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_scale(self.scale)
        check_law(self.law)
        if not (isinstance(self.rate, int | float) and 0 <= self.rate < float("inf")):
            raise UserError("R moves at a rate.", came=f"rate={self.rate!r}", expected="0 or more")
        self._generator = generator_of(self.rng)

    @undone_on_failure
    @torch.no_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        layers, rows, same = unit_layers(net, _RULE), rows_of(x), SameNoise(net)
        whitened = _decorrelating(net)
        if not whitened:
            raise UserError(
                f"{_RULE} needs a network with decorrelated inputs.",
                came=f"{type(net).__name__} without a Decorrelate layer",
                expected="the network that with_decorrelation(net) returns",
            )
        seen: dict[str, Tensor] = {}
        with frozen_statistics(net):
            with _watched(whitened, seen):
                output, given = record(net, x, layers, _RULE, copies=True)
            clean = finite(per_row(loss_fn(output, y), rows, _RULE), self.budget)
            noise = noise_like(given, self.law, self._generator)
            moved: dict[str, Tensor] = {}
            same.rewind()
            output = disturbed(net, x, layers, {name: self.scale * part for name, part in noise.items()}, moved)
            losses = finite(per_row(loss_fn(output, y), rows, _RULE), self.budget)
        turned = self._turned(whitened, seen)
        changes = {name: moved[name] - value.detach() for name, value in given.items()}
        squares = torch.stack([change.flatten(1).square().sum(1) for change in changes.values()]).sum(0)
        units = sum(change[0].numel() for change in changes.values())
        slopes = units * (losses - clean) / squares.clamp_min(torch.finfo(squares.dtype).tiny) / rows
        credit_(layers, given, {name: per_unit(slopes, change) * change for name, change in changes.items()})
        for name, matrix in turned.items():
            whitened[name].R.copy_(matrix)
        settle(net, x, same)
        extra = int(bool(with_statistics(net)))
        self.budget.add(rows, 2 * rows, 3 + extra, bits(self.law, rows, units))
        return clean.mean()

    def _turned(self, whitened: dict[str, Decorrelate], seen: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the matrices after this batch, or raise when one is no longer finite."""
        matrices = {name: whitened[name].turned(value, self.rate) for name, value in seen.items()}
        for name, matrix in matrices.items():
            if not bool(torch.isfinite(matrix).all()):
                raise UserError(
                    f"the decorrelation of layer {name!r} diverges at call {self.budget.calls + 1} of the rule.",
                    came=f"rate={self.rate:g} and inputs of mean square {float(seen[name].square().mean()):.3g}",
                    expected="a finite R; everything is as it was before this call",
                    attempt="a smaller rate, or inputs scaled to mean square 1",
                )
        return matrices


def _decorrelating(net: nn.Module) -> dict[str, Decorrelate]:
    return {name: module for name, module in net.named_modules() if isinstance(module, Decorrelate)}


@contextmanager
def _watched(whitened: dict[str, Decorrelate], seen: dict[str, Tensor]) -> Iterator[None]:
    """Note what decorrelating layers give, by name."""
    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: seen.update({name: output.detach()}))
        for name, module in whitened.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
