"""Oracle: spiking neurons against loops of their published equations, closed forms and renewal theory.

Neuronal Dynamics (Gerstner et al. 2014), sections 1.3, 3.1, 6.4, 9.1; NIR doi:10.1038/s41467-024-52259-9; adaptive
threshold arXiv:1803.09574; surrogate slopes doi:10.1162/neco_a_01086, arXiv:2007.05785.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from sparsefire import spiking as sp


def currents(steps: int, batch: int, units: int, number: int = 0, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.rand(steps, batch, units, generator=torch.Generator().manual_seed(number)).double()


def kept(tau: Any, dt: float, how: str = "exponential") -> Any:
    return np.exp(-dt / np.asarray(tau)) if how == "exponential" else 1 - dt / np.asarray(tau)


class Membrane:
    """Threshold, reset, dead time and adaptation of one layer, written down once for all loops of this file."""

    def __init__(
        self, v: np.ndarray, threshold: Any, v_reset: Any, reset: str, dead: int, adapt: Any, dt: float
    ) -> None:
        self.v, self.threshold, self.v_reset, self.reset, self.dead = v, threshold, v_reset, reset, dead
        self.left, self.raised = np.zeros(v.shape, int), np.zeros(v.shape)
        self.rho, self.step = (np.exp(-dt / adapt[0]), adapt[1]) if adapt else (0.0, 0.0)

    def advance(self, candidate: np.ndarray) -> np.ndarray:
        free = self.left == 0
        self.v = np.where(free, candidate, self.v)
        at = self.threshold + self.raised
        fired = free & (self.v > at)
        after = self.v_reset if self.reset == "hard" else self.v - at
        self.v = np.where(fired, after, self.v)
        self.left = np.where(fired, self.dead, np.maximum(self.left - 1, 0))
        self.raised = self.rho * self.raised + self.step * fired
        return fired


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(["hard", "soft"]),
    st.sampled_from([0, 1, 4]),
    st.sampled_from([None, (0.03, 0.4)]),
    st.sampled_from(["exponential", "euler"]),
    st.integers(0, 1000),
)
def test_lif_is_the_loop_of_its_equation(reset: str, dead: int, adapt: Any, how: str, number: int) -> None:
    rng = np.random.default_rng(number)
    n, dt = 5, 1e-3
    tau, threshold = rng.uniform(2e-3, 40e-3, n), rng.uniform(0.5, 1.5, n)
    v_reset, leak, r = rng.uniform(-0.3, 0.3, n), rng.uniform(-0.2, 0.2, n), rng.uniform(0.7, 1.5, n)
    x = currents(120, 3, n, number)
    cell = sp.LIF(
        n,
        tau=tau,
        v_threshold=threshold,
        v_reset=v_reset,
        dt=dt,
        r=r,
        v_leak=leak,
        reset=reset,
        refractory=dead * dt,
        discretisation=how,
        adaptation=sp.Adaptation(*adapt) if adapt else None,
    )
    spikes, state = cell(x)
    a = kept(tau, dt, how)
    mine = Membrane(np.broadcast_to(leak, (3, n)).copy(), threshold, v_reset, reset, dead, adapt, dt)
    wanted = [mine.advance(a * mine.v + (1 - a) * (leak + r * current)) for current in x.numpy()]
    assert np.array_equal(spikes.numpy(), np.array(wanted, float))
    assert spikes.dtype == x.dtype
    assert 0 < spikes.mean() < 1
    np.testing.assert_allclose(state.v.numpy(), mine.v, atol=1e-10)
    np.testing.assert_allclose(state.raised.numpy(), mine.raised, atol=1e-10)
    np.testing.assert_array_equal(state.rest.numpy(), mine.left)


@settings(max_examples=40, deadline=None)
@given(st.floats(1.05, 6), st.floats(3e-3, 50e-3), st.floats(-0.8, 0.6), st.integers(0, 5))
def test_interval_under_constant_current_is_the_logarithm(drive: float, tau: float, low: float, dead: int) -> None:
    dt = 1e-3
    exact = tau / dt * math.log((drive - low) / (drive - 1.0))
    if abs(exact - round(exact)) < 1e-6:
        return
    cell = sp.LIF(2, tau=[tau, tau], v_reset=low, dt=dt, refractory=dead * dt)
    spikes, _ = cell(torch.full((2000, 1, 2), drive, dtype=torch.float64))
    when = spikes[:, 0, 0].nonzero().flatten().numpy()
    assert len(when) > 2
    assert when[0] == math.ceil(tau / dt * math.log(drive / (drive - 1.0))) - 1
    assert set(np.diff(when)) == {math.ceil(exact) + dead}


def test_intervals_of_per_unit_constants() -> None:
    tau, top, dead = np.array([10e-3, 20e-3, 40e-3]), np.array([0.5, 1.0, 1.5]), 3e-3
    cell = sp.LIF(3, tau=tau, v_threshold=top, dt=1e-4, refractory=dead)
    spikes, _ = cell(torch.full((20_000, 1, 3), 2.0, dtype=torch.float64))
    law = dead + tau * np.log(2.0 / (2.0 - top))
    for unit in range(3):
        gaps = np.diff(spikes[:, 0, unit].nonzero().flatten().numpy()) * 1e-4
        assert np.ptp(gaps) < 1e-12
        assert 0 <= gaps[0] - law[unit] < 1.001e-4


@pytest.mark.parametrize("how", ["exponential", "euler"])
def test_cuba_is_the_loop_of_its_equations(how: str) -> None:
    rng, n, dt = np.random.default_rng(3), 6, 1e-3
    tau_s, tau_m, r, w = (
        rng.uniform(2e-3, 9e-3, n),
        rng.uniform(5e-3, 30e-3, n),
        rng.uniform(1, 2, n),
        rng.uniform(1, 3, n),
    )
    x = currents(300, 2, n, 5)
    cell = sp.CubaLIF(
        n, tau_s, tau_m, dt=dt, r=r, w_in=w, v_leak=0.1, refractory=2e-3, discretisation=how, v_reset=-0.2
    )
    spikes, state = cell(x)
    a, b, i = kept(tau_s, dt, how), kept(tau_m, dt, how), np.zeros((2, n))
    mine = Membrane(np.full((2, n), 0.1), 1.0, -0.2, "hard", 2, None, dt)
    wanted = []
    for current in x.numpy():
        i = a * i + (1 - a) * w * current
        wanted.append(mine.advance(b * mine.v + (1 - b) * (0.1 + r * i)))
    assert np.array_equal(spikes.numpy(), np.array(wanted, float))
    assert spikes.sum() > 20
    np.testing.assert_allclose(state.i.numpy(), i, atol=1e-10)
    np.testing.assert_allclose(state.v.numpy(), mine.v, atol=1e-10)


def test_coba_is_the_loop_of_its_equations() -> None:
    rng, n, dt = np.random.default_rng(4), 5, 1e-3
    x = torch.from_numpy(rng.normal(0.1, 0.3, (400, 2, n)))
    cell = sp.CobaLIF(n, tau=15e-3, dt=dt, tau_e=4e-3, tau_i=8e-3, v_e=3.5, v_i=-0.8, v_leak=0.05, refractory=2e-3)
    spikes, state = cell(x)
    e, i = np.zeros((2, n)), np.zeros((2, n))
    mine = Membrane(np.full((2, n), 0.05), 1.0, 0.0, "hard", 2, None, dt)
    wanted = []
    for current in x.numpy():
        e = e * math.exp(-dt / 4e-3) + np.maximum(current, 0)
        i = i * math.exp(-dt / 8e-3) + np.maximum(-current, 0)
        g = 1 + e + i
        aim = (0.05 + e * 3.5 - i * 0.8) / g
        wanted.append(mine.advance(aim + (mine.v - aim) * np.exp(-dt * g / 15e-3)))
    assert np.array_equal(spikes.numpy(), np.array(wanted, float))
    assert spikes.sum() > 20
    for name, value in (("g_e", e), ("g_i", i), ("v", mine.v)):
        np.testing.assert_allclose(getattr(state, name).numpy(), value, atol=1e-10)


@pytest.mark.parametrize("memory", ["last", "all"])
def test_srm_without_noise_is_the_loop_of_its_equations(memory: str) -> None:
    n, dt, tau, after, slow = 4, 1e-3, 12e-3, -1.3, 30e-3
    x = currents(400, 2, n, 8)
    cell = sp.SRM0(
        n,
        tau=tau,
        dt=dt,
        r=1.2,
        v_leak=0.1,
        after=after,
        tau_after=slow,
        memory=memory,
        refractory=2e-3,
        stochastic=False,
    )
    spikes, state = cell(x)
    h, eta, left, wanted = np.full((2, n), 0.1), np.zeros((2, n)), np.zeros((2, n), int), []
    for current in x.numpy():
        h = kept(tau, dt) * h + (1 - kept(tau, dt)) * (0.1 + 1.2 * current)
        eta = eta * math.exp(-dt / slow)
        fired = (left == 0) & (h + eta > 1.0)
        eta = np.where(fired, after if memory == "last" else eta + after, eta)
        left = np.where(fired, 2, np.maximum(left - 1, 0))
        wanted.append(fired)
    assert np.array_equal(spikes.numpy(), np.array(wanted, float))
    assert spikes.sum() > 20
    np.testing.assert_allclose(state.h.numpy(), h, atol=1e-10)
    np.testing.assert_allclose(state.after.numpy(), eta, atol=1e-10)


def test_if_and_li_closed_forms() -> None:
    spikes, state = sp.IF(1, r=7.0, dt=1e-2, reset="soft")(torch.ones(1000, 1, 1).double())
    assert abs(float(spikes.sum()) + float(state.v) - 70.0) < 1e-9, "soft reset loses nothing"
    x = currents(50, 2, 3, 1)
    v, _ = sp.LI(3, tau=7e-3, dt=1e-3, r=2.0, v_leak=0.3)(x)
    a = math.exp(-1 / 7)
    powers = a ** np.arange(49, -1, -1)
    wanted = 0.3 + (1 - a) * 2.0 * np.einsum("t,tbn->bn", powers, x.numpy())
    np.testing.assert_allclose(v[-1].numpy(), wanted, atol=1e-10)


def test_euler_steps_converge_at_order_one() -> None:
    exact = 0.9 * (1 - math.exp(-1.5))
    errors = []
    for dt, steps in ((1e-3, 30), (1e-4, 300), (1e-5, 3000)):
        cell = sp.LIF(1, tau=20e-3, dt=dt, discretisation="euler")
        errors.append(float(cell(torch.full((steps, 1, 1), 0.9).double())[1].v) - exact)
    assert 0.95 < math.log10(errors[0] / errors[1]) < 1.05
    assert 0.99 < math.log10(errors[1] / errors[2]) < 1.01


# ---------------------------------------------------------------- noise

HAZARDS = {
    "exponential": lambda x, rate, width: rate * np.exp(x / width),
    "linear": lambda x, rate, width: rate * np.maximum(x, 0) / width,
    "erf": lambda x, rate, width: rate * (1 + special.erf(x / width)),
}


@pytest.mark.parametrize("form", list(HAZARDS))
def test_escape_noise_is_a_renewal_chain(form: str) -> None:
    dt, tau, drive, dead, rate, width = 1e-3, 20e-3, 1.6, 3, 90.0, 0.3
    cell = sp.LIF(400, tau=tau, dt=dt, refractory=dead * dt, escape=sp.Escape(rate, width, form), rng=1)
    spikes, _ = cell(torch.full((3000, 1, 400), drive, dtype=torch.float64))
    gaps = np.concatenate([np.diff(np.flatnonzero(train)) for train in spikes[:, 0].numpy().T])
    v = drive * (1 - math.exp(-dt / tau) ** np.arange(1, 2000))
    p = 1 - np.exp(-HAZARDS[form](v - 1.0, rate, width) * dt)
    alive = np.concatenate([[1.0], np.cumprod(1 - p)[:-1]])
    law = np.concatenate([np.zeros(dead), alive * p])
    at = np.arange(1, len(law) + 1)
    mean = (law * at).sum()
    spread = math.sqrt((law * at**2).sum() - mean**2)
    assert abs(law.sum() - 1) < 1e-9
    assert abs(gaps.mean() - mean) < 4 * spread / math.sqrt(len(gaps)) + 2e-3 * mean  # short gaps fit the window better
    assert abs(gaps.std() / spread - 1) < 0.02
    assert gaps.min() > dead
    counts = np.bincount(np.minimum(gaps, 60), minlength=61)[dead + 1 :]
    expected = np.append(law[dead:59], law[59:].sum()) * len(gaps)
    big = expected > 20
    assert ((counts - expected)[big] ** 2 / expected[big]).sum() < big.sum() + 6 * math.sqrt(2 * big.sum()) + 20


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_spike_and_reset_share_one_draw(reset: str) -> None:
    n, dt, tau = 20_000, 1e-3, 20e-3
    cell = sp.LIF(n, tau=tau, dt=dt, v_reset=-0.5, reset=reset, escape=sp.Escape(300.0, 0.4), rng=3)
    a, v, state = math.exp(-dt / tau), np.zeros((1, n)), None
    drive, seen, due, spread = currents(40, 1, n, 2).numpy(), 0.0, 0.0, 0.0
    for current in drive:
        spikes, state = cell(torch.from_numpy(current[None]), state)
        fired = spikes[0].numpy() == 1
        before = a * v + (1 - a) * current
        p = 1 - np.exp(-300.0 * np.exp((before - 1) / 0.4) * dt)
        seen, due, spread = seen + fired.sum(), due + p.sum(), spread + (p * (1 - p)).sum()
        v = np.where(fired, -0.5 if reset == "hard" else before - 1.0, before)
        np.testing.assert_allclose(state.v.numpy(), v, atol=1e-9)
        weight = before - before.mean()  # firing follows each neuron's own chance
        assert abs(((fired - p) * weight).sum()) < 5 * math.sqrt((p * (1 - p) * weight**2).sum())
    assert abs(seen - due) < 4 * math.sqrt(spread)
    assert seen > 10_000


@pytest.mark.parametrize("memory", ["last", "all"])
def test_srm_with_noise_has_its_conditional_law(memory: str) -> None:
    n, dt = 500, 1e-3
    cell = sp.SRM0(n, tau=10e-3, dt=dt, after=-0.7, tau_after=15e-3, memory=memory, escape=sp.Escape(60.0, 0.3), rng=5)
    x = currents(600, 1, n, 9, 2.5)
    fired = cell(x)[0][:, 0].numpy()
    h, eta, a, z, spread = np.zeros(n), np.zeros(n), math.exp(-0.1), np.zeros(2), np.zeros(2)
    for s, current in zip(fired, x[:, 0].numpy(), strict=True):
        h, eta = a * h + (1 - a) * current, eta * math.exp(-1 / 15)
        p = 1 - np.exp(-60.0 * np.exp((h + eta - 1) / 0.3) * dt)
        for row, weight in enumerate((np.ones(n), eta)):
            z[row] += ((s - p) * weight).sum()
            spread[row] += (p * (1 - p) * weight**2).sum()
        eta = np.where(s == 1, -0.7 if memory == "last" else eta - 0.7, eta)
    assert (np.abs(z) < 4 * np.sqrt(spread)).all()


def test_memoryless_units_fire_with_their_probability() -> None:
    level = torch.linspace(-3, 3, 60).double()
    x = level.repeat(4000, 1, 1)
    for cell, p in (
        (sp.Bernoulli(60, rng=2), special.expit(level.numpy())),
        (sp.Poisson(60, dt=5e-3, rng=2), 1 - np.exp(-np.exp(level.numpy()) * 5e-3)),
        (sp.Poisson(60, dt=5e-3, link="linear", rng=2), 1 - np.exp(-np.maximum(level.numpy(), 0) * 5e-3)),
    ):
        counts = cell(x)[0].sum((0, 1)).numpy()
        assert (np.abs(counts - 4000 * p) <= 4.5 * np.sqrt(4000 * p * (1 - p)) + 1e-9).all()
        np.testing.assert_allclose(cell.probability(level).numpy(), p, rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize(
    "make", [lambda: sp.LIF(7, escape=sp.Escape(), rng=4), lambda: sp.SRM0(7, rng=4, escape=sp.Escape())]
)
def test_noise_belongs_to_sequences(make: Any) -> None:
    x = currents(90, 6, 7, 3)
    whole, end = make()(x)
    cut, state = make(), None
    parts = []
    for piece in x.split([1, 40, 49]):
        spikes, state = cut(piece, state)
        parts.append(spikes)
    assert torch.equal(torch.cat(parts), whole)
    assert 0 < whole.mean() < 1
    for one, other in zip(state, end, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
    split = make()
    assert torch.equal(torch.cat([split(part)[0] for part in x.split([2, 4], dim=1)], 1), whole)
    again = make()
    again(x)
    assert not torch.equal(again(x)[0], whole), "a new sequence, new noise"
    flat = x[:, :1].expand(-1, 6, -1).contiguous()
    spikes = make()(flat)[0]
    assert not torch.equal(spikes[:, 0], spikes[:, 1])
