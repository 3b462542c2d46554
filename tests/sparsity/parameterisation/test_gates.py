"""Oracles: the closed forms of hard concrete and clipped normal gates, quadrature, thresholds by hand."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity.parameterisation.annealed import SoftGates
from sparsefire.sparsity.parameterisation.deep import Deep
from sparsefire.sparsity.parameterisation.gates import InputGates
from sparsefire.sparsity.parameterisation.hard_concrete import GAMMA, TEMPERATURE, ZETA, HardConcrete
from sparsefire.sparsity.parameterisation.power import Power
from sparsefire.sparsity.parameterisation.soft import SoftThreshold

DRAWS = 40_000


def within(found: np.ndarray, expected: float) -> bool:
    return bool(abs(found.mean() - expected) < 4 * found.std() / math.sqrt(len(found)))


@pytest.mark.parametrize("log_alpha", [-1.5, 0.0, 2.0])
def test_hard_concrete_moments(log_alpha: float) -> None:
    gates = HardConcrete(torch.ones(DRAWS, dtype=torch.bool), torch.zeros(DRAWS, dtype=torch.float64), rng=5)
    gates.log_alpha.data.fill_(log_alpha)
    z = gates.gate(False).detach().numpy()
    closed = special.expit(TEMPERATURE * math.log(-GAMMA / ZETA) - log_alpha)
    open_ = special.expit(log_alpha - TEMPERATURE * math.log((1 - GAMMA) / (ZETA - 1)))
    assert within(z == 0, closed)
    assert within(z == 1, open_)

    def above(t: float) -> float:  # P(z > t)
        return float(special.expit(log_alpha - TEMPERATURE * special.logit((t - GAMMA) / (ZETA - GAMMA))))

    assert within(z, integrate.quad(above, 0, 1)[0])
    assert within(z**2, integrate.quad(lambda t: 2 * t * above(t), 0, 1)[0])
    assert gates.penalty(torch.zeros(DRAWS)).item() / DRAWS == pytest.approx(1 - closed, abs=1e-7)
    still = np.clip(special.expit(log_alpha) * (ZETA - GAMMA) + GAMMA, 0, 1)
    assert gates.gate(True)[0].item() == pytest.approx(still, abs=1e-12)


@pytest.mark.parametrize("mu", [-0.4, 0.5, 0.9])
def test_input_gates_moments(mu: float) -> None:
    gates = InputGates(torch.ones(1, DRAWS, dtype=torch.bool), torch.zeros(1, DRAWS, dtype=torch.float64), rng=5)
    gates.mu.data.fill_(mu)
    z = gates.gate(False).detach().numpy()[0]
    normal = stats.norm(mu, 0.5)
    assert within(z == 0, normal.cdf(0))
    assert within(z == 1, normal.sf(1))
    assert within(z, integrate.quad(normal.sf, 0, 1)[0])
    assert gates.penalty(torch.zeros(1, DRAWS)).item() / DRAWS == pytest.approx(normal.sf(0), abs=1e-12)


@pytest.mark.parametrize("kind", [HardConcrete, InputGates])
def test_noise_belongs_to_layer_and_step(kind: type) -> None:
    layer = nn.Linear(40, 30, bias=False)
    other = nn.Linear(40, 30, bias=False)
    for one, rng in ((layer, 1), (other, 2)):
        masks.attach_(one, kind(torch.ones(30, 40, dtype=torch.bool), one.weight, rng=rng))
    state = torch.get_rng_state()
    part = masks.mask_of(layer)
    first, again = part.gate(False), part.gate(False)
    assert torch.equal(first, again)  # looking changes nothing
    assert not torch.equal(first, masks.mask_of(other).gate(False))
    part.tick_()
    second = part.gate(False)
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(copy.deepcopy(layer).parametrizations.weight[0].gate(False), second)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(masks.mask_of(other).gate(False), second)  # key and step come along
    assert torch.equal(layer.eval().weight, layer.weight)
    layer.train()
    with torch.no_grad():
        calm = layer.weight.clone()
    assert torch.equal(calm, layer.eval().weight)


def test_gates_that_have_settled_stay_so() -> None:
    for kind in (HardConcrete, InputGates, SoftGates, SoftThreshold):
        layer, twin = nn.Linear(6, 5, bias=False), nn.Linear(6, 5, bias=False)
        for one in (layer, twin):
            masks.attach_(one, kind(torch.ones(5, 6, dtype=torch.bool), one.weight))
        part = masks.mask_of(layer)
        for parameter in part.parameters():
            parameter.data.add_(torch.rand(parameter.shape, generator=torch.Generator().manual_seed(0)) * 4 - 1)
        with torch.no_grad():
            before = layer.weight.clone()
            part.settle_(layer.parametrizations.weight.original)
            assert torch.equal(layer.weight, before)
            part.settle_(layer.parametrizations.weight.original)
            assert torch.equal(layer.weight, before)
        assert part.slope(before) == 1.0
        twin.load_state_dict(layer.state_dict())
        assert torch.equal(twin.train().weight, before)
        masks.write_weight_(twin, torch.ones(5, 6))
        assert torch.equal(twin.weight, torch.ones(5, 6))


def test_soft_threshold_is_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Linear(50, 40, bias=False)
    masks.attach_(layer, SoftThreshold(torch.ones(40, 50, dtype=torch.bool), layer.weight, start=-3.0))
    part = masks.mask_of(layer)
    trained = layer.parametrizations.weight.original
    with torch.no_grad():
        trained.copy_(torch.randn(40, 50, generator=generator) * 0.05)
    threshold = torch.sigmoid(torch.tensor(-3.0))
    expected = torch.where(
        trained > threshold, trained - threshold, torch.where(trained < -threshold, trained + threshold, 0.0)
    )
    assert torch.equal(layer.weight, expected)
    assert part.alive(trained) == int(expected.count_nonzero()) == int((trained.abs() > threshold).sum())
    critical = part.critical(trained)
    for kept in (1, 100, 1999):
        shift = critical.flatten().sort(descending=True)[0][kept].item()
        part.shift.fill_(shift)
        assert abs(int(layer.weight.count_nonzero()) - kept) <= 1
    exported = masks.dense_state_dict(layer)["weight"]
    assert torch.equal(exported, layer.weight)
    assert masks.bake(layer).weight.count_nonzero() == exported.count_nonzero()
    assert masks.density(layer) == 1999 / 2000 or masks.density(layer) == 1.0  # by value, now that it is plain


def test_soft_gates_harden() -> None:
    gates = SoftGates(torch.ones(4, dtype=torch.bool), torch.zeros(4))
    gates.gate.data = torch.tensor([-0.3, -0.1, 0.1, 0.3])
    gates.heat.fill_(200.0)
    open_ = gates.value(torch.ones(4)) / (1 + math.exp(-0.1))
    torch.testing.assert_close(open_, torch.tensor([0.0, 0.0, 1.0, 1.0]), rtol=0, atol=1e-8)
    assert gates.alive(torch.ones(4)) == pytest.approx(2 * (1 + math.exp(-0.1)), abs=1e-5)


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 4.0])
def test_powers(power: float) -> None:
    part = Power(torch.ones(3, dtype=torch.bool), torch.zeros(3), power)
    phi = torch.tensor([-1.5, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    w = part.value(phi)
    torch.testing.assert_close(w, phi.sign() * phi.abs() ** power)
    w.sum().backward()
    expected = power * phi.abs() ** (power - 1)
    torch.testing.assert_close(phi.grad, expected.detach())  # finite at zero, too
    torch.testing.assert_close(part.slope(phi), expected)


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_deep_factors_keep_law_and_distance_from_zero(depth: int) -> None:
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(100, 100, generator=generator, dtype=torch.float64) * 0.07
    layer = nn.Linear(100, 100, bias=False, dtype=torch.float64)
    masks.write_weight_(layer, theta)
    part = Deep(torch.ones(100, 100, dtype=torch.bool), theta, depth, rng=3)
    masks.attach_(layer, part)
    torch.testing.assert_close(layer.weight, theta, rtol=1e-12, atol=1e-15)
    others = list(part.factors())
    assert len(others) == depth - 1
    rms = theta.square().mean().sqrt()
    for other in others:
        low, high = (0.25 / 2) ** (1 - 1 / depth), (2 / 0.25) ** (1 - 1 / depth)  # the widest ratios
        assert other.min() >= low * (0.1 * rms) ** (1 / depth)
        assert other.max() <= high * theta.abs().max() ** (1 / depth)
    assert part.penalty(layer.parametrizations.weight.original) >= depth * theta.abs().pow(2 / depth).sum()
    again = [other.detach().clone() for other in others]
    masks.write_weight_(layer, theta)
    assert all(torch.equal(one, two) for one, two in zip(others, again, strict=True))


def test_deep_penalty_is_a_power_of_the_weight() -> None:
    """min over factors of Σ ω² at a given product is D |θ|^(2/D): descent along the fibre reaches it."""
    part = Deep(torch.ones(1, dtype=torch.bool), torch.zeros(1), 3)
    theta, logs = 0.4, torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([logs], lr=0.05)
    part = part.double()
    for _ in range(500):
        optimizer.zero_grad()
        others = logs.exp()
        (others.square().sum() + (theta / others.prod()) ** 2).backward()
        optimizer.step()
    part.factor2.data, part.factor3.data = logs.detach()[:1].exp(), logs.detach()[1:].exp()
    least = part.penalty(theta / part.slope(torch.ones(1)))
    assert least.item() == pytest.approx(3 * theta ** (2 / 3), rel=1e-9)


def test_bad_arguments() -> None:
    mask, theta = torch.ones(2, dtype=torch.bool), torch.ones(2)
    with pytest.raises(UserError, match="power must not be below one"):
        Power(mask, theta, 0.5)
    with pytest.raises(UserError, match="two factors"):
        Deep(mask, theta, 1)
