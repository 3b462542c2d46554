"""What a rule may perturb: the trainable parameters of a network where they are active, as one vector."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.rules.call import add_gradient_

_FOUND: WeakIdKeyDictionary = WeakIdKeyDictionary()  # mask → (its version, its places): masks seldom move


def true_places(mask: Tensor) -> Tensor:
    """Return the flat places of the true entries; looked up again only when the mask has been written to."""
    known = _FOUND.get(mask)
    if known is None or known[0] != mask._version:
        known = (mask._version, mask.flatten().nonzero().flatten())
        _FOUND[mask] = known
    return known[1]


class Active:
    """Trainable parameters, seen as one vector of their active entries.

    Absent weights of masked layers are no part of it, so that no noise is drawn for them; both factors of product
    weights are.

    Args:
        net: any network.
        keep: bool tensors by parameter name that leave out further entries; parameters not named are whole.

    Raises:
        UserError: nothing is trainable.

    >>> view = Active(nn.Linear(2, 1)); view.size
    3
    """

    def __init__(self, net: nn.Module, keep: Mapping[str, Tensor] | None = None) -> None:
        self.net = net
        self.parameters = {name: p for name, p in net.named_parameters() if p.requires_grad}
        mask_of = masks.active(net)
        self.places: dict[str, Tensor | None] = {}
        self.sizes: list[int] = []
        for name, parameter in self.parameters.items():
            mask = mask_of[parameter]
            extra = None if keep is None else keep.get(name)
            if extra is not None:
                mask = extra if mask is None else mask & extra
            place = None if mask is None else true_places(mask)
            self.places[name] = place
            self.sizes.append(parameter.numel() if place is None else len(place))
        self.size = sum(self.sizes)
        if not self.size:
            raise UserError(
                "there is nothing to perturb.",
                came="a network without trainable, active parameters",
                expected="parameters with requires_grad, and masks that keep some of them",
            )
        first = next(iter(self.parameters.values()))
        self.dtype, self.device = first.dtype, first.device

    def values(self) -> dict[str, Tensor]:
        """Return the parameters by name, detached."""
        return {name: parameter.detach() for name, parameter in self.parameters.items()}

    def shaped(self, flat: Tensor) -> dict[str, Tensor]:
        """Return vectors [K, size] as tensors [K, *shape] by name, zero where nothing is active."""
        found = {}
        for (name, parameter), piece in zip(self.parameters.items(), flat.split(self.sizes, dim=1), strict=True):
            place = self.places[name]
            piece = piece.to(parameter)
            if place is not None:
                piece = piece.new_zeros(len(flat), parameter.numel()).index_copy_(1, place, piece)
            found[name] = piece.view(len(flat), *parameter.shape)
        return found

    @torch.no_grad()
    def copy(self) -> dict[str, Tensor]:
        """Return copies of the whole parameters, to be put back bit for bit."""
        return {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    @torch.no_grad()
    def restore_(self, held: Mapping[str, Tensor]) -> None:
        """Put such copies back."""
        for name, parameter in self.parameters.items():
            parameter.copy_(held[name])

    @torch.no_grad()
    def vector(self) -> Tensor:
        """Return a copy of the active entries, [size]."""
        return torch.cat([self._flat(name, p.detach()).to(self.dtype) for name, p in self.parameters.items()])

    @torch.no_grad()
    def write_(self, vector: Tensor) -> None:
        """Set the active entries, [size]."""
        for (name, parameter), piece in zip(self.parameters.items(), vector.split(self.sizes), strict=True):
            place = self.places[name]
            if place is None:
                parameter.copy_(piece.view_as(parameter))
            else:
                flat = parameter.detach().flatten().clone()
                parameter.copy_(flat.index_copy_(0, place, piece.to(parameter)).view_as(parameter))

    @torch.no_grad()
    def gradient(self) -> Tensor:
        """Return what ``.grad`` holds in the active entries, [size]; zero where there is none."""
        return torch.cat(
            [
                self._flat(name, torch.zeros_like(p) if p.grad is None else p.grad).to(self.dtype)
                for name, p in self.parameters.items()
            ]
        )

    @torch.no_grad()
    def add_gradient_(self, vector: Tensor) -> None:
        """Add [size] to ``.grad``; what is not active gets exactly zero."""
        for name, whole in self.shaped(vector[None]).items():
            add_gradient_(self.parameters[name], whole[0])

    def _flat(self, name: str, tensor: Tensor) -> Tensor:
        place = self.places[name]
        return tensor.flatten() if place is None else tensor.flatten()[place]
