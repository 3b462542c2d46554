"""One pass forth and back through a network at rest: what every layer receives, gives, and is told to change."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire import randomness
from sparsefire.errors import UserError
from sparsefire.propagation.init.walk import Layer, layers_of

ROWS = 64  # inputs drawn where none are given


@dataclass(frozen=True, eq=False)
class Passage:
    """What passed through one layer.

    Attributes:
        layer: the layer.
        received: its input, float64 [rows, inputs, ...].
        given: its output, before activation and normalisation, float64 [rows, outputs, ...].
        gradient: norm of the gradient of its weight, for an error of size 1 at the outputs of every row; existing
            weights only.
    """

    layer: Layer
    received: Tensor
    given: Tensor
    gradient: float


@dataclass(frozen=True, eq=False)
class Trace:
    """A pass through a network.

    Attributes:
        passages: by layer, in the order in which they were reached; a layer that is used several times counts once,
            the first time; one that was never reached is left out.
        output: of the network, float64 [rows, outputs].
        inputs: what went in.
    """

    passages: tuple[Passage, ...]
    output: Tensor
    inputs: Tensor


def trace(net: nn.Module, x: Any = None, *, rng: Any = 0) -> Trace:
    """Send a batch through a copy of a network in float64, and an error of size 1 back.

    The copy evaluates (no dropout), but batch normalisation uses the batch at hand: its running statistics mean nothing
    before training. The network itself is left as it is.

    The error is L = Σ v·output / (rows · √outputs) with v ~ N(0, 1): what comes back does not depend on any targets.

    Args:
        net: any network with linear or convolutional layers.
        x: inputs [rows, ...], 2 rows or more; None draws 64 rows of standard normal numbers, if the first layer is
            linear.
        rng: of the inputs and the error.

    Raises:
        UserError: no layers, inputs that are needed and not given, too few or that do not fit, an output that is not
            one tensor.

    >>> found = trace(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
    >>> [tuple(p.given.shape) for p in found.passages]
    [(64, 8), (64, 2)]
    """
    first = layers_of(net)[0]
    generator = torch.Generator().manual_seed(randomness.integer(rng, "inputs of a diagnosis"))
    rows = _drawn(first, generator) if x is None else _given(x)
    twin = copy.deepcopy(net).to("cpu", torch.float64).eval()
    for module in twin.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    for parameter in twin.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    layers = {layer.name: layer for layer in layers_of(twin)}
    with watched(layers, seen), torch.enable_grad():
        try:
            output = twin(rows)
        except Exception as error:  # whatever the network itself does with such inputs
            raise UserError(
                "the network does not take these inputs.",
                came=f"a batch of shape {tuple(rows.shape)}: {str(error).splitlines()[0]}",
                expected="inputs as it is trained with",
                attempt="diagnose(net, x) with a batch x",
            ) from error
    if not isinstance(output, Tensor) or output.ndim < 1 or len(output) != len(rows):
        raise UserError(
            "the network must give one tensor with a row per input.", came=type(output).__name__, expected="[rows, ...]"
        )
    flat = output.reshape(len(rows), -1)
    back = torch.randn(flat.shape, generator=generator, dtype=torch.float64)
    loss = (back * flat).sum() / (len(rows) * flat.shape[1] ** 0.5)
    slopes = _slopes(loss, [layers[name] for name in seen])
    return Trace(
        tuple(
            Passage(layers[name], received.detach(), given.detach(), slope)
            for (name, (received, given)), slope in zip(seen.items(), slopes, strict=True)
        ),
        flat.detach(),
        rows,
    )


def _slopes(loss: Tensor, layers: list[Layer]) -> list[float]:
    """Return the norm of the gradient of every effective weight."""
    tensors: list[Any] = []
    for layer in layers:
        module: Any = layer.module
        tensors.append(
            module.parametrizations.weight.original if hasattr(module, "parametrizations") else module.weight
        )
    if not loss.requires_grad:
        return [0.0] * len(layers)
    slopes = torch.autograd.grad(loss, tensors, allow_unused=True)
    return [0.0 if slope is None else float(slope.norm()) for slope in slopes]


def _drawn(first: Layer, generator: torch.Generator) -> Tensor:
    if not isinstance(first.module, nn.Linear):
        raise UserError(
            "what goes into this network cannot be told from its first layer.",
            came=type(first.module).__name__,
            expected="a batch of inputs",
            attempt="diagnose(net, x)",
        )
    return torch.randn(ROWS, first.module.in_features, generator=generator, dtype=torch.float64)


def _given(x: Any) -> Tensor:
    rows = torch.as_tensor(x).detach().cpu()
    if rows.ndim < 1 or len(rows) < 2:
        raise UserError(
            "a diagnosis compares inputs.", came=f"x of shape {tuple(rows.shape)}", expected="2 rows or more"
        )
    if rows.is_floating_point():
        rows = rows.double()
        if not bool(rows.isfinite().all()):
            raise UserError("inputs must be finite.", came="NaN or infinity in x", expected="finite numbers")
    return rows


@contextmanager
def watched(layers: dict[str, Layer], seen: dict[str, tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Note what layers receive and give, by name, in the order in which they are reached; units stand in axis 1."""

    def watch(name: str) -> Any:
        def hook(module: nn.Module, received: tuple[Any, ...], given: Any) -> None:
            if name not in seen and received and isinstance(given, Tensor):
                both = (received[0], given)
                seen[name] = (
                    both if not isinstance(module, nn.Linear) else (both[0].movedim(-1, 1), both[1].movedim(-1, 1))
                )

        return hook

    handles = [layer.module.register_forward_hook(watch(name)) for name, layer in layers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
