"""Oracle: rules that perturb weights, against closed forms of smoothed losses, enumeration and quadrature.

Laws of single steps: forward gradient arXiv:2202.08587, arXiv:2309.15001; repeated steps arXiv:2411.17567; the Hebbian
rule arXiv:2301.11777; one query and its baselines arXiv:2311.03483; weight perturbation doi:10.1162/089976605774320539;
MeZO arXiv:2305.17333, its sparse form arXiv:2402.15751; coordinates arXiv:2310.02025. Directions are those that
``directions.draw`` gives for the generator that a rule was handed.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor, nn

import sparsefire as sf
from sparsefire.rules.directions import draw
from sparsefire.rules.hebbian import kappa

LAWS = ["rademacher", "normal", "sphere", "uniform", "coordinates"]
START = (0.5, -1.0, 0.3)
THETA = torch.tensor(START, dtype=torch.float64)
QUARTIC, CROSS = torch.tensor([1.0, 0.6, -0.4], dtype=torch.float64), 0.7
HESSIAN = torch.tensor([[1.0, 0.4, -0.3], [0.4, 0.8, 0.2], [-0.3, 0.2, -0.5]], dtype=torch.float64)
SLOPE = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)
BLANK = torch.zeros(1)


class Point(nn.Module):
    """A vector of weights that is its own output, so that ``loss_fn`` is any function of the weights."""

    def __init__(self, start: Any = START) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(start, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.theta


def quadratic(theta: Tensor, y: Any) -> Tensor:
    return theta @ HESSIAN @ theta / 2 + SLOPE @ theta


def polynomial(theta: Tensor, y: Any) -> Tensor:
    return (QUARTIC * theta**4).sum() + CROSS * (theta[0] * theta[1]) ** 2 + quadratic(theta, y)


def smoothed(fourth: Tensor | float, mixed: float) -> Tensor:
    """Gradient of the polynomial where the cubic part meets noise of E uᵢ⁴ and E uᵢ²uⱼ² (both times c²)."""
    other = torch.stack([THETA[1] ** 2 + mixed, THETA[0] ** 2 + mixed, torch.zeros(()).double()])
    return 4 * QUARTIC * (THETA**3 + THETA * fourth) + 2 * CROSS * THETA * other + HESSIAN @ THETA + SLOPE


def estimates(rule: Any, net: nn.Module, loss: Any, calls: int, x: Tensor = BLANK, y: Any = None) -> Tensor:
    found = []
    for _ in range(calls):
        net.zero_grad()
        rule(net, loss, x, y)
        found.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    return torch.stack(found)


def assert_mean(found: Tensor, target: Tensor | float) -> None:
    """Within four standard errors, entry by entry, and these are small enough to tell something."""
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - target).abs() <= 4 * error + 1e-9).all(), (found.mean(0), target, error)


def generator(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


# ---------------------------------------------------------------- what single estimates and their moments are


@pytest.mark.parametrize("law", LAWS)
def test_every_estimate_is_the_slope_times_the_direction(law: str) -> None:
    """g = mean (∇L · u) u, by derivatives and by two losses; one-sided with c/2 uᵀHu more; c of any size."""
    net, gradient = Point(), HESSIAN @ THETA + SLOPE
    u = draw(law, 7, 3, generator(5), dtype=torch.float64)
    slopes, curves = u @ gradient, torch.einsum("ki,ij,kj->k", u, HESSIAN, u)
    exact = (slopes[:, None] * u).mean(0)
    one_sided = ((slopes + 0.35 * curves)[:, None] * u).mean(0)
    for rule, target in (
        (sf.rules.ForwardGradient(7, law, rng=generator(5)), exact),
        (sf.rules.ForwardGradient(7, law, rng=generator(5), chunk=2), exact),
        (sf.rules.TwoQuery(7, law, rng=generator(5), scale=0.7), exact),
        (sf.rules.TwoQuery(7, law, rng=generator(5), scale=40.0, chunk=3), exact),
        (sf.rules.WeightPerturbation(7, law, rng=generator(5), scale=0.7), one_sided),
    ):
        torch.testing.assert_close(estimates(rule, net, quadratic, 1)[0], target, rtol=1e-10, atol=1e-12)
        assert torch.equal(net.theta.detach(), THETA)


@pytest.mark.parametrize("law", LAWS)
def test_directions_have_mean_zero_and_unit_second_moment(law: str) -> None:
    """E u = 0, without which one loss per direction credits the loss itself, and E u uᵀ = 1."""
    u = draw(law, 20000, 4, generator(0), dtype=torch.float64)
    assert_mean(u, 0.0)
    assert_mean((u[:, :, None] * u[:, None, :]).flatten(1), torch.eye(4).double().flatten())


def test_rademacher_by_enumeration() -> None:
    """Each estimate is one of the 2^(n−1) that exist, all equally often; their relative variance is exactly n − 1."""
    gradient = HESSIAN @ THETA + SLOPE
    signs = torch.tensor(list(itertools.product([1.0, -1.0], repeat=2))).double()
    u = torch.cat([torch.ones(4, 1), signs], 1)
    outcomes = (u @ gradient)[:, None] * u
    variance = (outcomes - gradient).square().sum(1).mean() / gradient.square().sum()
    assert variance == pytest.approx(2, rel=1e-12)
    torch.testing.assert_close(outcomes.mean(0), gradient)
    found = estimates(sf.rules.TwoQuery(scale=0.5, rng=1), Point(), quadratic, 800)
    distance = (found[:, None] - outcomes).abs().amax(2)
    assert distance.min(1).values.max() < 1e-12
    share = torch.bincount(distance.argmin(1), minlength=4) / 800
    assert ((share - 0.25).abs() <= 4 * math.sqrt(0.25 * 0.75 / 800)).all()


@pytest.mark.parametrize(("law", "more"), [("rademacher", -1), ("normal", 1), ("sphere", -1), ("coordinates", -1)])
@pytest.mark.parametrize("directions", [1, 4])
def test_relative_variance(law: str, more: int, directions: int) -> None:
    """E|g − ∇L|² / |∇L|² is (N − 1)/K for signs, the sphere and coordinates, (N + 1)/K for normal directions."""
    net = Point(np.linspace(-1, 2, 9))
    target = 2 * net.theta.detach()
    rule = sf.rules.TwoQuery(directions, law, rng=3, scale=0.1)
    found = estimates(rule, net, lambda theta, y: theta.square().sum(), 700)
    assert_mean((found - target).square().sum(1) / target.square().sum(), (9 + more) / directions)


def test_relative_variance_follows_the_active_weights() -> None:
    """The whole batch, one pair of signs: relative variance over active parameters within [0.9, 1.1]."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 5)).double()
    sf.sparsify(net, density=0.1, rng=0)
    x, y = torch.randn(64, 20, generator=generator(0)).double(), torch.randn(64, 5, generator=generator(1)).double()
    sf.rules.Backprop()(net, nn.functional.mse_loss, x, y)
    found = estimates(sf.rules.TwoQuery(scale=1e-4, rng=7), net, nn.functional.mse_loss, 1200, x, y)
    active = (found != 0).any(0)
    masks = sf.sparsity.masks(net)
    assert int(active.sum()) == sum(int(mask.sum()) for mask in masks.values()) + 35
    net.zero_grad()
    sf.rules.Backprop()(net, nn.functional.mse_loss, x, y)
    exact = torch.cat([p.grad.flatten() for p in net.parameters()]) * active
    variance = (found - exact).square().sum(1).mean() / exact.square().sum()
    assert 0.9 <= variance / (active.sum() - 1) <= 1.1
    torch.testing.assert_close(found.abs().amax(1), found[:, active].abs().amin(1), rtol=1e-9, atol=0)


