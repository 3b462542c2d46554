"""Prune by magnitude to an exact number of weights: over the whole network, or layer by layer under a layout."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from sparsefire import masks
from sparsefire.sparsity.amounts import amounts
from sparsefire.sparsity.scores import keep_largest
from sparsefire.wiring.layouts import keep_count


@torch.no_grad()
def prune_by_magnitude(
    net: nn.Module, density: float, layout: str, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Shrink the masks of a network to the largest weights, in place.

    Args:
        net: a masked network; weights outside the present masks never come back.
        density: share of all weights to keep, absolute.
        layout: ``"global"`` ranks all weights together; any name in ``LAYOUTS`` ranks within layers.
        optimizer: its moments of pruned weights become zero.

    >>> net = nn.Linear(4, 1, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[1.0, -4.0, 2.0, 3.0]]))
    >>> masks.attach_(net, torch.ones(1, 4, dtype=torch.bool))
    >>> prune_by_magnitude(net, 0.5, "global"); net.weight.tolist()
    [[0.0, -4.0, 0.0, 3.0]]
    """
    found = masks.layers(net)
    present = list(masks.masks(net).values())
    weights: list[Any] = [module.weight for module in found.values()]
    # Absent weights rank below every present one, zeros included.
    scores = [torch.where(mask, w.abs(), -torch.ones(()).to(w)) for w, mask in zip(weights, present, strict=True)]
    room = [int(mask.sum()) for mask in present]
    if layout == "global":
        total = sum(score.numel() for score in scores)
        kept = keep_largest(scores, min(keep_count(total, density), sum(room)))
    else:
        counts = _within(amounts([tuple(score.shape) for score in scores], density, layout), room)
        kept = [keep_largest([score], count)[0] for score, count in zip(scores, counts, strict=True)]
    for module, mask in zip(found.values(), kept, strict=True):
        masks.write_mask_(module, mask)
    masks.zero_masked_(net, optimizer)


def _within(counts: list[int], room: list[int]) -> list[int]:
    """Lower counts to what is present; layers with most room keep the difference, so that the sum stays exact.

    Rounding by largest remainder may give a layer one weight more when the total falls (the Alabama paradox).
    """
    fitted = [min(count, limit) for count, limit in zip(counts, room, strict=True)]
    for _ in range(min(sum(counts), sum(room)) - sum(fitted)):
        spare = [limit - count for count, limit in zip(fitted, room, strict=True)]
        fitted[spare.index(max(spare))] += 1
    return fitted
