"""Layouts that are given: which weights may exist, and how likely, from a wiring or from what is known before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.wiring import layer_counts
from sparsefire.wiring.layouts import keep_count

Given = Mapping[str, Any]
"""Name of a layer → a Wiring of its inputs to its outputs, or a matrix of relative chances [outputs, inputs]."""


def read(given: Given, found: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return the relative chance of each weight by layer, float64 of the shape of the weight.

    Args:
        given: see :data:`Given`. A weight may exist where its number is above 0: those of a wiring where it has an arc.
            Numbers compare within a layer. A matrix holds for all taps of a kernel; an array of the shape of the
            weight tells taps apart. Layers that are not named may have all weights, each as likely.
        found: the layers that are masked, by name.

    Raises:
        UserError: a name that is no masked layer, or one of a layer whose weight has its inputs first (transposed
            convolutions, embeddings), a shape that is not the layer's, numbers that are negative, not finite or all
            zero.

    >>> found = {"0": nn.Linear(3, 2), "2": nn.Linear(2, 1)}
    >>> {name: one.tolist() for name, one in read({"0": [[1, 0, 2], [0, 1, 0]]}, found).items()}
    {'0': [[1.0, 0.0, 2.0], [0.0, 1.0, 0.0]], '2': [[1.0, 1.0]]}
    """
    unknown = [name for name in given if name not in found]
    if unknown:
        raise UserError(
            f"the layout names {unknown[0]!r}, which is no layer that is made sparse.",
            came=", ".join(map(repr, given)),
            expected=f"some of {', '.join(map(repr, found))}",
        )
    for name in given:
        if not isinstance(found[name], (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)):
            raise UserError(
                f"a layout cannot be given for layer {name!r}.",
                came=f"a layer of type {type(found[name]).__name__}",
                expected="a linear layer or a convolution, whose weight is [outputs, inputs, …]",
            )
    return {
        name: _chances(name, given[name], tuple(module.weight.shape))  # type: ignore[arg-type]
        if name in given
        else torch.ones(tuple(module.weight.shape), dtype=torch.float64)  # type: ignore[arg-type]
        for name, module in found.items()
    }


def _chances(name: str, given: Any, shape: tuple[int, ...]) -> Tensor:
    if hasattr(given, "receivers"):
        from sparsefire.wiring import to_mask  # a wiring is at hand, so its dependencies are

        given = to_mask(given)
    if isinstance(given, Tensor):
        given = (given.detach().to_dense() if given.is_sparse else given.detach()).cpu().double()
    elif hasattr(given, "toarray"):
        given = given.toarray()  # a sparse matrix of SciPy
    try:
        matrix = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        matrix = np.empty(0)
    if matrix.shape not in (shape, shape[:2]):
        raise UserError(
            f"the layout of layer {name!r} does not fit it.",
            came=f"shape {tuple(matrix.shape)}" if matrix.size else type(given).__name__,
            expected=f"a Wiring of {shape[1]} inputs to {shape[0]} outputs, or numbers of shape {shape[:2]}",
        )
    if not np.isfinite(matrix).all() or (matrix < 0).any() or not matrix.any():
        raise UserError(
            f"the layout of layer {name!r} holds relative chances.",
            came="nothing but zeros" if not matrix.any() else "negative numbers, NaN or infinity",
            expected="numbers of at least 0, one of them above",
        )
    matrix = matrix.reshape(matrix.shape + (1,) * (len(shape) - matrix.ndim))
    return torch.from_numpy(np.broadcast_to(matrix, shape).copy())


def counts(chances: Mapping[str, Tensor], density: float) -> list[int]:
    """Return how many weights each layer keeps: the same share of those that may exist.

    Args:
        chances: of :func:`read`.
        density: share of *all* weights of the layers, in (0, 1].

    Raises:
        UserError: more weights than may exist.

    >>> counts({"0": torch.tensor([[1.0, 0.0], [1.0, 0.0]]), "2": torch.ones(2, 2)}, 0.375)
    [1, 2]
    """
    allowed = [int((one > 0).sum()) for one in chances.values()]
    size = sum(one.numel() for one in chances.values())
    total = keep_count(size, density)
    if total > sum(allowed):
        raise UserError(
            f"density {density:g} keeps {total:,} weights, and the layout allows {sum(allowed):,}.",
            came=f"density {density:g}",
            expected=f"at most {np.floor(1e4 * sum(allowed) / size) / 1e4:g}, or a layout with more entries above 0",
        )
    if total < len(allowed):
        raise UserError(
            f"density {density:g} keeps {total} weights for {len(allowed)} layers.",
            came=f"density {density:g} of {size:,} weights",
            expected=f"at least one weight per layer: {np.ceil(1e6 * len(allowed) / size) / 1e6:g} or more",
        )
    return layer_counts([(one, 1) for one in allowed], total / sum(allowed), "uniform")


def draw(chances: Tensor, count: int, generator: np.random.Generator) -> Tensor:
    """Draw a mask of ``count`` weights one after the other without replacement, each by its chance among those left.

    As the largest of log chance + Gumbel noise (Yellott 1977, doi:10.1016/0022-2496(77)90026-8).

    >>> draw(torch.tensor([[0.0, 1.0], [2.0, 0.0]]), 2, np.random.default_rng(0)).tolist()
    [[False, True], [True, False]]
    """
    flat = chances.numpy().ravel()
    keys = np.full(flat.shape, -np.inf)
    keys[flat > 0] = np.log(flat[flat > 0]) + generator.gumbel(size=int((flat > 0).sum()))
    kept = np.zeros(flat.shape, dtype=bool)
    kept[np.argsort(-keys, kind="stable")[:count]] = True
    return torch.from_numpy(kept.reshape(tuple(chances.shape)))


def allowed(chances: Mapping[str, Tensor], found: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Return masks of the weights that may exist, on the devices of their layers."""
    return {name: (chances[name] > 0).to(masks.own_parameter(module).device) for name, module in found.items()}
