"""Several steps on the same sample: forward gradient descent with repeated sampling, FGD(l), and with any other rule.

N. Dexheimer, J. Schmidt-Hieber. Improving the convergence rates of forward gradient descent with repeated sampling,
2024. arXiv:2411.17567
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.active import Active
from sparsefire.rules.budget import Budget
from sparsefire.rules.call import LossFunction, Rule, refuse_dense_request
from sparsefire.rules.forward_gradient import ForwardGradient
from sparsefire.rules.quiet import SameNoise, frozen_statistics, settle


@dataclass(eq=False)
class Repeated:
    """Take l steps of size α on one batch, each with fresh noise, and leave their sum over α in ``.grad``.

    With plain SGD at rate α the weights end where the l steps end: this is FGD(l) for a forward gradient. In linear
    regression its prediction error exceeds that of exact gradients by the factor d/min(l, d) in place of d: (d + l +
    1)/l for normal inputs. It buys samples, not queries. Under another optimizer the estimate is that of a direction.

    Args:
        rule: what is repeated; it must leave gradients.
        times: l, at least 1.
        step: α, the size of the steps inside the call; the rate of the optimizer, if it is to be FGD(l).

    >>> net = nn.Linear(3, 1, bias=False)
    >>> rule = Repeated(ForwardGradient(rng=0), times=3, step=0.1)
    >>> loss = rule(net, nn.functional.mse_loss, torch.ones(5, 3), torch.zeros(5, 1))
    >>> rule.budget.calls, rule.budget.samples, rule.budget.queries
    (1, 5, 3)
    """

    rule: Rule = field(default_factory=ForwardGradient)
    times: int = 10
    step: float = 1e-2
    budget: Budget = field(default_factory=Budget, init=False, repr=False)
    dense_gradients: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.times < 1 or not self.step > 0:
            raise UserError(
                "a rule is repeated at least once, with a step.",
                came=f"times={self.times!r}, step={self.step!r}",
                expected="times of 1 or more, a step above 0",
            )
        if getattr(self.rule, "replays", False):
            raise UserError(f"{type(self.rule).__name__} leaves no gradient to repeat.", came="a rule that replays")

    @property
    def per_example(self) -> bool:
        """Whether losses are one per row: as of the rule inside."""
        return self.rule.per_example

    def __call__(self, net: nn.Module, loss_fn: LossFunction, x: Any, y: Any) -> Tensor:
        refuse_dense_request(net, type(self).__name__)
        active, noise = Active(net), SameNoise(net)
        held, start = active.copy(), active.vector()
        gradients = {name: parameter.grad for name, parameter in active.parameters.items()}
        spent = Budget(**self.rule.budget.state_dict())  # type: ignore[arg-type]
        losses = []
        try:
            with frozen_statistics(net):
                for _ in range(self.times):
                    for parameter in active.parameters.values():
                        parameter.grad = None
                    noise.rewind()
                    with torch.enable_grad():
                        losses.append(self.rule(net, loss_fn, x, y))
                    active.write_(active.vector() - self.step * active.gradient())
            moved = active.vector()
        finally:
            active.restore_(held)
            for name, parameter in active.parameters.items():
                parameter.grad = gradients[name]
        active.add_gradient_((start - moved) / self.step)
        settle(net, x, noise)
        now = self.rule.budget
        self.budget.add(
            (now.samples - spent.samples) // self.times,
            now.queries - spent.queries,
            now.forward_passes - spent.forward_passes,
            now.random_bits - spent.random_bits,
        )
        return losses[0]

    def state_dict(self) -> dict[str, Any]:
        """Return what the rule and the one inside remember."""
        inside = self.rule.state_dict() if hasattr(self.rule, "state_dict") else {}
        return {"rule": inside, "budget": self.budget.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from where such a state was taken."""
        self.budget.load_state_dict(state["budget"])
        if state["rule"]:
            self.rule.load_state_dict(state["rule"])  # type: ignore[attr-defined]
