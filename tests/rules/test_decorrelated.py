"""Oracles: autograd for one layer, the update written out again for several, correlations of correlated data."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from small_rules import flat, generator, normal, same_weights, squared  # noqa: F401
from torch import Tensor, nn

from sparsefire.errors import UserError
from sparsefire.rules.decorrelated import Decorrelate, DecorrelatedNodePerturbation, with_decorrelation
from sparsefire.rules.directions import draw
from sparsefire.rules.node_perturbation import NodePerturbation
from sparsefire.sparsity import sparsify


def small() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 2)).double()


def correlations(values: Tensor) -> float:
    moments = values.T @ values / len(values)
    scale = moments.diagonal().rsqrt()
    return float((moments * scale[:, None] * scale - torch.eye(len(moments))).abs().mean())


def test_a_prepared_network_computes_the_same_with_the_same_layers() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 2), nn.Flatten(), nn.Sequential(nn.Linear(9, 4), nn.ReLU()), nn.Linear(4, 2))
    prepared, x = with_decorrelation(net.eval()), torch.randn(5, 2, 4, generator=generator())
    torch.testing.assert_close(prepared(x), net(x))
    assert prepared[2][1] is net[2][0]
    assert not prepared.training
    assert [name for name, module in prepared.named_modules() if isinstance(module, Decorrelate)] == [
        "2.decorrelate_0", "decorrelate_3",
    ]  # fmt: skip
    assert list(prepared.parameters()) == list(net.parameters())
    assert set(net.state_dict()) < set(prepared.state_dict())
    again = with_decorrelation(prepared)
    assert len(list(again.modules())) == len(list(prepared.modules()))


@pytest.mark.parametrize("law", ["rademacher", "normal"])
def test_one_layer_follows_the_gradient(law: str) -> None:
    net = with_decorrelation(nn.Sequential(nn.Linear(3, 4)).double())
    x, y = normal(6, 3), normal(6, 4, number=1)
    squared(net(x), y).mean().backward()
    gradient, found = flat(net).clone(), []
    rule = DecorrelatedNodePerturbation(1e-6, rate=0, law=law, rng=generator(2))
    for _ in range(1500):
        net.zero_grad()
        rule(net, squared, x, y)
        found.append(flat(net).clone())
    draws = torch.stack(found)
    score = (draws.mean(0) - gradient) / (draws.std(0) / math.sqrt(len(draws)))
    assert float(score.abs().max()) < 4
    # N (g·v) v / |v|² has E|·|² = N |g|² for each example, whatever the law
    if law == "normal":
        deltas = (net(x) - y).detach() / 6
        spread = (deltas.square().sum(1) * 4 * (1 + x.square().sum(1))).sum()
        spread -= (deltas.square().sum(1) * (1 + x.square().sum(1))).sum()
        assert float((draws - gradient).square().sum(1).mean()) == pytest.approx(float(spread), rel=0.1)


def test_signs_on_one_layer_are_plain_node_perturbation() -> None:
    x, y = normal(6, 3), normal(6, 4, number=1)
    net = with_decorrelation(nn.Sequential(nn.Linear(3, 4)).double())
    DecorrelatedNodePerturbation(1e-2, rate=0, law="rademacher", rng=generator(3))(net, squared, x, y)
    found = flat(net).clone()
    net.zero_grad()
    NodePerturbation(1e-2, sided="one", rng=generator(3))(net, squared, x, y)
    torch.testing.assert_close(flat(net), found, rtol=1e-9, atol=1e-12)


def test_several_layers_take_the_change_that_really_happened() -> None:
    net, scale, rate = with_decorrelation(small()), 0.1, 0.02
    net.decorrelate_0.R.copy_(normal(3, 3, number=7))
    net.decorrelate_2.R.copy_(normal(4, 4, number=8))
    x, y = normal(6, 3), normal(6, 2, number=1)
    first, second, turns = net[1], net[4], [net.decorrelate_0.R.clone(), net.decorrelate_2.R.clone()]
    noise = scale * draw("normal", 6, 6, generator(5), torch.float64)
    with torch.no_grad():
        white = x @ turns[0].T
        a = first(white)
        hidden = torch.relu(a) @ turns[1].T
        out = second(hidden)
        a_moved = a + noise[:, :4]
        out_moved = second(torch.relu(a_moved) @ turns[1].T) + noise[:, 4:]
        change = torch.cat([a_moved - a, out_moved - out], dim=1)
        gain = squared(out_moved, y) - squared(out, y)
        delta = 6 * gain[:, None] * change / change.square().sum(1, keepdim=True) / 6
        expected = [delta[:, :4].T @ white, delta[:, :4].sum(0), delta[:, 4:].T @ hidden, delta[:, 4:].sum(0)]
    loss = DecorrelatedNodePerturbation(scale, rate, rng=generator(5))(net, squared, x, y)
    for parameter, slope in zip(net.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, slope, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(loss, squared(out, y).mean())
    for layer, before, inputs in ((net.decorrelate_0, turns[0], white), (net.decorrelate_2, turns[1], hidden)):
        moments = sum(torch.outer(row, row) - torch.diag(row**2) for row in inputs) / 6
        torch.testing.assert_close(layer.R, before - rate * moments @ before)


def test_correlated_inputs_become_uncorrelated() -> None:
    mixing = normal(8, 8, number=3) / 2 + torch.eye(8, dtype=torch.float64)
    x = normal(400, 8, number=4) @ mixing
    net = with_decorrelation(nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 2)).double())
    rule, before = DecorrelatedNodePerturbation(rate=0.02, rng=0), correlations(x)
    history = []
    for _ in range(400):
        rule(net, squared, x, torch.zeros(400, 2, dtype=torch.float64))
        history.append(correlations(net.decorrelate_0(x)))
    assert before > 0.2
    assert history[-1] < 0.05 * before
    assert history[50] < 0.7 * before
    hidden = torch.tanh(net[1](net[0](x))).detach()
    assert correlations(net.decorrelate_2(hidden)) < 0.3 * correlations(hidden)


def test_masks_biases_and_frozen_layers() -> None:
    plain = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2))
    sparsify(plain, 0.4, rng=0)
    plain[2].requires_grad_(False)
    net = with_decorrelation(plain)
    DecorrelatedNodePerturbation(rng=0)(net, squared, normal(20, 6).float(), torch.ones(20, 2))
    own = plain[0].parametrizations.weight
    assert not own.original.grad[~own[0].mask].any()
    assert own.original.grad.any()
    assert plain[0].bias.grad.any()
    assert plain[2].bias.grad is None


def test_the_budget_states_and_generators() -> None:
    net = with_decorrelation(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2)))
    twin, x, seen = copy.deepcopy(net), torch.randn(5, 3, generator=generator()), []
    hook = net.register_forward_hook(lambda *_: seen.append(1))
    rule = DecorrelatedNodePerturbation(rate=0, rng=0)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(3)
        loss = rule(net, squared, x, torch.zeros(5, 2))
        after = torch.get_rng_state()
        torch.random.default_generator.manual_seed(3)
        torch.testing.assert_close(loss, squared(twin(x), torch.zeros(5, 2)).mean().detach())
        assert torch.equal(torch.get_rng_state(), after)
    for a, b in zip(net.buffers(), twin.buffers(), strict=True):
        assert torch.equal(a, b)
    assert (rule.budget.samples, rule.budget.queries) == (5, 10)
    assert rule.budget.forward_passes == len(seen) + 1 == 4
    assert rule.budget.random_bits == 32 * 5 * (4 + 4 + 2)
    hook.remove()
    state, found = copy.deepcopy(rule.state_dict()), []
    net.eval()
    for again in (rule, DecorrelatedNodePerturbation(rate=0, rng=9)):
        again.load_state_dict(state)
        net.zero_grad()
        again(net, squared, x, torch.zeros(5, 2))
        found.append(flat(net).clone())
    assert torch.equal(*found)


def test_both_passes_share_the_dropout_mask() -> None:
    net = with_decorrelation(nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 4)).double())
    x, y, found = normal(6, 3), normal(6, 4, number=1), []
    for rule in (
        DecorrelatedNodePerturbation(1e-2, rate=0, law="rademacher", rng=3),
        NodePerturbation(1e-2, sided="one", rng=3),
    ):
        net.zero_grad()
        torch.random.default_generator.manual_seed(5)
        rule(net, squared, x, y)
        found.append(flat(net).clone())
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("when", [0, 1])
def test_losses_that_are_no_numbers_leave_everything_as_it_was(when: int) -> None:
    net, count = with_decorrelation(small()), iter(range(9))
    before = {name: value.clone() for name, value in net.state_dict().items()}

    def loss_fn(output: Tensor, y: Tensor) -> Tensor:
        return squared(output, y) * (float("nan") if next(count) == when else 1.0)

    with pytest.raises(UserError, match="not a number at call 1"):
        DecorrelatedNodePerturbation(rng=0)(net, loss_fn, normal(7, 3), normal(7, 2))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())
    assert not any(module._forward_hooks for module in net.modules())


def test_a_matrix_that_diverges_is_told_before_anything_changes() -> None:
    net = with_decorrelation(small())
    with pytest.raises(UserError, match=r"decorrelation of layer 'decorrelate_0' diverges at call 1"):
        DecorrelatedNodePerturbation(rate=1e308, rng=0)(net, squared, 1e3 * normal(7, 3), normal(7, 2))
    assert torch.equal(net.decorrelate_0.R, torch.eye(3).double())
    assert all(p.grad is None for p in net.parameters())


def test_what_cannot_be_served_is_refused() -> None:
    with pytest.raises(UserError, match="needs a network with decorrelated inputs"):
        DecorrelatedNodePerturbation(rng=0)(small(), squared, normal(7, 3), normal(7, 2))
    with pytest.raises(UserError, match="needs a chain"):
        with_decorrelation(nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no input to decorrelate"):
        with_decorrelation(nn.Sequential(nn.Conv1d(1, 1, 1)))
    with pytest.raises(UserError, match="one loss per row"):
        DecorrelatedNodePerturbation(rng=0)(
            with_decorrelation(small()), lambda out, y: squared(out, y).mean(), normal(7, 3), normal(7, 2)
        )


@pytest.mark.parametrize(
    ("options", "message"), [({"scale": 0}, "size"), ({"rate": -1.0}, "rate"), ({"law": "cauchy"}, "no law")]
)
def test_options_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DecorrelatedNodePerturbation(**options)
