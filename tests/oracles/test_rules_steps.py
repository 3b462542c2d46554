"""Oracle: rules that move weights in place, one by one, or several times in a call, against closed forms.

MeZO arXiv:2305.17333; its sparse form arXiv:2402.15751; coordinates arXiv:2310.02025; repeated steps arXiv:2411.17567;
zero-order SAM arXiv:2603.13115. What MeZO drew shows in the step that its optimizer takes.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import sparsefire as sf
from sparsefire.errors import UserError

HESSIAN = torch.tensor([[1.0, 0.4, -0.3], [0.4, 0.8, 0.2], [-0.3, 0.2, -0.5]], dtype=torch.float64)
SLOPE = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)
THETA = torch.tensor([0.5, -1.0, 0.3], dtype=torch.float64)
BLANK = torch.zeros(1)


class Point(nn.Module):
    """A vector of weights that is its own output, so that ``loss_fn`` is any function of the weights."""

    def __init__(self, start: Tensor = THETA) -> None:
        super().__init__()
        self.theta = nn.Parameter(start.clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.theta


def quadratic(theta: Tensor, y: Any = None) -> Tensor:
    return theta @ HESSIAN @ theta / 2 + SLOPE @ theta


def wavy(theta: Tensor, y: Any = None) -> Tensor:
    return (theta.sin() * torch.tensor([1.0, -2.0, 0.5]).double()).sum() + theta[0] * theta[2].exp()


def assert_mean(found: Tensor, target: Tensor | float) -> None:
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - target).abs() <= 4 * error + 1e-9).all(), (found.mean(0), target, error)


def mask_of(net: nn.Module, parameter: str) -> Tensor:
    """The mask of the layer that a weight belongs to."""
    return next(mask for layer, mask in sf.sparsity.masks(net).items() if parameter.startswith(layer + "."))


# ---------------------------------------------------------------- MeZO


def mezo_step(loss: Any, calls: int = 1, lr: float = 0.1, decay: float = 0.0, **settings_: Any) -> Tensor:
    """What one step of the optimizer adds to the weights; between call and step they are where they were."""
    net = Point()
    rule = sf.rules.MeZO(**settings_)
    optimizer = sf.rules.ReplaySGD(net.parameters(), rule, lr=lr, weight_decay=decay)
    for _ in range(calls):
        rule(net, loss, BLANK, None)
        torch.testing.assert_close(net.theta.detach(), THETA, rtol=1e-14, atol=1e-15)
        assert net.theta.grad is None
    optimizer.step()
    return net.theta.detach() - THETA


def test_mezo_steps_as_two_queries_along_the_same_signs() -> None:
    """The signs of the step are those of z, up to all at once, which changes neither slope · z nor the two losses."""
    for number in range(12):
        step = mezo_step(wavy, scale=0.3, law="rademacher", rng=number)
        z = step.sign()
        slope = (wavy(THETA + 0.3 * z) - wavy(THETA - 0.3 * z)) / 0.6
        torch.testing.assert_close(step, -0.1 * slope * z, rtol=1e-10, atol=1e-14)
        decayed = mezo_step(wavy, scale=0.3, law="rademacher", rng=number, decay=0.5)
        torch.testing.assert_close(decayed, step - 0.05 * THETA, rtol=1e-10, atol=1e-12)


def test_mezo_with_normal_directions() -> None:
    """On a quadratic the step is −lr (g · z) z: along z, downhill, with |z|² of mean 3 and variance 6, mean −lr g."""
    gradient = HESSIAN @ THETA + SLOPE
    steps = torch.stack([mezo_step(quadratic, scale=0.5, rng=number) for number in range(800)])
    along = steps / steps.norm(dim=1, keepdim=True)
    assert (steps @ gradient < 0).all()
    size = steps.norm(dim=1) / (0.1 * (along @ gradient).abs())
    assert_mean(size, 3.0)
    assert_mean((size - 3) ** 2, 6.0)
    assert_mean(steps, -0.1 * gradient)


def test_mezo_gathers_calls_and_averages_directions() -> None:
    """Signs: the mean of K steps is one of finitely many values; two calls before a step add up."""
    gradient = HESSIAN @ THETA + SLOPE
    z = torch.tensor(list(itertools.product([1.0, -1.0], repeat=3))).double()[:4]
    single = -0.1 * (z @ gradient)[:, None] * z
    pairs = torch.stack([single[i] + single[j] for i in range(4) for j in range(4)])
    for number in range(10):
        both = mezo_step(quadratic, calls=2, scale=0.5, law="rademacher", rng=number)
        mean = mezo_step(quadratic, directions=2, scale=0.5, law="rademacher", rng=number)
        assert (pairs - both).abs().amax(1).min() < 1e-12
        assert (pairs / 2 - mean).abs().amax(1).min() < 1e-12


def test_mezo_forgets_on_zero_grad_and_refuses_other_rules() -> None:
    net = Point()
    rule = sf.rules.MeZO(scale=0.1, rng=0)
    optimizer = sf.rules.ReplaySGD(net.parameters(), rule, lr=0.1)
    rule(net, quadratic, BLANK, None)
    optimizer.zero_grad()
    before = net.theta.detach().clone()
    optimizer.step()
    assert torch.equal(net.theta.detach(), before)
    with pytest.raises(UserError):
        sf.rules.ReplaySGD(net.parameters(), sf.rules.TwoQuery(), lr=0.1)


def test_mezo_restores_weights_within_the_stated_tolerance() -> None:
    """After 500 calls in float32 within 4e-5 of their norm as stated (here 6e-5), and none is left out."""
    torch.manual_seed(0)
    net = nn.Linear(200, 3)
    before = net.weight.detach().clone()
    rule = sf.rules.MeZO(rng=1)
    optimizer = sf.rules.ReplaySGD(net.parameters(), rule, lr=0.1)
    for _ in range(500):
        rule(net, nn.functional.mse_loss, torch.ones(2, 200), torch.zeros(2, 3))
        optimizer.zero_grad()
    assert (net.weight.detach() - before).norm() <= 6e-5 * before.norm()
    assert rule.budget.queries == 1000
    assert rule.budget.forward_passes == 1000
    assert rule.budget.random_bits == 500 * 32 * 603


@pytest.mark.parametrize("share", [0.25, 0.6])
def test_sparse_mezo_moves_small_weights_alone(share: float) -> None:
    """Of each matrix the share with the smallest |θ| among the active ones; vectors as a whole; others bit by bit."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 4))
    sf.sparsify(net, density=0.5, rng=0)
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    rule = sf.rules.SparseMeZO(scale=1e-2, share=share, law="rademacher", rng=1)
    optimizer = sf.rules.ReplaySGD(net.parameters(), rule, lr=0.1)
    rule(net, nn.functional.mse_loss, torch.randn(8, 20), torch.randn(8, 4))
    optimizer.step()
    for name, p in net.named_parameters():
        moved = (p.detach() - before[name]).abs() > 1e-6
        if p.dim() == 1:
            assert moved.all()
            continue
        mask = mask_of(net, name)
        assert not moved[~mask].any()
        size, count = before[name].abs(), int(mask.sum())
        assert abs(int(moved.sum()) - share * count) <= 1
        assert size[moved].max() <= size[mask & ~moved].min()
        assert torch.equal(p.detach()[~moved], before[name][~moved])


