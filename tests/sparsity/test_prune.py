"""Oracles: masks written out by hand, nestedness and exact counts (hypothesis)."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsefire import masks
from sparsefire.sparsity.prune import prune
from sparsefire.sparsity.setting import Setting
from sparsefire.wiring import layer_counts
from sparsefire.wiring.layouts import PROPORTIONS as LAYOUTS

A = [[0.1, -4.0, 2.0, 2.0], [3.0, -0.5, 0.0, -2.0], [2.0, 1.0, -1.0, 0.2], [-5.0, 0.3, 0.4, 1.0]]
B = [[10.0, -20.0, 30.0, 0.01]]


def network(*weights: list[list[float]]) -> nn.Sequential:
    """Linear layers side by side (never applied) with the weights given and full masks."""
    layers = []
    for weight in weights:
        value = torch.tensor(weight)
        layer = nn.Linear(value.shape[1], value.shape[0], bias=False)
        masks.write_weight_(layer, value)
        masks.attach_(layer, torch.ones_like(value, dtype=torch.bool))
        layers.append(layer)
    return nn.Sequential(*layers)


def test_one_matrix_by_hand() -> None:
    net = network(A)
    prune(Setting(net, layout="global"), 6 / 16)  # 5, 4, 3, then three of the four of size 2 in reading order
    assert net[0].weight.tolist() == [[0, -4, 2, 2], [3, 0, 0, -2], [0, 0, 0, 0], [-5, 0, 0, 0]]
    assert masks.masks(net)["0"].int().tolist() == [[0, 1, 1, 1], [1, 0, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_global_ranks_all_layers_together() -> None:
    net = network(A, B)
    prune(Setting(net, layout="global"), 5 / 20)
    assert masks.masks(net)["0"].int().tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert masks.masks(net)["1"].int().tolist() == [[1, 1, 1, 0]]


def test_a_layout_ranks_within_layers() -> None:
    net = network(A, B)
    prune(Setting(net, layout="uniform"), 5 / 20)  # 4 and 1
    assert masks.masks(net)["0"].int().tolist() == [[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert masks.masks(net)["1"].int().tolist() == [[0, 0, 1, 0]]


def test_present_zeros_rank_above_absent_weights() -> None:
    net = network([[0.0, 5.0, 0.0, 1.0]])
    masks.write_mask_(net[0], torch.tensor([[False, True, True, True]]))
    prune(Setting(net, layout="global"), 3 / 4)
    assert masks.masks(net)["0"].tolist() == [[False, True, True, True]]


def test_absent_weights_never_come_back_even_when_more_are_asked_for() -> None:
    for layout in ("global", *LAYOUTS):
        net = network(A, B)
        masks.write_mask_(net[0], torch.tensor(A) > 2.5)
        prune(Setting(net, layout=layout), 1.0)
        assert torch.equal(masks.masks(net)["0"], torch.tensor(A) > 2.5)
        assert bool(masks.masks(net)["1"].all())


def test_rounding_of_a_layout_cannot_bring_weights_back() -> None:
    """Largest remainder, sizes 60 : 60 : 20: 11 weights are 5 + 5 + 1, 10 weights are 4 + 4 + 2."""
    found = [(60, 1), (60, 1), (20, 1)]
    assert layer_counts(found, 11 / 140, "uniform") == [5, 5, 1]
    assert layer_counts(found, 10 / 140, "uniform") == [4, 4, 2]
    net = network(*([[float(i + 1)] for i in range(rows)] for rows, _ in found))
    prune(Setting(net, layout="uniform"), 11 / 140)
    before = {name: mask.clone() for name, mask in masks.masks(net).items()}
    prune(Setting(net, layout="uniform"), 10 / 140)
    after = masks.masks(net)
    assert sum(int(mask.sum()) for mask in after.values()) == 10
    assert not any(bool((after[name] & ~before[name]).any()) for name in after)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(0.05, 1.0), min_size=2, max_size=6),
    st.sampled_from(["global", *sorted(LAYOUTS)]),
    st.integers(0, 2**31),
)
def test_masks_are_exact_and_nested_along_any_falling_schedule(densities: list[float], layout: str, rng: int) -> None:
    generator = torch.Generator().manual_seed(rng)
    net = network(*(torch.randn(shape, generator=generator).tolist() for shape in [(7, 5), (3, 7), (2, 3)]))
    before = {name: mask.clone() for name, mask in masks.masks(net).items()}
    for density in sorted(densities, reverse=True):
        values = {name: net.get_submodule(name).weight.detach().clone() for name in before}
        prune(Setting(net, layout=layout), density)
        after = {name: mask.clone() for name, mask in masks.masks(net).items()}
        assert sum(int(mask.sum()) for mask in after.values()) == max(1, round(density * 62))
        for name, mask in after.items():
            assert not (mask & ~before[name]).any()
            assert torch.equal(net.get_submodule(name).weight, values[name] * mask)
            if layout != "global" and mask.any() and (before[name] & ~mask).any():
                gone = values[name][before[name] & ~mask].abs().max()
                assert values[name][mask].abs().min() >= gone
        before = after


def test_moments_of_pruned_weights_become_zero() -> None:
    net = network(A)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)
    net(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    moment = optimizer.state[net[0].parametrizations.weight.original]["momentum_buffer"]
    assert moment.tolist() == [[1.0] * 4] * 4
    prune(Setting(net, layout="global", optimizer=optimizer), 0.25)
    assert torch.equal(moment, masks.masks(net)["0"].float())
