"""Sharpness-aware minimisation whose way up is found without a derivative.

ZO-SAM, arXiv:2603.13115 (an ascent by random differences, a descent by the gradient); the way down and the radius as in
P. Foret, A. Kleiner, H. Mobahi, B. Neyshabur, 2021. arXiv:2010.01412
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.active import Active
from sparsefire.rules.asking import Batch, fitting, losses_at
from sparsefire.rules.backprop import Backprop
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction, Rule, finite, rows_of
from sparsefire.rules.directions import bits, check_count, check_law, draw, generator_of
from sparsefire.rules.drawn import undone_on_failure
from sparsefire.rules.quiet import SameNoise
from sparsefire.rules.weights import check_scale


@dataclass(eq=False)
class ZeroOrderSAM:
    """Estimate the gradient at θ + ρ ĝ/‖ĝ‖, where ĝ is a two-query estimate of the gradient at θ.

    The way up costs 2m losses and no backward pass; the gradient there is exact by default, so that a step needs one
    backward pass where SAM needs two. It returns the mean of the losses around θ; running statistics of norm layers
    move once, by what they see at the moved weights. Another rule in its place makes it free of derivatives altogether.

    Args:
        radius: ρ.
        directions: m, of the estimate.
        scale: perturbation of the estimate.
        law: of the directions.
        descent: the rule that is asked at the moved weights.
        rng: draws the directions.

    >>> net = nn.Linear(3, 1)
    >>> rule = ZeroOrderSAM(rng=0)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> rule.budget.queries
    3
    """

    radius: float = 0.05
    directions: int = 1
    scale: float = 1e-3
    law: str = "normal"
    descent: Rule = field(default_factory=Backprop)
    rng: Any = None
    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    per_example: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_count(self.directions)
        check_law(self.law)
        check_scale(self.scale)
        if not self.radius > 0:
            raise UserError("the way up has a length.", came=f"radius={self.radius!r}", expected="a number above 0")
        if getattr(self.descent, "replays", False):
            raise UserError(
                f"{type(self.descent).__name__} leaves no gradient to step along.", came="a rule that replays"
            )
        if self.descent.per_example:
            raise UserError(
                "the way up reads one loss for the batch, and the rule for the way down one per row.",
                came=type(self.descent).__name__,
                expected="a rule that reads scalar losses",
            )
        self._generator = generator_of(self.rng)

    @property
    def dense_gradients(self) -> bool:
        """Whether absent weights get a gradient: as of the rule for the way down."""
        return self.descent.dense_gradients

    @undone_on_failure
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        active, noise = Active(net), SameNoise(net)
        batch = Batch(net, loss_fn, x, y, active)
        up, losses = self._estimate(batch, noise)
        held, start = active.copy(), active.vector()
        before = self.descent.budget.queries, self.descent.budget.forward_passes, self.descent.budget.random_bits
        noise.rewind()
        try:
            active.write_(start + up * (self.radius / up.norm().clamp_min(torch.finfo(up.dtype).tiny)))
            self.descent(net, loss_fn, x, y)
        finally:
            active.restore_(held)
        now = self.descent.budget
        self.budget.add(
            rows_of(x),
            losses.numel() + now.queries - before[0],
            losses.numel() + now.forward_passes - before[1],
            bits(self.law, self.directions, active.size) + now.random_bits - before[2],
        )
        return losses.mean()

    def _estimate(self, batch: Batch, noise: SameNoise) -> tuple[Tensor, Tensor]:
        """Return the sum of the directions by their slopes [N], and the losses read, as many at once as fit."""
        active, size = batch.active, fitting(batch.active, batch.x)
        up, read = torch.zeros(active.size, dtype=active.dtype, device=active.device), []
        for begin in range(0, self.directions, size):
            count = min(size, self.directions - begin)
            directions = draw(self.law, count, active.size, self._generator, active.dtype)
            noise.rewind()
            above, below = finite(losses_at(batch, directions, (self.scale, -self.scale)), self.budget).to(up)
            up += ((above - below) / (2 * self.scale)) @ directions.to(up.device)
            read += [above, below]
        return up, torch.cat(read)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule and the one inside remember."""
        inside = self.descent.state_dict() if hasattr(self.descent, "state_dict") else {}
        return {"generator": self._generator.get_state(), "budget": self.budget.state_dict(), "descent": inside}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        self._generator.set_state(state["generator"])
        self.budget.load_state_dict(state["budget"])
        if state["descent"]:
            self.descent.load_state_dict(state["descent"])  # type: ignore[attr-defined]
