"""Oracle: rules that credit units, against autograd, enumeration of all signs, and the laws of their variance.

Node perturbation doi:10.1103/PhysRevLett.97.048104, doi:10.1162/089976605774320539; its limit of small noise
arXiv:2210.03310; the decorrelated form arXiv:2310.00965.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import Tensor, nn

import sparsefire as sf
from sparsefire.errors import UserError


def squared(out: Tensor, y: Tensor) -> Tensor:
    return (out - y).square().sum(1) / 2


def chain(widths: list[int], activation: Callable[[], nn.Module] = nn.Tanh, number: int = 0) -> nn.Sequential:
    draws = torch.Generator().manual_seed(number)
    modules: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layer = nn.Linear(before, after).double()
        layer.weight.data.copy_(torch.randn(after, before, generator=draws) / math.sqrt(before))
        layer.bias.data.copy_(0.3 * torch.randn(after, generator=draws))
        modules += [layer, activation()]
    return nn.Sequential(*modules[:-1])


def batch(rows: int, inputs: int, outputs: int, number: int = 1) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(number)
    return torch.randn(rows, inputs, generator=draws).double(), torch.randn(rows, outputs, generator=draws).double()


def estimate(rule: Any, net: nn.Module, x: Tensor, y: Tensor, loss: Any = squared) -> Tensor:
    net.zero_grad()
    rule(net, loss, x, y)
    return torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])


def exact(net: nn.Module, x: Tensor, y: Tensor, loss: Any = squared) -> Tensor:
    return estimate(sf.rules.Backprop(), net, x, y, lambda out, target: loss(out, target).mean())


def outcomes(net: nn.Sequential, x: Tensor, y: Tensor, each: bool = False) -> Tensor:
    """All estimates that random signs can make for one row: δ = (∇_a L · ξ) ξ, layer by layer δ xᵀ and δ."""
    inputs, units, flow = [], [], x
    for module in net:
        if isinstance(module, nn.Linear):
            inputs.append(flow.detach()[0])
            flow = module(flow)
            units.append(flow)
        else:
            flow = module(flow)
    slopes = [slope[0] for slope in torch.autograd.grad(squared(flow, y).sum(), units)]
    found = []
    for signs in itertools.product([1.0, -1.0], repeat=sum(len(slope) for slope in slopes)):
        xi = torch.tensor(signs, dtype=torch.float64).split([len(slope) for slope in slopes])
        whole = sum(slope @ part for slope, part in zip(slopes, xi, strict=True))
        grads = []
        for slope, part, given_input in zip(slopes, xi, inputs, strict=True):
            delta = (slope @ part if each else whole) * part
            grads += [torch.outer(delta, given_input).flatten(), delta]
        found.append(torch.cat(grads))
    return torch.stack(found)


def assert_mean(found: Tensor, target: Tensor | float) -> None:
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - target).abs() <= 4 * error + 1e-9).all(), (found.mean(0), target, error)


# ---------------------------------------------------------------- noise on all units


@pytest.mark.parametrize("layers", ["all", "each"])
def test_activity_forward_gradient_by_enumeration(layers: str) -> None:
    """Every estimate is one that exists, all are equally frequent, and their average is the gradient."""
    net, (x, y) = chain([3, 2, 1]), batch(1, 3, 1)
    table = outcomes(net, x, y, each=layers == "each")
    torch.testing.assert_close(table.mean(0), exact(net, x, y), rtol=1e-12, atol=1e-14)
    distinct = table[: len(table) // 2]
    rule = sf.rules.ActivityForwardGradient(layers=layers, rng=0)
    hits = torch.zeros(4)
    for _ in range(120):
        distance = (distinct - estimate(rule, net, x, y)).abs().amax(1)
        assert distance.min() < 1e-12
        hits += (distance < 1e-12).float() / (distance < 1e-12).sum()
    if layers == "all":
        assert ((hits / 120 - 0.25).abs() <= 4 * math.sqrt(0.25 * 0.75 / 120)).all()


@pytest.mark.parametrize(("sided", "order"), [("two", 2), ("one", 1)])
def test_node_perturbation_has_that_limit(sided: str, order: int) -> None:
    """The distance to the nearest of those estimates falls as c² (one-sided c)."""
    net, (x, y) = chain([3, 2, 1]), batch(1, 3, 1)
    table, worst = outcomes(net, x, y), []
    for scale in (4e-3, 2e-3, 1e-3):
        rule = sf.rules.NodePerturbation(scale=scale, sided=sided, rng=3)
        worst.append(max(float((table - estimate(rule, net, x, y)).norm(dim=1).min()) for _ in range(24)))
    assert worst[-1] < 1e-2
    assert worst[0] / worst[1] == pytest.approx(2**order, rel=0.1)
    assert worst[1] / worst[2] == pytest.approx(2**order, rel=0.1)


def test_node_perturbation_needs_no_small_noise_in_linear_networks() -> None:
    """Two linear layers and squared loss: at c = 5 the estimates are those of exact slopes."""
    net, (x, y) = chain([3, 2, 2], nn.Identity), batch(1, 3, 2)
    table = outcomes(net, x, y)
    rule = sf.rules.NodePerturbation(scale=5.0, rng=1)
    seen = [(table - estimate(rule, net, x, y)).abs().amax(1) for _ in range(60)]
    assert max(float(distance.min()) for distance in seen) < 1e-11
    assert len({int(distance.argmin()) for distance in seen}) == 8


@pytest.mark.parametrize("law", ["rademacher", "normal", "sphere", "uniform", "coordinates"])
def test_one_sided_noise_is_right_on_average(law: str) -> None:
    """For a linear map with squared loss the second-order part is even in ξ: no bias at c = 0.5, whatever the law."""
    net, (x, y) = chain([2, 3]), batch(1, 2, 3)
    rule = sf.rules.NodePerturbation(0.5, law, "one", directions=10, rng=0)
    assert_mean(torch.stack([estimate(rule, net, x, y) for _ in range(100)]), exact(net, x, y))


@pytest.mark.parametrize("name", ["node", "activity"])
@pytest.mark.parametrize(("law", "more"), [("normal", 2), ("rademacher", 0)])
def test_slowdown_by_the_number_of_outputs(name: str, law: str, more: int) -> None:
    """A linear map: E|ĝ|² = F |∇L|² for one row, F = m + 2 (normal), m (signs); K draws leave (F − 1)/K variance."""
    net, (x, y) = chain([4, 3]), batch(1, 4, 3)
    target = exact(net, x, y)
    for draws_ in (1, 3):
        node = sf.rules.NodePerturbation(0.5, law, directions=draws_, rng=draws_)
        rule = node if name == "node" else sf.rules.ActivityForwardGradient(draws_, law, rng=draws_)
        found = torch.stack([estimate(rule, net, x, y) for _ in range(240)])
        assert_mean((found - target).square().sum(1) / target.square().sum(), (3 + more - 1) / draws_)


def test_rows_have_noise_of_their_own() -> None:
    """Relative variance over rows: E|ĝ − g|² = (m − 1) Σ_b |e_b|² (|x_b|² + 1) / B²; shared noise would add to it."""
    net, (x, y) = chain([4, 3]), batch(6, 4, 3)
    error = (net(x) - y).detach().square().sum(1)
    target, wanted = exact(net, x, y), float(2 * (error * (x.square().sum(1) + 1)).sum() / 36)
    rule = sf.rules.NodePerturbation(scale=0.5, rng=2)
    found = torch.stack([estimate(rule, net, x, y) for _ in range(500)])
    assert_mean((found - target).square().sum(1), wanted)


@pytest.mark.parametrize("layers", ["all", "each"])
def test_mean_is_the_gradient_with_convolutions_and_masks(layers: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 2)
    ).double()
    sf.sparsify(net, density=0.5, rng=0)
    x, y = torch.randn(12, 1, 6, 6).double(), torch.randn(12, 2).double()
    target = exact(net, x, y)
    for rule in (
        sf.rules.ActivityForwardGradient(10, layers=layers, rng=0),
        sf.rules.NodePerturbation(1e-3, directions=10, layers=layers, rng=0),
    ):
        assert_mean(torch.stack([estimate(rule, net, x, y) for _ in range(25)]), target)


def test_budgets() -> None:
    """One loss per row and query, one pass for the layers' own derivatives, bits by the law."""
    net, (x, y) = chain([3, 4, 2]), batch(5, 3, 2)
    for rule, queries, passes, bits in (
        (sf.rules.NodePerturbation(directions=3, rng=0), 35, 8, 90),
        (sf.rules.NodePerturbation(sided="one", directions=3, law="normal", rng=0), 20, 5, 90 * 32),
        (sf.rules.NodePerturbation(layers="each", rng=0), 25, None, 30),
        (sf.rules.ActivityForwardGradient(3, rng=0), 20, 8, 90),
    ):
        estimate(rule, net, x, y)
        budget = rule.budget
        assert (budget.calls, budget.samples, budget.queries, budget.random_bits) == (1, 5, queries, bits), rule
        assert passes is None or budget.forward_passes == passes, rule


