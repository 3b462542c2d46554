"""Oracle: a time loop by hand, and the whole path of `fit` with spiking networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.spiking import SpikingPerceptron
from sparsefire.train.networks import build, narrow, weight_count


def by_hand(network, rows):
    """Return outputs and spikes of a perceptron with two hidden layers, neuron by neuron in NumPy."""
    layers = [part for part in network.net if isinstance(part, torch.nn.Linear)]
    w, b = ([getattr(layer, name).detach().double().numpy() for layer in layers] for name in ("weight", "bias"))
    a = np.exp(-1e-3 / 8e-3)
    v1, v2 = np.zeros((len(rows), len(b[0]))), np.zeros((len(rows), len(b[1])))
    total, fired = 0.0, [0.0, 0.0]
    for _ in range(network.steps):
        v1 = a * v1 + rows @ w[0].T + b[0]
        s1 = (v1 > 1).astype(float)
        v1 = np.where(s1 > 0, 0.0, v1)
        v2 = a * v2 + s1 @ w[1].T + b[1]
        s2 = (v2 > 1).astype(float)
        v2 = np.where(s2 > 0, 0.0, v2)
        total = total + s2 @ w[2].T + b[2]
        fired = [fired[0] + s1.sum(), fired[1] + s2.sum()]
    return total / network.steps, fired


def test_outputs_are_those_of_a_loop():
    network = build({"kind": "spiking", "widths": [6, 20, 15, 3], "steps": 12}, rng=2).double()
    rows = np.random.default_rng(0).standard_normal((9, 6))
    expected, fired = by_hand(network, rows)
    x = torch.from_numpy(rows)
    assert np.allclose(network(x).detach().numpy(), expected, atol=1e-10)
    assert [float(layer.detach().sum()) for layer in network.spikes(x)] == fired
    assert min(fired) > 20  # else nothing was compared


def test_it_learns_by_gradients_and_by_losses():
    rng = np.random.default_rng(1)
    x = torch.from_numpy(rng.standard_normal((300, 8)).astype(np.float32))
    y = (x[:, 0] * x[:, 1] > 0).long()
    for rule, rate, steps in ((sf.rules.Backprop(), 1e-2, 150), (sf.rules.NodePerturbation(rng=0), 1e-2, 400)):
        network = build({"kind": "spiking", "widths": [8, 64, 2], "steps": 8}, rng=0)
        optimiser = torch.optim.AdamW(network.parameters(), lr=rate)

        def loss(out, y, kind=rule):
            how = "mean" if isinstance(kind, sf.rules.Backprop) else "none"
            return torch.nn.functional.cross_entropy(out, y, reduction=how)

        for _ in range(steps):
            rule(network, loss, x, y)
            optimiser.step()
            optimiser.zero_grad()
        assert (network(x).argmax(1) == y).float().mean() > 0.8


def test_activities_are_credited_through_two_hidden_layers():
    network = build({"kind": "spiking", "widths": [6, 20, 15, 3], "steps": 6}, rng=1).double()
    generator = torch.Generator().manual_seed(0)
    x, y = 2 * torch.randn(16, 6, generator=generator, dtype=torch.float64), torch.arange(16) % 3

    def gradient(rule, how):
        network.zero_grad()
        rule(network, lambda out, y: torch.nn.functional.cross_entropy(out, y, reduction=how), x, y)
        return torch.cat([p.grad.flatten() for p in network.parameters()])

    exact = gradient(sf.rules.Backprop(), "mean")
    found = gradient(sf.rules.ActivityForwardGradient(directions=50, layers="each", rng=0), "none")
    assert torch.nn.functional.cosine_similarity(found, exact, dim=0) > 0.8
    gradient(sf.rules.NodePerturbation(rng=0), "none")
    assert all(p.grad.isfinite().all() and p.grad.any() for p in network.parameters())


def test_fit_perturbs_the_nodes_of_a_spiking_network_with_two_hidden_layers(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 3))
    result = sf.fit(
        x, np.where(x[:, 0] > 0, "yes", "no"), model="spiking", rule="node-perturbation", hidden=[8, 6],
        densities=[0.5], folds=2, rounds=2, epochs=1, effort="quick", methods=["set"], workers=1, rng=0,
        out=tmp_path / "run",
    )  # fmt: skip
    assert result.verdict["plan"]["rule"] == "node-perturbation"


def test_descriptions():
    given = {"kind": "spiking", "widths": [64, 256, 256, 10], "steps": 8}
    assert weight_count(given) == 84_480
    assert narrow(given, 16_896) == given | {"widths": [64, 98, 98, 10]}
    assert len(build(given).net) == 5


@pytest.mark.parametrize("widths", [[4, 3], [4], [4, 0, 3], [4, 2.5, 3]])
def test_no_such_perceptron(widths):
    with pytest.raises(UserError):
        build({"kind": "spiking", "widths": widths})


@pytest.mark.parametrize("steps", [0, -2, 1.5, True])
def test_no_such_time(steps):
    with pytest.raises(UserError):
        SpikingPerceptron([4, 8, 3], steps=steps)


@pytest.mark.slow
def test_fit_hands_over_a_spiking_network(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 4))
    y = np.where(x[:, 0] * x[:, 1] > 0, "yes", "no")  # no linear model will do
    result = sf.fit(
        x, y, model="spiking", hidden=[32], densities=[0.5], folds=3, rounds=2, epochs=40, margin=0.15, effort="quick",
        methods=["gmp"], workers=1, rng=0, out=tmp_path / "run",
    )  # fmt: skip
    model = result.model
    assert model.description["kind"] == "spiking"
    assert isinstance(model.network, SpikingPerceptron)
    again = sf.load_model(tmp_path / "run")
    assert np.array_equal(again.predict(x[:20]), model.predict(x[:20]))
    assert (model.predict(x) == y).mean() > 0.8


def test_a_spiking_network_needs_a_hidden_layer():
    with pytest.raises(UserError, match="hidden"):
        sf.fit(np.eye(30), np.arange(30) % 2, model="spiking", hidden=[], effort="quick")
