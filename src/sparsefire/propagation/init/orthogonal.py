"""Exactly orthogonal sparse matrices from plane rotations, and networks made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.errors import UserError
from sparsefire.propagation.init.looks_linear import check_chain, mirrored_matrix
from sparsefire.propagation.init.rotations import one_each, rotate, semi_orthogonal
from sparsefire.propagation.init.variance import check_untied, writable
from sparsefire.propagation.init.walk import Layer, centre_tap, gain_of, write_

STRUCTURES = ("givens", "butterfly")


def givens_orthogonal(n: int, *, density: float | None = None, rotations: int | None = None, rng: Any = None) -> Any:
    """Return a random sparse orthogonal matrix: a signed permutation times random plane rotations.

    Exact orthogonal initialisation (EOI, arXiv:2406.01755): every rotation takes two random rows and a random angle;
    both rows then have the union of what they had. Degrees are uneven, as those of an epidemic on rows are.

    Args:
        n: number of rows and columns, 1 or more.
        density: rotate until no further pair of rows fits into ⌊density · n²⌋ entries; in [1/n, 1]. Either this
        rotations: or this many rotations, 0 or more.
        rng: see :func:`sparsefire.randomness.entropy`.

    Returns:
        float64 [n, n] with ‖WᵀW − I‖ at rounding error.

    Raises:
        UserError: neither or both of density and rotations, or one outside its range.

    >>> W = givens_orthogonal(50, density=0.1, rng=0)
    >>> bool(np.abs(W.T @ W - np.eye(50)).max() < 1e-13), int((W != 0).sum()) <= 250
    (True, True)
    """
    _check_size(n)
    if (density is None) == (rotations is None):
        raise UserError(
            "rotations go on to a density or for a number.",
            came=f"density={density!r}, rotations={rotations!r}",
            expected="one of the two",
        )
    draws = randomness.stream(rng, "givens rotations")
    if rotations is not None:
        if isinstance(rotations, bool) or not isinstance(rotations, int | np.integer) or rotations < 0:
            raise UserError("this is no number of rotations.", came=f"rotations={rotations!r}", expected="0 or more")
        start, _ = one_each(n, n, n, 1, draws)
        return rotate(start, draws, rotations=int(rotations) if n > 1 else 0)
    return semi_orthogonal(n, n, _count(density, n * n), "givens", draws)


def butterfly_orthogonal(n: int, fan_in: float, rng: Any = None) -> Any:
    """Return a sparse orthogonal matrix with a constant fan-in and entries of one magnitude.

    A signed permutation times log₂ k stages of 45° rotations. Columns carry labels in {0, 1}^(log₂ k); stage j joins a
    row of label b to a random row of label b ⊕ 2^j, so that all the columns a row meets have different labels. With
    k = 2^m dividing n every row and column has exactly k entries ±k^(−1/2). Otherwise a last stage joins only some of
    the rows, and where 2^m does not divide n a few rows are left out of a stage: never more than ⌊n · fan_in⌋ entries.
    The construction is derived here; butterfly factors go back to the fast Fourier transform.

    Args:
        n: number of rows and columns, 1 or more.
        fan_in: entries per row on average, in [1, n].
        rng: see :func:`sparsefire.randomness.entropy`.

    Returns:
        float64 [n, n].

    >>> W = butterfly_orthogonal(12, 4, rng=0)
    >>> set((W != 0).sum(0).tolist()), set((W != 0).sum(1).tolist()), sorted(set(np.abs(W).round(12).ravel().tolist()))
    ({4}, {4}, [0.0, 0.5])
    """
    _check_size(n)
    if isinstance(fan_in, bool) or not isinstance(fan_in, int | float | np.number) or not 1 <= fan_in <= n:
        raise UserError("a row has from 1 to n entries.", came=f"fan_in={fan_in!r}", expected=f"in [1, {n}]")
    draws = randomness.stream(rng, "butterfly rotations")
    return semi_orthogonal(n, n, math.floor(n * fan_in + 1e-9), "butterfly", draws)


def support_masks(
    net: nn.Module,
    density: float | None = None,
    *,
    looks_linear: bool = True,
    structure: str = "givens",
    rng: Any = None,
) -> dict[str, Tensor]:
    """Return the masks that :func:`sparse_orthogonal_` will write with the same arguments; nothing is written.

    Returns:
        layer name → bool tensor of the weight's shape, for the layers that are masked; never more entries than the
        layer has now.

    >>> support_masks(nn.Linear(4, 4))
    {}
    """
    plan = _plan(net, density, looks_linear, structure, "norm", 1.0, rng)
    return {part.layer.name: part.mask for part in plan if part.mask is not None}


@torch.no_grad()
def sparse_orthogonal_(
    net: nn.Module,
    density: float | None = None,
    *,
    looks_linear: bool = True,
    structure: str = "givens",
    keep: str = "norm",
    gain: Any = 1.0,
    rng: Any = None,
) -> nn.Module:
    """Give a network exactly orthogonal weights: an isometry at the start, with the masks that this takes.

    Unlike the other initialisers this one *chooses* masks: a masked layer gets the support of its matrix
    (:func:`support_masks`) in place of its mask, of about as many weights and never more. Call it after ``sparsify``
    with a static mask and before training: no optimizer moments are moved along.

    Looks-linear blocks make a chain of ReLU layers act as the product of its orthogonal matrices (arXiv:1702.08591),
    to rounding error, whatever the depth:

        first layer [[A], [−A]],    hidden layers [[A, −A], [−A, A]],    last layer [A, −A]

    A is square and orthogonal where widths are equal. A layer that widens has orthonormal columns; one that narrows,
    with A of p rows and q columns, has orthonormal rows times √(q/p), which keeps the squared norm on average, or with
    ``keep="unit"`` just orthonormal rows, which keep the mean square per unit (smaller outputs). Convolutions hold A
    at the centre tap (delta-orthogonal, arXiv:1806.05393) and zeros elsewhere; of a masked one only the centre taps of
    the mask are chosen anew, as many as it had. Sparse A: EOI (arXiv:2406.01755). Norm layers and max pooling between
    the layers are let through, but there the network is no isometry.

    Args:
        net: layers in the order of the signal, for looks-linear a plain chain of them.
        density: share of the entries of every masked layer (of its centre taps), in (0, 1], at most what it has; None
            for as many as it has.
        looks_linear: mirrored blocks for ReLU; False for one orthogonal matrix per layer.
        structure: ``"givens"`` (:func:`givens_orthogonal`) or ``"butterfly"`` (:func:`butterfly_orthogonal`: constant
            fan-in).
        keep: ``"norm"`` or ``"unit"``, what narrowing layers keep on average.
        gain: factor of all weights, a number above 0 or an activation as of
            :func:`~sparsefire.propagation.init.in_degree_`; ``"relu"``, √2, keeps the mean square of a ReLU network
            that is not looks-linear.
        rng: see :func:`sparsefire.randomness.entropy`.

    Returns:
        The network, its biases zero.

    Raises:
        UserError: an unknown structure, keep or gain, ``density=`` without masks, too few weights for an orthogonal
            matrix, a grouped convolution; for looks-linear an odd width, a layer out of the chain, an activation that
            is no ReLU. The network is left as it was.

    >>> net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 8)).double()
    >>> x = torch.randn(3, 8, dtype=torch.float64)
    >>> torch.allclose(sparse_orthogonal_(net, rng=0)(x).norm(dim=1), x.norm(dim=1))
    True
    """
    for part in _plan(net, density, looks_linear, structure, keep, gain, rng):
        if part.mask is not None:
            masks.write_mask_(part.layer.module, part.mask)
        write_(part.layer, part.weight)
    return net


@dataclass(frozen=True, eq=False)
class _Part:
    layer: Layer
    weight: Tensor
    mask: Tensor | None


def _plan(
    net: nn.Module, density: float | None, looks_linear: bool, structure: str, keep: str, gain: Any, rng: Any
) -> list[_Part]:
    scale = gain_of(gain)
    layers = writable(net)
    check_untied(layers)
    if structure not in STRUCTURES:
        raise UserError(f"there is no structure {structure!r}.", came=repr(structure), expected=" or ".join(STRUCTURES))
    if keep not in ("norm", "unit"):
        raise UserError("narrowing layers keep one of two.", came=f"keep={keep!r}", expected="'norm' or 'unit'")
    if density is not None:
        _count(density, 1)
    if density is not None and all(layer.mask is None for layer in layers):
        raise UserError(
            "a density needs a masked network.",
            came=f"density={density!r} and no mask",
            expected="a network that sparsify has masked, or density=None for dense weights",
            attempt=f"sf.sparsify(net, density={density!r}) first",
        )
    for layer in layers:
        check_plain(layer)
    if looks_linear:
        check_chain(net, layers)
    entropies = randomness.stream(rng, "orthogonal weights").integers(2**63, size=len(layers))
    plan = []
    for i, layer in enumerate(layers):
        paired = looks_linear and i < len(layers) - 1, looks_linear and i > 0
        rows, columns = layer.shape[0] // (1 + paired[0]), layer.shape[1] // (1 + paired[1])
        count = _room(layer, density, rows, columns, 2 ** sum(paired))
        draws = randomness.stream(int(entropies[i]), "matrix")
        matrix = torch.from_numpy(semi_orthogonal(rows, columns, count, structure, draws).copy())
        size = scale * math.sqrt(max(1.0, columns / rows) if keep == "norm" else 1.0)
        tap = mirrored_matrix(matrix * size, *paired)
        weight, mask = torch.zeros(layer.shape, dtype=torch.float64), None
        centre_tap(weight).copy_(tap)
        if layer.mask is not None:
            mask = layer.mask.clone()
            centre_tap(mask).copy_(tap != 0)
        plan.append(_Part(layer, weight, mask))
    return plan


def _room(layer: Layer, density: float | None, rows: int, columns: int, copies: int) -> int | None:
    """Return how many entries the matrix of a layer may have, or None for all."""
    if layer.mask is None:
        return None
    taps = centre_tap(layer.mask)
    kept = int(taps.count_nonzero())
    place = "at its centre tap" if taps.ndim < layer.mask.ndim else "in all"
    if density is not None:
        if (wanted := _count(density, taps.numel())) > kept:
            raise UserError(
                f"{layer.label} keeps fewer weights {place} than this density asks for.",
                came=f"{kept} weights, density={density!r}",
                expected=f"{wanted} weights or more",
                attempt="density=None, or sf.sparsify with a higher density",
            )
        kept = wanted
    if kept // copies < min(rows, columns):
        raise UserError(
            f"{layer.label} keeps too few weights {place} for an orthogonal matrix.",
            came=f"{kept} of {taps.numel()}",
            expected=f"{copies * min(rows, columns)} or more",
            attempt="a higher density, or looks_linear=False" if copies > 1 else "a higher density",
        )
    return kept // copies


def check_plain(layer: Layer) -> None:
    """Raise where a layer is a grouped convolution: its matrix is cut into blocks."""
    if getattr(layer.module, "groups", 1) != 1:
        raise UserError(
            f"{layer.label} is a grouped convolution.", came=f"groups={layer.module.groups}", expected="groups=1"
        )


def _count(density: Any, size: int) -> int:
    if isinstance(density, bool) or not isinstance(density, int | float | np.number) or not 0 < density <= 1:
        raise UserError("density is a fraction.", came=f"density={density!r}", expected="in (0, 1]")
    return math.floor(density * size + 1e-9)


def _check_size(n: Any) -> None:
    if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1:
        raise UserError("a matrix has a size.", came=f"n={n!r}", expected="a whole number of 1 or more")
