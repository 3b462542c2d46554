"""Oracles: WᵀW = I, exact counts of a butterfly, measured densities of EOI, Jacobians of looks-linear networks."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.init.orthogonal import (
    butterfly_orthogonal,
    givens_orthogonal,
    sparse_orthogonal_,
    support_masks,
)
from sparsefire.propagation.init.rotations import semi_orthogonal
from sparsefire.propagation.jacobian import singular_values
from sparsefire.sparsity import sparsify


def mlp(*widths: int, activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    parts: list[nn.Module] = []
    for given_, out in itertools.pairwise(widths):
        parts += [nn.Linear(given_, out), activation()]
    return nn.Sequential(*parts[:-1])


def gap(matrix: np.ndarray) -> float:
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    return float(np.abs(tall.T @ tall - np.eye(tall.shape[1])).max())


@pytest.mark.parametrize("density", [1 / 512, 0.01, 0.1, 0.7])
def test_givens_is_orthogonal_and_comes_close_to_its_count_from_below(density: float) -> None:
    W = givens_orthogonal(512, density=density, rng=0)
    assert gap(W) <= 1e-12
    count = int(density * 512**2 + 1e-9)
    assert 0.999 * count <= np.count_nonzero(W) <= count


def test_density_after_a_number_of_rotations() -> None:
    shares = [np.count_nonzero(givens_orthogonal(100, rotations=249, rng=i)) / 1e4 for i in range(40)]
    assert all(abs(share - 0.51) <= 0.06 + 0.02 for share in shares)
    assert abs(np.mean(shares) - 0.51) <= 0.06
    early = [np.count_nonzero(givens_orthogonal(100, rotations=156, rng=i)) / 1e4 for i in range(40)]
    assert abs(np.mean(early) - 0.171) <= 4 * 0.018
    assert np.count_nonzero(givens_orthogonal(100, rotations=0, rng=0)) == 100
    assert gap(givens_orthogonal(100, rotations=510, rng=0)) <= 1e-12


def test_without_density_a_random_permutation_is_not_the_identity() -> None:
    W = givens_orthogonal(60, rotations=0, rng=0)
    assert np.trace(np.abs(W)) < 20
    assert set(np.unique(W)) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize(("n", "k"), [(1, 1), (8, 1), (8, 8), (12, 4), (96, 32), (300, 4), (512, 512)])
def test_butterfly_has_constant_fan_in_and_fan_out_and_one_magnitude(n: int, k: int) -> None:
    W = butterfly_orthogonal(n, k, rng=1)
    assert gap(W) <= 1e-12
    assert (np.count_nonzero(W, axis=0) == k).all()
    assert (np.count_nonzero(W, axis=1) == k).all()
    np.testing.assert_allclose(np.abs(W[W != 0]), k**-0.5, rtol=1e-12)


def test_butterfly_of_another_fan_in_mixes_two_powers() -> None:
    W = butterfly_orthogonal(96, 6, rng=0)
    assert gap(W) <= 1e-12
    sizes = np.count_nonzero(W, axis=1)
    assert set(sizes) == {4, 8}
    assert np.count_nonzero(W) == 96 * 6


def test_butterfly_is_not_cut_into_small_blocks() -> None:
    W = butterfly_orthogonal(64, 4, rng=0) != 0
    together = {tuple(np.flatnonzero(row)) for row in W}
    assert len(together) > 30  # a block diagonal one has 16 different rows


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 24),
    columns=st.integers(1, 24),
    share=st.floats(0, 1),
    structure=st.sampled_from(["givens", "butterfly"]),
    entropy=st.integers(0, 2**32),
)
def test_every_shape_and_count_is_semi_orthogonal(
    rows: int, columns: int, share: float, structure: str, entropy: int
) -> None:
    least = min(rows, columns)
    count = least + round(share * (rows * columns - least))
    W = semi_orthogonal(rows, columns, count, structure, np.random.default_rng(entropy))
    assert gap(W) <= 1e-12
    assert np.count_nonzero(W) <= count
    if count >= max(rows, columns):  # then every unit on both sides is joined
        assert W.any(axis=0).all()
        assert W.any(axis=1).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: givens_orthogonal(0, density=1.0),
        lambda: givens_orthogonal(True, density=1.0),
        lambda: givens_orthogonal(5),
        lambda: givens_orthogonal(5, density=0.5, rotations=3),
        lambda: givens_orthogonal(5, rotations=-1),
        lambda: givens_orthogonal(5, density=0.1),
        lambda: givens_orthogonal(5, density=1.5),
        lambda: butterfly_orthogonal(5, 0.5),
        lambda: butterfly_orthogonal(5, 6),
    ],
)
def test_bad_matrices(call: Any) -> None:
    with pytest.raises(UserError):
        call()


@pytest.mark.parametrize("structure", ["givens", "butterfly"])
@pytest.mark.parametrize("density", [None, 0.03, 0.2])
def test_fifty_layers_are_an_exact_isometry_with_and_without_masks(density: float | None, structure: str) -> None:
    net = mlp(64, *[128] * 49, 64).double()
    assert len(masks.layers(net)) == 50
    before: dict[str, int] = {}
    if density is not None:
        sparsify(net, density, layout="uniform", rng=0)
        before = {name: int(mask.sum()) for name, mask in masks.masks(net).items()}
    assert sparse_orthogonal_(net, structure=structure, rng=1) is net
    x = np.random.default_rng(0).standard_normal((3, 64))
    assert np.abs(singular_values(net, x) - 1).max() <= 1e-10
    for name, mask in masks.masks(net).items():
        layer = masks.layers(net)[name]
        assert 0.8 * before[name] <= int(mask.sum()) <= before[name]
        assert torch.equal(mask, layer.weight != 0)
    assert all(not layer.bias.any() for layer in masks.layers(net).values())


def test_the_masks_are_those_of_support_masks_which_writes_nothing() -> None:
    net = mlp(20, 40, 40, 5)
    sparsify(net, 0.2, rng=0)
    state = copy.deepcopy(net.state_dict())
    found = support_masks(net, rng=3)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    sparse_orthogonal_(net, rng=3)
    assert found.keys() == masks.masks(net).keys()
    for name, mask in masks.masks(net).items():
        assert torch.equal(mask, found[name])


def test_density_thins_further() -> None:
    net = mlp(32, 64, 64, 8)
    sparsify(net, 0.5, layout="uniform", rng=0)
    sparse_orthogonal_(net, 0.1, structure="butterfly", rng=0)
    for mask in masks.masks(net).values():
        assert 0.08 <= mask.float().mean() <= 0.1


def test_widths_that_change() -> None:
    net = mlp(10, 64, 24, 30, 4).double()
    x = torch.randn(200, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        sparse_orthogonal_(net, rng=0)
        norms = net[:2](x).norm(dim=1)
        torch.testing.assert_close(norms, x.norm(dim=1))  # a layer that widens keeps every norm
        weight = net[2].weight[:12, :32]
        torch.testing.assert_close(weight @ weight.T, 32 / 12 * torch.eye(12, dtype=torch.float64))
        assert float((weight**2).sum() / 32) == pytest.approx(1.0)  # E|Wx|² over directions x of norm 1
        sparse_orthogonal_(net, keep="unit", rng=0)
        weight = net[2].weight[:12, :32]
        torch.testing.assert_close(weight @ weight.T, torch.eye(12, dtype=torch.float64))


def test_without_looks_linear_every_layer_is_orthogonal_times_the_gain() -> None:
    net = mlp(30, 30, 50, 50, activation=nn.Tanh)
    sparsify(net, 0.2, rng=0)
    sparse_orthogonal_(net, looks_linear=False, gain=1.5, rng=0)
    for layer in masks.layers(net).values():
        weight = layer.weight.detach().double().numpy() / 1.5
        assert gap(weight) <= 1e-6


def test_convolutions_hold_it_at_the_centre_and_keep_their_other_taps() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 36, 16 * 36),
    ).double()
    sparsify(net, 0.3, layout="uniform", rng=0)
    before = {name: mask.clone() for name, mask in masks.masks(net).items()}
    sparse_orthogonal_(net, rng=0)
    for name in ("0", "2"):
        mask, weight = masks.masks(net)[name], masks.layers(net)[name].weight
        off = torch.ones(3, 3, dtype=torch.bool)
        off[1, 1] = False
        assert torch.equal(mask[..., off], before[name][..., off])
        assert not weight[..., off].any()
        assert torch.equal(mask[..., 1, 1], weight[..., 1, 1] != 0)
        assert mask.sum() <= before[name].sum()
    x = torch.randn(2, 4, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net[:4](x).flatten(1).norm(dim=1), x.flatten(1).norm(dim=1))
    assert np.abs(singular_values(net[:5], x)[:, :144] - 1).max() <= 1e-10


def test_products_and_half_precision_keep_their_kind() -> None:
    net = mlp(16, 32, 16)
    sparsify(net, 0.5, "sign-in", optimizer=torch.optim.SGD(net.parameters(), lr=0.1), steps=10, rng=0)
    sparse_orthogonal_(net, rng=0)
    assert np.abs(singular_values(net, torch.ones(1, 16)) - 1).max() <= 1e-5
    half = sparse_orthogonal_(mlp(16, 32, 16).to(torch.bfloat16), rng=0)
    assert all(parameter.dtype == torch.bfloat16 for parameter in half.parameters())


def test_the_same_rng_gives_the_same_weights() -> None:
    one, two, three = (sparse_orthogonal_(mlp(8, 16, 8), rng=rng)[0].weight for rng in (5, 5, 6))
    assert torch.equal(one, two)
    assert not torch.equal(one, three)


@pytest.mark.parametrize(
    ("net", "options", "named"),
    [
        (mlp(8, 15, 8), {}, "'0'"),
        (mlp(8, 16, 8), {"density": 0.5}, "masked"),
        (mlp(8, 16, 8), {"structure": "hadamard"}, "hadamard"),
        (mlp(8, 16, 8), {"keep": "all"}, "'all'"),
        (mlp(8, 16, 16, 8, activation=nn.Tanh), {}, "ReLU"),
        (nn.Sequential(nn.Linear(8, 16), nn.Linear(12, 4)), {}, "'1'"),
        (nn.Sequential(nn.Conv2d(4, 8, 3, groups=2)), {"looks_linear": False}, "'0'"),
        (nn.Sequential(nn.ReLU()), {}, "no linear or convolutional layer"),
    ],
)
def test_bad_networks_are_named(net: nn.Module, options: dict[str, Any], named: str) -> None:
    state = copy.deepcopy(net.state_dict())
    with pytest.raises(UserError, match=named):
        sparse_orthogonal_(net, **options)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_too_few_weights_name_the_layer_before_anything_is_written() -> None:
    net = mlp(32, 64, 64, 8)
    sparsify(net, 0.02, layout="uniform", rng=0)
    state = copy.deepcopy(net.state_dict())
    with pytest.raises(UserError, match="layer '0' keeps too few"):
        sparse_orthogonal_(net)
    with pytest.raises(UserError, match="fewer weights"):
        sparse_orthogonal_(net, 0.5)
    with pytest.raises(UserError, match="density is a fraction"):
        sparse_orthogonal_(net, 2)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())


def test_gains_have_the_names_of_torch() -> None:
    relu, number = (
        sparse_orthogonal_(mlp(4, 8, 4), looks_linear=False, gain=gain, rng=0) for gain in ("relu", math.sqrt(2.0))
    )
    assert torch.equal(relu[0].weight, number[0].weight)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"gain": "loud"}, "gain"), ({"gain": 0}, "gain"), ({"density": "x"}, "density"), ({"density": True}, "density")],
)
def test_wrong_numbers_are_told(options: dict[str, Any], words: str) -> None:
    net = mlp(4, 8, 4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(UserError, match=words):
        sparse_orthogonal_(net, **options)
    with pytest.raises(UserError, match="entries"):
        butterfly_orthogonal(4, "x")  # type: ignore[arg-type]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
