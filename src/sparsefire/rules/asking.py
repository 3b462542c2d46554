"""Losses and slopes of one batch at many places at once: the queries of rules that perturb weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp, vmap

from sparsefire.errors import UserError
from sparsefire.rules.active import Active
from sparsefire.rules.call import LossFunction, scalar
from sparsefire.rules.quiet import SameNoise, frozen_statistics

MEMORY = 2**28
"""Bytes that perturbed weights and their activities may take at once, where no chunk is given."""


def losses_at(
    net: nn.Module, loss_fn: LossFunction, x: Any, y: Any, active: Active, shifts: Tensor, chunk: int | None = None
) -> Tensor:
    """Return the losses of one batch at θ + each shift, [K]; the same dropout noise in all of them.

    Args:
        net, loss_fn, x, y: as a rule is called; the loss is a scalar.
        active: what is shifted.
        shifts: [K, active.size].
        chunk: shifts evaluated at once; None takes as many as fit into :data:`MEMORY`.
    """
    values = active.values()

    def loss_at(moved: dict[str, Tensor]) -> Tensor:
        return scalar(loss_fn(functional_call(net, moved, _arguments(x), _named(x)), y))

    def together(block: Tensor) -> Tensor:
        moved = {name: values[name] + shift for name, shift in active.shaped(block).items()}
        found: Tensor = vmap(loss_at, randomness="same")(moved)
        return found

    return _in_blocks(net, x, active, shifts, chunk, together)


def slopes_along(
    net: nn.Module, loss_fn: LossFunction, x: Any, y: Any, active: Active, directions: Tensor, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the loss [] and its exact derivatives ∇L · u along directions u, [K], by forward differentiation.

    Args:
        net, loss_fn, x, y: as a rule is called; the loss is a scalar.
        active: what the directions move.
        directions: [K, active.size].
        chunk: as of :func:`losses_at`.
    """
    values = active.values()

    def loss_at(parameters: dict[str, Tensor]) -> Tensor:
        return scalar(loss_fn(functional_call(net, parameters, _arguments(x), _named(x)), y))

    def along(direction: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        found = jvp(loss_at, (values,), (direction,))
        return found[0], found[1]

    def together(block: Tensor) -> Tensor:
        losses, slopes = vmap(along, randomness="same")(active.shaped(block))
        return torch.stack([losses, slopes], dim=1)

    found = _in_blocks(net, x, active, directions, chunk, together)
    return found[0, 0], found[:, 1]


def _in_blocks(
    net: nn.Module, x: Any, active: Active, rows: Tensor, chunk: int | None, together: Callable[[Tensor], Tensor]
) -> Tensor:
    size = chunk or fitting(active, x)
    noise, found = SameNoise(), []
    with frozen_statistics(net), named_on_failure(net), torch.no_grad():
        for block in rows.to(active.device).split(size):
            noise.rewind()
            found.append(together(block))
    return torch.cat(found)


def fitting(active: Active, x: Any) -> int:
    """Return how many shifted networks are evaluated at once within :data:`MEMORY`."""
    parts = x.values() if hasattr(x, "values") and not isinstance(x, Tensor) else x if isinstance(x, tuple) else (x,)
    inputs = sum(part.numel() for part in parts if isinstance(part, Tensor))
    weights = sum(parameter.numel() for parameter in active.parameters.values())
    return max(1, MEMORY // (4 * (3 * weights + 4 * inputs)))


@contextmanager
def named_on_failure(net: nn.Module) -> Iterator[None]:
    """Tell in which layer an operation failed that forward differentiation or vmap cannot go through."""
    inside: list[str] = []
    hooks = [
        module.register_forward_pre_hook(lambda _module, _inputs, name=name: inside.append(name))
        for name, module in net.named_modules()
        if name and not any(module.children())
    ]
    try:
        yield
    except (RuntimeError, NotImplementedError) as error:
        text = str(error).splitlines()[0]
        if inside and any(word in text for word in ("vmap", "in-place", "inplace", "forward AD", "jvp", "Batching")):
            layer = net.get_submodule(inside[-1])
            raise UserError(
                f"layer {inside[-1]!r} ({type(layer).__name__}) cannot be asked about many directions at once.",
                came=text,
                expected="layers without in-place writes or data-dependent control flow",
                attempt="inplace=False, or a rule that asks one query at a time (MeZO)",
            ) from error
        raise
    finally:
        for hook in hooks:
            hook.remove()


def _arguments(x: Any) -> tuple[Any, ...]:
    if isinstance(x, tuple):
        return x
    return () if hasattr(x, "keys") else (x,)


def _named(x: Any) -> dict[str, Any]:
    return dict(x) if hasattr(x, "keys") else {}
