"""Oracle: the same equations in plain NumPy, all weights and all traces at every step."""

import numpy as np
import pytest
from scipy import stats

from sparsefire.spiking.competitive import _build, _kernel
from sparsefire.spiking.competitive.diehl_cook import DiehlCook
from sparsefire.spiking.competitive.rule import CompetitiveRule

UNITS, INPUTS, SHOWN, PAUSE = 12, 30, 500, 40


def plain(network, arrivals, learn, start):
    """Return spikes [steps, units], weights and θ; ``arrivals`` are zeros and ones [steps, inputs]."""
    one, two = network.cells
    game, rule, dt = network.competition, network.learning, network.dt
    w, theta = start
    linked = np.zeros(w.shape, bool)
    linked[network.senders, np.arange(UNITS)[:, None]] = True
    keep = np.exp(-dt / np.array([network.taus]).T)
    v, ge, gi, free = np.full(UNITS, one.rest), np.zeros(UNITS), np.zeros(UNITS), np.zeros(UNITS)
    vi, gei, free_i = np.full(UNITS, two.rest), np.zeros(UNITS), np.zeros(UNITS)
    x, y, z = np.zeros(INPUTS), np.zeros(UNITS), np.zeros(UNITS)
    spikes = np.zeros((len(arrivals), UNITS), np.int64)
    for t, arrived in enumerate(arrivals):
        v = (v + one.h * (one.rest + ge * one.excited + gi * one.inhibited)) / (1 + one.h * (1 + ge + gi))
        vi = (vi + two.h * (two.rest + gei * two.excited)) / (1 + two.h * (1 + gei))
        v, vi = np.where(t < free, one.reset, v), np.where(t < free_i, two.reset, vi)
        ge, gi, gei = ge * one.keep_e, gi * one.keep_i, gei * two.keep_e
        x, y, z = x * keep[0], y * keep[1], z * keep[2]
        s, si = v > one.threshold + theta, vi > two.threshold
        vi, free_i = np.where(si, two.reset, vi), np.where(si, t + 1 + two.wait, free_i)
        if game.layer:
            gi = gi + game.inhibition * (si.sum() - si)
        ge = ge + w[arrived > 0].astype(float).sum(axis=0)
        if learn:
            lost = rule.a_minus * y * w.astype(float) ** rule.mu
            w = np.maximum(w - np.where(arrived[:, None] > 0, lost, 0), 0).astype(np.float32)
        x = np.where(arrived > 0, 1, x)
        v, free = np.where(s, one.reset, v), np.where(s, t + 1 + one.wait, free)
        gei = gei + (game.to_inhibitory * s if game.layer else 0)
        if not game.layer:
            gi = gi + game.inhibition * (s.sum() - s)
        if learn:
            room = np.maximum(rule.w_max - w.astype(float), 0) ** rule.mu
            gain = rule.a_plus * (x - rule.target)[:, None] * room * (z if rule.triplet else 1.0)
            w = np.where(s & linked, np.clip(w + gain, 0, rule.w_max), w).astype(np.float32)
            y, z, theta = np.where(s, 1, y), np.where(s, 1, z), (theta + game.jump * s) * game.fade
        spikes[t] = s
    return spikes, w, theta


class Small(_build.Network):
    """With what the reference wants to know."""

    dt = 0.5
    taus = (20.0, 20.0, 40.0)


def small(**settings):
    given = DiehlCook(UNITS, INPUTS, total=7.0, theta_plus=0.5, strength=4.0, **settings)
    built = _build.build(given, 3)
    return Small(**vars(built))


def drawn(rate, steps=SHOWN + PAUSE, rng=0):
    found = (np.random.default_rng(rng).random((steps, INPUTS)) < rate * np.linspace(0.2, 1.8, INPUTS)).astype(int)
    found[SHOWN:] = 0
    return found


def present(network, arrivals, learn=True):
    """Return spike counts; the kernel with these arrivals."""
    steps, counts = len(arrivals), np.zeros(UNITS, np.int64)
    starts = np.concatenate([[0], np.cumsum(arrivals.sum(axis=1))])
    _kernel.present(
        np.nonzero(arrivals)[1].astype(np.int32), starts, steps, learn, network.state, network.cells,
        network.competition, network.learning, network.senders, network.traces, counts, np.empty((2, UNITS), np.int64),
    )  # fmt: skip
    return counts


