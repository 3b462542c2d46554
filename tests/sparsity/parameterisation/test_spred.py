"""Oracles: scikit-learn's lasso, the identities of gradient flow, sparse recovery, the quadrants of one neuron."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.sparsity.parameterisation.product import Product
from sparsefire.sparsity.parameterisation.spred import Spred


def attached(kind: type[Product], theta: Tensor) -> tuple[nn.Linear, Product]:
    layer = nn.Linear(theta.shape[1], theta.shape[0], bias=False, dtype=theta.dtype)
    masks.write_weight_(layer, theta)
    part = kind(torch.ones_like(theta, dtype=torch.bool), theta)
    masks.attach_(layer, part)
    return layer, part


def diabetes() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()


def objective(x: np.ndarray, y: np.ndarray, theta: np.ndarray, strength: float) -> float:
    return float(((y - x @ theta) ** 2).mean() / 2 + strength * np.abs(theta).sum())


@pytest.mark.parametrize("strength", [pytest.param(0.02, marks=pytest.mark.slow), 0.08])
def test_spred_is_the_lasso_and_decoupled_decay_is_not(strength: float) -> None:
    from sklearn.linear_model import Lasso

    x, y = diabetes()
    lasso = Lasso(alpha=strength, fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x, y).coef_
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)
    start = 0.1 * torch.tensor([[1.0, -1.0] * 5], dtype=torch.float64)

    def fitted(optimizer_of, pull: float) -> np.ndarray:
        layer, part = attached(Spred, start)
        part.factor.data.mul_(2)  # from balance zero itself no sign is crossed; the penalty takes this one away
        optimizer = optimizer_of(layer.parameters())
        gram, cross = inputs.T @ inputs / len(y), inputs.T @ targets / len(y)
        for _ in range(6000):
            optimizer.zero_grad()
            w = layer.weight[0]
            (0.5 * w @ gram @ w - cross @ w).backward()
            if pull:
                part.pull_(masks.own_parameter(layer), pull)
            optimizer.step()
        return layer.weight.detach()[0].numpy()

    found = fitted(lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), strength / 2)
    support, expected = np.abs(found) > 1e-6, lasso != 0
    assert (support & expected).sum() / (support | expected).sum() > 0.95
    assert abs(objective(x, y, found, strength) - objective(x, y, lasso, strength)) < 1e-4
    zeros = int((~support).sum())
    assert zeros >= 2
    decoupled = fitted(lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=strength), 0.0)
    assert (np.abs(decoupled) <= 1e-6).sum() < zeros / 2


def test_the_balance_follows_the_penalty() -> None:
    """β_t = β₀ exp(−4 ∫ α), and is conserved without a penalty."""
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(6, 7, generator=generator, dtype=torch.float64)
    pull = torch.randn(6, 7, generator=generator, dtype=torch.float64)
    rate, steps = 1e-4, 4000
    for alpha in (0.0, 0.7):
        layer, part = attached(Product, theta)
        optimizer = torch.optim.SGD(layer.parameters(), lr=rate)
        for _ in range(steps):
            optimizer.zero_grad()
            (layer.weight * pull + layer.weight**2).sum().backward()
            part.pull_(masks.own_parameter(layer), alpha)
            optimizer.step()
        balance = part.factor**2 - masks.own_parameter(layer) ** 2
        expected = math.exp(-4 * alpha * rate * steps)
        assert (balance / expected - 1).abs().max() < 1e-3
        assert (layer.weight - theta).abs().max() > 0.1


def test_sparse_recovery_has_the_order_of_the_paper() -> None:
    """d = 40 samples, n = 100 features, five non-zeros: PILoT, then decay of m alone and ℓ1, each at its best; spred's
    start from zero never moves."""
    generator = torch.Generator().manual_seed(0)
    samples, features, problems = 40, 100, 5
    x = torch.randn(samples, features, generator=generator, dtype=torch.float64)
    truth = torch.zeros(problems, features, dtype=torch.float64)
    for row in truth:
        signs = torch.randn(5, generator=generator, dtype=torch.float64).sign()
        row[torch.randperm(features, generator=generator)[:5]] = signs * (1 + torch.rand(5, generator=generator))
    y = truth @ x.T
    rate, steps = 0.01, 4000

    def slope(theta: Tensor) -> Tensor:
        return (theta @ x.T - y) @ x / samples

    def distance(theta: Tensor) -> float:
        return float(((theta - truth).norm(dim=1) / truth.norm(dim=1)).mean())

    def product(kind: type[Product], alpha: float, decay: float, both: bool = True) -> float:
        layer, part = attached(kind, torch.zeros_like(truth))
        m, w = part.factor.data, masks.own_parameter(layer).data
        for step in range(steps):
            strength = alpha * math.exp(-decay * step / steps)
            g = slope(m * w)
            pulls = 2 * strength * m, 2 * strength * w * both
            m, w = m - rate * (g * w + pulls[0]), w - rate * (g * m + pulls[1])
        return distance(m * w)

    def lasso(alpha: float, decay: float) -> float:
        theta = torch.zeros_like(truth)
        for step in range(steps):
            theta = theta - rate * (slope(theta) + alpha * math.exp(-decay * step / steps) * theta.sign())
        return distance(theta)

    grid = [(0.1, 0.0), (1.0, 10.0), (2.0, 10.0)]
    pilot = min(product(Product, *one) for one in grid)
    alone = min(product(Product, *one, both=False) for one in grid)
    l1 = min(lasso(*one) for one in grid)
    assert pilot < 0.02
    assert pilot < 0.6 * alone
    assert pilot < 0.6 * l1
    assert min(product(Spred, alpha, 0.0) for alpha in (0.0, 0.01, 0.1)) == 1.0


def test_one_neuron_reaches_one_quadrant_and_with_resets_two() -> None:
    """f(x) = a relu(wx) against relu(x), x standard normal: L = (aw − 1)² / 4 for w > 0, else (1 + a²w²) / 4.

    From a balanced start, |a| = |w|, gradient flow keeps it: only a, w > 0 succeeds. A product with balance one for a
    crosses zero before w does, so a < 0 < w succeeds, too. w < 0 never does."""
    generator = torch.Generator().manual_seed(0)
    size = 0.1 + 1.4 * torch.rand(1000, generator=generator, dtype=torch.float64)
    signs_a, signs_w = torch.tensor([1, -1, 1, -1])[:, None], torch.tensor([1, 1, -1, -1])[:, None]
    for resets, expected in ((False, [1000, 0, 0, 0]), (True, [1000, 1000, 0, 0])):
        w = (signs_w * size).clone().requires_grad_()
        layer = nn.Linear(1000, 4, bias=False, dtype=torch.float64)
        masks.write_weight_(layer, signs_a * size)
        if resets:
            masks.attach_(layer, Product(torch.ones(4, 1000, dtype=torch.bool), layer.weight))
        optimizer = torch.optim.SGD([*layer.parameters(), w], lr=0.05)
        for step in range(2000):
            optimizer.zero_grad()
            a = layer.weight
            (torch.where(w > 0, (a * w - 1) ** 2, 1 + (a * w) ** 2) / 4).sum().backward()
            optimizer.step()
            if resets and step % 20 == 0:
                masks.write_weight_(layer, layer.weight.detach().clone())
        reached = (w > 0) & ((layer.weight * w - 1).abs() < 1e-3)
        assert reached.sum(1).tolist() == expected
