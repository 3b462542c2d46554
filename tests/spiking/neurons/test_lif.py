"""Leaky integrate-and-fire: closed forms, escape noise as a renewal process, order of convergence, another library."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate

from sparsefire.errors import UserError
from sparsefire.spiking import LIF, Adaptation, Escape

TAU, DRIVE, THRESHOLD = 20e-3, 20.0, 15.0


def intervals(spikes: torch.Tensor, dt: float) -> np.ndarray:
    """Return all interspike intervals of [time, batch, unit], seconds."""
    trains = spikes.flatten(1).T.numpy()
    return np.concatenate([np.diff(np.flatnonzero(train)) for train in trains]) * dt


@pytest.mark.parametrize("refractory", [0.0, 2e-3])
def test_interval_is_the_closed_form(refractory: float) -> None:
    # From u_r the potential reaches θ after τ ln((RI − u_r)/(RI − θ)); it fires at the first step above.
    dt, reset = 1e-5, 5.0
    cell = LIF(1, TAU, THRESHOLD, reset, dt, refractory=refractory, r=2.0)
    spikes, _ = cell(torch.full((20_000, 1, 1), DRIVE / 2, dtype=torch.float64))
    expected = math.ceil(TAU * math.log((DRIVE - reset) / (DRIVE - THRESHOLD)) / dt) * dt + refractory
    assert intervals(spikes, dt) == pytest.approx(expected, abs=1e-12)


def test_membrane_is_the_closed_form() -> None:
    cell = LIF(3, tau=[10e-3, 20e-3, 40e-3], v_threshold=5.0, v_leak=-1.0, dt=1e-3, r=0.5)
    _, state = cell(torch.full((37, 2, 3), 4.0, dtype=torch.float64))
    expected = 1 - (1 + 1) * np.exp(-37e-3 / np.array([10e-3, 20e-3, 40e-3]))
    assert np.allclose(state.v.numpy(), expected, atol=1e-12)


def test_soft_reset_keeps_the_overshoot() -> None:
    cell = LIF(1, tau=1e3, v_threshold=1.0, dt=1e-3, r=1e6, reset="soft")
    spikes, state = cell(torch.full((10, 1, 1), 0.7, dtype=torch.float64))
    assert spikes.flatten().tolist() == [0, 1, 1, 0, 1, 1, 0, 1, 1, 0]  # 0.7, 1.4, 1.1, 0.8, 1.5, …
    assert float(state.v) == pytest.approx(7.0 - 6.0, abs=1e-4)


def test_at_the_threshold_it_does_not_fire() -> None:
    cell = LIF(2, tau=1e-3, v_threshold=1.0, dt=1e-3, discretisation="euler")  # v is the current
    spikes, _ = cell(torch.tensor([[[1.0, math.nextafter(1.0, 2.0)]]], dtype=torch.float64))
    assert spikes.flatten().tolist() == [0.0, 1.0]


def test_adaptation_is_that_of_a_plain_loop() -> None:
    draw = np.random.default_rng(0)
    current = draw.normal(3.0, 1.0, 300)
    cell = LIF(1, TAU, dt=1e-3, adaptation=Adaptation(tau=50e-3, step=0.3), refractory=2e-3)
    spikes, _ = cell(torch.from_numpy(current)[:, None, None])
    a, v, raised, rest, expected = math.exp(-1e-3 / TAU), 0.0, 0.0, 0, []
    for drive in current:
        if not rest:
            v = a * v + (1 - a) * drive
        fired = not rest and v > 1 + raised
        rest = 2 if fired else max(rest - 1, 0)
        v = 0.0 if fired else v
        raised = raised * math.exp(-1e-3 / 50e-3) + 0.3 * fired
        expected.append(float(fired))
    assert spikes.flatten().tolist() == expected
    assert sum(expected) > 10


def hazard(t: np.ndarray | float) -> np.ndarray:
    """ρ = 100/s exp((v − θ)/2 mV) of a membrane that was reset to 0 at time 0."""
    return 100.0 * np.exp((DRIVE * (1 - np.exp(-np.asarray(t) / TAU)) - THRESHOLD) / 2.0)


def moments_of_steps(dt: float) -> tuple[float, float]:
    """Mean and CV of the interval of the neuron in steps: fires at the end of step k with 1 − exp(−ρ(k dt) dt)."""
    k = np.arange(1, round(0.5 / dt) + 1)
    stays = np.exp(-np.cumsum(hazard(k * dt)) * dt)
    law = -np.diff(np.concatenate([[1.0], stays]))
    mean = float(law @ (k * dt))
    return mean, math.sqrt(float(law @ (k * dt) ** 2) - mean**2) / mean


def test_escape_noise_is_a_renewal_process() -> None:
    grid = np.linspace(0, 0.3, 30_001)
    stays = np.exp(-integrate.cumulative_simpson(hazard(grid), x=grid, initial=0))
    mean = integrate.simpson(stays, x=grid)
    cv = math.sqrt(2 * integrate.simpson(grid * stays, x=grid) - mean**2) / mean
    assert (mean, cv) == (pytest.approx(28.327e-3, abs=1e-6), pytest.approx(0.25547, abs=1e-5))
    errors = [abs(moments_of_steps(dt)[0] - mean) for dt in (1e-3, 1e-4)]
    assert errors[0] < 0.005 * mean
    assert errors[1] < errors[0] / 8  # at least of order 1
    dt = 1e-3
    cell = LIF(100, TAU, THRESHOLD, 0.0, dt, escape=Escape(rate=100.0, width=2.0), rng=1)
    found = intervals(cell(torch.full((3000, 3, 100), DRIVE))[0], dt)
    exact, exact_cv = moments_of_steps(dt)
    assert abs(found.mean() - exact) < 4 * exact * exact_cv / math.sqrt(len(found))
    assert abs(found.mean() - 28.327e-3) < 0.005 * 28.327e-3
    assert abs(found.std() / found.mean() - 0.25547) < 0.01 * 0.25547 + 4 * 0.25547 / math.sqrt(2 * len(found))


@pytest.mark.parametrize("discretisation", ["exponential", "euler"])
def test_order_of_convergence_is_one(discretisation: str) -> None:
    errors, period = [], 50e-3
    omega = 2 * math.pi / period
    for dt in (1e-3, 1e-4):
        t = torch.arange(round(0.1 / dt), dtype=torch.float64) * dt  # the current at the beginning of each step
        cell = LIF(1, TAU, v_threshold=10.0, dt=dt, discretisation=discretisation)
        _, state = cell(torch.sin(omega * t)[:, None, None])
        w = omega * TAU
        exact = (math.sin(omega * 0.1) - w * math.cos(omega * 0.1) + w * math.exp(-0.1 / TAU)) / (1 + w * w)
        errors.append(abs(float(state.v) - exact))
    assert 0.9 < math.log10(errors[0] / errors[1]) < 1.1


@pytest.mark.parametrize(("reset", "mechanism"), [("hard", "zero"), ("soft", "subtract")])
def test_spike_for_spike_as_snntorch(reset: str, mechanism: str) -> None:
    snntorch = pytest.importorskip("snntorch")
    from snntorch import surrogate

    torch.manual_seed(0)
    current = torch.randn(200, 4, 30, dtype=torch.float64) * 3 + 1.2
    ours, theirs = current.clone().requires_grad_(), current.clone().requires_grad_()
    # Its reset in the next step has no gradient, that in the same step has one.
    how = {"discretisation": "euler", "reset": reset, "reset_gradient": reset == "soft"}
    cell = LIF(30, TAU, dt=1e-3, steepness=10.0, **how)
    spikes, _ = cell(ours)
    other = snntorch.Leaky(
        beta=torch.tensor(1 - 1e-3 / TAU, dtype=torch.float64), reset_mechanism=mechanism,
        spike_grad=surrogate.fast_sigmoid(slope=10), reset_delay=reset == "hard",
    )  # fmt: skip
    v, found = torch.zeros(4, 30, dtype=torch.float64), []
    for part in theirs * (1e-3 / TAU):
        fired, v = other(part, v)
        found.append(fired)
    expected = torch.stack(found)
    assert torch.equal(spikes, expected.to(spikes))
    assert spikes.mean() > 0.03
    weights = torch.randn_like(current)
    (spikes * weights).sum().backward()
    (expected * weights).sum().backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"tau": 0.5e-3}, "time constant"), ({"tau": float("nan")}, "out of range"), ({"tau": -1.0}, "out of range"),
        ({"tau": [1.0, 2.0]}, "one for each unit"), ({"tau": "20 ms"}, "number"), ({"tau": True}, "number"),
        ({"v_threshold": float("inf")}, "out of range"), ({"v_reset": 2.0}, "below the threshold"),
        ({"reset": "none"}, "no such reset"), ({"surrogate": "step"}, "no such surrogate"),
        ({"discretisation": "exact"}, "no such discretisation"), ({"refractory": -1.0}, "refractory"),
        ({"refractory": 0.3e-3}, "half a step"),
        ({"dt": 0.0}, "dt"), ({"dt": float("nan")}, "dt"), ({"units": 0}, "units"), ({"units": 2.5}, "units"),
        ({"escape": 0.1}, "escape"), ({"adaptation": "yes"}, "adaptation"), ({"steepness": 0}, "steepness"),
    ],
)  # fmt: skip
def test_bad_parameters(arguments: dict, text: str) -> None:
    with pytest.raises(UserError, match=text):
        LIF(**({"units": 3} | arguments))


@pytest.mark.parametrize(
    ("given", "told"), [({"beta": 0.9}, "tau="), ({"threshold": 1.0}, "v_threshold"), ({"x": 1}, None)]
)
def test_names_of_other_packages_are_told_ours(given: dict[str, float], told: str | None) -> None:
    with pytest.raises(UserError, match="has no parameter") as caught:
        LIF(3, **given)
    assert (told or "") in caught.value.attempt
