"""Oracle: initialisers, layouts, penalties, paths and diagnosis of torch networks, from plain matrix algebra in NumPy.

Jacobians are products of matrices and of the pattern of active ReLUs, paths are walked one by one, penalties are
written again from their definition and differentiated by finite differences, Givens rotations are an epidemic on rows
(EOI, arXiv:2406.01755), SynFlow is a product of absolute matrices (arXiv:2006.05467).
"""

from __future__ import annotations

import copy
import itertools
import math
import os
import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special, stats
from torch import nn

import sparsefire as sf
from sparsefire import masks, propagation
from sparsefire.propagation import init
from sparsefire.propagation.conserved import synflow_masks
from sparsefire.propagation.init.orthogonal import butterfly_orthogonal, givens_orthogonal
from sparsefire.propagation.penalties import penalty_parts

INITIALISERS = ["in_degree_", "signs_", "typical_", "looks_linear_", "approximate_isometry_", "sparse_orthogonal_"]


# ---------------------------------------------------------------- networks and matrices


def near(value: Any, mean: Any, error: Any, times: float = 4.0) -> None:
    """Within four standard errors."""
    assert np.all(np.abs(np.asarray(value) - mean) <= times * np.asarray(error) + 1e-12), (value, mean, error)


def mlp(widths: Sequence[int], dtype: torch.dtype = torch.float64, rng: int = 0, bias: bool = True) -> nn.Sequential:
    """ReLU layers with random weights and, so that zeros are seen to be written, biases of 1."""
    draws = torch.Generator().manual_seed(rng)
    modules: list[nn.Module] = []
    for i, (before, after) in enumerate(itertools.pairwise(widths)):
        layer = nn.Linear(before, after, bias=bias, dtype=dtype)
        with torch.no_grad():
            layer.weight.copy_(torch.randn(after, before, generator=draws, dtype=torch.float64) / math.sqrt(before))
            if bias:
                layer.bias.fill_(1.0)
        modules += [layer, nn.ReLU()] if i < len(widths) - 2 else [layer]
    return nn.Sequential(*modules)


def mask_(net: nn.Module, density: float, rng: int = 0) -> nn.Module:
    """Give every layer independent weights of this density."""
    draws = torch.Generator().manual_seed(rng)
    for layer in masks.layers(net).values():
        masks.attach_(layer, torch.rand(layer.weight.shape, generator=draws) < density)
    return net


