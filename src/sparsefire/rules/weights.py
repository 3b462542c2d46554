"""The engine of rules that perturb weights: directions, queries along them, and a sum of directions.

A rule of this kind is its law of directions and one function: what the losses (or slopes) along the directions say
about each of them. Its estimate is

    g = (1/K) Σₖ cₖ s(uₖ)

where cₖ comes from the queries and s is the direction itself unless a rule shapes it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.active import Active
from sparsefire.rules.asking import Batch, fitting
from sparsefire.rules.call import LossFunction, finite, refuse_dense_request, rows_of
from sparsefire.rules.directions import bits, check_count, check_law, draw, generator_of
from sparsefire.rules.drawn import Drawn, undone_on_failure
from sparsefire.rules.quiet import SameNoise, settle, with_statistics


@dataclass(eq=False)
class WeightRule(Drawn):
    """What rules that perturb weights share: one vector of active weights, directions, a budget, a state.

    Args:
        directions: K, at least 1.
        law: of the directions, see :func:`~sparsefire.rules.directions.draw`.
        rng: draws them; see :func:`~sparsefire.rules.directions.generator_of`.
        chunk: directions evaluated at once; None takes as many as fit into 64 MiB, and 16 MiB for
            sparse chains. The result does not depend on
            it but for rounding.
    """

    directions: int = 1
    law: str = "rademacher"
    rng: Any = None
    chunk: int | None = None
    dense_gradients: ClassVar[bool] = False
    per_example: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_count(self.directions)
        check_law(self.law)
        if self.chunk is not None and self.chunk < 1:
            raise UserError("a chunk holds at least one direction.", came=f"chunk={self.chunk}")
        self._generator = generator_of(self.rng)

    @undone_on_failure
    @torch.no_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        refuse_dense_request(net, type(self).__name__)
        batch, noise = Batch(net, loss_fn, x, y, self._active(net)), SameNoise(net)
        estimate, loss, queries = self._estimate(batch)
        batch.active.add_gradient_(estimate)
        settle(net, x, noise)
        passes = self._passes(queries) + bool(with_statistics(net))
        self.budget.add(rows_of(x), queries, passes, self._bits(batch.active))
        return loss

    def _estimate(self, batch: Batch) -> tuple[Tensor, Tensor, int]:
        """Return the mean of the directions by their weights [N], the loss to report, and how many were read."""
        noise, count, queries, losses = SameNoise(batch.net), 0, self._begin(batch), []
        total = torch.zeros(batch.active.size, dtype=batch.active.dtype, device=batch.active.device)
        for directions in self._blocks(batch):
            noise.rewind()
            weights, loss, asked = self._ask(batch, directions)
            shaped = self._shape(directions).to(total.device)
            total.addmv_(shaped.T, weights.to(total))
            losses.append(loss * len(directions))
            count, queries = count + len(directions), queries + asked
        return total / count, torch.stack(losses).sum() / count, queries

    def _active(self, net: nn.Module) -> Active:
        return Active(net)

    def _blocks(self, batch: Batch) -> Iterator[Tensor]:
        """Yield the directions, [some, active weights] at a time; how many does not change what is drawn."""
        size = self.chunk or fitting(batch.active, batch.x)
        for begin in range(0, self.directions, size):
            count = min(size, self.directions - begin)
            yield draw(self.law, count, batch.active.size, self._generator, batch.active.dtype)

    def _bits(self, active: Active) -> int:
        return bits(self.law, self.directions, active.size)

    def _passes(self, queries: int) -> float:
        return queries

    def _begin(self, batch: Batch) -> int:
        """Ask what is asked once per call, and return how many losses that took."""
        return 0

    def _shape(self, directions: Tensor) -> Tensor:
        """Return what enters the update in place of the directions."""
        return directions

    def _ask(self, batch: Batch, directions: Tensor) -> tuple[Tensor, Tensor, int]:
        """Return the weight of each direction [K], their mean loss to report, and how many losses were read."""
        raise NotImplementedError

    def _finite(self, losses: Tensor) -> Tensor:
        return finite(losses, self.budget)


def check_scale(scale: float) -> None:
    """Raise when a perturbation has no size."""
    if not (isinstance(scale, int | float) and 0 < scale < float("inf")):
        raise UserError("a perturbation needs a size.", came=f"scale={scale!r}", expected="a number above 0")
