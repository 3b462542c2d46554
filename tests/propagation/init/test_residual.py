"""Oracle: all Jacobian singular values of stacked blocks are 1."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sparsefire import masks
from sparsefire.errors import UserError
from sparsefire.propagation.init.residual import residual_isometry_
from sparsefire.propagation.jacobian import singular_values


class Block(nn.Module):
    def __init__(self, given: int, hidden: int, out: int | None = None, *, learned: bool, relu: bool) -> None:
        super().__init__()
        out = given if out is None else out
        self.first, self.second = nn.Linear(given, hidden), nn.Linear(hidden, out)
        self.skip = nn.Linear(given, out) if learned else None
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        total = (x if self.skip is None else self.skip(x)) + self.second(torch.relu(self.first(x)))
        return torch.relu(total) if self.relu else total


class Pair(nn.Module):
    """s → (relu(s), relu(−s))."""

    def forward(self, s: Tensor) -> Tensor:
        return torch.relu(torch.cat([s, -s], 1))


class Difference(nn.Module):
    """(a, b) → a − b."""

    def forward(self, x: Tensor) -> Tensor:
        one, other = x.chunk(2, 1)
        return one - other


def stack(blocks: list[Block], **options: Any) -> nn.Sequential:
    for i, block in enumerate(blocks):
        skip = None if block.skip is None else "skip"
        assert residual_isometry_(block, "first", block.second, skip, rng=i, **options) is block
    return nn.Sequential(*blocks)


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("hidden", [64, 32, 14, 6, 2])
def test_a_linear_trunk_of_twelve_blocks_is_an_isometry(learned: bool, hidden: int) -> None:
    net = stack([Block(15, hidden, learned=learned, relu=False).double() for _ in range(12)])
    x = np.random.default_rng(0).standard_normal((4, 15))
    assert np.abs(singular_values(net, x) - 1).max() <= 1e-10


@pytest.mark.parametrize(("learned", "hidden"), [(False, 24), (True, 24), (True, 48), (True, 10)])
def test_a_trunk_with_relu_of_twelve_blocks_is_an_isometry(learned: bool, hidden: int) -> None:
    net = stack([Block(24, hidden, learned=learned, relu=True).double() for _ in range(12)], trunk="relu")
    x = np.random.default_rng(0).standard_normal((4, 12))
    assert np.abs(singular_values(nn.Sequential(Pair(), net, Difference()), x) - 1).max() <= 1e-10


@pytest.mark.parametrize("relu", [False, True])
def test_a_learned_skip_may_widen(relu: bool) -> None:
    trunk = "relu" if relu else "linear"
    net: nn.Module = stack([Block(8, 16, 20, learned=True, relu=relu).double()], trunk=trunk)
    if relu:
        net = nn.Sequential(Pair(), net, Difference())
    x = np.random.default_rng(0).standard_normal((3, 4 if relu else 8))
    assert np.abs(singular_values(net, x) - 1).max() <= 1e-10


@pytest.mark.parametrize("learned", [False, True])
def test_both_branches_take_part(learned: bool) -> None:
    block = stack([Block(16, 40, learned=learned, relu=False).double()])[0]
    branch = (block.second.weight[:, :20] @ block.first.weight[:20]).detach()
    assert torch.linalg.matrix_norm(branch, 2) > 0.4
    if not learned:
        one, two = block.first.weight[:20], block.second.weight[:, :20]
        torch.testing.assert_close(one @ one.T, two.T @ two)  # evenly split
    assert not block.first.bias.any()


def test_convolutions_use_their_centre_tap() -> None:
    class Conv(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = nn.Conv2d(6, 12, 3, padding=1), nn.Conv2d(12, 6, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return x + self.two(torch.relu(self.one(x)))

    net = nn.Sequential(*[residual_isometry_(Conv().double(), "one", "two", rng=i) for i in range(10)])
    x = np.random.default_rng(0).standard_normal((2, 6, 4, 4))
    assert np.abs(singular_values(net, x) - 1).max() <= 1e-10


def test_a_mask_that_keeps_what_is_needed_is_kept_and_another_one_is_named() -> None:
    block = Block(8, 8, learned=False, relu=True).double()
    residual_isometry_(block, "first", "second", trunk="relu", rng=0)
    masks.attach_(block.first, block.first.weight != 0)
    residual_isometry_(block, "first", "second", trunk="relu", rng=0)  # the same permutation
    wrong = Block(8, 8, learned=False, relu=True).double()
    masks.attach_(wrong.first, ~masks.mask_of(block.first).mask)
    before = copy.deepcopy(wrong.state_dict())
    with pytest.raises(UserError, match="mask of layer 'first'"):
        residual_isometry_(wrong, "first", "second", trunk="relu", rng=0)
    assert all(torch.equal(value, before[name]) for name, value in wrong.state_dict().items())


@pytest.mark.parametrize(
    ("block", "options", "match"),
    [
        (Block(8, 7, learned=False, relu=False), {}, "odd"),
        (Block(7, 8, learned=True, relu=True), {"skip": "skip", "trunk": "relu"}, "odd"),
        (Block(8, 12, learned=False, relu=True), {"trunk": "relu"}, "identity skip with ReLU"),
        (Block(8, 8, 6, learned=True, relu=False), {}, "identity skip"),
        (Block(8, 8, learned=False, relu=False), {"trunk": "tanh"}, "trunk"),
        (Block(8, 8, learned=False, relu=False), {"first": "third"}, "no layer 'third'"),
        (Block(8, 8, learned=False, relu=False), {"first": nn.Linear(8, 8)}, "one of its"),
        (Block(8, 12, learned=False, relu=False), {"second": "first"}, "does not take"),
        (
            Block(8, 8, learned=True, relu=False),
            {"skip": "skip", "first": "skip", "second": "skip"},
            "shares its weight",
        ),
    ],
)
def test_what_does_not_fit_is_named(block: Block, options: dict[str, Any], match: str) -> None:
    with pytest.raises(UserError, match=match):
        residual_isometry_(block, **{"first": "first", "second": "second", **options})
