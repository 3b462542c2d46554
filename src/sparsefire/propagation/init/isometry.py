"""Approximate isometry with given masks: ‖(C ∘ W)ᵀ(C ∘ W) − I‖ made small on the weights that exist."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import randomness
from sparsefire.errors import UserError
from sparsefire.propagation.init.rotations import semi_orthogonal
from sparsefire.propagation.init.variance import check_untied, writable
from sparsefire.propagation.init.walk import Layer, gain_of, write_

_BUDGET = 4e10  # multiply-adds for a network, if steps=None: two to three seconds on one core
_SPARSE_COST = 100  # what one multiply-add costs in the sparse passes, counted in those of a matrix product
_PASS_COST = 300  # what a step does to every entry of the Gram matrix besides the products
_MOST_STEPS = 3


@torch.no_grad()
def approximate_isometry_(
    net: nn.Module, *, steps: int | None = None, gain: Any = "relu", rng: Any = None
) -> nn.Module:
    """Set the weights that exist as near to an orthogonal matrix as their mask allows, without data.

    Masks break the isometry of a layer; it is restored by minimising

        ‖(C ∘ W)ᵀ (C ∘ W) − I‖_F    over the kept entries of the layer's matrix W    (Lee et al., arXiv:1906.06307)

    over the shorter side of W, which differs from the other by a constant, and multiplying by ``gain``. The start is
    Gaussian with unit rows or columns; then conjugate gradients (Polak–Ribière) with exact line search, since the
    objective along a line is a polynomial of degree four: no step makes it larger. A mask that allows no isometry pulls
    the minimum below size 1; the matrix is then scaled to the mean square singular value of an isometry. A layer
    without a mask takes an orthogonal matrix at once, the minimum. A convolution is the matrix [out, in · kernel] of
    its flattened kernels, one per group.

    This is an isometry of each layer without its ReLU, and with few weights per unit its minimum nears a signed
    permutation: most of a unit's weight sits on one entry, and deep ReLU networks lose the signal like those of fan-in
    1. A few steps take the gain and leave the weight spread out, hence the default. Where masks may be chosen,
    :func:`~sparsefire.propagation.init.sparse_orthogonal_` is exact.

    Args:
        net: any network; the masks stay as they are.
        steps: gradient steps of every masked layer, 0 or more; 100 come near the minimum. None: three, or two or one
            where a layer is so large that they leave a fixed budget of work, shared out over layers by their numbers
            of weights.
        gain: the singular values aimed at, a number above 0 or an activation as of
            :func:`~sparsefire.propagation.init.in_degree_`; ``"relu"``, √2, keeps the mean square through ReLU between
            layers of equal width.
        rng: see :func:`sparsefire.randomness.entropy`.

    Returns:
        The network, its biases zero.

    Raises:
        UserError: steps or a gain that are no number, a network without layers, a weight that is made from other
            tensors or shared by two layers. Nothing is written.

    >>> net = approximate_isometry_(nn.Linear(6, 6), gain=1.0, rng=0)
    >>> torch.allclose(net.weight.T @ net.weight, torch.eye(6), atol=1e-6)
    True
    """
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0):
        raise UserError("this is no number of steps.", came=f"steps={steps!r}", expected="0 or more, or None")
    scale = gain_of(gain)
    layers = writable(net)
    check_untied(layers)
    entropies = randomness.stream(rng, "approximate isometry").integers(2**63, size=len(layers))
    everything = sum(math.prod(layer.shape) for layer in layers if layer.mask is not None)
    found = []
    for layer, entropy in zip(layers, entropies, strict=True):
        draws = randomness.stream(int(entropy), "matrix")
        budget = _BUDGET * math.prod(layer.shape) / max(1, everything)
        weight: Any = layer.module.weight
        found.append((scale * _solve(layer, steps, budget, draws)).to(weight.dtype))
    for layer, solved in zip(layers, found, strict=True):
        write_(layer, solved)
    return net


def _solve(layer: Layer, steps: int | None, budget: float, draws: np.random.Generator) -> Tensor:
    groups = int(getattr(layer.module, "groups", 1))
    rows, columns = layer.shape[0] // groups, math.prod(layer.shape[1:])
    if layer.mask is None:
        blocks = [semi_orthogonal(rows, columns, None, "givens", draws) for _ in range(groups)]
    else:
        kept = layer.mask.cpu().numpy().reshape(groups, rows, columns)
        blocks = [_sized(nearest_isometry(block, steps, draws, budget / groups)[0]) for block in kept]
    return torch.from_numpy(np.stack(blocks)).reshape(layer.shape)


def _sized(W: np.ndarray) -> np.ndarray:
    """Return a matrix scaled to the Frobenius norm of an isometry of its shape."""
    square = float(np.square(W).sum())
    return W * math.sqrt(min(W.shape) / square) if square > 0 else W


def nearest_isometry(
    mask: np.ndarray, steps: int | None, draws: np.random.Generator, budget: float = _BUDGET
) -> tuple[np.ndarray, np.ndarray]:
    """Minimise ‖WᵀW − I‖²_F (of the shorter side) over the entries of one mask.

    Args:
        mask: bool [rows, columns].
        steps: at most so many; None: as many as the budget allows, from 1 to 3.
        draws: for the start.
        budget: multiply-adds.

    Returns:
        W, float64 [rows, columns], zero outside the mask; and the objective before and after every step.

    >>> W, path = nearest_isometry(np.ones((4, 4), dtype=bool), 50, np.random.default_rng(0))
    >>> bool(path[-1] < 1e-10), bool((np.diff(path) <= 0).all())
    (True, True)
    """
    if mask.shape[0] < mask.shape[1]:
        W, path = nearest_isometry(mask.T, steps, draws, budget)
        return W.T, path
    entries = _entries(mask)
    if steps is None:
        steps = int(np.clip(budget // max(entries.cost, 1.0), 1, _MOST_STEPS))
    w = draws.standard_normal(len(entries.column))
    size = np.bincount(entries.column, w**2, mask.shape[1])
    w /= np.sqrt(size[entries.column])
    w, found = _descend(entries, w, steps)
    W = np.zeros(mask.shape)
    W[mask] = w
    return W, np.array(found)


@dataclass(frozen=True, eq=False)
class _Entries:
    """The kept entries of a tall matrix, row by row, and the products of matrices that have only these.

    Symmetric matrices are lower triangles, zero above the diagonal.

    Attributes:
        column: of every entry.
        square: w → WᵀW, float64 [columns, columns].
        cross: (w, d) → WᵀD + DᵀW.
        times: (w, S) → the kept entries of W S.
        cost: of one step, in multiply-adds of a matrix product.
    """

    column: np.ndarray
    square: Callable[[np.ndarray], np.ndarray]
    cross: Callable[[np.ndarray, np.ndarray], np.ndarray]
    times: Callable[[np.ndarray, np.ndarray], np.ndarray]
    cost: float


def _entries(mask: np.ndarray) -> _Entries:
    pairs = float((mask.sum(1, dtype=np.float64) ** 2).sum()) / 2
    if _SPARSE_COST * pairs < float(mask.shape[0]) * mask.shape[1] ** 2:
        return _sparse_entries(mask, pairs)
    return _dense_entries(mask)


def _sparse_entries(mask: np.ndarray, pairs: float) -> _Entries:
    from sparsefire.propagation.init import _gram_kernels as kernels

    column = np.nonzero(mask)[1]
    start = np.concatenate([[0], np.cumsum(mask.sum(1))])
    shape = (mask.shape[1], mask.shape[1])

    def square(w: np.ndarray) -> np.ndarray:
        out = np.zeros(shape)
        kernels.square(start, column, w, out)
        return out

    def cross(w: np.ndarray, d: np.ndarray) -> np.ndarray:
        out = np.zeros(shape)
        kernels.cross(start, column, w, d, out)
        return out

    def times(w: np.ndarray, symmetric: np.ndarray) -> np.ndarray:
        return kernels.times(start, column, w, symmetric)

    cost = 3 * _SPARSE_COST * pairs + _PASS_COST * shape[0] ** 2
    return _Entries(column, square, cross, times, cost)


def _dense_entries(mask: np.ndarray) -> _Entries:
    rows, columns = mask.shape
    where = torch.from_numpy(np.ascontiguousarray(mask))
    number = torch.float64 if columns <= 1024 else torch.float32  # twice as fast, and exact enough for a descent

    def full(w: np.ndarray) -> Tensor:
        W = torch.zeros((rows, columns), dtype=number)
        W[where] = torch.from_numpy(w).to(number)
        return W

    def square(w: np.ndarray) -> np.ndarray:
        W = full(w)
        return (W.T @ W).tril_().double().numpy()

    def cross(w: np.ndarray, d: np.ndarray) -> np.ndarray:
        product = full(w).T @ full(d)
        return (product + product.T).tril_().double().numpy()

    def times(w: np.ndarray, symmetric: np.ndarray) -> np.ndarray:
        lower = torch.from_numpy(symmetric).to(number)
        return (full(w) @ (lower + lower.tril(-1).T))[where].double().numpy()

    cost = 3.0 * rows * columns**2 + _PASS_COST * columns**2
    return _Entries(np.nonzero(mask)[1], square, cross, times, cost)


def _descend(entries: _Entries, w: np.ndarray, steps: int) -> tuple[np.ndarray, list[float]]:
    error = entries.square(w)
    error[np.diag_indices_from(error)] -= 1.0
    path = [_inner(error, error)]
    slope, direction = np.zeros_like(w), np.zeros_like(w)
    for _ in range(steps):
        before, slope = slope, entries.times(w, error)  # a quarter of the gradient
        size = float(before @ before)
        direction = -slope + (max(0.0, float(slope @ (slope - before)) / size) if size else 0.0) * direction
        if slope @ direction >= 0:
            direction = -slope
        linear, quadratic = entries.cross(w, direction), entries.square(direction)
        t, drop = _lowest(error, linear, quadratic)
        if drop <= 1e-12 * path[-1]:
            break
        w = w + t * direction
        error += np.multiply(linear, t, out=linear)
        error += np.multiply(quadratic, t * t, out=quadratic)
        path.append(_inner(error, error))
    return w, path


def _lowest(error: np.ndarray, linear: np.ndarray, quadratic: np.ndarray) -> tuple[float, float]:
    """Return where ‖E + t F + t² H‖² is least over t, and by how much less than at 0."""
    quartic = np.array(
        [
            _inner(quadratic, quadratic),
            2 * _inner(linear, quadratic),
            _inner(linear, linear) + 2 * _inner(error, quadratic),
            2 * _inner(error, linear),
            0.0,
        ]
    )
    if not quartic[0] > 0:
        return 0.0, 0.0
    turning = np.roots(np.polyder(quartic))
    turning = turning[np.abs(turning.imag) <= 1e-9 * np.abs(turning)].real
    values = np.polyval(quartic, turning)
    best = int(values.argmin())
    return float(turning[best]), -float(values[best])


def _inner(a: np.ndarray, b: np.ndarray) -> float:
    """Return ⟨A, B⟩ of symmetric matrices given by their lower triangles."""
    return 2 * float(np.vdot(a, b)) - float(np.diagonal(a) @ np.diagonal(b))