RULES = {
    "triplet": CompetitiveRule(a_minus=1e-3, a_plus=0.1),
    "pairs": CompetitiveRule(a_minus=2e-2, a_plus=0.05, triplet=False),
    "bounded": CompetitiveRule(a_minus=1e-2, a_plus=0.05, target=0.3, mu=0.4, w_max=0.8, triplet=False),
    "linear": CompetitiveRule(a_minus=0.0, a_plus=0.05, target=0.4, mu=1.0, triplet=False),
}


@pytest.mark.parametrize("inhibition", ["layer", "direct"])
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("density", [1.0, 0.5])
def test_the_kernel_does_what_the_equations_say(rule, inhibition, density):
    network = small(rule=rule, inhibition=inhibition, density=density)
    arrivals = drawn(0.3)
    before = network.state.weights.copy(), network.state.theta.copy()
    spikes, weights, theta = plain(network, arrivals, True, before)
    seen = np.array([present(network, arrivals[t : t + 1]) for t in range(len(arrivals))])  # a step at a time
    assert spikes.sum() > 30
    np.testing.assert_array_equal(seen, spikes)
    np.testing.assert_allclose(network.state.weights, weights, rtol=0, atol=1e-5)
    np.testing.assert_allclose(network.state.theta, theta, rtol=1e-10)
    assert np.abs(weights - before[0]).max() > 1e-3


def test_a_presentation_goes_on_where_the_last_one_ended():
    """Cutting time into presentations changes nothing: traces, refractory times and conductances are carried on."""
    whole, parts = small(rule=RULES["pairs"]), small(rule=RULES["pairs"])
    arrivals = drawn(0.3)
    together = present(whole, arrivals)
    cut = sum(present(parts, part) for part in np.split(arrivals, [100, 101, 317]))
    assert together.tolist() == cut.tolist()
    np.testing.assert_array_equal(whole.state.weights, parts.state.weights)
    np.testing.assert_allclose(whole.state.theta, parts.state.theta, rtol=1e-5)  # which decays once per presentation


def test_without_learning_nothing_stays():
    network = small()
    weights, theta = network.state.weights.copy(), network.state.theta.copy()
    assert present(network, drawn(0.3), learn=False).sum() > 20
    np.testing.assert_array_equal(network.state.weights, weights)
    np.testing.assert_array_equal(network.state.theta, theta)


def test_inputs_fire_as_independent_bernoulli_draws():
    steps, p = 4000, np.array([0.0, 0.01, 0.3, 1.0, 2.0])
    starts, events, found = np.zeros(steps + 1, np.int64), np.empty(steps * 5, np.int32), np.empty(steps * 5, np.int64)
    n = _kernel.poisson(p, 1.0, steps, np.uint64(7), starts, events, found)
    dense = np.zeros((steps, 5), int)
    for t in range(steps):
        own = events[starts[t] : starts[t + 1]]
        assert (np.diff(own) > 0).all()
        dense[t, own] = 1
    assert n == dense.sum() == starts[-1]
    assert dense[:, 0].sum() == 0
    assert dense[:, 3:].all()
    for i in (1, 2):
        assert stats.binomtest(int(dense[:, i].sum()), steps, float(p[i])).pvalue > 1e-4
        gaps = np.diff(np.flatnonzero(dense[:, i]))
        expected = stats.geom(p[i]).cdf([1, 2, 4, 1e9] if i == 2 else [30, 100, 200, 1e9])
        seen = np.histogram(gaps, [0.5, 1.5, 2.5, 4.5, 1e9] if i == 2 else [0.5, 30.5, 100.5, 200.5, 1e9])[0]
        assert stats.chisquare(seen, np.diff([0, *expected]) * len(gaps)).pvalue > 1e-4
    other = events[:n].copy()
    _kernel.poisson(p, 1.0, steps, np.uint64(8), starts, events, found)
    assert not np.array_equal(other, events[:n])


def test_showings_and_samples_have_draws_of_their_own():
    keys = {int(_kernel.presentation_key(np.uint64(5), s, a)) for s in range(200) for a in range(20)}
    assert len(keys) == 4000
    shown = np.random.default_rng(0).random((500, 6))
    names = _build.fingerprints(shown)
    assert len(set(names.tolist())) == 500
    np.testing.assert_array_equal(_build.fingerprints(shown[::-1]), names[::-1])


def test_normalised_units_and_no_others():
    weights = np.random.default_rng(0).random((6, 3)).astype(np.float32)
    before, senders = weights.copy(), np.tile(np.arange(6, dtype=np.int32), (3, 1))
    _kernel.normalise(weights, senders, np.array([0, 2]), 2.0)
    np.testing.assert_allclose(weights[:, [0, 2]].sum(axis=0), 2.0, rtol=1e-6)
    np.testing.assert_array_equal(weights[:, 1], before[:, 1])
