"""Oracles: exact linearity and isometry of real networks, products of the submatrices, hand-counted masks."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import sparsefire as sf
from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.init import looks_linear_
from sparsefire.propagation.init.looks_linear import mirrored_mask, mirrored_masks


def mlp(*widths: int, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    pairs = itertools.pairwise(widths)
    return nn.Sequential(*[part for a, b in pairs for part in (nn.Linear(a, b, dtype=dtype), nn.ReLU())][:-1])


def convolutional(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 10, (3, 1), padding="same"), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(40, 6), nn.ReLU(), nn.Linear(6, 4),
    ).to(dtype)  # fmt: skip


def inputs(*shape: int, rng: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(rng))


def singular_values(net: nn.Module, x: Tensor) -> Tensor:
    jacobian = torch.autograd.functional.jacobian(net, x)
    return torch.linalg.svdvals(jacobian.reshape(-1, x.numel()))


def submatrices(net: nn.Module) -> list[Tensor]:
    """The blocks W0, having checked the mirrors."""
    found = [layer.weight.detach() for layer in masks.layers(net).values()]
    blocks = []
    for position, weight in enumerate(found):
        block = weight
        if position < len(found) - 1:
            block, other = block.chunk(2)
            assert torch.equal(other, -block)
        if position > 0:
            block, other = block.chunk(2, dim=1)
            assert torch.equal(other, -block)
        blocks.append(block)
    return blocks


def assert_linear(net: nn.Module, *shape: int) -> None:
    x, y = inputs(5, *shape, rng=1), inputs(5, *shape, rng=2)
    with torch.no_grad():
        torch.testing.assert_close(net(x - 3 * y), net(x) - 3 * net(y), rtol=1e-9, atol=1e-12)
        assert net(x).abs().max() > 1e-3


def mirror_masks_(net: nn.Module, density: float, rng: int = 0) -> None:
    sf.sparsify(net, density, layout="uniform", rng=rng)
    for name, mask in mirrored_masks(net, rng=rng).items():
        masks.write_mask_(masks.layers(net)[name], mask)


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def test_fifty_orthogonal_layers_are_an_exact_isometry() -> None:
    """Width 128, signed width 64."""
    net = looks_linear_(mlp(64, *[128] * 49, 64), submatrix="orthogonal", rng=0)
    for rng in range(2):
        assert (singular_values(net, inputs(64, rng=rng)) - 1).abs().max() < 1e-10
    he = mlp(64, *[128] * 49, 64)
    sf.propagation.init.in_degree_(he, rng=0)
    assert singular_values(he, inputs(64)).median() < 1e-6  # what is mended


def test_centre_taps_are_an_exact_isometry_on_images() -> None:
    parts = [(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in [(4, 8), *[(8, 8)] * 8, (8, 4)]]
    net = nn.Sequential(*[part for pair in parts for part in pair][:-1]).double()
    looks_linear_(net, submatrix="orthogonal", rng=0)
    assert (singular_values(net, inputs(1, 4, 5, 6)) - 1).abs().max() < 1e-12
    for layer in masks.layers(net).values():
        assert layer.weight.count_nonzero() == layer.weight[:, :, 1, 1].count_nonzero()


@pytest.mark.parametrize("widths", [(5, 3), (5, 8, 3), (2, 6, 20, 4, 10, 1), (784, 30, 12, 10)])
def test_gaussian_networks_are_the_product_of_their_submatrices(widths: tuple[int, ...]) -> None:
    net = looks_linear_(mlp(*widths), rng=0)
    product = torch.linalg.multi_dot([*reversed(submatrices(net)), torch.eye(widths[0], dtype=torch.float64)])
    x = inputs(7, widths[0])
    with torch.no_grad():
        torch.testing.assert_close(net(x), x @ product.T)
    assert not any(layer.bias.any() for layer in masks.layers(net).values())


def test_gaussian_variance_is_one_over_the_inputs_of_the_submatrix() -> None:
    for block in submatrices(looks_linear_(mlp(100, 400, 600, 90), rng=0)):
        scaled = block * block.shape[1] ** 0.5
        assert abs(scaled.mean()) < 4 / block.numel() ** 0.5
        assert abs(scaled.square().mean() - 1) < 4 * (2 / block.numel()) ** 0.5


def test_the_mean_square_per_signed_unit_stays_on_average() -> None:
    """E R = 1 with Var = (1 + 2/n)^L − 1 for n = 50 signed units and L = 10, over 200 networks."""
    ratios = []
    for rng in range(200):
        x = inputs(1, 50, rng=rng)
        with torch.no_grad():
            ratios.append(looks_linear_(mlp(50, *[100] * 9, 50), rng=rng)(x).square().sum() / x.square().sum())
    spread = (1.04**10 - 1) ** 0.5
    assert abs(torch.stack(ratios).mean() - 1) < 4 * spread / 200**0.5


@pytest.mark.parametrize(("inner", "outer"), [(8, 20), (20, 8), (7, 7)])
def test_rectangular_orthogonal_submatrices_have_singular_values_one(inner: int, outer: int) -> None:
    for block in submatrices(looks_linear_(mlp(inner, 2 * outer, 2 * inner, outer), submatrix="orthogonal", rng=0)):
        assert (torch.linalg.svdvals(block) - 1).abs().max() < 1e-12


@pytest.mark.parametrize("options", [{}, {"centre": False}, {"submatrix": "orthogonal"}])
def test_convolutions_pools_and_flattening_stay_linear(options: dict[str, Any]) -> None:
    net = looks_linear_(convolutional(), rng=0, **options)
    assert_linear(net, 3, 4, 4)
    blocks = submatrices(net)
    centre = options.get("centre", True)
    assert blocks[0].count_nonzero() == (12 if centre else 12 * 9)
    assert blocks[1].count_nonzero() == (20 if centre else 20 * 3)
    assert blocks[0][:, :, 1, 1].all()
    assert blocks[1][:, :, 1, 0].all()


def test_fan_in_of_convolutions() -> None:
    for centre, fan_in in ((True, 60), (False, 540)):
        net = nn.Sequential(nn.Conv2d(3, 120, 1), nn.ReLU(), nn.Conv2d(120, 80, 3), nn.ReLU(), nn.Conv2d(80, 2, 1))
        block = submatrices(looks_linear_(net.double(), centre=centre, rng=0))[1]
        scaled = block[block != 0] * fan_in**0.5
        assert len(scaled) == 40 * fan_in
        assert abs(scaled.square().mean() - 1) < 4 * (2 / len(scaled)) ** 0.5


@pytest.mark.parametrize("submatrix", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_type_and_parameters_stay_and_only_rng_decides(submatrix: str, dtype: torch.dtype) -> None:
    def drawn(rng: Any) -> list[Tensor]:
        net = convolutional(dtype)
        parameters = dict(net.named_parameters())
        looks_linear_(net, submatrix=submatrix, rng=rng)
        assert all(parameter is parameters[name] for name, parameter in net.named_parameters())
        assert all(parameter.dtype == dtype for parameter in net.parameters())
        return submatrices(net)

    first = drawn(3)
    torch.rand(1)
    assert all(map(torch.equal, first, drawn(3)))
    assert not any(map(torch.equal, first, drawn(4)))
    net = mlp(4, 6, 2)
    before = torch.get_rng_state()
    looks_linear_(net, submatrix=submatrix, rng=None)
    assert torch.equal(torch.get_rng_state(), before)


# --- masks -----------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 3), st.floats(0, 1), st.booleans(), st.booleans(),
    st.integers(0, 1000),
)  # fmt: skip
def test_mirrored_masks_keep_counts_and_degrees(
    out: int, into: int, taps: int, density: float, rows: bool, columns: bool, rng: int
) -> None:
    shape = (out * (1 + rows), into * (1 + columns), taps)
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(rng)) < density
    got = mirrored_mask(mask, rows=rows, columns=columns, rng=rng)
    images = (1 + rows) * (1 + columns)
    block = got[:out, :into]
    assert torch.equal(got, block.repeat(1 + rows, 1 + columns, 1))
    assert abs(int(got.sum()) - int(mask.sum())) <= images / 2
    folded = mask.reshape(1 + rows, out, 1 + columns, into, taps)
    assert not (block & ~folded.any(2).any(0)).any()  # positions come from the mask
    mean = folded.sum((0, 2, 3, 4)) / images
    assert ((block.sum((1, 2)) - mean).abs() < 1).all()
    if images == 1:
        assert torch.equal(got, mask)


def test_a_mask_that_is_mirrored_stays() -> None:
    mask = mirrored_mask(torch.rand(8, 6, generator=torch.Generator().manual_seed(0)) < 0.5, rng=1)
    assert torch.equal(mirrored_mask(mask, rng=2), mask)


def test_mirrors_are_drawn_by_rng() -> None:
    mask = torch.rand(40, 40, generator=torch.Generator().manual_seed(0)) < 0.3
    assert torch.equal(mirrored_mask(mask, rng=0), mirrored_mask(mask, rng=0))
    assert not torch.equal(mirrored_mask(mask, rng=0), mirrored_mask(mask, rng=1))


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (torch.ones(3, 4, dtype=torch.bool), "odd number of rows"),
        (torch.ones(4, 3, dtype=torch.bool), "odd number of columns"),
        (torch.ones(4, 4), "float32"),
        (torch.ones(4, dtype=torch.bool), "bool tensor"),
        (None, "NoneType"),
    ],
)
def test_masks_without_mirror(mask: Any, words: str) -> None:
    with pytest.raises(UserError, match=words):
        mirrored_mask(mask)


def test_sparse_networks_with_mirrored_masks_are_linear() -> None:
    net = mlp(30, 60, 80, 60, 10)
    mirror_masks_(net, 0.1)
    kept = {name: mask.clone() for name, mask in masks.masks(net).items()}
    assert masks.density(net) == pytest.approx(0.1, abs=1e-3)
    looks_linear_(net, rng=0)
    assert_linear(net, 30)
    submatrices(net)
    for name, layer in masks.layers(net).items():
        assert torch.equal(masks.masks(net)[name], kept[name])
        assert torch.equal(layer.weight != 0, kept[name])


def test_sparse_variance_is_by_in_degree_within_the_submatrix() -> None:
    net = mlp(200, 600, 800, 100)
    mirror_masks_(net, 0.03)
    for block in submatrices(looks_linear_(net, rng=0)):
        degrees = (block != 0).sum(1, keepdim=True)
        scaled = (block * degrees.sqrt())[block != 0]
        assert abs(scaled.square().mean() - 1) < 4 * (2 / len(scaled)) ** 0.5
        deep = degrees[:, 0] > degrees.double().mean()
        part = (block * degrees.sqrt())[deep]
        part = part[part != 0]
        assert abs(part.square().mean() - 1) < 4 * (2 / len(part)) ** 0.5


@pytest.mark.parametrize("centre", [True, False])
def test_sparse_convolutions(centre: bool) -> None:
    net = convolutional()
    mirror_masks_(net, 0.5)
    looks_linear_(net, centre=centre, rng=0)
    assert_linear(net, 3, 4, 4)
    for name, layer in masks.layers(net).items():
        assert not layer.weight[~masks.masks(net)[name]].any()
        if not centre or layer.weight.ndim == 2:
            assert torch.equal(layer.weight != 0, masks.masks(net)[name])


def test_products_hold_mirrored_weights() -> None:
    net = mlp(10, 16, 16, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    sf.sparsify(net, 0.4, "sign-in", optimizer=optimizer, steps=40, rng=0)
    for name, mask in mirrored_masks(net, rng=0).items():
        masks.write_mask_(masks.layers(net)[name], mask)
    assert_linear(looks_linear_(net, rng=0), 10)
    net(inputs(3, 10)).square().mean().backward()
    optimizer.step()
    for name, layer in masks.layers(net).items():
        assert not layer.weight[~masks.masks(net)[name]].any()


def test_a_full_mask_is_orthogonal_too() -> None:
    net = mlp(8, 16, 8)
    masks.attach_(net[0], torch.ones(16, 8, dtype=torch.bool))
    looks_linear_(net, submatrix="orthogonal", rng=0)
    assert (singular_values(net, inputs(8)) - 1).abs().max() < 1e-12


# --- wrong use -------------------------------------------------------------------------------------------------------


def grouped() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(2, 4, 1), nn.ReLU(), nn.Conv1d(4, 4, 1, groups=2), nn.ReLU(), nn.Conv1d(4, 2, 1))


def tied() -> nn.Sequential:
    net = mlp(6, 6, 6, 6)
    net[4].weight = net[2].weight
    return net


def between(module: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), module, nn.ReLU(), nn.Linear(6, 2))


def half_masked() -> nn.Sequential:
    net = mlp(6, 6, 6, 6)
    masks.attach_(net[2], torch.arange(36).reshape(6, 6) % 4 > 0)
    return net


@pytest.mark.parametrize(
    ("net", "options", "words"),
    [
        (mlp(4, 6, 7, 2), {}, "layer '2' do not come in pairs"),
        (mlp(4, 5, 6, 2), {}, "layer '0' do not come in pairs"),
        (nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(8, 2)), {}, "layer '2' does not read layer '0'"),
        (nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)), {}, "'1' after layer '0'"),
        (grouped(), {}, "layer '2'"),
        (tied(), {}, "layer '4' shares"),
        (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(16, 2)), {}, "layer '2' does not read layer '0'"),
        (nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Flatten(), nn.Linear(32, 2)), {}, "layer '3' does not read"),
        (between(nn.BatchNorm1d(6)), {}, "'1' after layer '0'"),
        (between(nn.LayerNorm(6)), {}, "'1' after layer '0'"),
        (between(nn.GroupNorm(2, 6)), {}, "'1' after layer '0'"),
        (between(nn.MaxPool1d(1)), {}, "'1' after layer '0'"),
        (between(nn.AdaptiveMaxPool1d(6)), {}, "'1' after layer '0'"),
        (half_masked(), {}, "layer '2' is not mirrored"),
        (half_masked(), {"submatrix": "orthogonal"}, r"layer '2'(.|\n)*sparse_orthogonal_"),
        (convolutional(), {"submatrix": "orthogonal", "centre": False}, "layer '0'"),
        (mlp(4, 6, 2), {"submatrix": "uniform"}, "submatrix='uniform'"),
        (nn.ReLU(), {}, "no linear or convolutional layer"),
    ],
)
def test_wrong_use_names_the_layer_and_writes_nothing(net: nn.Module, options: dict[str, Any], words: str) -> None:
    before = state(net)
    with pytest.raises(UserError, match=words):
        looks_linear_(net, **options)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_norms_before_the_first_and_after_the_last_layer_are_free() -> None:
    net = nn.Sequential(nn.LayerNorm(4), *mlp(4, 6, 2), nn.BatchNorm1d(2)).double()
    looks_linear_(net, rng=0)
    assert_linear(net[1:-1], 4)


def test_activations_before_the_first_and_after_the_last_layer_are_free() -> None:
    net = nn.Sequential(nn.Tanh(), *mlp(4, 6, 2), nn.Sigmoid()).double()
    looks_linear_(net, rng=0)
    assert_linear(net[1:-1], 4)
