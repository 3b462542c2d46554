"""Oracles: plain Python calls and torch's own accumulation."""

from __future__ import annotations

from types import MappingProxyType

import pytest
import torch
from torch import nn

from sparsefire.errors import UserError
from sparsefire.rules import RULES
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


@pytest.mark.parametrize("name", RULES)
def test_every_rule_takes_one_step_and_says_what_it_sees(name: str) -> None:
    rule = RULES[name]()
    net = nn.Linear(3, 1)
    loss = rule(net, nn.functional.mse_loss, torch.ones(4, 3), torch.zeros(4, 1))
    assert isinstance(rule.dense_gradients, bool)
    assert loss.shape == ()
    assert not loss.requires_grad
    torch.testing.assert_close(loss, nn.functional.mse_loss(net(torch.ones(4, 3)), torch.zeros(4, 1)).detach())
    assert all(p.grad is not None and p.grad.shape == p.shape for p in net.parameters())
