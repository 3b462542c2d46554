"""Oracles: the formula worked in NumPy beside the optimizer, and the closed form of the mirror flow."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.recipes import Recipe
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.steps import HAM, SAM, HyperbolicStep, hyperbolic_step_

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9, nesterov=True, foreach=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "maximize": lambda p: torch.optim.SGD(p, lr=0.01, maximize=True),
}


def network(dtype: torch.dtype = torch.float64) -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 6, dtype=dtype), nn.Tanh(), nn.Linear(6, 2, dtype=dtype))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net


def backward(net: nn.Module, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    dtype = next(net.parameters()).dtype
    x, y = torch.randn(8, 4, generator=generator).to(dtype), torch.randn(8, 2, generator=generator).to(dtype)
    net.zero_grad()
    (net(x) - y).square().mean().backward()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_formula_by_hand(name: str) -> None:
    one, two = network(), network()
    optimizer, plain = HAM(OPTIMIZERS[name](one.parameters()), 1.5, 0.3), OPTIMIZERS[name](two.parameters())
    plain.param_groups[0]["foreach"] = False
    towards = -1.0 if name == "maximize" else 1.0
    for number in range(20):
        backward(one, number)
        optimizer.step()
        backward(two, number)
        plain.step()
        rate = plain.param_groups[0]["lr"]
        for parameter in two.parameters():
            if parameter.ndim > 1:
                w, g = parameter.detach().numpy(), parameter.grad.numpy()
                exponent = np.clip(rate * (-1.5 * towards * np.sign(w) * g - 0.3), -5, 5)
                parameter.data = torch.from_numpy(np.where(w != 0, w * np.exp(exponent), w))
    for ours, expected in zip(one.parameters(), two.parameters(), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_defaults_clip_and_what_is_left_alone() -> None:
    weight = nn.Parameter(torch.tensor([[1.0, -1.0, 0.0, 1.0]]))
    bias, still = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2, 2))
    optimizer = torch.optim.SGD([weight, bias, still], lr=0.2)
    weight.grad, bias.grad = torch.tensor([[1.0, 1.0, 1.0, 0.01]]), torch.ones(3)
    hyperbolic_step_(optimizer)
    expected = [math.exp(-5), -math.exp(5), 0.0, math.exp(-0.2 * (200 * 0.01 + 1e-3))]
    torch.testing.assert_close(weight.data, torch.tensor([expected]))
    assert torch.equal(bias, torch.ones(3))
    assert torch.equal(still, torch.ones(2, 2))  # no gradient


def test_the_norm_of_every_tensor_is_limited() -> None:
    weight, bias = nn.Parameter(torch.full((2, 2), 3.0)), nn.Parameter(torch.full((4,), 30.0))
    optimizer = HAM(torch.optim.SGD([weight, bias], lr=0.1), max_weight_norm=10.0)
    weight.grad, bias.grad = torch.zeros(2, 2), torch.zeros(4)
    optimizer.step()
    assert bias.norm().item() == pytest.approx(10.0)
    assert weight.norm().item() == pytest.approx(6.0, rel=1e-3)


def test_exact_zeros_stay_and_the_multiplication_alone_flips_no_sign() -> None:
    generator = torch.Generator().manual_seed(1)
    weight = nn.Parameter(torch.randn(50, 50, generator=generator).double())
    weight.data[torch.rand(50, 50, generator=generator) < 0.5] = 0.0
    optimizer = torch.optim.SGD([weight], lr=0.2)
    signs = weight.detach().sign()
    for _ in range(30):
        weight.grad = torch.randn(50, 50, generator=generator).double()
        hyperbolic_step_(optimizer)
        assert torch.equal(weight.detach().sign(), signs)
    assert signs.eq(0).sum() > 1000


@pytest.mark.parametrize("start", [1.0, 1e-3])
def test_the_composed_step_flips_signs(start: float) -> None:
    weight = nn.Parameter(torch.tensor([[start]], dtype=torch.float64))
    optimizer = HAM(torch.optim.SGD([weight], lr=0.01), alpha=20.0, beta=0.0)
    for _ in range(1000):
        optimizer.zero_grad()
        (weight + 0.5).square().sum().backward()
        optimizer.step()
    assert weight.item() == pytest.approx(-0.5, abs=1e-6)


def test_the_inverse_metric_to_first_order() -> None:
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    g = torch.randn(5, 7, generator=generator, dtype=torch.float64)
    errors = []
    for rate in (1e-4, 1e-5):
        weight = nn.Parameter(theta.clone())
        weight.grad = g.clone()
        HAM(torch.optim.SGD([weight], lr=rate), alpha=6.0, beta=0.4).step()
        flow = -(1 + 6.0 * theta.abs()) * g - 0.4 * theta
        errors.append(float(((weight.detach() - theta) / rate - flow).abs().max()))
    assert errors[1] < 5e-3
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.1)  # what is left is linear in the rate


def test_small_steps_follow_the_mirror_flow() -> None:
    """dθ/dt = −(1 + αθ) g with g constant and θ > 0 has θ(t) = ((1 + αθ₀) e^{−αgt} − 1) / α."""
    alpha, theta, g, time = 3.0, 0.7, 0.8, 0.15
    expected = ((1 + alpha * theta) * math.exp(-alpha * g * time) - 1) / alpha
    errors = []
    for steps in (300, 3000):
        weight = nn.Parameter(torch.tensor([[theta]], dtype=torch.float64))
        optimizer = HAM(torch.optim.SGD([weight], lr=time / steps), alpha=alpha, beta=0.0)
        for _ in range(steps):
            weight.grad = torch.full((1, 1), g, dtype=torch.float64)
            optimizer.step()
        errors.append(abs(weight.item() - expected))
    assert errors[1] < 1e-4
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.1)


def test_a_recipe_takes_the_very_same_step() -> None:
    one, two = network(), network()
    recipe = Recipe("ham", "HAM", "arXiv:2506.02630", optimizer_steps=(HyperbolicStep,))
    hooked, wrapped = torch.optim.SGD(one.parameters(), lr=0.2), HAM(torch.optim.SGD(two.parameters(), lr=0.2))
    sparsify(one, 0.4, recipe, optimizer=hooked, rng=0)
    sparsify(two, 0.4, "static", optimizer=wrapped, rng=0)
    for number in range(10):
        for net, optimizer in ((one, hooked), (two, wrapped)):
            backward(net, number)
            optimizer.step()
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert masks.density(one) == pytest.approx(0.4, abs=0.5 / 36)
    assert all(not layer.weight[~masks.mask_of(layer).mask].any() for layer in masks.layers(one).values())


@pytest.mark.parametrize("wrap", [HAM, lambda o: SAM(HAM(o), rho=0.0)], ids=["ham", "sam of ham"])
def test_a_recipe_with_the_wrapper_multiplies_once(wrap: object) -> None:
    one, two = network(), network()
    optimizer, expected = (
        wrap(torch.optim.SGD(one.parameters(), lr=0.2)),
        HAM(torch.optim.SGD(two.parameters(), lr=0.2)),
    )
    HyperbolicStep(Setting(one, optimizer=optimizer))
    for net in (one, two):
        backward(net, 0)
    optimizer.step(lambda: 0.0)
    expected.step()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_a_fused_step_that_was_skipped_multiplies_nothing() -> None:
    net = network(torch.float32)
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.1, fused=True)
    HyperbolicStep(Setting(net, optimizer=optimizer), beta=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**8)
    before = copy.deepcopy(net.state_dict())
    scaler.scale(net(torch.ones(1, 4)).mul(1e30).square().sum()).backward()
    scaler.step(optimizer)
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("bad", [{"alpha": -1.0}, {"beta": -1.0}, {"max_weight_norm": 0.0}, {"alpha": math.nan}])
def test_bad_numbers(bad: dict) -> None:
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(UserError, match="alpha >= 0"):
        HAM(optimizer, **bad)
    with pytest.raises(UserError, match="alpha >= 0"):
        HyperbolicStep(Setting(net, optimizer=optimizer), **bad)


def test_a_recipe_without_an_optimizer() -> None:
    with pytest.raises(UserError, match="needs the optimizer"):
        HyperbolicStep(Setting(network(), method="ham"))
