# Oracle: the uncompacted network in float64, units found dead by enumeration, and hand-made cases.
from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.deploy import compact
from sparsefire.randomness import stream

ACTIVATIONS = {"relu": lambda z: np.maximum(z, 0), "tanh": np.tanh, "none": lambda z: z}


def outputs(layers, x, activation):
    for number, (weight, bias) in enumerate(layers):
        x = x @ np.float64(weight).T + np.float64(bias)
        if number < len(layers) - 1:
            x = ACTIVATIONS[activation](x)
    return x


@settings(max_examples=150, deadline=None)
@given(
    widths=st.lists(st.integers(1, 25), min_size=2, max_size=5),
    density=st.sampled_from([0.0, 0.02, 0.1, 0.4]),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    rng=st.integers(0, 10**6),
)
def test_same_outputs_and_nothing_dead_left(widths, density, activation, rng):
    draws = stream(rng, "compact")
    layers = [
        ((draws.standard_normal((b, a)) * (draws.random((b, a)) < density)).astype(np.float32),
         draws.standard_normal(b).astype(np.float32))
        for a, b in itertools.pairwise(widths)
    ]  # fmt: skip
    small = compact(layers, activation)
    x = draws.standard_normal((20, widths[0]))
    np.testing.assert_allclose(outputs(small, x, activation), outputs(layers, x, activation), rtol=1e-6, atol=1e-6)
    for (here, bias), (following, _) in itertools.pairwise(small):
        assert here.any(axis=1).all()
        assert following.any(axis=0).all()
        assert here.shape[0] == len(bias) == following.shape[1]
    assert small[0][0].shape[1] == widths[0]
    assert small[-1][0].shape[0] == widths[-1]
    kept = sum(np.count_nonzero(w) for w, _ in small)
    assert kept <= sum(np.count_nonzero(w) for w, _ in layers)


def test_a_chain_of_deaths():
    # unit 1 of layer 2 has no output; without it unit 0 of layer 1 has none; input 0 is then unused but stays
    layers = [
        (np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros(2)),
        (np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros(2)),
        (np.array([[2.0, 0.0]]), np.array([0.5])),
    ]
    small = compact(layers)
    assert [w.tolist() for w, _ in small] == [[[0.0, 1.0]], [[1.0]], [[2.0]]]


def test_constants_travel_through_several_layers():
    layers = [
        (np.zeros((1, 1)), np.array([2.0])),  # constant 2
        (np.array([[3.0]]), np.array([-1.0])),  # constant 5
        (np.array([[4.0]]), np.array([0.5])),
    ]
    small = compact(layers)
    assert [w.shape for w, _ in small] == [(0, 1), (0, 0), (1, 0)]
    assert small[-1][1].tolist() == [20.5]


def test_negative_bias_under_relu_sends_nothing():
    layers = [(np.zeros((1, 1)), np.array([-2.0])), (np.array([[3.0]]), np.array([1.0]))]
    assert compact(layers, "relu")[-1][1].tolist() == [1.0]
    assert compact(layers, "tanh")[-1][1].tolist() == pytest.approx([1 + 3 * np.tanh(-2.0)])


def test_the_given_layers_are_not_changed():
    layers = [
        (np.zeros((2, 2), np.float32), np.ones(2, np.float32)),
        (np.ones((1, 2), np.float32), np.zeros(1, np.float32)),
    ]
    before = [(w.copy(), b.copy()) for w, b in layers]
    compact(layers)
    for (w, b), (w0, b0) in zip(layers, before, strict=True):
        np.testing.assert_array_equal(w, w0)
        np.testing.assert_array_equal(b, b0)


def test_linear_models_stay():
    weight = np.array([[0.0, 1.0], [0.0, 0.0]], np.float32)
    [(kept, bias)] = compact([(weight, np.ones(2, np.float32))])
    np.testing.assert_array_equal(kept, weight)
    np.testing.assert_array_equal(bias, [1, 1])
