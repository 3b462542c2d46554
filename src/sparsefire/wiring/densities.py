"""Layouts: how many weights each layer keeps when the network keeps a given share of them.

Every layout is a function of the weight shapes alone; counts are exact integers that sum to the requested number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from sparsefire.errors import UserError

Shape = tuple[int, ...]


def uniform(shapes: Sequence[Shape]) -> np.ndarray:
    """Return the share of weights in proportion to size: the same density in every layer.

    >>> uniform([(4, 5), (2, 5)])
    array([20., 10.])
    """
    return _sizes(shapes)


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


LAYOUTS: dict[str, Callable[[Sequence[Shape]], np.ndarray]] = {"uniform": uniform, "erk": erk, "balanced": balanced}


def layer_counts(shapes: Sequence[Shape], density: float, layout: str = "erk") -> list[int]:
    """Return how many weights each layer keeps.

    The layout gives relative amounts a_l. Counts are min(N_l, c · a_l) with c solved so that they sum to
    k = round(density · Σ N_l): layers that would exceed their size are made dense and c is solved again for the rest,
    until none exceeds (a single clamping pass undershoots the target). Fractions are settled by largest remainder, ties
    by layer order, so the sum is exactly k. Every layer keeps at least one weight.

    Args:
        shapes: weight shapes, ``[out, in]`` or ``[out, in, *kernel]``.
        density: share of all weights to keep, in (0, 1].
        layout: ``"erk"``, ``"balanced"`` or ``"uniform"``.

    Raises:
        UserError: density outside (0, 1], an unknown layout, or fewer weights than layers.

    >>> layer_counts([(256, 64), (256, 256), (10, 256)], 0.05, "erk")
    [1231, 1970, 1023]
    >>> layer_counts([(256, 64), (256, 256), (10, 256)], 0.05, "balanced")
    [1408, 1408, 1408]
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
    amounts = _share_out(LAYOUTS[layout](shapes), sizes, total)
    return _round_to_sum(amounts, sizes, total)


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


def _round_to_sum(amounts: np.ndarray, sizes: np.ndarray, total: int) -> list[int]:
    counts = np.maximum(np.floor(amounts + 1e-9), 1).astype(np.int64)
    remainder = amounts - counts
    while counts.sum() < total:
        room = counts < sizes
        counts[np.where(room, remainder, -np.inf).argmax()] += 1
        remainder = amounts - counts
    while counts.sum() > total:  # only where a layer was lifted to one weight
        counts[np.where(counts > 1, counts, 0).argmax()] -= 1
    return [int(count) for count in counts]
