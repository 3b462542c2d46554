"""Oracles: one move written out by hand, the cosine of the paper, and autograd of a plain dense twin."""

from __future__ import annotations

import math

import pytest
import torch
from small_training import network
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation import growth_scores
from sparsefire.sparsity import recipe, sparsify
from sparsefire.sparsity.setting import Setting
from sparsefire.sparsity.topology.moving import RigL


def by_hand(share: float = 1.0, steps: int = 8) -> tuple[nn.Linear, RigL, torch.optim.Optimizer]:
    """Four inputs, two outputs, four weights; moves every second step until step 6."""
    net = nn.Linear(4, 2, bias=False)
    masks.write_weight_(net, torch.tensor([[1.0, -4.0, 9.0, 9.0], [9.0, 9.0, 2.0, -3.0]]))
    masks.attach_(net, torch.tensor([[True, True, False, False], [False, False, True, True]]))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0, momentum=0.9)
    masks.keep_zero(net, optimizer)
    return net, RigL(Setting(net, optimizer=optimizer, steps=steps), share=share, every=2), optimizer


def give(net: nn.Linear, optimizer: torch.optim.Optimizer, topology: RigL, gradient: list[list[float]]) -> None:
    """One step whose loss has the gradient given at every weight: sum(gradient * weight)."""
    (net.weight * torch.tensor(gradient)).sum().backward()
    optimizer.step()
    topology.step()
    optimizer.zero_grad()


