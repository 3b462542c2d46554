"""Noise that is added in place and can be drawn again from its key, so that it is never stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sparsefire.errors import UserError

LAWS = ("rademacher", "normal")
BLOCK = 2**22
"""Numbers drawn at once where a compiled kernel cannot be used."""

Place = tuple[Tensor, Tensor | None]
"""A parameter, and the flat places of its active entries, or None for all."""


def places_of(parameters: dict[str, torch.nn.Parameter], places: dict[str, Tensor | None]) -> list[Place]:
    """Pair parameters with the places where they are active."""
    return [(parameter, places[name]) for name, parameter in parameters.items()]


@torch.no_grad()
def add_noise_(parts: Sequence[Place], key: int, scale: float, law: str) -> None:
    """Add scale · z(key) to the active entries, in place.

    On the CPU, float32 and float64 parameters take z from a counter (compiled, no memory at all); others from torch
    generators in blocks of 4 million.

    Args:
        parts: parameters and their places, always in the same order.
        key: in [0, 2⁶³); the same key gives the same z.
        scale: any number.
        law: ``"rademacher"`` or ``"normal"``.

    >>> p = torch.zeros(3); add_noise_([(p, None)], 7, 0.5, "rademacher"); p.abs().tolist()
    [0.5, 0.5, 0.5]
    >>> add_noise_([(p, None)], 7, -0.5, "rademacher"); p.tolist()
    [0.0, 0.0, 0.0]
    """
    first = 0
    for parameter, place in parts:
        add_noise_from_((parameter, place), key, first, scale, law)
        first += parameter.numel() if place is None else len(place)


@torch.no_grad()
def add_noise_from_(part: Place, key: int, first: int, scale: float, law: str) -> None:
    """Add scale · z(key) to one parameter, which takes the numbers from ``first`` on."""
    parameter, place = part
    values = parameter.detach()
    compiled = values.device.type == "cpu" and values.dtype in (torch.float32, torch.float64)
    if compiled and values.is_contiguous():
        _compiled(values.view(-1).numpy(), place, key, first, scale, law)
    else:
        _in_torch(values, place, key, first, scale, law)


def _compiled(values: np.ndarray, place: Tensor | None, key: int, first: int, scale: float, law: str) -> None:
    from sparsefire.rules import _noise_kernels as kernels

    word = np.uint64(key)
    if place is None:
        add = kernels.add_signs if law == "rademacher" else kernels.add_normal
        add(values, word, np.int64(first), scale)
    else:
        add_at = kernels.add_signs_at if law == "rademacher" else kernels.add_normal_at
        add_at(values, place.cpu().numpy(), word, np.int64(first), scale)


def _in_torch(values: Tensor, place: Tensor | None, key: int, first: int, scale: float, law: str) -> None:
    generator = torch.Generator(values.device).manual_seed((key + first) % 2**63)
    flat = values.view(-1) if values.is_contiguous() else values.flatten()
    for begin in range(0, flat.numel() if place is None else len(place), BLOCK):
        if place is None:
            part = flat[begin : begin + BLOCK]
            part.add_(_drawn(len(part), generator, values, law), alpha=scale)
        else:
            where = place[begin : begin + BLOCK]
            flat.index_add_(0, where, _drawn(len(where), generator, values, law), alpha=scale)
    if not values.is_contiguous():
        values.copy_(flat.view_as(values))


def _drawn(count: int, generator: torch.Generator, like: Tensor, law: str) -> Tensor:
    if law == "normal":
        return torch.randn(count, generator=generator, device=like.device, dtype=like.dtype)
    drawn = torch.randint(0, 2, (count,), generator=generator, device=like.device, dtype=torch.int8)
    return drawn.to(like.dtype).mul_(2).sub_(1)


def check_replayed(law: str) -> None:
    """Raise when a law cannot be drawn again entry by entry."""
    if law not in LAWS:
        raise UserError(f"noise of law {law!r} cannot be replayed.", came=repr(law), expected=" or ".join(LAWS))
