"""Oracles: the arc-cosine kernel, the exact law of one norm, real networks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sparsefire.errors import UserError
from sparsefire.propagation.laws.finite_width import norm_law
from sparsefire.propagation.laws.gram import arc_cosine, gram_chain, mean_gram


def test_correlations_of_wide_layers():
    c, found = 0.0, {}
    for layer in range(1, 1001):
        c = float(arc_cosine(c))
        found[layer] = c
    assert [round(found[at], 6) for at in (1, 2, 10, 100)] == [0.318310, 0.493731, 0.871536, 0.996423]
    assert 1000**2 * (1 - c) == pytest.approx(43.13, abs=0.01)


def test_mean_gram_against_samples():
    rng = np.random.default_rng(0)
    gram, n, inputs, v, b2 = np.array([[3.0, -1.0], [-1.0, 2.0]]), 7, 5, 1.8, 0.3
    h = rng.multivariate_normal([0, 0], v / inputs * gram + b2, size=400_000)
    x = np.maximum(h, 0)
    terms = x[:, :, None] * x[:, None, :] * n
    expected = mean_gram(gram, n, inputs, weight_variance=v, bias_variance=b2)
    assert (np.abs(terms.mean(0) - expected) <= 4 * terms.std(0) / np.sqrt(len(x))).all()


def test_one_layer_of_the_chain_has_that_mean():
    chain = gram_chain([6, 9], correlation=-0.4, input_squares=(1.0, 4.0), bias_variance=0.2, runs=40_000, rng=1)
    squares = np.exp(chain.log_norms[:, 0]) * 9
    joint = np.nan_to_num(chain.correlations[0]) * np.sqrt(squares[0] * squares[1])
    gram = np.array([[6.0, -0.4 * 12], [-0.4 * 12, 24.0]])
    expected = mean_gram(gram, 9, 6, bias_variance=0.2)
    for found, goal in ((squares[0], expected[0, 0]), (squares[1], expected[1, 1]), (joint, expected[0, 1])):
        assert abs(found.mean() - goal) <= 4 * found.std() / np.sqrt(len(found))


@pytest.mark.parametrize("b2", [0.0, 0.3])
def test_each_norm_follows_its_exact_law(b2):
    chain = gram_chain(12, 5, correlation=0.5, bias_variance=b2, runs=5_000, rng=2)
    law = norm_law(12, 5, bias_variance=b2)
    for which in (0, 1):
        found = np.exp(chain.log_norms[which, -1])
        assert stats.kstest(found[found > 0], lambda r: (law.cdf(r) - law.atom) / (1 - law.atom)).pvalue > 1e-3
    low, high = chain.interval("first", 0.5, 0.999)
    assert low[-1] <= law.log_quantile(0.5) <= high[-1]
    assert low[-1] < chain.quantile("first", 0.5)[-1] < high[-1]


def test_real_networks():
    rng, n, depth, nets = np.random.default_rng(4), 20, 4, 500
    found = np.empty(nets)
    a, b = np.zeros(n), np.zeros(n)
    a[0], b[:2] = 1.0, (0.6, 0.8)
    for at in range(nets):
        x = np.stack([a, b], 1)
        for _ in range(depth):
            x = np.maximum(rng.normal(0, np.sqrt(2 / n), (n, n)) @ x, 0)
        found[at] = x[:, 0] @ x[:, 1] / np.sqrt((x[:, 0] @ x[:, 0]) * (x[:, 1] @ x[:, 1]))
    chain = gram_chain(n, depth, correlation=0.6, runs=5_000, rng=5)
    assert stats.ks_2samp(found, chain.correlations[-1]).pvalue > 1e-3


def test_equal_signals_stay_equal_and_narrow_layers_die():
    chain = gram_chain(4, 6, correlation=1.0, runs=2_000, rng=0)
    alive = chain.correlations[~np.isnan(chain.correlations)]
    np.testing.assert_allclose(alive, 1)
    np.testing.assert_allclose(chain.log_norms[0], chain.log_norms[1])
    share = 1 - (1 - 2.0**-4) ** np.arange(1, 7)
    assert (np.abs(chain.dead() - share) <= 4 * np.sqrt(share * (1 - share) / 2_000)).all()
    opposite = gram_chain(4, 1, correlation=-1.0, runs=500, rng=0)
    assert np.nanmax(opposite.correlations) == 0.0


def test_the_same_rng_gives_the_same_chain():
    one, two, three = (gram_chain(300, 2, runs=300, rng=rng) for rng in (1, 1, 2))
    assert (one.correlations == two.correlations).all()
    assert (one.correlations != three.correlations).any()
    assert one.quantile("correlation", [0.1, 0.9]).shape == (2, 2)


@pytest.mark.parametrize(
    "call",
    [
        lambda: gram_chain(4, 2, correlation=1.1),
        lambda: gram_chain(4, 2, correlation=np.nan),
        lambda: gram_chain(4, 2, input_squares=(1.0, 0.0)),
        lambda: gram_chain(4, 2, weight_variance=-1.0),
        lambda: gram_chain(4, 2, runs=1),
        lambda: gram_chain(4, 2, runs=5, rng=0).quantile("third", 0.5),
        lambda: gram_chain(4, 2, runs=5, rng=0).quantile("first", 2),
        lambda: gram_chain(4, 2, runs=5, rng=0).interval("first", 0.0),
        lambda: mean_gram([1.0, 2.0], 3, 3),
    ],
)
def test_wrong_use(call):
    with pytest.raises(UserError):
        call()