# ---------------------------------------------------------------- one unit at a time


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 6), min_size=2, max_size=5), rows=st.integers(1, 5), number=st.integers(0, 10**6),
    activation=st.sampled_from([nn.ReLU, nn.Tanh, nn.Sigmoid, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.Identity]),
    sided=st.sampled_from(["one", "two"]), density=st.sampled_from([1.0, 0.5]),
)  # fmt: skip
def test_unit_differences_are_the_gradient(
    widths: list[int], rows: int, number: int, activation: Any, sided: str, density: float
) -> None:
    """Cosine above 0.9999 in float64 for any chain, masked or not; at most one loss per row, unit and side, and one."""
    net, (x, y) = chain(widths, activation, number), batch(rows, widths[0], widths[-1], number)
    if density < 1:
        sf.sparsify(net, density=density, layout="uniform", rng=0)
    target = exact(net, x, y)
    rule = sf.rules.UnitDifferences(scale=1e-6, sided=sided)
    found = estimate(rule, net, x, y)
    assert nn.functional.cosine_similarity(found, target, dim=0) > 0.9999
    torch.testing.assert_close(found, target, rtol=1e-3, atol=1e-4)
    sides = 2 if sided == "two" else 1
    assert rows <= rule.budget.queries <= rows * (1 + sides * sum(widths[1:]))


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_unit_differences_on_digits(density: float) -> None:
    """A perceptron 64-32-10 with cross-entropy: cosine above 0.9999 in float64."""
    x, y = (torch.from_numpy(part[:128]) for part in load_digits(return_X_y=True))
    loss, net = functools.partial(nn.functional.cross_entropy, reduction="none"), chain([64, 32, 10], nn.ReLU)
    if density < 1:
        sf.sparsify(net, density=density, rng=0)
    found = estimate(sf.rules.UnitDifferences(), net, x / 16, y, loss)
    assert nn.functional.cosine_similarity(found, exact(net, x / 16, y, loss), dim=0) > 0.9999


