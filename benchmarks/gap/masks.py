"""Masks that no method of the package makes: of neighbouring pixels, and of other trainings."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks

RADIUS = 3.0
"""Standard deviation of a receptive field, in pixels; chosen among 2, 3, 4 and 6 on MNIST."""


def neighbours(x: np.ndarray, units: int, rng: np.random.Generator) -> np.ndarray:
    """Return the chance of each pixel for each unit, [units, pixels], up to a factor: near a pixel of its own.

    Fields are round, normal with deviation ``RADIUS``, out to three deviations; their centres are pixels by how often
    they are on.

    >>> neighbours(np.eye(784, dtype=np.float32), 5, np.random.default_rng(0)).shape
    (5, 784)
    """
    side = round(np.sqrt(x.shape[1]))
    place = np.stack(np.divmod(np.arange(side * side), side), 1)
    on = (x > x.min(0)).mean(0)
    centres = place[rng.choice(len(place), size=units, p=on / on.sum())]
    squared = ((place[None] - centres[:, None]) ** 2).sum(2) / RADIUS**2
    return np.where(squared < 9, np.exp(-squared / 2), 0.0) * (on > 0.01)


def shuffled(mask: Tensor, how: str, rng: np.random.Generator) -> Tensor:
    """Return a mask with as many weights at other places.

    Args:
        mask: [units, inputs].
        how: ``"layers"`` anywhere; ``"inputs"``: each input keeps its number of weights; ``"units"``: each unit does.
        rng: draws the places.

    >>> one = torch.tensor([[True, False, True], [True, False, False]])
    >>> shuffled(one, "inputs", np.random.default_rng(0)).sum(0).tolist()
    [2, 0, 1]
    """
    there = mask.numpy()
    if how == "layers":
        return torch.from_numpy(rng.permutation(there.ravel()).reshape(there.shape))
    return torch.from_numpy(rng.permuted(there, axis=0 if how == "inputs" else 1))


@torch.no_grad()
def take_signs_(net: nn.Module, trained: nn.Module) -> None:
    """Give every weight of a network the sign that it has in another; what is zero there keeps its own."""
    for mine, theirs in zip(masks.masked(net).values(), masks.layers(trained).values(), strict=True):
        weight: Tensor = mine.weight  # type: ignore[assignment]
        other: Tensor = theirs.weight  # type: ignore[assignment]
        masks.write_weight_(mine, torch.where(other != 0, weight.abs() * other.sign(), weight))