# ---------------------------------------------------------------- coordinates


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 6), scale=st.floats(1e-2, 10), number=st.integers(0, 10**6))
def test_coordinates_on_quadratics(n: int, scale: float, number: int) -> None:
    """Two-sided: the gradient at any μ. One-sided: exactly μ/2 Hᵢᵢ more. One loss per weight and side."""
    draws = torch.Generator().manual_seed(number)
    root = torch.randn(n, n, generator=draws).double()
    hessian, start = root + root.T, torch.randn(n, generator=draws).double()
    for two_sided in (True, False):
        net = Point(start)
        rule = sf.rules.CoordinateDifferences(scale=scale, two_sided=two_sided)
        rule(net, lambda theta, y: theta @ hessian @ theta / 2, BLANK, None)
        target = hessian @ start + (0 if two_sided else scale / 2 * hessian.diagonal())
        torch.testing.assert_close(net.theta.grad, target, rtol=1e-9, atol=1e-9)
        assert 2 * n <= rule.budget.queries <= 2 * n + 1 if two_sided else rule.budget.queries == n + 1
        assert torch.equal(net.theta.detach(), start)


def test_coordinates_take_a_share_of_each_parameter() -> None:
    """Drawn anew: exact where drawn, zero elsewhere, in proportion to what each parameter has active."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 10)).double()
    sf.sparsify(net, density=0.5, rng=0)
    x, y = torch.randn(6, 20).double(), torch.randn(6, 10).double()
    sf.rules.Backprop()(net, nn.functional.mse_loss, x, y)
    exact = {name: p.grad.clone() for name, p in net.named_parameters()}
    rule = sf.rules.CoordinateDifferences(scale=1e-5, share=0.2, two_sided=True, rng=0)
    seen = []
    for _ in range(2):
        net.zero_grad()
        rule(net, nn.functional.mse_loss, x, y)
        for name, p in net.named_parameters():
            mask = mask_of(net, name) if p.dim() > 1 else None
            drawn = p.grad != 0
            torch.testing.assert_close(p.grad[drawn], exact[name][drawn], rtol=1e-5, atol=1e-8)
            active = p.numel() if mask is None else int(mask.sum())
            assert abs(int(drawn.sum()) - 0.2 * active) <= 1
            assert mask is None or not drawn[~mask].any()
        seen.append(torch.cat([p.grad.flatten() for p in net.parameters()]) != 0)
    assert not torch.equal(*seen)


# ---------------------------------------------------------------- several steps in a call, and steps uphill


def half_square(out: Tensor, y: Tensor) -> Tensor:
    return (out - y).square().sum() / 2


@pytest.mark.parametrize(("law", "times"), [("normal", 1), ("normal", 3), ("rademacher", 2)])
def test_repeated_forward_gradients_in_closed_form(law: str, times: int) -> None:
    """FGD(l) on one pair (X, Y), q = |X|²: the residual has mean (1 − αq)ˡ and second moment m₂ˡ of the first one.

    m₂ = 1 − 2αq + α² E (X · ξ)⁴; orthogonally to X the weights diffuse by α² q (d − 1) Σ_{s<l} m₂ˢ (normal law).
    """
    x, rate = torch.tensor([[0.8, -0.5, 0.3, 0.6]]).double(), 0.12
    q, net = float(x.square().sum()), nn.Linear(4, 1, bias=False).double()
    nn.init.zeros_(net.weight)
    fourth = 3 * q**2 if law == "normal" else 3 * q**2 - 2 * float((x**4).sum())
    second = 1 - 2 * rate * q + rate**2 * fourth
    rule = sf.rules.Repeated(sf.rules.ForwardGradient(law=law, rng=5), times=times, step=rate)
    ends = []
    for _ in range(250):
        net.zero_grad()
        rule(net, half_square, x, torch.ones(1, 1).double())
        assert not net.weight.any()
        ends.append(-rate * net.weight.grad[0])
    end = torch.stack(ends)
    residual = 1 - end @ x[0]
    assert_mean(residual, (1 - rate * q) ** times)
    assert_mean(residual**2, second**times)
    if law == "normal":
        across = end - (end @ x[0] / q)[:, None] * x
        assert_mean(across.square().sum(1), rate**2 * q * 3 * sum(second**s for s in range(times)))
    assert (rule.budget.calls, rule.budget.samples, rule.budget.queries) == (250, 250, 250 * times)


@settings(max_examples=15, deadline=None)
@given(times=st.integers(1, 6), rate=st.floats(0.001, 0.2), number=st.integers(0, 1000))
def test_repeated_gradients_are_gradient_descent(times: int, rate: float, number: int) -> None:
    """With exact gradients, or one input and signs, the end is that of l steps: δ_l = (1 − α Q)ˡ δ₀."""
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(number)).double()
    net = nn.Linear(3, 1, bias=False).double()
    start = net.weight.detach()[0].clone()
    sf.rules.Repeated(sf.rules.Backprop(), times=times, step=rate)(net, half_square, x, torch.zeros(5, 1).double())
    end = torch.linalg.matrix_power(torch.eye(3).double() - rate * x.T @ x, times) @ start
    torch.testing.assert_close(start - rate * net.weight.grad[0], end, rtol=1e-9, atol=1e-9 * float(end.norm() + 1))
    assert torch.equal(net.weight.detach()[0], start)


@pytest.mark.parametrize("law", ["coordinates", "rademacher"])
def test_zero_order_sam_asks_at_a_worse_point(law: str) -> None:
    """∇L(θ + ρ ĝ/|ĝ|), exact on the way down: with one direction it is one of finitely many points, all uphill."""
    gradient, radius = HESSIAN @ THETA + SLOPE, 0.4
    u = torch.eye(3).double() if law == "coordinates" else torch.tensor(list(itertools.product([1.0, -1], repeat=3)))
    u = u.double() / u.double().norm(dim=1, keepdim=True)
    places = THETA + radius * (u @ gradient).sign()[:, None] * u
    targets = places @ HESSIAN + SLOPE
    net, seen = Point(), set()
    rule = sf.rules.ZeroOrderSAM(radius=radius, scale=0.1, law=law, rng=2)
    for _ in range(60):
        net.zero_grad()
        rule(net, quadratic, BLANK, None)
        distance = (targets - net.theta.grad).abs().amax(1)
        assert distance.min() < 1e-12
        seen.add(int(distance.argmin()))
        assert torch.equal(net.theta.detach(), THETA)
    assert len(seen) == (3 if law == "coordinates" else 4)
    assert rule.budget.queries == 180
