from __future__ import annotations

import pytest
import torch
from torch import nn

import sparsefire as sf
from sparsefire.errors import UserError
from sparsefire.sparsity.amounts import CRITICAL, LAYOUTS, amounts, smallest_density

SHAPES = [(128, 64), (128, 128), (10, 128)]


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_counts_add_up(layout: str) -> None:
    total = sum(a * b for a, b in SHAPES)
    assert sum(amounts(SHAPES, 0.2, layout)) == round(0.2 * total)


@pytest.mark.parametrize("layout", CRITICAL)
def test_masks_of_the_critical_layouts_are_even(layout: str) -> None:
    found = net()
    sf.sparsify(found, 0.2, layout=layout, rng=0)
    for mask in sf.masks.masks(found).values():
        fan_in = mask.sum(1)
        assert int(fan_in.max() - fan_in.min()) <= 1
        assert int(mask.sum(0).min()) >= 1
    assert [int(m.sum()) for m in sf.masks.masks(found).values()] == amounts(SHAPES, 0.2, layout)


def test_what_is_not_feasible_says_what_is() -> None:
    least = smallest_density(SHAPES, "critical")
    with pytest.raises(UserError, match="density"):
        sf.sparsify(net(), 0.9 * least, layout="critical")
    found = net()
    sf.sparsify(found, 1.01 * least, layout="critical", rng=0)
    assert sf.density(found) == pytest.approx(1.01 * least, abs=1e-4)


def test_signs_allow_fewer_weights() -> None:
    assert 0 < smallest_density(SHAPES, "critical-signs") < smallest_density(SHAPES, "critical")
    assert smallest_density(SHAPES, "erk") == 0.0


def test_gradual_pruning_ends_at_the_critical_counts() -> None:
    found = net()
    optimizer = torch.optim.Adam(found.parameters())
    topology = sf.sparsify(found, 0.1, "gmp", "critical", optimizer, steps=10)
    for _ in range(10):
        found(torch.randn(8, 64)).square().mean().backward()
        optimizer.step()
        topology.step()
        optimizer.zero_grad()
    assert [int(m.sum()) for m in sf.masks.masks(found).values()] == amounts(SHAPES, 0.1, "critical")
