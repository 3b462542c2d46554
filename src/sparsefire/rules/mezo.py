"""Two losses with the memory of inference: perturb in place, remember a number and a key, draw the noise again.

S. Malladi, T. Gao, E. Nichani, A. Damian, J. D. Lee, D. Chen, S. Arora. Fine-tuning language models with just forward
passes, NeurIPS 2023. arXiv:2305.17333
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire import randomness
from sparsefire.errors import UserError
from sparsefire.rules.active import Active
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction, call, finite, refuse_dense_request, rows_of, scalar
from sparsefire.rules.directions import bits, check_count
from sparsefire.rules.quiet import SameNoise, frozen_statistics, own_inputs, settle, with_statistics
from sparsefire.rules.replayed_noise import Place, add_noise_, add_noise_from_, check_replayed, places_of
from sparsefire.rules.weights import check_scale


@dataclass(frozen=True)
class Step:
    """What one direction said: its key and the slope along it, over the number of directions."""

    key: int
    slope: float


@dataclass(eq=False)
class MeZO:
    """Read L(θ + c z) and L(θ − c z) in place and keep the slope [L₊ − L₋]/(2c) and the key of z.

    It leaves no ``.grad``: :class:`ReplaySGD` draws z again and steps. Memory is that of a forward pass. Weights come
    back after a call up to the rounding of three additions, which adds up over calls: 4e-5 of their norm after 500
    calls in float32, and 6% in bfloat16, whose last digit is not far below c.

    Args:
        scale: c.
        directions: K; their slopes are averaged.
        law: ``"normal"`` as published, or ``"rademacher"``, whose noise is many times cheaper.
        rng: keys of the directions.

    >>> net = nn.Linear(3, 1)
    >>> rule = MeZO(rng=0); optimizer = ReplaySGD(net.parameters(), rule, lr=0.1)
    >>> for _ in range(100):
    ...     loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    ...     optimizer.step(); optimizer.zero_grad()
    >>> bool(loss < 1e-3), net.weight.grad is None
    (True, True)
    """

    scale: float = 1e-3
    directions: int = 1
    law: str = "normal"
    rng: Any = None
    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    pending: list[Step] = field(default_factory=list, init=False, repr=False)
    dense_gradients: ClassVar[bool] = False
    per_example: ClassVar[bool] = False
    replays: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_scale(self.scale)
        check_count(self.directions)
        check_replayed(self.law)
        self._key = randomness.integer(self.rng, "mezo")
        self.parts: list[Place] = []

    @torch.no_grad()
    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        refuse_dense_request(net, type(self).__name__)
        active = self._active(net)
        self.parts = places_of(active.parameters, active.places)
        noise, steps, seen = SameNoise(net), [], []
        with frozen_statistics(net):
            for number in range(self.directions):
                key = randomness.integer(self._key, self.budget.calls, number)
                above, below = self._ask(lambda: scalar(loss_fn(call(net, own_inputs(net, x)), y)), key, noise)
                finite(torch.stack([above, below]), self.budget)
                steps.append(Step(key, float(above - below) / (2 * self.scale * self.directions)))
                seen += [above, below]
        self.pending += steps
        settle(net, x, noise)
        asked = 2 * self.directions
        passes = asked + bool(with_statistics(net))
        self.budget.add(rows_of(x), asked, passes, bits(self.law, self.directions, active.size))
        return torch.stack(seen).mean()

    def _active(self, net: nn.Module) -> Active:
        return Active(net)

    def _ask(self, loss: Callable[[], Tensor], key: int, noise: SameNoise) -> tuple[Tensor, Tensor]:
        """Return the losses on both sides; the weights are back even when a pass fails."""
        offset, found = 0.0, []
        try:
            for side in (1.0, -1.0):
                add_noise_(self.parts, key, side * self.scale - offset, self.law)
                offset = side * self.scale
                noise.rewind()
                found.append(loss())
        finally:
            add_noise_(self.parts, key, -offset, self.law)
        return found[0], found[1]

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule remembers, as plain numbers."""
        return {
            "key": self._key,
            "budget": self.budget.state_dict(),
            "pending": [(step.key, step.slope) for step in self.pending],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        self._key = state["key"]
        self.budget.load_state_dict(state["budget"])
        self.pending[:] = [Step(*one) for one in state["pending"]]


class ReplaySGD(torch.optim.Optimizer):
    """Plain SGD along directions that are drawn again: θ ← (1 − lr·decay) θ − lr Σ slope · z(key).

    ``step`` uses what the rule has gathered since the last ``zero_grad``, so gradient accumulation works as elsewhere.
    Learning-rate schedulers do too. Masks may not move between the call and the step.

    Args:
        params: of the network, or groups with rates of their own.
        rule: a :class:`MeZO`.
        lr: rate.
        weight_decay: decoupled, on parameters that the rule perturbs.

    Raises:
        UserError: a rule that leaves gradients.
    """

    def __init__(self, params: Iterable[Any], rule: MeZO, lr: float, weight_decay: float = 0.0) -> None:
        if not getattr(rule, "replays", False):
            raise UserError(
                f"{type(rule).__name__} leaves gradients, which any optimizer takes.",
                came=f"a rule {type(rule).__name__}",
                expected="MeZO or SparseMeZO",
            )
        if lr < 0 or weight_decay < 0:
            raise UserError("rates are not negative.", came=f"lr={lr!r}, weight_decay={weight_decay!r}")
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay})
        self.rule = rule

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Draw the directions again and step along them."""
        loss = None if closure is None else closure()
        group_of = {id(parameter): group for group in self.param_groups for parameter in group["params"]}
        if self.rule.pending and not self.rule.parts:
            raise UserError(
                "these directions were drawn for a network that the rule has not seen since it was loaded.",
                came=f"{len(self.rule.pending)} directions without their parameters",
                expected="a checkpoint between a step and the next call",
            )
        for parameter, _ in self.rule.parts if self.rule.pending else ():
            group = group_of.get(id(parameter))
            if group is not None and group["weight_decay"]:
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
        rates = [
            group_of[id(parameter)]["lr"] if id(parameter) in group_of else 0.0  # frozen since
            for parameter, _ in self.rule.parts
        ]
        for one in self.rule.pending:
            first = 0
            for (parameter, place), rate in zip(self.rule.parts, rates, strict=True):
                if rate:
                    add_noise_from_((parameter, place), one.key, first, -rate * one.slope, self.rule.law)
                first += parameter.numel() if place is None else len(place)
        return loss

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget what has been gathered."""
        super().zero_grad(set_to_none)
        self.rule.pending.clear()
