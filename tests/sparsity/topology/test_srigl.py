"""Oracles: moves on 4 × 4 layers written out by hand, plain loops, constant fan-in after every move."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from small_training import SIZE, bakes_to_what_it_computes, kept, network, resumes, step
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.recipes import Recipe
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.srigl import SRigL
from sparsefire.sparsity.whole_units import multiples

SRIGL = Recipe("srigl", "SRigL", "arXiv:2305.02299", pattern="fan-in", topology=SRigL)
FAN_IN_2 = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]], dtype=torch.bool)
WEIGHT = torch.tensor([[9.0, -8.0, 0.0, 0.0], [0.0, 7.0, 6.0, 0.0], [0.0, 0.0, 0.1, -0.2], [-5.0, 0.0, 0.0, 0.3]])


def by_hand(gamma: float) -> tuple[nn.Sequential, SRigL, torch.optim.Optimizer]:
    """A first layer of 4 × 4 with fan-in 2, and a full last one; half of the weights move at step 2."""
    net = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 1, bias=False))
    masks.write_weight_(net[0], WEIGHT)
    masks.attach_(net[0], FAN_IN_2)
    masks.attach_(net[1], torch.ones(1, 4, dtype=torch.bool))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)
    masks.keep_zero(net, optimizer)
    setting = Setting(net, optimizer=optimizer, steps=4)
    return net, SRigL(setting, gamma=gamma, share=0.5, every=2, end=1.0, cosine=False), optimizer


def give(net: nn.Sequential, optimizer: torch.optim.Optimizer, topology: SRigL, gradient: Tensor) -> None:
    ((net[0].weight * gradient).sum() + net[1].weight.sum()).backward()
    optimizer.step()
    topology.step()
    optimizer.zero_grad()


GRADIENT = torch.tensor(
    [[50.0, 50.0, 1.0, -2.0], [-30.0, 40.0, 40.0, 3.0], [4.0, 20.0, 50.0, 60.0], [70.0, 5.0, -25.0, 80.0]]
)


def test_a_move_without_ablation_by_hand() -> None:
    net, topology, optimizer = by_hand(gamma=0.0)
    give(net, optimizer, topology, GRADIENT)
    give(net, optimizer, topology, GRADIENT)
    # K = 4 of 8: 9, 8, 7, 6 stay. Row 0 and 1 have their two. Row 2 grows where 60 and 50 are, row 3 where 80 and 70.
    assert masks.masks(net)["0"].int().tolist() == [[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]]
    assert net[0].weight.tolist() == [[9, -8, 0, 0], [0, 7, 6, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    moment = optimizer.state[net[0].parametrizations.weight.original]["momentum_buffer"]
    assert not moment[2:].any()  # what left and came back has forgotten
    assert bool(moment[:2][FAN_IN_2[:2]].all())


def test_a_move_with_ablation_by_hand() -> None:
    net, topology, optimizer = by_hand(gamma=1.0)
    give(net, optimizer, topology, GRADIENT)
    give(net, optimizer, topology, GRADIENT)
    # Salient: 9, 8 (row 0), 7, 6 (row 1); of absent gradients the four largest: 30 (row 1), 25 (row 3), 20 (row 2) and
    # 5 (row 3). Rows 0 to 3 have 2, 3, 1 and 2 of the 2 they need: row 2 dies. Then 8 weights for 3 units, 8/3 → 3.
    # 9, 8, 7 and 6 stay; row 0 grows where 2 is, row 1 where 30, row 3 where 80, 70 and 25 are.
    assert masks.masks(net)["0"].int().tolist() == [[1, 1, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0], [1, 0, 1, 1]]
    assert net[0].weight.tolist() == [[9, -8, 0, 0], [0, 7, 6, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_a_unit_returns_when_its_gradients_are_salient() -> None:
    net, topology, optimizer = by_hand(gamma=1.0)
    give(net, optimizer, topology, GRADIENT)
    give(net, optimizer, topology, GRADIENT)
    assert not masks.masks(net)["0"][2].any()
    again = torch.zeros(4, 4)
    again[2] = torch.tensor([9.0, 8.0, 7.0, 6.0])
    give(net, optimizer, topology, again)
    give(net, optimizer, topology, again)
    # Salient: 9, 8, 7, 6 and all of row 2; row 3, all zero, dies.
    assert masks.masks(net)["0"].sum(1).tolist() == [3, 3, 3, 0]
    assert masks.masks(net)["0"][2].tolist() == [True, True, True, False]


def test_at_least_as_many_units_live_as_can_hold_the_weights() -> None:
    net, topology, optimizer = by_hand(gamma=1.0)
    loud = torch.zeros(4, 4)
    loud[0, 2:] = 9.0
    loud[1, 0] = 9.0
    masks.write_weight_(net[0], torch.where(FAN_IN_2, 1.0, 0.0) * torch.tensor([[4.0], [3.0], [2.0], [1.0]]))
    give(net, optimizer, topology, loud)
    give(net, optimizer, topology, loud)  # 8 weights fit into two units of four inputs
    assert masks.masks(net)["0"].sum(1).tolist() == [4, 4, 0, 0]


def test_the_last_layer_keeps_all_its_units() -> None:
    net = nn.Linear(4, 4, bias=False)
    masks.write_weight_(net, WEIGHT)
    masks.attach_(net, FAN_IN_2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    topology = SRigL(Setting(net, optimizer=optimizer, steps=2), gamma=1.0, share=0.5, every=1, cosine=False)
    (net.weight * GRADIENT).sum().backward()
    optimizer.step(), topology.step()
    assert masks.masks(net)[""].sum(1).tolist() == [2] * 4


def slow_move(
    weight: Tensor, mask: Tensor, gradient: Tensor, share: float, gamma: float, start: int, fan_in_of: Any
) -> Tensor:
    """One move of one layer that is not the last, in loops over sorted lists; the fan-in is that of so many units."""
    units, inputs = weight.shape
    cells = [(u, i) for u in range(units) for i in range(inputs)]
    moved = round(share * start)
    present = sorted((c for c in cells if mask[c]), key=lambda c: -abs(float(weight[c])))
    absent = sorted((c for c in cells if not mask[c]), key=lambda c: -abs(float(gradient[c])))
    salient = present[: start - moved] + absent[:moved]
    number = [sum(c[0] == u for c in salient) for u in range(units)]
    needed = max(1, math.floor(gamma * (start // units))) if gamma else 0
    live = [u for u in range(units) if number[u] >= needed]
    least = math.ceil(start / inputs)
    if len(live) < least:
        live = sorted(range(units), key=lambda u: -number[u])[:least]
    fan_in = fan_in_of(len(live))
    left = [c for c in present if c[0] in live][: start - moved]
    new = torch.zeros_like(mask)
    for u in live:
        stay = [c for c in left if c[0] == u][:fan_in]
        others = sorted((c for c in cells if c[0] == u and c not in stay), key=lambda c: -abs(float(gradient[c])))
        for c in stay + others[: fan_in - len(stay)]:
            new[c] = True
    return new


@pytest.mark.parametrize("rng", range(20))
@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.8])
def test_moves_equal_those_in_plain_loops(rng: int, gamma: float) -> None:
    generator = torch.Generator().manual_seed(rng)
    net = nn.Sequential(nn.Linear(9, 11, bias=False), nn.Linear(11, 2, bias=False))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    topology: Any = sparsify(net, 0.3, SRIGL, "uniform", optimizer=optimizer, steps=4, rng=rng)
    topology.gamma, topology.every, topology.last, topology.cosine = gamma, 1, 4, False
    start = topology.counts["0"]

    def fan_in_of(live: int) -> int:
        return multiples([start, topology.counts["1"]], [live, 2], [9, 11])[0]

    for _ in range(3):
        weight = torch.randn(11, 9, generator=generator) * torch.rand(11, 1, generator=generator) ** 3
        masks.write_weight_(net[0], weight)
        gradient = torch.randn(11, 9, generator=generator) * torch.rand(11, 1, generator=generator) ** 3
        mask = masks.masks(net)["0"].clone()
        net[0].parametrizations.weight.original.grad = gradient
        net[1].parametrizations.weight.original.grad = torch.zeros(2, 11)
        topology.step()
        moved = slow_move(weight, mask, gradient, 0.3, gamma, start, fan_in_of)
        assert torch.equal(masks.masks(net)["0"], moved)


def started(density: float, steps: int = 60, **options: Any) -> tuple:
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    recipe = Recipe("srigl", "", "", pattern="fan-in", topology=SRigL, options=options)
    return net, optimizer, sparsify(net, density, recipe, optimizer=optimizer, steps=steps, rng=0)


@pytest.mark.parametrize("density", [0.08, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.9])
def test_live_units_have_the_same_fan_in_and_the_number_of_weights_stays(density: float, gamma: float) -> None:
    net, optimizer, topology = started(density, gamma=gamma)
    total = sum(topology.counts.values())
    assert abs(total - density * SIZE) <= 1.5  # half of the smallest layer
    first = {name: mask.clone() for name, mask in masks.masks(net).items()}
    for number in range(60):
        step(net, optimizer, topology, number)
        live = {}
        for name, mask in masks.masks(net).items():
            fan_in = mask.flatten(1).sum(1)
            live[name] = int((fan_in > 0).sum())
            assert len(fan_in[fan_in > 0].unique()) == 1
            assert not bool(masks.layers(net)[name].weight[~mask].any())
        assert abs(kept(net) - total) <= max(live.values()) / 2
        assert live["5"] == 3
        assert gamma > 0 or live == {"0": 4, "3": 12, "5": 3}
    assert any(not torch.equal(first[name], mask) for name, mask in masks.masks(net).items()) == (density < 1)
    assert bakes_to_what_it_computes(net)


def test_many_units_die_when_much_must_be_salient() -> None:
    net, optimizer, topology = started(0.1, gamma=1.0)
    for number in range(60):
        step(net, optimizer, topology, number)
    assert int(masks.masks(net)["3"].any(1).sum()) < 12


@pytest.mark.parametrize("stop", [1, 20, 33])
def test_resumption_is_bit_for_bit(stop: int) -> None:
    assert resumes(lambda: started(0.2), stop, 60)


def test_bad_input() -> None:
    net = nn.Linear(4, 2)
    masks.attach_(net, torch.tensor([[True, True, False, False], [True, False, False, False]]))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(UserError, match="differ in fan-in"):
        SRigL(Setting(net, optimizer=optimizer, steps=10))
    for gamma in (-0.1, 1.1):
        with pytest.raises(UserError, match="share of the fan-in"):
            SRigL(Setting(net, optimizer=optimizer, steps=10), gamma=gamma)
    with pytest.raises(UserError, match="one weight for each unit"):
        started(0.01)
