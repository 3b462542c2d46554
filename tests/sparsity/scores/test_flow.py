"""Oracles: sums over paths by automatic differentiation, the conservation law, layers that collapse or do not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.conserved import flow_balance
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.prune import first_masks
from sparsefire.sparsity.recipes import BEFORE, Recipe
from sparsefire.sparsity.scores import SCORES
from sparsefire.sparsity.scores.flow import synflow
from sparsefire.sparsity.setting import Setting

cross_entropy = nn.functional.cross_entropy


@pytest.fixture(autouse=True)
def _same_networks() -> None:
    torch.manual_seed(0)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU(), nn.Linear(30, 5))


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, groups=4), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 5),
    )  # fmt: skip


def vgg() -> nn.Sequential:
    """VGG-16 with batch normalisation, an eighth as wide, for images of 16 × 16."""
    parts: list[nn.Module] = []
    channels = 3
    for number, width in enumerate((8, 8, 16, 16, 32, 32, 32, 64, 64, 64, 64, 64, 64)):
        parts += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        parts += [nn.MaxPool2d(2)] if number in (1, 3, 6, 9) else []
        channels = width
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(channels, 10))


def images(count: int, size: int) -> tuple[Tensor, Tensor]:
    return torch.randn(count, 3, size, size), torch.randint(0, 10, (count,))


def test_scores_are_slopes_of_the_flow_times_weights() -> None:
    net = convolutional()
    found = synflow(Setting(net, data=images(2, 8)), 0)
    work = convolutional().double().eval()
    work.load_state_dict(net.state_dict())
    for name, parameter in work.named_parameters():
        parameter.data = torch.zeros_like(parameter) if "bias" in name else parameter.abs()
    work(torch.ones(1, 3, 8, 8, dtype=torch.float64)).sum().backward()
    total = work(torch.ones(1, 3, 8, 8, dtype=torch.float64)).sum().item()
    for name, layer in masks.layers(work).items():
        expected = (layer.weight.grad * layer.weight).detach() / total
        torch.testing.assert_close(found[name] / float(found["0"].sum()), expected)


def test_a_branch_has_its_own_part_of_the_flow() -> None:
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Linear(5, 4), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.two(torch.relu(self.one(x)))

    net = Branch()
    one, two = (layer.weight.detach().double().abs() for layer in (net.one, net.two))
    through = float((two @ one).sum())
    torch.testing.assert_close(synflow(Setting(net), 0)["two"], two * one.sum(1) / (through + 5))


@pytest.mark.parametrize("density", [0.3, 0.05, 0.01])
def test_masks_keep_the_flow_by_layer_and_by_unit(density: float) -> None:
    net = convolutional()
    sparsify(net, density, Recipe("x", "x", "x", BEFORE, score="synflow"), data=images(2, 8))
    balance = flow_balance(net, (3, 8, 8))
    assert balance.worst < 1e-12
    assert np.isfinite(balance.log_flow)


@pytest.mark.parametrize("density", [0.5, 0.1, 0.01, 0.003])
def test_the_first_layer_tells_the_shape_of_an_input_and_no_layer_is_empty(density: float) -> None:
    found = first_masks(Setting(mlp(), score="synflow"), density)
    assert all(bool(mask.any()) for mask in found.values())


def test_values_of_the_data_are_not_looked_at() -> None:
    net, (x, y) = convolutional(), images(2, 8)
    one, other = (synflow(Setting(net, data=data), 0) for data in ((x, y), (x.log(), None)))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_at_a_thousandth_layers_collapse_but_for_synflow_in_a_hundred_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tanaka et al., figure 1, at 99.9 % sparsity, on a VGG-like network."""
    net = vgg()
    empty = {}
    for name in ("synflow", "snip", "grasp", "magnitude"):
        kept = first_masks(Setting(net, score=name, data=images(64, 16), loss=cross_entropy, rng=0), 1e-3)
        empty[name] = sum(not mask.any() for mask in kept.values())
    monkeypatch.setitem(SCORES, "synflow", dataclasses.replace(SCORES["synflow"], rounds=1))
    kept = first_masks(Setting(net, score="synflow", data=images(1, 16)), 1e-3)
    empty["synflow in one round"] = sum(not mask.any() for mask in kept.values())
    assert empty.pop("synflow") == 0
    assert min(empty.values()) >= 1, empty


@pytest.mark.slow
@pytest.mark.parametrize("name", ["synflow", "magnitude"])
def test_what_is_kept_of_a_thousandth_trains_above_chance_or_not_at_all(name: str) -> None:
    net, (x, y) = vgg(), images(256, 16)
    x = x * 0.3 + torch.eye(10)[y].repeat(1, 77)[:, : 3 * 256].reshape(-1, 3, 16, 16)
    sparsify(net, 1e-3, Recipe("x", "x", "x", BEFORE, score=name), data=(x, y))
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        optimizer.step()
    chosen = net(x).argmax(1)
    if name == "synflow":
        assert float((chosen == y).float().mean()) > 1.5 * float(y.bincount().max()) / len(y)
    else:
        assert len(chosen.unique()) == 1  # no path is left: one answer for all


def test_bad_input() -> None:
    with pytest.raises(UserError, match="shape of an input"):
        synflow(Setting(convolutional()), 0)
    with pytest.raises(UserError, match="one input"):
        synflow(Setting(convolutional(), data=(images(2, 8), None)), 0)
    with pytest.raises(UserError, match="one input"):
        synflow(Setting(convolutional(), data=(torch.zeros(3), None)), 0)
    with pytest.raises(UserError, match="positively homogeneous"):
        synflow(Setting(nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Linear(2, 1))), 0)
