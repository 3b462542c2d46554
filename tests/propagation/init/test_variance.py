"""Oracles: the masks themselves, moments of the three laws of weights, and signals sent through real networks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, weight_norm

import sparsefire as sf
from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.init import in_degree_, signs_, typical_

FOURTH = {"normal": 3.0, "uniform": 1.8, "sign": 1.0}


def plain(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """Linear, convolutional and other layers."""
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(128, 40), nn.ReLU(), nn.Linear(40, 5),
    ).to(dtype)  # fmt: skip


def mlp(width: int, depth: int, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    parts = [part for _ in range(depth) for part in (nn.Linear(width, width, dtype=dtype), nn.ReLU())]
    return nn.Sequential(*parts[:-1])


def masked(mask: Tensor, dtype: torch.dtype = torch.float64) -> nn.Linear:
    layer = nn.Linear(mask.shape[1], mask.shape[0], dtype=dtype)
    masks.attach_(layer, mask)
    return layer


def state(net: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def unchanged(net: nn.Module, before: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def log_sizes(net: nn.Module, width: int, rng: int, inputs: int = 1) -> float:
    """Mean over random inputs of log of the mean square at the output over that at the input."""
    x = torch.randn(inputs, width, dtype=torch.float64, generator=torch.Generator().manual_seed(10_000 + rng))
    with torch.no_grad():
        return float((net(x).square().mean(1) / x.square().mean(1)).log().mean())


@pytest.mark.parametrize("weights", ["normal", "uniform", "sign"])
def test_variance_is_that_of_the_in_degree_of_each_unit(weights: str) -> None:
    degrees = torch.tensor([0, 1, 2, 5, 17, 60]).repeat_interleave(400)
    mask = torch.arange(60) < degrees[:, None]
    layer = masked(mask[:, torch.randperm(60, generator=torch.Generator().manual_seed(0))])
    assert in_degree_(layer, gain=1.3, weights=weights, rng=1) is layer
    weight = layer.weight.detach()
    for degree in (1, 2, 5, 17, 60):
        kept = weight[degrees == degree][masks.mask_of(layer).mask[degrees == degree]]
        scaled = kept * math.sqrt(degree) / 1.3
        assert len(kept) == 400 * degree
        assert abs(scaled.mean()) < 4 / math.sqrt(len(kept))
        spread = math.sqrt(max(FOURTH[weights] - 1, 1e-20) / len(kept))
        assert abs(scaled.square().mean() - 1) < 4 * spread
        if weights == "sign":
            assert scaled.abs().sub(1).abs().max() < 1e-12
        if weights == "uniform":
            assert scaled.abs().max() < math.sqrt(3)
    assert not weight[degrees == 0].any()
    assert not weight[~masks.mask_of(layer).mask].any()
    assert not layer.bias.any()


def test_the_fourth_moment_tells_the_laws_apart() -> None:
    for weights, moment in FOURTH.items():
        weight = in_degree_(nn.Linear(300, 300, dtype=torch.float64), gain=1.0, weights=weights, rng=2).weight.detach()
        ratio = weight.pow(4).mean() / weight.square().mean() ** 2
        assert ratio.item() == pytest.approx(moment, abs=0.15)


def test_in_degrees_of_convolutions_count_taps_and_groups() -> None:
    net = signs_(plain(), gain=1.0, rng=0)
    for position, fan_in in ((0, 18), (3, 36), (6, 128), (8, 40)):
        torch.testing.assert_close(net[position].weight.abs(), torch.full_like(net[position].weight, fan_in**-0.5))
    net = plain()
    sf.sparsify(net, 0.3, rng=0)
    signs_(net, gain="tanh", rng=0)
    for layer in masks.layers(net).values():
        mask = masks.mask_of(layer).mask
        expected = 5 / 3 * mask.flatten(1).sum(1).double().clamp(min=1).rsqrt().float()
        torch.testing.assert_close(layer.weight.abs(), mask * expected.reshape(-1, *[1] * (mask.ndim - 1)))


def test_the_first_gain_keeps_the_mean_square_behind_a_relu() -> None:
    """Given mask and input, relu(h)² has mean s/2 and variance 5/4 s², s = 2 Σ m x² / k."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(20_000, 50, generator=generator) < 0.2
    x = torch.randn(50, dtype=torch.float64, generator=generator)
    layer = in_degree_(masked(mask), rng=3)
    s = 2 * (mask * x.square()).sum(1) / mask.sum(1).clamp(min=1)
    with torch.no_grad():
        got = layer(x).relu().square().sum()
    assert abs(got - s.sum() / 2) < 4 * (1.25 * s.square().sum()).sqrt()


