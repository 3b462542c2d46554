"""A network as a chain of blocks, and what the local rules share when they run one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import activation, batchnorm, dropout, flatten, instancenorm, normalization, padding, pooling

from sparsefire.errors import UserError
from sparsefire.rules.quiet import with_statistics

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_BETWEEN = {
    part.__name__ for part in (activation, batchnorm, dropout, flatten, instancenorm, normalization, padding, pooling)
}
# Activations ρ that never fall: an energy whose unit minimises G(a) − a·input with G' = ρ⁻¹ exists for each of them.
MONOTONE = (
    nn.Identity,
    nn.Tanh,
    nn.Sigmoid,
    nn.Hardsigmoid,
    nn.Hardtanh,  # ReLU6 too
    nn.ReLU,
    nn.LeakyReLU,
    nn.Softplus,
    nn.Softsign,
)


@dataclass(frozen=True)
class Block:
    """One layer with weights and what follows it until the next such layer.

    Attributes:
        name: of the layer inside the network, such as ``"2"`` or ``"body.0"``.
        layer: linear or convolutional, masked or not.
        before: what precedes the first layer of the network, such as a ``Flatten``; empty in all other blocks.
        after: activations, norms, pooling, flattening and dropout, in order.
    """

    name: str
    layer: nn.Module
    before: tuple[nn.Module, ...] = ()
    after: tuple[nn.Module, ...] = ()

    def __call__(self, x: Tensor) -> Tensor:
        for module in (*self.before, self.layer, *self.after):
            x = module(x)
        return x


def blocks(net: nn.Module, rule: str) -> list[Block]:
    """Read an ``nn.Sequential``, nested ones flattened, as blocks in order.

    Args:
        net: linear and convolutional layers with activations, norms, pooling, flattening and dropout between them.
        rule: the name of the rule, for messages.

    Raises:
        UserError: anything else, by the name of the layer; no layer with weights at all.

    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    >>> [(block.name, len(block.after)) for block in blocks(net, "a rule")]
    [('1', 1), ('3', 0)]
    """
    if not _is_sequential(net):
        raise UserError(
            f"{rule} needs a network that is a chain.", came=type(net).__name__, expected="an nn.Sequential of layers"
        )
    before: list[nn.Module] = []
    found: list[tuple[str, nn.Module, list[nn.Module]]] = []
    for name, module in _flat(net, ""):
        if isinstance(module, LAYERS):
            found.append((name, module, []))
        elif _stands_between(module):
            (found[-1][2] if found else before).append(module)
        else:
            raise UserError(
                f"{rule} cannot serve layer {name!r} ({type(module).__name__}).",
                came=f"{type(module).__name__} in a chain",
                expected="Linear or Conv1d-3d layers with activations, norms, pooling, flattening, dropout between",
            )
    if not found:
        raise UserError(f"{rule} needs a layer with weights.", came="a chain without one", expected="a Linear layer")
    return [
        Block(name, layer, tuple(before) if number == 0 else (), tuple(after))
        for number, (name, layer, after) in enumerate(found)
    ]


def linear_blocks(net: nn.Module, rule: str) -> list[Block]:
    """Read a chain of linear layers, each with at most one activation that never falls.

    Raises:
        UserError: any other layer, by its name.

    >>> len(linear_blocks(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), "a rule"))
    2
    """
    chain = blocks(net, rule)
    names = {module: name for name, module in net.named_modules()}
    for block in chain:
        wrong = [block.layer] if not isinstance(block.layer, nn.Linear) else []
        wrong += block.before
        wrong += [module for number, module in enumerate(block.after) if number or not isinstance(module, MONOTONE)]
        if wrong:
            raise UserError(
                f"{rule} cannot serve layer {names[wrong[0]]!r} ({type(wrong[0]).__name__}).",
                came=type(wrong[0]).__name__,
                expected="Linear layers, each with at most one activation: Tanh, Hardsigmoid, Hardtanh, Sigmoid, ReLU",
            )
    return chain


def one_input(x: Any, rule: str) -> Tensor:
    """Return the tensor that enters a chain, detached.

    Args:
        x: a tensor, or a tuple or mapping that holds one tensor; rows first.
        rule: its name, for the message.
    """
    parts = tuple(x.values()) if isinstance(x, Mapping) else x if isinstance(x, tuple) else (x,)
    if len(parts) != 1 or not isinstance(parts[0], Tensor) or parts[0].ndim < 2:
        raise UserError(
            f"{rule} needs one input tensor with rows.",
            came=" and ".join(
                f"shape {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__ for part in parts
            )
            or "nothing",
            expected="shape (rows, ...)",
        )
    return parts[0].detach()


def apart(chain: Sequence[Block], x: Tensor) -> list[Tensor]:
    """Run a chain so that no gradient passes from one block to the block before; return the output of each.

    >>> chain = blocks(nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), "a rule")
    >>> first, second = apart(chain, torch.ones(3, 2))
    >>> second.sum().backward(); chain[0].layer.weight.grad is None
    True
    """
    outputs = []
    for block in chain:
        x = block(x.detach())
        outputs.append(x)
    return outputs


def backward(outputs: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> None:
    """Accumulate into ``.grad`` from several outputs at once; those of frozen blocks are left out."""
    pairs = [(output, gradient) for output, gradient in zip(outputs, gradients, strict=True) if output.requires_grad]
    if pairs:
        torch.autograd.backward([output for output, _ in pairs], [gradient for _, gradient in pairs])


def weights_of(chain: Sequence[Block]) -> list[int]:
    """Return how many entries the weight of each block has."""
    return [int(block.layer.weight.numel()) for block in chain]  # type: ignore[operator]


@contextmanager
def unmoved_on_error(net: nn.Module) -> Iterator[None]:
    """Put the running statistics back when what happens inside fails, so that a refused batch leaves no trace."""
    held = [(buffer, buffer.clone()) for norm in with_statistics(net) for buffer in norm.buffers(recurse=False)]
    try:
        yield
    except BaseException:
        for buffer, value in held:
            buffer.copy_(value)
        raise


def _is_sequential(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward


def _flat(net: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    for name, module in net._modules.items():  # named_children leaves out what occurs twice, such as one shared ReLU
        if module is not None and _is_sequential(module):
            yield from _flat(module, f"{prefix}{name}.")
        elif module is not None:
            yield f"{prefix}{name}", module


def _stands_between(module: nn.Module) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return False
    return isinstance(module, nn.Identity) or type(module).__module__ in _BETWEEN