def mirrored_mask_(net: nn.Module, density: float, rng: int = 0) -> nn.Module:
    """The same with masks that repeat themselves over the blocks of looks-linear layers."""
    draws = torch.Generator().manual_seed(rng)
    layers = list(masks.layers(net).values())
    for i, layer in enumerate(layers):
        down, across = 1 + (i < len(layers) - 1), 1 + (i > 0)
        out, fan_in, *kernel = layer.weight.shape
        block = torch.rand((out // down, fan_in // across, *kernel), generator=draws) < density
        masks.attach_(layer, block.repeat(down, across, *[1] * len(kernel)))
    return net


def matrices(net: nn.Module) -> list[np.ndarray]:
    return [layer.weight.detach().double().numpy() for layer in masks.layers(net).values()]


def biases(net: nn.Module) -> list[np.ndarray]:
    return [layer.bias.detach().double().numpy() for layer in masks.layers(net).values()]


def pre_activations(net: nn.Module, x: np.ndarray) -> list[np.ndarray]:
    """h of every layer [rows, units]."""
    found = []
    for w, b in zip(matrices(net), biases(net), strict=True):
        h = x @ w.T + b
        found.append(h)
        x = np.maximum(h, 0)
    return found


def jacobian(net: nn.Module, x: np.ndarray) -> np.ndarray:
    """∂ output / ∂ input of a ReLU chain at one input; the scale is taken out in every layer, put back at the end."""
    found, log_scale = np.eye(len(x)), 0.0
    for i, (w, h) in enumerate(zip(matrices(net), pre_activations(net, x[None]), strict=True)):
        found = w @ found
        if i < len(matrices(net)) - 1:
            found = found * (h[0] > 0)[:, None]
        size = np.abs(found).max()
        if size == 0:
            return found
        found, log_scale = found / size, log_scale + math.log(size)
    return found * math.exp(log_scale) if log_scale > -600 else found


# ---------------------------------------------------------------- exact isometry


def test_experiment_19() -> None:
    """Looks-linear with orthogonal submatrices of 64, 50 layers: singular values 1; He's weights lose the signal."""
    net = sf.propagation.init.looks_linear_(mlp([64, *[128] * 49, 64]), submatrix="orthogonal", rng=0)
    x = np.random.default_rng(0).standard_normal((3, 64))
    for row in x:
        np.testing.assert_allclose(np.linalg.svd(jacobian(net, row), compute_uv=False), 1, atol=1e-10)
    np.testing.assert_allclose(propagation.singular_values(net, torch.from_numpy(x)), 1, atol=1e-10)
    he = init.in_degree_(net, rng=1)
    values = np.linalg.svd(jacobian(he, x[0]), compute_uv=False)
    assert np.median(values) < 1e-6
    np.testing.assert_allclose(propagation.singular_values(he, torch.from_numpy(x[:1]))[0], values, atol=1e-12)


@pytest.mark.parametrize(("density", "structure"), [(0.1, "givens"), (0.02, "givens"), (0.0625, "butterfly")])
def test_masked_isometry_at_fifty_layers(density: float, structure: str) -> None:
    net = mask_(mlp([64, *[128] * 49, 64]), density, rng=1)
    had = {name: int(mask.sum()) for name, mask in masks.masks(net).items()}
    init.sparse_orthogonal_(net, structure=structure, rng=0)
    for name, mask in masks.masks(net).items():
        assert int(mask.sum()) <= had[name]
        assert int(mask.sum()) > 0.6 * had[name]
        assert not masks.layers(net)[name].weight[~mask].any()
    x = np.random.default_rng(1).standard_normal((2, 64))
    for row in x:
        np.testing.assert_allclose(np.linalg.svd(jacobian(net, row), compute_uv=False), 1, atol=1e-10)
    y = pre_activations(net, x)[-1]
    np.testing.assert_allclose(np.linalg.norm(y, axis=1), np.linalg.norm(x, axis=1), rtol=1e-10)


def test_orthogonal_layers_without_pairs() -> None:
    net = mask_(mlp([30, 50, 50, 20]), 0.2, rng=2)
    init.sparse_orthogonal_(net, looks_linear=False, rng=0)
    tall, square, wide = matrices(net)
    np.testing.assert_allclose(tall.T @ tall, np.eye(30), atol=1e-12)
    np.testing.assert_allclose(square.T @ square, np.eye(50), atol=1e-12)
    np.testing.assert_allclose(wide @ wide.T * 20 / 50, np.eye(20), atol=1e-12)
    unit = init.sparse_orthogonal_(mlp([50, 20]), looks_linear=False, keep="unit", gain=2.0, rng=0)
    np.testing.assert_allclose(matrices(unit)[0] @ matrices(unit)[0].T, 4 * np.eye(20), atol=1e-12)


def infected(n: int, rotations: int, rng: np.random.Generator) -> float:
    """Density of a product of Givens rotations: both rows take the union of what they had."""
    rows = [1 << i for i in range(n)]
    for _ in range(rotations):
        i, j = rng.choice(n, 2, replace=False)
        rows[i] = rows[j] = rows[i] | rows[j]
    return sum(row.bit_count() for row in rows) / n**2


def test_experiment_23() -> None:
    """Givens rotations: orthogonal to 1e-12, and as dense as the epidemic says."""
    found = givens_orthogonal(100, rotations=249, rng=0)
    assert np.abs(found.T @ found - np.eye(100)).max() <= 1e-12
    dense = [float((givens_orthogonal(100, rotations=249, rng=r) != 0).mean()) for r in range(40)]
    assert np.mean(dense) == pytest.approx(0.51, abs=0.06)
    rng = np.random.default_rng(0)
    for rotations, expected in [(50, 0.026), (100, 0.067), (156, 0.171), (249, 0.508), (510, 0.984)]:
        drawn = [float((givens_orthogonal(100, rotations=rotations, rng=r) != 0).mean()) for r in range(40)]
        spread = [infected(100, rotations, rng) for _ in range(40)]
        error = math.sqrt((np.var(drawn) + np.var(spread)) / 40)
        near(np.mean(drawn), np.mean(spread), error)
        assert np.mean(spread) == pytest.approx(expected, abs=0.02)


def test_sparse_orthogonal_matrices_keep_their_budget() -> None:
    for density in (0.02, 0.05, 0.3, 1.0):
        found = givens_orthogonal(60, density=density, rng=3)
        assert (found != 0).sum() <= density * 3600 + 1e-9
        assert np.abs(found @ found.T - np.eye(60)).max() <= 1e-12
    for k in (1, 2, 4, 8):
        found = butterfly_orthogonal(48, k, rng=3)
        assert set((found != 0).sum(axis=0)) == set((found != 0).sum(axis=1)) == {k}
        np.testing.assert_allclose(np.abs(found[found != 0]), k**-0.5, rtol=1e-12)
        assert np.abs(found @ found.T - np.eye(48)).max() <= 1e-12


def test_looks_linear_is_a_product_of_its_submatrices() -> None:
    for masked in (False, True):
        net = mlp([7, 20, 12, 16, 5])
        if masked:
            mirrored_mask_(net, 0.4)
        before = {name: mask.clone() for name, mask in masks.masks(net).items()}
        sf.propagation.init.looks_linear_(net, rng=0)
        first, *hidden, last = matrices(net)
        half = first[:10]
        np.testing.assert_array_equal(first[10:], -half)
        product = half
        for w in hidden:
            rows, columns = w.shape[0] // 2, w.shape[1] // 2
            w0 = w[:rows, :columns]
            np.testing.assert_array_equal(w, np.block([[w0, -w0], [-w0, w0]]))
            product = w0 @ product
        np.testing.assert_array_equal(last[:, 8:], -last[:, :8])
        product = last[:, :8] @ product
        x = np.random.default_rng(1).standard_normal((4, 7))
        with torch.no_grad():
            np.testing.assert_allclose(net(torch.from_numpy(x)).numpy(), x @ product.T, atol=1e-12)
        for name, mask in masks.masks(net).items():
            assert torch.equal(mask, before[name])


def test_looks_linear_variance_is_one_over_the_in_degree_of_the_submatrix() -> None:
    net = mirrored_mask_(mlp([40, 200, 200, 60]), 0.3, rng=3)
    init.looks_linear_(net, rng=5)
    scaled = []
    for w, (down, across) in zip(matrices(net), [(2, 1), (2, 2), (1, 2)], strict=True):
        w0 = w[: w.shape[0] // down, : w.shape[1] // across]
        scaled.append((w0 * np.sqrt((w0 != 0).sum(axis=1, keepdims=True)))[w0 != 0])
    assert stats.kstest(np.concatenate(scaled), "norm").pvalue > 0.01


def test_looks_linear_convolutions_sit_in_the_centre() -> None:
    def net() -> nn.Sequential:
        convolutions = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 6, 5, padding=2), nn.ReLU()]
        return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(6 * 16, 4)).double()

    x = torch.randn(2, 3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for centre in (True, False):
        one = init.looks_linear_(net(), centre=centre, rng=0)
        for layer, middle in ((one[0], 1), (one[2], 2)):
            weight = layer.weight.detach().clone()
            weight[:, :, middle, middle] = 0
            assert bool(weight.any()) is not centre
        with torch.no_grad():
            assert torch.allclose(one(-x), -one(x), atol=1e-12)
            assert torch.allclose(one(2 * x + 1) - one(2 * x), one(torch.ones_like(x)), atol=1e-11)


def test_approximate_isometry() -> None:
    dense = init.approximate_isometry_(mlp([30, 30, 50]), gain=1.0, rng=0)
    for w in matrices(dense):
        np.testing.assert_allclose(w.T @ w, np.eye(w.shape[1]), atol=1e-10)

    def gap(net: nn.Module) -> float:
        (w,) = matrices(net)
        return float(np.linalg.norm(w.T @ w - np.eye(w.shape[1])))

    given = [
        gap(init.approximate_isometry_(mask_(mlp([60, 60]), 0.2, rng=4), gain=1.0, rng=0, steps=steps))
        for steps in (0, 1, 3, 10, 100)
    ]
    assert given == sorted(given, reverse=True)
    assert given[-1] < 0.3 * given[0]
    net = mask_(mlp([60, 60]), 0.2, rng=4)
    mask = next(iter(masks.masks(net).values())).numpy()
    (w,) = matrices(init.approximate_isometry_(net, gain=1.0, rng=0, steps=3000))
    assert (w**2).sum() == pytest.approx(60, rel=1e-9)  # the mean square of singular values is that of an isometry
    square = w.T @ w
    w = w * math.sqrt(np.trace(square) / (square**2).sum())  # nearest to an isometry among all multiples
    slope = w @ (w.T @ w - np.eye(60))  # of ‖WᵀW − I‖²/4
    assert np.abs(slope[mask]).max() < 1e-6
    assert not w[~mask].any()


class Residual(nn.Module):
    """y = skip(x) + second(relu(first(x))), with or without a ReLU after the sum."""

    def __init__(self, width: int, hidden: int, skip: bool, relu: bool) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden, dtype=torch.float64)
        self.second = nn.Linear(hidden, width, dtype=torch.float64)
        self.skip = nn.Linear(width, width, dtype=torch.float64) if skip else nn.Identity()
        self.relu = relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.skip(x) + self.second(torch.relu(self.first(x)))
        return torch.relu(y) if self.relu else y


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("relu", [False, True])
def test_residual_blocks_keep_every_norm(skip: bool, relu: bool) -> None:
    blocks = [Residual(16, 16 if relu else 32, skip, relu) for _ in range(20)]
    for r, block in enumerate(blocks):
        trunk = "relu" if relu else "linear"
        init.residual_isometry_(block, "first", "second", "skip" if skip else None, trunk=trunk, rng=r)
    net = nn.Sequential(*blocks)
    s = torch.randn(5, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    if not relu:
        x = torch.cat([s, s.flip(1)], dim=1)
        y = net(x)
        values = np.linalg.svd(torch.autograd.functional.jacobian(net, x[0]).numpy(), compute_uv=False)
        np.testing.assert_allclose(values, 1, atol=1e-10)
    else:  # positive parts of a signal and of its negative
        x = torch.cat([s.relu(), (-s).relu()], dim=1)
        y = net(x)
        assert not (y[:, :8] * y[:, 8:]).any()
    np.testing.assert_allclose(y.detach().norm(dim=1), x.norm(dim=1), rtol=1e-10)
    if not relu:
        assert float((y - x).detach().norm()) > 0.1 * float(x.norm())  # both branches take part


# ---------------------------------------------------------------- variance


@pytest.mark.parametrize(("weights", "law"), [("normal", stats.norm()), ("uniform", stats.uniform(-1, 2))])
def test_variance_by_actual_in_degree(weights: str, law: Any) -> None:
    net = mask_(mlp([80, 200, 100]), 0.1, rng=6)
    init.in_degree_(net, weights=weights, rng=1)
    scaled = []
    for (name, mask), w in zip(masks.masks(net).items(), matrices(net), strict=True):
        there = mask.numpy()
        assert not w[~there].any(), name
        scaled.append((w * np.sqrt(there.sum(axis=1, keepdims=True) / 2))[there])
    values = np.concatenate(scaled)
    near((values**2).mean(), 1, (values**2).std() / math.sqrt(len(values)))
    assert stats.kstest(values / (math.sqrt(3) if weights == "uniform" else 1), law.cdf).pvalue > 0.01


def test_signs_have_one_magnitude_per_unit() -> None:
    net = mask_(nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 50)).double(), 0.4, rng=7)
    for gain, factor in (("relu", math.sqrt(2)), (1.5, 1.5)):
        init.signs_(net, gain=gain, rng=2)
        positive = count = 0
        for mask, layer in zip(masks.masks(net).values(), masks.layers(net).values(), strict=True):
            there = mask.flatten(1).numpy()
            w = layer.weight.detach().flatten(1).numpy()
            expected = factor / np.sqrt(np.maximum(there.sum(axis=1, keepdims=True), 1)) * there
            np.testing.assert_allclose(np.abs(w), expected, rtol=1e-12)
            positive, count = positive + int((w > 0).sum()), count + int(there.sum())
        near(positive / count, 0.5, 0.5 / math.sqrt(count))


