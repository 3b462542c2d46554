"""Small exact draws that the generators and the null models share."""

from __future__ import annotations

from typing import Any

import numpy as np

from sparsefire.errors import UserError
from sparsefire.randomness import stream
from sparsefire.wiring.graph import MOST_UNITS

Units = int | tuple[int, int]
"""How many units, or (senders, receivers) of two layers."""


def whole(value: Any, name: str, least: int = 0, most: int = MOST_UNITS) -> int:
    """Return a whole number after checking it.

    >>> whole(3, "links", 1)
    3
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= most:
        raise UserError(f"{name} must be a whole number.", came=f"{name}={value!r}", expected=f"{least:,} to {most:,}")
    return int(value)


def share(value: Any, name: str) -> float:
    """Return a number in [0, 1] after checking it.

    >>> share(0.5, "density")
    0.5
    """
    if not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise UserError(f"{name} must be a share.", came=f"{name}={value!r}", expected="a number in [0, 1]")
    return float(value)


def layers(units: Any) -> tuple[int, int, bool]:
    """Return senders, receivers and whether these are the same units.

    >>> layers(5), layers((3, 3))
    ((5, 5, True), (3, 3, False))
    """
    if isinstance(units, tuple):
        if len(units) != 2:
            raise UserError("units is one number, or two for two layers.", came=repr(units))
        return whole(units[0], "units[0]", 1), whole(units[1], "units[1]", 1), False
    size = whole(units, "units", 1)
    return size, size, True


def key(rng: Any, *name: int | str) -> np.uint64:
    """Return 64 random bits for a compiled loop.

    >>> bool(key(0, "a") == key(0, "a"))
    True
    """
    return stream(rng, *name).integers(2**64, dtype=np.uint64)


def distinct(population: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return ``count`` different whole numbers in [0, population), sorted; every such set is equally likely.

    Draws go on until enough different numbers came; the set is uniform, as nothing prefers one number to another.

    Returns:
        int64 [count].

    >>> distinct(5, 5, np.random.default_rng(0)).tolist()
    [0, 1, 2, 3, 4]
    """
    if count > population // 2:  # memory of the order of the result
        kept = np.ones(population, dtype=bool)
        kept[distinct(population, population - count, rng)] = False
        return np.flatnonzero(kept)
    found = np.empty(0, dtype=np.int64)
    while len(found) < count:
        more = rng.integers(0, population, count - len(found))
        found = np.concatenate([found, more])
        found.sort()
        found = found[np.concatenate([[True], found[1:] != found[:-1]])]
    return found


def pairs(senders: int, receivers: int, square: bool, directed: bool) -> int:
    """Return how many arcs (edges, where undirected) there can be, loops left out.

    >>> pairs(4, 4, True, True), pairs(4, 4, True, False), pairs(4, 3, False, True)
    (12, 6, 12)
    """
    if not square:
        return senders * receivers
    return senders * (senders - 1) // (1 if directed else 2)


def ends(
    places: np.ndarray, senders: int, receivers: int, square: bool, directed: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return sender and receiver of the pairs with these numbers, in [0, :func:`pairs`).

    >>> [part.tolist() for part in ends(np.arange(3), 3, 3, True, False)]
    [[0, 0, 1], [1, 2, 2]]
    """
    if not square:
        return places // receivers, places % receivers
    if directed:
        tails, heads = places // (senders - 1), places % (senders - 1)
        return tails, heads + (heads >= tails)
    heads = ((1 + np.sqrt(1 + 8.0 * places)) / 2).astype(np.int64)
    heads -= heads * (heads - 1) // 2 > places  # the root is rounded
    heads += heads * (heads + 1) // 2 <= places
    return places - heads * (heads - 1) // 2, heads
