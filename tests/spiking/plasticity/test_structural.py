"""Oracle: masks before and after, entry by entry."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sparsefire import Wiring, masks
from sparsefire.errors import UserError
from sparsefire.spiking import LIF, STDP, Plastic, Sequential, StructuralPlasticity, constrain


def network() -> Sequential:
    torch.manual_seed(0)
    parts = [Plastic(nn.Linear(20, 10, bias=False), STDP(), w_min=0.0, w_max=1.0), LIF(10)]
    return Sequential(*parts, Plastic(nn.Linear(10, 5, bias=False), STDP()), LIF(5))


def test_weak_synapses_go_and_as_many_grow() -> None:
    net = network()
    rewiring = StructuralPlasticity(net, 0.2, every=3, share=0.25, w_new=0.3, rng=0, layout="uniform")
    for _ in range(4):
        layers = masks.masked(net)
        before = {name: (mask.clone(), layers[name].weight.detach().clone()) for name, mask in masks.masks(net).items()}
        assert [rewiring.step() for _ in range(2)] == [0, 0]
        assert rewiring.step() == 10 + round(0.25 * 10)
        for name, (mask, weight) in before.items():
            now, after = masks.masks(net)[name], masks.masked(net)[name].weight
            grown, gone = now & ~mask, mask & ~now
            assert int(now.sum()) == int(mask.sum())
            assert int(grown.sum()) == int(gone.sum()) == round(0.25 * int(mask.sum()))
            assert bool((after[grown] == 0.3).all())
            assert bool((after[~now] == 0).all())
            assert torch.equal(after[now & mask], weight[now & mask])
            assert float(weight[gone].abs().max()) <= float(weight[now & mask].abs().min())
    assert masks.density(net) == pytest.approx(0.2)


def test_learning_goes_on_with_the_density_exact() -> None:
    net = network()
    rewiring = StructuralPlasticity(net, 0.3, share=0.1, w_new=0.1, rng=1)
    number = {name: int(mask.sum()) for name, mask in masks.masks(net).items()}
    seen = torch.zeros(10, 20, dtype=torch.bool)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        x = (torch.rand(50, 2, 20, generator=generator) < 0.2).float()
        hidden, _ = Sequential(net[0], net[1])(10 * x)
        net[0].learn(x, hidden)
        rewiring.step()
        assert {name: int(mask.sum()) for name, mask in masks.masks(net).items()} == number
        mask = masks.masks(net[0].layer)[""]
        assert bool((net[0].layer.weight[~mask] == 0).all())
        seen |= mask
    assert int(seen.sum()) > number["0.layer"] * 2  # it explores


def test_growth_that_is_asked_for() -> None:
    layer = nn.Linear(6, 4, bias=False)
    wanted = torch.zeros(4, 6)
    wanted[2, 3] = wanted[0, 0] = 1.0
    rewiring = StructuralPlasticity(layer, 0.25, share=0.35, growth=lambda net: {"": wanted}, rng=3)
    before = masks.masks(layer)[""].clone()
    assert not bool(before[2, 3])
    assert rewiring.step() == 2
    assert bool(masks.masks(layer)[""][2, 3])


def test_it_resumes_and_depends_on_rng_alone() -> None:
    nets, found = [network() for _ in range(3)], []
    rewirings = [StructuralPlasticity(net, 0.2, share=0.3, rng=rng) for net, rng in zip(nets, (0, 0, 1), strict=True)]
    for rewiring, net in zip(rewirings, nets, strict=True):
        rewiring.step()
        rewiring.step()
        found.append(masks.masks(net)["0.layer"].clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    fresh = network()
    other = StructuralPlasticity(fresh, 0.2, share=0.3, rng=5)
    fresh.load_state_dict(nets[0].state_dict())
    other.load_state_dict(rewirings[0].state_dict())
    other.step()
    rewirings[0].step()
    assert torch.equal(masks.masks(fresh)["0.layer"], masks.masks(nets[0])["0.layer"])


def test_bad_input() -> None:
    for options, words in (
        ({"density": 0.0}, "density"), ({"density": 0.2, "every": 0}, "every"),
        ({"density": 0.2, "share": 2.0}, "share"),
        ({"density": 0.2, "w_new": float("nan")}, "w_new"), ({"density": 0.2, "layers": ["x"]}, "no layer"),
    ):  # fmt: skip
        net = network()
        with pytest.raises(UserError, match=words):
            StructuralPlasticity(net, **options)
        assert not masks.masks(net)


def test_it_goes_on_under_the_constraints_of_a_chip() -> None:
    net, free = network(), network()
    found = []
    for one in (net, free):
        rewiring = StructuralPlasticity(one, 0.3, share=0.2, w_new=0.3, rng=0)
        if one is net:
            constrain(net, weight_bits=None, mismatch=0.3, backward=False, rng=0)
        found.append(rewiring.step())
        assert abs(masks.density(one) - 0.3) < 0.01
    assert found[0] == found[1] > 0
    fresh = masks.stored_weight(net[0].layer) == 0.3
    assert int(fresh.sum()) == int((free[0].layer.weight == 0.3).sum()) > 0


def test_a_share_that_is_no_number() -> None:
    for bad in ("a", None, True):
        with pytest.raises(UserError, match="share"):
            StructuralPlasticity(network(), 0.2, share=bad)


def test_what_is_no_network() -> None:
    for bad in (Wiring.from_edges([0, 1], [1, 0]), "net", None):
        with pytest.raises(UserError, match="no network"):
            StructuralPlasticity(bad, 0.1)