def test_typical_gain_of_dense_layers() -> None:
    """log gain² = log n − Σ_j Bin(n, ½)(j) (ψ(j/2) + log 2) / (1 − 2⁻ⁿ), and log n − ψ(n/2) − log 2 without ReLU."""
    widths = [40_000, 8, 20_000, 3]
    net = sf.propagation.init.typical_(mlp(widths, torch.float32, bias=False), rng=0)
    j = np.arange(1, 9)
    log = stats.binom.pmf(j, 8, 0.5) @ (special.digamma(j / 2) + math.log(2)) / (1 - 2**-8)
    expected = [8 / math.exp(log), 2 * math.exp(2.5 / 20_000), 3 / (2 * math.exp(special.digamma(1.5)))]
    for w, gain2 in zip(matrices(net), expected, strict=True):
        near((w**2).mean() * w.shape[1], gain2, gain2 * math.sqrt(2 / w.size))


@pytest.mark.parametrize("weights", ["normal", "sign"])
def test_typical_signals_do_not_drift(weights: str) -> None:
    """Mean of log |x_L|² over 70 sparse networks: 0, where weights by in-degree lose a good part of it."""
    drift: dict[str, list[float]] = {"typical_": [], "in_degree_": []}
    rng = np.random.default_rng(8)
    for r in range(70):
        net = mask_(mlp([32] * 14), 0.2, rng=r)
        x = rng.standard_normal((1, 32))
        for name, found in drift.items():
            getattr(init, name)(net, weights=weights, rng=r)
            y = np.maximum(pre_activations(net, x)[-2], 0)
            if y.any():
                found.append(math.log((y**2).sum() / (x**2).sum()))
    assert min(len(found) for found in drift.values()) > 65
    error = {name: np.std(found) / math.sqrt(len(found)) for name, found in drift.items()}
    near(np.mean(drift["typical_"]), 0, error["typical_"])
    assert np.mean(drift["in_degree_"]) < np.mean(drift["typical_"]) - 4 * error["in_degree_"]


# ---------------------------------------------------------------- what every initialiser keeps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", INITIALISERS)
def test_masks_types_and_parameters_are_kept(name: str, dtype: torch.dtype) -> None:
    for masked in (False, True):
        net = mlp([8, 24, 24, 6], dtype)
        net.append(nn.LayerNorm(6, dtype=dtype))
        with torch.no_grad():
            net[-1].weight.fill_(0.7)
        if masked:
            mirrored_mask_(net, 0.4)
        had = {key: mask.clone() for key, mask in masks.masks(net).items()}
        parameters = dict(net.named_parameters())
        python, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
        assert getattr(init, name)(net, rng=3) is net
        assert np.array_equal(np.random.get_state()[1], python)  # noqa: NPY002
        assert torch.equal(torch.get_rng_state(), torch_state)
        after = dict(net.named_parameters())
        assert list(after) == list(parameters)
        for key, parameter in after.items():
            assert parameter is parameters[key]
            assert parameter.dtype == dtype
            assert parameter.device.type == "cpu"
            assert parameter.requires_grad
            assert parameter.grad is None
        for key, layer in masks.layers(net).items():
            assert not layer.bias.any()
            assert torch.isfinite(layer.weight).all()
            assert layer.weight.any()
            if masked:
                now = masks.masks(net)[key]
                assert not layer.weight[~now].any()
                assert not layer.parametrizations.weight.original[~now].any()
                if name == "sparse_orthogonal_":
                    assert int(now.sum()) <= int(had[key].sum())
                else:
                    assert torch.equal(now, had[key])
        assert torch.equal(net[-1].weight, torch.full_like(net[-1].weight, 0.7))
        again = copy.deepcopy(net)
        getattr(init, name)(again, rng=3)
        other = copy.deepcopy(net)
        getattr(init, name)(other, rng=4)
        first = next(iter(masks.layers(net)))
        weight = masks.layers(net)[first].weight
        assert torch.equal(masks.layers(again)[first].weight, weight)
        assert not torch.equal(masks.layers(other)[first].weight, weight)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("name", INITIALISERS)
