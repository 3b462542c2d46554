"""A chain of linear layers and elementwise activations, run once, with all that a unit's move is computed from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sparsefire.errors import UserError
from sparsefire.rules.local.chain import Block, blocks
from sparsefire.rules.units import called, trainable

RULE = "unit-wise differences"
CODES = ("identity", "relu", "leaky", "tanh", "sigmoid", "gelu", "silu")  # activations as the kernels number them


@dataclass(frozen=True, eq=False)
class Step:
    """One activation.

    Attributes:
        function: of a tensor, entry by entry; at the end of the network, row by row.
        code, slope: what the compiled kernel knows it by; None where it does not.
        kept: [rows, units], what dropout multiplied by in the clean pass, or None.
    """

    function: Callable[[Tensor], Tensor]
    code: str | None = None
    slope: float = 0.0
    kept: Tensor | None = None

    def __call__(self, values: Tensor, examples: Tensor | None = None) -> Tensor:
        """Return the activities of values [n, units], which belong to these examples; None takes all in order."""
        if self.kept is not None:
            return values * (self.kept if examples is None else self.kept[examples])
        return self.function(values)


@dataclass(frozen=True, eq=False)
class Level:
    """A linear layer in the clean pass.

    Attributes:
        name: inside the network.
        layer: the module.
        weight, bias: its effective values, detached.
        before: its outputs [rows, units], detached.
        after: the activations that follow.
        value: what these make of them.
    """

    name: str
    layer: nn.Linear
    weight: Tensor
    bias: Tensor | None
    before: Tensor
    after: tuple[Step, ...]
    value: Tensor

    def activate(self, before: Tensor, examples: Tensor | None = None) -> Tensor:
        """Return the activities that other outputs of the layer would lead to."""
        for step in self.after:
            before = step(before, examples)
        return before


def read(net: nn.Module) -> list[Block]:
    """Read the structure that unit-wise differences need.

    Raises:
        UserError: anything but Linear layers with elementwise activations (Flatten and dropout at the beginning), by
            the name of the layer; nothing to train.
    """
    chain = [Block("", net)] if isinstance(net, nn.Linear) else blocks(net, RULE)
    names = {module: name for name, module in net.named_modules()}
    for number, block in enumerate(chain):
        if not isinstance(block.layer, nn.Linear):
            _refuse(names[block.layer], block.layer)
        for module in block.before:
            if not isinstance(module, nn.Flatten | nn.Dropout | nn.Identity) and type(module) not in _STEPS:
                _refuse(names[module], module)
        for module in block.after:
            if not (_fits(module) or (number == len(chain) - 1 and _by_row(module))):
                _refuse(names[module], module)
    linear = [block.layer for block in chain]
    if len(set(linear)) < len(linear):
        twice = next(layer for layer in linear if linear.count(layer) > 1)
        raise UserError(
            f"{called(names[twice], twice)} stands more than once in the chain.", expected="each layer once"
        )
    if not any(trainable(layer) for layer in linear):
        raise UserError(f"there is nothing that {RULE} could train.", came="no parameter with requires_grad")
    return chain


@torch.no_grad()
def run_clean(chain: Sequence[Block], x: Tensor) -> tuple[list[Level], dict[str, Tensor]]:
    """Run the chain once.

    Returns:
        The levels, and the outputs of each layer with a graph that ends in that layer, as of
        :func:`sparsefire.rules.units.record`.
    """
    levels: list[Level] = []
    given: dict[str, Tensor] = {}
    for block in chain:
        for module in block.before:
            x = module(x.clone())  # it may work in place
        if x.ndim != 2:
            raise UserError(
                f"{called(block.name, block.layer)} does not get one vector per example.",
                came=f"inputs of shape {tuple(x.shape)}",
                expected="(rows, features); an nn.Flatten in front makes it so",
            )
        with torch.enable_grad():
            given[block.name] = output = block.layer(x)
        before = output.detach()
        layer: Any = block.layer
        value, after = before, []
        for module in block.after:
            after.append(_step(module, value))
            value = after[-1](value)
        bias = None if layer.bias is None else layer.bias.detach()
        levels.append(Level(block.name, layer, layer.weight.detach(), bias, before, tuple(after), value))
        x = value
    return levels, given


def simple(steps: Sequence[Step]) -> tuple[str, float] | None:
    """Return the kernel's code and slope of activations that are one it knows, or None."""
    real = [step for step in steps if step.code != "identity"]
    if len(real) > 1 or any(step.code is None for step in real):
        return None
    return (str(real[0].code), real[0].slope) if real else ("identity", 0.0)


def _step(module: nn.Module, value: Tensor) -> Step:
    if isinstance(module, nn.Dropout):
        if not module.training or module.p == 0:
            return Step(_same, "identity")
        return Step(_same, kept=functional.dropout(torch.ones_like(value), module.p))  # the numbers a plain pass draws
    if type(module) in _STEPS:
        return _STEPS[type(module)](module)
    row: Any = module
    return Step(
        partial(functional.log_softmax if isinstance(module, nn.LogSoftmax) else functional.softmax, dim=row.dim)
    )


def _fits(module: nn.Module) -> bool:
    return type(module) is nn.Dropout or type(module) in _STEPS


def _by_row(module: nn.Module) -> bool:
    return isinstance(module, nn.Softmax | nn.LogSoftmax) and module.dim in (1, -1)


def _refuse(name: str, module: nn.Module) -> None:
    raise UserError(
        f"{RULE} cannot serve {called(name, module)}.",
        came=type(module).__name__,
        expected="an nn.Sequential of Linear layers, elementwise activations and Dropout, Flatten in front",
        attempt="NodePerturbation, which takes any layers",
    )


def _same(values: Tensor) -> Tensor:
    return values


_STEPS: dict[type[nn.Module], Callable[[Any], Step]] = {
    nn.Identity: lambda _: Step(_same, "identity"),
    nn.ReLU: lambda _: Step(torch.relu, "relu"),
    nn.LeakyReLU: lambda m: Step(
        partial(functional.leaky_relu, negative_slope=m.negative_slope), "leaky", m.negative_slope
    ),
    nn.Tanh: lambda _: Step(torch.tanh, "tanh"),
    nn.Sigmoid: lambda _: Step(torch.sigmoid, "sigmoid"),
    nn.GELU: lambda m: Step(
        partial(functional.gelu, approximate=m.approximate), "gelu" if m.approximate == "none" else None
    ),
    nn.SiLU: lambda _: Step(functional.silu, "silu"),
}
