"""Oracles: the gradient at the moved weights by autograd, SAM itself where the way up is exact."""

import copy

import pytest
import torch
from small_rules import estimate, exact, generator, small
from torch import nn

from sparsefire.errors import UserError
from sparsefire.rules import Backprop, TwoQuery, ZeroOrderSAM


def test_it_is_the_gradient_where_the_estimate_points():
    net, x, y = small()
    up = estimate(TwoQuery(scale=1e-3, directions=2, law="normal", rng=generator(1)), net, x, y)
    twin = copy.deepcopy(net)
    start = torch.cat([p.detach().flatten() for p in net.parameters()])
    nn.utils.vector_to_parameters(start + 0.05 * up / up.norm(), twin.parameters())
    found = estimate(ZeroOrderSAM(directions=2, rng=generator(1)), net, x, y)
    torch.testing.assert_close(found, exact(twin, x, y), rtol=1e-8, atol=1e-10)
    assert torch.equal(torch.cat([p.detach().flatten() for p in net.parameters()]), start)


def test_with_many_directions_it_is_sam():
    net, x, y = small()
    gradient, twin = exact(net, x, y), copy.deepcopy(net)
    start = torch.cat([p.detach().flatten() for p in net.parameters()])
    nn.utils.vector_to_parameters(start + 0.05 * gradient / gradient.norm(), twin.parameters())
    found = estimate(ZeroOrderSAM(directions=20_000, law="rademacher", rng=1), net, x, y)
    torch.testing.assert_close(found, exact(twin, x, y), rtol=2e-2, atol=1e-3)


def test_another_rule_may_lead_down_and_both_are_paid_for():
    net, x, y = small()
    rule = ZeroOrderSAM(directions=3, descent=TwoQuery(directions=2, rng=1), rng=0)
    estimate(rule, net, x, y)
    assert rule.budget.queries == 6 + 4
    assert rule.budget.samples == 5
    assert not rule.dense_gradients
    assert ZeroOrderSAM().dense_gradients
    plain = ZeroOrderSAM(directions=3, rng=0)
    estimate(plain, net, x, y)
    assert (plain.budget.queries, plain.budget.forward_passes) == (7, 9)


def test_dropout_is_the_same_up_and_down():
    net = nn.Sequential(nn.Linear(4, 30), nn.Dropout(0.5), nn.Linear(30, 1)).double()
    x, y = torch.randn(6, 4, dtype=torch.float64), torch.randn(6, 1, dtype=torch.float64)
    twin = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(2)
        ZeroOrderSAM(radius=1e-12, rng=0)(net, nn.functional.mse_loss, x, y)
        after = torch.get_rng_state()
        torch.random.default_generator.manual_seed(2)
        Backprop()(twin, nn.functional.mse_loss, x, y)
        assert torch.equal(after, torch.get_rng_state())
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-9)


def test_weights_are_back_after_an_error_and_options_are_checked():
    net, x, y = small()
    start = [p.detach().clone() for p in net.parameters()]
    with pytest.raises(UserError, match="not a number"):
        ZeroOrderSAM(rng=0)(net, lambda out, y: (out - y).mean() * torch.nan, x, y)
    assert all(torch.equal(p, s) for p, s in zip(net.parameters(), start, strict=True))
    with pytest.raises(UserError, match="length"):
        ZeroOrderSAM(radius=0)


def test_a_state_goes_on():
    net, x, y = small()
    rule, other = ZeroOrderSAM(rng=1), ZeroOrderSAM(rng=2)
    estimate(rule, net, x, y)
    other.load_state_dict(rule.state_dict())
    assert torch.equal(estimate(rule, net, x, y), estimate(other, net, x, y))


def test_how_many_directions_are_asked_at_once_changes_nothing(monkeypatch):
    from sparsefire.rules import zero_order_sam as room

    net, x, y = small()
    rules = [ZeroOrderSAM(directions=5, rng=1) for _ in range(2)]
    together = estimate(rules[0], net, x, y)
    monkeypatch.setattr(room, "fitting", lambda active, x: 2)
    torch.testing.assert_close(estimate(rules[1], net, x, y), together, rtol=1e-10, atol=1e-12)
    assert rules[0].budget == rules[1].budget
