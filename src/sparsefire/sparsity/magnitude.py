"""Prune by magnitude to an exact number of weights: over the whole network, or layer by layer under a layout."""

from __future__ import annotations

import torch
from torch import nn

from sparsefire import masks
from sparsefire.sparsity.scores import keep_largest
from sparsefire.wiring import layer_counts
from sparsefire.wiring.densities import keep_count


@torch.no_grad()
def prune_by_magnitude(
    net: nn.Module, density: float, layout: str, optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Shrink the masks of a network to the largest weights, in place.

    Args:
        net: a masked network; weights outside the present masks never come back.
        density: share of all weights to keep, absolute.
        layout: ``"global"`` ranks all weights together; any name in ``wiring.LAYOUTS`` ranks within layers.
        optimizer: its moments of pruned weights become zero.

    >>> net = nn.Linear(4, 1, bias=False)
    >>> _ = net.weight.data.copy_(torch.tensor([[1.0, -4.0, 2.0, 3.0]]))
    >>> masks.attach_(net, torch.ones(1, 4, dtype=torch.bool))
    >>> prune_by_magnitude(net, 0.5, "global"); net.weight.tolist()
    [[0.0, -4.0, 0.0, 3.0]]
    """
    found = masks.layers(net)
    # Absent weights rank below every present one, zeros included.
    scores = [
        torch.where(mask, module.weight.abs(), -torch.ones(()).to(module.weight))  # type: ignore[operator,union-attr,arg-type]
        for module, mask in zip(found.values(), masks.masks(net).values(), strict=True)
    ]
    total = sum(score.numel() for score in scores)
    if layout == "global":
        kept = keep_largest(scores, keep_count(total, density))
    else:
        counts = layer_counts([tuple(score.shape) for score in scores], density, layout)
        kept = [keep_largest([score], count)[0] for score, count in zip(scores, counts, strict=True)]
    for module, mask in zip(found.values(), kept, strict=True):
        masks.write_mask_(module, mask)
    masks.zero_masked_(net, optimizer)
