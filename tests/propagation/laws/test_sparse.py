"""Oracles: figures of large simulations, enumeration of small chains, simulated sparse layers."""

from __future__ import annotations

from inspect import signature

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sparsefire.cascades.approximate.degree_laws import poisson
from sparsefire.errors import UserError
from sparsefire.propagation.laws.criticality import criticalities
from sparsefire.propagation.laws.density_evolution import density_evolution
from sparsefire.propagation.laws.log_norm import log_norm
from sparsefire.propagation.laws.mean_field import orbit
from sparsefire.propagation.laws.moments import fan_in_law
from sparsefire.propagation.laws.sparse import (
    active_law,
    binomials,
    dead_law,
    dead_limit,
    dead_share,
    kurtosis,
    kurtosis_limit,
    silent_share,
    unreached,
)
from sparsefire.wiring.graph import Wiring


def layer(x, k, rng, weights="normal", width=None, distinct=False):
    """h of a layer in which every unit draws k inputs."""
    n = width or len(x)
    h = np.zeros(n)
    order = np.argsort(rng.random((n, len(x))), axis=1)[:, :k] if distinct else None
    for at in range(k):
        w = rng.standard_normal(n) if weights == "normal" else rng.choice([-1.0, 1.0], n)
        h += w * x[rng.integers(len(x), size=n) if order is None else order[:, at]]
    return h * np.sqrt(2 / k)


def test_figures_of_the_reference():
    assert dead_share(3, 20)[-1] == pytest.approx(0.23607, abs=5e-6)
    assert dead_share(2, 20)[-1] == pytest.approx(0.84619, abs=5e-6)
    assert dead_share(4, 20)[-1] == pytest.approx(0.08738, abs=5e-6)
    assert dead_share(poisson(3), 20)[-1] == pytest.approx(0.41717, abs=5e-6)
    assert dead_share(2, 40)[-1] == pytest.approx(0.91416, abs=5e-6)
    assert dead_limit(3) == pytest.approx(np.sqrt(5) - 2, abs=1e-15)
    assert dead_limit(4) == pytest.approx(0.087378, abs=1e-6)
    assert dead_limit(poisson(3)) == pytest.approx(0.417188, abs=1e-6)
    assert dead_limit(poisson(5)) == pytest.approx(0.107355, abs=1e-6)
    assert [dead_limit(k) for k in (0, 1, 2)] == [1.0, 1.0, 1.0]
    assert kurtosis(4, 4).round(1).tolist() == [6.8, 12.4, 20.8, 33.5]
    assert kurtosis(4, 10)[-1] > 60
    for weights, k, limit in (("normal", 32, 3.5769), ("normal", 8, 10.5), ("sign", 3, 6), ("sign", 4, 4.5)):
        assert kurtosis_limit(k, weights) == pytest.approx(limit, abs=5e-5)
        assert kurtosis(k, 400, weights)[-1] == pytest.approx(limit, abs=5e-5)
    assert kurtosis_limit(poisson(16)) == pytest.approx(4.8, abs=1e-9)
    assert [kurtosis_limit(k) for k in (1, 6)] == [np.inf, np.inf]
    assert kurtosis_limit(2, "sign") == np.inf


@pytest.mark.parametrize(("law", "goal"), [(2, 0.84619), (3, 0.23607), (4, 0.08738)])
def test_simulated_dead_units(law, goal):
    rng, n = np.random.default_rng(1), 200_000
    alive = rng.random(n) < 0.5  # rectified inputs
    for _ in range(20):
        reached = np.zeros(n, dtype=bool)
        for _ in range(law):
            reached |= alive[rng.integers(n, size=n)]
        alive = reached & (rng.random(n) < 0.5)
    assert (~reached).mean() == pytest.approx(goal, abs=0.008 if law == 2 else 0.005)
    assert dead_share(law, 20)[-1] == pytest.approx(goal, abs=1e-5)


@pytest.mark.parametrize(
    ("k", "weights", "tolerance"), [(32, "normal", 0.08), (16, "normal", 0.12), (4, "sign", 0.05), (8, "sign", 0.03)]
)
def test_simulated_kurtosis(k, weights, tolerance):
    rng, n = np.random.default_rng(2), 400_000
    h = rng.standard_normal(n)
    for _ in range(4):
        h = layer(np.maximum(h, 0), k, rng, weights)
    assert np.mean(h**4) / np.mean(h**2) ** 2 == pytest.approx(kurtosis(k, 4, weights)[-1], abs=2 * tolerance)


