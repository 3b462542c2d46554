"""Oracles: sums over paths by enumeration, conservation at every unit, small-step gradient descent."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.conserved import (
    flow_balance,
    product_balance,
    synflow_masks,
    synflow_scores,
    synflow_shares,
)
from sparsefire.sparsity import sparsify


@pytest.fixture(autouse=True)
def _same_networks() -> None:
    torch.manual_seed(0)


def mlp(*widths: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for one, other in itertools.pairwise(widths):
        parts += [nn.Linear(one, other), nn.ReLU()]
    return nn.Sequential(*parts[:-1])


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3, groups=4), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(12, 5),
    )  # fmt: skip


def reaches(found: dict[str, torch.Tensor]) -> bool:
    units = None
    for mask in found.values():
        units = mask.any(1) if units is None else (mask & units).any(1)
    return bool(units.any())


def test_scores_are_sums_over_paths() -> None:
    net = mlp(3, 4, 2)
    one, two = (layer.weight.detach().double().abs() for layer in masks.layers(net).values())
    first, second = torch.zeros(4, 3, dtype=torch.float64), torch.zeros(2, 4, dtype=torch.float64)
    for k, j, i in itertools.product(range(2), range(4), range(3)):
        size = two[k, j] * one[j, i]
        first[j, i] += size
        second[k, j] += size
    found = synflow_scores(net)
    torch.testing.assert_close(found["0"], first)
    torch.testing.assert_close(found["2"], second)


def test_scores_agree_with_the_definition_and_leave_the_network_alone() -> None:
    net = convolutional()
    net(torch.randn(8, 3, 10, 10))
    state = copy.deepcopy(net.state_dict())
    found = synflow_scores(net, (3, 10, 10))
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert net.training
    copied = copy.deepcopy(net).double().eval()
    for name, parameter in copied.named_parameters():
        parameter.data = torch.zeros_like(parameter) if name.endswith("bias") else parameter.data.abs()
    copied[1].running_mean.zero_()
    copied(torch.ones(1, 3, 10, 10, dtype=torch.float64)).sum().backward()
    for name, layer in masks.layers(copied).items():
        torch.testing.assert_close(found[name], (layer.weight.grad * layer.weight).detach())


@pytest.mark.parametrize("density", [None, 0.5, 0.05])
def test_flow_is_conserved_in_deep_networks(density: float | None) -> None:
    net = mlp(30, *[60] * 39, 10)
    if density is not None:
        sparsify(net, density, rng=0)
    balance = flow_balance(net)
    assert balance.worst <= 1e-10
    np.testing.assert_allclose(balance.totals, 1.0, rtol=1e-10)
    assert len(balance.inflow) == 39
    assert all(flow.sum() == pytest.approx(1.0) for flow in (*balance.inflow, *balance.outflow))


class Branch(nn.Module):
    """A linear layer around two others, as in a residual network."""

    def __init__(self, scale: float = 1.0, width: int = 5) -> None:
        super().__init__()
        self.one, self.two, self.last = nn.Linear(width, 6), nn.Linear(6, width), nn.Linear(width, 2)
        with torch.no_grad():
            for layer in (self.one, self.two):
                layer.weight.mul_(scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(x + self.two(torch.relu(self.one(x))))


@pytest.mark.parametrize("scale", [0.0, 1e-3, 1.0, 1e3])
def test_branches_have_their_own_part_of_the_flow(scale: float) -> None:
    net = Branch(scale)
    one, two, last = (layer.weight.detach().double().abs() for layer in masks.layers(net).values())
    through, around = last @ two @ one, last
    found = synflow_scores(net)
    torch.testing.assert_close(found["one"].sum(), through.sum())
    torch.testing.assert_close(found["two"].sum(), through.sum())
    torch.testing.assert_close(found["last"].sum(), through.sum() + around.sum())
    torch.testing.assert_close(found["one"], (last @ two).sum(0)[:, None] * one)


def test_a_flow_with_branches_beyond_float64_is_named() -> None:
    net = Branch(1e30)
    with torch.no_grad():
        for layer in masks.layers(net).values():
            layer.weight.fill_(3e38)
    deep = nn.Sequential(*[nn.Sequential(nn.Linear(5, 5)) for _ in range(8)], net)
    with torch.no_grad():
        for layer in masks.layers(deep).values():
            layer.weight.fill_(3e38)
    with pytest.raises(UserError, match="beyond float64"):
        synflow_shares(deep)


def test_flow_is_conserved_by_channels_groups_pooling_and_norms() -> None:
    net = convolutional()
    net(torch.randn(8, 3, 10, 10))
    sparsify(net, 0.5, rng=0)
    assert flow_balance(net, (3, 10, 10)).worst <= 1e-10


@settings(max_examples=25, deadline=None)
@given(
    widths=st.lists(st.integers(1, 7), min_size=3, max_size=6),
    density=st.floats(0.3, 1.0),
    entropy=st.integers(0, 2**31),
)
def test_flow_is_conserved_for_any_mask(widths: list[int], density: float, entropy: int) -> None:
    generator = torch.Generator().manual_seed(entropy)
    net = mlp(*widths)
    for layer in masks.layers(net).values():
        masks.attach_(layer, torch.rand(layer.weight.shape, generator=generator) < density)
    if reaches(masks.masks(net)):
        assert flow_balance(net).worst <= 1e-10
    else:
        with pytest.raises(UserError, match="no path"):
            flow_balance(net)
        assert all(not score.any() for score in synflow_scores(net).values())


def test_a_very_deep_network_has_shares_but_no_scores() -> None:
    net = mlp(*[200] * 300)
    with torch.no_grad():
        for layer in masks.layers(net).values():
            layer.weight.fill_(10.0)
    balance = flow_balance(net)
    assert balance.worst <= 1e-10
    assert balance.log_flow == pytest.approx(299 * np.log(2000.0) + np.log(200.0))
    with pytest.raises(UserError, match="beyond float64"):
        synflow_scores(net)
    for scale in (1.0, 1e-6):  # far below the smallest number, too
        with torch.no_grad():
            for layer in masks.layers(net).values():
                layer.weight.mul_(scale)
        for share in synflow_shares(net).values():
            torch.testing.assert_close(share, torch.full_like(share, 1 / share.numel()))


@pytest.mark.parametrize("widths", [(20, 30, 30, 5), (50, 8, 40, 8, 3), (10, 100, 10, 2)])
@pytest.mark.parametrize("extra", [0, 1, 4, 30])
def test_at_maximal_compression_a_path_is_left_and_no_layer_is_empty(widths: tuple[int, ...], extra: int) -> None:
    torch.manual_seed(1)
    net = mlp(*widths)
    layers = masks.layers(net)
    total = sum(layer.weight.numel() for layer in layers.values())
    count = len(layers) + extra
    state = copy.deepcopy(net.state_dict())
    found = synflow_masks(net, count / total)
    assert sum(int(mask.sum()) for mask in found.values()) == count
    assert all(int(mask.sum()) >= 1 for mask in found.values())
    assert reaches(found)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_in_one_round_a_wide_layer_collapses() -> None:
    net = mlp(5, 5, 400, 400, 5)
    found = synflow_masks(net, 0.001, rounds=1)
    assert any(not mask.any() for mask in found.values())  # its scores are small, its total is not
    assert reaches(synflow_masks(net, 0.001))


def test_masks_that_are_there_are_thinned() -> None:
    net = mlp(20, 20, 20)
    sparsify(net, 0.5, rng=0)
    found = synflow_masks(net, 0.2, rounds=10)
    assert sum(int(mask.sum()) for mask in found.values()) == 160
    for name, mask in masks.masks(net).items():
        assert not (found[name] & ~mask).any()


def test_products_keep_their_balance_under_small_steps_and_not_under_large_ones() -> None:
    def change(rate: float) -> float:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
        optimizer = torch.optim.SGD(net.parameters(), lr=rate)
        topology = sparsify(net, 0.5, "sign-in", optimizer=optimizer, steps=10, rng=0)
        topology.every = 10**9
        before = product_balance(net)
        assert list(before) == ["0", "2"]
        for name, mask in masks.masks(net).items():
            assert before[name].shape == (int(mask.sum()),)
            np.testing.assert_allclose(before[name], 1.0, rtol=1e-6)
        x, y = torch.randn(32, 6, dtype=torch.float64), torch.randint(0, 3, (32,))
        for _ in range(round(2 / rate)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()
        after = product_balance(net)
        return max(float(np.abs(after[name] - before[name]).max()) for name in before)

    coarse, fine = change(0.02), change(0.01)
    assert fine < 2e-3
    assert coarse / fine == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: synflow_scores(nn.ReLU()), "linear or convolutional"),
        (lambda: synflow_scores(nn.Conv2d(1, 1, 3)), "shape"),
        (lambda: synflow_scores(nn.Sequential(nn.Linear(3, 3), nn.Sigmoid())), "homogeneous"),
        (lambda: flow_balance(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))), "homogeneous"),
        (lambda: synflow_masks(mlp(3, 3), 0.0), "density"),
        (lambda: synflow_masks(mlp(3, 3), 0.5, rounds=0), "rounds"),
        (lambda: synflow_masks(mlp(3, 3), 0.5, rounds=2.5), "rounds"),
        (lambda: synflow_masks(mlp(3, 3), "x"), "density"),
        (lambda: product_balance(mlp(3, 3)), "products"),
        (lambda: product_balance((np.ones(3), np.ones(2))), "one shape"),
    ],
)
def test_bad_input(call: Any, match: str) -> None:
    with pytest.raises(UserError, match=match):
        call()
