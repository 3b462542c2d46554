# Oracle: the torch network, and timings that are made up so that the choice is known.
from __future__ import annotations

import numpy as np
import pytest
import torch

import sparsefire.kernels.timing as timing
from sparsefire.deploy import fastest
from sparsefire.randomness import stream


def linear_layers(network):
    linear = [layer for layer in network if isinstance(layer, torch.nn.Linear)]
    return [(layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in linear]


@pytest.mark.parametrize("density", [0.0, 0.02, 0.2, 1.0])
@pytest.mark.parametrize("rows", [1, 7, 100])
def test_same_outputs_as_torch(thin, density, rows):
    network = thin({"kind": "mlp", "widths": [30, 64, 48, 5]}, density)
    runner = fastest(linear_layers(network), seconds=0.001)
    x = stream(0, "x").standard_normal((rows, 30), dtype=np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(runner(x), expected, rtol=1e-5, atol=1e-5)
    assert len(runner.forms) == len(runner.timings) == 3
    assert runner.widths[0] == 30
    assert runner.widths[-1] == 5


def test_the_form_with_the_least_time_is_taken(thin, monkeypatch):
    times = iter([4.0, 3.0, 2.0, 1.0, 1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(timing, "time_call", lambda call, seconds: (next(times), 0.0, 0.0))
    layers = linear_layers(thin({"kind": "mlp", "widths": [5, 4, 3]}, 1.0))
    runner = fastest(layers)
    assert runner.forms == ("sparse by input", "dense by output")
    assert runner.timings[1] == {
        "dense by output": 1.0, "dense by input": 2.0, "sparse by output": 3.0, "sparse by input": 4.0
    }  # fmt: skip


def test_dead_units_are_gone():
    layers = [(np.diag([1.0, 0.0, 1.0]), np.zeros(3)), (np.array([[1.0, 1.0, 0.0]]), np.zeros(1))]
    assert fastest(layers, seconds=0.001).widths == (3, 1, 1)


def test_tanh():
    layers = [(np.ones((4, 2)), np.zeros(4)), (np.ones((1, 4)), np.zeros(1))]
    out = fastest(layers, "tanh", seconds=0.001)(np.array([[0.25, 0.25]]))
    assert out[0, 0] == pytest.approx(4 * np.tanh(0.5))


def test_a_large_sparse_layer_is_not_stored_dense(thin):
    layers = linear_layers(thin({"kind": "mlp", "widths": [2000, 2000]}, 0.005))
    assert fastest(layers, seconds=0.01).forms[0].startswith("sparse")
