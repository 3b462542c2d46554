"""Laws of random directions: independent of everything, of mean zero, and E u uᵀ = I."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sparsefire import randomness
from sparsefire.errors import UserError

_SIGNS = torch.tensor([[1.0 if byte >> bit & 1 else -1.0 for bit in range(8)] for byte in range(256)])


def generator_of(rng: Any) -> torch.Generator:
    """Return a torch generator: the one given, or a new one on the CPU that anything accepted as ``rng=`` determines.

    >>> generator_of(0).initial_seed() == generator_of(0).initial_seed()
    True
    """
    if isinstance(rng, torch.Generator):
        return rng
    return torch.Generator().manual_seed(randomness.integer(rng, "directions"))


def draw(law: str, count: int, size: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return directions [count, size], on the CPU.

    Args:
        law: ``"rademacher"`` (entries ±1), ``"normal"``, ``"sphere"`` (uniform on the sphere of radius √n),
            ``"uniform"`` (entries on [−√3, √3]) or ``"coordinates"`` (√n times a unit vector, each equally likely).
        count, size: K directions in n dimensions.
        generator: draws them.
        dtype: of the result.

    >>> draw("rademacher", 2, 3, generator_of(0)).abs().tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    return _LAWS[law](count, size, generator, dtype)


def bits(law: str, count: int, size: int) -> int:
    """Return the random bits that directions take: see :class:`~sparsefire.rules.budget.Budget`.

    >>> bits("rademacher", 2, 100), bits("coordinates", 2, 100)
    (200, 14)
    """
    if law == "rademacher":
        return count * size
    if law == "coordinates":
        return count * math.ceil(math.log2(max(size, 2)))
    return 32 * count * size


def kurtosis_excess(law: str, size: int) -> float:
    """Return c of E|(g·u)u − g|² = (n + c) |g|² for the laws where it does not depend on g: −1 or +1.

    For entries that are independent with fourth moment q the square is (n − 2) |g|² + q Σ gᵢ⁴/|g|² … summed over i:
    it is g-free for q = 1 (signs) and q = 3 (normal), on the sphere and for coordinates.

    >>> kurtosis_excess("normal", 10), kurtosis_excess("sphere", 10)
    (1.0, -1.0)
    """
    if law not in ("rademacher", "normal", "sphere", "coordinates"):
        raise UserError(f"the variance under law {law!r} depends on the gradient.", expected="rademacher or normal")
    return 1.0 if law == "normal" else -1.0


def check_law(law: str) -> None:
    """Raise when there is no such law."""
    if law not in _LAWS:
        raise UserError(f"there is no law {law!r} of directions.", came=repr(law), expected=", ".join(_LAWS))


def check_count(directions: int) -> None:
    """Raise when there is no direction at all."""
    if isinstance(directions, bool) or not isinstance(directions, int) or directions < 1:
        raise UserError("a rule needs at least one direction.", came=f"directions={directions!r}", expected="1 or more")


def _rademacher(count: int, size: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    total = count * size
    drawn = torch.randint(0, 256, (-(-total // 8),), generator=generator, dtype=torch.uint8, device=generator.device)
    return _SIGNS.to(drawn.device, dtype)[drawn.long()].flatten()[:total].view(count, size)


def _normal(count: int, size: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    return torch.randn(count, size, generator=generator, dtype=dtype, device=generator.device)


def _sphere(count: int, size: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    drawn = _normal(count, size, generator, dtype)
    return drawn * (math.sqrt(size) / drawn.norm(dim=1, keepdim=True))


def _uniform(count: int, size: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    drawn = torch.rand(count, size, generator=generator, dtype=dtype, device=generator.device)
    return drawn.mul_(2).sub_(1).mul_(math.sqrt(3))


def _coordinates(count: int, size: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    where = torch.randint(0, size, (count, 1), generator=generator, device=generator.device)
    return torch.zeros(count, size, dtype=dtype, device=generator.device).scatter_(1, where, math.sqrt(size))


_LAWS: dict[str, Callable[[int, int, torch.Generator, torch.dtype], Tensor]] = {
    "rademacher": _rademacher,
    "normal": _normal,
    "sphere": _sphere,
    "uniform": _uniform,
    "coordinates": _coordinates,
}
