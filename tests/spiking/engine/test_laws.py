"""Simulated networks against closed forms: all within four standard errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, linalg, special, stats

import sparsefire as sf
from sparsefire.spiking import (
    IF,
    LIF,
    Adaptation,
    CubaLIF,
    Escape,
    Hawkes,
    PoissonDrive,
    Recurrent,
    RecurrentState,
    simulate,
)  # fmt: skip

ZETA = 0.5825971579390106  # −ζ(1/2)/√(2π): what watching a diffusion in steps adds to a barrier, in standard deviations


def alone(units: int):
    return sf.Wiring.from_edges([], [], units=units)


def close(found: np.ndarray, expected: float) -> bool:
    """Whether the mean of independent values is within four standard errors."""
    return abs(found.mean() - expected) < 4 * found.std(ddof=1) / np.sqrt(len(found))


def siegert(mu: float, s: float, threshold: float, reset: float, tau: float, dead: float) -> float:
    area = integrate.quad(lambda x: special.erfcx(-x), (reset - mu) / s, (threshold - mu) / s)[0]
    return 1 / (dead + tau * np.sqrt(np.pi) * area)


@pytest.mark.parametrize("mu", [0.8, 1.2])
def test_many_weak_poisson_inputs_fire_a_lif_at_siegerts_rate(mu):
    tau, dead, s, w, dt = 20e-3, 2e-3, 0.3, 0.005, 1e-4
    both, more = s * s / tau / w**2, mu / tau / w
    drive = (PoissonDrive((both + more) / 2, w), PoissonDrive((both - more) / 2, -w))
    run = simulate(alone(200), LIF(200, tau=tau, refractory=dead), drive, 5.0, dt, rng=3)
    # arrivals are not yet decayed when they are seen, and the threshold is watched at the ends of steps only
    kept = np.exp(-dt / tau)
    mean, spread = mu * dt / tau / (1 - kept), s * np.sqrt(2 * dt / tau / (1 - kept**2))
    expected = siegert(mean, spread, 1 + ZETA * s * np.sqrt(dt / tau), 0.0, tau, dead)
    assert close(run.spikes.between(0.2, 5.0).firing_rates, expected)
    assert expected == pytest.approx(siegert(mu, s, 1.0, 0.0, tau, dead), rel=0.05)


def test_poisson_input_has_poisson_counts():
    rates = np.repeat([20.0, 900.0, 6000.0], 50)
    neurons = LIF(150, tau=1e12, v_threshold=1e9)
    run = simulate(alone(150), neurons, (PoissonDrive(rates, 1.0), 1.0), 0.4, 1e-3, rng=2)
    v = run.replay().v
    counts = np.rint(np.diff(v, axis=0, prepend=0)).astype(int)
    for rate in (20.0, 900.0, 6000.0):
        seen = counts[:, rates == rate].ravel()
        most = int(stats.poisson.ppf(0.999, rate * 1e-3))
        table = np.bincount(np.minimum(seen, most), minlength=most + 1)
        law = np.append(stats.poisson.pmf(np.arange(most), rate * 1e-3), stats.poisson.sf(most - 1, rate * 1e-3))
        assert stats.chisquare(table, law * len(seen)).pvalue > 1e-4
    assert abs(np.corrcoef(counts[:, 100], counts[:, 101])[0, 1]) < 4 / np.sqrt(400)  # they share a word


def test_dead_time_poisson():
    dead, dt, hazard = 5e-3, 1e-4, 50.0
    neurons = LIF(300, escape=Escape(rate=hazard * np.e, width=1.0), refractory=dead)  # rests 1 below threshold
    run = simulate(alone(300), neurons, duration=5.0, dt=dt, rng=1)
    chance = -np.expm1(-hazard * dt)
    mean, spread = dead + dt / chance, dt * np.sqrt(1 - chance) / chance
    assert 1 / mean == pytest.approx(40, rel=0.005)
    # an interval that begins within is complete if it ends within: compare rates of the equilibrium part
    assert close(run.spikes.between(0.5, 5.0).firing_rates, 1 / mean)
    intervals = np.concatenate([np.diff(train) for train in run.spikes.trains()])
    assert np.min(intervals) >= dead + dt / 2
    assert np.std(intervals) / np.mean(intervals) == pytest.approx(spread / mean, rel=0.02)
    assert spread / mean == pytest.approx(0.8, rel=0.005)


def renewal(dt: float) -> tuple[float, float]:
    """Return mean and CV of the intervals of a LIF with escape noise: τ 20 ms, R I 20, threshold 15, Δ 2, ρ₀ 100 Hz."""
    steps = int(0.3 / dt)
    v = 20 * -np.expm1(-np.arange(1, steps + 1) * dt / 20e-3)
    survival = np.append(1.0, np.exp(-np.cumsum(100 * np.exp((v - 15) / 2)) * dt))
    k = np.arange(1, steps + 1)
    law = -np.diff(survival)
    mean = (k * law).sum() * dt
    return mean, np.sqrt((k * k * law).sum() * dt**2 - mean**2) / mean


@pytest.mark.parametrize("dt", [1e-3, 1e-4])
def test_intervals_of_a_lif_with_escape_noise(dt):
    neurons = LIF(300, tau=20e-3, v_threshold=15.0, escape=Escape(rate=100.0, width=2.0))
    run = simulate(alone(300), neurons, 20.0, 3.0, dt, rng=4)
    mean, cv = renewal(dt)
    # the first forty intervals of each unit: none is left out because it is long
    trains = np.array([np.diff(train, prepend=0.0)[:40] for train in run.spikes.trains()])
    assert close(trains.mean(axis=1), mean)
    assert close(trains.std(axis=1, ddof=1) ** 2, (cv * mean) ** 2)


def test_the_law_of_these_intervals_without_steps():
    mean, cv = renewal(1e-5)
    assert mean == pytest.approx(28.327e-3, rel=1e-4)
    assert cv == pytest.approx(0.25547, rel=1e-4)


N = np.array([[0.3, 0.25], [0.5, 0.1]])  # spikes of i that one of j sets off
MU, BETA = np.array([20.0, 10.0]), 50.0
RATES = linalg.solve(np.eye(2) - N, MU)


def hawkes(pairs: int, duration: float, dt: float, rng: int, n=N, mu=MU):
    """Simulate many pairs of linear escape units without reset: λ = max(v, 0)."""
    first = 2 * np.arange(pairs)
    ends = [(first + j, first + i, np.full(pairs, n[i, j] * BETA)) for i in range(2) for j in range(2)]
    wiring = sf.Wiring.from_edges(*(np.concatenate(part) for part in zip(*ends, strict=True)), units=2 * pairs)
    neurons = LIF(
        2 * pairs, tau=1 / BETA, v_threshold=0.0, v_leak=np.tile(mu, pairs), reset="soft",
        escape=Escape(rate=1.0, width=1.0, form="linear"),
    )  # fmt: skip
    initial = np.tile(linalg.solve(np.eye(2) - n, mu), pairs)
    return simulate(wiring, neurons, duration=duration, dt=dt, rng=rng, initial=initial)


def test_a_linear_escape_network_is_a_hawkes_process():
    dt, width, pairs = 1e-4, 5e-3, 200
    run = hawkes(pairs, 8.0, dt, 0).spikes.between(0.5, 8.0)
    rates = run.firing_rates.reshape(pairs, 2)
    for i in range(2):
        assert abs(rates[:, i].mean() - RATES[i]) < 4 * rates[:, i].std() / np.sqrt(pairs) + 0.005 * RATES[i]

    # covariance density of i at lag u > 0 after j: exp(−A u) (Σ + β N D), A = β (I − N), A Σ + Σ Aᵀ = β² N D Nᵀ
    back, d = BETA * (np.eye(2) - N), np.diag(RATES)
    sigma = linalg.solve_continuous_lyapunov(back, BETA**2 * N @ d @ N.T)
    start = sigma + BETA * N @ d
    counts = run.counts_in(width).reshape(-1, pairs, 2).astype(float)
    counts -= width * RATES
    u = np.linspace(-width, width, 41)
    for lag in (1, 2, 4, 8):
        smooth = [(width - abs(x)) * linalg.expm(-back * (lag * width + x)) @ start for x in u]
        expected = np.trapezoid(smooth, u, axis=0)
        seen = np.einsum("tpi,tpj->pij", counts[lag:], counts[:-lag]) / (len(counts) - lag)
        error = seen.std(axis=0) / np.sqrt(pairs)
        assert (abs(seen.mean(axis=0) - expected) < 4 * error + 0.02 * expected).all()
        if lag < 4:
            assert (expected > 4 * error).all()  # there is something to see


def test_a_network_converges_at_order_one():
    n, mu = N / 3, np.array([100.0, 80.0])
    exact = linalg.solve(np.eye(2) - n, mu)
    runs = [hawkes(300, 8.0, dt, 1, n, mu) for dt in (1e-3, 1e-4)]
    rates = [run.spikes.between(0.5, 8.0).firing_rates.reshape(-1, 2) for run in runs]
    coarse, fine = (part.mean(axis=0) - exact for part in rates)
    error = rates[1].std(axis=0) / np.sqrt(300)
    assert (abs(coarse) > 10 * error).all()  # a step of 1 ms can be seen
    assert (abs(fine - coarse / 10) < 4 * np.sqrt(1.01) * error).all()


def clocked(net: Recurrent, sequences: int, steps: int, dt: float, current: float = 0.0, initial: Any = None):
    """Return the spikes of the clocked engine, [steps, sequences, units]."""
    rest = net.initial_state(sequences)
    if initial is not None:
        v = torch.tensor(initial, dtype=torch.float32).expand(sequences, -1)
        rest = RecurrentState(rest.spikes, rest.neurons._replace(v=v))
    with torch.no_grad():
        return net(torch.full((steps, sequences, net.units), current), rest)[0].numpy()


def copies(wiring: sf.Wiring, many: int) -> sf.Wiring:
    """Return so many networks side by side, that do not act on one another."""
    shift = np.repeat(np.arange(many) * wiring.units, wiring.arcs)
    ends = (np.tile(part, many) + shift for part in (wiring.senders, wiring.receivers))
    return sf.Wiring.from_edges(*ends, np.tile(wiring.weights, many), units=many * wiring.units)


def counts_of(spikes: np.ndarray, width: int) -> np.ndarray:
    """Return spikes in windows of so many steps, [windows, sequences, units]."""
    windows = len(spikes) // width
    return spikes[: windows * width].reshape(windows, width, *spikes.shape[1:]).sum(axis=1)


def covariances(counts: np.ndarray, lag: int) -> np.ndarray:
    """Return the covariance of counts of i so many windows after those of j, of each sequence, [sequences, i, j]."""
    off = counts - counts.mean(axis=(0, 1))
    return np.einsum("tpi,tpj->pij", off[lag:], off[: len(off) - lag]) / (len(off) - lag)


def agree(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether means of independent values [sequences, …] are within four standard errors of their difference."""
    error = np.sqrt(a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b))
    return bool((np.abs(a.mean(axis=0) - b.mean(axis=0)) <= 4 * error).all())


