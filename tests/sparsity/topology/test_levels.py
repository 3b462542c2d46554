"""Oracles: 0.8^k by hand, a fresh optimizer and scheduler of torch at each level, and sorting of plain weights."""

from __future__ import annotations

import pytest
import torch
from small_training import drawn, kept
from torch import nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.sparsity import sparsify
from sparsefire.sparsity.topology.levels import LearningRateRewinding, levels_to

Optimizer = torch.optim.Optimizer


def network() -> nn.Sequential:
    return drawn(nn.Sequential(nn.Linear(10, 8), nn.Tanh(), nn.Linear(8, 5)))


def halving(optimizer: Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 0.5**t)


def started(density: float, steps: int, layout: str | None = None) -> tuple:
    net = network()
    optimizer = torch.optim.AdamW(net.parameters(), lr=0.01, weight_decay=0.1)
    scheduler = halving(optimizer)
    topology = sparsify(net, density, "lrr", layout, optimizer=optimizer, scheduler=scheduler, steps=steps)
    return net, optimizer, scheduler, topology


def gradients(net: nn.Module, number: int) -> None:
    generator = torch.Generator().manual_seed(number)
    x, y = torch.randn(16, 10, generator=generator), torch.randint(0, 5, (16,), generator=generator)
    net.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()


@pytest.mark.parametrize(
    ("density", "levels"), [(1.0, 0), (0.9, 1), (0.8, 1), (0.79, 2), (0.64, 2), (0.512, 3), (0.1, 11), (0.05, 14)]
)
def test_levels_are_counted_in_powers_of_four_fifths(density: float, levels: int) -> None:
    assert levels_to(density) == levels
    assert 0.8**levels <= density + 1e-12
    assert levels == 0 or 0.8 ** (levels - 1) > density


def test_each_level_keeps_four_fifths_and_the_last_the_target() -> None:
    net, optimizer, scheduler, topology = started(0.3, 42)  # 0.8⁵ = 0.328 > 0.3: six levels, 42 / 7 = 6 steps each
    assert (len(topology.densities) - 1, topology.level_steps) == (6, 6)
    counts = []
    for number in range(42):
        gradients(net, number)
        optimizer.step(), scheduler.step(), topology.step()
        counts.append(kept(net))
    expected = [120, 96, round(120 * 0.64), round(120 * 0.512), round(120 * 0.4096), round(120 * 0.32768), 36]
    assert counts[5::6] == [*expected[1:], 36]
    assert counts == [*[count for count in expected for _ in range(6)][1:], 36]


def test_each_level_prunes_the_smallest_and_keeps_the_weights() -> None:
    net, optimizer, scheduler, topology = started(0.5, 20)  # 4 levels, 4 steps each
    for number in range(16):
        gradients(net, number)
        optimizer.step(), scheduler.step()
        before = torch.cat([layer.weight.detach().flatten() for layer in masks.layers(net).values()])
        topology.step()
        after = torch.cat([layer.weight.detach().flatten() for layer in masks.layers(net).values()])
        if (number + 1) % 4 == 0:
            count = kept(net)
            expected = torch.zeros_like(before)
            places = before.abs().topk(count)[1]
            expected[places] = before[places]
            assert torch.equal(after, expected)
        else:
            assert torch.equal(after, before)


def test_optimizer_and_schedule_start_afresh_at_each_level() -> None:
    """A twin that makes a new AdamW and a new schedule from the same weights at each level takes the same steps."""
    net, optimizer, scheduler, topology = started(0.5, 20)
    twin, twin_optimizer, twin_scheduler = None, None, None
    for number in range(20):
        if number % 4 == 0:
            twin = network()
            twin.load_state_dict(masks.dense_state_dict(net))
            twin_optimizer = torch.optim.AdamW(twin.parameters(), lr=0.01, weight_decay=0.1)
            twin_scheduler = halving(twin_optimizer)
            assert len(optimizer.state) == 0
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * 0.5 ** (number % 4))
        found = {name: mask.clone() for name, mask in masks.masks(net).items()}
        gradients(net, number), gradients(twin, number)
        for name, mask in found.items():
            twin.get_submodule(name).weight.grad.mul_(mask)
        optimizer.step(), scheduler.step(), topology.step()
        twin_optimizer.step(), twin_scheduler.step()
        for name, mask in masks.masks(net).items():
            torch.testing.assert_close(net.get_submodule(name).weight, twin.get_submodule(name).weight * mask)


def test_groups_go_back_to_their_own_rates() -> None:
    net = network()
    optimizer = torch.optim.SGD([{"params": net[0].parameters(), "lr": 0.1}, {"params": net[2].parameters()}], lr=0.4)
    scheduler = torch.optim.lr_scheduler.SequentialLR(
        optimizer,
        [
            torch.optim.lr_scheduler.LinearLR(optimizer, 0.5, total_iters=2),
            torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4),
        ],
        [2],
    )
    topology = sparsify(net, 0.6, "lrr", optimizer=optimizer, scheduler=scheduler, steps=20)
    assert topology.level_steps == 5
    levels: list[list[tuple[float, ...]]] = [[]]
    for number in range(20):
        levels[-1].append(tuple(group["lr"] for group in optimizer.param_groups))
        gradients(net, number)
        optimizer.step(), scheduler.step(), topology.step()
        if (number + 1) % 5 == 0:
            levels.append([])
    assert levels[0][0] == (0.05, 0.2)
    assert len(set(levels[0])) >= 4
    assert levels[0] == levels[1] == levels[2] == levels[3]


@pytest.mark.parametrize("layout", ["global", "erk", "balanced", "uniform"])
@pytest.mark.parametrize("density", [0.05, 0.33, 0.8, 1.0])
def test_the_shortest_training_still_ends_at_the_exact_density(density: float, layout: str) -> None:
    steps = levels_to(density) + 1
    net, _, _, topology = started(density, steps, layout)
    for _ in range(steps):
        topology.step()
    assert kept(net) == round(density * 120)


def test_a_training_too_short_for_its_levels_is_an_error_and_the_network_stays_plain() -> None:
    net = network()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    before = list(net.state_dict())
    with pytest.raises(UserError, match="12 levels") as caught:
        sparsify(net, 0.1, "lrr", optimizer=optimizer, scheduler=halving(optimizer), steps=11)
    assert "12" in caught.value.expected
    assert list(net.state_dict()) == before
    sparsify(net, 0.1, "lrr", optimizer=optimizer, scheduler=halving(optimizer), steps=12)
    assert LearningRateRewinding.schedules(0.1) == 12