def test_unit_differences_order_and_sides() -> None:
    """The error is proportional to c, two-sided to c²."""
    net, (x, y) = chain([3, 5, 4, 2]), batch(6, 3, 2)
    target = exact(net, x, y)
    for sided, order in (("one", 1), ("two", 2)):
        errors = [
            float((estimate(sf.rules.UnitDifferences(scale=scale, sided=sided), net, x, y) - target).norm())
            for scale in (4e-3, 2e-3)
        ]
        assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.05)


def test_unit_differences_with_some_units_are_right_on_average() -> None:
    """One of three hidden units, scaled by three: each estimate is one of three, whose average is the gradient."""
    net, (x, y) = chain([4, 3, 2]), batch(5, 4, 2)
    target = exact(net, x, y)
    owner = torch.tensor([0] * 4 + [1] * 4 + [2] * 4 + [0, 1, 2] + [-1] * 8)
    hidden = torch.stack([torch.where(owner < 0, 1, 3 * (owner == j)) * target for j in range(3)])
    rule = sf.rules.UnitDifferences(scale=1e-7, units=1, rng=0)
    picks = []
    for _ in range(90):
        distance = (hidden - estimate(rule, net, x, y)).abs().amax(1)
        assert distance.min() < 1e-5
        picks.append(int(distance.argmin()))
    assert all(abs(picks.count(j) - 30) <= 4 * math.sqrt(20) for j in range(3))


def test_unit_differences_rest_and_refuse() -> None:
    """ReLU units far below zero are not asked about; the layer that does not fit is named."""
    net, (x, y) = chain([3, 4, 2], nn.ReLU), batch(5, 3, 2)
    net[0].bias.data.fill_(-100.0)
    rule = sf.rules.UnitDifferences()
    found = estimate(rule, net, x, y)
    assert rule.budget.queries == 5 * (1 + 2)
    assert not found[:16].any()
    with pytest.raises(UserError, match="1"):
        sf.rules.UnitDifferences()(
            nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)).double(), squared, x, y
        )


# ---------------------------------------------------------------- decorrelated inputs


def test_decorrelation_removes_covariance() -> None:
    """R ← R − rate (mean x̂x̂ᵀ − diag) R: on one batch the second moments between different x̂ go to zero."""
    net = sf.rules.with_decorrelation(chain([3, 2, 2]))
    x, y = batch(200, 3, 2)
    x = x @ torch.tensor([[1.0, 0.6, 0.0], [0.0, 0.8, 0.5], [0.3, 0.0, 0.7]]).double()
    first = next(module for module in net if isinstance(module, sf.rules.Decorrelate))
    torch.testing.assert_close(first(x), x)
    rule = sf.rules.DecorrelatedNodePerturbation(rate=0.1, rng=0)
    own = torch.eye(3).double()
    for _ in range(250):
        moment = (x @ own.T).T @ (x @ own.T) / 200
        own = own - 0.1 * (moment - torch.diag(moment.diagonal())) @ own
        estimate(rule, net, x, y)
    moment = first(x).T @ first(x) / 200
    assert (moment - torch.diag(moment.diagonal())).abs().max() < 1e-3
    assert moment.diagonal().min() > 0.05
    torch.testing.assert_close(first(x), x @ own.T, rtol=1e-8, atol=1e-8)
    assert (rule.budget.queries, rule.budget.samples) == (250 * 400, 250 * 200)


def test_decorrelated_credit_of_one_layer() -> None:
    """Signs have |ξ|² = m, so that δ = (e · ξ) ξ + O(c), an outcome of node perturbation; normal noise: the mean."""
    plain, (x, y) = chain([3, 3]), batch(1, 3, 3)
    table, target = outcomes(plain, x, y), exact(plain, x, y)
    net = sf.rules.with_decorrelation(plain)
    rule = sf.rules.DecorrelatedNodePerturbation(scale=1e-6, rate=0.0, law="rademacher", rng=0)
    for _ in range(30):
        assert (table - estimate(rule, net, x, y)).abs().amax(1).min() < 1e-4
    rule = sf.rules.DecorrelatedNodePerturbation(scale=1e-6, rate=0.0, rng=0)
    assert_mean(torch.stack([estimate(rule, net, x, y) for _ in range(500)]), target)
