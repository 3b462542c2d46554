"""Residual blocks that are exact isometries at the start, by blocks that act linearly on looks-linear signals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sparsefire import masks, randomness
from sparsefire.errors import UserError
from sparsefire.propagation.init.looks_linear import mirrored_matrix
from sparsefire.propagation.init.orthogonal import check_plain
from sparsefire.propagation.init.rotations import semi_orthogonal
from sparsefire.propagation.init.variance import check_untied, writable
from sparsefire.propagation.init.walk import Layer, centre_tap, write_

TRUNKS = ("linear", "relu")


@torch.no_grad()
def residual_isometry_(
    block: nn.Module,
    first: str | nn.Module,
    second: str | nn.Module,
    skip: str | nn.Module | None = None,
    *,
    trunk: str = "linear",
    rng: Any = None,
) -> nn.Module:
    """Initialise one residual block so that it is an exact isometry with ReLU at finite width.

    Dynamical isometry of residual networks after Gadhikar & Burkholz (RISOTTO, arXiv:2210.02411); the forms below are
    derived here. On looks-linear signals a block acts as its skip plus A₂A₁, so that sum is made an orthogonal M,
    random, in which both branches take part.

    ``trunk="linear"``, blocks y = skip(x) + second(relu(first(x))) between which nothing happens: first is
    [[A₁], [−A₁]], second [A₂, −A₂], so that second ∘ relu ∘ first = A₂A₁.

    - identity skip: M turns random planes by random angles and A₂A₁ = M − I is split evenly by its singular values,
      M − I = UΣVᵀ, A₁ = QΣ^½Vᵀ, A₂ = UΣ^½Qᵀ, so that A₁A₁ᵀ = A₂ᵀA₂. Where half the hidden units are fewer than the
      trunk is wide, only so many dimensions turn;
    - learned skip: A₁ and A₂ are (semi-)orthogonal over √2 and the skip is M − A₂A₁.

    ``trunk="relu"``, blocks y = relu(skip(x) + second(relu(first(x)))): x holds the positive part of a signal s in its
    first half and the negative part in the second, all matrices are [[A, −A], [−A, A]], and s ↦ M s.

    - learned skip: as above with half the widths;
    - identity skip: first is a signed permutation P, which passes x on as it is, and second is [[B, −B], [−B, B]] less
      the inverse permutation, with B = MPᵀ. Trunk and hidden layer must be of one width.

    Convolutions hold these matrices at the centre tap. Where a block changes its width with a learned skip, M is
    semi-orthogonal as in :func:`~sparsefire.propagation.init.sparse_orthogonal_`. A normalisation inside the block
    breaks the isometry unless it starts as the identity.

    Args:
        block: the module that holds the layers.
        first, second: its two linear or convolutional layers, as modules or by their names in the block.
        skip: the layer on the skip branch; None: the identity.
        trunk: what the block does with the sum, ``"linear"`` (nothing) or ``"relu"``.
        rng: see :func:`sparsefire.randomness.entropy`.

    Returns:
        The block, the biases of these layers zero.

    Raises:
        UserError: a name or layer that does not fit, one layer in two roles, widths that do not fit together, an odd
            width, a mask that lacks a weight the isometry needs. The block is left as it was.

    >>> class Block(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.one, self.two = nn.Linear(4, 8), nn.Linear(8, 4)
    ...     def forward(self, x):
    ...         return x + self.two(torch.relu(self.one(x)))
    >>> block, x = residual_isometry_(Block(), "one", "two", rng=0), torch.tensor([[1.0, -2.0, 0.0, 3.0]])
    >>> torch.allclose(block(x).norm(), x.norm())
    True
    """
    if trunk not in TRUNKS:
        raise UserError(f"there is no trunk {trunk!r}.", came=repr(trunk), expected=" or ".join(TRUNKS))
    one, two = _layer(block, first, "first"), _layer(block, second, "second")
    side = None if skip is None else _layer(block, skip, "skip")
    layers = [layer for layer in (one, two, side) if layer is not None]
    _check_widths(one, two, side, trunk)
    check_untied(layers)
    draws = randomness.stream(rng, "residual isometry")
    make = _linear_trunk if trunk == "linear" else _relu_trunk
    matrices = make(two.shape[0], one.shape[0], one.shape[1], side is not None, draws)
    weights = [_at_centre(layer, matrix) for layer, matrix in zip(layers, matrices, strict=False)]
    for layer, weight in zip(layers, weights, strict=True):
        write_(layer, weight)
    return block


def _linear_trunk(out: int, hidden: int, given: int, learned: bool, draws: np.random.Generator) -> list[np.ndarray]:
    m = hidden // 2
    if learned:
        one, two, rest = _learned(out, m, given, draws)
        return [np.concatenate([one, -one]), np.concatenate([two, -two], 1), rest]
    turned = min(m, given)  # as many dimensions as the hidden units can carry
    basis = semi_orthogonal(given, turned, None, "givens", draws)
    hinge = semi_orthogonal(m, turned, None, "givens", draws)
    rotation, sizes = _planes(turned, draws)
    one = hinge * np.sqrt(sizes) @ basis.T
    two = basis @ rotation * np.sqrt(sizes) @ hinge.T
    return [np.concatenate([one, -one]), np.concatenate([two, -two], 1)]


def _planes(n: int, draws: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return orthogonal T and sizes s with T diag(s) = R − I, for rotations R of planes by random angles θ.

    In every plane R(θ) − I = 2 sin(θ/2) R(θ/2 + π/2); an odd dimension that is left over is mirrored.
    """
    angle = draws.uniform(0.0, 2 * math.pi, n // 2)
    sizes = np.repeat(2 * np.sin(angle / 2), 2)
    rotation = np.zeros((n, n))
    i = 2 * np.arange(n // 2)
    rotation[i, i] = rotation[i + 1, i + 1] = np.cos(angle / 2 + math.pi / 2)
    rotation[i + 1, i] = np.sin(angle / 2 + math.pi / 2)
    rotation[i, i + 1] = -rotation[i + 1, i]
    if n % 2:
        rotation[-1, -1] = -1.0
        sizes = np.append(sizes, 2.0)
    return rotation, sizes


def _relu_trunk(out: int, hidden: int, given: int, learned: bool, draws: np.random.Generator) -> list[np.ndarray]:
    def mirrored(matrix: np.ndarray) -> np.ndarray:
        return mirrored_matrix(torch.from_numpy(matrix), True, True).numpy()

    if learned:
        return [mirrored(matrix) for matrix in _learned(out // 2, hidden // 2, given // 2, draws)]
    n = given // 2
    place, sign = draws.permutation(n), draws.choice([-1.0, 1.0], n)
    signed = np.zeros((n, n))
    signed[np.arange(n), place] = sign
    first = mirrored(signed)
    back = np.maximum(
        first, 0.0
    ).T  # hidden unit to the trunk unit whose value it holds: relu(first x) = max(first, 0) x
    return [first, mirrored(_orthogonal(n, n, draws) @ signed.T) - back]


def _learned(out: int, hidden: int, given: int, draws: np.random.Generator) -> list[np.ndarray]:
    """Return A₁, A₂ and M − A₂A₁."""
    one = math.sqrt(0.5) * _orthogonal(hidden, given, draws)
    two = _orthogonal(out, hidden, draws)
    return [one, two, _orthogonal(out, given, draws) - two @ one]


def _orthogonal(rows: int, columns: int, draws: np.random.Generator) -> np.ndarray:
    scale = math.sqrt(max(1.0, columns / rows))
    return scale * semi_orthogonal(rows, columns, None, "givens", draws)


def _layer(block: nn.Module, given: str | nn.Module, role: str) -> Layer:
    module = given
    if isinstance(given, str):
        try:
            module = block.get_submodule(given)
        except AttributeError:
            raise UserError(
                f"this block has no layer {given!r}.",
                came=f"{role}={given!r}",
                expected=f"one of {', '.join(masks.layers(block)) or 'no layer at all'}",
            ) from None
    names = {id(found): name for name, found in masks.layers(block).items()}
    if id(module) not in names:
        raise UserError(
            f"the {role} of a residual block is one of its linear or convolutional layers.",
            came=repr(given) if isinstance(given, str) else type(given).__name__,
            expected=f"one of {', '.join(names.values()) or 'no layer at all'}",
        )
    masked = masks.mask_of(module)  # type: ignore[arg-type]
    weight: Any = module.weight  # type: ignore[union-attr]
    layer = Layer(names[id(module)], module, tuple(weight.shape), None if masked is None else masked.mask)  # type: ignore[arg-type]
    writable(layer.module)
    check_plain(layer)
    return layer


def _check_widths(one: Layer, two: Layer, side: Layer | None, trunk: str) -> None:
    out, hidden, given = two.shape[0], one.shape[0], one.shape[1]
    if two.shape[1] != hidden:
        raise UserError(
            f"{two.label} does not take what {one.label} gives.",
            came=f"{two.shape[1]} inputs after {hidden} outputs",
            expected=f"{hidden} inputs",
        )
    if side is None and out != given:
        raise UserError(
            f"{two.label} does not give what the identity skip adds to.",
            came=f"{out} outputs for a trunk of {given}",
            expected=f"{given} outputs, or a learned skip",
        )
    if side is not None and side.shape[:2] != (out, given):
        raise UserError(
            f"{side.label} does not lead from the input of the block to its output.",
            came=f"{side.shape[1]} inputs, {side.shape[0]} outputs",
            expected=f"{given} inputs, {out} outputs",
        )
    odd = [(one.label, hidden)]
    if trunk == "relu":
        odd = [(one.label, given), (one.label, hidden), (two.label, out)]
        if side is None and hidden != given:
            raise UserError(
                f"{one.label} cannot pass the trunk on to an identity skip with ReLU.",
                came=f"{hidden} units for a trunk of {given}",
                expected=f"{given} units, a learned skip, or trunk='linear'",
            )
    for label, width in odd:
        if width % 2:
            raise UserError(
                f"{label} has an odd width.",
                came=f"{width} units",
                expected="an even number: looks-linear units come in pairs",
            )


def _at_centre(layer: Layer, matrix: np.ndarray) -> Tensor:
    weight = torch.zeros(layer.shape, dtype=torch.float64)
    centre_tap(weight).copy_(torch.from_numpy(matrix))
    if layer.mask is not None:
        absent = int(((weight != 0) & ~layer.mask.cpu()).count_nonzero())
        if absent:
            raise UserError(
                f"the mask of {layer.label} lacks weights that the isometry needs.",
                came=f"{absent} of {int(weight.count_nonzero())} are masked",
                expected="a dense block, or masks that keep them",
                attempt="sparse_orthogonal_, which chooses its masks",
            )
    return weight
