"""Which sets of weights may stay: any, or those that hardware likes.

A weight ``[out, in, *kernel]`` is read as a matrix of ``out`` rows, one per unit, and ``in · kernel`` columns in memory
order (input channel first, then the kernel's rows and columns). A score ranks, a layout says how many weights a layer
gets, and the pattern says which sets are allowed:

- ``"unstructured"``: any weights; the count is exact.
- ``"n:m"``, such as ``"2:4"`` or ``"1:4"``: n of every m consecutive columns of a row (arXiv:2104.08378). It fixes the
  density, n/m in every layer, and so the layout, ``"uniform"``; with ``"global"`` it means the same.
- ``"fan-in"``: every unit of a layer has the same number of weights (arXiv:2305.02299).
- ``"shared-fan-in"``: as ``"fan-in"``, and 16 consecutive units share one set of columns, those with the largest sums
  of scores (arXiv:2606.01117); the last group of a layer may be smaller.
- ``"neurons"``: whole rows stay or go, by the sum of their scores. The last layer keeps all its rows. Weights of the
  next layer that read a removed unit, and its bias, are not touched: they count as kept.

The last three round the counts of the layout to whole units by :func:`~sparsefire.sparsity.whole_units.multiples`; with
``"global"`` a layer gets as many weights as it has among the largest of all layers. The total then differs from the
requested one by at most half of the largest step, the number of units of a layer (fan-in) or the length of a row
(neurons); and by a thousandth where layers can balance each other's errors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import torch
from torch import Tensor

from sparsefire.errors import UserError
from sparsefire.sparsity.amounts import amounts
from sparsefire.sparsity.ranking import keep_largest
from sparsefire.sparsity.whole_units import multiples
from sparsefire.wiring.layouts import Shape, keep_count

PATTERNS = ("unstructured", "2:4", "1:4", "fan-in", "shared-fan-in", "neurons")
"""Names that ``pattern=`` takes; any other n:m as well."""

SHARED = 16
"""Units that share one set of columns under ``"shared-fan-in"``."""


def choose(
    scores: Sequence[Tensor], density: float, layout: str, pattern: str, present: Sequence[Tensor] | None = None
) -> list[Tensor]:
    """Return bool masks of the weights that score highest, among the sets that a pattern allows.

    Counts are exact without a pattern, n/m of every group under n:m, and as near as whole units allow otherwise. While
    a falling schedule is above n/m, the least n' with n'/m ≥ density stays of each group. What is absent stays absent:
    a unit or group with fewer weights present than it may have keeps those.

    Args:
        scores: one tensor per layer, first layer first; −∞ where there is no weight.
        density: share of all weights to keep.
        layout: ``"global"`` ranks all weights together, any other ranks within layers.
        pattern: a name in ``PATTERNS``, or any n:m.
        present: where there are weights now; None means everywhere.

    Raises:
        UserError: see :func:`check_pattern`.

    >>> choose([torch.tensor([3.0, 1.0]), torch.tensor([1.0, 2.0])], 0.5, "global", "unstructured")
    [tensor([ True, False]), tensor([False,  True])]
    >>> choose([torch.tensor([[4.0, 1.0, 2.0, 3.0], [0.0, 3.0, 5.0, 4.0]])], 0.5, "uniform", "2:4")[0].int().tolist()
    [[1, 0, 0, 1], [0, 0, 1, 1]]
    """
    there = list(present) if present is not None else [torch.ones_like(s, dtype=torch.bool) for s in scores]
    if pattern == "unstructured":
        if layout == "global":
            return keep_largest(scores, _total(scores, density, there))
        counts = _shares(scores, density, layout, there)
        return [keep_largest([score], count)[0] for score, count in zip(scores, counts, strict=True)]
    shapes = [tuple(score.shape) for score in scores]
    _check_fit(shapes, density, layout, pattern)
    held = [part.flatten(1) for part in there]
    ranked = [score.flatten(1).masked_fill(~part, -torch.inf) for score, part in zip(scores, held, strict=True)]
    groups = _groups(pattern)
    if groups is not None:
        staying = max(groups[0], math.ceil(density * groups[1] - 1e-6))
        kept = [keep_in_rows(rank.reshape(-1, groups[1]), staying).view_as(rank) for rank in ranked]
    elif pattern == "neurons":
        kept = _rows(scores, ranked, held, density, layout, there)
    else:
        most = [int(part.sum(1).max()) for part in held]
        fan_ins = multiples(_shares(scores, density, layout, there), [shape[0] for shape in shapes], most)
        size = SHARED if pattern == "shared-fan-in" else 1
        kept = [_columns(rank, part, fan_in, size) for rank, part, fan_in in zip(ranked, held, fan_ins, strict=True)]
    return [(mask & part).view_as(score) for mask, part, score in zip(kept, held, scores, strict=True)]


def check_pattern(shapes: Sequence[Shape], density: float, layout: str, pattern: str) -> None:
    """Raise what would be met when masks of a final density are chosen under a pattern.

    Args:
        shapes: weight shapes, first layer first.
        density, layout, pattern: as of :func:`choose`.

    Raises:
        UserError: an unknown pattern; for n:m a density other than n/m, a layout that is not uniform, or a layer whose
            number of columns is no multiple of m; for the others fewer weights than one per unit (fan-in), or than
            the last layer and one unit of each other layer need (neurons).

    >>> check_pattern([(8, 16), (4, 8)], 0.5, "uniform", "2:4")
    """
    if pattern == "unstructured":
        return
    _check_fit(shapes, density, layout, pattern)
    groups = _groups(pattern)
    size = sum(map(math.prod, shapes))
    if groups is not None and keep_count(size, density) * groups[1] != size * groups[0]:
        _refuse_density(pattern, density)


def keep_in_rows(scores: Tensor, counts: int | Tensor) -> Tensor:
    """Return a bool mask of the largest scores of each row; among equal ones the earlier wins, NaN ranks highest.

    Args:
        scores: ``[rows, columns]``.
        counts: how many to keep, for all rows or for each, ``[rows]``.

    >>> keep_in_rows(torch.tensor([[1.0, 3.0, 3.0], [2.0, 0.0, 1.0]]), torch.tensor([1, 2])).int().tolist()
    [[0, 1, 0], [1, 0, 1]]
    """
    finite = scores.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
    wanted = torch.as_tensor(counts, device=scores.device).reshape(-1, 1).expand(len(scores), 1)
    largest = finite.topk(max(1, int(wanted.max())), dim=1).values
    least = largest.gather(1, (wanted - 1).clamp_min(0)).masked_fill(wanted == 0, torch.inf)
    above, equal = finite > least, finite == least
    return above | (equal & (equal.cumsum(1) <= wanted - above.sum(1, keepdim=True)))


def within(counts: Sequence[int], room: Sequence[int]) -> list[int]:
    """Lower counts to what is present; layers with most room keep the difference, so that the sum stays exact.

    Rounding by largest remainder may give a layer one weight more when the total falls (the Alabama paradox).

    >>> within([3, 1], [2, 4])
    [2, 2]
    """
    fitted = [min(count, limit) for count, limit in zip(counts, room, strict=True)]
    for _ in range(min(sum(counts), sum(room)) - sum(fitted)):
        spare = [limit - count for count, limit in zip(fitted, room, strict=True)]
        fitted[spare.index(max(spare))] += 1
    return fitted


def _total(scores: Sequence[Tensor], density: float, there: Sequence[Tensor]) -> int:
    return min(keep_count(sum(score.numel() for score in scores), density), sum(int(part.sum()) for part in there))


def _shares(scores: Sequence[Tensor], density: float, layout: str, there: Sequence[Tensor]) -> list[int]:
    """Return how many weights each layer gets when any may stay."""
    if layout == "global":
        lowest = [score.masked_fill(~part, -torch.inf) for score, part in zip(scores, there, strict=True)]
        return [int(mask.sum()) for mask in keep_largest(lowest, _total(scores, density, there))]
    room = [int(part.sum()) for part in there]
    return within(amounts([tuple(score.shape) for score in scores], density, layout), room)


def _columns(rank: Tensor, held: Tensor, fan_in: int, size: int) -> Tensor:
    """Keep as many columns in every row, the same ones for groups of ``size`` rows."""
    if size == 1:
        return keep_in_rows(rank, fan_in)
    rows = range(0, rank.shape[0], size)
    summed = torch.stack([rank[row : row + size].masked_fill(~held[row : row + size], 0.0).sum(0) for row in rows])
    anywhere = torch.stack([held[row : row + size].any(0) for row in rows])
    shared = keep_in_rows(summed.masked_fill(~anywhere, -torch.inf), fan_in)
    return shared.repeat_interleave(size, 0)[: rank.shape[0]]


def _rows(
    scores: Sequence[Tensor],
    ranked: Sequence[Tensor],
    held: Sequence[Tensor],
    density: float,
    layout: str,
    there: Sequence[Tensor],
) -> list[Tensor]:
    """Keep whole rows of all layers but the last."""
    last = torch.ones_like(held[-1])
    if len(scores) == 1:
        return [last]
    size = sum(score.numel() for score in scores[:-1])
    rest = (keep_count(size + last.numel(), density) - last.numel()) / size
    units = multiples(
        _shares(scores[:-1], rest, layout, there[:-1]),
        [rank.shape[1] for rank in ranked[:-1]],
        [int(part.any(1).sum()) for part in held[:-1]],
    )
    kept = []
    for rank, part, count in zip(ranked[:-1], held[:-1], units, strict=True):
        summed = rank.masked_fill(~part, 0.0).sum(1).masked_fill(~part.any(1), -torch.inf)
        kept.append(keep_largest([summed], count)[0][:, None].expand_as(rank))
    return [*kept, last]


def _groups(pattern: str) -> tuple[int, int] | None:
    """Return n and m of a pattern n:m, None for the others."""
    found = re.fullmatch(r"(\d+):(\d+)", pattern)
    if found is None and pattern in PATTERNS:
        return None
    n, m = (int(part) for part in found.groups()) if found else (0, 0)
    if not 0 < n <= m:
        raise UserError(
            f"there is no pattern {pattern!r}.",
            came=repr(pattern),
            expected=f"one of {', '.join(PATTERNS)}, or another n:m with n of m weights kept",
        )
    return n, m


def _check_fit(shapes: Sequence[Shape], density: float, layout: str, pattern: str) -> None:
    groups = _groups(pattern)
    sizes = [math.prod(shape) for shape in shapes]
    total = keep_count(sum(sizes), density)
    if groups is not None:
        if density * groups[1] < groups[0] - 1e-6:
            _refuse_density(pattern, density)
        if layout not in ("uniform", "global"):
            raise UserError(
                f"the pattern {pattern} gives every layer the same density.",
                came=f"layout={layout!r}",
                expected="layout='uniform'",
            )
        for index, (shape, size) in enumerate(zip(shapes, sizes, strict=True)):
            if size // shape[0] % groups[1]:
                raise UserError(
                    f"layer {index} cannot be divided into groups of {groups[1]}.",
                    came=f"{size // shape[0]} weights per unit, shape {tuple(shape)}",
                    expected=f"a multiple of {groups[1]} for the pattern {pattern}",
                    attempt="another pattern, such as fan-in, or the layer left out of the network given",
                )
        return
    if pattern == "neurons":
        least = sizes[-1] + sum(size // shape[0] for shape, size in zip(shapes[:-1], sizes[:-1], strict=True))
        reason = "the last layer and one unit of each other layer"
    else:
        least, reason = sum(shape[0] for shape in shapes), "one weight for each unit"
    if total < least:
        raise UserError(
            f"the pattern {pattern} keeps at least {reason}.",
            came=f"density {density:g}, which keeps {total:,} weights",
            expected=f"{least:,} weights or more",
            attempt=f"a density of {math.ceil(1e4 * least / sum(sizes)) / 1e4:g} or more",
        )


def _refuse_density(pattern: str, density: float) -> None:
    n, m = _groups(pattern) or (1, 1)
    raise UserError(
        f"the pattern {pattern} fixes the density.", came=f"density {density:g}", expected=f"{n}/{m} = {n / m:g}"
    )
