"""Oracles: the cubic of Zhu and Gupta worked by hand, nested masks, sorting of plain weights."""

from __future__ import annotations

import pytest
import torch
from small_training import drawn, kept
from torch import nn

from sparsefire import masks
from sparsefire.sparsity import sparsify


def started(density: float = 0.1, steps: int = 100, layout: str | None = None, **options: int) -> tuple:
    net = drawn(nn.Sequential(nn.Linear(10, 8, bias=False), nn.Linear(8, 5, bias=False)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    topology = sparsify(net, density, "gmp", layout, optimizer=optimizer, steps=steps)
    for name, value in options.items():
        setattr(topology, name, value)
    return net, topology


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 1.0),
        (10, 1.0),
        (23, 0.1 + 0.9 * 0.8**3),  # a fifth of the way from 10 to 75
        (36, 0.1 + 0.9 * 0.6**3),
        (62, 0.1 + 0.9 * 0.2**3),
        (75, 0.1),
        (1000, 0.1),
    ],
)
def test_the_cubic_by_hand(step: int, expected: float) -> None:
    _, topology = started()
    assert topology.density_at(step) == pytest.approx(expected, abs=1e-12)


def test_density_follows_the_schedule_exactly_and_masks_are_nested() -> None:
    net, topology = started(every=1)
    start = torch.cat([layer.weight.detach().abs().flatten() for layer in net])
    before, moved = torch.ones(120, dtype=torch.bool), []
    for step in range(1, 101):
        topology.step()
        after = torch.cat([mask.flatten() for mask in masks.masks(net).values()])
        sparsity = min(1.0, max(0.0, (step - 10) / 65))  # s_t = s_f + (s_i − s_f)(1 − …)³ with s_i = 0, s_f = 0.9
        expected = round((1 - (0.9 - 0.9 * (1 - sparsity) ** 3)) * 120)
        assert int(after.sum()) == expected
        assert not (after & ~before).any()
        assert torch.equal(after.nonzero().flatten().sort()[0], start.topk(expected)[1].sort()[0])
        if not torch.equal(after, before):
            moved.append(step)
        before = after
    assert moved[0] > 10
    assert moved[-1] <= 75
    assert int(before.sum()) == 12


def test_masks_move_only_every_so_many_steps() -> None:
    net, topology = started(every=25)
    counts = []
    for _ in range(100):
        topology.step()
        counts.append(kept(net))
    changes = [step for step in range(2, 101) if counts[step - 1] != counts[step - 2]]
    assert changes == [35, 60, 75]  # and the last one at its end, on time or not
    assert counts[34] == round((0.1 + 0.9 * (40 / 65) ** 3) * 120)


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 17])
@pytest.mark.parametrize("layout", ["global", "erk", "uniform", "balanced"])
def test_even_a_short_training_ends_at_the_exact_density(steps: int, layout: str) -> None:
    net, topology = started(0.2, steps, layout)
    assert kept(net) == 120
    for _ in range(steps):
        topology.step()
    assert kept(net) == 24


def test_a_schedule_can_be_resumed() -> None:
    _, topology = started(every=1)
    for _ in range(40):
        topology.step()
    other_net, other = started(every=1)
    other.load_state_dict(topology.state_dict())
    other.step()
    assert other.steps_done == 41
    assert kept(other_net) == round(other.density_at(41) * 120)
