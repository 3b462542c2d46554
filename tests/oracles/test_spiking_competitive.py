"""Oracle: the competitive network against a simulation of its published equations in plain NumPy.

Diehl and Cook 2015 (doi:10.3389/fncom.2015.00099): conductance-based units, one-to-one excitation of inhibitory units
that inhibit all others, trace rules, thresholds that adapt.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import special
from sklearn.exceptions import NotFittedError

from sparsefire import spiking as sp
from sparsefire.errors import UserError


def simulated(
    weights: np.ndarray, theta: np.ndarray, rates: np.ndarray, trials: int, dt: float, inhibition: str, strength: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return counts [trials, units], input spikes [steps, trials, inputs], unit spikes [steps, trials, units]."""
    units, rng, steps = len(weights), np.random.default_rng(99), round(0.35 / dt)
    shape = (trials, units)
    v, g_e, g_i, rest = np.full(shape, -65.0), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    u, h_e, idle = np.full(shape, -60.0), np.zeros(shape), np.zeros(shape)
    came, went = [], []
    others = strength * (1 - np.eye(units))
    for _ in range(steps):
        new = (v + dt / 0.1 * (-65.0 - 100.0 * g_i)) / (1 + dt / 0.1 * (1 + g_e + g_i))
        v = np.where(rest > 0, v, new)
        fired = (rest <= 0) & (v > -72.0 + theta)
        v, rest = np.where(fired, -65.0, v), np.where(fired, round(5e-3 / dt), rest - 1)
        u = np.where(idle > 0, u, (u + dt / 0.01 * -60.0) / (1 + dt / 0.01 * (1 + h_e)))
        inner = (idle <= 0) & (u > -40.0)
        u, idle = np.where(inner, -45.0, u), np.where(inner, round(2e-3 / dt), idle - 1)
        arrived = rng.random((trials, weights.shape[1])) < rates * dt
        g_e = g_e * math.exp(-dt / 1e-3) + arrived @ weights.T  # acts from the next step on, in full
        h_e = h_e * math.exp(-dt / 1e-3) + 10.4 * fired
        g_i = g_i * math.exp(-dt / 2e-3) + (inner if inhibition == "layer" else fired) @ others
        came.append(arrived)
        went.append(fired)
    return np.sum(went, 0), np.array(came), np.array(went)


@pytest.mark.parametrize(("units", "inhibition"), [(1, "layer"), (4, "layer"), (4, "direct")])
def test_responses_have_the_law_of_the_equations(units: int, inhibition: str) -> None:
    dt, trials = 5e-4, 300
    x = np.random.default_rng(0).uniform(0.2, 1.0, 30)
    net = sp.DiehlCook(
        units, 30, total=26.0, theta_plus=0.0, fewest=0, dt=dt, inhibition=inhibition, random_state=1
    ).fit(x[None])
    np.testing.assert_allclose(net.theta_, 20.0, atol=1e-3)
    found = net.transform(x * (1 - 1e-9 * np.arange(trials)[:, None]))  # the same image would get the same draws
    mine = simulated(net.weights_.astype(float), net.theta_, 63.75 * x, trials, dt, inhibition, 17.0)[0]
    for a, b in ((found.sum(1), mine.sum(1)), (found.max(1), mine.max(1))):
        error = math.hypot(a.std(), b.std()) / math.sqrt(trials)
        assert abs(a.mean() - b.mean()) < 4 * error + 0.03 * b.mean()
        assert 0.7 < (a.std() + 0.1) / (b.std() + 0.1) < 1.4
    assert 1 < found.sum(1).mean() < 60
    if units == 4:
        free = simulated(net.weights_.astype(float), net.theta_, 63.75 * x, 50, dt, inhibition, 0.0)[0]
        assert found.sum(1).mean() < 0.6 * free.sum(1).mean(), "inhibition is what limits them"


