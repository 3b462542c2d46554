"""Oracle: two losses around product weights θ = m ∘ w perform a lasso, |y − Xθ|²/2n + η² Σ G_jj |θ_j|, G = XᵀX/n.

Prior art: arXiv:2503.11891, arXiv:2206.04613, arXiv:2506.05454. What signs do exactly at finite steps (shift of the
mean, balance, variance at the fixed point) is checked within four standard errors; the lasso is scikit-learn's.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso
from torch import Tensor, nn

import sparsefire as sf

DRAWS = np.random.default_rng(0)
X = torch.from_numpy(DRAWS.standard_normal((40, 4)) * np.array([0.5, 1.5, 1.0, 0.8]))
Y = X @ torch.tensor([2.0, -1.2, 0.15, 0.0], dtype=torch.float64) + 0.2 * torch.from_numpy(DRAWS.standard_normal(40))
GRAM, ALONG = X.T @ X / 40, X.T @ Y / 40
ETA = 0.5


class Factors(nn.Module):
    """m and w, which the network returns as they are."""

    def __init__(self, m: Tensor, w: Tensor) -> None:
        super().__init__()
        self.m, self.w = nn.Parameter(m.clone()), nn.Parameter(w.clone())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.m, self.w


def loss_of(factors: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    return (Y - X @ (factors[0] * factors[1])).square().mean() / 2


def start() -> Factors:
    return Factors(torch.tensor([0.9, -0.4, 0.2, 0.5]).double(), torch.tensor([0.7, 0.6, -0.3, 0.1]).double())


def ask(rule: sf.rules.Rule, net: Factors, loss: Callable[..., Tensor] = loss_of) -> Tensor:
    net.zero_grad()
    rule(net, loss, torch.zeros(1), torch.zeros(1))
    return torch.cat([net.m.grad, net.w.grad])


def assert_mean(found: Tensor, target: Tensor | float) -> None:
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - target).abs() <= 4 * error + 1e-12).all(), (found.mean(0), target, error)


@pytest.mark.parametrize("name", ["TwoQuery", "OneQuery"])
@pytest.mark.parametrize("law", ["rademacher", "normal"])
def test_mean_has_the_penalty_and_balances(name: str, law: str) -> None:
    """The mean is the gradient with η² G_jj m_j more for m_j and η² G_jj w_j for w_j, for unit-variance noise."""
    net = start()
    m, w = net.m.detach(), net.w.detach()
    rest = ALONG - GRAM @ (m * w)
    target = torch.cat([-rest * w + ETA**2 * GRAM.diagonal() * m, -rest * m + ETA**2 * GRAM.diagonal() * w])
    rule = getattr(sf.rules, name)(3000, law, rng=1, scale=ETA)
    found = torch.stack([ask(rule, net) for _ in range(40)])
    assert_mean(found, target)
    # m ĝ_m − w ĝ_w: where ĝ_m² = ĝ_w², half of what a step of rate 1 takes from m² − w²
    assert_mean(found[:, :4] * m - found[:, 4:] * w, ETA**2 * GRAM.diagonal() * (m**2 - w**2))


def test_balance_law_over_steps() -> None:
    """E[m² − w²] after k steps is (1 − 2αη² G_jj)ᵏ of the start, at any rate: signs have ĝ_m² = ĝ_w² each time."""
    rate, steps = 0.05, 6
    rule, ends = sf.rules.TwoQuery(scale=ETA, rng=2), []
    for _ in range(160):
        net = start()
        for _ in range(steps):
            found = ask(rule, net)
            torch.testing.assert_close(found[:4] ** 2, found[4:] ** 2)
            with torch.no_grad():
                net.m -= rate * net.m.grad
                net.w -= rate * net.w.grad
        ends.append((net.m**2 - net.w**2).detach())
    net = start()
    shrunk = (1 - 2 * rate * ETA**2 * GRAM.diagonal()) ** steps
    assert_mean(torch.stack(ends), shrunk * (net.m**2 - net.w**2).detach())


def settled() -> Factors:
    """Averages of many directions, then the weights at rest."""
    net = Factors(torch.full((4,), 0.5).double(), torch.zeros(4).double())
    rule = sf.rules.TwoQuery(400, rng=3, scale=ETA)
    for k in range(700):
        ask(rule, net)
        with torch.no_grad():
            for p in net.parameters():
                p -= (0.3 if k < 400 else 0.3 * 0.99 ** (k - 400)) * p.grad
    return net


def test_fixed_point_is_the_weighted_lasso_and_its_variance() -> None:
    """Weights η² G_jj, not one for all; there E D² = η⁴ Σ_i p_i Σ_{j≠i} G_ij², p = m² + w², D the slope of a pair."""
    net = settled()
    theta = (net.m * net.w).detach()
    scales = GRAM.diagonal().numpy()
    lasso = Lasso(alpha=ETA**2, fit_intercept=False, tol=1e-12, max_iter=10**6)
    weighted = lasso.fit(X.numpy() / scales, Y.numpy()).coef_ / scales
    plain = lasso.fit(X.numpy(), Y.numpy()).coef_
    np.testing.assert_allclose(theta.numpy(), weighted, atol=0.02)
    assert np.abs(theta.numpy() - plain).max() > 0.1
    p = (net.m**2 + net.w**2).detach()
    off = GRAM - torch.diag(GRAM.diagonal())
    wanted = ETA**4 * float(p @ off.square().sum(1))
    rule = sf.rules.TwoQuery(rng=4, scale=ETA)
    slopes = torch.stack([ask(rule, net)[0] ** 2 for _ in range(600)])
    assert_mean(slopes, wanted)


def test_noise_on_one_factor_alone_has_no_penalty() -> None:
    """The loss is quadratic in m: with w frozen every pair gives the slope of the loss itself, at any η."""
    net = start()
    net.w.requires_grad_(False)
    rest = ALONG - GRAM @ (net.m * net.w).detach()
    slope = -rest * net.w
    signs = torch.tensor(list(itertools.product([1.0, -1.0], repeat=4))).double()
    rule = sf.rules.TwoQuery(scale=3.0, rng=5)
    for _ in range(20):
        net.zero_grad()
        rule(net, loss_of, torch.zeros(1), torch.zeros(1))
        assert (((signs @ slope)[:, None] * signs) - net.m.grad).abs().amax(1).min() < 1e-12
