"""Oracle: the simulator of wired networks against loops, closed forms and laws of its own.

Siegert's rate in the form of Brunel 2000 (doi:10.1023/A:1008925309027); Hawkes 1971 (doi:10.1093/biomet/58.1.83);
renewal theory (Cox 1962); time rescaling doi:10.1162/NECO_a_00015.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

import sparsefire as sf
from sparsefire import spiking as sp
from sparsefire.errors import UserError


def drawn(number: int, units: int, arcs: int) -> tuple[sf.Wiring, np.random.Generator]:
    rng = np.random.default_rng(number)
    ends = rng.integers(0, units, (2, arcs))
    return sf.Wiring.from_edges(ends[0], ends[1], rng.normal(0.25, 0.5, arcs), units=units), rng


def by_hand(wiring: sf.Wiring, current: np.ndarray, lag: np.ndarray, kind: str, p: dict[str, Any]) -> np.ndarray:
    """Return spikes [steps, units], arc by arc and step by step."""
    steps, n = current.shape
    senders = np.repeat(np.arange(n), np.diff(wiring.starts))
    due = np.zeros((steps + lag.max() + 1, n))
    a = np.exp(-p["dt"] / p["tau"])
    v, i = np.full(n, p["leak"]), np.zeros(n)
    if kind == "if":
        v = np.full(n, p["v_reset"])
    left, raised, out = np.zeros(n, int), np.zeros(n), np.zeros((steps, n), bool)
    for k in range(steps):
        if kind == "cuba":
            b = np.exp(-p["dt"] / p["tau_syn"])
            i = b * i + (1 - b) * p["w_in"] * current[k] + due[k]
            new = a * v + (1 - a) * (p["leak"] + p["r"] * i)
        elif kind == "if":
            new = v + p["dt"] * p["r"] * current[k] + due[k]
        else:
            new = a * v + (1 - a) * (p["leak"] + p["r"] * current[k]) + due[k]
        v = np.where(left == 0, new, v)
        fired = (left == 0) & (v > p["top"] + raised)
        v = np.where(fired, p["v_reset"] if p["reset"] == "hard" else v - p["top"] - raised, v)
        left = np.where(fired, p["dead"], np.maximum(left - 1, 0))
        raised = raised * math.exp(-p["dt"] / 0.05) + p["rise"] * fired
        for arc in np.flatnonzero(fired[senders]):
            due[k + lag[arc], wiring.receivers[arc]] += wiring.weights[arc]
        out[k] = fired
    return out


@settings(max_examples=30, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["lif", "cuba", "if"]),
    st.sampled_from(["hard", "soft"]),
    st.integers(0, 3),
    st.booleans(),
)
def test_tiny_networks_spike_for_spike(number: int, kind: str, reset: str, dead: int, adapts: bool) -> None:
    n, steps, dt = 6, 150, 1e-3
    wiring, rng = drawn(number, n, 14)
    lag = rng.integers(1, 6, 14)
    current = rng.uniform(0.4, 2.2, n) + np.zeros((steps, 1)) + rng.normal(0, 0.4, (steps, n))
    p: dict[str, Any] = {"dt": dt, "tau": rng.uniform(5e-3, 30e-3, n), "tau_syn": rng.uniform(2e-3, 9e-3, n)}
    p |= {"r": rng.uniform(0.8, 1.6, n), "top": rng.uniform(0.7, 1.3, n), "v_reset": rng.uniform(-0.3, 0.3, n)}
    p |= {"leak": 0.1, "w_in": 1.3, "dead": dead, "reset": reset, "rise": 0.2 if adapts else 0.0}
    shared = {"v_threshold": p["top"], "v_reset": p["v_reset"], "dt": dt, "reset": reset, "refractory": dead * dt}
    shared |= {"adaptation": sp.Adaptation(0.05, 0.2) if adapts else None}
    if kind == "lif":
        cell = sp.LIF(n, tau=p["tau"], r=p["r"], v_leak=0.1, **shared)
    elif kind == "cuba":
        cell = sp.CubaLIF(n, p["tau_syn"], p["tau"], r=p["r"], v_leak=0.1, w_in=1.3, **shared)
    else:
        p["r"] = p["r"] * 40
        cell = sp.IF(n, r=p["r"], **shared)
    wanted = by_hand(wiring, current, lag, kind, p)
    run = sp.simulate(wiring, cell, current, duration=steps * dt, dt=dt, delay=lag * dt)
    found = run.spikes.dense(dt)
    assert np.array_equal(found, wanted), "spikes differ"
    assert np.all(np.diff(run.times) >= 0)
    assert run.duration == pytest.approx(steps * dt)
    np.testing.assert_allclose(run.times, (np.nonzero(wanted)[0] + 1) * dt, atol=1e-12)
    np.testing.assert_allclose(run.firing_rates, wanted.sum(0) / (steps * dt))
    assert sp.check(run).passed is not False if len(run.times) else True


def test_same_spikes_as_the_torch_layer() -> None:
    n, dt, tau = 12, 1e-3, 15e-3
    wiring, rng = drawn(5, n, 40)
    a = math.exp(-dt / tau)
    dense = np.zeros((n, n))
    np.add.at(dense, (wiring.receivers, np.repeat(np.arange(n), np.diff(wiring.starts))), wiring.weights)
    inner = torch.nn.Linear(n, n, bias=False).double()
    inner.weight.data.copy_(torch.from_numpy(dense / (1 - a)))
    current = rng.uniform(0.5, 2.5, (300, n))
    cell = sp.LIF(n, tau=tau, dt=dt, refractory=2e-3)
    wanted, _ = sp.Recurrent(cell, inner)(torch.from_numpy(current[:, None]))
    run = sp.simulate(wiring, cell, current, duration=0.3, dt=dt)
    assert np.array_equal(run.spikes.dense(dt), wanted[:, 0].detach().numpy())
    assert len(run.times) > 50


def alone(n: int) -> sf.Wiring:
    return sf.Wiring.from_edges([], [], units=n)


def test_poisson_drive_is_poisson_step_by_step() -> None:
    n, dt, tau, rate, w = 40, 1e-3, 10e-3, np.repeat([300.0, 2500.0], 20), 0.3
    cell = sp.LIF(n, tau=tau, v_threshold=1e6, dt=dt)
    run = sp.simulate(alone(n), cell, sp.PoissonDrive(rate, w), duration=3.0, dt=dt, rng=7)
    v = np.vstack([np.zeros(n), run.replay().v])
    arrived = (v[1:] - math.exp(-dt / tau) * v[:-1]) / w
    counts = np.rint(arrived).astype(int)
    assert np.abs(arrived - counts).max() < 1e-6
    for part, mean in ((counts[:, :20], 0.3), (counts[:, 20:], 2.5)):
        seen = np.bincount(part.ravel(), minlength=30)[:30]
        expected = stats.poisson.pmf(np.arange(30), mean) * part.size
        big = expected > 10
        assert stats.chi2.sf(((seen - expected)[big] ** 2 / expected[big]).sum(), big.sum() - 1) > 1e-4
        assert abs(part.mean() - mean) < 4 * math.sqrt(mean / part.size)
        z = (part - mean) / math.sqrt(mean)
        assert abs(z.var() - 1) < 4 * math.sqrt((2 + 1 / mean) / z.size)
        assert abs((z[1:] * z[:-1]).mean()) < 4 / math.sqrt(z.size), "steps are independent"
        assert abs((z.sum(1) ** 2).mean() / 20 - 1) < 6 * math.sqrt(2 / len(z)), "units are independent"


def test_arrivals_and_sums_of_drives() -> None:
    given_spikes = sp.Spikes([0.001, 0.0015, 0.004], [0, 1, 0], duration=0.01)
    matrix = np.array([[0.5, 0.0], [0.0, 2.0], [1.0, -0.5]])
    cell = sp.LIF(3, tau=20e-3, v_threshold=50.0)
    drives = (sp.Arrivals(given_spikes, matrix), [0.1, 0.2, 0.3], np.full((10, 3), 0.5))
    run = sp.simulate(alone(3), cell, drives, duration=0.01, dt=1e-3, initial=[1.0, 2.0, 3.0])
    a, v = math.exp(-0.05), np.array([1.0, 2.0, 3.0])
    counts = given_spikes.counts_in(1e-3)
    assert counts[:, 0].tolist()[:4] == [1, 0, 0, 1]
    assert counts[1, 1] == 1
    for k, seen in enumerate(run.replay().v):
        v = a * v + (1 - a) * (np.array([0.1, 0.2, 0.3]) + 0.5) + matrix @ counts[k]
        np.testing.assert_allclose(seen, v, atol=1e-12)


def test_dead_time_poisson_in_steps() -> None:
    n, dt, hazard, dead = 200, 1e-3, 50.0, 5
    cell = sp.LIF(n, tau=20e-3, v_threshold=1.0, refractory=dead * dt, escape=sp.Escape(hazard * math.e, 1.0))
    run = sp.simulate(alone(n), cell, None, duration=20.0, dt=dt, rng=3)
    gaps = np.concatenate([np.diff(train) for train in run.spikes.trains()]) / dt
    p = 1 - math.exp(-hazard * dt)
    mean, spread = dead + 1 / p, math.sqrt(1 - p) / p
    counts = run.spikes.counts
    se = math.sqrt(20.0 / dt * spread**2 / mean**3 / n)  # renewal theory: Var N = T σ²/μ³
    assert abs(counts.mean() - (20.0 / dt / mean + (spread**2 / mean**2 - 1) / 2 + 0.5)) < 4 * se + 3.0
    assert abs(gaps.std() / gaps.mean() - spread / mean) < 0.01
    assert gaps.min() > dead - 1e-6 + 1 - 1e-6
    assert abs(counts.var() / counts.mean() - (spread / mean) ** 2) < 4 * 0.64 * math.sqrt(2 / n)
    assert sp.check(run).passed


def test_escape_noise_in_steps() -> None:
    n, dt, dead = 300, 1e-3, 2
    cell = sp.LIF(n, tau=20e-3, v_threshold=15.0, escape=sp.Escape(100.0, 2.0), refractory=dead * dt)
    run = sp.simulate(alone(n), cell, 20.0, duration=8.0, dt=dt, rng=1)
    gaps = np.concatenate([np.diff(train) for train in run.spikes.trains()]) / dt
    v = 20 * (1 - math.exp(-0.05) ** np.arange(1, 500))
    alive = np.cumprod(np.append(1.0, np.exp(-100 * np.exp((v - 15) / 2) * dt)))
    assert abs(gaps.mean() - dead - alive.sum()) < 4 * gaps.std() / math.sqrt(len(gaps))


def hawkes_run(seconds: float, rng: int) -> tuple[sp.Run, sp.Hawkes, float]:
    """A linear hazard and a soft reset at 0: nothing is reset, a Hawkes network on a grid."""
    mu, branching, beta, dt = (
        np.array([12.0, 6.0, 9.0]),
        np.array([[0.3, 0.2, 0], [0, 0.2, 0.4], [0.3, 0, 0.1]]),
        50.0,
        5e-4,
    )
    to, source = np.nonzero(branching)
    decay = math.exp(-beta * dt)
    w = branching[to, source] * (1 - decay) / dt  # Σ_k w decay^k dt = branching ratio
    wiring = sf.Wiring.from_edges(source, to, w, units=3)
    cell = sp.LIF(3, tau=1 / beta, v_threshold=0.0, v_reset=-1.0, reset="soft", escape=sp.Escape(1.0, 1.0, "linear"))
    run = sp.simulate(wiring, cell, mu, duration=seconds, dt=dt, rng=rng)
    return run, sp.Hawkes(mu, branching, beta), dt


def test_hawkes_network() -> None:
    run, law, dt = hawkes_run(200.0, 2)
    spikes = run.spikes.between(2.0, 200.0)
    n, total = np.linalg.inv(np.eye(3) - law.branching), 198.0
    rates = n @ np.array([12.0, 6.0, 9.0])
    covariance = n @ np.diag(rates) @ n.T * total
    bias = rates * (1 - np.exp(-rates * dt)) / (rates * dt) - rates  # at most one spike in a step, to first order
    assert (np.abs(spikes.counts - (rates + 3 * bias) * total) < 4 * np.sqrt(np.diag(covariance))).all()
    window = 0.5
    counts = spikes.counts_in(window)[:395]
    found, wanted = np.cov(counts.T), law.count_covariance(window)
    error = np.sqrt((np.outer(np.diag(wanted), np.diag(wanted)) + wanted**2) / len(counts))
    assert (np.abs(found - wanted) < 4.5 * error).all()
    assert sp.check(hawkes_run(12.0, 3)[0], units=[0, 1, 2]).passed


def siegert(mu: float, sigma: float, tau: float, low: float, dead: float, top: float = 1.0) -> float:
    area = integrate.quad(lambda x: special.erfcx(-x), (low - mu) / sigma, (top - mu) / sigma)[0]
    return 1 / (dead + tau * math.sqrt(math.pi) * area)


@pytest.mark.parametrize(("mu", "sigma"), [(0.8, 0.4), (1.2, 0.25)])
def test_diffusion_limit(mu: float, sigma: float) -> None:
    n, dt, tau, dead, seconds, w = 60, 1e-4, 10e-3, 2e-3, 4.0, 4e-3
    rate = sigma**2 / tau / w**2 / 2  # Σ rate w² = σ²/τ; σ²/2 is the variance of v
    drive = (mu, sp.PoissonDrive(rate, w), sp.PoissonDrive(rate, -w))
    cell = sp.LIF(n, tau=tau, v_reset=0.0, refractory=dead)
    run = sp.simulate(alone(n), cell, drive, duration=seconds, dt=dt, rng=11)
    a, step = math.exp(-dt / tau), w * math.sqrt(2 * rate * dt)
    node, weight = np.polynomial.legendre.leggauss(700)
    low = mu - 6 * sigma
    y, q = low + (node + 1) / 2 * (1 - low), weight * (1 - low) / 2

    def kernel(x: np.ndarray) -> np.ndarray:
        return stats.norm.pdf(y[None], a * x[:, None] + (1 - a) * mu, step) * q

    times = np.linalg.solve(np.eye(len(y)) - kernel(y), np.ones(len(y)))
    mean = dead + dt * (1 + (kernel(np.zeros(1)) @ times)[0])
    counts = run.spikes.between(0.2, seconds).counts
    assert abs(counts.mean() / (seconds - 0.2) * mean - 1) < 4 * counts.std() / counts.mean() / math.sqrt(n) + 3e-3
    law = siegert(mu, sigma, tau, 0.0, dead)
    seen_only_at_steps = 0.5826 * sigma * math.sqrt(dt / tau)  # Broadie, Glasserman, Kou 1997
    assert abs(siegert(mu, sigma, tau, 0.0, dead, 1 + seen_only_at_steps) * mean - 1) < 0.02
    assert 0.85 < 1 / mean / law < 1


def test_results_do_not_depend_on_threads_or_company() -> None:
    wiring, _ = drawn(9, 300, 6000)
    weights = np.where(np.arange(300) < 240, 0.02, -0.08)[np.repeat(np.arange(300), np.diff(wiring.starts))]
    cell = sp.LIF(300, tau=20e-3, refractory=1e-3, escape=sp.Escape(50.0, 0.1))
    given_all = {
        "drive": sp.PoissonDrive(1500.0, 0.03),
        "duration": 0.3,
        "dt": 5e-4,
        "weights": weights,
        "delay": 1.5e-3,
    }
    one = sp.simulate(wiring, cell, rng=4, **given_all)
    for workers in (2, 3, 5):
        many = sp.simulate(wiring, cell, rng=4, workers=workers, **given_all)
        assert np.array_equal(one.times, many.times)
        assert np.array_equal(one.units, many.units)
    other = sp.simulate(wiring, cell, rng=5, **given_all)
    assert not np.array_equal(one.units[:200], other.units[:200])
    assert len(one.times) > 500
    assert sp.check(one).passed


@pytest.mark.parametrize("noisy", [False, True])
def test_check_finds_what_is_wrong(noisy: bool) -> None:
    wiring, _ = drawn(12, 20, 60)
    wiring = dataclasses.replace(wiring, weights=np.full(60, 0.15))
    escape = sp.Escape(60.0, 0.2) if noisy else None
    cell = sp.LIF(20, tau=20e-3, refractory=2e-3, escape=escape)
    drive = (0.7, sp.PoissonDrive(800.0, 0.05))
    run = sp.simulate(wiring, cell, drive, duration=4.0, dt=1e-3, rng=1)
    assert sp.check(run).passed
    wrong = {
        "threshold": {"neurons": sp.LIF(20, tau=20e-3, refractory=2e-3, escape=escape, v_threshold=1.15)},
        "time constant": {"neurons": sp.LIF(20, tau=14e-3, refractory=2e-3, escape=escape)},
        "weights": {"weights": np.full(60, 0.05)},
        "refractory": {"neurons": sp.LIF(20, tau=20e-3, refractory=9e-3, escape=escape)},
        "drive": {"drive": (0.9, sp.PoissonDrive(800.0, 0.05))},
        "noise": {"rng": run.rng + 1},
    }
    every = np.flatnonzero(np.arange(len(run.times)) % 4 > 0)
    lost = sp.Spikes(run.times[every], run.units[every], n_units=20, duration=run.duration)
    wrong["spikes lost"] = {"spikes": lost}
    later = np.minimum(run.times + 3e-3 * (np.arange(len(run.times)) % 2), run.duration)
    wrong["spikes moved"] = {"spikes": sp.Spikes.sorted_from(later, run.units, 20, run.duration)}
    for name, change in wrong.items():
        assert sp.check(dataclasses.replace(run, **change)).passed is False, name


def test_check_has_its_level() -> None:
    failed = 0
    for number in range(24):
        cell = sp.LIF(5, tau=20e-3, escape=sp.Escape(60.0, 0.2))
        failed += not sp.check(sp.simulate(alone(5), cell, 1.0, duration=3.0, dt=2e-3, rng=number), rng=number).passed
    assert failed <= stats.binom.ppf(0.999, 24, 0.06)


RING = sf.Wiring.from_edges([0, 1, 2], [1, 2, 0])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"dt": 30e-3, "duration": 0.3}, "step|tau|constant"),
        ({"drive": None}, "spike|input|drive"),
        ({"drive": 0.0}, "spike|input|drive"),
        ({"drive": np.ones(4)}, "drive"),
        ({"drive": np.ones((7, 3))}, "drive|steps"),
        ({"drive": math.nan}, "finite"),
        ({"drive": "strong"}, "drive"),
        ({"delay": 0.0}, "delay"),
        ({"delay": 1.5e-3}, "delay"),
        ({"delay": [1e-3, 1e-3]}, "delay"),
        ({"delay": -1e-3}, "delay"),
        ({"duration": 0.0005}, "duration"),
        ({"duration": -1.0}, "duration"),
        ({"duration": math.inf}, "duration"),
        ({"dt": 0.0}, "dt|step"),
        ({"dt": math.nan}, "dt|step|finite"),
        ({"weights": [1.0, 2.0]}, "weights"),
        ({"weights": [1.0, math.nan, 2.0]}, "finite|weights"),
        ({"initial": [0.0, 1.0]}, "initial"),
        ({"initial": math.inf}, "initial|finite"),
        ({"neurons": sp.LIF(4)}, "neurons|units"),
        ({"neurons": sp.LI(3)}, "LIF|kind|neurons"),
        ({"neurons": "LIF"}, "neurons|LIF"),
        ({"wiring": np.eye(3)}, "Wiring|wiring"),
        ({"wiring": sf.Wiring.from_edges([0], [1], shape=(3, 3))}, "layer|wiring|square"),
        ({"workers": 0}, "workers"),
        ({"workers": 1.5}, "workers"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], says: str) -> None:
    call: dict[str, Any] = {"wiring": RING, "neurons": sp.LIF(3), "drive": 2.0, "duration": 0.1, "dt": 1e-3} | change
    with pytest.raises(UserError, match=says):
        sp.simulate(**call)


def test_bad_drives_are_named() -> None:
    for rate, weight in ((-1.0, 1.0), (math.nan, 1.0), (10.0, math.inf), ("a", 1.0), (10.0, None)):
        with pytest.raises(UserError):
            sp.PoissonDrive(rate, weight)
    for weights in ([[1.0, math.nan]], [[1.0, 2.0, 3.0]], "w"):
        with pytest.raises(UserError):
            sp.Arrivals(sp.Spikes([0.1], [0], n_units=2, duration=1.0), weights)
    with pytest.raises(UserError):
        sp.simulate(RING, sp.LIF(3), sp.PoissonDrive([1.0, 2.0], 1.0), duration=0.1, dt=1e-3)
    with pytest.raises(UserError):
        sp.simulate(RING, sp.LIF(3), 2.0, duration=0.1, dt=1e-3).replay([3])