def test_kurtosis_with_weights_scaled_by_the_own_fan_in():
    law, rng, n = np.array([0.1, 0.0, 0.0, 0.3, 0.0, 0.0, 0.0, 0.0, 0.6]), np.random.default_rng(3), 400_000
    h = rng.standard_normal(n)
    for _ in range(3):
        x, k = np.maximum(h, 0), rng.choice(len(law), n, p=law)
        h = np.zeros(n)
        for at in range(8):
            h += np.where(at < k, rng.choice([-1.0, 1.0], n) * x[rng.integers(n, size=n)], 0)
        h *= np.sqrt(2 / np.maximum(k, 1))
    found = np.mean(h**4) / np.mean(h**2) ** 2
    assert found == pytest.approx(kurtosis(law, 3, "sign", scaled="actual")[-1], rel=0.02)
    assert kurtosis(law, 3, "sign")[-1] != pytest.approx(found, rel=0.02)
    np.testing.assert_allclose(kurtosis(5, 6, scaled="actual"), kurtosis(5, 6))
    assert kurtosis_limit(law, "sign", scaled="actual") == pytest.approx(
        kurtosis(law, 300, "sign", scaled="actual")[-1]
    )


def test_kurtosis_of_inputs_that_are_not_rectified():
    rng, n = np.random.default_rng(4), 400_000
    h = layer(rng.standard_normal(n), 4, rng)
    assert np.mean(h**4) / np.mean(h**2) ** 2 == pytest.approx(kurtosis(4, 1, start=1.5)[0], abs=0.1)
    assert kurtosis(4, 1, start=1.5)[0] == 3 + 6 / 4


@pytest.mark.parametrize("distinct", [False, True])
def test_unreached_by_enumeration(distinct):
    n, law = 5, np.array([0.1, 0.2, 0.3, 0.4])
    from itertools import permutations, product

    draws = (lambda k: list(permutations(range(n), k))) if distinct else (lambda k: list(product(range(n), repeat=k)))
    for active in range(n + 1):
        expected = sum(
            law[k] * np.mean([all(j >= active for j in picked) for picked in draws(k)]) for k in range(len(law))
        )
        assert unreached(law, n, distinct)[active] == pytest.approx(expected, abs=1e-14)


def test_an_independent_mask_is_a_binomial_law_of_distinct_inputs():
    n, density = 30, 0.07
    law = fan_in_law(stats.binom(n, density))
    np.testing.assert_allclose(unreached(law, n, True), (1 - density) ** np.arange(n + 1), atol=1e-11)


@pytest.mark.parametrize("distinct", [False, True])
def test_the_finite_chain_against_sparse_layers(distinct):
    rng, n, k, depth, nets = np.random.default_rng(6), 12, 2, 4, 4_000
    active, dead = np.zeros(n + 1), np.zeros(n + 1)
    for _ in range(nets):
        x = rng.standard_normal(n)
        for _ in range(depth):
            h = layer(x, k, rng, distinct=distinct)
            x = np.maximum(h, 0)
        active[(x > 0).sum()] += 1
        dead[(h == 0).sum()] += 1
    for counts, law in (
        (active, active_law(k, depth, n, distinct=distinct, inputs="plain")[-1]),
        (dead, dead_law(k, depth, n, distinct=distinct, inputs="plain")[-1]),
    ):
        groups = np.minimum(np.searchsorted(np.cumsum(law), np.linspace(0.08, 0.92, 11)), n)
        cells = np.unique(np.searchsorted(np.unique(groups), np.arange(n + 1)), return_inverse=True)[1]
        expected = np.bincount(cells, law) * nets
        assert expected.min() > 20
        assert stats.chisquare(np.bincount(cells, counts), expected).pvalue > 1e-3
    share = dead_share(k, depth, n, distinct=distinct, inputs="plain")[-1]
    assert share == pytest.approx(
        dead_law(k, depth, n, distinct=distinct, inputs="plain")[-1] @ np.arange(n + 1) / n, abs=1e-13
    )


def test_all_laws_take_the_same_inputs():
    """Activated: half of the inputs live, in every law; plain: all of them."""
    for inputs, share in (("activated", 0.5**3), ("plain", 0.0)):
        assert dead_share(3, 1, inputs=inputs)[0] == share
        assert density_evolution(3, 1, inputs=inputs)[0].dead() == pytest.approx(share, abs=1e-12)
        law = dead_law(3, 1, 8, distinct=True, inputs=inputs)[0]
        assert law @ np.arange(9) / 8 == pytest.approx(share)
        second = orbit(1, fan_in=3, inputs=inputs).variance[0]  # of numbers of variance 1: ReLU halves it
        assert second == pytest.approx(1.0 if inputs == "activated" else 2.0)
    for law in (dead_share, active_law, dead_law, density_evolution, orbit):
        assert signature(law).parameters["inputs"].default == "activated"
    for law in (dead_share, active_law, dead_law, criticalities):
        assert signature(law).parameters["distinct"].default is False
    np.testing.assert_allclose(active_law(3, 2, 9), active_law(3, 2, 9, distinct=False, inputs="activated"))


