"""Oracles: quadrature of the Hebbian mean step, exact constants of the one-query linear model, sums over all signs."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate
from small_rules import all_signs, close_on_average, estimate, exact, generator, given_directions, linear, small
from torch import nn

from sparsefire.errors import Diverged, UserError
from sparsefire.rules import Hebbian, OneQuery
from sparsefire.rules.baseline import BASELINES, Baseline
from sparsefire.rules.hebbian import kappa


def test_all_signs_together_give_the_smoothed_gradient_whatever_the_baseline(monkeypatch):
    net, x, y = linear()
    gradient = exact(net, x, y)
    given_directions(monkeypatch, OneQuery, all_signs(4))
    for scale in (0.1, 1.0):  # quadratic: smoothing leaves the gradient
        found = estimate(OneQuery(scale=scale, baseline="none"), net, x, y)
        torch.testing.assert_close(found, gradient, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("antithetic", [False, True])
def test_the_mean_update_is_the_gradient(baseline, antithetic):
    net, x, y = linear(3)
    rule = OneQuery(scale=0.5, baseline=baseline, directions=4, antithetic=antithetic, rng=1)
    estimate(rule, net, x, y)  # the first baseline is the clean loss
    close_on_average([estimate(rule, net, x, y) for _ in range(3000)], exact(net, x, y), errors=4.5)


def test_mirrored_directions_cancel_even_terms():
    net, x, y = linear(3)
    plain = OneQuery(scale=0.5, baseline="none", directions=2, rng=generator(1), antithetic=True)
    from sparsefire.rules import TwoQuery

    two = TwoQuery(scale=0.5, directions=1, rng=generator(1))
    torch.testing.assert_close(estimate(plain, net, x, y), estimate(two, net, x, y), rtol=1e-10, atol=1e-10)
    assert plain.budget.random_bits == 3


@pytest.mark.parametrize(("baseline", "constant"), [("none", 3), ("previous", 4), ("running-mean", 2)])
def test_the_constants_of_the_one_query_linear_model(baseline, constant):
    """T2: d = 5, σ = 1, c² = 1/d, αₖ = 1/(k + 6d²): k r/(σ²d²) tends to 3, 4 or 2."""
    d, steps, runs = 5, 4000, 800
    rng = np.random.default_rng(4)
    scale = math.sqrt(1 / d)
    delta = np.ones((runs, d)) / math.sqrt(d)
    baselines = [Baseline(baseline) for _ in range(1)]
    value = np.full(runs, 2.0)
    for k in range(1, steps + 1):
        u = rng.integers(0, 2, (runs, d)) * 2 - 1.0
        z = (rng.standard_normal(runs) - np.einsum("rd,rd->r", rng.standard_normal((runs, d)), delta + scale * u)) ** 2
        b = 0.0 if baseline == "none" else value
        delta = delta - (1 / (k + 6 * d * d)) / (2 * scale) * (z - b)[:, None] * u
        value = z if baseline == "previous" else value + baselines[0].rate * (z - value)
    found = (steps + 6 * d * d) * (delta**2).sum(1) / d**2
    assert abs(found.mean() - constant) < 0.1 * constant + 4 * found.std() / math.sqrt(runs)


def test_baselines_are_what_they_say():
    losses = torch.tensor([3.0, 1.0, 4.0], dtype=torch.float64)
    assert Baseline("none").advantages(losses).tolist() == [3, 1, 4]
    previous = Baseline("previous")
    assert previous.waits
    previous.value = 2.0
    assert previous.advantages(losses).tolist() == [1, -2, 3]
    assert previous.value == 4
    mean = Baseline("running-mean", 0.5)
    mean.value = 2.0
    assert mean.advantages(losses).tolist() == [1, -1.5, 2.25]
    assert mean.value == 2.875
    previous.value = 2.0
    assert previous.advantages(losses[[0, 1, 2, 0]], together=2).tolist() == [1, -1, 3, 2]


def test_the_rule_uses_the_losses_in_order(monkeypatch):
    net, x, y = linear(2)
    vectors = torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    given_directions(monkeypatch, OneQuery, vectors)
    rule = OneQuery(scale=0.5, baseline="previous")

    def loss_at(shift):
        return nn.functional.mse_loss(x @ (net.weight[0].detach() + shift), y[:, 0])

    found = estimate(rule, net, x, y)
    z = [loss_at(0.5 * one) for one in vectors]
    base = loss_at(torch.zeros(2))
    expected = ((z[0] - base) * vectors[0] + (z[1] - z[0]) * vectors[1]) / 0.5 / 2
    torch.testing.assert_close(found, expected.detach(), rtol=1e-10, atol=1e-12)
    assert rule.budget.queries == 3
    again = estimate(rule, net, x, y)
    expected = ((z[0] - z[1]) * vectors[0] + (z[1] - z[0]) * vectors[1]) / 0.5 / 2
    torch.testing.assert_close(again, expected.detach(), rtol=1e-10, atol=1e-12)
    assert rule.budget.queries == 5


def test_a_trace_credits_earlier_directions(monkeypatch):
    net, x, y = linear(2)
    vectors = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    given_directions(monkeypatch, OneQuery, vectors)
    plain = estimate(OneQuery(scale=0.5, baseline="none"), net, x, y)
    rule = OneQuery(scale=0.5, baseline="none", trace=0.5)
    torch.testing.assert_close(estimate(rule, net, x, y), plain)
    torch.testing.assert_close(estimate(rule, net, x, y), 1.5 * plain)
    torch.testing.assert_close(estimate(rule, net, x, y), 1.75 * plain)
    other = nn.Linear(3, 1, bias=False).double()
    given_directions(monkeypatch, OneQuery, torch.ones(1, 3, dtype=torch.float64))
    with pytest.raises(UserError, match="other weights"):
        rule(other, nn.functional.mse_loss, torch.ones(2, 3, dtype=torch.float64), torch.ones(2, 1).double())


@pytest.mark.parametrize(
    ("baseline", "factor"),
    [("none", 1.0), ("previous", 1 - 0.9), ("running-mean", 1 - 0.02 * 0.9 / (1 - 0.9 * (1 - 0.02)))],
)
def test_a_trace_shortens_the_mean_as_it_says(baseline, factor):
    net, x = nn.Linear(3, 1, bias=False).double(), torch.ones(1, 3, dtype=torch.float64)
    rule, found = OneQuery(scale=1.0, baseline=baseline, trace=0.9, directions=4000, rng=1), []
    rule(net, lambda out, y: out.mean(), x, None)  # a linear loss with gradient (1, 1, 1), and a first baseline
    for _ in range(20):
        net.zero_grad()
        rule(net, lambda out, y: out.mean(), x, None)
        found.append(net.weight.grad[0].clone())
    close_on_average(found, torch.full((3,), factor, dtype=torch.float64), errors=4.5)


# the Hebbian rule


@pytest.mark.parametrize(
    ("amplitude", "value", "second"),
    [
        (0.1, 0.0066733357, 0.0133600254), (0.5, 0.1708707084, 0.3504023872),
        (1.0, 0.7357588823, 1.6268604078), (2.0, 3.8975309743, 11.6449585986),
    ],
)  # fmt: skip
def test_kappa_and_the_second_moment_of_the_shape(amplitude, value, second):
    assert kappa(amplitude) == pytest.approx(value, rel=1e-7)
    assert math.sinh(2 * amplitude) / amplitude - 2 == pytest.approx(second, rel=1e-8)
    assert kappa(0.0199999) == pytest.approx(kappa(0.0200001), rel=1e-4)


@pytest.mark.parametrize("amplitude", [0.1, 0.5, 1.0, 2.0])
def test_the_mean_step_is_a_smoothed_gradient(amplitude):
    """T1 by quadrature: E L(θ + U)(e^U − e^−U) = κ(A) E L'(θ + V), V with density ∝ (e^A − e^−v)(e^A − e^v)."""
    theta, a = 0.3, amplitude

    def loss(t):
        return math.sin(2 * t) + t**4

    def slope(t):
        return 2 * math.cos(2 * t) + 4 * t**3

    left = integrate.quad(lambda u: loss(theta + u) * 2 * math.sinh(u) / (2 * a), -a, a, epsabs=1e-14)[0]

    def density(v):
        return (math.exp(a) - math.exp(-v)) * (math.exp(a) - math.exp(v))

    whole = integrate.quad(density, -a, a, epsabs=1e-15)[0]
    right = kappa(a) * integrate.quad(lambda v: slope(theta + v) * density(v) / whole, -a, a, epsabs=1e-15)[0]
    assert left == pytest.approx(right, rel=1e-10)