def test_the_device_is_kept(name: str) -> None:
    net = mirrored_mask_(mlp([8, 24, 24, 6], torch.float32), 0.4).cuda()
    getattr(init, name)(net, rng=3)
    for tensor in [*net.parameters(), *net.buffers()]:
        assert tensor.device.type == "cuda"


def state(net: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in net.state_dict().items()}


def wrong_networks() -> list[tuple[str, list[str], nn.Module, dict[str, Any]]]:
    """What is wrong, which initialisers it concerns, the network, arguments; the layer at fault is called '2'."""
    odd = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3))
    sigmoid = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 3))
    unfit = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(6, 4))
    normed = nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(), nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)), nn.ReLU(), nn.Linear(8, 3)
    )
    groups = nn.Sequential(nn.Conv1d(4, 8, 3), nn.ReLU(), nn.Conv1d(8, 8, 3, groups=4), nn.ReLU(), nn.Conv1d(8, 4, 3))
    thin, rough = mlp([6, 16, 16, 4]), mlp([6, 16, 16, 4])
    masks.attach_(thin[2], torch.eye(16, dtype=torch.bool) & (torch.arange(16) < 9)[:, None])
    masks.attach_(rough[2], torch.rand(16, 16, generator=torch.Generator().manual_seed(0)) < 0.5)
    pairs = ["looks_linear_", "sparse_orthogonal_"]
    return [
        ("an odd width", pairs, odd, {}),
        ("an activation that is no ReLU", pairs, sigmoid, {}),
        ("a layer out of the chain", pairs, unfit, {}),
        ("a weight made of others", INITIALISERS, normed, {}),
        ("grouped channels", pairs, groups, {}),
        ("too few weights to be orthogonal", ["sparse_orthogonal_"], thin, {}),
        ("too few weights to be orthogonal", ["sparse_orthogonal_"], copy.deepcopy(thin), {"looks_linear": False}),
        ("a mask that is not mirrored", ["looks_linear_"], rough, {}),
        ("orthogonal on a mask", ["looks_linear_"], rough, {"submatrix": "orthogonal"}),
        ("a shape not known yet", INITIALISERS, nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.LazyLinear(4)), {}),
    ]


@pytest.mark.parametrize("case", range(len(wrong_networks())))
def test_wrong_networks_are_refused_by_the_name_of_the_layer(case: int) -> None:
    what, names, net, arguments = wrong_networks()[case]
    for name in names:
        known = {k: v for k, v in net.state_dict().items() if not isinstance(v, nn.UninitializedParameter)}
        before = {key: value.clone() for key, value in known.items()}
        with pytest.raises(sf.UserError) as caught:
            getattr(init, name)(net, rng=0, **arguments)
        message = str(caught.value)
        assert re.search(r"layer '2'|'3' after layer '2'", message), (what, name, message)
        for key, value in before.items():
            assert torch.equal(value, net.state_dict()[key]), (what, name)


@pytest.mark.parametrize("name", INITIALISERS)
def test_there_must_be_layers(name: str) -> None:
    for nothing in (nn.Sequential(nn.ReLU()), nn.LSTM(3, 4), "a network"):
        with pytest.raises(sf.UserError):
            getattr(init, name)(nothing)


def test_wrong_arguments_write_nothing() -> None:
    calls: list[Callable[[nn.Module], Any]] = [
        lambda net: init.in_degree_(net, gain=-1.0),
        lambda net: init.in_degree_(net, gain="no such activation"),
        lambda net: init.in_degree_(net, weights="cauchy"),
        lambda net: init.signs_(net, gain=0.0),
        lambda net: init.typical_(net, weights="cauchy"),
        lambda net: init.typical_(net, activation="tanh"),
        lambda net: init.looks_linear_(net, submatrix="no such"),
        lambda net: init.sparse_orthogonal_(net, structure="no such"),
        lambda net: init.sparse_orthogonal_(net, keep="no such"),
        lambda net: init.sparse_orthogonal_(net, 0.5),
        lambda net: init.approximate_isometry_(net, steps=-1),
        lambda net: init.approximate_isometry_(net, steps=1.5),
    ]
    for call in calls:
        net = mlp([8, 8, 8])
        before = state(net)
        with pytest.raises(sf.UserError):
            call(net)
        assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())


@pytest.mark.parametrize("nothing", [nn.Sequential(nn.ReLU()), nn.LSTM(3, 4)])
def test_the_others_need_layers_too(nothing: nn.Module) -> None:
    for call in (
        propagation.penalty,
        propagation.growth_scores,
        propagation.path_counts,
        propagation.synflow_scores,
        propagation.flow_balance,
        propagation.diagnose,
    ):
        with pytest.raises(sf.UserError):
            call(nothing)


# ---------------------------------------------------------------- layout="critical"


def mixture(count: int | np.ndarray, units: int) -> tuple[Any, Any]:
    """Smaller fan-in and share of units that have one more, where so many weights are dealt evenly."""
    k, rest = np.divmod(count, units)
    return k, rest / units


def one_layer(count: Any, units: int, m: int, u: Any, kappa: Any, mu4: float) -> tuple[Any, Any]:
    """Dead share and kurtosis of a layer with weights of variance 2/k, from the fourth moments of one unit's sum."""
    k, share = mixture(np.asarray(count), units)

    def unit(k: Any) -> tuple[Any, Any]:
        safe = np.maximum(k, 1)
        fourth = (mu4 * kappa + 3 * (k - 1) * (m - kappa) / max(m - 1, 1)) / safe
        return ((1 + u) / 2) ** k, np.where(k > 0, fourth, 0)

    (u0, k0), (u1, k1) = unit(k), unit(k + 1)
    return (1 - share) * u0 + share * u1, (1 - share) * k0 + share * k1


def walk(
    shapes: Sequence[tuple[int, int]], counts: Sequence[int], mu4: float
) -> tuple[list[float], list[float], list[float]]:
    """Dead share, kurtosis and drift of all layers."""
    u, kappa, found = -1.0, None, []  # all inputs are alive: (1 + u)/2 = 0
    for (n, m), count in zip(shapes, counts, strict=True):
        before = 3.0 if kappa is None else kappa
        u, k = one_layer(count, n, m, u, min(before, m), mu4)
        kappa = 2 * float(k)
        found.append((float(u), float(k), -(2 * float(k) - 1) / (2 * n)))
    return tuple(list(column) for column in zip(*found, strict=True))  # type: ignore[return-value]


def shapes_of(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(layer.weight.shape) for name, layer in masks.layers(net).items()}