def test_one_move_by_hand() -> None:
    net, topology, optimizer = by_hand()
    give(net, optimizer, topology, [[1.0] * 4] * 2)
    # Step 2: f = 1/2 (1 + cos(2π/6)) = 0.75, k = round(0.75 · 4) = 3: 1, 2 and −3 leave, −4 stays.
    # Absent then: all but (0, 1). Largest |g|: 8 at (1, 0), 7 at (0, 0) which has just left, 6 at (1, 3) likewise.
    give(net, optimizer, topology, [[-7.0, 99.0, 1.0, 2.0], [8.0, 3.0, 5.0, -6.0]])
    assert net.weight.tolist() == [[0.0, -4.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    assert masks.masks(net)[""].int().tolist() == [[1, 1, 0, 0], [1, 0, 0, 1]]
    moment = optimizer.state[net.parametrizations.weight.original]["momentum_buffer"]
    torch.testing.assert_close(moment, torch.tensor([[0.0, 99.9, 0.0, 0.0], [0.0] * 4]))  # what came back forgot


def test_ties_go_to_the_earlier_position() -> None:
    net, topology, optimizer = by_hand(share=1 / 3)
    masks.write_weight_(net, torch.tensor([[2.0, -2.0, 0.0, 0.0], [0.0, 0.0, 2.0, -2.0]]))
    give(net, optimizer, topology, [[1.0] * 4] * 2)
    give(net, optimizer, topology, [[1.0] * 4] * 2)  # k = round(0.25 · 4) = 1
    assert net.weight.tolist() == [[2.0, -2.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]]  # among equals the last one leaves
    assert masks.masks(net)[""].int().tolist() == [[1, 1, 1, 0], [0, 0, 1, 0]]  # and the first one comes


@pytest.mark.parametrize("step", [1, 50, 100, 150, 299])
def test_the_number_moved_follows_the_cosine(step: int) -> None:
    net = nn.Linear(100, 50)
    topology = sparsify(net, 0.1, "rigl", optimizer=torch.optim.SGD(net.parameters(), lr=0.1), steps=400, rng=0)
    assert topology.last == 300
    topology.every, topology.steps_done = step, step - 1
    before = masks.masks(net)[""].clone()
    # Large gradients where nothing is, so that no weight that leaves comes back at once.
    gradient = torch.where(before, 0.0, torch.rand(before.shape, generator=torch.Generator().manual_seed(0)) + 1)
    net.parametrizations.weight.original.grad = gradient
    topology.step()
    after = masks.masks(net)[""]
    expected = round(0.3 / 2 * (1 + math.cos(math.pi * step / 300)) * 500)
    assert int((before & ~after).sum()) == expected
    assert int((after & ~before).sum()) == expected
    assert int(after.sum()) == 500


def test_masks_rest_after_the_end() -> None:
    net, topology, optimizer = by_hand()
    for _ in range(6):
        give(net, optimizer, topology, [[1.0, 2.0, 3.0, 4.0]] * 2)
    before = masks.masks(net)[""].clone()
    for _ in range(6):
        assert not masks.mask_of(net).dense_gradient
        give(net, optimizer, topology, [[5.0, 6.0, 7.0, 8.0]] * 2)
    assert torch.equal(masks.masks(net)[""], before)


def test_dense_gradients_come_only_when_asked_for_and_equal_autograd_of_the_dense_twin() -> None:
    net, twin = network(), network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    topology = sparsify(net, 0.3, "rigl", optimizer=optimizer, steps=40, rng=0)
    topology.every = 5
    topology._ask_for_gradient()
    generator = torch.Generator().manual_seed(1)
    asked = []
    for step in range(1, 41):
        x, y = torch.randn(6, 1, 4, 4, generator=generator), torch.randint(0, 3, (6,), generator=generator)
        twin.load_state_dict(masks.dense_state_dict(net))
        twin.zero_grad()
        out, expected = net(x), twin(x)
        assert torch.equal(out, expected)  # asking changes no value
        nn.functional.cross_entropy(out, y).backward()
        nn.functional.cross_entropy(expected, y).backward()
        dense = step % 5 == 0 and step <= 30
        outside = 0.0
        for name, layer in masks.layers(net).items():
            mask, gradient = masks.masks(net)[name], layer.parametrizations.weight.original.grad
            plain: Tensor = twin.get_submodule(name).weight.grad
            torch.testing.assert_close(gradient, plain if dense else plain * mask)
            outside += float(gradient[~mask].abs().sum())
        assert (outside > 0) == dense
        asked.append(dense)
        optimizer.step(), topology.step(), optimizer.zero_grad()
    assert sum(asked) == 6


def test_each_layer_keeps_its_number_of_weights() -> None:
    net = network()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
    topology = sparsify(net, 0.3, "rigl", optimizer=optimizer, steps=40, rng=0)
    before = {name: mask.clone() for name, mask in masks.masks(net).items()}
    generator = torch.Generator().manual_seed(1)
    for _ in range(40):
        net(torch.randn(6, 1, 4, 4, generator=generator)).square().sum().backward()
        optimizer.step(), topology.step(), optimizer.zero_grad()
        assert {n: int(m.sum()) for n, m in masks.masks(net).items()} == {n: int(m.sum()) for n, m in before.items()}
    assert any(not torch.equal(before[name], mask) for name, mask in masks.masks(net).items())


def test_a_full_layer_is_left_alone() -> None:
    net = nn.Linear(3, 2, bias=False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    before = net.weight.detach().clone()
    topology = sparsify(net, 1.0, "rigl", optimizer=optimizer, steps=4)
    for _ in range(4):
        net(torch.ones(1, 3)).sum().backward()
        optimizer.step(), topology.step(), optimizer.zero_grad()
    assert torch.equal(net.weight, before)


def test_a_cleared_gradient_is_an_error_that_tells_the_order() -> None:
    _, topology, _ = by_hand()
    topology.step()
    with pytest.raises(UserError, match="no gradient") as caught:
        topology.step()
    assert "opt.step(); topology.step(); opt.zero_grad()" in caught.value.expected


def test_a_resumed_topology_asks_where_it_left_off() -> None:
    net, topology, _ = by_hand()
    assert not masks.mask_of(net).dense_gradient
    topology.load_state_dict({"steps_done": 1})
    assert masks.mask_of(net).dense_gradient
    topology.load_state_dict({"steps_done": 2})
    assert not masks.mask_of(net).dense_gradient


def test_weights_grow_where_a_score_of_ones_own_says() -> None:
    """The first move of a growth score of propagation, against the score itself."""
    net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    topology = sparsify(net, 0.3, recipe("set", growth=growth_scores, every=1), optimizer=optimizer, steps=10, rng=0)
    before = {name: mask.clone() for name, mask in masks.masks(net).items()}
    wanted = growth_scores(net)
    topology.step()
    moved = 0
    for name, mask in masks.masks(net).items():
        grown = mask & ~before[name]
        moved += int(grown.sum())
        assert mask.sum() == before[name].sum()
        if grown.any():
            left = ~mask & ~before[name]
            assert wanted[name][grown].min() >= wanted[name][left].max()
    assert moved > 10
