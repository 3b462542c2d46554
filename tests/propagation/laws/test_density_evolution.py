"""Oracles: generating functions, recursions of moments, closed-form laws of one and two layers, simulated layers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, special, stats

from sparsefire.cascades.approximate.degree_laws import poisson
from sparsefire.errors import UserError
from sparsefire.propagation.laws._log_grid import correlate, share_out
from sparsefire.propagation.laws.activations import activation
from sparsefire.propagation.laws.density_evolution import density_evolution
from sparsefire.propagation.laws.signal_law import SignalLaw
from sparsefire.wiring.graph import Wiring


@pytest.mark.parametrize(
    ("fan_in", "layer", "dead"),
    [
        (3, 20, 0.23607),
        (poisson(3), 20, 0.41717),
        (4, 20, 0.08738),
        (2, 20, 0.84619),
        (3, 50, 0.236068),
        (4, 50, 0.087378),
        (poisson(3), 50, 0.417188),
        (poisson(5), 50, 0.107355),
    ],
)
def test_dead_units_by_depth(fan_in, layer, dead):
    assert density_evolution(fan_in, layer)[-1].dead() == pytest.approx(dead, abs=1e-5)


@pytest.mark.parametrize(
    ("fan_in", "weights", "kurtosis"),
    [(32, "normal", 3.5769), (16, "normal", 4.5), (poisson(16), "normal", 4.8), (4, "sign", 4.5), (8, "sign", 3.5)],
)
def test_limits_of_the_kurtosis(fan_in, weights, kurtosis):
    laws = density_evolution(fan_in, 25, weights=weights)
    assert laws[-1].kurtosis() == pytest.approx(kurtosis, rel=2e-3)
    assert laws[-1].variance() == pytest.approx(1.0)


@pytest.mark.parametrize(("fan_in", "weights"), [(16, "normal"), (4, "sign"), (12, "uniform"), (poisson(20), "normal")])
def test_the_grid_has_the_moments_of_the_recursion(fan_in, weights):
    for law in density_evolution(fan_in, 8, weights=weights):
        assert law.expectation(np.square) == pytest.approx(law.variance(), rel=1e-7)
        assert law.expectation(lambda x: x**4) == pytest.approx(law.variance() ** 2 * law.kurtosis(), rel=1e-4)
        assert law.mass.sum() + law.atom == pytest.approx(1.0, abs=1e-12)
        assert law.beyond < 1e-10


def test_one_input_over_a_normal_weight_is_a_product_of_normals():
    """P(|w x| ≤ t) by the Bessel function K₀."""
    law = density_evolution(1, 1, activation="linear", weight_variance=1.0)[0]
    t = np.array([1e-6, 0.01, 0.3, 2.0, 6.0])
    wanted = [integrate.quad(lambda z: 2 / np.pi * special.k0(z), 0, one, epsabs=1e-13)[0] for one in t]
    assert law.within(t) == pytest.approx(np.array(wanted), rel=1e-6, abs=1e-9)
    assert law.density(t) == pytest.approx(special.k0(t) / np.pi, rel=1e-4)


def test_two_inputs_make_a_laplace_law():
    """w₁ x₁ + w₂ x₂ of standard normals has the characteristic function 1 / (1 + t²)."""
    law = density_evolution(2, 1, activation="linear", weight_variance=2.0)[0]
    x = np.array([-3.0, -0.2, 0.0, 1e-3, 0.5, 4.0, 12.0])
    assert law.cdf(x) == pytest.approx(stats.laplace.cdf(x), abs=1e-8)
    assert law.density(x[x != 0]) == pytest.approx(stats.laplace.pdf(x[x != 0]), rel=1e-4)
    q = np.array([0.0, 1e-6, 0.1, 0.5, 0.7, 0.999, 1.0])
    assert law.quantile(q) == pytest.approx(stats.laplace.ppf(q), rel=1e-5, abs=1e-7)
    assert law.kurtosis() == pytest.approx(6.0)
    assert law.error < 1e-7


@pytest.mark.parametrize("weights", ["normal", "uniform", "sign"])
def test_many_inputs_make_a_normal_law(weights):
    law = density_evolution(3000, 3, weights=weights)[-1]
    x = np.linspace(-3, 3, 13)
    assert law.cdf(x) == pytest.approx(stats.norm.cdf(x), abs=2e-4)
    assert law.error < 1e-4


def test_signs_of_normals_are_normal():
    law = density_evolution(3, 1, "sign", activation="linear", weight_variance=1.0)[0]
    x = np.linspace(-4, 4, 17)
    assert law.cdf(x) == pytest.approx(stats.norm.cdf(x), abs=1e-8)


def test_a_bias_alone():
    law = density_evolution([1.0], 2, bias_variance=0.25)[-1]
    x = np.linspace(-1.5, 1.5, 7)
    assert law.cdf(x) == pytest.approx(stats.norm.cdf(x, scale=0.5), abs=1e-8)
    assert law.dead() == 0.0
    assert law.variance() == 0.25


def test_sigmoids_of_no_live_input_still_deliver():
    """φ(0) = 1/2 from every unit of layer 1, all dead: layer 2 adds up halves over normal weights."""
    laws = density_evolution([[1.0], 4], None, activation="sigmoid", weight_variance=1.0)
    assert laws[0].dead() == 1.0
    assert laws[1].variance() == pytest.approx(0.25)
    assert laws[1].cdf(0.3) == pytest.approx(stats.norm.cdf(0.6), abs=1e-7)
    assert laws[1].kurtosis() == pytest.approx(3.0)


def simulated(fan_in, depth, phi, weights, weight_variance, bias_variance, units, rng):
    h = rng.standard_normal(units)
    for _ in range(depth):
        inputs = rng.integers(0, units, (units, fan_in))
        w = rng.standard_normal(inputs.shape) if weights == "normal" else rng.choice([-1.0, 1.0], inputs.shape)
        h = (w * phi(h)[inputs]).sum(1) * np.sqrt(weight_variance / fan_in)
        h += np.sqrt(bias_variance) * rng.standard_normal(units)
    return h


@pytest.mark.parametrize(
    ("fan_in", "name", "weights", "weight_variance", "bias_variance"),
    [
        (3, "relu", "normal", 2.0, 0.0),
        (4, "relu", "sign", 2.0, 0.0),
        (8, "tanh", "normal", 1.8, 0.05),
        (3, "tanh", "sign", 1.5, 0.0),
        (5, "gelu", "normal", 2.5, 0.1),
        (4, "elu", "sign", 1.5, 0.0),
    ],
)
def test_laws_against_simulation(fan_in, name, weights, weight_variance, bias_variance):
    """Deciles of |h| after 4 layers, 12 networks; the standard error is that of networks."""
    rng, phi, units, runs = np.random.default_rng(7), activation(name), 40_000, 12
    arguments = {"weight_variance": weight_variance, "bias_variance": bias_variance}
    law = density_evolution(fan_in, 4, weights, activation=name, **arguments)[-1]
    x = law.quantile(np.array([0.55, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999]))
    shares, dead = np.empty((runs, len(x))), np.empty(runs)
    for run in range(runs):
        h = simulated(fan_in, 4, phi, weights, weight_variance, bias_variance, units, rng)
        shares[run], dead[run] = (np.abs(h)[:, None] <= x).mean(0), (h == 0).mean()
    error = shares.std(0, ddof=1) / np.sqrt(runs)
    assert (abs(shares.mean(0) - law.atom - law.within(x)) < 4.5 * error + 1e-5).all()
    assert abs(dead.mean() - law.dead()) <= 4.5 * dead.std(ddof=1) / np.sqrt(runs)


def test_fan_ins_of_a_wiring_and_by_layer():
    wiring = Wiring.from_edges([0, 1, 2, 0, 1], [0, 0, 0, 1, 1], shape=(3, 2))
    one = density_evolution(wiring, 3)
    other = density_evolution([[0, 0, 0.5, 0.5]] * 3)
    assert one[-1].cdf(0.3) == pytest.approx(float(other[-1].cdf(0.3)), abs=1e-15)
    laws = density_evolution([3, 5])
    assert [law.dead() for law in laws] == pytest.approx([0.125, 0.5625**5])


def test_weights_by_actual_fan_in():
    """Half of the units have one input, half have two: a mixture of the laws of each."""
    law = density_evolution([0, 0.5, 0.5], 1, activation="linear", weight_variance=1.0, scaled="actual")[0]
    single, double = (density_evolution(k, 1, activation="linear", weight_variance=1.0)[0] for k in (1, 2))
    x = np.array([0.01, 0.5, 2.0])
    assert law.cdf(x) == pytest.approx((single.cdf(x) + double.cdf(x)) / 2, abs=1e-9)
    assert law.variance() == pytest.approx(1.0)
    assert law.kurtosis() == pytest.approx((9 + 6) / 2)


def test_starts():
    default = density_evolution(4, 2, activation="tanh")
    same = density_evolution(4, 2, activation="tanh", start=stats.norm())
    x = np.array([0.01, 0.4, 1.0, 3.0])
    assert same[1].cdf(x) == pytest.approx(default[1].cdf(x), abs=1e-8)
    assert same[1].variance() == pytest.approx(default[1].variance(), rel=1e-7)
    sampled = density_evolution(4, 2, activation="tanh", start=np.linspace(0, 1, 40_002)[1:-1])
    uniform = density_evolution(4, 2, activation="tanh", start=stats.uniform())
    assert sampled[1].cdf(x) == pytest.approx(uniform[1].cdf(x), abs=1e-5)
    zeros = density_evolution(4, 1, start=[0.0, 0.0, 1.0, -1.0], inputs="plain")[0]
    assert zeros.dead() == pytest.approx(0.5**4)
    assert zeros.variance() == pytest.approx(1.0)
    assert density_evolution(4, 1, inputs="plain")[0].dead() == 0.0


def test_all_dead():
    laws = density_evolution([1.0], 2)
    assert [law.dead() for law in laws] == [1.0, 1.0]
    assert np.isnan(laws[1].kurtosis())
    assert laws[1].quantile([0.1, 0.9]).tolist() == [0.0, 0.0]
    assert laws[1].cdf([-1.0, 0.0, 1.0]).tolist() == [0.0, 1.0, 1.0]
    assert laws[1].density(1.0) == 0.0


def test_heavy_tails_stay_on_the_grid():
    """Fan-in 3 with normal weights has no limit of the kurtosis; twice the steps agree, and nothing wraps round."""
    law, finer = (density_evolution(3, 30, points=points)[-1] for points in (32, 64))
    assert law.kurtosis() > 1e8
    assert law.within(finer.grid) == pytest.approx(finer.below, abs=1e-7)
    assert law.beyond < 1e-11
    tail = 1 - law.atom - law.within(np.exp(np.arange(0, 8)))
    assert (np.diff(np.log(tail)) < 0).all()


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 12), st.sampled_from(["relu", "tanh", "leaky_relu"]), st.floats(0.0, 1.0))
def test_laws_are_laws(fan_in, name, bias):
    law = density_evolution(fan_in, 2, activation=name, bias_variance=bias)[-1]
    x = np.linspace(-5, 5, 41)
    found = law.cdf(x)
    assert (np.diff(found) >= 0).all()
    assert found + law.cdf(-x) == pytest.approx(1 + law.atom * (x == 0), abs=1e-12)
    q = np.linspace(0.01, 0.99, 21)
    q = q[abs(2 * q - 1) > law.atom + 1e-9]
    assert law.cdf(law.quantile(q)) == pytest.approx(q, abs=1e-9)


def test_sums_over_logarithms():
    rng = np.random.default_rng(0)
    values, kernel = rng.standard_normal(5), rng.standard_normal(11)
    wanted = [values @ kernel[at : at + 5] for at in range(7)]
    assert correlate(values, [kernel])[0] == pytest.approx(np.array(wanted))
    logs = rng.uniform(-2, 2, 50)
    masses, lowest = share_out(logs, np.full(50, 0.02), 16)
    steps = (lowest + np.arange(len(masses))) / 16
    assert masses @ np.sin(3 * steps) == pytest.approx(0.02 * np.sin(3 * logs).sum(), abs=1e-9)


def test_what_it_says():
    law = density_evolution(3, 1)[0]
    assert repr(law) == "SignalLaw(variance 1, kurtosis 8, dead 0.125)"
    assert isinstance(law, SignalLaw)
    assert (law.mean(), law.median()) == (0.0, 0.0)
    assert not law.mass.flags.writeable


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"depth": 0}, "depth"),
        ({"weights": "cauchy"}, "law of weights has a name"),
        ({"weights": 3.0}, "law of weights has a name"),
        ({"points": 4}, "points is a whole number"),
        ({"bias_variance": -1.0}, "bias variance"),
        ({"weight_variance": "big"}, "weight variance"),
        ({"inputs": "raw"}, "these are no inputs"),
        ({"start": []}, "start is a law"),
        ({"start": [np.nan]}, "start is a law"),
        ({"scaled": "own"}, "not scaled like"),
        ({"activation": "rleu"}, "no activation"),
        ({"fan_in": 1.5}, "fan-in is a whole number"),
    ],
)
def test_wrong_arguments(arguments, says):
    with pytest.raises(UserError, match=says):
        density_evolution(**{"fan_in": 3, "depth": 2, **arguments})


def test_quantiles_are_asked_for_by_fractions():
    with pytest.raises(UserError, match="fraction"):
        density_evolution(3, 1)[0].quantile(1.5)
