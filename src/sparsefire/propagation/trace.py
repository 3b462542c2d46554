"""One pass forth and back through a network at rest: what every layer receives, gives, and is told to change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import randomness
from sparsefire.errors import UserError
from sparsefire.propagation.chain import is_chain
from sparsefire.propagation.init.walk import Layer, layers_of
from sparsefire.propagation.jacobian import slopes
from sparsefire.propagation.plain import Plain, plain_copy

ROWS = 64  # inputs drawn where none are given
MOST_OUTPUTS = 100  # whose Jacobian is taken: one pass back each


@dataclass(frozen=True, eq=False)
class Passage:
    """What passed through one layer.

    Attributes:
        layer: the layer, in a plain copy of the network.
        exists: bool tensor of its weight's shape, True where a weight exists.
        received: its input, float64 [rows, inputs, ...].
        given: its output, before activation and normalisation, float64 [rows, outputs, ...]; the difference, where
            the layer hands on its positive and negative contributions apart (``sparsefire.spiking.Sequential``).
        gradient: norm of the gradient of its weight, for an error of size 1 at the outputs of every row; existing
            weights only; 0 if it has no part in the output.
    """

    layer: Layer
    exists: Tensor
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
        chain: whether each layer hears the one before it alone (:mod:`~sparsefire.propagation.chain`).
        idle: layers that start at zero, and were drawn to see through them (:mod:`~sparsefire.propagation.plain`).
        singular_values: of the Jacobian of the outputs with respect to the first input, largest first, float64
            [min(inputs, outputs)]; empty for more than 100 outputs, or inputs that are no real numbers.
    """

    passages: tuple[Passage, ...]
    output: Tensor
    inputs: Tensor
    chain: bool
    idle: tuple[str, ...]
    singular_values: np.ndarray


def trace(net: nn.Module, x: Any = None, *, rng: Any = 0) -> Trace:
    """Send a batch through a plain copy of a network in float64, and an error of size 1 back.

    The copy evaluates (no dropout), but batch normalisation uses the batch at hand. The network itself is left as it
    is.

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
    >>> [tuple(p.given.shape) for p in found.passages], found.chain
    ([(64, 8), (64, 2)], True)
    """
    first = layers_of(net)[0]
    generator = torch.Generator().manual_seed(randomness.integer(rng, "inputs of a diagnosis"))
    rows = _drawn(first, generator) if x is None else _given(net, x)
    plain = plain_copy(net, torch.float64, generator)
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    asked = rows.clone().requires_grad_() if rows.is_floating_point() else rows
    with watched(plain.layers, seen), torch.enable_grad():
        try:
            output = plain.net(asked)
        except Exception as error:  # whatever the network itself does with such inputs
            raise UserError(
                "the network does not take these inputs.",
                came=f"a batch of shape {tuple(rows.shape)}: {str(error).splitlines()[0] if str(error) else ''}",
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
    norms = _norms(loss, plain, list(seen))
    return Trace(
        tuple(
            Passage(plain.layers[name], plain.exists[name], received.detach(), given.detach(), norm)
            for (name, (received, given)), norm in zip(seen.items(), norms, strict=True)
        ),
        flat.detach(),
        rows,
        is_chain(plain, list(seen), rows, generator),
        plain.idle,
        _singular_values(plain.net, flat, asked),
    )


def _norms(loss: Tensor, plain: Plain, names: list[str]) -> list[float]:
    """Return the norm of the gradient of the weights that exist, by layer."""
    if not loss.requires_grad:
        return [0.0] * len(names)
    weights: list[Any] = [plain.layers[name].module.weight for name in names]
    found = torch.autograd.grad(loss, weights, allow_unused=True, retain_graph=True)
    return [
        0.0 if slope is None else float((slope * plain.exists[name]).norm())
        for name, slope in zip(names, found, strict=True)
    ]


def _singular_values(net: nn.Module, outputs: Tensor, inputs: Tensor) -> np.ndarray:
    if not (inputs.is_floating_point() and outputs.requires_grad) or outputs.shape[1] > MOST_OUTPUTS:
        return np.empty(0)
    if not any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in net.modules()):  # rows do not mix
        inputs = inputs[:1].detach().requires_grad_()
        outputs = net(inputs).reshape(1, -1)
    jacobian = slopes(outputs[:1], inputs)[0]
    if not bool(jacobian.isfinite().all()):
        return np.empty(0)
    return torch.linalg.svdvals(jacobian).numpy()


def _drawn(first: Layer, generator: torch.Generator) -> Tensor:
    if not isinstance(first.module, nn.Linear):
        raise UserError(
            "what goes into this network cannot be told from its first layer.",
            came=type(first.module).__name__,
            expected="a batch of inputs",
            attempt="diagnose(net, x)",
        )
    return torch.randn(ROWS, first.module.in_features, generator=generator, dtype=torch.float64)


def _given(net: nn.Module, x: Any) -> Tensor:
    try:
        rows = x.detach().cpu() if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError("inputs are numbers.", came=type(x).__name__, expected="a tensor [rows, ...]") from error
    if rows.ndim < 2 or len(rows) < 2:
        raise UserError(
            "a diagnosis compares inputs.",
            came=f"x of shape {tuple(rows.shape)}",
            expected="[rows, ...], 2 rows or more",
        )
    if rows.is_floating_point() or not any(isinstance(m, nn.Embedding | nn.EmbeddingBag) for m in net.modules()):
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
                apart = given.ndim == received[0].ndim + 1 and given.shape[1] == 2  # excite and inhibit
                both = (received[0], given[:, 0] - given[:, 1] if apart else given)
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
