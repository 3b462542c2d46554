"""Optimal brain surgeon, layer by layer: what the output of a layer loses as a weight goes and the others make up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.sparsity.scores import passes
from sparsefire.sparsity.setting import Setting

DAMPING = 0.01
"""Added to the diagonal of H, as a share of its mean (arXiv:2301.00774)."""

BLOCK = 128
"""Inputs of a unit that are ranked together; all are if there are no more."""

SOLVED = 512
"""Kept weights of a unit up to which they are solved for at once, beyond that block by block, in sweeps."""

SWEEPS = 50


def obc(setting: Setting, key: Any) -> dict[str, Tensor]:
    """Return by layer what the output has lost by the time a weight goes, if they go one after another.

    Exact optimal brain surgeon (Frantar & Alistarh, arXiv:2208.11580): of every unit the weight with the smallest
    w_q² / (2 [H⁻¹]_qq) goes, the others make up for it by δw = −w_q H⁻¹ e_q / [H⁻¹]_qq, and so on until none is left.
    H = 2 X Xᵀ / n + a hundredth of its mean diagonal on the diagonal, with X the inputs of the layer, unfolded for a
    convolution, of n examples; the loss is half of H's quadratic form, the squared error of the output. Ranking by the
    largest loss so far is the paper's merging of units by a heap. float64.

    Units with more than 128 inputs are taken in blocks of 128, as if H had no entries between them. Ranking all
    weights together (``"global"``) adds squared errors of different layers, which the paper leaves to a search.

    Args:
        setting: with data, at least as many examples (times places) as inputs of a unit would be good; targets and
            loss are not looked at. The network is in evaluation mode.
        key: unused.

    Raises:
        UserError: no data, inputs that are not finite, a layer that no input arrives at.

    >>> net = nn.Linear(2, 1, bias=False); _ = net.weight.data.copy_(torch.tensor([[1.0, -4.0]]))
    >>> data = (torch.tensor([[4.0, 0.0], [0.0, 1.0]]), None)
    >>> obc(Setting(net, data=data), 0)[""].round(decimals=2).tolist()  # 4² / 2 both, damped
    [[8.04, 8.68]]
    """
    curvature = curvatures(setting)
    scores = {}
    for name, module in masks.maskable(setting.net, setting.layers).items():
        weight, present = _rows(module)
        grouped = [
            removal_losses(w, kept, h)
            for w, kept, h in zip(
                *(part.chunk(len(curvature[name])) for part in (weight, present)), curvature[name], strict=True
            )
        ]
        scores[name] = torch.cat(grouped).reshape(module.weight.shape)  # type: ignore[arg-type]
    return passes.ready(scores)


@torch.no_grad()
def compensate_(setting: Setting, kept: Mapping[str, Tensor]) -> None:
    """Set the weights that stay to those that change the outputs of their layer least, in place; others become zero.

    min (w' − w)ᵀ H (w' − w) over w' that is zero outside the mask, for every unit, which is where the steps of
    :func:`obc` lead in whatever order; H as there, without blocks. Units that keep more than 512 weights are solved in
    blocks of 128, again and again until nothing moves. To be called with the weights of before the pruning.

    Args:
        setting: as of :func:`obc`.
        kept: bool mask by layer.
    """
    curvature = curvatures(setting)
    for name, module in masks.maskable(setting.net, setting.layers).items():
        weight, present = _rows(module)
        mask = kept[name].flatten(1) & present
        groups = len(curvature[name])
        solved = [
            best_weights(w, stays, h)
            for w, stays, h in zip(weight.chunk(groups), mask.chunk(groups), curvature[name], strict=True)
        ]
        shape: Any = module.weight
        masks.write_weight_(module, torch.cat(solved).reshape(shape.shape).to(shape.dtype))


def curvatures(setting: Setting) -> dict[str, Tensor]:
    """Return H = 2 X Xᵀ / n + damping by layer: float64 [groups, inputs of a unit, inputs of a unit].

    Args:
        setting: with data of n examples.
    """
    total: dict[str, Tensor] = {}
    examples: dict[str, int] = {}

    def take(name: str, module: nn.Module, x: Tensor) -> None:
        weight: Any = module.weight
        places = max(1, x.numel() // len(x) * weight[0].numel() // weight.shape[1])  # about: strides make it fewer
        for part in x.split(max(1, passes.CHUNK // places)):
            found = passes.patches(module, part)
            total[name] = total.get(name, 0.0) + 2.0 * found.mT @ found
        examples[name] = examples.get(name, 0) + len(x)

    passes.watch_inputs(setting, take)
    for name, one in total.items():
        one /= examples[name]
        diagonal = one.diagonal(dim1=1, dim2=2)
        # A layer that sees nothing but zeros loses nothing, and keeps its order by magnitude.
        diagonal += (DAMPING * diagonal.mean(1, keepdim=True)).clamp(min=1e-100)
    return total


@torch.no_grad()
def removal_losses(weight: Tensor, present: Tensor, curvature: Tensor, block: int = BLOCK) -> Tensor:
    """Return the largest loss met until each weight goes, for units that share a curvature; increasing in that order.

    Args:
        weight: float64 [units, inputs].
        present: bool, of the same shape; absent weights are zero, go first and lose nothing.
        curvature: float64 [inputs, inputs], positive definite.
        block: inputs ranked together.

    Returns:
        float64 [units, inputs]; NaN if something is not finite.

    >>> h, all_of_them = torch.diag(torch.tensor([2.0, 4.0])).double(), torch.tensor([[True, True]])
    >>> removal_losses(torch.tensor([[2.0, -1.0]]).double(), all_of_them, h)
    tensor([[4., 2.]], dtype=torch.float64)
    """
    found = torch.full_like(weight, torch.nan)
    if not (bool(weight.isfinite().all()) and bool(curvature.isfinite().all())):
        return found
    for columns in torch.arange(weight.shape[1], device=weight.device).split(block):
        inverse = torch.linalg.inv(curvature[columns[:, None], columns])
        size = max(1, passes.CHUNK // len(columns) ** 2)
        parts = zip(weight[:, columns].split(size), present[:, columns].split(size), strict=True)
        found[:, columns] = torch.cat([_one_by_one(w, kept, inverse) for w, kept in parts])
    return found


@torch.no_grad()
def best_weights(weight: Tensor, kept: Tensor, curvature: Tensor) -> Tensor:
    """Return w' = argmin (w' − w)ᵀ H (w' − w) with zeros outside a mask, for units that share a curvature.

    Args:
        weight: float64 [units, inputs].
        kept: bool, of the same shape.
        curvature: H, float64 [inputs, inputs], positive definite.

    >>> h = torch.tensor([[2.0, 1.0], [1.0, 2.0]]).double()
    >>> best_weights(torch.tensor([[1.0, -4.0]]).double(), torch.tensor([[True, False]]), h).round(decimals=9).tolist()
    [[-1.0, 0.0]]
    """
    most = int(kept.sum(1).max())
    width = weight.shape[1] if most <= SOLVED else BLOCK
    blocks = torch.arange(weight.shape[1], device=weight.device).split(width)
    found = weight * kept
    if not (bool(weight.isfinite().all()) and bool(curvature.isfinite().all())):
        return found
    for _ in range(SWEEPS if len(blocks) > 1 else 1):
        moved = 0.0
        for columns in blocks:
            pull = (weight - found) @ curvature[:, columns]
            change = _solve(pull, kept[:, columns], curvature[columns[:, None], columns])
            found[:, columns] += change
            moved = max(moved, float(change.abs().max()))
        if moved <= 1e-8 * float(found.abs().max()):
            break
    return found


def _solve(pull: Tensor, kept: Tensor, curvature: Tensor) -> Tensor:
    """Return x with (H x)_S = pull_S on the kept entries S of every unit, and zero elsewhere."""
    most = max(1, int(kept.sum(1).max()))
    places = kept.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    found = torch.zeros_like(pull)
    size = max(1, passes.CHUNK // most**2)
    for at, into, right, stays in zip(*(part.split(size) for part in (places, found, pull, kept)), strict=True):
        valid = stays.gather(1, at)
        system = curvature[at[:, :, None], at[:, None, :]] * (valid[:, :, None] & valid[:, None, :])
        system.diagonal(dim1=1, dim2=2).add_((~valid).double())
        right = (right.gather(1, at) * valid)[:, :, None]
        into.scatter_(1, at, torch.cholesky_solve(right, torch.linalg.cholesky(system))[:, :, 0] * valid)
    return found


def _one_by_one(weight: Tensor, present: Tensor, inverse: Tensor) -> Tensor:
    """Remove all weights of every unit, the cheapest first; return the largest loss so far at each removal."""
    units, inputs = weight.shape
    row = torch.arange(units, device=weight.device)
    weight, left = weight.clone(), torch.ones_like(present)
    inverse = inverse.expand(units, inputs, inputs).clone()
    names = torch.arange(inputs, device=weight.device).expand(units, inputs)
    found = torch.zeros_like(weight)
    level = weight.new_zeros(units)
    for number in range(inputs):
        if 4 * (inputs - number) <= 3 * weight.shape[1]:  # carry on with the rows and columns that are left
            at = left.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, : inputs - number]
            names, weight, present, left = (part.gather(1, at) for part in (names, weight, present, left))
            inverse = inverse[row[:, None, None], at[:, :, None], at[:, None, :]]
        diagonal = inverse.diagonal(dim1=1, dim2=2)
        loss = (weight.square() / (2.0 * diagonal)).where(present, -1.0).where(left, torch.inf)
        first = loss.argmin(1)
        # A loss may fall below an earlier one; what is larger by one bit keeps the order.
        level = torch.maximum(loss[row, first], level.nextafter(torch.full_like(level, torch.inf)))
        found[row, names[row, first]] = level
        column = inverse[row, :, first]
        pivot = diagonal[row, first][:, None].clone()
        weight -= weight[row, first][:, None] / pivot * column
        inverse.baddbmm_(column[:, :, None], -(column / pivot)[:, None, :])
        left[row, first] = False
    return found


def _rows(module: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the effective weights of a layer and where they are, a row per unit."""
    weight: Any = module.weight
    masked = masks.mask_of(module)
    present = torch.ones_like(weight, dtype=torch.bool) if masked is None else masked.mask
    return weight.detach().flatten(1).double(), present.flatten(1)