@pytest.mark.parametrize("triplet", [False, True])
def test_learning_has_the_mean_of_its_rule(triplet: bool) -> None:
    dt, shown, lr = 2.5e-4, 120, 2e-5
    x = np.repeat([0.25, 0.9], 10)
    words: dict[str, Any] = {"a_minus": lr / 2, "a_plus": lr, "target": 0.3, "mu": 0.5, "w_max": 2.5}
    net = sp.DiehlCook(
        1,
        20,
        rule=sp.CompetitiveRule(triplet=triplet, **words),
        total=None,
        theta_plus=0.0,
        fewest=0,
        dt=dt,
        pause=1.0,
        density=1.0,
        random_state=2,
    )
    net.fit(x[None])
    net.weights_[:] = np.random.default_rng(1).uniform(0.8, 1.6, (1, 20))
    w = net.weights_.astype(float).copy()
    net.partial_fit(np.tile(x, (shown, 1)))
    moved = (net.weights_ - w)[0] / shown
    trials = 300
    _, came, went = simulated(w, net.theta_, 63.75 * x, trials, dt, "layer", 17.0)
    pre, post, slow, change = (
        np.zeros((trials, 20)),
        np.zeros((trials, 1)),
        np.zeros((trials, 1)),
        np.zeros((trials, 20)),
    )
    room, size = (2.5 - w) ** 0.5, w**0.5
    for a, s in zip(came, went, strict=True):
        pre, post, slow = (trace * math.exp(-dt / tau) for trace, tau in ((pre, 0.02), (post, 0.02), (slow, 0.04)))
        change -= lr / 2 * post * size * a
        pre = np.where(a, 1.0, pre)
        change += lr * (pre - 0.3) * room * s * (slow if triplet else 1.0)
        post, slow = np.where(s, 1.0, post), np.where(s, 1.0, slow)
    for group in (slice(0, 10), slice(10, 20)):
        mine = change[:, group].mean(1)
        error = mine.std() * math.sqrt(1 / trials + 1 / shown)
        assert abs(moved[group].mean() - mine.mean()) < 4 * error + 0.04 * abs(mine.mean())
        assert abs(mine.mean()) > 3 * error


def test_thresholds_count_spikes_and_decay() -> None:
    x = np.random.default_rng(3).uniform(0.3, 1.0, (12, 25))
    net = sp.DiehlCook(3, 25, total=22.0, theta_plus=0.25, theta_decay=1e15, fewest=0, random_state=4).fit(x)
    spikes = (net.theta_ - 20.0) / 0.25
    np.testing.assert_allclose(spikes, np.rint(spikes), atol=1e-6)
    assert spikes.min() >= 0
    assert spikes.sum() > 10
    dark = np.full((5, 25), 1e-9)
    net = sp.DiehlCook(3, 25, total=22.0, theta_plus=0.25, theta_decay=7.0, fewest=0, random_state=4).fit(dark)
    np.testing.assert_allclose(net.theta_, 20.0 * math.exp(-5 * 0.5 / 7.0), rtol=1e-6)


X = (np.random.default_rng(5).random((24, 36)) < 0.4) * 1.0
Y = np.arange(24) % 3


def small(**words: Any) -> sp.DiehlCook:
    return sp.DiehlCook(
        **({"units": 8, "inputs": 36, "total": 20.0, "rate": 150.0, "duration": 0.1, "random_state": 7} | words)
    )


def test_same_numbers_whatever_the_threads_and_the_cuts() -> None:
    net = small().fit(X, Y)
    responses = net.transform(X)
    for workers in (2, 3):
        again = small(workers=workers).fit(X)
        assert np.array_equal(again.weights_, net.weights_), "neither labels nor threads touch the weights"
        assert np.array_equal(again.transform(X), responses)
    assert np.array_equal(net.transform(X[:5]), responses[:5])
    assert np.array_equal(net.transform(X), responses)
    parts = small().partial_fit(X[:9]).partial_fit(X[9:])
    assert np.array_equal(parts.weights_, net.weights_)
    assert np.array_equal(parts.theta_, net.theta_)
    assert parts.samples_seen_ == 24
    assert not np.array_equal(small(random_state=8).fit(X).weights_, net.weights_)
    images = (X.reshape(24, 6, 6) * 255).astype(np.uint8)
    assert np.array_equal(small().fit(images).weights_, net.weights_)