@pytest.mark.parametrize("density", [0.04, 0.1, 0.37, 1.0])
def test_critical_masks_have_two_fan_ins_and_exact_counts(density: float) -> None:
    net = mlp([64, *[256] * 4, 10], torch.float32)
    shapes = shapes_of(net)
    weights = sum(math.prod(shape) for shape in shapes.values())
    sf.sparsify(net, density, layout="critical", rng=0)
    layout = propagation.critical_layout(shapes, density)
    assert sum(layout.counts) == round(density * weights)
    for (name, mask), count, least in zip(masks.masks(net).items(), layout.counts, layout.least, strict=True):
        fan_in, fan_out = mask.sum(1), mask.sum(0)
        assert int(mask.sum()) == count >= least, name
        assert int(fan_in.max() - fan_in.min()) <= 1, name
        assert int(fan_out.max() - fan_out.min()) <= 1, name
        assert int(fan_in.min()) >= 1, name
        assert int(fan_out.min()) >= 1, name
        assert set(fan_in.tolist()) <= {count // mask.shape[0], count // mask.shape[0] + 1}, name
    again = mlp([64, *[256] * 4, 10], torch.float32)
    sf.sparsify(again, density, layout="critical", rng=0)
    for name, mask in masks.masks(again).items():
        assert torch.equal(mask, masks.masks(net)[name])
    open_layers = [
        (count / shape[0], count > least)
        for count, least, shape in zip(layout.counts, layout.least, shapes.values(), strict=True)
        if count < math.prod(shape)
    ]
    raised = [k for k, up in open_layers if up]
    if raised:  # water-filling: what was raised stands at one level, and what is not full stands no lower
        assert max(raised) - min(raised) <= 1
        assert min(k for k, _ in open_layers) >= min(raised) - 1


def test_convolutions_in_the_critical_layout() -> None:
    net = nn.Sequential(nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.Flatten(), nn.Linear(64 * 4, 10))
    sf.sparsify(net, 0.3, layout="critical", rng=0)
    total = 0
    for mask in masks.masks(net).values():
        fan_in = mask.flatten(1).sum(1)
        assert int(fan_in.max() - fan_in.min()) <= 1
        total += int(mask.sum())
    assert total == round(0.3 * sum(math.prod(shape) for shape in shapes_of(net).values()))


@pytest.mark.parametrize("layout", ["critical", "critical-signs"])
def test_infeasible_densities_are_refused_with_the_smallest(layout: str) -> None:
    def net() -> nn.Module:
        return mlp([64, *[256] * 4, 10], torch.float32)

    weights = "sign" if layout == "critical-signs" else "normal"
    smallest = propagation.critical_layout(shapes_of(net()), weights=weights).smallest_density
    for density in (0.003, 0.99 * smallest):
        refused = net()
        before = state(refused)
        with pytest.raises(sf.UserError) as caught:
            sf.sparsify(refused, density, layout=layout, rng=0)
        assert not masks.masks(refused)
        assert all(torch.equal(before[key], value) for key, value in refused.state_dict().items())
        named = re.search(r"expected +([0-9.]+) or more", str(caught.value))
        assert named, str(caught.value)
        assert float(named.group(1)) == pytest.approx(smallest, rel=0.02)
        assert "layer '" in str(caught.value)
        sf.sparsify(net(), float(named.group(1)), layout=layout, rng=0)
    sf.sparsify(net(), smallest * (1 + 1e-9), layout=layout, rng=0)
    sf.sparsify(net(), 1.001 * smallest, layout=layout, rng=0)
    fewest = sum(propagation.critical_layout(shapes_of(net()), weights=weights).least)
    total = sum(math.prod(shape) for shape in shapes_of(net()).values())
    assert smallest == pytest.approx(fewest / total, rel=1e-12)
    with pytest.raises(sf.UserError):
        sf.sparsify(net(), (fewest - 1) / total, layout=layout, rng=0)


@pytest.mark.parametrize(("weights", "mu4"), [("normal", 3.0), ("sign", 1.0)])
def test_critical_layout_meets_its_bounds(weights: str, mu4: float) -> None:
    shapes = [(256, 100), *[(256, 256)] * 6, (10, 256)]
    layout = propagation.critical_layout(shapes, weights=weights)
    assert layout.attainable
    u, k, drift = walk(shapes, layout.counts, mu4)
    assert max(u) <= 0.01 + 1e-12
    assert min(1 / (2 * np.array(k))) >= 0.05 - 1e-12
    assert max(-np.array(drift[:-1])) * 7 <= 1 + 1e-12
    np.testing.assert_allclose(layout.extinction, u, rtol=1e-9)
    np.testing.assert_allclose(layout.kurtosis, k, rtol=1e-9)
    np.testing.assert_allclose(layout.drift, drift[:-1], rtol=1e-9)
    for (n, m), count in zip(shapes, layout.counts, strict=True):
        assert count >= max(n, m)
    for density in (0.1, 0.5):
        u, k, drift = walk(shapes, propagation.critical_layout(shapes, density, weights=weights).counts, mu4)
        assert max(u) <= 0.01 + 1e-12
        assert min(1 / (2 * np.array(k))) >= 0.05 - 1e-12
        assert max(-np.array(drift[:-1])) * 7 <= 1 + 1e-12


@pytest.mark.parametrize("weights", ["normal", "sign"])
def test_no_smaller_critical_layout_exists(weights: str) -> None:
    """All counts of three small layers."""
    shapes, mu4 = [(14, 10), (12, 14), (5, 12)], {"normal": 3.0, "sign": 1.0}[weights]
    bounds = {"extinction": 0.08, "participation": 0.11, "spread": 5.0}

    def fits(u: Any, k: Any, n: int, hidden: bool) -> Any:
        fine = (u <= 0.08) & (1 / (2 * np.maximum(k, 1e-9)) >= 0.11)
        return fine & ((2 * k - 1) / (2 * n) * 2 <= 5.0) if hidden else fine

    best = None
    last = np.arange(12, 61)
    for one in range(14, 141):
        u1, k1 = one_layer(one, 14, 10, -1.0, 3.0, mu4)
        if not fits(u1, k1, 14, True):
            continue
        two = np.arange(14, 169)
        u2, k2 = one_layer(two, 12, 14, u1, np.minimum(2 * k1, 14), mu4)
        fine = fits(u2, k2, 12, True)
        two, u2, k2 = two[fine], u2[fine], k2[fine]
        u3, k3 = one_layer(last[None, :], 5, 12, u2[:, None], np.minimum(2 * k2, 12)[:, None], mu4)
        fine = fits(u3, k3, 5, False)
        total = np.where(fine, one + two[:, None] + last[None, :], 10**6)
        if total.size:
            best = min(best or 10**6, int(total.min()))
    found = propagation.critical_layout(shapes, weights=weights, **bounds)
    assert found.attainable
    assert best is not None
    assert sum(found.counts) == best


def test_signals_arrive_through_critical_masks() -> None:
    """Dead units of the last hidden layer, over 20 networks at the smallest density."""
    shapes = [(256, 100), *[(256, 256)] * 6, (10, 256)]
    layout = propagation.critical_layout(shapes)
    dead = []
    rng = np.random.default_rng(10)
    for r in range(20):
        net = mlp([100, *[256] * 7, 10])
        found = propagation.critical_masks(shapes, rng=r).values()
        for mask, layer in zip(found, masks.layers(net).values(), strict=True):
            masks.attach_(layer, torch.from_numpy(mask))
        init.in_degree_(net, rng=r)
        h = pre_activations(net, rng.standard_normal((1, 100)))[-2]
        dead.append((h == 0).mean())
    near(np.mean(dead), layout.extinction[-2], np.std(dead) / math.sqrt(20))


# ---------------------------------------------------------------- penalty


def penalty_by_hand(
    weights: list[np.ndarray], gain: float = 2.0, factors: tuple[float, float, float, float] = (1, 1, 1, 0)
) -> float:
    """Branching, participation, balance and paths, from their definitions."""
    squares = [w**2 for w in weights]
    branching = [math.log(s.sum(axis=1).mean() / gain) ** 2 for s in squares]
    flow, paths, participation = np.ones(squares[0].shape[1]), [], []
    for s in squares:
        after = s @ flow / gain
        paths.append(math.log(after.mean() / flow.mean()) ** 2)
        participation.append(math.log(len(after) * (after**2).sum() / after.sum() ** 2))
        flow = after
    balance = [0.0]
    if len(squares) > 1:
        balance = []
        for s, t in itertools.pairwise(squares):
            p, q = s.sum(axis=1), t.sum(axis=0)
            balance.append(float(((p / p.mean() - q / q.mean()) ** 2).mean()))
    parts = [np.mean(branching), np.mean(participation), np.mean(balance), np.mean(paths)]
    return float(np.dot(factors, parts))


def test_penalty_is_what_it_says_and_has_its_gradient() -> None:
    """Finite differences over all weights that exist; those that do not exist get none."""
    factors = (0.7, 1.3, 0.5, 0.9)
    net = mask_(mlp([5, 7, 6, 3]), 0.6, rng=11)
    weights = matrices(net)
    names = dict(zip(("branching", "participation", "balance", "paths"), factors, strict=True))
    for gain in (2.0, 1.0):
        found = sf.propagation.penalty(net, gain=math.sqrt(gain))
        assert found.shape == ()
        assert found.requires_grad
        assert found.item() == pytest.approx(penalty_by_hand(weights, gain), rel=1e-9)
    value = propagation.penalty(net, **names)
    assert value.item() == pytest.approx(penalty_by_hand(weights, 2.0, factors), rel=1e-9)
    value.backward()
    parts = penalty_parts(net)
    assert sum(names[key] * parts[key].item() for key in names) == pytest.approx(value.item(), rel=1e-12)
    for layer, mask, w in zip(masks.layers(net).values(), masks.masks(net).values(), weights, strict=True):
        slope = layer.parametrizations.weight.original.grad.numpy()
        assert not slope[~mask.numpy()].any()
        for place in zip(*np.nonzero(mask.numpy()), strict=True):
            kept, sides = w[place], []
            for step in (1e-5, -1e-5):
                w[place] = kept + step
                sides.append(penalty_by_hand(weights, 2.0, factors))
            w[place] = kept
            assert slope[place] == pytest.approx((sides[0] - sides[1]) / 2e-5, rel=1e-6, abs=1e-8)


def test_penalty_vanishes_where_all_is_critical_and_falls_by_descent() -> None:
    net = mlp([12, 12, 12, 12])
    with torch.no_grad():
        for layer in masks.layers(net).values():
            layer.weight.copy_(torch.from_numpy(math.sqrt(2) * np.linalg.qr(np.eye(12)[::-1])[0]))
    assert propagation.penalty(net, paths=1.0).item() == pytest.approx(0, abs=1e-10)
    with torch.no_grad():
        net[2].weight.mul_(3)
    assert propagation.penalty(net).item() == pytest.approx(math.log(9) ** 2 / 3, rel=1e-10)
    net = mask_(mlp([20, 30, 30, 5], torch.float32), 0.2, rng=12)
    start = propagation.penalty(net).item()
    adam = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(200):
        adam.zero_grad()
        propagation.penalty(net).backward()
        adam.step()
    assert propagation.penalty(net).item() < 0.3 * start
    for layer, mask in zip(masks.layers(net).values(), masks.masks(net).values(), strict=True):
        assert not layer.weight[~mask].any()


def test_penalty_of_convolutions_sums_squared_taps() -> None:
    net = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 2)).double()
    flat = [np.sqrt((layer.weight.detach().numpy() ** 2).sum(axis=(2, 3))) for layer in (net[0], net[2])]
    assert propagation.penalty(net, paths=1.0).item() == pytest.approx(
        penalty_by_hand(flat, 2.0, (1, 1, 1, 1)), rel=1e-9
    )


