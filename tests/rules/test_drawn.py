"""A call that fails leaves a rule as if it had not been."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small_rules import normal, same_weights, squared  # noqa: F401
from torch import Tensor, nn

from sparsefire.errors import Diverged
from sparsefire.rules import (
    ActivityForwardGradient,
    NodePerturbation,
    OneQuery,
    TwoQuery,
    UnitDifferences,
    ZeroOrderSAM,
)

RULES = [
    OneQuery(directions=4, chunk=1, rng=1),
    TwoQuery(directions=4, chunk=1, rng=1),
    NodePerturbation(directions=4, rng=1),
    ActivityForwardGradient(directions=4, rng=1),
    UnitDifferences(units=2, rng=1),
    ZeroOrderSAM(directions=2, rng=1),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_the_same_noise_comes_after_a_call_that_met_nan(rule: Any) -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x, y = normal(5, 3), normal(5, 2, number=1)
    start, asked = rule.state_dict(), 0

    def loss_fn(output: Tensor, target: Tensor, breaks: bool = False) -> Tensor:
        nonlocal asked
        asked += 1
        rows = squared(output, target[: len(output)])
        rows = rows * (float("nan") if breaks and asked > 1 else 1.0)
        return rows if rule.per_example else rows.mean()

    def estimate() -> Tensor:
        net.zero_grad()
        rule(net, loss_fn, x, y)
        return torch.cat([p.grad.flatten() for p in net.parameters()])

    first = estimate()
    rule.load_state_dict(start)
    asked = 0
    with pytest.raises(Diverged):
        rule(net, lambda output, target: loss_fn(output, target, True), x, y)
    assert rule.budget.calls == 0
    torch.testing.assert_close(estimate(), first, rtol=0, atol=0)
