"""Oracles: plain Python calls and torch's own accumulation."""

from __future__ import annotations

from types import MappingProxyType

import pytest
import torch
from torch import nn

from sparsefire.errors import UserError
from sparsefire.rules import RULES, with_decorrelation
from sparsefire.rules.call import add_gradient_, call, scalar


def test_inputs_go_in_as_they_are() -> None:
    def net(*args: object, **kwargs: object) -> tuple:
        return args, kwargs

    x = torch.ones(2)
    assert call(net, x) == ((x,), {})
    assert call(net, (x, 3)) == ((x, 3), {})
    assert call(net, {"a": x}) == ((), {"a": x})
    assert call(net, MappingProxyType({"a": 1})) == ((), {"a": 1})
    assert call(net, [x]) == (([x],), {})  # a list is one input


def test_a_loss_is_one_number() -> None:
    assert scalar(torch.tensor([[2.5]])).shape == ()
    assert scalar(torch.tensor(2.5)).item() == 2.5
    with pytest.raises(UserError, match="one loss") as caught:
        scalar(torch.ones(3, 1))
    assert "(3, 1)" in caught.value.came
    with pytest.raises(UserError, match="one loss") as caught:
        scalar(1.0)
    assert caught.value.came == "float"


def test_gradients_accumulate_without_aliasing() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    estimate = torch.tensor([1.0, 2.0])
    add_gradient_(parameter, estimate)
    estimate.fill_(99.0)
    held = parameter.grad
    add_gradient_(parameter, torch.tensor([10.0, 20.0]))
    assert parameter.grad is held
    assert parameter.grad.tolist() == [11.0, 22.0]
    assert not parameter.grad.requires_grad


PREDICTING = ("forward-forward", "equilibrium-propagation")  # their losses are not those of net(x)
SAMPLED = ("two-query", "spsa", "one-query", "hebbian", "mezo", "sparse-mezo", "zero-order-sam")  # losses beside θ


@pytest.mark.parametrize("name", RULES)
def test_every_rule_takes_one_step_and_says_what_it_sees(name: str) -> None:
    options = {"forward-forward": {"classes": 2}, "hebbian": {"amplitude": 0.1}}
    rule = RULES[name](**options.get(name, {}))
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU() if name == "forward-forward" else nn.Tanh(), nn.Linear(4, 2))
    if name == "forward-forward":
        net.append(nn.ReLU())
    if name == "decorrelated-node-perturbation":
        net = with_decorrelation(net)
    x, y = torch.ones(4, 3) + torch.arange(4.0)[:, None] / 10, torch.tensor([0, 1, 1, 0])
    loss_fn = nn.CrossEntropyLoss(reduction="none" if rule.per_example else "mean")
    expected = loss_fn(net(x), y).mean().detach()
    loss = rule(net, loss_fn, x, y)
    assert isinstance(rule.dense_gradients, bool)
    assert loss.shape == ()
    assert not loss.requires_grad
    assert rule.budget.calls == 1
    assert rule.budget.samples == 4
    if name not in PREDICTING:
        torch.testing.assert_close(loss, expected, rtol=0.3 if name in SAMPLED else 1e-5, atol=1e-6)
    if getattr(rule, "replays", False):
        assert rule.pending
    else:
        assert all(p.grad is not None and p.grad.shape == p.shape for p in net.parameters())
