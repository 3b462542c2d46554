"""Which weights stay: exact top-k over one or several tensors, ties broken by position."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def keep_largest(scores: Sequence[Tensor], count: int) -> list[Tensor]:
    """Return bool masks that are True at exactly ``count`` of the largest scores, taken over all tensors together.

    Among equal scores the earlier tensor wins, then the earlier position, so the result is the same everywhere. NaN,
    the mark of a training that diverged, ranks highest: the count stays exact.

    Args:
        scores: tensors of any shapes.
        count: how many to keep, from 0 to the number of all entries.

    >>> keep_largest([torch.tensor([3.0, 1.0]), torch.tensor([1.0, 2.0])], 3)
    [tensor([True, True]), tensor([False,  True])]
    """
    flat = torch.cat([score.detach().reshape(-1) for score in scores])
    if not 0 <= count <= flat.numel():
        raise ValueError(f"count must lie between 0 and {flat.numel()}. Got {count}")
    kept = flat >= _kth_largest(flat, count) if count else torch.zeros_like(flat, dtype=torch.bool)
    if int(kept.count_nonzero()) != count:
        kept = _settle_ties(flat, count)
    return [part.view_as(score) for part, score in zip(kept.split([s.numel() for s in scores]), scores, strict=True)]


def _kth_largest(flat: Tensor, count: int) -> Tensor | float:
    if flat.device.type != "cpu" or flat.dtype not in (torch.float32, torch.float64):
        return flat.kthvalue(flat.numel() - count + 1).values
    # NumPy selects faster than torch, and faster still without the many equal scores of absent weights.
    values = flat.numpy()
    lowest = values.min()
    above = values[values > lowest]
    place = len(above) - count
    return float(np.partition(above, place)[place] if place >= 0 else lowest)


def _settle_ties(flat: Tensor, count: int) -> Tensor:
    flat = flat.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf) if flat.is_floating_point() else flat
    threshold = flat.kthvalue(flat.numel() - count + 1).values
    kept = flat > threshold
    ties = (flat == threshold).nonzero().squeeze(1)
    kept[ties[: count - int(kept.sum())]] = True
    return kept
