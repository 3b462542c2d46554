"""Chains of layers and neurons: the same as by hand, in pieces of time, with state, masks and hooks."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sparsefire.errors import UserError
from sparsefire.masks import attach_
from sparsefire.spiking import LI, LIF, STDP, Bernoulli, Escape, Plastic, Recurrent, Sequential, detach


def network() -> Sequential:
    torch.manual_seed(0)
    return Sequential(nn.Linear(6, 8), LIF(8, 5e-3, r=5.0), nn.Dropout(0.0), nn.Linear(8, 4), LI(4))


def test_as_by_hand() -> None:
    net = network()
    x = torch.rand(20, 3, 6)
    found, state = net(x)
    first, one = net[1](torch.stack([net[0](part) for part in x]))
    second, two = net[4](torch.stack([net[3](part) for part in first]))
    assert torch.allclose(found, second, atol=1e-6)
    assert first.sum() > 0
    assert torch.equal(state[0].v, one.v)
    assert torch.allclose(state[1].v, two.v, atol=1e-6)


@given(cut=st.integers(0, 20))
@settings(max_examples=10, deadline=None)
def test_time_in_pieces(cut: int) -> None:
    net = network().double()
    x = torch.rand(20, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    whole, _ = net(x)
    one, state = net(x[:cut])
    two, _ = net(x[cut:], state)
    assert torch.allclose(torch.cat([one, two]), whole, atol=1e-12)


def test_chains_in_chains() -> None:
    net = network()
    nested = Sequential(Sequential(net[0], net[1]), net[2], Sequential(net[3], net[4]))
    x = torch.rand(20, 3, 6)
    whole, _ = net(x)
    one, state = nested(x[:7])
    two, _ = nested(x[7:], state)
    assert torch.allclose(torch.cat([one, two]), whole, atol=1e-6)


def test_images() -> None:
    net = Sequential(nn.Conv2d(1, 3, 3), LIF((3, 4, 4)), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2), LIF(2))
    spikes, state = net(torch.rand(5, 2, 1, 6, 6) * 20)
    assert spikes.shape == (5, 2, 2)
    assert [tuple(part.v.shape) for part in state] == [(2, 3, 4, 4), (2, 2)]


@pytest.mark.parametrize("masked", [False, True])
def test_indexed_and_dense_are_the_same(masked: bool) -> None:
    torch.manual_seed(0)
    net = Sequential(nn.Linear(300, 64), LIF(64, 5e-3), nn.Linear(64, 5), LIF(5, 5e-3)).double()
    with torch.no_grad():
        net[0].weight.mul_(40)
        net[2].weight.mul_(40)
    if masked:
        attach_(net[0], torch.rand(64, 300) < 0.5)
        attach_(net[2], torch.rand(5, 64) < 0.5)
    x = (torch.rand(40, 8, 300) < 0.03).double()
    dense = copy.deepcopy(net)
    dense.indexed = False
    results = []
    for each in (net, dense):
        spikes, _ = each(x)
        spikes.sum().backward()
        results.append((spikes.detach(), [part.grad for part in each.parameters()]))
    assert results[0][0].sum() > 10
    assert torch.equal(results[0][0], results[1][0])
    for a, b in zip(results[0][1], results[1][1], strict=True):
        assert torch.allclose(a, b, atol=1e-10)


def test_indexing_is_used_and_hooks_are_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    from sparsefire.spiking import indexed

    calls = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    original = indexed._Indexed.apply
    monkeypatch.setattr(indexed._Indexed, "apply", lambda *a: calls.append("indexed") or original(*a))
    net = Sequential(nn.Linear(300, 64))
    x = (torch.rand(40, 8, 300) < 0.03).float()
    net(x)
    assert calls == ["indexed"]
    net(torch.rand(40, 8, 300))
    net((torch.rand(40, 8, 300) < 0.5).float())
    net(x * 0.5)
    assert calls == ["indexed"]
    net[0].register_forward_hook(lambda *_: calls.append("heard"))
    net(x)
    assert calls == ["indexed", "heard"]


def test_plastic_layers_are_indexed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from sparsefire.spiking import STDP, Plastic, indexed

    calls = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    original = indexed._Indexed.apply
    monkeypatch.setattr(indexed._Indexed, "apply", lambda *a: calls.append("indexed") or original(*a))
    plastic = Plastic(nn.Linear(300, 64), STDP())
    net, x = Sequential(plastic), (torch.rand(40, 8, 300) < 0.03).float()
    found, _ = net(x)
    assert calls == ["indexed"]
    assert torch.allclose(found, plastic(x), atol=1e-5)
    plastic.register_forward_hook(lambda *_: calls.append("heard"))
    net(x)
    assert calls == ["indexed", "heard"]


def test_all_steps_are_of_one_length() -> None:
    with pytest.raises(UserError, match="share their steps"):
        Sequential(LIF(3, dt=1e-3), nn.Linear(3, 3), LIF(3, dt=2e-3))


def test_functional_call_and_vmap() -> None:
    net = network().double()
    x = torch.rand(10, 2, 6, dtype=torch.float64)
    weights = {name: part.detach() for name, part in net.named_parameters()}

    def loss(values: dict[str, torch.Tensor], given: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(net, values, (given,))[0].square().sum()

    slopes = torch.func.grad(loss)(weights, x)
    net(x)[0].square().sum().backward()
    for name, part in net.named_parameters():
        assert torch.allclose(slopes[name], part.grad)
    each = torch.func.vmap(loss, in_dims=(None, 0))(weights, torch.stack([x, x / 2]))
    assert each[0] == pytest.approx(float(loss(weights, x)))


def test_two_layers_must_not_draw_the_same() -> None:
    def layer(rng: object) -> LIF:
        return LIF(3, escape=Escape(), rng=rng)

    with pytest.raises(UserError, match="same noise"):
        Sequential(nn.Linear(3, 3), layer(0), nn.Linear(3, 3), layer(0))
    Sequential(nn.Linear(3, 3), layer(0), nn.Linear(3, 3), layer(1), Bernoulli(3))


def test_bad_input() -> None:
    net = network()
    _, state = net(torch.rand(5, 2, 6))
    for bad in (torch.rand(5, 6), torch.rand(6), None, torch.randint(0, 2, (5, 2, 6))):
        with pytest.raises(UserError):
            net(bad)
    for wrong in (state[:1], (*state, state[0]), 3):
        with pytest.raises(UserError, match="another network"):
            net(torch.rand(5, 2, 6), wrong)
    with pytest.raises(UserError, match="another batch"):
        net(torch.rand(5, 3, 6), state)


def test_back_propagation_in_pieces_stops_at_a_cut() -> None:
    torch.manual_seed(0)
    net = Sequential(nn.Linear(3, 8), Recurrent(LIF(8, r=20.0)), nn.Linear(8, 2), LI(2))
    x = torch.rand(10, 4, 3)
    first = x.clone().requires_grad_()
    _, state = net(first)
    cut = detach(state)
    out, _ = net(x, cut)
    out.sum().backward()
    assert first.grad is None
    assert torch.equal(out, net(x, state)[0])
    assert type(cut[0]) is type(state[0])


def test_plasticity_rules_share_the_steps_of_the_neurons() -> None:
    with pytest.raises(UserError, match="share their steps"):
        Sequential(Plastic(nn.Linear(3, 2), STDP(dt=1e-4)), LIF(2, dt=1e-3))
    Sequential(Plastic(nn.Linear(3, 2), STDP(dt=1e-4)), LIF(2, dt=1e-4))


def test_something_called_stdp_is_no_rule() -> None:
    part = nn.Identity()
    part.stdp = "x"
    Sequential(nn.Linear(3, 2), part, LIF(2))