def test_signs_are_fair_and_independent() -> None:
    signs = signs_(nn.Linear(400, 400), rng=0).weight.sign()
    assert abs(signs.sum()) < 4 * 400
    assert abs((signs[:, :-1] * signs[:, 1:]).sum()) < 4 * 400
    assert abs((signs[:-1] * signs[1:]).sum()) < 4 * 400


@pytest.mark.parametrize("initialiser", [in_degree_, signs_, typical_])
def test_only_rng_decides(initialiser: Any) -> None:
    def drawn(rng: Any) -> list[Tensor]:
        net = plain()
        sf.sparsify(net, 0.5, rng=0)
        return [layer.weight.detach().clone() for layer in masks.layers(initialiser(net, rng=rng)).values()]

    first = drawn(7)
    torch.rand(1)
    np.random.random()  # noqa: NPY002
    assert all(map(torch.equal, first, drawn(7)))
    assert not any(map(torch.equal, first, drawn(8)))
    assert not any(map(torch.equal, first, drawn(None)))
    net = mlp(5, 2)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[2]  # noqa: NPY002
    initialiser(net)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.random.get_state()[2] == numpy_state  # noqa: NPY002
    assert not torch.equal(net[0].weight, net[2].weight)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("initialiser", [in_degree_, signs_, typical_])
def test_type_masks_and_parameters_stay(initialiser: Any, dtype: torch.dtype) -> None:
    net = plain(dtype)
    sf.sparsify(net, 0.3, rng=0)
    parameters = dict(net.named_parameters())
    before = {name: mask.clone() for name, mask in masks.masks(net).items()}
    norm = state(net[1])
    initialiser(net, rng=0)
    assert all(parameter is parameters[name] for name, parameter in net.named_parameters())
    assert unchanged(net[1], norm)
    for name, layer in masks.layers(net).items():
        assert layer.weight.dtype == dtype
        assert torch.equal(masks.masks(net)[name], before[name])
        assert not layer.weight[~before[name]].any()
        assert layer.weight[before[name]].all()
        assert not layer.bias.any()
    if dtype == torch.float64:
        assert (net[6].weight.float().double() != net[6].weight).any()


@pytest.mark.parametrize("initialiser", [in_degree_, signs_, typical_])
def test_products_and_their_optimizer(initialiser: Any) -> None:
    net, twin = plain(), plain()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
    sf.sparsify(net, 0.1, "sign-in", optimizer=optimizer, steps=40, rng=0)
    sf.sparsify(twin, 0.1, rng=0)
    initialiser(net, rng=3)
    initialiser(twin, rng=3)
    for name, layer in masks.layers(net).items():
        torch.testing.assert_close(layer.weight, masks.layers(twin)[name].weight)
    net(torch.ones(1, 2, 4, 4).expand(3, -1, -1, -1)).square().mean().backward()
    optimizer.step()
    for name, layer in masks.layers(net).items():
        assert not layer.weight[~masks.masks(net)[name]].any()


# --- the typical signal ----------------------------------------------------------------------------------------------


def sizes(initialiser: Any, width: int, depth: int, density: float | None, nets: int, **options: Any) -> np.ndarray:
    found = []
    for number in range(nets):
        net = mlp(width, depth)
        if density is not None:
            sf.sparsify(net, density, layout="uniform", rng=number)
        initialiser(net, rng=number, **options)
        found.append(log_sizes(net, width, number, inputs=64 if options.get("realised") else 1))
    return np.array(found)


def median_error(values: np.ndarray) -> float:
    return 1.2533 * values.std() / math.sqrt(len(values))


def test_typical_keeps_the_median_of_narrow_dense_networks() -> None:
    he, typical = (sizes(initialiser, 20, 30, None, 80) for initialiser in (in_degree_, typical_))
    assert np.median(he) < -4 * median_error(he)
    assert abs(np.median(typical)) < 4 * median_error(typical)
    # The same draws but for the gains: E log R of the χ² mixture (29 ReLU layers; the last gain is another matter).
    assert (typical - he).std() < 1e-3


