"""Oracles: all vectors of signs, the forward gradient along the same directions, exact one-step variances."""

import copy
import math

import numpy as np
import pytest
import torch
from small_rules import all_signs, close_on_average, estimate, exact, flat, generator, given_directions, linear, small
from torch import nn

from sparsefire.errors import UserError
from sparsefire.rules import SPSA, ForwardGradient, MeZO, TwoQuery, WeightPerturbation, spsa_rates
from sparsefire.rules.weights import WeightRule
from sparsefire.sparsity import sparsify


@pytest.mark.parametrize("scale", [1e-3, 0.1, 3.0])
def test_on_squared_loss_it_is_the_forward_gradient_along_the_same_directions(scale):
    net, x, y = linear()
    two = estimate(TwoQuery(scale=scale, directions=5, rng=generator(1)), net, x, y)
    forward = estimate(ForwardGradient(directions=5, rng=generator(1)), net, x, y)
    torch.testing.assert_close(two, forward, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("law", ["normal", "sphere", "uniform", "coordinates"])
def test_the_same_under_other_laws(law):
    net, x, y = linear()
    two = estimate(TwoQuery(scale=0.7, directions=3, law=law, rng=generator(1)), net, x, y)
    forward = estimate(ForwardGradient(directions=3, law=law, rng=generator(1)), net, x, y)
    torch.testing.assert_close(two, forward, rtol=1e-10, atol=1e-10)


def test_all_signs_together_give_the_gradient_of_the_smoothed_loss(monkeypatch):
    net, x, y = small()
    signs, scale = all_signs(9), 0.3
    given_directions(monkeypatch, TwoQuery, signs)
    found = estimate(TwoQuery(scale=scale), net, x, y)
    # E over signs s of L(θ + c s) is a function of θ; differentiated by autograd entry by entry it is smoother still,
    # so the oracle is the definition: mean of s L(θ + c s)/c
    vector = torch.cat([p.detach().flatten() for p in net.parameters()])
    twin = copy.deepcopy(net)
    total = torch.zeros(9, dtype=torch.float64)
    for one in signs:
        nn.utils.vector_to_parameters(vector + scale * one, twin.parameters())
        total += one * nn.functional.mse_loss(twin(x), y).detach() / scale
    torch.testing.assert_close(found, total / len(signs), rtol=1e-10, atol=1e-12)
    errors = []
    for size in (0.1, 0.05):
        bias = estimate(TwoQuery(scale=size), net, x, y) - exact(net, x, y)
        errors.append(float(bias.norm()))
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)  # second order


@pytest.mark.parametrize(
    "rule",
    [
        TwoQuery(scale=1e-3, directions=2, rng=0),
        TwoQuery(scale=1e-3, law="sphere", rng=0),
        TwoQuery(scale=1e-3, law="uniform", rng=0),
        WeightPerturbation(scale=1e-4, directions=2, rng=0),
        SPSA(scale=1e-3, rng=0),
        ForwardGradient(law="coordinates", rng=0),
    ],
    ids=lambda rule: f"{type(rule).__name__} {rule.law}",
)
def test_the_mean_update_is_the_gradient(rule):
    net, x, y = small()
    gradient = exact(net, x, y)
    close_on_average([estimate(rule, net, x, y) for _ in range(1500)], gradient)


@pytest.mark.parametrize(("kind", "factor"), [("sgd", 1), ("weights", 5 * 3 + 2)])
def test_one_step_risks_of_weight_perturbation_and_gradient_descent(kind, factor):
    """T10: r' = r (1 − 2a + a² F (n + 2)) + a² F m n σ² for F = 1 and nm + 2, normal directions, one sample a step."""
    n, m, sigma, steps, runs = 5, 3, 0.5, 150, 700
    rng = np.random.default_rng(3)
    risk = float(n * m) / 15
    delta = np.sqrt(risk / (n * m)) * np.ones((runs, m, n))
    expected = risk
    for k in range(steps):
        a = 1 / (k + factor * (n + 2))
        x, noise = rng.standard_normal((runs, n)), sigma * rng.standard_normal((runs, m))
        residual = np.einsum("rmn,rn->rm", delta, x) - noise
        gradient = residual[:, :, None] * x[:, None, :]
        if kind == "weights":
            u = rng.standard_normal(delta.shape)
            gradient = (gradient * u).sum((1, 2))[:, None, None] * u
        delta = delta - a * gradient
        expected = expected * (1 - 2 * a + a * a * factor * (n + 2)) + a * a * factor * m * n * sigma**2
    found = (delta**2).sum((1, 2))
    assert abs(found.mean() - expected) < 4 * found.std() / math.sqrt(runs)
    # and the package's rule takes exactly such a step: (∇L · u) u in the limit of small perturbations
    if kind == "weights":
        net, x_, y_ = linear(n)
        own = estimate(WeightPerturbation(scale=1e-7, rng=generator(8)), net, x_, y_)
        forward = estimate(ForwardGradient(law="normal", rng=generator(8)), net, x_, y_)
        torch.testing.assert_close(own, forward, rtol=1e-4, atol=1e-5)


