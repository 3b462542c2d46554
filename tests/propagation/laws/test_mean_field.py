"""Oracles: known fixed points and critical lines, closed forms, density evolution, simulated layers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from sparsefire.errors import UserError
from sparsefire.propagation.laws.activations import activation
from sparsefire.propagation.laws.closure import average, layer_moments, mixture, sums
from sparsefire.propagation.laws.density_evolution import density_evolution
from sparsefire.propagation.laws.mean_field import (
    correlation_map,
    critical_line,
    depth_scale,
    fixed_point,
    kurtosis_map,
    orbit,
    slope,
    variance_map,
)


def test_relu_correlations_by_depth():
    c = orbit(1000, correlation=0.0).correlation
    assert c[[0, 1, 9, 99]] == pytest.approx([0.318310, 0.493731, 0.871536, 0.996423], abs=1e-6)
    assert 1000**2 * (1 - c[-1]) == pytest.approx(43.13, abs=0.01)


@pytest.mark.parametrize(
    ("bias_variance", "weight_variance", "variance"),
    [
        (0.001, 1.18919, 0.10729),
        (0.01, 1.42421, None),
        (0.05, 1.76095, 0.57005),
        (0.1, 1.98607, None),
        (0.3, 2.50513, None),
    ],
)
def test_critical_line_of_tanh(bias_variance, weight_variance, variance):
    found = critical_line("tanh", bias_variance)
    assert found.weight_variance == pytest.approx(weight_variance, abs=1e-5)
    assert variance is None or found.variance == pytest.approx(variance, abs=1e-5)
    assert slope("tanh", found.weight_variance, bias_variance) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize(("weight_variance", "layers"), [(1.0, 3.627), (1.3, 7.834), (1.5, 15.791), (1.7, 74.918)])
def test_depth_scales_of_tanh(weight_variance, layers):
    assert depth_scale("tanh", weight_variance, 0.05).correlation == pytest.approx(layers, abs=1e-3)


def test_deviations_shrink_over_the_depth_scale():
    """The rates of actual orbits near the fixed point, ordered and chaotic."""
    for weight_variance in (1.5, 3.0):
        at = fixed_point("tanh", weight_variance, 0.05)
        scale = depth_scale("tanh", weight_variance, 0.05)
        found = orbit(2, "tanh", weight_variance, 0.05, variance=at.variance * (1 + 1e-5), correlation=at.correlation)
        rates = np.diff(np.log(found.variance - at.variance))
        assert rates[0] == pytest.approx(-1 / scale.variance, rel=1e-3)
        c = orbit(2, "tanh", weight_variance, 0.05, variance=at.variance, correlation=at.correlation - 1e-5).correlation
        assert np.diff(np.log(at.correlation - c))[0] == pytest.approx(-1 / scale.correlation, rel=1e-3)


@pytest.mark.parametrize(
    "name", ["tanh", "gelu", "silu", "elu", "selu", "erf", "hard_tanh", "softsign", "mish", "sigmoid"]
)
def test_fixed_points_are_fixed(name):
    found = fixed_point(name, 1.6, 0.1)
    assert variance_map(found.variance, name, 1.6, 0.1) == pytest.approx(found.variance, rel=1e-11)
    after = correlation_map(found.correlation, name, 1.6, 0.1, variance=found.variance)
    assert after == pytest.approx(found.correlation, abs=1e-9)
    step = 1e-4 * found.variance
    up, down = variance_map([found.variance + step, found.variance - step], name, 1.6, 0.1)
    assert found.variance_slope == pytest.approx((up - down) / (2 * step), rel=1e-5)
    assert found.stable
    c = found.correlation - 1e-3
    pair = correlation_map([c + 1e-4, c - 1e-4], name, 1.6, 0.1, variance=found.variance)
    steep = slope(name, 1.6, 0.1, variance=found.variance, correlation=c)
    assert steep == pytest.approx((pair[0] - pair[1]) / 2e-4, rel=1e-5)


@pytest.mark.parametrize("name", ["tanh", "gelu", "silu", "selu", "elu", "erf"])
def test_critical_lines_are_critical(name):
    found = critical_line(name, [0.01, 0.2])
    for weight_variance, variance, bias in zip(*found, [0.01, 0.2], strict=True):
        assert variance_map(variance, name, weight_variance, bias) == pytest.approx(variance, rel=1e-10)
        assert slope(name, weight_variance, bias, variance=variance) == pytest.approx(1.0, abs=1e-10)


def test_where_nothing_is_critical_or_everything():
    assert np.isnan(critical_line("softplus", 0.1)).all()
    assert critical_line("tanh", 0.0) == pytest.approx((1.0, 0.0), abs=1e-9)
    weight_variance, variance = critical_line("relu", [0.0, 0.1])
    assert weight_variance.tolist() == [2.0, 2.0]
    assert np.isnan(variance[0])
    assert variance[1] == np.inf
    assert depth_scale("relu") == (np.inf, np.inf)
    assert fixed_point("relu").phase == "critical"


def test_growth_and_decay_of_relu():
    assert fixed_point("relu", 2.5).variance == np.inf
    assert fixed_point("relu", 1.5).variance == 0.0
    assert fixed_point("relu", 1.5, 0.1).variance == pytest.approx(0.4)
    assert depth_scale("relu", 1.5).variance == pytest.approx(1 / np.log(4 / 3))
    assert fixed_point("gelu", 4.0).variance == np.inf
    assert fixed_point("tanh", 0.8).variance == 0.0
    assert fixed_point("tanh", 0.8).slope == pytest.approx(0.8)
    assert not fixed_point("relu").stable


def test_several_fixed_points_by_start():
    """GELU without bias: 0 is stable, and a larger variance grows without end at σ_w² = 3."""
    assert fixed_point("gelu", 2.2, variance=0.1).variance == 0.0
    assert fixed_point("gelu", 2.2, variance=1e3).variance == np.inf


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs"])
def test_closed_forms_are_those_of_quadrature(name):
    phi = activation(name)
    general = activation((phi.function, phi.derivative), kinks=phi.kinks)
    c = np.array([-0.9, 0.0, 0.5, 0.999])
    np.testing.assert_allclose(
        correlation_map(c, name, 1.3, 0.2, variance=1.7), correlation_map(c, general, 1.3, 0.2, variance=1.7), rtol=1e-9
    )
    for one in c:
        arguments = {"variance": 1.7, "correlation": one}
        assert slope(name, 1.3, 0.2, **arguments) == pytest.approx(slope(general, 1.3, 0.2, **arguments), rel=1e-6)
    assert kurtosis_map(1.7, 6.0, name, 1.3, 0.2, fan_in=5) == pytest.approx(
        kurtosis_map(1.7, 6.0, general, 1.3, 0.2, fan_in=5), rel=1e-10
    )


@settings(max_examples=30, deadline=None)
@given(st.floats(0.01, 20.0), st.floats(1.01, 40.0), st.floats(0.0, 0.5))
def test_closures_have_their_moments(variance, kurtosis, floor):
    law = mixture(variance, kurtosis, floor * variance)
    assert law.shares.sum() == pytest.approx(1.0)
    assert average(np.square, law) == pytest.approx(variance, rel=1e-9)
    assert average(lambda x: x**4, law) == pytest.approx(kurtosis * variance**2, rel=1e-8)


def test_the_closure_is_a_gamma_law():
    """E cos h = (1 + θ/2)^-α for S ~ gamma(α, θ)."""
    kurtosis, variance = 5.0, 1.4
    shape = 3 / (kurtosis - 3)
    wanted = (1 + variance / shape / 2) ** -shape
    assert average(np.cos, mixture(variance, kurtosis)) == pytest.approx(wanted, rel=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 6), st.sampled_from(["normal", "sign", "uniform"]), st.sampled_from(["mean", "actual"]))
def test_moments_of_a_layer_by_cumulants(k, weights, scaled):
    """Cumulants add up: κ₄ = K (E w⁴ E x⁴ - 3 (E w² E x²)²), given K."""
    law = np.zeros(7)
    law[k] = law[6] = 0.5
    mu4 = {"normal": 3.0, "sign": 1.0, "uniform": 1.8}[weights]
    mean, bias, m2, m4 = (k + 6) / 2, 0.3, 0.7, 2.0
    second = fourth = 0.0
    for fan_in in (k, 6):
        v = 1.4 / (mean if scaled == "mean" else fan_in)
        one = fan_in * v * m2 + bias
        second += one / 2
        fourth += (fan_in * (mu4 * v**2 * m4 - 3 * (v * m2) ** 2) + 3 * one**2) / 2
    found = layer_moments(sums(1.4, law / law.sum(), weights, scaled), m2, m4, bias)
    assert found == pytest.approx((second, fourth))


@pytest.mark.parametrize(
    ("fan_in", "weights", "limit"),
    [
        (32, "normal", 3.5769),
        (16, "normal", 4.5),
        (8, "normal", 10.5),
        (3, "sign", 6.0),
        (4, "sign", 4.5),
        (8, "sign", 3.5),
    ],
)
def test_kurtosis_of_relu(fan_in, weights, limit):
    assert fixed_point(fan_in=fan_in, weights=weights).kurtosis == pytest.approx(limit, abs=1e-4)
    assert orbit(200, fan_in=fan_in, weights=weights).kurtosis[-1] == pytest.approx(limit, abs=1e-4)


def test_kurtosis_without_limit():
    assert fixed_point(fan_in=6).kurtosis == np.inf
    found = orbit(10, fan_in=4).kurtosis
    assert found[:3] == pytest.approx([6.75, 12.375, 20.8125])
    assert found[-1] > 60


@pytest.mark.parametrize(
    ("name", "fan_in", "weights", "weight_variance", "bias_variance", "most"),
    [
        ("tanh", 32, "normal", 1.8, 0.05, 2e-4),
        ("tanh", 8, "normal", 1.8, 0.05, 3e-3),
        ("tanh", 3, "normal", 1.8, 0.05, 0.02),
        ("tanh", 8, "sign", 1.8, 0.05, 5e-3),
        ("tanh", 3, "sign", 1.5, 0.0, 0.025),
        ("hard_tanh", 8, "normal", 2.0, 0.0, 5e-3),
        ("elu", 8, "normal", 1.5, 0.0, 0.04),
        ("relu", 8, "normal", 2.0, 0.1, 1e-12),
    ],
)
def test_sparse_orbits_against_density_evolution(name, fan_in, weights, weight_variance, bias_variance, most):
    laws = density_evolution(
        fan_in, 10, weights, activation=name, weight_variance=weight_variance, bias_variance=bias_variance
    )  # fmt: skip
    found = orbit(10, name, weight_variance, bias_variance, fan_in=fan_in, weights=weights)
    exact = np.array([[law.variance(), law.kurtosis()] for law in laws]).T
    assert abs(found.variance / exact[0] - 1).max() < most
    assert abs(found.kurtosis / exact[1] - 1).max() < most
    if name != "relu":
        dense = orbit(10, name, weight_variance, bias_variance).variance
        assert abs(found.variance / exact[0] - 1).max() < 0.4 * abs(dense / exact[0] - 1).max()


def test_plain_inputs_and_fan_ins_by_layer():
    found = orbit(None, "tanh", 1.5, 0.1, fan_in=[4, 5], inputs="plain", variance=2.0, correlation=0.5)
    assert found.variance[0] == pytest.approx(3.1)
    assert found.correlation[0] == pytest.approx(1.6 / 3.1)
    # four inputs of kurtosis 3 over normal weights, and a normal bias
    assert found.kurtosis[0] == pytest.approx((3.0**2 * (3 * 3 / 4 + 9 / 4) + 6 * 3 * 0.1 + 0.03) / 3.1**2)
    assert found.variance[1] == pytest.approx(
        float(variance_map(3.1, "tanh", 1.5, 0.1, kurtosis=found.kurtosis[0])), rel=1e-12
    )
    assert np.isnan(orbit(3).correlation).all()


def test_units_without_inputs_get_nothing():
    law = [0.2, 0.0, 0.0, 0.0, 0.8]
    assert variance_map(1.0, fan_in=law, scaled="actual") == pytest.approx(0.8)
    assert variance_map(1.0, fan_in=law, scaled="mean") == pytest.approx(1.0)
    assert critical_line("relu", fan_in=law, scaled="actual").weight_variance == pytest.approx(2.5)


def simulated_gain(fan_in, weights, weight_variance, bias_variance, units, layers, rng):
    """Mean and standard error of log of what small random changes, squared, are multiplied by."""
    h, change, logs = rng.standard_normal(units), rng.standard_normal(units), []
    for layer in range(layers):
        x, change = np.tanh(h), (1 - np.tanh(h) ** 2) * change
        inputs = rng.integers(0, units, (units, fan_in))
        shape = (units, fan_in)
        w = rng.standard_normal(shape) if weights == "normal" else rng.choice([-1.0, 1.0], shape)
        w *= np.sqrt(weight_variance / fan_in)
        h = (w * x[inputs]).sum(1) + np.sqrt(bias_variance) * rng.standard_normal(units)
        change = (w * change[inputs]).sum(1)
        power = np.mean(change**2)
        change /= np.sqrt(power)
        if layer >= 15:
            logs.append(np.log(power))
    return np.mean(logs), np.std(logs) / np.sqrt(len(logs))


@pytest.mark.parametrize(("fan_in", "weights"), [(8, "normal"), (8, "sign"), (32, "normal")])
def test_gradients_of_sparse_layers_against_simulation(fan_in, weights):
    mean, error = simulated_gain(fan_in, weights, 1.9, 0.05, 50_000, 55, np.random.default_rng(fan_in))
    found = np.log(slope("tanh", 1.9, 0.05, fan_in=fan_in, weights=weights))
    assert abs(found - mean) < 4 * error + 0.004  # a closure: its own error is up to 0.004


def test_sparse_critical_line():
    """ρ(T) = 1 between σ_w² = 1.65 and 1.761, where simulated gains are 0.982 and 1.010."""
    found = critical_line("tanh", 0.05, fan_in=8)
    assert 1.70 < found.weight_variance < 1.76
    assert slope("tanh", found.weight_variance, 0.05, fan_in=8) == pytest.approx(1.0, abs=1e-8)
    assert fixed_point("tanh", found.weight_variance, 0.05, fan_in=8).variance == pytest.approx(found.variance)
    wide = critical_line("tanh", 0.05, fan_in=2000)
    assert wide.weight_variance == pytest.approx(critical_line("tanh", 0.05).weight_variance, rel=1e-3)


def test_sparse_chaos_has_a_fixed_correlation():
    found = fixed_point("tanh", 3.0, 0.05, fan_in=8)
    assert found.phase == "chaotic"
    after = correlation_map(found.correlation, "tanh", 3.0, 0.05, fan_in=8)
    assert after == pytest.approx(found.correlation, abs=1e-9)
    start = found.correlation - 1e-3
    again = correlation_map(start, "tanh", 3.0, 0.05, fan_in=8)
    assert (found.correlation - again) / 1e-3 == pytest.approx(found.correlation_slope, rel=1e-2)


@pytest.mark.slow
def test_unstable_critical_points():
    """GELU: χ₁ = 1 at a variance that layers lead away from; sparse layers have none that they lead to."""
    weight_variance, variance = critical_line("gelu", 0.05)
    assert fixed_point("gelu", weight_variance, 0.05, variance=variance * 1.01).variance == np.inf
    assert np.isnan(critical_line("gelu", 0.05, fan_in=8)).all()


def test_sparse_relu_gains_are_those_of_dense():
    """w² and the sign of h are independent: the operator has the spectral radius of the closed form."""
    phi = activation("relu")
    general = activation((phi.function, phi.derivative), kinks=phi.kinks)
    for weights in ("normal", "sign", 2.2):
        assert slope(general, 1.7, 0.2, fan_in=5, weights=weights) == pytest.approx(0.85, abs=1e-6)


def test_correlations_of_wide_sparse_layers_against_simulation():
    rng = np.random.default_rng(4)
    units, runs = 50_000, 4
    found = np.empty((runs, 4))
    for run in range(runs):
        x = rng.standard_normal((2, units))
        x[1] = 0.3 * x[0] + np.sqrt(0.91) * x[1]
        for layer in range(4):
            inputs, w = rng.integers(0, units, (units, 64)), rng.standard_normal((units, 64)) / 8
            x = np.stack([np.sqrt(2) * (w * np.maximum(row, 0)[inputs]).sum(1) for row in x])
            found[run, layer] = x[0] @ x[1] / np.sqrt((x[0] @ x[0]) * (x[1] @ x[1]))
    wanted = orbit(4, fan_in=64, correlation=0.3).correlation
    assert (
        abs(found.mean(0) - wanted) < 4 * found.std(0, ddof=1) / 2 + 0.003
    ).all()  # 0.003: fan-in 64 is not infinite


def test_maps_against_quadrature():
    wanted = integrate.quad(lambda g: np.tanh(1.3 * g) ** 2 * np.exp(-g * g / 2) / np.sqrt(2 * np.pi), -12, 12)[0]
    assert variance_map(1.69, "tanh", 2.2, 0.1) == pytest.approx(2.2 * wanted + 0.1, rel=1e-10)
    many = variance_map(np.full((2, 3), 1.69), "tanh", 2.2, 0.1, kurtosis=[3.0, 4.0, 2.5])
    assert many.shape == (2, 3)
    assert many[1, 0] == pytest.approx(2.2 * wanted + 0.1, rel=1e-9)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: variance_map(-1.0), "variance is 0 or more"),
        (lambda: variance_map(1.0, "rleu"), "no activation"),
        (lambda: variance_map(1.0, weight_variance=-1.0), "weight variance"),
        (lambda: variance_map(1.0, bias_variance=[0.1, 0.2]), "bias variance"),
        (lambda: correlation_map(1.5), "between -1 and 1"),
        (lambda: orbit(0), "depth"),
        (lambda: orbit(3, inputs="raw"), "these are no inputs"),
        (lambda: orbit(3, fan_in=4, scaled="own"), "not scaled like"),
        (lambda: kurtosis_map(1.0, 3.0, fan_in=4, weights="cauchy"), "weights are told"),
        (lambda: critical_line("tanh", -0.1), "bias variance is 0 or more"),
    ],
)
def test_wrong_arguments(call, says):
    with pytest.raises(UserError, match=says):
        call()
