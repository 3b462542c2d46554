"""Oracles: the formulas in plain NumPy, finite differences, networks that are critical by construction."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.critical import critical_masks
from sparsefire.propagation.init.variance import in_degree_
from sparsefire.propagation.penalties import PARTS, growth_scores, penalty, penalty_parts
from sparsefire.sparsity.parameterisation.product import Product


@pytest.fixture(autouse=True)
def _same_networks() -> None:
    torch.manual_seed(0)


def value(tensor: torch.Tensor) -> float:
    return tensor.item()


def mlp(widths: list[int], density: float = 1.0, rng: int = 0) -> nn.Sequential:
    generator = torch.Generator().manual_seed(rng)
    modules: list[nn.Module] = []
    for before, after in pairwise(widths):
        linear = nn.Linear(before, after, dtype=torch.float64)
        masks.write_weight_(linear, torch.randn(after, before, generator=generator, dtype=torch.float64))
        if density < 1:
            masks.attach_(linear, torch.rand(after, before, generator=generator) < density)
        modules += [linear, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


def convolutional() -> nn.Sequential:
    generator = torch.Generator().manual_seed(3)
    net = nn.Sequential(
        nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Conv1d(4, 6, 2, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 3, 5)
    ).double()
    for layer in masks.layers(net).values():
        masks.attach_(layer, torch.rand(layer.weight.shape, generator=generator) < 0.7)
    return net


def product() -> nn.Sequential:
    net = mlp([3, 4, 3], rng=1)
    for layer in (net[0], net[2]):
        mask = torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(2)) < 0.8
        masks.attach_(layer, Product(mask, layer.weight))
    return net


def by_numpy(matrices: list[np.ndarray], gain: float) -> dict[str, float]:
    """The parts for [out, in] matrices of squares."""
    flow = np.ones(matrices[0].shape[1])
    flows = [flow := s @ flow / gain for s in matrices]
    means = [1.0] + [f.mean() for f in flows]
    balance = [
        (((s.sum(1) / s.sum(1).mean()) - (t.sum(0) / t.sum(0).mean())) ** 2).mean() for s, t in pairwise(matrices)
    ]
    return {
        "branching": np.mean([math.log(s.sum(1).mean() / gain) ** 2 for s in matrices]),
        "paths": np.mean([math.log(b / a) ** 2 for a, b in pairwise(means)]),
        "participation": np.mean([math.log(len(f) * (f**2).sum() / f.sum() ** 2) for f in flows]),
        "balance": np.mean(balance) if balance else 0.0,
    }


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 8), min_size=2, max_size=6), st.sampled_from([0.7, 1.0]), st.integers(0, 10**6))
def test_parts_are_their_formulas_and_never_below_zero(widths: list[int], density: float, rng: int) -> None:
    net = mlp(widths, density, rng)
    parts = {name: value(part) for name, part in penalty_parts(net, gain=math.sqrt(1.5)).items()}
    assert tuple(parts) == PARTS
    assert min(parts.values()) >= -1e-9
    matrices = [layer.weight.detach().numpy() ** 2 for layer in masks.layers(net).values()]
    flow = np.ones(widths[0])
    if all((flow := matrix @ flow).any() for matrix in matrices):
        assert parts == pytest.approx(by_numpy(matrices, 1.5), rel=1e-6, abs=1e-9)
    whole = penalty(net, branching=2.0, participation=0.5, balance=3.0, paths=0.1, gain=math.sqrt(1.5))
    weights = {"branching": 2.0, "participation": 0.5, "balance": 3.0, "paths": 0.1}
    assert value(whole) == pytest.approx(sum(weights[name] * parts[name] for name in PARTS), rel=1e-9)


def test_gains_are_those_of_torch() -> None:
    """A gain is one of amplitudes: parts that are functions of squares know its square."""
    net = mlp([4, 5, 3], rng=2)
    squares = [layer.weight.detach().numpy() ** 2 for layer in masks.layers(net).values()]
    for gain in ("relu", "linear", "tanh", "leaky_relu", 1.3):
        number = torch.nn.init.calculate_gain(gain) if isinstance(gain, str) else gain
        wanted = by_numpy(squares, number**2)
        assert {n: value(p) for n, p in penalty_parts(net, gain=gain).items()} == pytest.approx(wanted, rel=1e-9)
        assert value(penalty(net, gain=gain)) == pytest.approx(sum(wanted.values()) - wanted["paths"], rel=1e-9)
    assert value(penalty(net)) == value(penalty(net, gain="relu"))
    at_relu, at_number = growth_scores(net, gain="relu"), growth_scores(net, gain=math.sqrt(2.0))
    assert all(torch.equal(score, at_number[name]) for name, score in at_relu.items())
    in_degree_(net, gain=1.3, weights="sign", rng=0)
    assert value(penalty_parts(net, gain=1.3)["branching"]) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("inside", [True, False])
def test_autocast_changes_nothing(inside: bool) -> None:
    net, same = mlp([6, 8, 8, 4], 0.6).float(), mlp([6, 8, 8, 4], 0.6).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = penalty(net, paths=0.5)
        parts, scores = penalty_parts(net), growth_scores(net)
        if inside:
            loss.backward()
    if not inside:
        loss.backward()
    wanted = penalty(same, paths=0.5)
    wanted.backward()
    assert loss.dtype == torch.float32
    assert value(loss) == value(wanted)
    assert {n: value(p) for n, p in parts.items()} == {n: value(p) for n, p in penalty_parts(same).items()}
    for name, score in growth_scores(same).items():
        assert torch.equal(score, scores[name])
    for (_, one), (_, other) in zip(net.named_parameters(), same.named_parameters(), strict=True):
        assert (one.grad is None and other.grad is None) or torch.equal(one.grad, other.grad)


def test_channels_taps_groups_and_places() -> None:
    net = convolutional()
    first, second, last = (layer.weight.detach().numpy() ** 2 for layer in masks.layers(net).values())
    groups = np.zeros((6, 4))
    groups[:3, :2], groups[3:, 2:] = second[:3].sum(2), second[3:].sum(2)
    squares = [first.sum(2), groups, last.reshape(5, 6, 3).sum(2)]
    assert {n: value(p) for n, p in penalty_parts(net).items()} == pytest.approx(by_numpy(squares, 2.0), rel=1e-9)


@pytest.mark.parametrize("make", [lambda: mlp([3, 5, 4, 2], 0.7), lambda: mlp([4, 4]), convolutional, product])
@pytest.mark.parametrize("part", [*PARTS, "all"])
def test_gradients_are_finite_differences(make: Callable[[], nn.Module], part: str) -> None:
    net = make()
    names, values = zip(*((n, p.detach()) for n, p in net.named_parameters() if "bias" not in n), strict=True)

    class Loss(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self) -> torch.Tensor:
            return penalty(self.net, paths=0.7) if part == "all" else penalty_parts(self.net)[part]

    loss = Loss()

    def of(*given: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(
            loss, {f"net.{name}": tensor for name, tensor in zip(names, given, strict=True)}, ()
        )

    inputs = tuple(tensor.clone().requires_grad_() for tensor in values)
    assert torch.autograd.gradcheck(of, inputs, eps=1e-6, atol=1e-6)
    if part == "all":
        assert torch.autograd.gradgradcheck(of, inputs, eps=1e-6, atol=1e-5)


def test_critical_balanced_networks_have_none() -> None:
    shapes = [(24, 24)] * 4
    drawn = critical_masks(shapes, 1 / 3, extinction=0.3, rng=0)  # 8 in and 8 out of 24 everywhere
    net = mlp([24] * 5)
    for layer, mask in zip(masks.layers(net).values(), drawn.values(), strict=True):
        sign = layer.weight.detach().sign()
        masks.attach_(layer, torch.from_numpy(mask))
        masks.write_weight_(layer, sign * math.sqrt(2 / 8))
    for part in penalty_parts(net).values():
        assert abs(value(part)) < 1e-9
    loss = penalty(net, paths=1.0)
    loss.backward()
    assert max(value(p.grad.abs().max()) for n, p in net.named_parameters() if p.grad is not None) < 1e-6
    with torch.no_grad():
        net[2].parametrizations.weight.original.mul_(3.0)  # one layer of four, in squares 9 times too strong
    assert value(penalty_parts(net)["branching"]) == pytest.approx(math.log(9) ** 2 / 4)
    assert abs(value(penalty_parts(net)["balance"])) < 1e-9  # shares of a layer do not change with its scale


def test_one_path_is_as_localised_as_can_be() -> None:
    net = mlp([6, 6, 6])
    for layer in (net[0], net[2]):
        masks.write_weight_(layer, torch.zeros(6, 6).index_put_((torch.tensor(2), torch.tensor(2)), torch.tensor(2.0)))
    assert value(penalty_parts(net)["participation"]) == pytest.approx(math.log(6))


def test_dead_layers_stay_finite_and_are_no_way_out() -> None:
    net = mlp([5, 5, 5, 5])
    with torch.no_grad():
        net[2].weight.zero_()
    loss = penalty(net, paths=1.0)
    loss.backward()
    assert math.isfinite(value(loss))
    assert value(loss) > value(penalty(mlp([5, 5, 5, 5]), paths=1.0))
    assert value(penalty_parts(net)["participation"]) > 2 / 3 * math.log(5) - 1e-9  # log n in two of three layers
    assert all(torch.isfinite(p.grad).all() for n, p in net.named_parameters() if "weight" in n)
    assert all(torch.isfinite(s[s > -math.inf]).all() for s in growth_scores(net).values())


def test_gradient_steps_lead_to_criticality() -> None:
    net = mlp([20, 20, 20, 20], 0.2, rng=5)
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    start = {name: value(part) for name, part in penalty_parts(net).items()}
    for _ in range(300):
        optimizer.zero_grad()
        penalty(net).backward()
        optimizer.step()
    end = {name: value(part) for name, part in penalty_parts(net).items()}
    assert end["branching"] < 1e-2 < start["branching"]
    assert end["participation"] < 0.5 * start["participation"]
    assert end["balance"] < 0.5 * start["balance"]
    assert all(not layer.weight[~masks.mask_of(layer).mask].any() for layer in masks.layers(net).values())


@pytest.mark.parametrize("make", [lambda: mlp([4, 5, 3], 0.5, 1), convolutional])
def test_growth_scores_are_what_a_small_weight_does(make: Callable[[], nn.Module]) -> None:
    net = make()
    before, step = value(penalty(net)), 1e-7
    scores = growth_scores(net)
    for name, layer in masks.layers(net).items():
        mask = masks.mask_of(layer).mask
        assert torch.equal(scores[name] == -math.inf, mask)
        for place in (~mask).nonzero().tolist():
            grown = copy.deepcopy(net)
            target = masks.layers(grown)[name]
            more = mask.clone()
            more[tuple(place)] = True
            masks.write_mask_(target, more)
            weight = target.weight.detach().clone()
            weight[tuple(place)] = math.sqrt(step)
            masks.write_weight_(target, weight)
            lowered = before - value(penalty(grown))
            assert value(scores[name][tuple(place)]) == pytest.approx(lowered / step, rel=1e-3, abs=1e-5)


def test_growth_scores_are_zero_where_nothing_is_asked_for() -> None:
    one, two = mlp([3, 2], 0.5, 1), mlp([3, 4, 2], 0.5, 1)
    nothing = {"branching": 0.0, "participation": 0.0, "balance": 0.0}
    for net, wanted in ((one, {**nothing, "balance": 1.0}), (one, nothing), (two, nothing)):
        scores = growth_scores(net, **wanted)
        for name, layer in masks.layers(net).items():
            mask = masks.mask_of(layer).mask
            assert (scores[name][mask] == -math.inf).all()
            assert not mask.all()
            assert (scores[name][~mask] == 0).all()
    with torch.no_grad():
        two[0].parametrizations.weight.original.zero_()
        two[2].parametrizations.weight.original.zero_()
    for score in growth_scores(two).values():
        assert not score.isnan().any()


def test_growth_joins_the_starved_unit_first() -> None:
    net = mlp([8, 8, 8])
    mask = torch.ones(8, 8, dtype=torch.bool)
    mask[3] = False
    mask[3, 0] = True
    mask[5, 6] = False
    with torch.no_grad():
        for layer in (net[0], net[2]):
            layer.weight.fill_(0.5)
    masks.attach_(net[0], mask)
    scores = growth_scores(net)
    assert int(scores["0"].argmax()) // 8 == 3
    assert (scores["2"] == -math.inf).all()  # nothing is missing
    assert all(p.grad is None for p in net.parameters())


def test_layers_that_do_not_fit_start_anew() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(3, 5)

    net = Branches()
    alone = [penalty_parts(layer) for layer in (net.a, net.b)]
    parts = penalty_parts(net)
    assert value(parts["balance"]) == 0.0
    for name in ("branching", "paths", "participation"):
        assert value(parts[name]) == pytest.approx(value((alone[0][name] + alone[1][name]) / 2), rel=1e-5)


def test_dtype_and_what_is_refused() -> None:
    assert penalty(nn.Linear(3, 3)).dtype == torch.float32
    half = nn.Linear(3, 3).half()
    assert value(penalty(half)) == pytest.approx(value(penalty(copy.deepcopy(half).float())), rel=1e-6)
    penalty(half).backward()
    assert half.weight.grad.dtype == torch.float16
    with pytest.raises(UserError, match="balance is out of range"):
        penalty(nn.Linear(3, 3), balance=-1.0)
    for call in (penalty, penalty_parts, growth_scores):
        for gain in (0, -1.0, True, "loud", None):
            with pytest.raises(UserError, match="gain is a positive number"):
                call(nn.Linear(3, 3), gain=gain)
    with pytest.raises(UserError, match="no linear or convolutional layer"):
        penalty(nn.ReLU())
    with pytest.raises(UserError, match="works on a torch network"):
        penalty(42)