def test_the_rule_itself_has_that_mean():
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.theta = nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64))

        def forward(self, x):
            return self.theta

    def loss(out, y):
        return torch.sin(2 * out[0]) * out[1] + out[0] ** 4

    net, rule, a = One(), Hebbian(amplitude=1.0, directions=4000, rng=3, baseline="running-mean"), 1.0
    found = []
    for _ in range(10):
        net.zero_grad()
        rule(net, loss, torch.zeros(1), None)
        found.append(net.theta.grad.clone())

    def mean(which):
        f = lambda v, u: (math.sin(2 * (0.3 + u)) * (-0.2 + v) + (0.3 + u) ** 4) * 2 * math.sinh((u, v)[which])  # noqa: E731
        return integrate.dblquad(f, -a, a, -a, a)[0] / (2 * a) ** 2

    close_on_average(found, torch.tensor([mean(0), mean(1)], dtype=torch.float64), errors=5)


def test_the_mean_path_in_linear_regression():
    """E δₖ = Π (I − αᵢ κ Q) δ₀ exactly, on the loss with one half."""
    rng = np.random.default_rng(7)
    runs, a, steps = 60_000, 1.0, 5
    q = np.array([[1.0, 0.5], [0.5, 2.0]])
    root, start = np.linalg.cholesky(q), np.array([1.0, -0.5])
    delta, previous, expected = np.tile(start, (runs, 1)), np.zeros(runs), start.copy()
    for k in range(steps):
        u = rng.uniform(-a, a, (runs, 2))
        x = rng.standard_normal((runs, 2)) @ root.T
        loss = 0.5 * (0.3 * rng.standard_normal(runs) - ((delta + u) * x).sum(1)) ** 2
        alpha = 0.05 / (k + 1)
        delta = delta + alpha * (previous - loss)[:, None] * 2 * np.sinh(u)
        previous = loss
        expected = expected - alpha * kappa(a) * q @ expected
    error = delta.std(0) / math.sqrt(runs)
    assert (abs(delta.mean(0) - expected) < 4 * error).all()


