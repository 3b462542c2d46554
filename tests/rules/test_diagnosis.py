"""Oracles: exact variances, the eigenvalues of a quadratic loss, biases written out."""

import copy
import math

import pytest
import torch
from small_rules import exact, linear, small
from torch import nn

from sparsefire.errors import UserError
from sparsefire.rules import Backprop, ForwardGradient, MeZO, OneQuery, TwoQuery, diagnose


def test_the_gradient_itself():
    net, x, y = small()
    found = diagnose(Backprop(), net, nn.functional.mse_loss, x, y, repeats=3)
    assert found.cosine == pytest.approx(1, abs=1e-9)
    assert found.relative_variance == pytest.approx(0, abs=1e-12)
    assert found.relative_bias == {1.0: pytest.approx(0, abs=1e-12)}
    assert found.active == 9


@pytest.mark.parametrize(("law", "excess"), [("rademacher", -1), ("normal", 1)])
def test_variances_of_forward_gradients(law, excess):
    net, x, y = small()
    found = diagnose(ForwardGradient(directions=2, law=law, rng=0), net, nn.functional.mse_loss, x, y, repeats=1200)
    assert found.relative_variance == pytest.approx((9 + excess) / 2, rel=0.1)
    assert found.cosine_interval[0] < found.cosine < found.cosine_interval[1]
    assert found.cosine < found.cosine_of_mean
    assert abs(found.relative_bias[1.0]) < 0.02


def test_the_bias_grows_with_the_square_of_the_perturbation():
    net, x, y = small()
    gradient = exact(net, x, y)
    found = diagnose(TwoQuery(scale=0.1, directions=512, rng=0), net, nn.functional.mse_loss, x, y, repeats=200)
    # third order: E s (D³L[s, s, s])/6 · c², from differences along each coordinate of the smoothed gradient
    vector, scale = torch.cat([p.detach().flatten() for p in net.parameters()]), 1.0
    twin, total = copy.deepcopy(net), torch.zeros(9, dtype=torch.float64)
    from small_rules import all_signs

    for one in all_signs(9):
        nn.utils.vector_to_parameters(vector + scale * one, twin.parameters())
        total += one * nn.functional.mse_loss(twin(x), y).detach() / scale / 512
    expected = float((total - gradient).square().sum() / gradient.square().sum())
    assert found.relative_bias[10.0] == pytest.approx(expected, rel=0.1)
    assert abs(found.relative_bias[1.0]) < found.relative_bias[10.0]


def test_the_effective_rank_of_a_quadratic_loss():
    net, x, y = linear(4)
    eigenvalues = torch.linalg.eigvalsh(2 * x.T @ x / len(x))
    found = diagnose(ForwardGradient(rng=0), net, nn.functional.mse_loss, x, y, repeats=2, rng=1)
    assert found.effective_rank == pytest.approx(float(eigenvalues.sum() / eigenvalues.max()), rel=0.25)


def test_losses_that_are_linear_have_no_rank():
    net, x, y = linear(4)
    found = diagnose(ForwardGradient(rng=0), net, lambda out, y: out.mean(), x, y, repeats=2)
    assert math.isnan(found.effective_rank)


def test_network_rule_and_generators_are_left_alone():
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    x, y = torch.randn(6, 4), torch.randn(6, 1)
    net[0].weight.grad = torch.ones_like(net[0].weight)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    rule, state = OneQuery(rng=0), torch.get_rng_state()
    diagnose(rule, net, nn.functional.mse_loss, x, y, repeats=5, rng=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert rule.budget.calls == 0
    assert rule._baseline.value is None
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(net[0].weight.grad, torch.ones_like(net[0].weight))
    assert net[3].weight.grad is None


def test_it_prints_what_it_found():
    net, x, y = small()
    text = str(diagnose(TwoQuery(rng=0), net, nn.functional.mse_loss, x, y, repeats=20))
    assert "TwoQuery · 9 active parameters · 20 estimates" in text
    assert "at 10×" in text


def test_wrong_use_is_told():
    net, x, y = small()
    with pytest.raises(UserError, match="leaves no gradient"):
        diagnose(MeZO(), net, nn.functional.mse_loss, x, y)
    with pytest.raises(UserError, match="at least two"):
        diagnose(TwoQuery(), net, nn.functional.mse_loss, x, y, repeats=1)
    with pytest.raises(UserError, match="gradient of zero"):
        diagnose(TwoQuery(), net, lambda out, y: (0 * out).sum(), x, y)