def test_growth_scores_against_a_weight_that_comes() -> None:
    net = mask_(mlp([5, 7, 6, 3]), 0.6, rng=11)
    scores = propagation.growth_scores(net)
    weights = matrices(net)
    start, step = penalty_by_hand(weights), 1e-7
    for w, score, mask in zip(weights, scores.values(), masks.masks(net).values(), strict=True):
        assert (score[mask] == -math.inf).all()
        for place in zip(*np.nonzero(~mask.numpy()), strict=True):
            w[place] = math.sqrt(step)
            came = -(penalty_by_hand(weights) - start) / step
            w[place] = 0.0
            assert float(score[tuple(int(i) for i in place)]) == pytest.approx(came, rel=1e-4, abs=1e-5)


# ---------------------------------------------------------------- conserved


@pytest.mark.parametrize("density", [1.0, 0.4])
def test_experiment_24(density: float) -> None:
    """SynFlow: the same total in every layer, in = out at every unit, any mask; scores are products of matrices."""
    net = mlp([30, 50, 40, 60, 10])
    if density < 1:
        mask_(net, density, rng=13)
    scores = [score.numpy() for score in propagation.synflow_scores(net).values()]
    sizes = [np.abs(w) for w in matrices(net)]
    forward = [np.ones(30)]
    for w in sizes:
        forward.append(w @ forward[-1])
    backward = [np.ones(10)]
    for w in reversed(sizes):
        backward.insert(0, w.T @ backward[0])
    for layer, (w, score) in enumerate(zip(sizes, scores, strict=True)):
        np.testing.assert_allclose(score, backward[layer + 1][:, None] * w * forward[layer], rtol=1e-10)
    totals = [score.sum() for score in scores]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-10)
    for one, two in itertools.pairwise(scores):
        np.testing.assert_allclose(one.sum(axis=1), two.sum(axis=0), rtol=1e-10, atol=1e-10 * totals[0])
    found = propagation.flow_balance(net)
    np.testing.assert_allclose(found.totals, 1, rtol=1e-10)
    assert found.worst < 1e-10
    assert found.log_flow == pytest.approx(math.log(totals[0]), rel=1e-10)