def test_outputs_and_weights_count_for_weight_perturbation() -> None:
    """A linear map of n inputs and m outputs: E|ĝ|² = F |∇L|², F = nm + 2 with normal directions, nm with signs."""
    x, y = torch.randn(1, 4, generator=generator(0)).double(), torch.randn(1, 3, generator=generator(1)).double()
    net = nn.Linear(4, 3, bias=False).double()
    loss = lambda out, y: (out - y).square().sum() / 2  # noqa: E731
    size = estimates(sf.rules.Backprop(), net, loss, 1, x, y).square().sum()
    for law, factor in (("normal", 14), ("rademacher", 12)):
        rule = sf.rules.WeightPerturbation(1, law, rng=2, scale=1e-6)
        assert_mean(estimates(rule, net, loss, 1200, x, y).square().sum(1) / size, factor)


# ---------------------------------------------------------------- the loss that a rule follows


def moments(law: str) -> tuple[float, float]:
    return {"rademacher": (1, 1), "normal": (3, 1), "sphere": (9 / 5, 3 / 5), "uniform": (9 / 5, 1)}.get(law, (3, 0))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", ["two", "one-sided", "none", "previous", "running-mean", "antithetic"])
def test_mean_is_the_gradient_of_a_smoothed_loss(name: str, law: str) -> None:
    """For a quartic, E g = 4aθ³ + 4aθ c² E u⁴ + …, for every law, one or two losses, and whatever the baseline."""
    c, k = 0.8, 4000
    if name == "two":
        rule: Any = sf.rules.TwoQuery(k, law, rng=1, scale=c)
    elif name == "one-sided":
        rule = sf.rules.WeightPerturbation(k, law, rng=1, scale=c)
    elif name == "antithetic":
        rule = sf.rules.OneQuery(k, law, rng=1, scale=c, baseline="none", antithetic=True)
    else:
        rule = sf.rules.OneQuery(k, law, rng=1, scale=c, baseline=name)
    fourth, mixed = moments(law)
    found = estimates(rule, Point(), polynomial, 40)
    assert_mean(found, smoothed(fourth * c**2, mixed * c**2))
    if name == "two":
        assert (found.std(0) / math.sqrt(40) < 0.08).all()


@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 6), inputs=st.integers(1, 5), outputs=st.integers(1, 3), k=st.integers(1, 4),
    law=st.sampled_from(LAWS), scale=st.floats(0.05, 20), number=st.integers(0, 10**6),
)  # fmt: skip
def test_two_losses_equal_the_forward_gradient_for_squared_loss(
    rows: int, inputs: int, outputs: int, k: int, law: str, scale: float, number: int
) -> None:
    """Given the same directions, at every scale, in a linear model; and so does SPSA for signs."""
    x, y = torch.randn(rows, inputs, generator=generator(1)), torch.randn(rows, outputs, generator=generator(2))
    x, y, net = x.double(), y.double(), nn.Linear(inputs, outputs).double()
    loss = nn.functional.mse_loss
    exact = estimates(sf.rules.ForwardGradient(k, law, rng=number), net, loss, 2, x, y)
    found = estimates(sf.rules.TwoQuery(k, law, rng=number, scale=scale), net, loss, 2, x, y)
    torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-10 * float(exact.abs().max() + 1))
    if law == "rademacher":
        found = estimates(sf.rules.SPSA(k, rng=number, scale=scale), net, loss, 2, x, y)
        torch.testing.assert_close(found, exact, rtol=1e-10, atol=1e-10 * float(exact.abs().max() + 1))


def test_spsa_fades_as_stated() -> None:
    """Call k uses c / (k + 1)^γ, k from 0: the fourth-order part of a quartic shows which."""
    net = Point([0.5])
    found = estimates(sf.rules.SPSA(scale=0.8, decay=0.3, rng=0), net, lambda theta, y: (theta**4).sum(), 5)
    fading = 0.8 / torch.arange(1, 6).double() ** 0.3
    torch.testing.assert_close(found[:, 0], 4 * 0.5**3 + 4 * 0.5 * fading**2)


# ---------------------------------------------------------------- one loss per direction


def test_hebbian_constant() -> None:
    """T1: E (e^U − e^−U) L(θ + U) = κ(A) E L'(θ + V) by quadrature for a loss that is no polynomial; the table of κ."""
    table = {0.1: 0.0066733357, 0.5: 0.1708707084, 1.0: 0.7357588823, 2.0: 3.8975309743}
    nodes, weights = np.polynomial.legendre.leggauss(60)
    for a in [*table, 1.3]:
        u, w = a * nodes, weights / 2
        density = (np.exp(a) - np.exp(-u)) * (np.exp(a) - np.exp(u))
        density /= (w * density).sum()
        left = (w * (np.exp(u) - np.exp(-u)) * (np.sin(0.4 + u) + np.exp(0.5 * u))).sum()
        right = (w * density * (np.cos(0.4 + u) + 0.5 * np.exp(0.5 * u))).sum()
        assert left == pytest.approx(kappa(a) * right, rel=1e-10)
        assert kappa(a) == pytest.approx(table.get(a, kappa(a)), abs=5e-11)


