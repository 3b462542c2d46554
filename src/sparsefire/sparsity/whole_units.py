"""Counts of whole units: rows, or one weight for every row, as near to the wanted ones as can be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

TOLERANCE = 1e-3
"""By which share of itself a count may be off, as whole units go, before layers leave their nearest counts."""

REACHES = (2, 4, 8, 16, 32)
"""By how many whole units they may leave them, tried in this order."""

PRICE, WORK = 50.0, 40_000_000
"""What a share of the sum costs beyond the tolerance, against deviations from the layout; additions at most."""


def multiples(counts: Sequence[int], steps: Sequence[int], most: Sequence[int]) -> list[int]:
    """Return whole numbers qₗ with qₗ · stepₗ near countₗ, and their sum near Σ countₗ.

    Each qₗ is at least 1 (layers lifted to it take from the others in proportion) and else ⌊cₗ/stepₗ⌋ or ⌈cₗ/stepₗ⌉;
    which are rounded up is solved exactly, as a subset sum. The sum is then off by at most half of the largest step.

    If that is more than a thousandth of it, the errors of layers are balanced against each other. qₗ may lie up to 2,
    4 … 32 beyond, and the choice with the least

        Σ cₗ log²(qₗ stepₗ / cₗ) / Σ cₗ  +  50 · (off − tolerance) / Σ cₗ

    is taken, where it is nearer: a percent of the sum weighs as much as layers that are off by a factor of 2. The
    tolerance is a thousandth, or what the greatest common divisor of the steps leaves. So the sum is off by at most
    that, half of the smallest step at worst, as soon as layers can balance each other at that price, as those of
    784-300-100-10 can from density 0.01 on; and by half of the largest step in any case, if no upper bound is met.

    Args:
        counts: wanted, per layer.
        steps: weights that come together, such as one for each unit.
        most: upper bounds of qₗ; 0 where nothing is left.

    >>> multiples([250, 170, 33], [100, 50, 10], [8, 8, 8])
    [2, 4, 5]
    """
    total = sum(counts)
    wanted = _lifted(counts, [step * min(1, limit) for step, limit in zip(steps, most, strict=True)], total)
    found = _rounded(wanted, steps, most, total)
    apart = math.gcd(*(step for step, limit in zip(steps, most, strict=True) if limit > 1)) or 1
    tolerance = max(min(total % apart, -total % apart), int(total * TOLERANCE))
    first = off = abs(sum(q * step for q, step in zip(found, steps, strict=True)) - total)
    least = sum(map(_deviation, found, steps, wanted)) + PRICE * max(off - tolerance, 0)
    for reach in REACHES:
        if off <= tolerance or (2 * reach + 1) ** 2 * sum(steps) * len(steps) > WORK:
            break
        price, other = _balanced(wanted, steps, most, total, reach, tolerance, first)
        if price < least:
            least, found = price, other
            off = abs(sum(q * step for q, step in zip(found, steps, strict=True)) - total)
    return found


def _lifted(counts: Sequence[int], floors: Sequence[int], total: int) -> list[float]:
    """Return shares of the total that are at least the floors, in proportion to the counts above them."""
    wanted, low = [float(count) for count in counts], [False] * len(counts)
    while any(c < floor and not at for c, floor, at in zip(wanted, floors, low, strict=True)):
        low = [at or c < floor for c, floor, at in zip(wanted, floors, low, strict=True)]
        free = sum(count for count, at in zip(counts, low, strict=True) if not at)
        factor = (total - sum(floor for floor, at in zip(floors, low, strict=True) if at)) / max(free, 1)
        wanted = [floor if at else count * factor for count, floor, at in zip(counts, floors, low, strict=True)]
    return wanted


def _deviation(q: int, step: int, c: float) -> float:
    return c * math.log(q * step / c) ** 2 if c and q else 0.0


def _rounded(wanted: Sequence[float], steps: Sequence[int], most: Sequence[int], total: int) -> list[int]:
    """Return qₗ rounded down or up so that the sum is nearest to the total; the largest fractions go up first."""
    found = [min(limit, int(c / step + 1e-9)) for c, step, limit in zip(wanted, steps, most, strict=True)]
    rest = total - sum(q * step for q, step in zip(found, steps, strict=True))
    parts = [c / step - q for c, step, q in zip(wanted, steps, found, strict=True)]
    layers = sorted(
        (layer for layer, part in enumerate(parts) if part > 1e-9 and found[layer] < most[layer]),
        key=lambda layer: (parts[layer], -layer),
    )
    sums = [1]  # bit b of entry i: the first i layers have a subset of sum b
    for layer in layers:
        sums.append(sums[-1] | sums[-1] << steps[layer])
    near = (value for off in range(abs(rest) + 1) for value in (rest - off, rest + off))
    left = next(value for value in near if value >= 0 and sums[-1] >> value & 1)
    for place in reversed(range(len(layers))):  # the largest fractions first
        step = steps[layers[place]]
        if left >= step and sums[place] >> (left - step) & 1:
            found[layers[place]] += 1
            left -= step
    return found


def _balanced(
    wanted: Sequence[float],
    steps: Sequence[int],
    most: Sequence[int],
    total: int,
    reach: int,
    tolerance: int,
    nearer: int,
) -> tuple[float, list[int]]:
    """Return the least price of all qₗ within a reach whose sum is nearer than so much, and these qₗ."""
    ranges = []
    for c, step, limit in zip(wanted, steps, most, strict=True):
        low = min(limit, max(1, math.ceil(c / step) - reach))
        ranges.append(range(low, min(limit, max(low, math.floor(c / step) + reach)) + 1))
    rest = total - sum(choices[0] * step for choices, step in zip(ranges, steps, strict=True))
    cost = np.zeros(1)  # entry b: the least of the layers so far that together add b to their lowest counts
    taken: list[np.ndarray] = []
    for c, step, choices in zip(wanted, steps, ranges, strict=True):
        before, cost = cost, np.full(len(cost) + step * (len(choices) - 1), np.inf)
        which = np.zeros(len(cost), dtype=np.int32)
        for number, q in enumerate(choices):
            here = slice(number * step, number * step + len(before))
            tried = before + _deviation(q, step, c)
            which[here] = np.where(tried < cost[here], number, which[here])
            cost[here] = np.minimum(cost[here], tried)
        taken.append(which)
    off = np.abs(np.arange(len(cost)) - rest)
    cost = np.where(off < nearer, cost + PRICE * np.maximum(off - tolerance, 0), np.inf)
    at = int(np.argmin(cost))
    least = float(cost[at])
    found: list[int] = []
    if not math.isfinite(least):
        return least, found
    for step, choices, which in zip(reversed(steps), reversed(ranges), reversed(taken), strict=True):
        number = int(which[at])
        found.append(choices[number])
        at -= number * step
    return least, found[::-1]
