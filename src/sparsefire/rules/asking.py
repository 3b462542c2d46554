"""Losses and slopes of one batch at many places at once: the queries of rules that perturb weights."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vmap

from sparsefire.errors import UserError
from sparsefire.rules._sparse_queries import read
from sparsefire.rules.active import Active
from sparsefire.rules.call import LossFunction, call, scalar
from sparsefire.rules.quiet import SameNoise, frozen_statistics, own_inputs

MEMORY = 2**26
"""Bytes that perturbed weights and their activities may take at once, where no chunk is given: a few caches' worth."""

_BY_LAYER = (RuntimeError, NotImplementedError)  # what a layer fails with that vmap or jvp cannot go through


@dataclass(frozen=True)
class Batch:
    """One batch and the network that is asked about it: what a rule was called with, and what it may move."""

    net: nn.Module
    loss_fn: LossFunction
    x: Any
    y: Any
    active: Active

    def loss_of(self, output: Any) -> Tensor:
        """Return the loss of what the network answers, []."""
        return scalar(self.loss_fn(output, self.y))

    def loss(self, parameters: dict[str, Tensor]) -> Tensor:
        """Return the loss with these parameters, []."""
        x = own_inputs(self.net, self.x)
        held = _held(self.net, parameters)
        return self.loss_of(functional_call(self.net, held, _arguments(x), _named(x), tie_weights=False))


def losses_at(batch: Batch, directions: Tensor, scales: Sequence[float] = (1.0,)) -> Tensor:
    """Return the losses at θ + s u, all at once: [scales, K]; the same noise in all of them.

    Args:
        batch: what is asked about.
        directions: u, [K, active weights].
        scales: s.
    """
    values, found, noise = batch.active.values(), [], SameNoise(batch.net)
    sparse = read(batch.active, batch.x)
    if sparse is not None:
        with suppress(*_BY_LAYER), torch.no_grad():  # what fails is asked again below, which names the layer
            outputs = sparse.outputs(directions, scales)
            losses: Tensor = vmap(batch.loss_of, randomness="same")(outputs.flatten(0, 1))
            return losses.view(len(scales), len(directions))
    with _asking(batch):
        shifts = batch.active.shaped(directions.to(batch.active.device))
        for scale in scales:
            noise.rewind()
            moved = {name: torch.add(values[name], shift, alpha=scale) for name, shift in shifts.items()}
            found.append(vmap(batch.loss, randomness="same")(moved))
    return torch.stack(found)


def slopes_along(batch: Batch, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss [] and its exact derivatives ∇L · u along directions, [K], by forward differentiation.

    Args:
        batch: what is asked about.
        directions: u, [K, active weights].
    """
    values, noise = batch.active.values(), SameNoise(batch.net)
    sparse = read(batch.active, batch.x)
    if sparse is not None:
        with suppress(*_BY_LAYER), torch.no_grad():
            output, tangents = sparse.slopes(directions)
            found = vmap(lambda tangent: jvp(batch.loss_of, (output,), (tangent,)), randomness="same")(tangents)
            return found[0][0], found[1]
        noise.rewind()

    def along(direction: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        found = jvp(batch.loss, (values,), (direction,))
        return found[0], found[1]

    with _asking(batch):
        losses, slopes = vmap(along, randomness="same")(batch.active.shaped(directions.to(batch.active.device)))
    return losses[0], slopes


def loss_here(batch: Batch) -> Tensor:
    """Return the loss where the weights are, []; a query after it sees the same noise."""
    noise = SameNoise(batch.net)
    with _asking(batch):
        loss = scalar(batch.loss_fn(call(batch.net, own_inputs(batch.net, batch.x)), batch.y))
    noise.rewind()
    return loss


@contextmanager
def _asking(batch: Batch) -> Iterator[None]:
    with frozen_statistics(batch.net), named_on_failure(batch.net), torch.no_grad():
        yield


def fitting(active: Active, x: Any) -> int:
    """Return how many directions are asked about at once within :data:`MEMORY`, or a part of it that is faster."""
    sparse = read(active, x)
    if sparse is not None:
        return max(1, MEMORY // 4 // sparse.bytes_each(active.size))
    parts = x.values() if hasattr(x, "values") and not isinstance(x, Tensor) else x if isinstance(x, tuple) else (x,)
    inputs = sum(part.numel() for part in parts if isinstance(part, Tensor))
    weights = sum(parameter.numel() for parameter in active.parameters.values())
    return max(1, MEMORY // (4 * (3 * weights + 4 * inputs)))


@contextmanager
def named_on_failure(
    net: nn.Module,
    cannot: str = "be asked about many directions at once",
    instead: str = "asks one query at a time (MeZO)",
) -> Iterator[None]:
    """Tell in which layer an operation failed that forward differentiation or vmap cannot go through.

    Args:
        net: the network.
        cannot: what the layer cannot.
        instead: what a rule does that can.
    """
    inside: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _module, _inputs, name=name: inside.append(name))
        for name, module in net.named_modules()
        if name and not any(module.children())
    ]
    try:
        yield
    except _BY_LAYER as error:
        text = str(error).splitlines()[0]
        if inside and any(word in text for word in ("vmap", "in-place", "inplace", "forward AD", "jvp", "Batching")):
            layer = net.get_submodule(inside[-1])
            raise UserError(
                f"layer {inside[-1]!r} ({type(layer).__name__}) cannot {cannot}.",
                came=text,
                expected="layers without in-place writes or data-dependent control flow",
                attempt=f"inplace=False, or a rule that {instead}",
            ) from error
        raise
    finally:
        for hook in hooks:
            hook.remove()


def _held(net: nn.Module, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return parameters by every layer that holds them, each layer once.

    ``functional_call`` would find tied ones by itself, but not put back those of a layer that stands twice.
    """
    names = {parameter: name for name, parameter in net.named_parameters()}
    return {
        f"{path}.{own}" if path else own: parameters[names[parameter]]
        for path, module in net.named_modules()
        for own, parameter in module._parameters.items()
        if parameter is not None and names[parameter] in parameters
    }


def _arguments(x: Any) -> tuple[Any, ...]:
    if isinstance(x, tuple):
        return x
    return () if hasattr(x, "keys") else (x,)


def _named(x: Any) -> dict[str, Any]:
    return dict(x) if hasattr(x, "keys") else {}
