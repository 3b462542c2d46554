"""Oracles: all combinations of thresholds on small trees, the tree recursions, the limit of large networks, runs."""

import itertools
import math

import numpy as np
import pytest
from scipy import sparse, stats

from sparsefire.cascades.approximate.cavity_thresholds import cavity_marginals_threshold
from sparsefire.cascades.approximate.degree_laws import regular
from sparsefire.cascades.approximate.ensembles import mean_field
from sparsefire.cascades.exact.small import neighbour_responses
from sparsefire.cascades.exact.threshold_tree import threshold_tree_law
from sparsefire.cascades.exact.tree import marginals as independent_marginals
from sparsefire.cascades.threshold import Threshold
from sparsefire.errors import UserError
from sparsefire.wiring.degrees import random_regular
from sparsefire.wiring.generators import erdos_renyi, random_tree
from sparsefire.wiring.graph import Wiring


def field(wiring, thresholds, chance=0.0):
    return Threshold(wiring, thresholds).marginals(np.full(wiring.units, chance), "mean-field").probability


def all_classes(wiring, responses):
    """P(active) of every unit, by going through all combinations of the numbers of neighbours that units need."""
    found = np.zeros(wiring.units)
    for need in itertools.product(*(range(len(r) + 1) for r in responses)):
        chance = math.prod(
            (r[t] - (r[t - 1] if t else 0.0)) if t < len(r) else 1 - r[-1] for r, t in zip(responses, need, strict=True)
        )
        active = np.zeros(wiring.units, dtype=bool)
        while True:
            count = np.bincount(wiring.receivers, active[wiring.senders], wiring.units)
            more = active | (count >= np.array(need))
            if (more == active).all():
                break
            active = more
        found += chance * active
    return found


def rising(rng, lengths):
    return [np.sort(rng.choice([0.0, 1.0, *rng.random(9)], k)) for k in lengths]


@pytest.mark.parametrize("n", range(1, 7))
def test_exact_on_small_trees(n):
    rng = np.random.default_rng(n)
    for _ in range(4):
        parents, children = np.array([rng.integers(i) for i in range(1, n)], dtype=int), np.arange(1, n)
        kept = rng.random((2, n - 1)) < 0.75
        wiring = Wiring.from_edges(
            np.append(parents[kept[0]], children[kept[1]]), np.append(children[kept[0]], parents[kept[1]]), units=n
        )
        responses = rising(rng, wiring.in_degrees + 1)
        assert np.abs(cavity_marginals_threshold(wiring, responses) - all_classes(wiring, responses)).max() <= 1e-12


def test_parallel_arcs_and_loops_on_a_small_tree():
    wiring = Wiring.from_edges([0, 1, 1, 2, 1, 1, 2], [1, 0, 0, 1, 2, 1, 1], units=3)  # 1 → 0 and 2 → 1 twice, a loop
    responses = rising(np.random.default_rng(8), wiring.in_degrees + 1)
    assert np.abs(cavity_marginals_threshold(wiring, responses) - all_classes(wiring, responses)).max() <= 1e-12


def test_exact_on_large_trees():
    tree = random_tree(3000, rng=0)
    responses = [1 - 0.98 * 0.7 ** np.arange(k + 1.0) for k in tree.in_degrees]  # an independent cascade
    assert (
        np.abs(cavity_marginals_threshold(tree, responses, sweeps=4) - independent_marginals(tree, 0.3, 0.02)).max()
        <= 1e-11
    )
    responses = neighbour_responses(tree, stats.norm(0.4, 0.25).cdf)
    mean = threshold_tree_law(tree, responses).mean()
    assert cavity_marginals_threshold(tree, responses, sweeps=4).sum() == pytest.approx(mean, rel=1e-9)


def test_a_large_star():
    h, cdf = 3000, stats.norm(0.35, 0.2).cdf
    star = Wiring.from_edges([0] * h, np.arange(1, h + 1), directed=False)
    found = cavity_marginals_threshold(star, neighbour_responses(star, cdf), sweeps=4)
    leaf, count = float(cdf(0)), np.arange(h + 1)
    hub = stats.binom(h, leaf).pmf(count) @ cdf(count / h)
    without = stats.binom(h - 1, leaf).pmf(count[:-1]) @ cdf(count[:-1] / h)
    assert found[0] == pytest.approx(hub, abs=1e-12)
    assert np.abs(found[1:] - (leaf + (cdf(1) - leaf) * without)).max() <= 1e-12


def test_a_long_path_in_disorder():
    units = np.random.default_rng(9).permutation(3000)
    path = Wiring.from_edges(units[:-1], units[1:], directed=False)
    responses = neighbour_responses(path, stats.norm(0.35, 0.2).cdf)
    mean = threshold_tree_law(path, responses).mean()
    assert cavity_marginals_threshold(path, responses, sweeps=4).sum() == pytest.approx(mean, rel=1e-9)


def test_regular_wirings_have_the_limit_of_large_ones():
    wiring, law = random_regular(400, 4, rng=0), stats.norm(0.5, 0.3)
    limit = mean_field(regular(4), law, sources=0.05)
    found = field(wiring, law, 0.05)
    assert np.abs(found - limit.share).max() <= 1e-9
    limit = mean_field(regular(4), 0.5, sources=0.1)
    assert np.abs(field(wiring, 0.5, 0.1) - limit.share).max() <= 1e-9


def test_close_to_simulation_on_a_random_graph():
    wiring, runs = erdos_renyi(1000, mean_degree=5, directed=False, rng=1), 4000
    rng = np.random.default_rng(10)
    weights = 1 / np.maximum(wiring.in_degrees, 1)[wiring.receivers]
    loads = sparse.csr_array((weights, (wiring.receivers, wiring.senders)), shape=(1000, 1000))
    active = np.zeros((1000, runs), dtype=bool)
    thresholds = rng.normal(0.5, 0.25, (1000, runs)) - 1e-12
    while True:
        more = active | (loads @ active.astype(float) >= thresholds)
        if (more == active).all():
            break
        active = more
    found = field(wiring, stats.norm(0.5, 0.25))
    error = np.sqrt(found * (1 - found) / runs)
    assert np.sqrt(np.mean(((found - active.mean(axis=1)) / error) ** 2)) <= 1.5  # 1 if there were no loops
    assert found.mean() == pytest.approx(active.mean(), abs=4 * active.mean(axis=0).std() / math.sqrt(runs) + 1e-3)


def test_a_wiring_without_arcs():
    assert field(Wiring.from_edges([], [], units=3), 0.5, 0.25).tolist() == [0.25] * 3


def test_wrong_input_unit_by_unit():
    pair = Wiring.from_edges([0], [1])
    with pytest.raises(UserError, match="unit 1 is no rising"):
        cavity_marginals_threshold(pair, [[0.5], [0.5, 0.4]])
    with pytest.raises(UserError, match="there must be sweeps"):
        cavity_marginals_threshold(pair, [[0.5], [0.5, 0.6]], sweeps=0)
    ring = Wiring.from_edges(np.arange(50), (np.arange(50) + 1) % 50, directed=False)
    with pytest.warns(UserWarning, match="has not settled after 2 sweeps"):
        cavity_marginals_threshold(ring, neighbour_responses(ring, stats.norm(0.5, 0.3).cdf), sweeps=2)
