"""Oracles: explicit loops over examples, places and weights."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from sparsefire.sparsity.patterns import choose
from sparsefire.sparsity.scores import passes
from sparsefire.sparsity.scores.activity import wanda
from sparsefire.sparsity.setting import Setting

LAYERS = [
    (nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2), (4, 9)),
    (nn.Conv1d(2, 3, 2, dilation=2, padding=2, padding_mode="circular"), (2, 7)),
    (nn.Conv2d(3, 4, (3, 2), stride=(2, 1), padding=(1, 0)), (3, 6, 5)),
    (nn.Conv2d(4, 4, 3, padding=1, groups=4), (4, 5, 5)),
    (nn.Conv2d(2, 3, 3, padding="same", dilation=2), (2, 6, 6)),
    (nn.Conv2d(2, 2, 3, padding=2, padding_mode="reflect"), (2, 5, 5)),
    (nn.Conv3d(2, 2, 2, stride=(1, 2, 1), padding=1, padding_mode="replicate"), (2, 3, 4, 3)),
]


@pytest.fixture(autouse=True)
def _same_networks() -> None:
    torch.manual_seed(0)


def score(net: nn.Module, x: Tensor) -> Tensor:
    return wanda(Setting(net, data=(x, torch.zeros(len(x))), loss=nn.MSELoss()), 0)[""]


@pytest.mark.parametrize("shape", [(7, 5), (4, 3, 5)])
def test_linear_layers_by_loops(shape: tuple[int, ...]) -> None:
    net, x = nn.Linear(5, 3), torch.randn(*shape)
    found = score(net, x)
    for i, j in itertools.product(range(3), range(5)):
        norm = sum(float(row[j]) ** 2 for row in x.reshape(-1, 5)) ** 0.5
        assert float(found[i, j]) == pytest.approx(abs(net.weight[i, j].item()) * norm, rel=1e-6)


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_convolutions_weight_by_weight(layer: nn.Module, shape: tuple[int, ...]) -> None:
    """With a single weight of one, and no bias, the output is what that weight is multiplied with at all places."""
    x = torch.randn(3, *shape)
    found = score(layer, x)
    for index in itertools.product(*map(range, layer.weight.shape)):
        alone = torch.zeros_like(layer.weight)
        alone[index] = 1.0
        norm = layer._conv_forward(x, alone, None).norm()
        torch.testing.assert_close(found[index].float(), (layer.weight[index].abs() * norm).detach())


@pytest.mark.parametrize(("layer", "shape"), LAYERS)
def test_patches_times_weights_are_the_output(layer: nn.Module, shape: tuple[int, ...]) -> None:
    x = torch.randn(3, *shape)
    groups = layer.weight.flatten(1).double().chunk(layer.groups)
    parts = [part @ weight.T for part, weight in zip(passes.patches(layer, x), groups, strict=True)]
    expected = layer(x).double() - layer.bias.reshape(-1, *[1] * (len(shape) - 1))
    torch.testing.assert_close(torch.cat(parts, 1), expected.movedim(1, -1).flatten(0, -2), rtol=1e-5, atol=1e-5)


def test_inputs_of_all_uses_of_a_layer_count() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(torch.tanh(self.layer(x)))

    net, x = Twice(), torch.randn(6, 4)
    both = torch.cat([x, torch.tanh(net.layer(x))]).detach()
    found = wanda(Setting(net, data=(x, x), loss=nn.MSELoss()), 0)["layer"]
    torch.testing.assert_close(found, net.layer.weight.detach().abs() * both.double().norm(dim=0))


def test_unbatched_inputs_of_a_layer() -> None:
    conv, linear, x = nn.Conv1d(2, 3, 2), nn.Linear(5, 3), torch.randn(1, 2, 5)
    assert torch.equal(score(conv, x[0]), score(conv, x))
    assert torch.equal(score(linear, x[0, 0]), score(linear, x[0, :1]))


def test_batch_norm_before_a_layer_is_as_when_the_network_is_used() -> None:
    norm, linear, x = nn.BatchNorm1d(4), nn.Linear(4, 2), torch.randn(9, 4) * 3 + 1
    found = wanda(Setting(nn.Sequential(norm, linear), data=(x, x), loss=nn.MSELoss()), 0)["1"]
    arrived = x / (1 + norm.eps) ** 0.5
    torch.testing.assert_close(found, linear.weight.detach().abs() * arrived.double().norm(dim=0))


def test_the_pattern_of_equal_fan_in_ranks_each_unit_apart_as_the_paper_does() -> None:
    net, x = nn.Linear(10, 6), torch.randn(20, 10)
    metric = net.weight.detach().abs() * x.norm(dim=0)
    (kept,) = choose([score(net, x)], 0.4, "uniform", "fan-in", [torch.ones(6, 10, dtype=torch.bool)])
    expected = torch.zeros(6, 10, dtype=torch.bool)
    for row in range(6):
        for column in sorted(range(10), key=lambda at: -float(metric[row, at]))[:4]:
            expected[row, column] = True
    assert torch.equal(kept, expected)