@pytest.mark.parametrize("baseline", ["none", "previous", "running-mean"])
@pytest.mark.parametrize("a", [0.5, 1.3])
def test_hebbian_mean_step(baseline: str, a: float) -> None:
    """κ(A) E ∂ⱼL(θ + V): V narrower in coordinate j (A = 1.3: variance 0.348) than the uniform others (0.563)."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    density = weights * (np.exp(a) - np.exp(-a * nodes)) * (np.exp(a) - np.exp(a * nodes))
    own = float((density * (a * nodes) ** 2).sum() / density.sum())
    assert a != 1.3 or own == pytest.approx(0.348, abs=5e-4)
    rule = sf.rules.Hebbian(4000, rng=2, amplitude=a, baseline=baseline)
    found = estimates(rule, Point(), polynomial, 40)
    assert_mean(found, kappa(a) * smoothed(3 * own, a**2 / 3))


def test_hebbian_single_estimate() -> None:
    """(L(θ + U) − b)(e^U − e^−U) with U = A/√3 times the uniform direction; b is the unperturbed loss at first."""
    u = 1.2 / math.sqrt(3) * draw("uniform", 1, 3, generator(4), dtype=torch.float64)[0]
    for baseline, b in (("none", 0.0), ("previous", polynomial(THETA, None))):
        rule = sf.rules.Hebbian(rng=generator(4), amplitude=1.2, baseline=baseline)
        target = (polynomial(THETA + u, None) - b) * (u.exp() - (-u).exp())
        torch.testing.assert_close(estimates(rule, Point(), polynomial, 1)[0], target)


def test_baselines_and_their_constants() -> None:
    """T2: with losses S χ²₁, E(Z − b)² is 3, 4 and 2 S²: b is nothing, the last loss, their running mean.

    Losses are the quantiles of χ²₁ in random order, the same for all three, and do not depend on the weights.
    """
    count, c, rate = 1200, 0.3, 0.02
    z = np.random.default_rng(0).permutation(2 * stats.chi2.ppf((np.arange(count) + 0.5) / count, 1))
    constants = {}
    for baseline in ("none", "previous", "running-mean"):
        rule = sf.rules.OneQuery(rng=1, scale=c, baseline=baseline, mean_rate=rate)
        net, found, last = Point([0.0]), [], float(z[0])
        for k, loss in enumerate(torch.from_numpy(z)):
            net.zero_grad()
            rule(net, lambda theta, y: y + 0 * theta.sum(), BLANK, loss)
            b = 0.0 if baseline == "none" else last
            assert net.theta.grad.abs().item() * c == pytest.approx(abs(z[k] - b), abs=1e-12)
            last = z[k] if baseline == "previous" else last + rate * (z[k] - last)
            found.append((net.theta.grad.item() * c) ** 2)
        constants[baseline] = np.mean(found) / 4
    for baseline, constant in (("none", 3), ("previous", 4), ("running-mean", 2 * (1 + rate / (2 - rate)))):
        assert constants[baseline] == pytest.approx(constant, rel=0.1)


@pytest.mark.parametrize(("baseline", "factor"), [("none", 1), ("previous", 0.5), ("running-mean", 1 - 0.15 / 0.65)])
def test_eligibility_trace(baseline: str, factor: float) -> None:
    """λ = 1/2: the mean is shorter by 1 − λ with the previous loss, by 1 − ρλ/(1 − λ(1 − ρ)) with a mean, ρ = 0.3."""
    net = Point([0.0])
    rule = sf.rules.OneQuery(rng=6, scale=0.5, baseline=baseline, mean_rate=0.3, trace=0.5)
    found = estimates(rule, net, lambda theta, y: 2 * theta.sum(), 1500)[:, 0]
    assert_mean(found[20:1500:4], 2 * factor)
