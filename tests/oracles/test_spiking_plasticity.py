"""Oracle: plasticity against sums over all pairs and triplets, moments of Poisson trains, and exact winner chances.

Pairs doi:10.1007/s00422-008-0233-1; triplets doi:10.1523/JNEUROSCI.1425-06.2006; soft bounds
doi:10.1523/JNEUROSCI.23-09-03697.2003; simplex arXiv:2505.10272; reward doi:10.1093/cercor/bhl152; scaling
doi:10.1038/36103.
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

import sparsefire as sf
from sparsefire import spiking as sp

TP, TM, AP, AM = 16.8e-3, 33.7e-3, 0.03, 0.02


def trains(number: int, steps: int = 60, batch: int = 2, n_in: int = 3, n_out: int = 2, p: float = 0.2) -> Any:
    rng = np.random.default_rng(number)
    return (rng.random((steps, batch, n_in)) < p) * 1.0, (rng.random((steps, batch, n_out)) < p) * 1.0


def when(train: np.ndarray, dt: float = 1e-3) -> np.ndarray:
    return np.flatnonzero(train) * dt


def pair_sum(pre: np.ndarray, post: np.ndarray, pairing: str, coincident: str) -> float:
    total = 0.0
    for side, (mine, other) in enumerate(((post, pre), (pre, post))):
        sign, tau = ((AP, TP), (-AM, TM))[side]
        for t in mine:
            together = side == 0 and coincident == "pre-first"
            past = other[other <= t + 1e-9] if together else other[other < t - 1e-9]
            if pairing == "nearest":
                past = past[-1:]
            total += sign * np.exp(-(t - past) / tau).sum()
    return total


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["all", "nearest"]), st.sampled_from(["pre-first", "none"]))
def test_pairs_are_double_sums(number: int, pairing: str, coincident: str) -> None:
    pre, post = trains(number)
    rule = sp.STDP(TP, TM, AP, AM, pairing=pairing, coincident=coincident)
    wanted = np.zeros((2, 3))
    for b in range(2):
        for j in range(2):
            for i in range(3):
                wanted[j, i] += pair_sum(when(pre[:, b, i]), when(post[:, b, j]), pairing, coincident) / 2
    weight = np.full((2, 3), 0.5)
    np.testing.assert_allclose(rule(pre, post, weight), wanted, atol=1e-12)
    mask = np.array([[1, 0, 1], [0, 1, 1]])
    np.testing.assert_allclose(rule(pre, post, weight, mask), wanted * mask, atol=1e-12)
    tensor = rule(torch.from_numpy(pre), torch.from_numpy(post), torch.full((2, 3), 0.5))
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.numpy(), wanted, atol=1e-6)
    wiring = sf.Wiring.from_edges([0, 1, 2, 2], [0, 1, 0, 1], shape=(3, 2))
    np.testing.assert_allclose(rule(pre, post, wiring), wanted[[0, 1, 0, 1], [0, 1, 2, 2]], atol=1e-12)
    first, held = rule.run(pre[:23], post[:23], weight)
    second, _ = rule.run(pre[23:], post[23:], weight, held)
    np.testing.assert_allclose(first + second, wanted, atol=1e-12)


@pytest.mark.parametrize("pairing", ["all", "nearest"])
def test_pairs_in_continuous_time(pairing: str) -> None:
    rng = np.random.default_rng(2)
    pre = sp.Spikes.sorted_from(rng.uniform(0, 2, 80), rng.integers(0, 3, 80), 3, 2.0)
    post = sp.Spikes.sorted_from(rng.uniform(0, 2, 50), rng.integers(0, 2, 50), 2, 2.0)
    found = sp.STDP(TP, TM, AP, AM, pairing=pairing)(pre, post, np.zeros((2, 3)))
    wanted = [[pair_sum(pre.train(i), post.train(j), pairing, "none") for i in range(3)] for j in range(2)]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def triplet_sum(pre: np.ndarray, post: np.ndarray, c: dict[str, float], pairing: str) -> float:
    def trace(past: np.ndarray, t: float, tau: float) -> float:
        return float(np.exp(-(t - (past[-1:] if pairing == "nearest" else past)) / tau).sum())

    total = 0.0
    for t in post:
        r1 = trace(pre[pre <= t + 1e-9], t, c["tau_plus"])
        total += r1 * (c["a2_plus"] + c["a3_plus"] * trace(post[post < t - 1e-9], t, c["tau_y"]))
    for t in pre:
        o1 = trace(post[post < t - 1e-9], t, c["tau_minus"])
        total -= o1 * (c["a2_minus"] + c["a3_minus"] * trace(pre[pre < t - 1e-9], t, c["tau_x"]))
    return total


@pytest.mark.parametrize("pairing", ["all", "nearest"])
def test_triplets_are_triple_sums(pairing: str) -> None:
    c = {"tau_plus": 0.0168, "tau_x": 0.2, "tau_minus": 0.0337, "tau_y": 0.047}
    c |= {"a2_plus": 5e-3, "a3_plus": 9e-3, "a2_minus": 3e-3, "a3_minus": 2e-3}
    pre, post = trains(3, steps=120)
    found = sp.TripletSTDP(**c, pairing=pairing)(pre, post, np.zeros((2, 3)))
    wanted = np.zeros((2, 3))
    for j, i, b in np.ndindex(2, 3, 2):
        wanted[j, i] += triplet_sum(when(pre[:, b, i]), when(post[:, b, j]), c, pairing) / 2
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_published_triplet_constants() -> None:
    rule = sp.TripletSTDP()
    names = ("tau_plus", "tau_x", "tau_minus", "tau_y", "a2_plus", "a3_plus", "a2_minus", "a3_minus", "pairing")
    published = (16.8e-3, 575e-3, 33.7e-3, 47e-3, 4.6e-3, 9.1e-3, 3.0e-3, 7.5e-9, "nearest")
    assert tuple(getattr(rule, name) for name in names) == published


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.4, 1.0]), st.floats(0.3, 2.0))
def test_soft_bounds_spike_by_spike(number: int, mu: float, alpha: float) -> None:
    pre, post = trains(number, batch=1)
    step, top, tp, tm, dt = 0.07, 1.7, 15e-3, 25e-3, 1e-3
    rule = sp.WeightDependentSTDP(step, alpha, mu, top, tp, tm)
    start = np.random.default_rng(number).uniform(0, top, (2, 3))
    wanted = start / top
    for j, i in np.ndindex(2, 3):
        u, r, o = wanted[j, i], 0.0, 0.0
        for t in range(60):
            r, o = r * math.exp(-dt / tp), o * math.exp(-dt / tm)
            if pre[t, 0, i]:  # meets earlier spikes of the output only: of two at once it is the first
                u = max(u - alpha * step * u**mu * o, 0.0)
                r += 1
            if post[t, 0, j]:
                u = min(u + step * (1 - u) ** mu * r, 1.0)
                o += 1
        wanted[j, i] = u
    found = start + rule(pre, post, start)
    np.testing.assert_allclose(found, wanted * top, atol=1e-9)
    assert (found >= -1e-12).all()
    assert (found <= top + 1e-12).all()


def test_soft_bounds_settle_at_the_fixed_point() -> None:
    rule = sp.WeightDependentSTDP(0.01, 1.3, 0.5, tau_plus=20e-3, tau_minus=30e-3, coincident="none")
    u = 1 / (1 + (1.3 * 1.5) ** 2)
    assert rule.fixed_point == pytest.approx(u)
    rng = np.random.default_rng(1)
    pre, post = (rng.random((20_000, 1, 10)) < 0.02) * 1.0, (rng.random((20_000, 1, 10)) < 0.02) * 1.0
    w = np.full((10, 10), u)
    late = [w := w + rule(pre[k : k + 2000], post[k : k + 2000], w) for k in range(0, 20_000, 2000)][2:]
    means = np.mean(late, axis=(0, 2))
    assert abs(np.mean(means) - u) < 4 * means.std() / math.sqrt(10) + 0.02


@pytest.mark.parametrize("coincident", ["pre-first", "none"])
def test_drift_of_poisson_pairs(coincident: str) -> None:
    dt, seconds, nu = 1e-3, 400.0, (30.0, 20.0)
    rng = np.random.default_rng(8)
    pre = (rng.random((int(seconds / dt), 1, 8)) < nu[0] * dt) * 1.0
    post = (rng.random((int(seconds / dt), 1, 8)) < nu[1] * dt) * 1.0
    plus, minus = (sp.STDP(TP, TM, a, b, coincident=coincident) for a, b in ((AP, 0.0), (0.0, AM)))
    for rule, amount, tau, zero in ((plus, AP, TP, coincident == "pre-first"), (minus, -AM, TM, False)):
        found = rule(pre, post, np.zeros((8, 8))) / seconds
        q = math.exp(-dt / tau)
        wanted = nu[0] * nu[1] * amount * dt * (1 / (1 - q) if zero else q / (1 - q))
        error = found.mean(0).std() / math.sqrt(8) + found.mean(1).std() / math.sqrt(8)
        assert abs(found.mean() - wanted) < 4 * error
        assert wanted == pytest.approx(nu[0] * nu[1] * amount * tau, rel=0.05)


def test_drift_of_poisson_triplets() -> None:
    rng, seconds, nu = np.random.default_rng(4), 300.0, (12.0, 25.0)
    c = {"a2_plus": 4e-3, "a3_plus": 8e-3, "a2_minus": 3e-3, "a3_minus": 1e-3, "tau_x": 0.1}
    sides = [
        sp.Spikes.sorted_from(
            rng.uniform(0, seconds, counts.sum()), np.repeat(np.arange(8), counts), n_units=8, duration=seconds
        )
        for counts in (rng.poisson(rate * seconds, 8) for rate in nu)
    ]
    found = sp.TripletSTDP(**c, pairing="all")(*sides, np.zeros((8, 8))) / seconds
    x, y = nu
    wanted = x * y * (4e-3 * 0.0168 - 3e-3 * 0.0337) + 8e-3 * 0.0168 * 0.047 * x * y**2 - 1e-3 * 0.0337 * 0.1 * x**2 * y
    error = found.mean(0).std() / math.sqrt(8) + found.mean(1).std() / math.sqrt(8)
    assert abs(found.mean() - wanted) < 4 * error
    assert error < abs(wanted) / 4


# ---------------------------------------------------------------- simplex


def wrong_winner(p: float, alpha: float) -> float:
    """The lead m of the right neuron is a random walk with down/up odds (1 − p)/p (1 + α)^(−m): exact series."""
    odds = [(1 - p) / p * (1 + alpha) ** -m for m in range(-400, 400)]
    logs = np.concatenate([[0.0], np.cumsum(np.log(odds))])
    terms = np.exp(logs - logs.max())
    return float(terms[401:].sum() / terms.sum())


@pytest.mark.parametrize(("p", "wrong"), [(0.6, 0.09365), (0.55, 0.25701)])
def test_simplex_winner(p: float, wrong: float) -> None:
    assert wrong_winner(p, 0.1) == pytest.approx(wrong, abs=6e-6)
    assert sf.convergence.wrong_winner_probability([p, 1 - p], 0.1) == pytest.approx(wrong, abs=6e-6)
    rows, rng, rule = 4000, np.random.default_rng(0), sp.SimplexSTDP(alpha=0.1)
    pairs = np.arange(2 * rows)  # every output has two inputs of its own, which fire with chances p and 1 − p
    wiring = sf.Wiring.from_edges(pairs, pairs // 2, shape=(2 * rows, rows))
    w = np.ones((rows, 2))
    for _ in range(700):  # the output then fires with a chance in proportion to the weight
        i = (rng.random(rows) > p).astype(int)
        pre = np.eye(2)[i].reshape(1, 1, -1)
        post = (rng.random(rows) < w[np.arange(rows), i] / w.max(1))[None, None] * 1.0
        w = w + rule(pre, post, dataclasses.replace(wiring, weights=w.ravel())).reshape(rows, 2)
        w /= w.max(1, keepdims=True)
    share = p * w[:, 0] / (p * w[:, 0] + (1 - p) * w[:, 1])
    assert ((share > 0.999) | (share < 0.001)).mean() > 0.999
    assert abs((share < 0.5).mean() - wrong) < 4 * math.sqrt(wrong * (1 - wrong) / rows)


def test_simplex_steps() -> None:
    rng = np.random.default_rng(5)
    rule = sp.SimplexSTDP(0.2)
    p, z = rng.dirichlet(np.ones(4)), rng.uniform(-1, 1, 4)
    grown = p * (1 + 0.2 * (np.eye(4)[2] + z))
    np.testing.assert_allclose(rule.iterate(p, trigger=2, noise=z), grown / grown.sum(), atol=1e-14)
    mean = sum(p[i] * rule.iterate(p, trigger=i) for i in range(4))
    exact = [
        p[i] * (p[i] * 1.2 / (1 + 0.2 * p[i]) + sum(p[b] / (1 + 0.2 * p[b]) for b in range(4) if b != i))
        for i in range(4)
    ]
    np.testing.assert_allclose(mean, exact, atol=1e-14)
    pre, post = trains(11, steps=200, batch=1)
    w = np.random.default_rng(0).uniform(0.5, 1, (2, 3))
    wanted = w.copy()
    for j in range(2):
        last: list[int] = []
        for t in range(200):
            if pre[t, 0].any():
                last = list(np.flatnonzero(pre[t, 0]))
            if post[t, 0, j]:
                if last:
                    wanted[j, last] *= 1 + 0.2 * wanted[j, last] / wanted[j, last].sum()
                last = []
    np.testing.assert_allclose(w + rule(pre, post, w), wanted, atol=1e-12)


def test_simplex_jitter_sets_the_exponent() -> None:
    rule, w = sp.SimplexSTDP(0.1, jitter=0.8, rng=3), np.tile([1.0, 1e-9], (500, 1))
    pre, post = np.zeros((1, 1, 2)), np.ones((1, 1, 500))
    pre[0, 0, 0] = 1
    for _ in range(100):
        w = w + rule(pre, post, w)
    fall = np.log(w[:, 1] / w[:, 0] / 1e-9) / 100
    assert abs(fall.mean() + 0.095496) < 4 * fall.std() / math.sqrt(500)
    assert fall.std() > 0
