from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.propagation import diagnose
from sparsefire.propagation.trace import trace
from sparsefire.spiking import LIF, CobaLIF, Sequential


def test_sees_what_layers_give_and_leaves_the_network_alone() -> None:
    net = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
    sf.sparsify(net, 0.5, rng=0)
    before = copy.deepcopy(net.state_dict())
    x = torch.randn(6, 5)
    found = trace(net, x)
    assert [passage.layer.name for passage in found.passages] == ["0", "4"]
    assert torch.allclose(found.passages[0].given, net[0](x).double(), atol=1e-5)
    assert found.passages[0].given.dtype == torch.float64
    after = net.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())


def test_batch_norm_takes_the_batch_at_hand() -> None:
    net = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8)).eval()
    net[1].running_var.fill_(100.0)
    found = trace(net, torch.randn(50, 5))
    assert torch.allclose(found.output.var(0, unbiased=False), torch.ones(8, dtype=torch.float64), atol=1e-2)


def test_gradients_are_those_of_existing_weights() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    sf.sparsify(net, 0.4, rng=1)
    found = trace(net, rng=3)
    twin = copy.deepcopy(net)
    generator = torch.Generator().manual_seed(sf.randomness.integer(3, "inputs of a diagnosis"))
    x = torch.randn(64, 4, generator=generator, dtype=torch.float64)
    back = torch.randn(64, 2, generator=generator, dtype=torch.float64)
    ((back * twin(x)).sum() / (64 * np.sqrt(2))).backward()
    slopes = [twin[at].parametrizations.weight.original.grad for at in (0, 2)]
    for passage, slope, at in zip(found.passages, slopes, (0, 2), strict=True):
        mask = sf.masks.mask_of(twin[at]).mask
        assert torch.equal(slope != 0, mask & (slope != 0))
        assert np.isclose(passage.gradient, float(slope.norm()))


def test_frozen_layers_are_looked_at_too() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    net[0].weight.requires_grad_(False)
    assert trace(net).passages[0].gradient > 0
    assert not net[0].weight.requires_grad


def test_a_layer_used_twice_counts_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.unused = nn.Linear(4, 4), nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.one(self.one(x).relu())

    assert [passage.layer.name for passage in trace(Twice()).passages] == ["one"]


class _Spiking(nn.Module):
    """Spikes over time, read out as their mean."""

    def __init__(self, kind: type[nn.Module], conv: bool) -> None:
        super().__init__()
        dense = [nn.Linear(6, 5), kind(5, v_threshold=0.3), nn.Linear(5, 4), kind(4, v_threshold=0.3), nn.Linear(4, 3)]
        shared = [nn.Conv1d(1, 5, 3), kind((5, 4), v_threshold=0.3), nn.Conv1d(5, 2, 2), kind((2, 3)), nn.Flatten()]
        self.net = Sequential(*shared, nn.Linear(6, 3)) if conv else Sequential(*dense)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x[None].expand(7, *x.shape))[0].mean(0)


@pytest.mark.parametrize("conv", [False, True])
def test_units_are_those_of_the_layer_where_excitation_and_inhibition_leave_apart(conv: bool) -> None:
    x = 8 * torch.randn(10, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x[:, None] if conv else x
    shapes = []
    for kind in (LIF, CobaLIF):
        torch.manual_seed(0)
        net = _Spiking(kind, conv).double()
        found = trace(net, x)
        shapes.append([passage.given.shape for passage in found.passages])
        for passage in found.passages:
            assert torch.allclose(passage.given, passage.layer.module(passage.received), atol=1e-12)
        assert found.chain
        assert (found.passages[1].given != found.passages[1].given[0]).any()  # something was heard
        assert list(diagnose(net, x, redraws=2).layers["outputs"]) == [shape[1] for shape in shapes[0]]
    assert shapes[0] == shapes[1]


class _Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, int]:
        return self.layer(x), 1


@pytest.mark.parametrize(
    ("net", "x", "named"),
    [
        (nn.ReLU(), None, "no linear"),
        (nn.Conv2d(1, 2, 3), None, "cannot be told"),
        (nn.Linear(3, 2), torch.randn(1, 3), "shape"),
        (nn.Linear(3, 2), torch.randn(5, 4), "does not take these inputs"),
        (nn.Linear(3, 2), torch.tensor([[1.0, 2.0, np.nan]] * 2), "finite"),
        (_Pair(), None, "one tensor"),
    ],
)
def test_wrong_use(net: nn.Module, x: torch.Tensor | None, named: str) -> None:
    with pytest.raises(UserError, match=named):
        trace(net, x)
