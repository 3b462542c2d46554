"""The parametrisation that masks one weight, and how a layer that carries one is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

CHAIN = "parametrizations.weight."


class Masked(nn.Module):
    """Parametrisation ``weight -> mask * weight``.

    Args:
        mask: bool tensor of the weight's shape, True where a weight exists; kept as a buffer.

    The attribute ``dense_gradient`` is set by a topology for one backward pass: the forward value is the same, but the
    gradient then reaches every entry, which is how missing connections show whether they would help. Data-parallel
    training averages that gradient like any other.

    >>> Masked(torch.tensor([True, False]))(torch.tensor([2.0, 3.0]))
    tensor([2., 0.])
    """

    mask: Tensor
    kept: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        if mask.dtype != torch.bool:
            raise TypeError(f"a mask must be a bool tensor. Got {mask.dtype}")
        self.register_buffer("mask", mask)
        # The same mask as numbers: multiplying by bool is eight times slower. Not stored; follows the weight's dtype.
        self.register_buffer("kept", mask.to(torch.get_default_dtype()), persistent=False)
        self.dense_gradient = False

    def forward(self, weight: Tensor) -> Tensor:
        masked = self.value(weight) * self.kept
        if not self.dense_gradient:
            return masked
        return masked + (weight - weight.detach()) * (1 - self.kept)  # the second part is zero, its gradient is not

    def right_inverse(self, weight: Tensor) -> Tensor:
        return weight * self.kept

    def value(self, weight: Tensor) -> Tensor:
        """Return the effective weight before the mask, from the layer's own Parameter: here that itself."""
        return weight

    def slope(self, weight: Tensor) -> Tensor | float:
        """Return ∂value/∂weight, entry by entry."""
        return 1.0

    def awaken_(self, fresh: Tensor, weight: Tensor) -> None:
        """Make entries that have just entered, and are zero, ready to grow, in place: a product needs one factor."""

    @torch.no_grad()
    def write_(self, mask: Tensor) -> None:
        """Take another mask."""
        self.mask.copy_(mask)
        self.kept.copy_(mask)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self.kept.copy_(self.mask)

    def factors(self) -> Iterator[nn.Parameter]:
        """Yield parameters of the parametrisation itself that live on the mask: one for a product, none here."""
        yield from self.parameters(recurse=False)


def mask_of(module: nn.Module) -> Masked | None:
    """Return the masking parametrisation of a layer, or None.

    >>> mask_of(nn.Linear(2, 2)) is None
    True
    """
    if not parametrize.is_parametrized(module, "weight"):
        return None
    for parametrisation in module.parametrizations["weight"]:  # type: ignore[index]
        if isinstance(parametrisation, Masked):
            return parametrisation
    return None


def masking(module: nn.Module) -> Masked:
    """Return the masking parametrisation of a layer that is known to carry one."""
    own = mask_of(module)
    assert own is not None
    return own


def own_parameter(module: nn.Module) -> nn.Parameter:
    """Return the layer's own Parameter, which the optimizer holds, masked or not.

    >>> own_parameter(nn.Linear(2, 1)).shape
    torch.Size([1, 2])
    """
    if parametrize.is_parametrized(module, "weight"):
        return module.parametrizations["weight"].original  # type: ignore[index,union-attr]
    return module.weight  # type: ignore[return-value]


def gradient_of(module: nn.Module) -> Tensor | None:
    """Return the gradient of the loss by the effective weight of a masked layer, or None if there is none.

    At missing weights it is right only after a backward pass with ``dense_gradient``; zero otherwise, and also where
    the parametrisation passes no gradient on.

    >>> from sparsefire.masks import attach_
    >>> net = nn.Linear(2, 1, bias=False); attach_(net, torch.tensor([[True, False]]))
    >>> net(torch.tensor([3.0, 5.0])).backward(); gradient_of(net).tolist()
    [[3.0, 0.0]]
    """
    own = mask_of(module)
    gradient = own_parameter(module).grad
    if gradient is None or own is None or type(own) is Masked:
        return gradient
    with torch.no_grad():
        slope = torch.as_tensor(own.slope(own_parameter(module))).to(gradient)
        inside = torch.where(slope == 0, 0.0, gradient / torch.where(slope == 0, 1.0, slope))
        return torch.where(own.mask, inside, gradient)