def test_arguments_come_in_one_order():
    for law in (dead_share, active_law, dead_law, kurtosis, log_norm, criticalities, density_evolution):
        given = [name for name, one in signature(law).parameters.items() if one.kind is one.POSITIONAL_OR_KEYWORD]
        assert given == [name for name in ("fan_in", "depth", "width", "weights") if name in given], law.__name__
        assert set(given) == {"fan_in", "depth", "width", "weights"} & set(signature(law).parameters), law.__name__


def test_fan_ins_by_layer():
    for several in ([3, 4, 2], (3, 4, 2), np.array([3, 4, 2]), np.array([3, 4, 2], dtype=np.uint8)):
        np.testing.assert_array_equal(dead_share(several), dead_share([3, 4, 2], 3))
        assert len(kurtosis(several)) == 3
    assert dead_share([1]).tolist() == dead_share(np.array([1])).tolist() == [0.5]  # one layer of fan-in 1
    assert dead_share([1.0], 2).tolist() == dead_share(np.array([1.0]), 2).tolist() == [1.0, 1.0]  # nobody is joined
    for law in ([0, 1], np.array([0, 1]), [0.0, 1.0]):
        np.testing.assert_array_equal(dead_share(law, 4), dead_share(1, 4))
    with pytest.raises(UserError, match="one fan-in per layer"):
        dead_share([1], 2)
    with pytest.raises(UserError):
        dead_share(np.array([3.0, 4.0]))


def test_many_units_are_the_limit():
    wide = dead_share(3, 10, 2000)
    np.testing.assert_allclose(wide, dead_share(3, 10), atol=2e-3)
    np.testing.assert_allclose(dead_share(3, 10, 2000, inputs="plain"), dead_share(3, 10, inputs="plain"), atol=2e-3)
    assert dead_share(2, 200, 50)[-1] > dead_share(2, 200)[-1]  # finite layers die out
    np.testing.assert_allclose(silent_share(3, 4), (1 + dead_share(3, 4)) / 2)


def test_layers_of_their_own():
    assert dead_share([3, 2, [0.5, 0.5]])[2] == pytest.approx(0.5 + 0.25 * (1 + dead_share([3, 2])[-1]))
    laws = active_law([2, 3], width=[4, 6, 5])
    assert [len(law) for law in laws] == [7, 6]
    assert dead_share(2, width=[4, 6, 5]).shape == (2,)
    wiring = Wiring.from_edges([0, 1, 2, 0], [0, 0, 1, 2], shape=(3, 4))
    assert dead_share(wiring, 1)[0] == pytest.approx((1 + 2 * 0.5 + 0.25) / 4)


def test_from_given_inputs():
    assert active_law(3, 2, 5, inputs=0)[:, 0].tolist() == [1.0, 1.0]
    law = np.array([0.5, 0, 0, 0, 0, 0.5])
    mixed = (active_law(3, 2, 5, inputs=0) + active_law(3, 2, 5, inputs=5)) / 2
    np.testing.assert_allclose(active_law(3, 2, 5, inputs=law), mixed)
    np.testing.assert_allclose(active_law(0, 2, 5)[:, 0], 1)


@given(st.integers(1, 60), st.lists(st.floats(0, 1), min_size=1, max_size=6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_laws_are_laws(width, raw, distinct):
    raw = np.array(raw[: width + 1]) + 1e-3
    found = active_law(raw / raw.sum(), 3, width, distinct=distinct)
    np.testing.assert_allclose(found.sum(1), 1)
    assert (found >= 0).all()
    assert (np.diff(found[:, 0]) >= -1e-12).all()  # nothing comes back


def test_binomials():
    p = np.array([0.0, 1e-300, 0.3, 1 - 1e-16, 1.0])
    np.testing.assert_allclose(binomials(50, p), stats.binom.pmf(np.arange(51), 50, p[:, None]), atol=1e-14)


@pytest.mark.parametrize(
    "call",
    [
        lambda: dead_share(3),
        lambda: dead_share(3, 0),
        lambda: dead_share(-1, 2),
        lambda: dead_share(3, 2, inputs=4),
        lambda: dead_share([3, 4], 5),
        lambda: active_law(3, 2),
        lambda: active_law(3, 2, 0),
        lambda: active_law(3, 2, 5000),
        lambda: active_law(6, 2, 5, distinct=True),
        lambda: active_law(3, 2, 5, inputs=6),
        lambda: active_law(3, 2, 5, inputs="some"),
        lambda: active_law(3, 2, 5, inputs=[0.5, 0.5]),
        lambda: active_law(3, 3, [5, 5]),
        lambda: kurtosis(3, 2, "cauchy"),
        lambda: kurtosis(3, 2, scaled="own"),
        lambda: kurtosis(3, 2, start=0.0),
    ],
)
def test_wrong_use(call):
    with pytest.raises(UserError):
        call()
