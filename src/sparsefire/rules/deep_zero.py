"""Coordinate-wise finite differences on a sparse set of weights.

A. Chen, Y. Zhang, J. Jia, J. Diffenderfer, J. Liu, K. Parasyris, Y. Zhang, Z. Zhang, B. Kailkhura, S. Liu. DeepZero:
scaling up zeroth-order optimization for deep model training, ICLR 2024. arXiv:2310.02025
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sparsefire.errors import UserError
from sparsefire.rules.active import Active
from sparsefire.rules.asking import Batch, fitting, loss_here, losses_at
from sparsefire.rules.directions import bits, draw
from sparsefire.rules.quiet import SameNoise
from sparsefire.rules.weights import WeightRule, check_scale

GUIDE = 192
"""Random directions of an estimate that ranks weights for the shares of layers, as in the paper's code."""


@dataclass(eq=False)
class CoordinateDifferences(WeightRule):
    """Fill gᵢ = [L(θ + μ eᵢ) − L(θ)] / μ for the chosen weights i, and leave zero for all others.

    Exact up to O(μ), at one loss per chosen weight and one more. On masked networks all active weights may be chosen;
    ``share`` takes a part of them, drawn anew in every call: with ``shares="uniform"`` as many from each parameter in
    proportion, with ``"zo-grasp"`` as DeepZero does, by how many weights of each parameter a zero-order GraSP score
    would keep, S = −θ ⊙ Ĥĝ with Ĥĝ = [ĝ(θ + μ ĝ) − ĝ(θ)] / μ from estimates along 192 random directions on the first
    batch that is seen (a large ‖ĝ‖ shortens the step). Weights that are not drawn keep gradient zero: this is
    coordinate descent, not an unbiased estimate.

    Args:
        scale: μ.
        share: of the active weights that are asked about, in (0, 1].
        shares: ``"uniform"`` or ``"zo-grasp"``.
        two_sided: [L(θ + μ eᵢ) − L(θ − μ eᵢ)] / (2μ), exact up to O(μ²), at twice the losses.
        rng, chunk: as of :class:`~sparsefire.rules.weights.WeightRule`.

    >>> import torch; from torch import nn
    >>> net = nn.Linear(3, 1)
    >>> rule = CoordinateDifferences(scale=1e-3)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> rule.budget.queries
    5
    """

    directions: int = field(default=1, init=False, repr=False)
    law: str = field(default="coordinates", init=False, repr=False)
    scale: float = 1e-3
    share: float = 1.0
    shares: str = "uniform"
    two_sided: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_scale(self.scale)
        if not 0 < self.share <= 1:
            raise UserError("a share of the weights is asked about.", came=f"{self.share!r}", expected="in (0, 1]")
        if self.shares not in ("uniform", "zo-grasp"):
            raise UserError("there are no such shares.", came=repr(self.shares), expected='"uniform" or "zo-grasp"')
        self._counts: list[int] | None = None

    def _wanted(self, active: Active) -> int:
        return max(1, round(self.share * active.size))

    def _estimate(self, batch: Batch) -> tuple[Tensor, Tensor, int]:
        active = batch.active
        asked = self._guide(batch) if self.share < 1 and self.shares == "zo-grasp" and self._counts is None else 0
        base = self._finite(loss_here(batch))
        found = torch.zeros(active.size, dtype=active.dtype, device=active.device)
        scales = (self.scale, -self.scale) if self.two_sided else (self.scale,)
        noise = SameNoise(batch.net)
        for block in self._places(active).split(self.chunk or fitting(active, batch.x)):
            noise.rewind()
            moved = torch.zeros(len(block), active.size, dtype=active.dtype)
            moved[torch.arange(len(block)), block] = 1.0
            losses = self._finite(losses_at(batch, moved, scales))
            below = losses[1] if self.two_sided else base
            found[block.to(active.device)] = ((losses[0] - below) / (self.scale * len(scales))).to(found)
            asked += losses.numel()
        return found, base, asked + 1

    def _places(self, active: Active) -> Tensor:
        """Return the places of the chosen weights in the vector of active ones, [count]."""
        if self.share == 1:
            return torch.arange(active.size)
        counts = self._counts
        if counts is None or len(counts) != len(active.sizes):
            counts = _in_proportion(active.sizes, self._wanted(active))
        places, begin = [], 0
        for size, count in zip(active.sizes, counts, strict=True):
            drawn = torch.randperm(size, generator=self._generator, device=self._generator.device)
            places.append(begin + drawn[: min(count, size)].cpu().sort().values)
            begin += size
        return torch.cat(places)

    def _bits(self, active: Active) -> int:
        return 0 if self.share == 1 else 32 * active.size

    def _guide(self, batch: Batch) -> int:
        """Find out how many weights of each parameter a GraSP score would keep; return how many losses that took."""
        scores = self._scores(batch)
        keep = torch.zeros(batch.active.size, dtype=torch.bool)
        keep[scores.argsort(stable=True)[: self._wanted(batch.active)]] = True
        self._counts = [max(1, int(piece.sum())) for piece in keep.split(batch.active.sizes)]
        self.budget.random_bits += bits("normal", GUIDE, batch.active.size)
        return 2 * (GUIDE + 1)

    def _scores(self, batch: Batch) -> Tensor:
        """Return the GraSP scores of the active weights from losses alone; the smallest are kept."""
        active, noise = batch.active, SameNoise(batch.net)
        directions = draw("normal", GUIDE, active.size, self._generator, active.dtype)
        held, start = active.copy(), active.vector()

        def gradient() -> Tensor:
            noise.rewind()
            base = self._finite(loss_here(batch))
            found = []
            for block in directions.split(self.chunk or fitting(active, batch.x)):
                noise.rewind()
                found.append(self._finite(losses_at(batch, block, (self.scale,)))[0])
            slopes = ((torch.cat(found) - base) / self.scale).to(active.dtype)
            return slopes @ directions.to(active.device) / GUIDE

        first = gradient()
        step = self.scale / max(1.0, float(first.norm()))
        try:
            active.write_(start + step * first)
            second = gradient()
        finally:
            active.restore_(held)
            noise.rewind()
        return (-start * (second - first) / step).cpu()

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule remembers, as plain tensors and numbers."""
        return {**super().state_dict(), "counts": self._counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        super().load_state_dict(state)
        self._counts = state["counts"]


def _in_proportion(sizes: list[int], total: int) -> list[int]:
    """Share a total out in proportion, exactly, by largest remainders."""
    whole = sum(sizes)
    exact = [size * total / whole for size in sizes]
    counts = [int(one) for one in exact]
    order = sorted(range(len(sizes)), key=lambda i: (counts[i] - exact[i], i))
    for i in order[: total - sum(counts)]:
        counts[i] += 1
    return counts
