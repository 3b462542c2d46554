"""Matrices that are orthogonal on their shorter side, sparse by plane rotations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from sparsefire.errors import UserError


def semi_orthogonal(rows: int, columns: int, count: int | None, structure: str, draws: np.random.Generator) -> Any:
    """Return a matrix whose shorter side is orthonormal, with at most ``count`` entries.

    The long side starts with one entry per unit (two units may share one of the short side), as far as ``count``
    reaches, and is the side that is rotated.

    Args:
        rows, columns: its shape.
        count: most entries, from the shorter side up; None for a dense matrix, uniform among all such (Haar).
        structure: ``"givens"`` or ``"butterfly"``.
        draws: the generator.

    Returns:
        float64 [rows, columns]: ‖Wx‖ = ‖x‖ where rows ≥ columns; otherwise WWᵀ = I.

    >>> W = semi_orthogonal(8, 4, 12, "givens", np.random.default_rng(0))
    >>> bool(np.abs(W.T @ W - np.eye(4)).max() < 1e-13), int((W != 0).sum()) <= 12
    (True, True)
    """
    if rows < columns:
        return semi_orthogonal(columns, rows, count, structure, draws).T
    if count is None:
        factor, triangle = torch.linalg.qr(torch.from_numpy(draws.standard_normal((rows, columns))))
        return (factor * torch.where(triangle.diagonal() < 0, -1.0, 1.0)).numpy()  # the signs make it uniform
    if count < columns:
        raise UserError("an orthogonal matrix has an entry in every row.", came=str(count), expected=f"{columns}")
    if structure == "givens":
        start, _ = one_each(rows, columns, count, 1, draws)
        return rotate(start, draws, count=count) if rows > 1 else start
    stages = max(0, math.ceil(math.log2(count / rows) - 1e-12))  # the last of them may be a part
    start, labels = one_each(rows, columns, count, 2**stages, draws)
    return _stages(start, labels, stages, count, draws)


def one_each(
    rows: int, columns: int, count: int, classes: int, draws: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return a tall matrix with one entry in each of ``count`` rows and orthonormal columns, and labels of rows."""
    attached = min(rows, count)
    place = draws.permutation(rows)[:attached]
    which = np.arange(attached) % columns
    size = np.bincount(which, minlength=columns)
    column = draws.permutation(columns)
    matrix = np.zeros((rows, columns))
    matrix[place, column[which]] = draws.choice([-1.0, 1.0], attached) / np.sqrt(size[which])
    labels = np.full(rows, -1)
    labels[place] = which % classes
    return matrix, labels


def rotate(
    matrix: np.ndarray, draws: np.random.Generator, *, count: int | None = None, rotations: int | None = None
) -> np.ndarray:
    """Rotate random pairs of rows, in place: so many times, or while pairs are found that fit into ``count``."""
    rows = len(matrix)
    kept = matrix != 0
    sizes = kept.sum(1)
    total, done, idle = int(sizes.sum()), 0, 0
    while done < rotations if rotations is not None else (total < count and idle < 10 * rows):  # type: ignore[operator]
        i = int(draws.integers(rows))
        j = (i + 1 + int(draws.integers(rows - 1))) % rows
        both = kept[i] | kept[j]
        size = int(both.sum())
        growth = 2 * size - int(sizes[i] + sizes[j])
        if count is not None and (growth == 0 or total + growth > count):
            idle += 1
            continue
        angle = 2 * math.pi * draws.random()
        c, s = math.cos(angle), math.sin(angle)
        matrix[i], matrix[j] = c * matrix[i] - s * matrix[j], s * matrix[i] + c * matrix[j]
        kept[i] = kept[j] = both
        sizes[i] = sizes[j] = size
        total, done, idle = total + growth, done + 1, 0
    return matrix


def _stages(matrix: np.ndarray, labels: np.ndarray, stages: int, count: int, draws: np.random.Generator) -> np.ndarray:
    """Rotate by 45° the rows whose labels differ in one bit after the other, as long as ``count`` allows."""
    from scipy import sparse

    product = sparse.csr_array(matrix)
    for stage in range(stages):
        one, other = _pairs(labels, 1 << stage, draws)
        sizes = np.diff(product.indptr)
        growth = np.cumsum(sizes[one] + sizes[other])
        fits = int(np.searchsorted(growth, count - product.nnz, side="right"))
        one, other = one[:fits], other[:fits]
        half = math.sqrt(0.5)
        turn = draws.choice([-half, half], fits)
        diagonal = np.ones(len(matrix))
        diagonal[one] = diagonal[other] = half
        everyone = np.arange(len(matrix))
        rotation = sparse.coo_array(
            (
                np.concatenate([diagonal, turn, -turn]),
                (np.concatenate([everyone, other, one]), np.concatenate([everyone, one, other])),
            ),
            shape=(len(matrix), len(matrix)),
        )
        product = rotation.tocsr() @ product
    return product.toarray()


def _pairs(labels: np.ndarray, bit: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return a random matching between rows of label b and rows of label b ⊕ bit, in random order."""
    order = draws.permutation(np.flatnonzero(labels >= 0))
    order = order[np.argsort(labels[order], kind="stable")]
    size = np.bincount(labels[order])
    rank = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
    table = np.full((max(len(size), int(labels.max()) | bit) + 1, int(size.max())), -1)
    table[labels[order], rank] = order
    low = np.flatnonzero((np.arange(len(size)) & bit) == 0)
    low = low[low | bit < len(table)]
    one, other = table[low].ravel(), table[low | bit].ravel()
    found = draws.permutation(np.flatnonzero((one >= 0) & (other >= 0)))
    return one[found], other[found]
