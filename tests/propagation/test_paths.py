"""Oracles: matrix products of Python integers, networkx on the graph of units, shapes counted by hand."""

from __future__ import annotations

import math
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.paths import path_counts


def chain(widths: list[int], density: float, rng: int) -> list[np.ndarray]:
    generator = np.random.default_rng(rng)
    return [generator.random((after, before)) < density for before, after in pairwise(widths)]


def by_python(matrices: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    ahead = [np.ones(matrices[0].shape[1], dtype=object)]
    for matrix in matrices:
        ahead.append(matrix.astype(int).astype(object) @ ahead[-1])
    back = [np.ones(matrices[-1].shape[0], dtype=object)]
    for matrix in reversed(matrices):
        back.append(matrix.T.astype(int).astype(object) @ back[-1])
    return ahead, back[::-1]


def log10(counts: np.ndarray) -> np.ndarray:
    return np.array([math.log10(count) if count else -np.inf for count in counts])


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=40), st.floats(0.05, 1.0), st.integers(0, 10**6))
def test_counts_are_those_of_integer_products(widths: list[int], density: float, rng: int) -> None:
    found = chain(widths, density, rng)
    counts = path_counts(found)
    ahead, back = by_python(found)
    assert counts.total == sum(ahead[-1]) == sum(back[0])
    for got, expected in zip(counts.forward, ahead, strict=True):
        np.testing.assert_allclose(got, log10(expected), rtol=1e-14, atol=1e-13)
    for got, expected in zip(counts.backward, back, strict=True):
        np.testing.assert_allclose(got, log10(expected), rtol=1e-14, atol=1e-13)
    assert counts.unreached.tolist() == [int((a == 0).sum()) for a in ahead[1:]]
    assert counts.unheard.tolist() == [int((b == 0).sum()) for b in back[1:]]
    assert counts.disconnected.tolist() == [
        int(((a == 0) | (b == 0)).sum()) for a, b in zip(ahead[1:], back[1:], strict=True)
    ]
    assert counts.dead_inputs.tolist() == [int((~m.any(0)).sum()) for m in found]
    assert counts.dead_outputs.tolist() == [int((~m.any(1)).sum()) for m in found]
    for layer in range(-1, len(found)):
        assert counts.on_paths(layer).tolist() == ((ahead[layer + 1] > 0) & (back[layer + 1] > 0)).tolist()


@pytest.mark.parametrize("density", [0.01, 0.3, 1.0])  # sparse products, dense products
def test_deep_and_wide(density: float) -> None:
    found = chain([300] * 31, density, 1)
    assert path_counts(found).total == sum(by_python(found)[0][-1])


def test_networkx_finds_the_same_paths() -> None:
    found = chain([5, 6, 4, 6, 3], 0.5, 3)
    graph = nx.DiGraph()
    for layer, matrix in enumerate(found):
        graph.add_edges_from(((layer, j), (layer + 1, i)) for i, j in np.argwhere(matrix))
    ends = [(len(found), i) for i in range(3)]
    paths = [p for j in range(5) for end in ends if (0, j) in graph for p in nx.all_simple_paths(graph, (0, j), end)]
    counts = path_counts(found)
    assert counts.total == len(paths) > 10
    assert counts.log10_total == pytest.approx(math.log10(len(paths)))
    for layer in range(-1, len(found)):
        on_paths = {unit for path in paths for at, unit in path if at == layer + 1}
        assert set(np.flatnonzero(counts.on_paths(layer)).tolist()) == on_paths


def test_a_network_counts_masks_and_elsewhere_non_zero_weights() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    mask = torch.tensor([[1, 1, 0], [0, 0, 0], [0, 1, 1], [1, 0, 0]]).bool()
    masks.attach_(net[0], mask)
    with torch.no_grad():
        net[2].weight.copy_(torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 3.0, -1.0, 0.0]]))
    counts = path_counts(net)
    assert counts.names == ("0", "2")
    assert counts.total == 2 + 2  # input → 0 → output 0 twice, → 2 → output 1 twice
    assert counts.dead_outputs.tolist() == [1, 0]
    assert counts.dead_inputs.tolist() == [0, 1]
    assert counts.unreached.tolist() == [1, 0]
    assert counts.unheard.tolist() == [1, 0]
    assert counts.disconnected.tolist() == [2, 0]
    assert path_counts(nn.Linear(3, 2)).names == ("Linear",)


def test_convolutions_join_channels_by_taps_and_flatten_repeats_places() -> None:
    net = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 5, 3)
    )
    assert path_counts(net).total == (2 * 4 * 9) * (2 * 9) * (5 * 3)
    kernel = np.zeros((1, 2, 2, 2))
    kernel[0, 0] = [[1, 0], [0, 1]]
    kernel[0, 1, 0, 0] = 1
    counts = path_counts([kernel, np.array([[1, 1, 0, 1]])])
    assert counts.total == (2 + 1) * 3
    assert counts.forward[1].tolist() == [pytest.approx(math.log10(3))]


def test_groups_lead_only_within_their_group() -> None:
    counts = path_counts({"first": np.array([[1], [1], [1], [0]]), "depthwise": np.ones((4, 1, 3)), "last": np.eye(4)})
    assert counts.total == 3 * 3
    assert counts.names == ("first", "depthwise", "last")
    assert counts.unreached.tolist() == [1, 1, 1]
    halves = path_counts([np.array([[1], [0], [0], [0]]), np.ones((2, 2, 1))])  # two groups of two channels
    assert halves.unreached.tolist() == [3, 1]


def test_no_path_at_all() -> None:
    counts = path_counts([np.array([[1, 0], [0, 0]]), np.array([[0, 1]])])
    assert counts.total == 0
    assert counts.log10_total == -math.inf
    assert not counts.on_paths(0).any()
    assert path_counts([np.zeros((2, 2))]).total == 0


def test_layers_that_do_not_follow_each_other_are_named() -> None:
    with pytest.raises(UserError, match="'0' has 4 outputs, '1' takes 3 inputs"):
        path_counts([np.ones((4, 2)), np.ones((2, 3))])
    with pytest.raises(UserError, match="'0' has 3 outputs, '1' takes 6 inputs"):  # only channels have places
        path_counts([np.ones((3, 2)), np.ones((2, 6))])
    with pytest.raises(UserError, match="'conv' has 4 channels, 'fc' takes 10 inputs"):
        path_counts({"conv": np.ones((4, 2, 3, 3)), "fc": np.ones((2, 10))})
    with pytest.raises(UserError, match="'0' has 6 outputs, '1' takes 4 inputs"):
        path_counts([np.ones((6, 2)), np.ones((4, 4, 1))])

    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 8), nn.Linear(4, 8)

    with pytest.raises(UserError, match="'a' has 8 outputs, 'b' takes 4 inputs"):
        path_counts(Skip())


def test_what_is_no_chain_of_layers() -> None:
    with pytest.raises(UserError, match="no linear or convolutional layer"):
        path_counts(nn.ReLU())
    with pytest.raises(UserError, match="a layer to lead through"):
        path_counts([])
    with pytest.raises(UserError, match="layer '1' is no layer"):
        path_counts([np.ones((2, 2)), np.ones(2)])
    with pytest.raises(UserError, match="through a network or through arrays"):
        path_counts(3)
