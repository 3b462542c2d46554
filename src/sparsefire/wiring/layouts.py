"""Layouts: how many weights each layer keeps when the network keeps a given share of them.

Every layout is a function of the weight shapes alone; counts are exact integers that sum to the requested number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sparsefire.errors import UserError

Shape = tuple[int, ...]


def uniform(shapes: Sequence[Shape]) -> np.ndarray:
    """Return the share of weights in proportion to size: the same density in every layer.

    >>> uniform([(4, 5), (2, 5)])
    array([20., 10.])
    """
    return _sizes(shapes)


def er(shapes: Sequence[Shape]) -> np.ndarray:
    """Return a density in proportion to (in + out) / (in · out), whatever the kernel (Erdős–Rényi, arXiv:1707.04780).

    >>> er([(4, 5), (2, 5)]), er([(4, 5, 3, 3)])
    (array([9., 7.]), array([81.]))
    """
    return np.array([float(sum(shape[:2]) * math.prod(shape[2:])) for shape in shapes])


def erk(shapes: Sequence[Shape]) -> np.ndarray:
    """Return weights in proportion to n_in + n_out + kernel extents (Erdős–Rényi–Kernel, arXiv:1911.11134).

    A linear layer [out, in] gets a density proportional to (in + out) / (in · out), a convolution
    [out, in, h, w] one proportional to (in + out + h + w) / (in · out · h · w).

    >>> erk([(4, 5), (2, 5)])
    array([9., 7.])
    """
    return np.array([float(sum(shape)) for shape in shapes])


def balanced(shapes: Sequence[Shape]) -> np.ndarray:
    """Return equal numbers of weights for all layers (arXiv:2210.02412), small layers' excess passed on.

    >>> balanced([(4, 5), (2, 5)])
    array([1., 1.])
    """
    return np.ones(len(shapes))


PROPORTIONS: dict[str, Callable[[Sequence[Shape]], np.ndarray]] = {
    "uniform": uniform,
    "er": er,
    "erk": erk,
    "balanced": balanced,
}
"""Layouts whose amounts only need a common factor."""

LAYOUTS = (*PROPORTIONS, "pyramidal")
FAN_IN_FLOOR = {"pyramidal": 3.0}
"""Least mean fan-in where a layout would starve deep layers; other layouts have none unless it is asked for."""


def densities(
    shapes: Mapping[str, Shape], density: float, layout: str = "erk", *, fan_in_floor: float | None = None
) -> dict[str, float]:
    """Return the density of each layer so that the network as a whole has the requested one.

    Args:
        shapes: name → ``[out, in]`` or ``[out, in, *kernel]``, first layer first.
        density, layout, fan_in_floor: see :func:`layer_counts`.

    Returns:
        name → share of weights kept, in (0, 1], the exact counts of :func:`layer_counts` over the sizes.

    >>> found = densities({"fc1": (300, 784), "fc2": (100, 300)}, density=0.1, layout="erk")
    >>> {name: round(share, 4) for name, share in found.items()}
    {'fc1': 0.0824, 'fc2': 0.2383}
    """
    if not isinstance(shapes, Mapping) or not shapes:
        raise UserError(
            "shapes must map names to shapes.", came=repr(shapes)[:60], expected='{"fc1": (300, 784), …}, not empty'
        )
    for name, shape in shapes.items():
        if len(shape) < 2 or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
            raise UserError(
                f"the shape of {name!r} is none.", came=repr(shape), expected="(out, in), whole and positive"
            )
    counts = layer_counts(list(shapes.values()), density, layout, fan_in_floor=fan_in_floor)
    return {name: count / math.prod(shapes[name]) for name, count in zip(shapes, counts, strict=True)}


def layer_counts(
    shapes: Sequence[Shape], density: float, layout: str = "erk", *, fan_in_floor: float | None = None
) -> list[int]:
    """Return how many weights each layer keeps.

    The layout gives relative amounts a_l. Counts are min(N_l, c · a_l) with c solved so that they sum to
    k = round(density · Σ N_l): layers that would exceed their size are made dense and c is solved again for the rest,
    until none exceeds (a single clamping pass undershoots the target). Fractions are settled by largest remainder, ties
    by layer order, so the sum is exactly k. Every layer keeps at least one weight.

    ``"pyramidal"`` (arXiv:2210.02412) keeps N_l · rˡ, l = 1 … L, with r solved for the sum. Deep layers would get next
    to nothing, so every layer keeps at least min(N_l, out · fan_in_floor) weights, and r is solved for the rest.

    Args:
        shapes: weight shapes, ``[out, in]`` or ``[out, in, *kernel]``, first layer first.
        density: share of all weights to keep, in (0, 1].
        layout: ``"erk"``, ``"er"``, ``"balanced"``, ``"uniform"`` or ``"pyramidal"``.
        fan_in_floor: least mean number of weights per output; by default 3 for pyramidal, none for the others.

    Raises:
        UserError: density outside (0, 1], an unknown layout, fewer weights than layers, or than the floors need.

    >>> layer_counts([(256, 64), (256, 256), (10, 256)], 0.05, "erk")
    [1231, 1970, 1023]
    >>> layer_counts([(256, 64), (256, 256), (10, 256)], 0.05, "balanced")
    [1408, 1408, 1408]
    >>> layer_counts([(256, 64), (256, 256), (10, 256)], 0.05, "pyramidal")
    [2575, 1619, 30]
    """
    if layout not in LAYOUTS:
        raise UserError(f"there is no layout {layout!r}.", came=repr(layout), expected=f"one of {', '.join(LAYOUTS)}")
    sizes = _sizes(shapes)
    total = keep_count(int(sizes.sum()), density)
    if total < len(sizes):
        raise UserError(
            f"density {density:g} keeps {total} weights for {len(sizes)} layers.",
            came=f"density {density:g} of {int(sizes.sum()):,} weights",
            expected="at least one weight per layer",
            attempt=f"a density of {math.ceil(1e4 * len(sizes) / sizes.sum()) / 1e4:g} or more",
        )
    floors = _floors(shapes, sizes, FAN_IN_FLOOR.get(layout, 0.0) if fan_in_floor is None else fan_in_floor)
    if floors.sum() > total:
        raise UserError(
            f"density {density:g} keeps {total:,} weights, the floors of fan-in need {int(floors.sum()):,}.",
            came=f"density {density:g}, layout {layout}",
            expected="a floor that fits",
            attempt=f"a density of {math.ceil(1e4 * floors.sum() / sizes.sum()) / 1e4:g} or more, or fan_in_floor=1",
        )
    if layout in PROPORTIONS and floors.max() <= 1:
        amounts = _share_out(PROPORTIONS[layout](shapes), sizes, total)
    elif layout in PROPORTIONS:
        given = PROPORTIONS[layout](shapes)
        amounts = _solve(lambda c: np.clip(c * given, floors, sizes), float((sizes / given).max()), total)
    else:
        depth = np.arange(1, len(sizes) + 1)
        amounts = _solve(lambda r: np.clip(sizes * r**depth, floors, sizes), 1.0, total)
    return _round_to_sum(amounts, sizes, total, floors)


def _floors(shapes: Sequence[Shape], sizes: np.ndarray, fan_in: float) -> np.ndarray:
    if not isinstance(fan_in, int | float | np.number) or not 0 <= fan_in < np.inf:
        raise UserError("a fan-in floor is a number.", came=f"fan_in_floor={fan_in!r}", expected="0 or more")
    return np.maximum(np.minimum(np.ceil([shape[0] * fan_in for shape in shapes]), sizes), 1)


def _solve(amounts: Callable[[float], np.ndarray], most: float, total: int) -> np.ndarray:
    """Bisect for the factor in [0, most] whose amounts, which grow with it, sum to ``total``."""
    low, high = 0.0, most
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if amounts(middle).sum() < total else (low, middle)
    return amounts(high)


def keep_count(size: int, density: float) -> int:
    """Return round(density · size), at least 1, after checking the density.

    >>> keep_count(84_480, 0.05)
    4224
    """
    if not (isinstance(density, float | int | np.floating | np.integer) and 0 < density <= 1):
        raise UserError(
            "a density is the share of weights kept.", came=f"density={density!r}", expected="a number in (0, 1]"
        )
    return max(1, round(float(density) * size))


def _sizes(shapes: Sequence[Shape]) -> np.ndarray:
    return np.array([float(math.prod(shape)) for shape in shapes])


def _share_out(amounts: np.ndarray, sizes: np.ndarray, total: int) -> np.ndarray:
    full = np.zeros(len(sizes), dtype=bool)
    while True:
        left = total - sizes[full].sum()
        share = np.where(full, sizes, 0.0)
        if not full.all():
            share[~full] = left * amounts[~full] / amounts[~full].sum()
        over = (share > sizes) & ~full
        if not over.any():
            return share
        full |= over


def _round_to_sum(amounts: np.ndarray, sizes: np.ndarray, total: int, floors: np.ndarray) -> list[int]:
    counts = np.maximum(np.floor(amounts + 1e-9), floors).astype(np.int64)
    remainder = amounts - counts
    while counts.sum() < total:
        room = counts < sizes
        counts[np.where(room, remainder, -np.inf).argmax()] += 1
        remainder = amounts - counts
    while counts.sum() > total:  # only where a layer was lifted to its floor
        counts[np.where(counts > floors, counts, 0).argmax()] -= 1
    return [int(count) for count in counts]
