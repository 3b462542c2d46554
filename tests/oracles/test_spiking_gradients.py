"""Oracle: surrogate gradients, chains of layers, indexed input, online rules and encoders; and what they refuse.

Slopes doi:10.1162/neco_a_01086, arXiv:2007.05785, arXiv:1803.09574; e-prop doi:10.1038/s41467-020-17236-y;
OTTT arXiv:2210.04195.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsefire import spiking as sp
from sparsefire.errors import UserError

SLOPES = {
    "fast-sigmoid": lambda x, b: 1 / (1 + b * x.abs()) ** 2,
    "arctan": lambda x, b: 1 / (1 + (math.pi * b * x / 2) ** 2),
    "triangle": lambda x, b: (1 - b * x.abs()).clamp(min=0),
    "sigmoid": lambda x, b: 4 * torch.sigmoid(b * x) * (1 - torch.sigmoid(b * x)),
}


def fires(x: Tensor, shape: str, b: float) -> Tensor:
    """A step whose derivative is the slope."""
    slope = SLOPES[shape](x.detach(), b)
    return (x > 0).to(x.dtype).detach() + slope * (x - x.detach())


def loop(x: Tensor, p: dict[str, Any], dt: float, reset: str, dead: int, through: bool, shape: str, b: float) -> Tensor:
    a = torch.exp(-dt / p["tau"])
    v = p["leak"] + torch.zeros_like(x[0])
    left, out = torch.zeros_like(v), []
    for current in x:
        free = left == 0
        v = torch.where(free, a * v + (1 - a) * (p["leak"] + p["r"] * current), v)
        s = torch.where(free, fires(v - p["top"], shape, b), torch.zeros_like(v))
        gate = s if through else s.detach()
        v = v * (1 - gate) + p["v_reset"] * gate if reset == "hard" else v - gate * p["top"]
        left = torch.where(s.detach() > 0, torch.full_like(left, float(dead)), (left - 1).clamp(min=0))
        out.append(s)
    return torch.stack(out)


@pytest.mark.parametrize("shape", list(SLOPES))
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("through", [False, True])
@pytest.mark.parametrize("dead", [0, 2])
def test_gradients_are_those_of_the_loop(shape: str, reset: str, through: bool, dead: int) -> None:
    torch.manual_seed(0)
    n, dt = 4, 1e-3
    values = {"tau": 4e-3 + 20e-3 * torch.rand(n), "r": 0.8 + torch.rand(n), "top": 0.7 + 0.6 * torch.rand(n)}
    values |= {"v_reset": -0.2 * torch.rand(n), "leak": 0.1 * torch.rand(n)}
    mine = {k: v.double().requires_grad_() for k, v in values.items()}
    x = (2.5 * torch.rand(40, 3, n)).double().requires_grad_()
    weight = torch.randn(40, 3, n).double()
    s = loop(x, mine, dt, reset, dead, through, shape, 4.0)
    wanted = torch.autograd.grad((weight * s).sum(), [x, *mine.values()], allow_unused=True)
    theirs = {k: nn.Parameter(v.detach().clone()) for k, v in mine.items()}
    names = {"tau": "tau", "r": "r", "v_threshold": "top", "v_reset": "v_reset", "v_leak": "leak"}
    options = {"reset": reset, "refractory": dead * dt, "surrogate": shape, "steepness": 4.0, "reset_gradient": through}
    y = x.detach().clone().requires_grad_()
    cell = sp.LIF(n, dt=dt, **{k: theirs[v] for k, v in names.items()}, **options)
    spikes, _ = cell(y)
    assert torch.equal(spikes.detach(), s.detach())
    assert 5 < s.sum() < s.numel() / 2
    (weight * spikes).sum().backward()
    torch.testing.assert_close(y.grad, wanted[0], rtol=1e-9, atol=1e-11)
    for name, (key, exact) in zip(names, zip(mine, wanted[1:], strict=True), strict=False):
        parameter = dict(cell.named_parameters())[{v: k for k, v in names.items()}[key]]
        exact = torch.zeros(n).double() if exact is None else exact
        found = torch.zeros_like(exact) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found, exact, rtol=1e-7, atol=1e-9, msg=f"{name} {key}")
    fixed = sp.LIF(n, dt=dt, **{k: values[v].double() for k, v in names.items()}, **options)
    z = x.detach().clone().requires_grad_()
    (weight * fixed(z)[0]).sum().backward()
    torch.testing.assert_close(z.grad, wanted[0], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("shape", list(SLOPES))
def test_slopes(shape: str) -> None:
    x = torch.linspace(-2, 2, 401).double()
    torch.testing.assert_close(sp.surrogate_slope(x, shape, 3.0), SLOPES[shape](x, 3.0), rtol=1e-12, atol=1e-14)
    y = x.clone().requires_grad_()
    s = sp.spike(y, shape, 3.0)
    s.sum().backward()
    assert torch.equal(s.detach(), (x > 0).double())
    torch.testing.assert_close(y.grad, SLOPES[shape](x, 3.0), rtol=1e-12, atol=1e-14)


def test_noise_has_the_gradient_of_the_probability() -> None:
    x = torch.linspace(-2, 2, 50).double().reshape(1, 1, 50)
    a = math.exp(-1 / 20)

    def lif(i: Tensor) -> Tensor:
        return 1 - torch.exp(-100 * torch.exp(((1 - a) * 20 * i - 1) / 0.2) * 1e-3)

    cases = (
        (sp.LIF(50, r=20.0, escape=sp.Escape(), rng=0), lif),
        (sp.Bernoulli(50, rng=0), torch.sigmoid),
        (sp.Poisson(50, rng=0), lambda i: 1 - torch.exp(-torch.exp(i) * 1e-3)),
    )
    for cell, chance in cases:
        y, z = x.clone().requires_grad_(), x.clone().requires_grad_()
        cell(y)[0].sum().backward()
        chance(z).sum().backward()
        torch.testing.assert_close(y.grad, z.grad, rtol=1e-9, atol=1e-12)


def test_chains_keep_state_and_equal_their_parts() -> None:
    torch.manual_seed(2)
    conv = sp.Sequential(
        nn.Conv2d(1, 2, 3), sp.LIF((2, 4, 4), tau=5e-3), nn.Flatten(), nn.Linear(32, 3), sp.LI(3)
    ).double()
    x = 9 * torch.rand(20, 2, 1, 6, 6).double()
    whole, _ = conv(x)
    spikes, _ = conv[1](torch.stack([conv[0](part) for part in x]))
    v, _ = conv[4](torch.stack([conv[3](part.flatten(1)) for part in spikes]))
    torch.testing.assert_close(whole, v, rtol=1e-10, atol=1e-10)
    assert spikes.sum() > 10
    state, parts = None, []
    for part in x.split([3, 17]):
        y, state = conv(part, state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-10, atol=1e-10)
    with pytest.raises(UserError):
        conv(x, state[:1])
    with pytest.raises(UserError):
        conv(x[:, :1], state)


def test_recurrent_layers_and_their_gradients() -> None:
    torch.manual_seed(6)
    layer = sp.Recurrent(sp.LIF(4, tau=5e-3)).double()
    layer.weights.weight.data.mul_(6)
    x, aim = (4 * torch.rand(40, 2, 4)).double().requires_grad_(), torch.randn(40, 2, 4).double()
    s, state, parts = torch.zeros(2, 4).double(), None, []
    for current in x:
        out, state = sp.LIF(4, tau=5e-3)((current + s @ layer.weights.weight.T)[None], state)
        s = out[0]
        parts.append(s)
    found, _ = layer(x)
    assert torch.equal(found, torch.stack(parts))
    names = [x, layer.weights.weight]
    for a, b in zip(*(torch.autograd.grad((aim * y).sum(), names) for y in (found, torch.stack(parts))), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_perceptron_is_its_formula() -> None:
    torch.manual_seed(7)
    net, rows = sp.SpikingPerceptron([5, 12, 7, 3], steps=20, tau=8e-3), torch.randn(6, 5)
    linear = [m for m in net.modules() if isinstance(m, nn.Linear)]
    a = math.exp(-1 / 8)
    y = linear[0](3 * rows).expand(20, 6, 12)
    for following in linear[1:]:
        v, spikes = torch.zeros_like(y[0]), []
        for current in y:
            v = a * v + current
            spikes.append((v > 1).float())
            v = torch.where(v > 1, torch.zeros_like(v), v)
        y = following(torch.stack(spikes))
    torch.testing.assert_close(net(3 * rows), y.mean(0), rtol=1e-4, atol=1e-5)


def test_indexed_input_is_the_dense_product() -> None:
    torch.manual_seed(3)
    for p in (0.0, 0.02, 0.6):
        spikes = (torch.rand(30, 4, 50) < p).double().requires_grad_()
        weight, bias = torch.randn(7, 50).double().requires_grad_(), torch.randn(7).double().requires_grad_()
        aim = torch.randn(30, 4, 7).double()
        one = sp.linear_of_spikes(spikes, weight, bias)
        two = nn.functional.linear(spikes, weight, bias)
        torch.testing.assert_close(one, two, rtol=1e-11, atol=1e-11)
        for a, b in zip(
            *(torch.autograd.grad((aim * y).sum(), [spikes, weight, bias]) for y in (one, two)), strict=True
        ):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    net = sp.Sequential(nn.Linear(50, 9), sp.LIF(9, tau=3e-3)).double()
    sparse = (torch.rand(200, 2, 50) < 0.03).double() * 1.0
    found = net(30 * sparse)[0], net(sparse)[0]
    net.indexed = False
    assert torch.equal(found[0], net(30 * sparse)[0])
    assert torch.equal(found[1], net(sparse)[0])


def grads(net: nn.Module) -> list[Tensor]:
    found = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    return found


@pytest.mark.parametrize(
    "kind", [{"reset": "hard", "refractory": 2e-3}, {"reset": "soft", "adaptation": sp.Adaptation(0.03, 0.2)}]
)
def test_eprop_without_recurrence_is_bptt(kind: dict[str, Any]) -> None:
    torch.manual_seed(4)
    net = sp.Sequential(
        nn.Linear(6, 8), sp.LIF(8, tau=8e-3, r=4.0, **kind), nn.Linear(8, 2), sp.LI(2, tau=12e-3)
    ).double()
    x, y = (torch.rand(50, 3, 6) < 0.4).double(), torch.randn(3, 2).double()
    out, _ = net(x)
    assert net[1](net[0](x))[0].sum() > 30
    loss = torch.stack([nn.functional.mse_loss(part, y) for part in out]).mean()
    loss.backward()
    wanted = grads(net)
    assert sp.EProp()(net, nn.functional.mse_loss, x, y).item() == pytest.approx(loss.item())
    for a, b in zip(grads(net), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11)


def test_ottt_with_soft_reset_is_bptt() -> None:
    torch.manual_seed(5)
    net = sp.Sequential(nn.Linear(6, 8), sp.LIF(8, tau=8e-3, r=4.0, reset="soft"), nn.Linear(8, 2)).double()
    x, y = (torch.rand(50, 3, 6) < 0.4).double(), torch.randn(3, 2).double()
    out, _ = net(x)
    torch.stack([nn.functional.mse_loss(part, y) for part in out]).mean().backward()
    wanted = grads(net)
    sp.OTTT()(net, nn.functional.mse_loss, x, y)
    for a, b in zip(grads(net), wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-11)


def test_encoders() -> None:
    values = torch.linspace(0, 1, 11)
    counts = sp.encode_by_rate(values, 20_000, rng=1).sum(0).numpy()
    p = values.numpy()
    assert (np.abs(counts - 20_000 * p) <= 4 * np.sqrt(20_000 * p * (1 - p)) + 1e-3).all()
    late = sp.encode_by_latency(values, 11)
    assert late.sum(0).tolist() == [0.0] + [1.0] * 10
    when = late[:, 1:].argmax(0)
    assert when[-1] == 0
    assert (when.diff() <= 0).all()
    assert when[0] >= 9
    t = np.linspace(0, 2, 400)[:, None]
    signal = np.hstack([np.sin(3 * t), np.cos(2 * t)])
    events = sp.encode_changes(signal, 0.05).numpy()
    up, down = events[:, 0::2] - events[:, 1::2], events[:, :2] - events[:, 2:]
    rebuilt = [signal[0] + 0.05 * np.cumsum(each, 0) for each in (up, down)]
    assert min(np.abs(each - signal).max() for each in rebuilt) < 0.0501
    for call in (
        lambda: sp.encode_by_rate([1.5], 3),
        lambda: sp.encode_by_rate([math.nan], 3),
        lambda: sp.encode_by_rate([0.5], 0),
        lambda: sp.encode_by_rate("a", 3),
        lambda: sp.encode_by_latency([0.5], 3, threshold=1.0),
        lambda: sp.encode_by_latency([-0.1], 3),
        lambda: sp.encode_by_latency([0.1], 2.5),
        lambda: sp.encode_changes([[0.0], [math.inf]], 0.5),
        lambda: sp.encode_changes([[0.0]], 0.0),
        lambda: sp.encode_changes(1.0, 0.5),
    ):
        with pytest.raises(UserError):
            call()


X = torch.ones(5, 2, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda: sp.LIF(3, tau=1e-4, dt=1e-3),
        lambda: sp.LIF(3, tau=[0.02, 1e-4, 0.02]),
        lambda: sp.LIF(3, tau=[0.02, 0.02]),
        lambda: sp.LIF(3, tau=math.nan),
        lambda: sp.LIF(3, tau="slow"),
        lambda: sp.LIF(3, dt=0.0),
        lambda: sp.LIF(3, dt=-1e-3),
        lambda: sp.LIF(0),
        lambda: sp.LIF(2.5),
        lambda: sp.LIF("3"),
        lambda: sp.LIF(3, v_reset=1.0),
        lambda: sp.LIF(3, reset="none"),
        lambda: sp.LIF(3, refractory=-1e-3),
        lambda: sp.LIF(3, refractory=math.inf),
        lambda: sp.LIF(3, surrogate="box"),
        lambda: sp.LIF(3, steepness=0.0),
        lambda: sp.LIF(3, escape="exponential"),
        lambda: sp.LIF(3, adaptation=0.1),
        lambda: sp.LIF(3, discretisation="heun"),
        lambda: sp.Escape(rate=0.0),
        lambda: sp.Escape(width=-1.0),
        lambda: sp.Escape(form="cubic"),
        lambda: sp.Adaptation(0.0, 0.1),
        lambda: sp.Adaptation(0.1, math.nan),
        lambda: sp.CubaLIF(3, tau_syn=1e-4),
        lambda: sp.CobaLIF(3, tau_e=1e-4),
        lambda: sp.CobaLIF(3, v_e=-2.0),
        lambda: sp.SRM0(3, tau_after=1e-4, escape=sp.Escape()),
        lambda: sp.SRM0(3, memory="some"),
        lambda: sp.LI(3, tau=1e-4),
        lambda: sp.IF(3, r=math.inf),
        lambda: sp.Poisson(3, link="cubic"),
        lambda: sp.LIF(3)(X[0]),
        lambda: sp.LIF(4)(X),
        lambda: sp.LIF(3)(X.long()),
        lambda: sp.LIF(3)(X.numpy()),
        lambda: sp.LIF(3)(X, sp.LIF(3).initial_state(5)),
        lambda: sp.LIF(3)(X, "state"),
        lambda: sp.LIF(3)(X, sp.CubaLIF(3).initial_state(2)),
        lambda: sp.SRM0(3, escape=sp.Escape())(X, sp.SRM0(3, escape=sp.Escape()).initial_state(1)),
        lambda: sp.Recurrent(sp.LIF((2, 2))),
        lambda: sp.Recurrent(sp.LIF(3), nn.Linear(3, 3)),
        lambda: sp.Recurrent(sp.LIF(3), nn.Linear(3, 4, bias=False)),
        lambda: sp.Recurrent(nn.Linear(3, 3)),
        lambda: sp.Sequential(nn.Linear(3, 3))(X[0, 0]),
        lambda: sp.Sequential(nn.Linear(3, 3), sp.LIF(3))(X.long()),
        lambda: sp.Sequential(nn.Linear(3, 3), sp.LIF(3))(X, ()),
        lambda: sp.linear_of_spikes(0.5 * X, torch.ones(2, 3)),
        lambda: sp.linear_of_spikes(X, torch.ones(2, 4)),
        lambda: sp.linear_of_spikes(X, torch.ones(2, 3), torch.ones(3)),
        lambda: sp.surrogate_slope(X, "box", 1.0),
    ],
)
def test_bad_input(call: Any) -> None:
    with pytest.raises(UserError):
        call()


def test_step_longer_than_the_time_constant_of_the_threshold() -> None:
    with pytest.raises(UserError, match=r"step|constant|tau"):
        sp.LIF(3, tau=20e-3, dt=1e-3, adaptation=sp.Adaptation(1e-5, 0.1))
