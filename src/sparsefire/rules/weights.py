"""The engine of rules that perturb weights: directions, queries along them, and a sum of directions.

A rule of this kind is its law of directions and one function: what the losses (or slopes) along the directions say
about each of them. Its estimate is

    g = (1/K) Σₖ cₖ s(uₖ)

where cₖ comes from the queries and s is the direction itself unless a rule shapes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.active import Active
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction, finite, refuse_dense_request, rows_of
from sparsefire.rules.directions import bits, check_count, check_law, draw, generator_of
from sparsefire.rules.quiet import SameNoise, settle


@dataclass(eq=False)
class WeightRule:
    """What rules that perturb weights share: one vector of active weights, directions, a budget, a state.

    Args:
        directions: K, at least 1.
        law: of the directions, see :func:`~sparsefire.rules.directions.draw`.
        rng: draws them; see :func:`~sparsefire.rules.directions.generator_of`.
        chunk: directions evaluated at once; None takes as many as fit into 256 MiB. It does not change the result.
    """

    directions: int = 1
    law: str = "rademacher"
    rng: Any = None
    chunk: int | None = None
    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    dense_gradients: ClassVar[bool] = False
    per_example: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_count(self.directions)
        check_law(self.law)
        if self.chunk is not None and self.chunk < 1:
            raise UserError("a chunk holds at least one direction.", came=f"chunk={self.chunk}")
        self._generator = generator_of(self.rng)

    @torch.no_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        refuse_dense_request(net, type(self).__name__)
        active, noise = self._active(net), SameNoise()
        directions = self._draw(active)
        weights, loss, queries, passes = self._ask(net, loss_fn, x, y, active, directions)
        active.add_gradient_(self._estimate(weights.to(active.dtype), directions, active))
        settle(net, x, noise)
        self.budget.add(rows_of(x), queries, passes, self._bits(active))
        return loss

    def _active(self, net: nn.Module) -> Active:
        return Active(net)

    def _draw(self, active: Active) -> Tensor:
        """Return the directions, [K, active weights]."""
        return draw(self.law, self.directions, active.size, self._generator, active.dtype)

    def _bits(self, active: Active) -> int:
        return bits(self.law, self.directions, active.size)

    def _estimate(self, weights: Tensor, directions: Tensor, active: Active) -> Tensor:
        """Return the sum of directions by their weights, over K."""
        return weights @ self._shape(directions).to(active.device) / len(directions)

    def _shape(self, directions: Tensor) -> Tensor:
        """Return what enters the update in place of the directions."""
        return directions

    def _ask(
        self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any, active: Active, directions: Tensor
    ) -> tuple[Tensor, Tensor, int, float]:
        """Return the weight of each direction [K], the loss that is reported, and queries and passes used."""
        raise NotImplementedError

    def _finite(self, losses: Tensor) -> Tensor:
        return finite(losses, self.budget)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule remembers, as plain tensors and numbers."""
        return {"generator": self._generator.get_state(), "budget": self.budget.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        self._generator.set_state(state["generator"])
        self.budget.load_state_dict(state["budget"])


def check_scale(scale: float) -> None:
    """Raise when a perturbation has no size."""
    if not (isinstance(scale, int | float) and 0 < scale < float("inf")):
        raise UserError("a perturbation needs a size.", came=f"scale={scale!r}", expected="a number above 0")
