"""Oracles: masks and counts written out by hand, plain loops, all choices of rounding tried, hypothesis properties."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sparsefire.errors import UserError
from sparsefire.sparsity.patterns import PATTERNS, check_pattern, choose, keep_in_rows
from sparsefire.wiring import layer_counts

A = torch.tensor([[5.0, 1.0, 2.0, 3.0], [0.5, 4.0, 4.0, 9.0], [7.0, 6.0, 0.1, 0.2], [1.0, 1.0, 1.0, 1.5]])
STRUCTURED = [name for name in PATTERNS if name != "unstructured"]


def scores(*shapes: tuple[int, ...], rng: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(rng)
    return [torch.rand(shape, generator=generator) for shape in shapes]


def ints(mask: Tensor) -> list:
    return mask.int().tolist()


def test_two_of_four_by_hand() -> None:
    wide = torch.cat([A, -A], 1)
    kept = choose([wide], 0.5, "uniform", "2:4")[0]
    assert ints(kept) == [
        [1, 0, 0, 1, 0, 1, 1, 0],
        [0, 1, 0, 1, 1, 1, 0, 0],  # of the two fours, and of the two minus fours, the earlier
        [1, 1, 0, 0, 0, 0, 1, 1],
        [1, 0, 0, 1, 1, 1, 0, 0],
    ]


def test_groups_of_a_convolution_run_over_the_kernel_first() -> None:
    weight = torch.arange(2 * 4 * 3 * 3, dtype=torch.float32).view(2, 4, 3, 3)
    kept = choose([weight], 0.25, "uniform", "1:4")[0]
    expected = torch.zeros(2, 36, dtype=torch.bool)
    expected[:, 3::4] = True  # scores rise along in, then rows, then columns of the kernel
    assert torch.equal(kept.view(2, 36), expected)
    assert int(kept.sum()) == 18


def test_a_schedule_above_the_ratio_keeps_the_least_ratio_that_is_enough() -> None:
    for density, staying in [(1.0, 4), (0.8, 4), (0.75, 3), (0.6, 3), (0.5, 2)]:
        kept = choose([A], density, "global", "2:4")[0]
        assert ints(kept.sum(1)) == [staying] * 4


def test_constant_fan_in_by_hand() -> None:
    assert ints(choose([A], 0.5, "uniform", "fan-in")[0]) == [[1, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 0], [1, 0, 0, 1]]


def test_a_shared_fan_in_adds_scores_over_sixteen_units() -> None:
    weight = scores((40, 7))[0]
    kept = choose([weight], 3 / 7, "uniform", "shared-fan-in")[0]
    for first, end in [(0, 16), (16, 32), (32, 40)]:
        best = sorted(weight[first:end].sum(0).topk(3).indices.tolist())
        for unit in range(first, end):
            assert kept[unit].nonzero().flatten().tolist() == best


def test_neurons_by_hand() -> None:
    last = torch.ones(2, 4)
    kept = choose([A, last], 16 / 24, "uniform", "neurons")  # eight weights of the last layer, two rows of the first
    assert ints(kept[0]) == [[0] * 4, [1] * 4, [1] * 4, [0] * 4]  # sums 11, 17.5, 13.3, 4.5
    assert bool(kept[1].all())


def test_channels_of_a_convolution_go_as_a_whole() -> None:
    weights = scores((6, 3, 3, 3), (8, 6, 3, 3), (4, 8))
    kept = choose(weights, 0.5, "global", "neurons")
    for mask, weight in zip(kept[:-1], weights[:-1], strict=True):
        whole = mask.flatten(1)
        assert torch.equal(whole.any(1), whole.all(1))
        sums = weight.flatten(1).sum(1)
        alive = whole.all(1)
        assert 0 < int(alive.sum()) < len(alive)
        assert sums[alive].min() > sums[~alive].max()
    assert bool(kept[2].all())


def test_global_gives_each_layer_what_it_has_among_the_largest_of_all() -> None:
    small, large = scores((4, 8), (4, 8))
    kept = choose([small, large + 0.5], 0.5, "global", "fan-in")
    flat = torch.cat([small.flatten(), large.flatten() + 0.5])
    share = int((flat.topk(32).indices < 32).sum())
    fan_ins = [int(mask.sum(1).unique()) for mask in kept]
    assert fan_ins[0] < fan_ins[1]
    assert abs(fan_ins[0] - share / 4) < 1
    assert sum(fan_ins) == 8


@pytest.mark.parametrize("layout", ["global", "uniform", "erk", "balanced"])
@pytest.mark.parametrize("density", [0.01, 0.02, 0.05, 0.1, 0.2, 0.5])
def test_layers_balance_each_others_errors(layout: str, density: float) -> None:
    shapes = [(300, 784), (100, 300), (10, 100)]
    total = round(density * 266_200)
    found = {
        pattern: sum(int(mask.sum()) for mask in choose(scores(*shapes), density, layout, pattern))
        for pattern in ("fan-in", "shared-fan-in")
    }
    assert found["fan-in"] == found["shared-fan-in"]
    assert abs(found["fan-in"] - total) <= total / 1000


@pytest.mark.parametrize(("density", "share"), [(0.02, 2.5e-3), (0.05, 1.5e-3), (0.1, 1e-3), (0.2, 1e-3), (0.5, 1e-3)])
def test_layers_of_whole_units_balance_each_others_errors(density: float, share: float) -> None:
    shapes = [(300, 784), (100, 300), (10, 100)]  # 784 a + 300 b + 1000: few sums lie near a small total
    found = sum(int(mask.sum()) for mask in choose(scores(*shapes), density, "uniform", "neurons"))
    assert abs(found - density * 266_200) <= share * density * 266_200


def test_layers_that_would_get_nothing_keep_one_weight_per_unit() -> None:
    weights = [torch.zeros(10, 8), torch.ones(10, 8)]
    kept = choose(weights, 0.5, "global", "fan-in")  # unstructured, the first layer would go as a whole
    assert [int(mask.sum(1).unique()) for mask in kept] == [1, 7]


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["fan-in", "shared-fan-in", "neurons"]),
    st.sampled_from(["global", "uniform", "erk", "balanced"]),
    st.floats(0.3, 1.0),
    st.integers(0, 1000),
)
def test_the_total_is_off_by_half_a_step_at_most(pattern: str, layout: str, density: float, rng: int) -> None:
    shapes = [(6, 2, 3, 3), (20, 24), (5, 20)]
    kept = choose(scores(*shapes, rng=rng), density, layout, pattern)
    total = round(density * (108 + 480 + 100))
    steps = [18, 24] if pattern == "neurons" else [6, 20, 5]
    assert abs(sum(int(mask.sum()) for mask in kept) - total) <= max(steps) / 2
    for mask in kept[:-1] if pattern == "neurons" else kept:
        rows = mask.flatten(1).sum(1)
        if pattern == "neurons":
            assert set(rows.tolist()) <= {0, mask[0].numel()}
        else:
            assert len(rows.unique()) == 1


@pytest.mark.parametrize("pattern", ["fan-in", "shared-fan-in"])
@pytest.mark.parametrize("layout", ["uniform", "erk", "balanced"])
def test_a_layer_keeps_its_count_of_the_layout_but_for_rounding(pattern: str, layout: str) -> None:
    shapes = [(60, 50), (40, 60), (10, 40)]
    kept = choose(scores(*shapes), 0.2, layout, pattern)
    for mask, count, shape in zip(kept, layer_counts(shapes, 0.2, layout), shapes, strict=True):
        assert abs(int(mask.sum()) - count) < 3 * shape[0]  # rounded, and two units beyond for the sake of the total


@settings(deadline=None, max_examples=60)
@given(st.sampled_from([*STRUCTURED, "3:4"]), st.sampled_from(["global", "uniform"]), st.integers(0, 1000))
def test_absent_weights_never_come_back_and_masks_are_nested(pattern: str, layout: str, rng: int) -> None:
    weights = scores((18, 8), (6, 2, 2, 2), (4, 12), rng=rng)
    there = [weight > 0.2 for weight in scores((18, 8), (6, 2, 2, 2), (4, 12), rng=rng + 1)]
    for density in (0.9, 0.75):
        kept = choose(weights, density, layout, pattern, there)
        assert not any(bool((mask & ~part).any()) for mask, part in zip(kept, there, strict=True))
        there = kept
    if pattern in ("2:4", "3:4"):
        assert all(int(mask.flatten(1).reshape(-1, 4).sum(1).max()) <= 3 for mask in kept)


def test_scores_of_absent_weights_are_not_looked_at() -> None:
    there = [torch.tensor([[True, True, False, True]] * 4)]
    loud = A.clone()
    loud[:, 2] = 100.0
    for pattern, density in [("2:4", 0.5), ("fan-in", 0.5), ("shared-fan-in", 0.5)]:
        quiet = A.clone()
        quiet[:, 2] = -torch.inf
        one = choose([loud], density, "uniform", pattern, there)[0]
        assert torch.equal(one, choose([quiet], density, "uniform", pattern, there)[0])
        assert ints(one.sum(1)) == [2] * 4


def test_rows_are_ranked_exactly() -> None:
    weight = torch.tensor([[1.0, 1.0, 1.0], [math.nan, 2.0, 3.0], [0.0, -1.0, -torch.inf]])
    assert ints(keep_in_rows(weight, 2)) == [[1, 1, 0], [1, 0, 1], [1, 1, 0]]
    assert ints(keep_in_rows(weight, torch.tensor([0, 3, 1]))) == [[0, 0, 0], [1, 1, 1], [1, 0, 0]]


@pytest.mark.parametrize("pattern", ["", "4:2", "0:4", "rows", "2:", "fan-in "])
def test_unknown_patterns(pattern: str) -> None:
    with pytest.raises(UserError, match="no pattern") as caught:
        choose([A], 0.5, "uniform", pattern)
    assert "shared-fan-in" in caught.value.expected


def test_a_layer_that_cannot_be_divided_is_named() -> None:
    with pytest.raises(UserError, match="layer 1 cannot be divided into groups of 4") as caught:
        choose(scores((4, 8), (4, 1, 3, 3)), 0.5, "uniform", "2:4")
    assert "(4, 1, 3, 3)" in caught.value.came


def test_other_bad_input() -> None:
    shapes = [(16, 8), (4, 16)]
    with pytest.raises(UserError, match="fixes the density") as caught:
        choose(scores(*shapes), 0.4, "uniform", "2:4")
    assert caught.value.expected == "2/4 = 0.5"
    with pytest.raises(UserError, match="same density"):
        choose(scores(*shapes), 0.5, "erk", "2:4")
    with pytest.raises(UserError, match="one weight for each unit") as caught:
        choose(scores(*shapes), 0.1, "uniform", "fan-in")
    assert caught.value.attempt == "a density of 0.1042 or more"
    check_pattern(shapes, 0.1042, "uniform", "fan-in")
    with pytest.raises(UserError, match="last layer and one unit") as caught:
        choose(scores(*shapes), 0.3, "uniform", "neurons")
    assert caught.value.attempt == "a density of 0.375 or more"
    check_pattern(shapes, 0.375, "global", "neurons")
    with pytest.raises(UserError, match="one unit"):
        choose([A], 0.5, "uniform", "neurons")  # one layer alone is the last


def test_a_final_density_must_be_the_ratio() -> None:
    shapes = [(16, 8), (4, 16)]
    for density in (0.4, 0.6, 0.75, 1.0):
        with pytest.raises(UserError, match="fixes the density"):
            check_pattern(shapes, density, "uniform", "2:4")
    check_pattern(shapes, 0.5, "global", "2:4")
    check_pattern([(9, 9), (3, 9)], 1 / 3, "uniform", "1:3")
    check_pattern(shapes, 0.01, "erk", "unstructured")


@pytest.mark.parametrize("pattern", STRUCTURED)
def test_everything_stays_at_density_one(pattern: str) -> None:
    assert all(bool(mask.all()) for mask in choose(scores((16, 8), (4, 16)), 1.0, "uniform", pattern))