def test_synflow_through_convolutions_and_its_mask_at_the_highest_compression() -> None:
    conv = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(4, 5, 3), nn.Flatten(), nn.Linear(20, 3)
    ).double()
    totals = [float(score.sum()) for score in propagation.synflow_scores(conv, (2, 8, 8)).values()]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-10)

    net = mlp([40, 300, 60, 60, 60, 10])
    weights = [w.size for w in matrices(net)]
    left = 25
    found = synflow_masks(net, left / sum(weights), rounds=100)
    assert sum(int(mask.sum()) for mask in found.values()) == left
    assert all(int(mask.sum()) >= 1 for mask in found.values())
    assert propagation.path_counts([mask.numpy() for mask in found.values()]).total >= 1
    once = synflow_masks(net, left / sum(weights), rounds=1)
    assert propagation.path_counts([mask.numpy() for mask in once.values()]).total == 0


def test_products_and_attention_are_conserved_by_gradient_flow() -> None:
    rng = np.random.default_rng(14)
    m, w, goal = rng.standard_normal((3, 8))
    start = propagation.product_balance((m, w))
    np.testing.assert_allclose(start, m**2 - w**2)

    def flow(pair: np.ndarray) -> np.ndarray:
        g = pair[0] * pair[1] - goal
        return -np.stack([pair[1] * g, pair[0] * g])

    pair, step = np.stack([m, w]), 0.005
    for _ in range(1600):
        a = flow(pair)
        b = flow(pair + step / 2 * a)
        c = flow(pair + step / 2 * b)
        pair = pair + step / 6 * (a + 2 * b + 2 * c + flow(pair + step * c))
    assert np.abs(pair - np.stack([m, w])).max() > 0.1
    np.testing.assert_allclose(propagation.product_balance((pair[0], pair[1])), start, atol=1e-6)

    one, two = torch.from_numpy(rng.standard_normal((6, 4))), torch.from_numpy(rng.standard_normal((3, 6)))
    a, b = torch.from_numpy(rng.standard_normal(6)), torch.from_numpy(rng.standard_normal(3))
    (found,) = propagation.attention_balance([(one, a), (two, b)])
    exact = (one**2).sum(1) - a**2 - (two**2).sum(0)
    np.testing.assert_allclose(found, exact.numpy(), rtol=1e-12)
    for weights in ("keep", "looks-linear"):
        given = [(one.clone(), a.clone()), (two.clone(), b.clone())]
        init.balance_attention_(given, weights=weights, rng=0)
        assert np.abs(propagation.attention_balance(given)[0]).max() < 1e-9
        if weights == "keep":  # the linear network that the two make stays
            assert torch.allclose(given[1][0] @ given[0][0], two @ one, atol=1e-10)


# ---------------------------------------------------------------- paths


def test_paths_walked_one_by_one() -> None:
    rng = np.random.default_rng(15)
    for trial in range(20):
        widths = [4, 5, 3, 4, 2]
        layers = [rng.random((after, before)) < 0.45 for before, after in itertools.pairwise(widths)]
        on: list[set[int]] = [set() for _ in widths]
        total = 0
        for path in itertools.product(*[range(width) for width in widths]):
            if all(layers[i][path[i + 1], path[i]] for i in range(4)):
                total += 1
                for i, unit in enumerate(path):
                    on[i].add(unit)
        found = propagation.path_counts(layers)
        assert found.total == total, trial
        for i in range(-1, 4):
            assert found.on_paths(i).tolist() == [unit in on[i + 1] for unit in range(widths[i + 1])]
        assert found.dead_inputs.tolist() == [int((~layer.any(axis=0)).sum()) for layer in layers]
        assert found.dead_outputs.tolist() == [int((~layer.any(axis=1)).sum()) for layer in layers]
        reached = np.ones(4, dtype=bool)
        for i, layer in enumerate(layers):
            reached = (layer & reached).any(axis=1)
            heard = np.ones(2, dtype=bool)
            for other in reversed(layers[i + 1 :]):
                heard = (other & heard[:, None]).any(axis=0)
            assert found.unreached[i] == (~reached).sum()
            assert found.unheard[i] == (~heard).sum()
            assert found.disconnected[i] == (~(reached & heard)).sum()


def test_paths_of_deep_networks_in_whole_numbers() -> None:
    rng = np.random.default_rng(16)
    layers = [rng.random((60, 60)) < 0.2 for _ in range(60)]
    exact = [1] * 60
    for layer in layers:
        exact = [sum(itertools.compress(exact, row)) for row in layer.tolist()]
    found = propagation.path_counts(layers)
    assert found.total == sum(exact) > 2**200
    assert found.log10_total == pytest.approx(math.log10(sum(exact)), rel=1e-12)
    np.testing.assert_allclose(found.forward[-1], [math.log10(count) for count in exact], rtol=1e-12)


def test_paths_of_a_convolution_and_of_a_masked_network() -> None:
    net = mask_(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 4, 2)), 0.5, rng=17)
    conv, linear = (mask.numpy() for mask in masks.masks(net).values())
    taps, places = conv.sum(axis=(2, 3)), linear.reshape(2, 3, 4).sum(axis=2)
    assert propagation.path_counts(net).total == int((places @ taps).sum())
    zeros = mlp([3, 4, 2])
    with torch.no_grad():
        zeros[0].weight[1:] = 0
    assert propagation.path_counts(zeros).total == 3 * 1 * 2


# ---------------------------------------------------------------- diagnosis


def healthy(rng: int = 0) -> nn.Module:
    return init.in_degree_(mask_(mlp([30, 60, 60, 60, 10], torch.float32), 0.3, rng=rng), rng=rng)


