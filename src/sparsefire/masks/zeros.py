"""What keeps absent weights, and their moments in an optimizer, at exactly zero."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sparsefire.masks.parametrisation import Masked, mask_of, masking, own_parameter
from sparsefire.masks.reading import masked


@torch.no_grad()
def zero_masked_(net: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
    """Set masked weights, and their moments in the optimizer, to exactly zero."""
    _zero(_masked_parameters(net), optimizer)


def keep_zero(net: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
    """Register the hook that zeroes masked weights and moments after every step of the optimizer; return its handle.

    Momentum, Adam's moments and weight decay otherwise revive or drift masked entries. Any per-weight state with the
    shape of its parameter counts as a moment. A training that diverged stays visible until :func:`bake`:
    0 · NaN is NaN.

    >>> from sparsefire.masks import attach_
    >>> net = nn.Linear(2, 1); attach_(net, torch.tensor([[True, False]]))
    >>> handle = keep_zero(net, torch.optim.SGD(net.parameters(), lr=0.1)); handle.remove()
    """
    held = _masked_parameters(net)  # buffers are live: mask moves are seen

    def after_step(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        _zero([entry for entry in held if mask_of(entry[0]) is entry[2]], optimizer)  # a baked layer is no longer held

    return optimizer.register_step_post_hook(after_step)


@torch.no_grad()
def clear_moments_(net: nn.Module, optimizer: torch.optim.Optimizer, fresh: dict[str, Tensor]) -> None:
    """Zero the moments of weights that have just been grown.

    Args:
        fresh: layer name → bool tensor, True where a weight is new.
    """
    found = masked(net)
    for name, new in fresh.items():
        module = found[name]
        for parameter in (own_parameter(module), *masking(module).factors()):
            for moment in _moments(parameter, optimizer):
                moment.mul_(~new)


def _masked_parameters(net: nn.Module) -> list[tuple[nn.Module, nn.Parameter, Masked]]:
    found: list[tuple[nn.Module, nn.Parameter, Masked]] = []
    for module in masked(net).values():
        own = masking(module)
        found += [(module, parameter, own) for parameter in (own_parameter(module), *own.factors())]
    return found


def _moments(parameter: nn.Parameter, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    state = optimizer.state.get(parameter, {})
    return [value for value in state.values() if isinstance(value, Tensor) and value.shape == parameter.shape]


@torch.no_grad()
def _zero(entries: list[tuple[nn.Module, nn.Parameter, Masked]], optimizer: torch.optim.Optimizer | None) -> None:
    values: list[Tensor] = []
    kept: list[Tensor] = []
    for _, parameter, own in entries:
        held = [parameter, *(_moments(parameter, optimizer) if optimizer is not None else ())]
        values += held
        kept += [own.kept] * len(held)
    if values:
        torch._foreach_mul_(values, kept)
