"""Oracles: what a static mask means (plain torch twin with hand-multiplied masks), exact counts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import Topology, sparsify
from sparsefire.sparsity.prune import random_masks
from sparsefire.sparsity.setting import Setting, check_network, check_optimizer, check_scheduler, check_steps
from sparsefire.wiring import layer_counts


def test_a_static_topology_counts_and_never_moves() -> None:
    net = nn.Sequential(nn.Linear(6, 5))
    topology = sparsify(net, 0.3, rng=0)
    assert type(topology) is Topology
    assert topology.needs == frozenset()
    before = masks.masks(net)["0"].clone()
    for _ in range(7):
        topology.step()
    assert topology.state_dict() == {"steps_done": 7}
    assert torch.equal(masks.masks(net)["0"], before)
    other = Topology(Setting(net))
    other.load_state_dict(topology.state_dict())
    assert other.steps_done == 7


def test_a_static_training_equals_one_masked_by_hand() -> None:
    """Plain torch: multiply the weight by the mask before each forward pass, and again after each step."""
    net, twin = nn.Linear(6, 3), nn.Linear(6, 3)
    twin.load_state_dict(net.state_dict())
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.02, weight_decay=0.1)
    topology = sparsify(net, 0.4, optimizer=optimizer, rng=0)
    mask = masks.masks(net)[""].float()
    with torch.no_grad():
        twin.weight.mul_(mask)
    plain = torch.optim.AdamW(twin.parameters(), lr=0.02, weight_decay=0.1)
    generator = torch.Generator().manual_seed(0)
    for _ in range(30):
        x, y = torch.randn(8, 6, generator=generator), torch.randint(0, 3, (8,), generator=generator)
        for model, steps in ((net, optimizer), (twin, plain)):
            steps.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            if model is twin:
                twin.weight.grad.mul_(mask)
            steps.step()
        topology.step()
        torch.testing.assert_close(net.weight, twin.weight)
        torch.testing.assert_close(net.bias, twin.bias)


def test_random_masks_have_the_counts_of_the_layout() -> None:
    found = {"a": nn.Linear(30, 20), "b": nn.Conv2d(3, 4, 3), "c": nn.Linear(4, 2)}
    for layout in ("erk", "balanced", "uniform"):
        drawn = random_masks(found, 0.13, layout, 0)
        assert [int(mask.sum()) for mask in drawn.values()] == layer_counts(
            [(20, 30), (4, 3, 3, 3), (2, 4)], 0.13, layout
        )
        assert [mask.shape for mask in drawn.values()] == [layer.weight.shape for layer in found.values()]


def test_checks_pass_what_is_right() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda _: 1.0)
    assert list(check_network(net)) == ["0", "2"]
    assert check_optimizer(net, optimizer, "gmp") is optimizer
    assert check_steps(5, "gmp") == 5
    check_scheduler(scheduler, optimizer, "lrr")


def test_an_optimizer_that_misses_one_layer_is_named_by_it() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    with pytest.raises(UserError, match="layer '2'"):
        check_optimizer(net, torch.optim.SGD(net[0].parameters(), lr=0.1), "gmp")