def test_diagnosis_measures_what_is_there() -> None:
    net = healthy()
    x = np.random.default_rng(18).standard_normal((40, 30))
    before = state(net)
    net.train()
    d = sf.propagation.diagnose(net, x)
    assert net.training
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())
    table = d.layers
    assert len(table) == 4
    for i, (mask, h) in enumerate(zip(masks.masks(net).values(), pre_activations(net, x), strict=True)):
        row, there = table.iloc[i], mask.numpy()
        assert (row["inputs"], row["outputs"]) == (there.shape[1], there.shape[0])
        assert row["weights"] == there.sum()
        assert row["density"] == pytest.approx(there.mean())
        fan_in, fan_out = there.sum(axis=1), there.sum(axis=0)
        assert (row["fan_in_min"], row["fan_in_max"]) == (fan_in.min(), fan_in.max())
        assert row["fan_in_mean"] == pytest.approx(fan_in.mean())
        assert (row["fan_out_min"], row["fan_out_max"]) == (fan_out.min(), fan_out.max())
        assert row["dead_inputs"] == (fan_out == 0).sum()
        assert row["dead_outputs"] == (fan_in == 0).sum()
        assert row["variance"] == pytest.approx((h**2).mean(), rel=1e-5)
        kurt = ((h**4).mean(axis=1) / (h**2).mean(axis=1) ** 2).mean()
        assert row["kurtosis"] == pytest.approx(kurt, rel=1e-5)
        unit = h / np.linalg.norm(h, axis=1, keepdims=True)
        cosines = (unit @ unit.T)[np.triu_indices(len(h), 1)]
        assert row["correlation"] == pytest.approx(cosines.mean(), rel=1e-5)
        assert row["dead_share"] == pytest.approx((h == 0).mean(), abs=1e-12)
    layers = [mask.numpy().astype(object) for mask in masks.masks(net).values()]
    product: Any = np.ones(30, dtype=object)
    for layer in layers:
        product = layer.astype(int).astype(object) @ product
    assert d.paths == int(product.sum())
    assert len(d.singular_values) == 10
    candidates = [np.linalg.svd(jacobian(net, row), compute_uv=False) for row in x]
    assert min(np.abs(values - d.singular_values).max() for values in candidates) < 1e-4
    assert 0.8 < d.probability_of_learning <= 1
    assert d.verdict.startswith("Likely to learn")


def test_prediction_covers_what_is_measured() -> None:
    """5% to 95% over 32 redraws should hold about 0.88 of fresh networks, in every measure."""
    inside: dict[str, list[bool]] = {"variance": [], "kurtosis": [], "correlation": []}
    for r in range(40):
        net = init.in_degree_(mask_(mlp([30] * 6, torch.float32), 0.25, rng=r), rng=r)
        row = sf.propagation.diagnose(net, rng=r).layers.iloc[-1]
        for name, found in inside.items():
            found.append(bool(row[f"{name}_5%"] <= row[name] <= row[f"{name}_95%"]))
    for name, found in inside.items():
        assert abs(np.mean(found) - 0.88) < 4 * math.sqrt(0.88 * 0.12 / 40), name


def doomed(density: float = 0.017) -> nn.Module:
    net = mask_(mlp([100, *[100] * 20, 10], torch.float32), density, rng=19)
    return init.in_degree_(net, rng=0)


def test_a_doomed_network_is_named_and_its_mend_mends() -> None:
    d = sf.propagation.diagnose(doomed())
    assert d.probability_of_learning < 0.05
    assert "mean fan-in" in d.verdict
    assert "critical" in d.verdict
    layer = re.search(r"[Ll]ayer '(\d+)'", d.verdict)
    assert layer
    assert layer.group(1) in masks.layers(doomed())
    better = re.search(r"raise its density to ([0-9.]+)", d.verdict)
    assert better
    mended = sf.propagation.diagnose(doomed(float(better.group(1))))
    assert mended.probability_of_learning > 0.5
    critical = mlp([100, *[100] * 20, 10], torch.float32)
    sf.sparsify(critical, 0.2, layout="critical", rng=0)
    assert sf.propagation.diagnose(init.typical_(critical, rng=0)).probability_of_learning > 0.8


def as_torch_starts(density: float) -> nn.Module:
    """Forty layers of width 128 with the weights and biases that torch starts from, thinned."""
    draws = torch.Generator().manual_seed(20)
    net = mlp([128] * 41 + [10])
    with torch.no_grad():
        for layer in masks.layers(net).values():
            bound = 1 / math.sqrt(layer.in_features)
            layer.weight.uniform_(-bound, bound, generator=draws)
            layer.bias.uniform_(-bound, bound, generator=draws)
    return mask_(net, density, rng=20)


@pytest.mark.parametrize("density", [0.02, 0.042, 0.08, 0.2])
@pytest.mark.parametrize("start", ["torch", "in_degree_"])
def test_verdicts_say_what_is_true(density: float, start: str) -> None:
    """A density to raise to is above the one there is; no path ends in silence if the Jacobian is not 0.

    Weights that are too small for a sparse layer are mended by other weights: the verdict names an initialiser where
    one makes the same masks likely to learn.
    """
    net = as_torch_starts(density)
    if start != "torch":
        getattr(init, start)(net, rng=0)
    x = np.random.default_rng(20).standard_normal((16, 128))
    d = sf.propagation.diagnose(net, x, redraws=4)
    own = dict(zip(d.layers["layer"].astype(str), d.layers["density"], strict=True))
    for name, to in re.findall(r"[Ll]ayer '(\d+)' has mean fan-in .*?raise its density to ([\d.]*\d)", d.verdict):
        assert float(to) > own[name], d.verdict
    if jacobian(net, x[0]).any():
        assert "every path ends" not in d.verdict, d.verdict
    if start == "torch" and d.probability_of_learning < 0.5:
        mended = sf.propagation.diagnose(init.in_degree_(net, rng=0), x, redraws=0)
        if mended.probability_of_learning > 0.9:
            assert "init." in d.verdict, d.verdict


def test_collapse_and_disconnection_are_seen() -> None:
    net = healthy()
    mask = next(itertools.islice(masks.masks(net).values(), 2, 3)).clone()
    masks.write_mask_(net[4], torch.zeros_like(mask))
    d = sf.propagation.diagnose(net)
    assert d.paths == 0
    assert d.probability_of_learning < 0.01
    assert "'4'" in d.verdict
    assert d.layers["dead_outputs"].iloc[2] == 60
    assert d.layers["disconnected"].tolist() == [60, 60, 60, 10]
    np.testing.assert_allclose(d.singular_values, 0)


# ---------------------------------------------------------------- time


def rest() -> None:
    """Skip where other work would be timed as well."""
    if os.getloadavg()[0] > 2:
        pytest.skip(f"the machine is busy (load {os.getloadavg()[0]:.1f}): a time says nothing now")


@pytest.mark.slow
@pytest.mark.parametrize("density", [1.0, 0.02])
@pytest.mark.parametrize("name", INITIALISERS)
def test_ten_million_weights_in_five_seconds(name: str, density: float) -> None:
    rest()
    net = mlp([1000] * 11, torch.float32)
    if density < 1:
        mirrored_mask_(net, density)
    start = time.process_time()
    getattr(init, name)(net, rng=0)
    assert time.process_time() - start <= 5


@pytest.mark.slow
def test_diagnosis_of_fifty_layers_in_two_seconds() -> None:
    rest()
    net = init.in_degree_(mask_(mlp([*[512] * 50, 10], torch.float32), 0.01, rng=0), rng=0)
    sf.propagation.diagnose(mlp([8, 8, 8], torch.float32))  # what is imported late
    start = time.process_time()
    d = sf.propagation.diagnose(net)
    assert time.process_time() - start <= 2
    assert len(d.layers) == 50
