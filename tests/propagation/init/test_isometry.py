"""Oracles: the objective computed directly, its gradient, a dense minimum of zero, the sparse passes against dense."""

from __future__ import annotations

import copy
import math
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.init import isometry
from sparsefire.propagation.init.isometry import approximate_isometry_, nearest_isometry
from sparsefire.propagation.init.variance import in_degree_
from sparsefire.sparsity import sparsify


def objective(W: np.ndarray) -> float:
    tall = W if W.shape[0] >= W.shape[1] else W.T
    return float(((tall.T @ tall - np.eye(tall.shape[1])) ** 2).sum())


def random_mask(rows: int, columns: int, density: float) -> np.ndarray:
    return np.random.default_rng(7).random((rows, columns)) < density


@pytest.mark.parametrize("shape", [(40, 40), (60, 25), (25, 60)])
@pytest.mark.parametrize("density", [0.05, 0.3, 1.0])
def test_the_path_falls_and_ends_at_the_objective(shape: tuple[int, int], density: float) -> None:
    mask = random_mask(*shape, density)
    W, path = nearest_isometry(mask, 60, np.random.default_rng(0))
    assert W.shape == shape
    assert not W[~mask].any()
    assert (np.diff(path) <= 0).all()
    assert objective(W) == pytest.approx(path[-1], rel=1e-6, abs=1e-10)
    assert path[-1] < 0.7 * path[0]


def test_a_full_mask_is_solved_to_the_end() -> None:
    W, path = nearest_isometry(np.ones((30, 20), dtype=bool), 200, np.random.default_rng(0))
    assert path[-1] < 1e-12
    np.testing.assert_allclose(W.T @ W, np.eye(20), atol=1e-6)


def test_the_end_is_a_stationary_point() -> None:
    mask = random_mask(30, 30, 0.15)
    W, _ = nearest_isometry(mask, 2000, np.random.default_rng(0))
    slope = (W @ (W.T @ W - np.eye(30)))[mask]
    assert np.abs(slope).max() < 1e-4
    rng = np.random.default_rng(1)
    for _ in range(20):  # and no small move on the mask is better
        move = np.zeros_like(W)
        move[mask] = rng.standard_normal(int(mask.sum())) * 1e-3
        assert objective(W + move) > objective(W)


def test_sparse_and_dense_passes_agree() -> None:
    mask = random_mask(50, 40, 0.1)
    sparse, dense = isometry._sparse_entries(mask, 1.0), isometry._dense_entries(mask)
    rng = np.random.default_rng(0)
    w, d = rng.standard_normal((2, int(mask.sum())))
    symmetric = np.tril(rng.standard_normal((40, 40)))
    np.testing.assert_array_equal(sparse.column, dense.column)
    np.testing.assert_allclose(sparse.square(w), dense.square(w), atol=1e-12)
    np.testing.assert_allclose(sparse.cross(w, d), dense.cross(w, d), atol=1e-12)
    np.testing.assert_allclose(sparse.times(w, symmetric), dense.times(w, symmetric), atol=1e-12)
    W = np.zeros(mask.shape)
    W[mask] = w
    np.testing.assert_allclose(sparse.square(w), np.tril(W.T @ W), atol=1e-12)


def test_units_without_weights_are_left_alone() -> None:
    mask = random_mask(20, 20, 0.4)
    mask[3], mask[:, 5] = False, False
    W, path = nearest_isometry(mask, 100, np.random.default_rng(0))
    assert np.isfinite(W).all()
    assert path[-1] >= 1.0  # the empty column
    empty, path = nearest_isometry(np.zeros((4, 4), dtype=bool), 5, np.random.default_rng(0))
    assert not empty.any()
    assert path[-1] == 4.0


def test_a_masked_network_is_nearer_to_isometry_than_by_in_degree() -> None:
    net = nn.Sequential(nn.Linear(80, 80), nn.ReLU(), nn.Linear(80, 80), nn.ReLU(), nn.Linear(80, 20))
    sparsify(net, 0.1, layout="uniform", rng=0)
    kept = {name: mask.clone() for name, mask in masks.masks(net).items()}

    def gaps() -> list[float]:
        weights = [layer.weight.detach().double().numpy() / math.sqrt(2) for layer in masks.layers(net).values()]
        return [objective(weight) for weight in weights]

    in_degree_(net, rng=0)
    before = gaps()
    assert approximate_isometry_(net, rng=0) is net
    assert all(after < 0.7 * first for after, first in zip(gaps()[:2], before[:2], strict=True))
    approximate_isometry_(net, steps=100, rng=0)
    assert all(after < 0.35 * first for after, first in zip(gaps()[:2], before[:2], strict=True))
    for name, layer in masks.layers(net).items():
        assert torch.equal(masks.masks(net)[name], kept[name])
        assert not layer.weight[~kept[name]].any()
        assert not layer.bias.any()


def test_a_layer_without_mask_is_orthogonal_at_once_and_convolutions_are_flattened() -> None:
    net = nn.Sequential(nn.Conv2d(3, 10, 3), nn.ReLU(), nn.Conv2d(10, 10, 3, groups=5)).double()
    approximate_isometry_(net, gain=1.0, rng=0)
    first, second = (layer.weight.detach().flatten(1) for layer in masks.layers(net).values())
    torch.testing.assert_close(first @ first.T, torch.eye(10, dtype=torch.float64))
    for block in second.view(5, 2, -1):
        torch.testing.assert_close(block @ block.T, torch.eye(2, dtype=torch.float64))
    sparsify(net, 0.5, layout="uniform", rng=0)
    approximate_isometry_(net, gain=1.0, steps=100, rng=0)
    first = net[0].weight.detach().flatten(1)
    assert (first @ first.T - torch.eye(10)).abs().max() < 0.05


def test_steps_are_shared_out_by_a_budget() -> None:
    mask = random_mask(200, 200, 0.3)
    lengths = [
        len(nearest_isometry(mask, None, np.random.default_rng(0), budget=steps * 4.6 * 200**3)[1]) - 1
        for steps in (0.1, 1, 2, 1000)
    ]
    assert lengths == [1, 1, 2, 3]
    none = nearest_isometry(mask, 0, np.random.default_rng(0))[1]
    assert len(none) == 1


@pytest.mark.parametrize("steps", [-1, 2.5, True])
def test_bad_steps(steps: Any) -> None:
    with pytest.raises(UserError, match="steps"):
        approximate_isometry_(nn.Linear(3, 3), steps=steps)
    with pytest.raises(UserError):
        approximate_isometry_(nn.ReLU())


def test_gains_have_the_names_of_torch() -> None:
    relu, number, default = (
        approximate_isometry_(nn.Linear(5, 4), rng=0, **given) for given in ({"gain": "relu"}, {"gain": 2**0.5}, {})
    )
    assert torch.equal(relu.weight, number.weight)
    assert torch.equal(relu.weight, default.weight)


def test_nothing_is_written_unless_all_is() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(UserError, match="positive"):
        approximate_isometry_(net, gain="loud")
    with patch.object(isometry, "_solve", side_effect=[torch.zeros(4, 4), MemoryError]), pytest.raises(MemoryError):
        approximate_isometry_(net)
    net[4].weight = net[0].weight
    with pytest.raises(UserError, match="layer '4' shares its weight with layer '0'"):
        approximate_isometry_(net)
    assert torch.equal(net[0].weight, before["0.weight"])
    assert torch.equal(net[2].weight, before["2.weight"])
