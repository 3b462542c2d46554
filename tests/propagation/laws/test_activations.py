"""Oracles: scipy.integrate.quad, torch's functions, closed forms of Gaussian expectations of one and two variables."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from sparsefire.errors import UserError
from sparsefire.propagation.laws.activations import NAMES, activation, differences, homogeneous
from sparsefire.propagation.laws.gaussian import expectation, nodes, pair_expectation

TORCH = {
    "relu": torch.relu,
    "leaky_relu": torch.nn.functional.leaky_relu,
    "linear": lambda x: x * 1,
    "abs": torch.abs,
    "tanh": torch.tanh,
    "hard_tanh": torch.nn.functional.hardtanh,
    "relu6": torch.nn.functional.relu6,
    "sigmoid": torch.sigmoid,
    "softplus": torch.nn.functional.softplus,
    "softsign": torch.nn.functional.softsign,
    "gelu": torch.nn.functional.gelu,
    "silu": torch.nn.functional.silu,
    "mish": torch.nn.functional.mish,
    "elu": torch.nn.functional.elu,
    "selu": torch.nn.functional.selu,
    "erf": torch.erf,
}


def by_quad(function, variance, kinks=()):
    """E f(sqrt(variance) g), cut at kinks and where x is of order 1."""
    scale = np.sqrt(variance)
    cuts = {0.0, *(kink / scale for kink in kinks), *(x / scale for x in (-20, -5, -1, 1, 5, 20))}
    edges = [-12.0, *sorted(cut for cut in cuts if abs(cut) < 12), 12.0]

    def density(g):
        return float(function(np.array(scale * g))) * np.exp(-g * g / 2) / np.sqrt(2 * np.pi)

    parts = itertools.pairwise(edges)
    return sum(integrate.quad(density, low, high, epsabs=1e-14, epsrel=1e-12)[0] for low, high in parts)


def test_every_name_has_an_oracle():
    assert set(TORCH) == set(NAMES)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_values_and_derivatives_are_those_of_torch(name):
    x = torch.cat([torch.linspace(-7.003, 7.003, 400), torch.tensor([-90.0, 90.0])]).double().requires_grad_()
    wanted = TORCH[name](x)
    wanted.sum().backward()
    phi, at = activation(name), x.detach().numpy()
    np.testing.assert_allclose(phi(at), wanted.detach().numpy(), rtol=1e-11, atol=1e-13)
    # torch rounds softplus to x from 20 on
    np.testing.assert_allclose(phi.derivative(at), x.grad.numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(differences(phi.function, phi.kinks)(at), x.grad.numpy(), rtol=1e-10, atol=3e-11)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_slopes_far_out(name):
    phi = activation(name)
    assert phi.slopes == pytest.approx(tuple(phi(np.array([-1e9, 1e9])) / np.array([-1e9, 1e9])), abs=1e-8)
    assert activation(phi.function).slopes == pytest.approx(phi.slopes, abs=1e-8)
    at = np.array([-2.0, 0.7, 3.0])
    assert phi.homogeneous == np.allclose(phi(3 * at), 3 * phi(at), rtol=1e-12)


@pytest.mark.parametrize("name", sorted(NAMES))
@pytest.mark.parametrize("variance", [1e-3, 1.0, 300.0])
def test_expectations_are_those_of_quad(name, variance):
    phi = activation(name)
    for function in (lambda x: phi(x) ** 2, lambda x: phi(x) ** 4, lambda x: phi.derivative(np.asarray(x)) ** 2):
        found = float(expectation(function, variance, kinks=phi.kinks))
        assert found == pytest.approx(by_quad(function, variance, phi.kinks), rel=1e-10)


@pytest.mark.parametrize("variance", [0.3, 40.0])
def test_expectations_with_a_mean(variance):
    phi = activation("hard_tanh")
    found = expectation(phi.function, variance, 0.7, kinks=phi.kinks)
    assert float(found) == pytest.approx(by_quad(lambda x: phi(x + 0.7), variance, (-1.7, 0.3)), rel=1e-10)


def test_expectations_of_many_variances_at_once():
    variances = np.geomspace(1e-8, 1e8, 1203).reshape(3, 401)
    found = expectation(np.tanh, variances, 0.2)
    assert found.shape == variances.shape
    assert found[1, 7] == pytest.approx(float(expectation(np.tanh, variances[1, 7], 0.2)), rel=1e-13)
    assert float(expectation(np.cos, 0.0)) == pytest.approx(1.0, rel=1e-14)
    assert expectation(np.cos, np.empty(0)).shape == (0,)


@pytest.mark.parametrize("correlation", [-1.0, -0.7, 0.0, 0.4, 0.99, 1 - 1e-9, 1.0])
@pytest.mark.parametrize("variance", [0.2, 1.0, 50.0])
def test_pairs_in_closed_form(variance, correlation):
    erf, relu = activation("erf"), activation("relu")
    wanted = 2 / np.pi * np.arcsin(2 * variance * correlation / (1 + 2 * variance))  # Williams 1997
    assert pair_expectation(erf.function, variance, correlation) == pytest.approx(wanted, abs=1e-9)
    c = correlation
    wanted = variance / (2 * np.pi) * (np.sqrt(1 - c * c) + c * (np.pi - np.arccos(c)))  # Cho & Saul 2009
    assert pair_expectation(relu.function, variance, c, kinks=(0.0,)) == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    assert pair_expectation(np.sign, variance, c, kinks=(0.0,)) == pytest.approx(2 / np.pi * np.arcsin(c), abs=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.floats(-0.999, 0.999), st.floats(0.01, 20.0), st.floats(-2, 2), st.floats(-2, 2))
def test_pairs_with_means_by_polynomials(c, variance, one, two):
    """E (x² + x)(y² + y) by Isserlis."""
    wanted = (variance + one**2 + one) * (variance + two**2 + two) + 2 * variance**2 * c**2
    wanted += variance * c * (1 + 2 * one + 2 * two + 4 * one * two)
    found = pair_expectation(lambda x: x * x + x, variance, c, means=(one, two))
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def test_pairs_of_a_function_with_kinks_by_sampling():
    phi = activation("selu")
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((2, 2_000_000))
    y = 0.8 * x + 0.6 * z
    products = phi(1.5 * x) * phi(1.5 * y)
    found = pair_expectation(phi.function, 2.25, 0.8, kinks=phi.kinks)
    assert abs(products.mean() - found) < 4 * products.std() / np.sqrt(len(x))


def test_sums_over_the_line():
    x, dx = nodes(2.0, (0.5,))
    assert dx @ (np.exp(-x * x / 4) * (x > 0.5)) == pytest.approx(
        integrate.quad(lambda t: np.exp(-t * t / 4), 0.5, np.inf)[0], rel=1e-10
    )


def test_functions_pairs_and_lines():
    found = activation((np.sin, np.cos))
    assert found.name == "sin"
    np.testing.assert_allclose(found.derivative(np.array([0.3])), np.cos(0.3))
    np.testing.assert_allclose(activation(np.sin).derivative(np.array([0.3])), np.cos(0.3), atol=1e-12)
    kinked = activation(lambda x: np.abs(x - 1), kinks=1.0)
    np.testing.assert_allclose(kinked.derivative(np.array([0.9999, 1.0001])), [-1.0, 1.0], rtol=1e-9)
    assert activation(found) is found
    assert homogeneous(0.5, -2.0).squares == 2.125
    assert activation(np.square).slopes == (0.0, 0.0)
    assert activation(lambda x: 3 * x + np.sin(x)).slopes == pytest.approx((3.0, 3.0), rel=1e-6)


def shrinks(x):
    return np.ones(2)


def logarithm(x):
    with np.errstate(all="ignore"):
        return np.log(x)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("rleu", "no activation 'rleu'"),
        (3, "this is no activation"),
        (shrinks, "gives arrays|give arrays"),
        (logarithm, "nan at x = -1"),
    ],
)
def test_wrong_activations(wrong, says):
    with pytest.raises(UserError, match=says):
        activation(wrong)
