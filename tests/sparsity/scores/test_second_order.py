"""Oracles: least squares over every subset of inputs, solved by NumPy; independent unfolding for convolutions."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.patterns import choose
from sparsefire.sparsity.prune import prune
from sparsefire.sparsity.scores import second_order
from sparsefire.sparsity.scores.second_order import best_weights, compensate_, curvatures, obc, removal_losses
from sparsefire.sparsity.setting import Setting


def setting(net: nn.Module, x: Tensor) -> Setting:
    return Setting(net, data=(x, torch.zeros(len(x))), loss=nn.MSELoss(), rng=0)


def problem(units: int, inputs: int, entropy: int = 0) -> tuple[Tensor, Tensor]:
    """Return weights and an ill-conditioned curvature of inputs that go together."""
    generator = torch.Generator().manual_seed(entropy)
    x = torch.randn(3 * inputs, inputs, generator=generator, dtype=torch.float64)
    x = x + 2 * x[:, :1]
    weight = torch.randn(units, inputs, generator=generator, dtype=torch.float64)
    return weight, 2 * x.T @ x / len(x) + 0.01 * torch.eye(inputs, dtype=torch.float64)


def constrained(weight: np.ndarray, curvature: np.ndarray, kept: list[int]) -> tuple[float, np.ndarray]:
    """Return the least ½ (w' − w)ᵀ H (w' − w) with zeros outside the inputs kept, and where it is."""
    root = np.linalg.cholesky(curvature).T
    best = np.zeros_like(weight)
    if kept:
        best[kept] = np.linalg.lstsq(root[:, kept], root @ weight, rcond=None)[0]
    return 0.5 * float(np.sum((root @ (best - weight)) ** 2)), best


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 7))
def test_every_step_is_the_best_of_all(entropy: int, inputs: int) -> None:
    """At each step the input whose absence costs least, all others solved anew, goes; its score is the largest cost."""
    weight, curvature = problem(2, inputs, entropy)
    found = removal_losses(weight, torch.ones_like(weight, dtype=torch.bool), curvature)
    for w, score in zip(weight.numpy(), found.numpy(), strict=True):
        kept, cost, level = list(range(inputs)), 0.0, 0.0
        for q in np.argsort(score, kind="stable"):
            costs = {one: constrained(w, curvature.numpy(), [k for k in kept if k != one])[0] for one in kept}
            assert costs[q] == pytest.approx(min(costs.values()), rel=1e-7)
            level = max(level, costs[q] - cost)
            assert score[q] == pytest.approx(level, rel=1e-6)
            cost = costs[q]
            kept.remove(q)
        assert (np.diff(np.sort(score)) > 0).all()


def test_the_first_removal_is_the_formula_of_the_surgeon() -> None:
    weight, curvature = problem(3, 12)
    inverse = torch.linalg.inv(curvature)
    expected = (weight.square() / (2 * inverse.diagonal())).min(1)
    found = removal_losses(weight, torch.ones_like(weight, dtype=torch.bool), curvature).min(1)
    assert found.indices.tolist() == expected.indices.tolist()
    torch.testing.assert_close(found.values, expected.values)
    for row, q in enumerate(expected.indices.tolist()):
        kept = torch.ones(3, 12, dtype=torch.bool)
        kept[row, q] = False
        step = weight[row] - weight[row, q] * inverse[:, q] / inverse[q, q]
        torch.testing.assert_close(best_weights(weight, kept, curvature)[row], step)


def test_units_are_merged_as_by_a_heap() -> None:
    """Next losses of all units in a heap, the least goes: the order of the scores."""
    weight, curvature = problem(4, 6, 3)
    found = removal_losses(weight, torch.ones_like(weight, dtype=torch.bool), curvature)
    kept, cost, order = [list(range(6)) for _ in range(4)], [0.0] * 4, []
    for _ in range(24):
        options = {
            (row, one): constrained(weight[row].numpy(), curvature.numpy(), [k for k in kept[row] if k != one])[0]
            for row in range(4)
            for one in kept[row]
        }
        following = {row: min((options[row, one], one) for one in kept[row]) for row in range(4) if kept[row]}
        row = min(following, key=lambda row: following[row][0] - cost[row])
        cost[row], one = following[row]
        kept[row].remove(one)
        order.append(row * 6 + one)
    assert found.flatten().argsort(stable=True).tolist() == order


def test_absent_weights_go_first_and_cost_nothing() -> None:
    weight, curvature = problem(2, 6)
    present = torch.tensor([[1, 0, 1, 1, 0, 1], [1, 1, 1, 1, 1, 1]]).bool()
    weight = weight * present
    found = removal_losses(weight, present, curvature)
    some = [0, 2, 3, 5]
    alone = removal_losses(weight[:1, some], present[:1, some], curvature[some][:, some])
    torch.testing.assert_close(found[:1, some], alone)
    assert float(found[0, [1, 4]].max()) < 1e-300


def test_blocks_are_exact_where_inputs_of_different_blocks_are_independent() -> None:
    weight, first = problem(3, 4, 1)
    _, second = problem(3, 4, 2)
    curvature = torch.block_diag(first, second)
    everywhere = torch.ones(3, 8, dtype=torch.bool)
    in_blocks = removal_losses(torch.cat([weight, weight], 1), everywhere, curvature, block=4)
    whole = removal_losses(torch.cat([weight, weight], 1), everywhere, curvature, block=8)
    for row in range(3):
        merged = in_blocks[row].argsort(stable=True).tolist()
        assert merged == whole[row].argsort(stable=True).tolist()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_kept_weights_solve_least_squares_for_every_subset(entropy: int, inputs: int) -> None:
    weight, curvature = problem(1, inputs, entropy)
    subsets = list(itertools.product([False, True], repeat=inputs))
    found = best_weights(weight.expand(len(subsets), -1), torch.tensor(subsets), curvature)
    for got, subset in zip(found.numpy(), subsets, strict=True):
        _, expected = constrained(weight[0].numpy(), curvature.numpy(), [at for at in range(inputs) if subset[at]])
        np.testing.assert_allclose(got, expected, atol=1e-8)


def test_sweeps_over_blocks_lead_to_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, curvature = problem(5, 40)
    kept = torch.rand(5, 40, generator=torch.Generator().manual_seed(0)) < 0.5
    whole = best_weights(weight, kept, curvature)
    monkeypatch.setattr(second_order, "SOLVED", 3)
    monkeypatch.setattr(second_order, "BLOCK", 16)
    monkeypatch.setattr(second_order, "SWEEPS", 2000)
    torch.testing.assert_close(best_weights(weight, kept, curvature), whole, rtol=1e-5, atol=1e-6)


def test_rows_in_parts_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    weight, curvature = problem(7, 9)
    kept = torch.rand(7, 9, generator=torch.Generator().manual_seed(0)) < 0.5
    one = best_weights(weight, kept, curvature), removal_losses(weight, kept, curvature)
    monkeypatch.setattr(second_order.passes, "CHUNK", 100)
    other = best_weights(weight, kept, curvature), removal_losses(weight, kept, curvature)
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("chunk", [1, 1 << 22])
def test_curvature_of_a_linear_layer(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_order.passes, "CHUNK", chunk)
    x = torch.randn(9, 4)
    plain = 2 * x.double().T @ x.double() / 9
    expected = plain + 0.01 * plain.diagonal().mean() * torch.eye(4).double()
    torch.testing.assert_close(curvatures(setting(nn.Linear(4, 2), x))[""][0], expected)


def test_a_convolution_is_a_linear_layer_of_its_unfolded_inputs() -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False), torch.randn(5, 4, 7, 7)
    found = obc(setting(conv, x), 0)[""]
    before = conv.weight.detach().clone()
    (kept,) = choose([found], 0.3, "uniform", "unstructured")
    compensate_(setting(conv, x), {"": kept})
    unfolded = nn.functional.unfold(x, 3, padding=1, stride=2).mT.reshape(-1, 36)
    for group in range(2):
        units, columns = slice(3 * group, 3 * group + 3), slice(18 * group, 18 * group + 18)
        linear = nn.Linear(18, 3, bias=False)
        linear.weight.data.copy_(before[units].flatten(1))
        inputs = unfolded[:, columns]
        scores = obc(setting(linear, inputs), 0)[""] * len(inputs) / len(x)  # a mean over examples, not places
        torch.testing.assert_close(found[units].flatten(1), scores)
        compensate_(setting(linear, inputs), {"": kept[units].flatten(1)})
        torch.testing.assert_close(conv.weight[units].flatten(1), linear.weight)


def test_compensation_keeps_the_mask_and_lowers_the_error_of_every_layer() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 8))
    x = torch.randn(100, 12) @ torch.randn(12, 12)
    hidden = torch.relu(net[0](x)).detach()
    for module in masks.layers(net).values():
        masks.attach_(module, torch.ones_like(module.weight, dtype=torch.bool))
    scores = obc(setting(net, x), 0)
    kept = dict(zip(scores, choose(list(scores.values()), 0.3, "uniform", "unstructured"), strict=True))
    before = {name: module.weight.detach().clone() for name, module in masks.layers(net).items()}
    compensate_(setting(net, x), kept)
    for (name, module), given_ in zip(masks.layers(net).items(), (x, hidden), strict=True):
        assert torch.equal(module.weight != 0, kept[name])
        cut, solved = (
            float((given_ @ (w - before[name]).T).square().sum())
            for w in (before[name] * kept[name], module.weight.detach())
        )
        assert solved < 0.7 * cut


@pytest.mark.parametrize("method", ["static", "sign-in"])
def test_pruning_solves_what_stays(method: str) -> None:
    torch.manual_seed(0)
    net, x = nn.Linear(12, 7), torch.randn(60, 12) @ torch.randn(12, 12)
    sparsify(net, 1.0, method, "uniform", torch.optim.SGD(net.parameters(), 0.1), steps=10, rng=0)
    weight, curvature = net.weight.detach().double(), curvatures(setting(net, x))[""][0]
    (kept,) = choose([obc(setting(net, x), 0)[""]], 0.4, "uniform", "unstructured")
    prune(replace(setting(net, x), score="obc", layout="uniform"), 0.4)
    assert torch.equal(masks.masks(net)[""], kept)
    for row in range(7):
        _, best = constrained(weight[row].numpy(), curvature.numpy(), kept[row].nonzero().flatten().tolist())
        np.testing.assert_allclose(net.weight[row].detach().numpy(), best, atol=2e-5)


def test_the_order_of_the_surgeon_beats_magnitude() -> None:
    torch.manual_seed(0)
    net, x = nn.Linear(30, 20), torch.randn(200, 30) @ torch.randn(30, 30)
    weight = net.weight.detach().clone()
    errors = {}
    for name, scores in {"obc": obc(setting(net, x), 0)[""], "magnitude": weight.abs()}.items():
        (kept,) = choose([scores], 0.3, "uniform", "unstructured")
        compensate_(setting(net, x), {"": kept})
        errors[name] = (x @ (net.weight - weight).T).square().sum().item()
        net.weight.data.copy_(weight)
    assert errors["obc"] < 0.7 * errors["magnitude"]


def test_inputs_that_are_always_zero_cost_next_to_nothing() -> None:
    torch.manual_seed(0)
    x = torch.randn(50, 6)
    x[:, 2] = 0.0
    found = obc(setting(nn.Linear(6, 4), x), 0)[""]
    assert float(found[:, 2].max()) < float(found.median())
    silent = obc(setting(nn.Linear(6, 4), torch.zeros(5, 6)), 0)[""]
    assert bool(silent.isfinite().all())
    assert float(silent.max()) < 1e-90
    net = nn.Linear(6, 4)
    before = net.weight.detach().clone()
    kept = torch.rand(4, 6) < 0.5
    compensate_(setting(net, torch.zeros(5, 6)), {"": kept})
    torch.testing.assert_close(net.weight, before * kept)
