"""Oracles: the same recursion written out, a layer whose recurrent weights are zero, the event-driven engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.spiking import (
    IF,
    LIF,
    SRM0,
    Adaptation,
    CobaLIF,
    CubaLIF,
    Recurrent,
    RecurrentState,
    Sequential,
    simulate,
)


def test_spikes_come_back_a_step_later() -> None:
    torch.manual_seed(0)
    net = Recurrent(LIF(5, v_threshold=0.4)).double()
    x = 2 * torch.rand(30, 3, 5, dtype=torch.float64)
    found, state = net(x)
    spikes, v = torch.zeros(3, 5).double(), torch.zeros(3, 5).double()
    a, weight = float(net.neurons.decay), net.weights.weight
    for t in range(30):
        v = a * v + (1 - a) * (x[t] + spikes @ weight.T)
        spikes = (v > 0.4).double()
        v = v * (1 - spikes)
        torch.testing.assert_close(found[t], spikes)
    torch.testing.assert_close(state.neurons.v, v)
    assert found.sum() > 10


def test_no_weights_are_no_recurrence() -> None:
    weights = nn.Linear(5, 5, bias=False)
    nn.init.zeros_(weights.weight)
    x = 2 * torch.rand(30, 3, 5)
    for cell in (LIF(5), CubaLIF(5)):
        torch.testing.assert_close(Recurrent(cell, weights)(x)[0], cell(x)[0])


def test_time_goes_on_from_a_state() -> None:
    torch.manual_seed(0)
    net = Sequential(nn.Linear(4, 6), Recurrent(LIF(6, v_threshold=0.2)), nn.Linear(6, 2))
    x = 2 * torch.rand(30, 3, 4)
    whole, _ = net(x)
    first, state = net(x[:11])
    second, _ = net(x[11:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    whole.sum().backward()
    assert net[1].weights.weight.grad.abs().sum() > 0
    assert "1.weights.weight" in net.state_dict()


UNITS, STEPS, DT = 20, 300, 2e-3
ADAPTATION = Adaptation(tau=30e-3, step=0.3)
CASES: dict[str, dict[str, Any]] = {
    "hard": {}, "soft": {"reset": "soft"}, "refractory": {"refractory": 6e-3},
    "soft, adaptive": {"reset": "soft", "adaptation": ADAPTATION, "refractory": 2e-3},
    "adaptive": {"adaptation": ADAPTATION},
}  # fmt: skip


def between(low: float, high: float) -> torch.Tensor:
    return torch.linspace(low, high, UNITS, dtype=torch.float64)


def cell(kind: str, case: dict[str, Any]) -> Any:
    common = {"v_threshold": between(0.8, 1.2), "v_reset": between(-0.2, 0.1), "dt": DT, **case}
    if kind == "IF":
        return IF(UNITS, r=between(60, 90), **common)
    common["discretisation"] = kind.split()[-1]
    if kind.startswith("LIF"):
        return LIF(UNITS, tau=between(10e-3, 30e-3), r=between(0.8, 1.3), v_leak=between(0, 0.2), **common)
    if kind == "SRM0":
        memory = {"refractory": case.get("refractory", 0.0), "memory": "all" if "adaptation" in case else "last"}
        own = {"tau": between(10e-3, 30e-3), "v_threshold": between(0.8, 1.2), "r": between(0.8, 1.3)}
        return SRM0(UNITS, dt=DT, after=between(-1.5, -0.5), stochastic=False, **own, **memory)
    return CubaLIF(UNITS, tau_syn=between(4e-3, 9e-3), tau_mem=20e-3, r=1.3, w_in=between(0.5, 1.5), **common)


def graph() -> sf.Wiring:
    rng = np.random.default_rng(0)
    ends = rng.integers(0, UNITS, (2, 120))  # parallel arcs and loops among them
    return sf.Wiring.from_edges(*ends, 0.3 * rng.normal(size=120), units=UNITS)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["LIF exponential", "LIF euler", "CubaLIF exponential", "CubaLIF euler", "IF", "SRM0"])
def test_a_wiring_makes_the_network_of_the_other_engine(kind: str, case: str) -> None:
    neurons, wiring = cell(kind, CASES[case]), graph()
    drive = np.random.default_rng(1).uniform(0, 3, (STEPS, UNITS))
    net = Recurrent.from_wiring(neurons, wiring, dtype=torch.float64)
    found = net(torch.tensor(drive)[:, None])[0][:, 0].detach().numpy()
    run = simulate(wiring, neurons, drive, STEPS * DT, DT, delay=DT)
    assert found.sum() > 300
    assert np.array_equal(run.spikes.dense(DT), found)
    assert not np.array_equal(run.spikes.dense(DT), neurons(torch.tensor(drive)[:, None])[0][:, 0])
    # and back
    np.testing.assert_allclose(net.wiring().to_scipy().toarray(), wiring.to_scipy().toarray(), rtol=1e-12)
    again = simulate(net.wiring(), net.neurons, drive, STEPS * DT, net.dt)
    assert np.array_equal(again.times, run.times)
    assert np.array_equal(again.units, run.units)


def test_weights_in_place_of_those_of_the_wiring() -> None:
    wiring, neurons = graph(), LIF(UNITS, tau=nn.Parameter(torch.tensor(20e-3, dtype=torch.float64)))
    state = torch.get_rng_state()
    net = Recurrent.from_wiring(neurons, wiring, 0.5)
    assert torch.equal(torch.get_rng_state(), state)  # nothing is drawn
    assert net.weights.weight.dtype == torch.float32
    assert net.weights.weight.requires_grad
    many = np.zeros((UNITS, UNITS))
    np.add.at(many, (wiring.receivers, wiring.senders), 0.5)
    np.testing.assert_allclose(net.weights.weight.detach(), many / -np.expm1(-0.05), rtol=1e-6)
    each = Recurrent.from_wiring(neurons, wiring, 2 * wiring.weights)
    once = Recurrent.from_wiring(neurons, wiring)
    torch.testing.assert_close(each.weights.weight, 2 * once.weights.weight)
    nothing = Recurrent.from_wiring(neurons, sf.Wiring.from_edges([], [], units=UNITS))
    assert not nothing.weights.weight.any()
    assert nothing.wiring().arcs == 0


def test_bad_wiring() -> None:
    ring = sf.Wiring.from_edges([0, 1], [1, 0])
    layers = sf.Wiring.from_edges([0, 1], [1, 0], shape=(2, 2))
    for neurons, wiring, weights, words in (
        (LIF(2), layers, None, "not among"), (LIF(3), ring, None, "not among"), (LIF(2), np.eye(2), None, "wired by"),
        (CobaLIF(2), ring, None, "no meaning"), (nn.Linear(2, 2), ring, None, "no meaning"),
        (LIF((1, 2)), ring, None, "flat neurons"), (LIF(2, r=[1.0, 0.0]), ring, None, "r = 0"),
        (CubaLIF(2, w_in=0.0), ring, None, "w_in = 0"), (LIF(2), ring, [1.0], "one for each arc"),
        (LIF(2), ring, [1.0, np.nan], "finite"), (LIF(2), ring, "strong", "numbers"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            Recurrent.from_wiring(neurons, wiring, weights)
    for dtype in (torch.int64, "double"):
        with pytest.raises(UserError, match="floating-point"):
            Recurrent.from_wiring(LIF(2), ring, dtype=dtype)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="fit into"):
        Recurrent.from_wiring(LIF(2, tau=100.0), ring, 50.0, dtype=torch.float16)
    with pytest.raises(UserError, match="no meaning"):
        Recurrent(CobaLIF(2)).wiring()


def test_bad_input() -> None:
    for neurons, weights, words in (
        (nn.Linear(2, 2), None, "flat neurons"), (LIF((2, 3)), None, "flat neurons"),
        (Recurrent(LIF(2)), None, "flat neurons"), (LIF(2), nn.Linear(2, 2), "recurrent weights"),
        (LIF(2), nn.Linear(2, 3, bias=False), "recurrent weights"), (LIF(2), torch.ones(2, 2), "recurrent weights"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            Recurrent(neurons, weights)
    net, x = Recurrent(LIF(2)), torch.ones(3, 4, 2)
    _, state = net(x)
    for bad, words in (
        ((state.spikes, state.neurons), "no state"), (RecurrentState(state.spikes[:2], state.neurons), "another batch"),
        (RecurrentState(state.spikes, state.neurons._replace(v=torch.zeros(2, 2))), "another batch"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=words):
            net(x, bad)