def test_the_clocked_engine_is_the_same_hawkes_process():
    law, sequences, dt = Hawkes([2.5, 2.5], [[0.3, 0.2], [0.4, 0.1]], 20.0), 200, 1e-3
    assert law.radius == pytest.approx(0.5)
    steps, warm, width = 10_000, 500, 100
    wiring, neurons = law.network(dt, rng=0)
    ours = clocked(Recurrent.from_wiring(neurons, wiring), sequences, steps, dt, initial=law.rates)[warm:]
    many = Hawkes(np.tile(law.baseline, sequences), np.kron(np.eye(sequences), law.branching), law.decay)
    run = simulate(*many.network(dt), duration=steps * dt, dt=dt, rng=0, initial=many.rates)
    theirs = run.spikes.dense(dt).reshape(steps, sequences, 2)[warm:]

    # covariance of counts in windows so far apart: its density under a triangle
    fine = np.arange(-20, 21)
    density = law.covariance_density(np.arange(61) / 20 * width * dt)
    triangle = (1 - abs(fine) / 20)[:, None, None] * (width * dt) ** 2 / 20
    expected = [
        law.count_covariance(width * dt),
        *((triangle * density[20 * lag + fine]).sum(axis=0) for lag in (1, 2)),
    ]
    for spikes in (ours, theirs):
        rates = spikes.mean(axis=0) / dt
        assert close(rates[:, 0], law.rates[0])
        assert close(rates[:, 1], law.rates[1])
        for lag in (0, 1, 2):
            seen = covariances(counts_of(spikes, width), lag)
            error = seen.std(axis=0, ddof=1) / np.sqrt(sequences)
            assert (np.abs(seen.mean(axis=0) - expected[lag]) < 4 * error).all()
            if lag < 2:
                assert (expected[lag] > 4 * error).all()  # there is something to see
    assert agree(ours.mean(axis=0), theirs.mean(axis=0))
    for lag in (0, 1, 2):
        assert agree(*(covariances(counts_of(spikes, width), lag) for spikes in (ours, theirs)))


