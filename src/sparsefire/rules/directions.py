"""Laws of random directions: independent of everything, of mean zero, and E u uᵀ = I."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sparsefire import randomness
from sparsefire.errors import UserError


def generator_of(rng: Any) -> torch.Generator:
    """Return a torch generator: the one given, or a new one on the CPU that anything accepted as ``rng=`` determines.

    >>> generator_of(0).initial_seed() == generator_of(0).initial_seed()
    True
    """
    if isinstance(rng, torch.Generator):
        return rng
    return torch.Generator().manual_seed(randomness.integer(rng, "directions"))


def draw(law: str, count: int, size: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return directions [count, size], on the device of the generator.

    Args:
        law: ``"rademacher"`` (entries ±1), ``"normal"``, ``"sphere"`` (uniform on the sphere of radius √n),
            ``"uniform"`` (entries on [−√3, √3]) or ``"coordinates"`` (±√n times a unit vector, each equally likely).
        count, size: K directions in n dimensions.
        generator: draws them, one after the other: K directions are the first K of more.
        dtype: of the result.

    >>> draw("rademacher", 2, 3, generator_of(0)).abs().tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    return _LAWS[law](count, size, generator, dtype)


def bits(law: str, count: int, size: int) -> int:
    """Return the random bits that directions take: see :class:`~sparsefire.rules.budget.Budget`.

    >>> bits("rademacher", 2, 100), bits("coordinates", 2, 100)
    (200, 16)
    """
    if law == "rademacher":
        return count * size
    if law == "coordinates":
        return count * math.ceil(math.log2(2 * size))
    return 32 * count * size


def kurtosis_excess(law: str) -> float:
    """Return c of E|(g·u)u − g|² = (n + c) |g|²: q − 2 for independent entries with fourth moment q.

    >>> kurtosis_excess("normal"), kurtosis_excess("rademacher"), round(kurtosis_excess("uniform"), 6)
    (1.0, -1.0, -0.2)
    """
    check_law(law)
    return {"normal": 1.0, "uniform": 1.8 - 2}.get(law, -1.0)


def check_law(law: str) -> None:
    """Raise when there is no such law."""
    if law not in _LAWS:
        raise UserError(f"there is no law {law!r} of directions.", came=repr(law), expected=", ".join(_LAWS))


def check_count(directions: int) -> None:
    """Raise when there is no direction at all."""
    if isinstance(directions, bool) or not isinstance(directions, int) or directions < 1:
        raise UserError("a rule needs at least one direction.", came=f"directions={directions!r}", expected="1 or more")


def _rademacher(count: int, size: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    words = torch.empty(count, -(-size // 64), dtype=torch.int64, device=generator.device)
    words.random_(-(2**63), None, generator=generator)
    if words.device.type == "cpu" and dtype in (torch.float32, torch.float64):
        from sparsefire.rules import _noise_kernels

        signs = torch.empty(count, size, dtype=dtype)
        _noise_kernels.unpack_signs(words.numpy().view(np.uint64), signs.numpy())
        return signs
    ones = words[:, :, None] >> torch.arange(64, device=words.device) & 1
    return ones.flatten(1)[:, :size].to(dtype).mul_(-2).add_(1)


def _normal(count: int, size: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    drawn = torch.empty(count, size, dtype=dtype, device=generator.device)
    for row in drawn:  # one by one: torch draws other numbers where it draws more of them
        row.normal_(generator=generator)
    return drawn


def _sphere(count: int, size: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    drawn = _normal(count, size, generator, dtype)
    return drawn * (math.sqrt(size) / drawn.norm(dim=1, keepdim=True))


def _uniform(count: int, size: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    drawn = torch.rand(count, size, generator=generator, dtype=dtype, device=generator.device)
    return drawn.mul_(2).sub_(1).mul_(math.sqrt(3))


def _coordinates(count: int, size: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    drawn = torch.randint(0, 2 * size, (count, 1), generator=generator, device=generator.device)
    signed = (math.sqrt(size) * (1 - 2 * (drawn % 2))).to(dtype)
    return torch.zeros(count, size, dtype=dtype, device=generator.device).scatter_(1, drawn // 2, signed)


_LAWS: dict[str, Callable[[int, int, torch.Generator, torch.dtype], Tensor]] = {
    "rademacher": _rademacher,
    "normal": _normal,
    "sphere": _sphere,
    "uniform": _uniform,
    "coordinates": _coordinates,
}