@pytest.mark.parametrize("weights", ["normal", "sign"])
def test_typical_keeps_the_median_of_few_weights_per_unit(weights: str) -> None:
    plainly = sizes(in_degree_, 20, 20, 0.25, 60, weights=weights)
    typical = sizes(typical_, 20, 20, 0.25, 60, weights=weights)
    assert np.median(plainly) < -4 * median_error(plainly)
    assert abs(np.median(typical)) < 4 * median_error(typical)


@pytest.mark.slow
@pytest.mark.parametrize(("weights", "shrinks"), [("normal", True), ("sign", False)])
def test_typical_keeps_the_median_of_two_hundred_sparse_networks(weights: str, shrinks: bool) -> None:
    typical = sizes(typical_, 128, 30, 0.05, 200, weights=weights)
    assert abs(np.median(typical)) < 4 * median_error(typical)
    if shrinks:
        plainly = sizes(in_degree_, 128, 30, 0.05, 200, weights=weights)
        assert np.median(plainly) < -4 * median_error(plainly)


def test_realised_keeps_this_very_network() -> None:
    """Over 64 fresh inputs each; what remains is the spread between inputs, far below that between networks."""
    realised = sizes(typical_, 64, 20, 0.2, 30, realised=True)
    assert abs(realised.mean()) < 4 * realised.std() / math.sqrt(len(realised))
    assert realised.std() < 0.5 * sizes(typical_, 64, 20, 0.2, 30).std()


def test_convolutions_keep_a_flat_signal() -> None:
    """Circular padding and an input that is the same everywhere: what the gains are made for."""
    values = []
    for number in range(49):
        parts = [(nn.Conv1d(16, 16, 3, padding=1, padding_mode="circular"), nn.ReLU()) for _ in range(15)]
        net = nn.Sequential(*[part for pair in parts for part in pair][:-1]).double()
        sf.sparsify(net, 0.3, layout="uniform", rng=number)
        typical_(net, rng=number)
        x = torch.randn(16, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(number)).expand(16, 4)
        with torch.no_grad():
            values.append(float((net(x).square().mean() / x.square().mean()).log()))
    assert abs(np.mean(values)) < 4 * np.std(values) / 7


# --- wrong use -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda net: in_degree_(net, gain=0), "positive"),
        (lambda net: in_degree_(net, gain=True), "positive"),
        (lambda net: in_degree_(net, gain="loud"), "positive"),
        (lambda net: signs_(net, gain=math.inf), "positive"),
        (lambda net: in_degree_(net, weights="cauchy"), "normal, uniform, sign"),
        (lambda net: typical_(net, weights="uniform"), "normal, sign"),
        (lambda net: typical_(net, activation="tanh"), "leaky"),
        (lambda net: typical_(net, activation=2.0), "leaky"),
        (lambda net: typical_(net, activation=True), "leaky"),
    ],
)
def test_wrong_arguments_write_nothing(call: Any, words: str) -> None:
    net = plain()
    before = state(net)
    with pytest.raises(UserError, match=words):
        call(net)
    assert unchanged(net, before)


@pytest.mark.parametrize("initialiser", [in_degree_, signs_, typical_])
@pytest.mark.parametrize("change", [parametrizations.weight_norm, weight_norm, "prune"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_weight_made_from_others_is_named(initialiser: Any, change: Any) -> None:
    net = plain()
    if change == "prune":
        prune.l1_unstructured(net[8], "weight", 0.5)
    else:
        change(net[8])
    before = state(net)
    with pytest.raises(UserError, match="layer '8'"):
        initialiser(net)
    assert unchanged(net, before)


def test_typical_names_a_shared_weight_and_a_layer_that_nothing_passes() -> None:
    net = mlp(6, 3)
    net[4].weight = net[0].weight
    with pytest.raises(UserError, match="layer '4' shares its weight with layer '0'"):
        typical_(net)
    net = mlp(6, 3)
    masks.attach_(net[2], torch.zeros(6, 6, dtype=torch.bool))
    before = state(net)
    with pytest.raises(UserError, match="no signal passes layer '2'"):
        typical_(net)
    assert unchanged(net, before)
    with pytest.raises(UserError, match="works on a torch network"):
        typical_("net")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no linear or convolutional layer"):
        typical_(nn.ReLU())