def test_connections_and_sums() -> None:
    net = small(density=0.5, total=12.0).fit(X[:4])
    kept = net.weights_ != 0
    assert 0.3 < kept.mean() <= 0.5 + 1e-9
    net.partial_fit(X)
    assert (net.weights_[~kept] == 0).all()
    assert (net.weights_ >= 0).all()
    assert (net.weights_ <= 1.0 + 1e-6).all()
    still = small(rule=sp.CompetitiveRule(a_minus=0.0, a_plus=0.0), total=9.0).fit(X)
    np.testing.assert_allclose(still.weights_.sum(1), 9.0, rtol=1e-5)


@pytest.mark.parametrize("vote", ["preferred", "share", "poisson"])
def test_votes(vote: str) -> None:
    net = small(vote=vote).fit(X, np.array(["a", "b", "c"])[Y])
    counts = net.transform(X).astype(float)
    means = net.class_responses_  # from draws of its own, of the same law
    mine = np.array([counts[k == Y].mean(0) for k in range(3)])
    assert (np.abs(means - mine) < 5 * np.sqrt((mine + 0.3) / 4)).all()
    assert net.classes_.tolist() == ["a", "b", "c"]
    wanted = np.where(means.max(0) > 0, means.argmax(0), -1)
    assert np.array_equal(net.labels_, wanted)
    found = net.decision_function(X)
    if vote == "preferred":
        score = np.stack([counts[:, wanted == k].mean(1) if (wanted == k).any() else np.zeros(24) for k in range(3)], 1)
    elif vote == "share":
        score = counts @ np.nan_to_num(means / means.sum(0)).T
    else:
        rate = (means * 8 + 0.5) / 8
        score = counts @ np.log(rate).T - rate.sum(1) - special.gammaln(counts + 1).sum(1, keepdims=True)
        found, score = (each - each.mean(1, keepdims=True) for each in (found, score))  # up to what classes share
    np.testing.assert_allclose(found, score, rtol=1e-6, atol=1e-8)
    assert np.array_equal(net.predict(X), net.classes_[score.argmax(1)])
    assert net.score(X, net.classes_[Y]) == pytest.approx((net.predict(X) == net.classes_[Y]).mean())


@pytest.mark.parametrize(
    "call",
    [
        lambda: small(units=0).fit(X),
        lambda: small(units=2.5).fit(X),
        lambda: small(inputs=35).fit(X),
        lambda: small(rule="triplet").fit(X),
        lambda: small(inhibition="none").fit(X),
        lambda: small(strength=-1.0).fit(X),
        lambda: small(total=0.0).fit(X),
        lambda: small(theta_plus=math.nan).fit(X),
        lambda: small(theta_decay=0.0).fit(X),
        lambda: small(rate=-1.0).fit(X),
        lambda: small(duration=0.0).fit(X),
        lambda: small(pause=-0.1).fit(X),
        lambda: small(fewest=-1).fit(X),
        lambda: small(density=0.0).fit(X),
        lambda: small(density=1.1).fit(X),
        lambda: small(vote="loud").fit(X, Y),
        lambda: small(dt=2e-3).fit(X),
        lambda: small(dt=0.0).fit(X),
        lambda: small(workers=0).fit(X).transform(X),
        lambda: small().fit(-X),
        lambda: small().fit(2 * X),
        lambda: small().fit(X * math.nan),
        lambda: small().fit(0 * X),
        lambda: small().fit("X"),
        lambda: small().fit(X[:0]),
        lambda: small().fit(X, Y[:5]),
        lambda: small().fit((X * 2).astype(np.int64)),
        lambda: small().transform(X),
        lambda: small().predict(X),
        lambda: small().fit(X).predict(X),
        lambda: small().fit(X).transform(X[:, :9]),
        lambda: sp.CompetitiveRule(a_minus=-1.0),
        lambda: sp.CompetitiveRule(a_plus=math.inf),
        lambda: sp.CompetitiveRule(w_max=0.0),
        lambda: sp.CompetitiveRule(mu=-1.0),
        lambda: sp.CompetitiveRule(tau_plus=0.0),
    ],
)
def test_bad_input(call: Any) -> None:
    with pytest.raises((UserError, NotFittedError)):
        call()