def test_only_active_weights_are_moved_and_paid_for():
    net = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    sparsify(net, 0.4, rng=0)
    rule = TwoQuery(directions=3, rng=0)
    rule(net, nn.functional.mse_loss, torch.ones(4, 6), torch.zeros(4, 2))
    active = 16 + 7
    assert rule.budget.random_bits == 3 * active
    assert (rule.budget.samples, rule.budget.queries, rule.budget.forward_passes) == (4, 6, 6)
    from sparsefire import masks

    for parameter, mask in masks.active(net).items():
        if mask is not None:
            assert not parameter.grad[~mask].any()


@pytest.mark.parametrize("chunk", [1, 2, 100])
@pytest.mark.parametrize("kind", [TwoQuery, WeightPerturbation])
def test_chunks_only_bound_the_memory(kind, chunk):
    net, x, y = small()
    whole = estimate(kind(directions=7, rng=generator(2)), net, x, y)
    parts = estimate(kind(directions=7, rng=generator(2), chunk=chunk), net, x, y)
    torch.testing.assert_close(whole, parts, rtol=1e-9, atol=1e-11)


def test_a_loss_that_is_no_number_stops_the_rule_and_changes_nothing():
    net, x, y = small()
    net.insert(1, nn.BatchNorm1d(2).double())
    rule = TwoQuery(rng=0)
    rule(net, nn.functional.mse_loss, x, y)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    held = flat(net).clone()
    with pytest.raises(UserError, match="call 2") as caught:
        rule(net, lambda out, y: nn.functional.mse_loss(out, y) / 0, x, y)
    assert "inf" in caught.value.came
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert torch.equal(flat(net), held)
    assert rule.budget.calls == 1


def test_a_layer_that_cannot_be_batched_is_named():
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x  # control flow that depends on data

    net = nn.Sequential(nn.Linear(2, 2), Branch())
    with pytest.raises(UserError, match=r"layer '1' \(Branch\)"):
        TwoQuery(rng=0)(net, nn.functional.mse_loss, torch.ones(3, 2), torch.zeros(3, 2))
    ForwardGradient(directions=2, rng=0)(net, nn.functional.mse_loss, torch.ones(3, 2), torch.zeros(3, 2))  # one place


def test_in_place_layers_that_break_forward_differentiation_are_named():
    class Write(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("memory", torch.zeros(3, 2))

        def forward(self, x):
            self.memory.copy_(x)
            return self.memory * 1.0

    net = nn.Sequential(nn.Linear(2, 2), Write())
    with pytest.raises(UserError, match=r"layer '1' \(Write\)"):
        ForwardGradient(directions=2, rng=0)(net, nn.functional.mse_loss, torch.ones(3, 2), torch.zeros(3, 2))


def test_perturbations_of_spsa_fade_and_its_rates_too():
    net, x, y = small()
    rule = SPSA(scale=0.5, rng=0)
    assert rule._scale() == 0.5
    for _ in range(9):
        rule(net, nn.functional.mse_loss, x, y)
    assert rule._scale() == pytest.approx(0.5 / 10**0.101)
    rates = spsa_rates(10.0)
    assert rates(0) == 1
    assert rates(100) == pytest.approx((11 / 111) ** 0.602)


def test_a_state_goes_on_bit_for_bit():
    net, x, y = small()
    rule = TwoQuery(directions=2, rng=3)
    estimate(rule, net, x, y)
    state = rule.state_dict()
    after = [estimate(rule, net, x, y) for _ in range(2)]
    other = TwoQuery(directions=2, rng=99)
    other.load_state_dict(state)
    again = [estimate(other, net, x, y) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(after, again, strict=True))
    assert other.budget == rule.budget


def test_options_are_checked():
    for scale in (0, -1.0, float("inf"), float("nan")):
        with pytest.raises(UserError, match="size"):
            TwoQuery(scale=scale)
    with pytest.raises(UserError, match="fade"):
        SPSA(decay=1.0)
    frozen = nn.Linear(2, 1).requires_grad_(False)
    with pytest.raises(UserError, match="nothing to perturb"):
        TwoQuery()(frozen, nn.functional.mse_loss, torch.ones(2, 2), torch.zeros(2, 1))
    assert issubclass(TwoQuery, WeightRule)


@pytest.mark.parametrize(
    "rule", [TwoQuery(rng=0), WeightPerturbation(rng=0), MeZO(rng=0)], ids=lambda r: type(r).__name__
)
def test_a_first_layer_that_works_in_place_does_not_touch_the_batch(rule):
    net = nn.Sequential(nn.Dropout(0.5, inplace=True), nn.Linear(4, 1))
    x, y = torch.ones(6, 4), torch.zeros(6, 1)
    with torch.random.fork_rng(devices=[]):
        rule(net, nn.functional.mse_loss, x, y)
    assert torch.equal(x, torch.ones(6, 4))