def cvs(spikes: np.ndarray) -> np.ndarray:
    """Return the CV of all intervals of each sequence, [sequences]."""
    sequence, unit, step = np.nonzero(spikes.transpose(1, 2, 0))
    same = (np.diff(sequence) == 0) & (np.diff(unit) == 0)
    intervals, of = np.diff(step)[same].astype(float), sequence[1:][same]
    many = np.bincount(of)
    mean = np.bincount(of, intervals) / many
    return np.sqrt(np.bincount(of, intervals**2) / many - mean**2) / mean


NOISY: dict[str, Any] = {
    "LIF": lambda units: LIF(units, tau=20e-3, refractory=2e-3, escape=Escape(rate=100.0, width=0.2)),
    "CubaLIF": lambda units: CubaLIF(
        units, w_in=1.2, reset="soft", adaptation=Adaptation(50e-3, 0.2), escape=Escape(rate=80.0, width=0.3),
    ),
    "IF": lambda units: IF(units, r=40.0, v_reset=-0.2, escape=Escape(rate=60.0, width=0.3, form="erf")),
}  # fmt: skip


@pytest.mark.parametrize("kind", NOISY)
def test_a_noisy_network_has_one_law_in_both_engines(kind):
    units, sequences, steps, warm, dt = 20, 60, 1500, 200, 1e-3
    rng = np.random.default_rng(0)
    senders = rng.integers(0, units, 6 * units)
    weights = np.where(senders < 15, 0.15, -0.3) * (3.0 if kind == "CubaLIF" else 1.0)
    wiring = sf.Wiring.from_edges(senders, np.repeat(np.arange(units), 6), weights)
    net = Recurrent.from_wiring(NOISY[kind](units), wiring)
    ours = clocked(net, sequences, steps, dt, 0.8)[warm:]
    run = simulate(copies(wiring, sequences), NOISY[kind](units * sequences), 0.8, steps * dt, dt, rng=1)
    theirs = run.spikes.dense(dt).reshape(steps, sequences, units)[warm:]
    assert agree(ours.mean(axis=0), theirs.mean(axis=0))  # of each unit
    assert agree(cvs(ours)[:, None], cvs(theirs)[:, None])
    together = [counts_of(spikes, 10).sum(axis=2, keepdims=True) for spikes in (ours, theirs)]
    for lag in (0, 1, 3):
        assert agree(*(covariances(counts, lag) for counts in together))
    weaker = clocked(Recurrent.from_wiring(NOISY[kind](units), wiring, 0.8 * wiring.weights), sequences, steps, dt, 0.8)
    assert not agree(weaker[warm:].mean(axis=0), theirs.mean(axis=0))  # a difference would be seen
