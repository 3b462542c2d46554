# Oracle: torch's own counter of dense operations, loops over weights, and sums written out by hand.
from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from torch import nn
from torch.nn.utils import parametrize
from torch.utils.flop_counter import FlopCounterMode

from sparsefire.deploy import save_model
from sparsefire.evaluate import biases_of, boosting_bytes, macs, stored_bytes, weights_of
from sparsefire.randomness import stream
from sparsefire.spiking import LIF, CobaLIF, Sequential
from sparsefire.train.networks import build

MLP = {"kind": "mlp", "widths": [64, 256, 256, 10]}
CNN = {"kind": "cnn", "shape": [3, 20, 14], "channels": [5, 7], "hidden": 11, "outputs": 4}


def thin_(network, density):
    rng = stream(0, "thin")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(
                torch.from_numpy(rng.standard_normal(parameter.shape) * (rng.random(parameter.shape) < density))
            )
    return network


def torch_macs(network, shape):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros((1, *shape)))
    return counter.get_total_flops() // 2


def test_weights_and_biases():
    network = thin_(build(CNN), 0.3)
    weights = [p for name, p in network.named_parameters() if name.endswith("weight")]
    biases = [p for name, p in network.named_parameters() if name.endswith("bias")]
    assert weights_of(network) == sum(np.count_nonzero(p.detach().numpy()) for p in weights)
    assert biases_of(network) == sum(np.count_nonzero(p.detach().numpy()) for p in biases)
    assert weights_of(build(MLP)) == 84_480
    assert biases_of(build(MLP)) == 0  # they start at zero


def test_masked_networks_count_by_effective_weights():
    class Mask(nn.Module):
        def forward(self, weight):
            return weight * torch.eye(4)

    layer = nn.Linear(4, 4)
    parametrize.register_parametrization(layer, "weight", Mask())
    assert weights_of(nn.Sequential(layer)) == 4
    assert macs(nn.Sequential(layer), (4,)) == 4


def test_shared_weights_are_stored_once_and_used_twice():
    layer = nn.Linear(5, 5, bias=False)
    tied = nn.Linear(5, 5, bias=False)
    tied.weight = layer.weight
    assert weights_of(nn.Sequential(layer, nn.ReLU(), layer)) == 25
    assert weights_of(nn.Sequential(layer, nn.ReLU(), tied)) == 25
    assert macs(nn.Sequential(layer, nn.ReLU(), layer), (5,)) == 50


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (build(MLP), (64,)),
        (build(CNN), (3, 20, 14)),
        (nn.Conv2d(4, 6, 3, stride=2, groups=2), (4, 9, 11)),
        (nn.Conv2d(2, 4, (3, 1), dilation=2, padding=1), (2, 8, 8)),
        (nn.Conv1d(3, 5, 4), (3, 10)),
        (nn.Conv3d(2, 3, 2), (2, 4, 5, 6)),
        (nn.ConvTranspose2d(3, 2, 3, stride=2), (3, 5, 4)),
        (nn.Linear(6, 2), (7, 6)),
    ],
)
def test_dense_macs_are_torchs(network, shape):
    assert macs(network, shape) == torch_macs(network, shape)


@pytest.mark.parametrize("kind", [LIF, CobaLIF])
def test_layers_in_front_of_conductances_count_once(kind):
    """Excitation and inhibition add up the same synapses, each in one of the two sums."""
    assert macs(Sequential(nn.Linear(20, 8), kind(8), nn.Linear(8, 10)), (1, 20)) == 160 + 80
    conv = Sequential(nn.Conv2d(1, 8, 3), kind((8, 4, 4)), nn.Flatten(), nn.Linear(128, 10))
    assert macs(conv, (1, 1, 6, 6)) == 16 * 72 + 1280
    assert macs(Sequential(nn.Conv1d(2, 3, 2), kind((3, 7))), (1, 2, 8)) == 7 * 12


def test_every_step_of_a_convolution_counts():
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Sequential(nn.Conv1d(2, 3, 2), LIF((3, 7)), nn.Flatten(), nn.Linear(21, 4))

        def forward(self, x):
            return self.net(x.expand(5, *x.shape))[0].mean(0)

    assert macs(Steps(), (2, 8)) == 5 * (7 * 12 + 84)


def test_layers_whose_input_is_given_by_name_count():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.ConvTranspose1d(2, 3, 2), nn.Linear(6, 4)

        def forward(self, x):
            return self.two(input=self.one(input=x))

    assert macs(Named(), (2, 5)) == 5 * 12 + 3 * 24


@pytest.mark.parametrize(("description", "shape"), [(MLP, (64,)), (CNN, (3, 20, 14))])
def test_a_description_counts_as_dense(description, shape):
    assert macs(description, shape) == torch_macs(build(description), shape)


def test_only_non_zero_weights_count():
    network = thin_(build(CNN), 0.2)
    positions = {"0.weight": 20 * 14, "3.weight": 10 * 7, "7.weight": 1, "9.weight": 1}
    parameters = dict(network.named_parameters())
    assert macs(network, (3, 20, 14)) == sum(n * int(parameters[name].count_nonzero()) for name, n in positions.items())


def test_counting_leaves_the_network_as_it_was():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2)).train()
    network[2].eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert macs(network, (3,)) == 20
    assert [module.training for module in network.modules()] == [True, True, True, False, True]
    assert not any(module._forward_hooks for module in network.modules())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("density", [1.0, 0.4, 0.05])
def test_stored_bytes_are_those_of_the_file(tmp_path, density):
    class Nothing:
        feature_names = ()

        def arrays(self):
            return {}

        def settings(self):
            return {}

    network = thin_(build(MLP), density)
    save_model(tmp_path, description=MLP, network=network, preparation=Nothing(), schema={})
    content = (tmp_path / "model.safetensors").read_bytes()
    header = int.from_bytes(content[:8], "little")
    assert stored_bytes(network) == len(content) - 8 - header
    if density == 1.0:
        assert stored_bytes(network) == 4 * (84_480 + 522)


@pytest.mark.parametrize("classes", [2, 3])
def test_boosting_bytes(classes):
    rng = stream(0, "boosting")
    x = rng.standard_normal((300, 4))
    model = HistGradientBoostingClassifier(max_iter=7, random_state=0).fit(x, rng.integers(0, classes, 300))
    trees = [tree for trees in model._predictors for tree in trees]
    assert len(trees) == 7 * (1 if classes == 2 else 3)
    nodes = sum(len(tree.nodes) for tree in trees)
    assert boosting_bytes(model) == nodes * trees[0].nodes.dtype.itemsize  # no categories: no sets


def test_boosting_bytes_grow_with_categories():
    rng = stream(1, "boosting")
    x = rng.integers(0, 20, (400, 1)).astype(float)
    y = rng.standard_normal(20)[x[:, 0].astype(int)]
    plain = HistGradientBoostingRegressor(max_iter=3, random_state=0).fit(x, y)
    sets = HistGradientBoostingRegressor(max_iter=3, random_state=0, categorical_features=[0]).fit(x, y)
    per_node = [boosting_bytes(m) / sum(len(t.nodes) for ts in m._predictors for t in ts) for m in (plain, sets)]
    assert per_node[1] > per_node[0]