def test_the_published_step(monkeypatch):
    net, x, y = linear(2)
    u = torch.tensor([[0.4, -0.9]], dtype=torch.float64)
    given_directions(monkeypatch, Hebbian, u)
    rule = Hebbian(amplitude=1.0)
    found = estimate(rule, net, x, y)
    base = nn.functional.mse_loss(net(x), y).detach()
    moved = nn.functional.mse_loss(x @ (net.weight[0] + u[0]).detach(), y[:, 0])
    torch.testing.assert_close(found, (moved - base) * (u[0].exp() - (-u[0]).exp()), rtol=1e-10, atol=1e-12)
    again = estimate(rule, net, x, y)
    torch.testing.assert_close(again, torch.zeros(2, dtype=torch.float64), atol=1e-12, rtol=0)  # the same loss twice


def test_states_go_on():
    net, x, y = small()
    for rule, other in ((OneQuery(rng=1, trace=0.3), OneQuery(rng=2, trace=0.3)), (Hebbian(rng=1), Hebbian(rng=2))):
        estimate(rule, net, x, y)
        state = rule.state_dict()
        after = estimate(rule, net, x, y)
        other.load_state_dict(state)
        assert torch.equal(estimate(other, net, x, y), after)


def test_options_are_checked():
    with pytest.raises(UserError, match="no baseline 'best'"):
        OneQuery(baseline="best")
    with pytest.raises(UserError, match="share"):
        OneQuery(mean_rate=0)
    with pytest.raises(UserError, match="pairs"):
        OneQuery(antithetic=True)
    with pytest.raises(UserError, match="fades"):
        OneQuery(trace=1.0)
    with pytest.raises(UserError, match="amplitude"):
        Hebbian(amplitude=0)


@pytest.mark.parametrize("kind", [OneQuery, Hebbian])
def test_a_call_that_meets_nan_has_not_been(kind):
    """With chunks, directions were drawn and losses compared before the one that is no number."""
    net, x, y = small()
    rule, asked = kind(directions=6, chunk=1, rng=3), 0
    estimate(rule, net, x, y)
    before = rule.state_dict()

    def breaks(output, target):
        nonlocal asked
        asked += 1
        return (output - target).square().mean() * (torch.nan if asked == 4 else 1.0)

    net.zero_grad()
    with pytest.raises(Diverged):
        rule(net, breaks, x, y)
    assert asked == 4
    assert all(p.grad is None for p in net.parameters())
    after = rule.state_dict()
    assert torch.equal(before["generator"], after["generator"])
    assert {k: v for k, v in before.items() if k != "generator"} == {k: v for k, v in after.items() if k != "generator"}
