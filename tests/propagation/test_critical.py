"""Oracles: every allocation of small networks, the laws of wide layers, simulated networks, scipy, hypothesis."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsefire.errors import UserError
from sparsefire.propagation.critical import critical_layout, critical_masks
from sparsefire.propagation.laws.sparse import dead_share, kurtosis
from sparsefire.wiring.layouts import keep_count

MLP = {"in": (256, 784), **{f"h{i}": (256, 256) for i in range(9)}, "out": (10, 256)}


def two_point(count: int, outs: int) -> np.ndarray:
    fan_in, more = divmod(count, outs)
    law = np.zeros(fan_in + 2)
    law[fan_in], law[fan_in + 1] = 1 - more / outs, more / outs
    return law


def measures(shapes: list[tuple[int, int]], counts: tuple[int, ...], mu4: float) -> tuple[np.ndarray, np.ndarray]:
    """u and K by averages over all units, in the words of the documentation."""
    u, peak, found = 0.0, 3.0, []
    for layer, ((outs, ins), count) in enumerate(zip(shapes, counts, strict=True)):
        fan_ins = np.full(outs, count // outs)
        fan_ins[: count % outs] += 1
        if layer:
            u = (((1 + u) / 2) ** fan_ins).mean()
        peak = min(peak, ins)
        pairs = (fan_ins - 1) * (ins - peak) / (ins - 1) if ins > 1 else 0.0
        k4 = ((mu4 * peak + 3 * pairs) / fan_ins).mean()
        found.append((u, k4))
        peak = 2 * k4
    return np.array(found)[:, 0], np.array(found)[:, 1]


def satisfied(
    shapes: list[tuple[int, int]], counts: tuple[int, ...], mu4: float, bounds: tuple[float, float, float]
) -> bool:
    u, k4 = measures(shapes, counts, mu4)
    drift = (2 * k4[:-1] - 1) / (2 * np.array([shape[0] for shape in shapes[:-1]]))
    return bool(
        (u <= bounds[0]).all() and (0.5 / k4 >= bounds[1]).all() and (drift * (len(shapes) - 1) <= bounds[2]).all()
    )


def test_no_allocation_with_fewer_weights_satisfies_the_constraints() -> None:
    generator, compared = np.random.default_rng(1), 0
    for trial in range(24):
        widths = generator.integers(3, 7, size=4).tolist()
        shapes = [(after, before) for before, after in itertools.pairwise(widths)]
        bounds = (generator.uniform(0.1, 0.4), generator.uniform(0.06, 0.12), generator.uniform(0.5, 6))
        weights, mu4 = (("normal", 3.0), ("sign", 1.0))[trial % 2]
        found = critical_layout(
            shapes, weights=weights, extinction=bounds[0], participation=bounds[1], spread=bounds[2]
        )
        if not found.attainable:
            continue
        compared += 1
        assert found.counts == found.least
        assert satisfied(shapes, found.counts, mu4, bounds)
        every = itertools.product(*(range(max(shape), math.prod(shape) + 1) for shape in shapes))
        fewer = (counts for counts in every if sum(counts) < sum(found.counts))
        assert not any(satisfied(shapes, counts, mu4, bounds) for counts in fewer)
    assert compared > 10


def test_narrow_layers_keep_more_for_the_sake_of_wide_ones() -> None:
    # Found by scipy's SLSQP in continuous fan-ins: 12.25, 7.04, 6.92, 5.45 and 51.2, 6,758 weights.
    shapes = [(64, 784), (128, 64), (256, 128), (512, 256), (10, 512)]
    found = critical_layout(shapes, extinction=0.3)
    assert 6758 <= sum(found.counts) <= 1.005 * 6758
    assert found.binding == ("coverage", "localisation", "localisation", "localisation", "coverage")
    assert found.fan_ins[1] > found.fan_ins[3]


def test_the_reported_laws_are_those_of_wide_layers() -> None:
    wide = {f"{i}": (10**6, 10**6) for i in range(6)}
    for weights in ("normal", "sign"):
        found = critical_layout(wide, weights=weights, extinction=0.05)
        laws = [two_point(count, 10**6) for count in found.counts]
        np.testing.assert_allclose(found.extinction, dead_share(laws, inputs="plain"), rtol=1e-9)
        expected = kurtosis(laws, None, weights, scaled="actual", start=1.5)
        np.testing.assert_allclose(found.kurtosis, expected, rtol=1e-4)
        np.testing.assert_allclose(found.drift, -(2 * expected[:-1] - 1) / 2e6, rtol=1e-4)


def test_what_binds_where() -> None:
    found = critical_layout(MLP, extinction=0.01, participation=0.05)
    assert found.binding[0] == found.binding[-1] == "coverage"
    assert found.counts[0] == 784
    assert found.counts[-1] == 256
    # normal weights, 1 / (2 K) ≥ 1/20 behind a layer that has K = 10: (2 μ4 · 10 − 3 + O(1/n)) / (10 − 3) = 8.14
    assert found.binding[8] == "localisation"
    assert found.fan_ins[8] == pytest.approx(57 / 7, abs=0.25)
    # signs need 2.4 for it, so that 0.505^k ≤ 0.01 binds: 6.80 with fan-ins of 6 and 7
    signs = critical_layout(MLP, weights="sign")
    assert set(signs.binding[1:-1]) == {"extinction"}
    assert signs.fan_ins[8] == pytest.approx(6.8, abs=0.01)
    assert signs.extinction[8] <= 0.01 < (0.505**6 * 53 + 0.505**7 * 203) / 256
    # spread: (2 K − 1) / (2 · 256) · 10 ≤ 0.1 asks for K ≤ 3.06
    tight = critical_layout(MLP, weights="sign", spread=0.1)
    assert set(tight.binding[2:-1]) == {"spread"}
    assert (np.abs(tight.drift) * 10 <= 0.1 * (1 + 1e-9)).all()
    assert found.attainable
    assert signs.attainable
    assert tight.attainable


def test_narrow_layers_are_said_to_be_the_reason() -> None:
    dense = 5 / (2 * 20) * 30  # |λ| of dense layers times depth: more than any mask can mend
    shapes = [(20, 20)] * 31
    found = critical_layout(shapes, spread=dense - 0.1)
    assert not found.attainable
    assert found.unattainable == {str(i): ("spread",) for i in range(30)}
    assert "spread" not in found.binding
    assert critical_layout(shapes, spread=dense * (1 + 1e-9)).counts[1:30] == (400,) * 29
    bottleneck = critical_layout({"in": (2, 50), "out": (50, 2), "more": (50, 50)}, spread=10)
    assert bottleneck.unattainable["out"] == ("extinction",)
    assert bottleneck.counts[1] == 100  # a dense layer does what can be done
    assert bottleneck.extinction[1] == pytest.approx(0.25)
    assert bottleneck.extinction[2] <= 0.01
    heavy = critical_layout([(8, 8), (8, 8), (8, 8)], weights=30.0, spread=10)
    assert all("localisation" in missed for missed in heavy.unattainable.values())


def test_the_rest_of_the_budget_levels_the_fan_ins() -> None:
    found = critical_layout(MLP, 0.05)
    total = keep_count(sum(math.prod(shape) for shape in MLP.values()), 0.05)
    assert sum(found.counts) == total
    assert np.ptp(found.fan_ins[:-1]) < 1 / 256 + 1e-12
    assert found.counts[-1] == found.least[-1] == 256  # its 25.6 are above the level of 20
    assert {name: found.densities()[name] * math.prod(MLP[name]) for name in MLP} == pytest.approx(
        dict(zip(MLP, found.counts, strict=True))
    )
    full = critical_layout(MLP, 0.95)
    assert sum(full.counts) == keep_count(sum(math.prod(shape) for shape in MLP.values()), 0.95)
    assert all(found.counts[i] <= full.counts[i] <= math.prod(shape) for i, shape in enumerate(MLP.values()))
    assert critical_layout(MLP, 1.0).counts == tuple(math.prod(shape) for shape in MLP.values())


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(1, 30), st.integers(1, 30)),
            st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 4)),
        ),
        min_size=1,
        max_size=6,
    ),
    st.floats(0.05, 1.0),
    st.sampled_from(["normal", "sign", "uniform", 5.0]),
    st.integers(0, 1000),
)
def test_counts_and_masks_are_exact_even_and_reach_all(
    shapes: list[tuple[int, ...]], density: float, weights: str | float, rng: int
) -> None:
    sizes = [math.prod(shape) for shape in shapes]
    least = critical_layout(shapes, weights=weights)
    total = keep_count(sum(sizes), density)
    if total < sum(least.least):
        with pytest.raises(UserError, match="binds in layer"):
            critical_layout(shapes, density, weights=weights)
        density = min(least.smallest_density * (1 + 1e-12), 1.0)
        total = keep_count(sum(sizes), density)
    found = critical_layout(shapes, density, weights=weights)
    assert sum(found.counts) == total
    assert all(few <= count <= size for few, count, size in zip(found.least, found.counts, sizes, strict=True))
    # more weights keep what fewer satisfy, in every layer
    for layer, name in enumerate(found.shapes):
        missed = found.unattainable.get(name, ())
        if "extinction" not in missed and layer:
            assert found.extinction[layer] <= 0.01 * (1 + 1e-9)
        if "localisation" not in missed:
            assert 0.5 / found.kurtosis[layer] >= 0.05 * (1 - 1e-9)
        if "spread" not in missed and layer < len(shapes) - 1:
            assert -found.drift[layer] * (len(shapes) - 1) <= 1 + 1e-9
    masks = critical_masks(shapes, density, weights=weights, rng=rng)
    for (name, mask), count, shape in zip(masks.items(), found.counts, shapes, strict=True):
        assert mask.dtype == bool
        assert mask.shape == shape
        assert mask.sum() == count, name
        entries = mask.reshape(shape[0], -1)
        assert np.ptp(entries.sum(1)) <= 1
        assert np.ptp(entries.sum(0)) <= 1
        assert mask.reshape(shape[0], shape[1], -1).any((0, 2)).all()


def test_masks_depend_on_rng_alone() -> None:
    one, two = (critical_masks(MLP, 0.05, rng=3) for _ in range(2))
    other = critical_masks(MLP, 0.05, rng=4)
    assert all(np.array_equal(one[name], two[name]) for name in MLP)
    assert not any(np.array_equal(one[name], other[name]) for name in MLP)


@pytest.mark.parametrize(("weights", "fan_in"), [("normal", 12), ("sign", 7)])
def test_simulated_networks_keep_to_the_laws(weights: str, fan_in: int) -> None:
    width, depth, runs = 120, 8, 150
    shapes = [(width, width)] * (depth + 1)
    bounds = {"extinction": 0.02, "participation": 0.02, "spread": 10.0}
    found = critical_layout(shapes, fan_in / width, weights=weights, **bounds)
    assert set(found.counts) == {fan_in * width}
    generator = np.random.default_rng(7)
    logs, dead = np.zeros((runs, depth)), np.zeros((runs, depth))
    for run in range(runs):
        x = generator.standard_normal(width)
        masks = critical_masks(shapes, fan_in / width, weights=weights, rng=generator, **bounds)
        for layer, mask in enumerate(list(masks.values())[:depth]):
            w = (
                generator.standard_normal(mask.shape)
                if weights == "normal"
                else generator.choice([-1.0, 1.0], mask.shape)
            )
            h = (w * mask) @ x * math.sqrt(2 / fan_in)
            reached = mask @ (x > 0) > 0 if layer else np.ones(width, dtype=bool)
            dead[run, layer] = 1 - reached.mean()
            x = np.maximum(h, 0)
            logs[run, layer] = math.log((x**2).mean())
    error = dead[:, 1:].std(0) / math.sqrt(runs)
    assert (np.abs(dead.mean(0)[1:] - found.extinction[1:depth]) < 4.5 * error + 1e-3).all()
    # log |x|² behind layer l has the mean Σ λ and the variance −2 Σ λ, to second order in 1 / width
    drift, spread = found.drift.sum(), math.sqrt(-2 * found.drift.sum())
    assert logs[:, -1].mean() == pytest.approx(drift, abs=4 * spread / math.sqrt(runs) + 0.1 * abs(drift))
    assert logs[:, -1].std() == pytest.approx(spread, rel=4 / math.sqrt(2 * runs) + 0.1)


def test_infeasible_densities_say_what_binds_and_what_would_do() -> None:
    least = critical_layout(MLP)
    with pytest.raises(UserError, match="localisation binds in layer 'h3' and") as caught:
        critical_layout(MLP, 0.005)
    size = sum(math.prod(shape) for shape in MLP.values())
    told = float(caught.value.attempt.split(",")[0].removeprefix("density="))
    assert 'weights="sign"' in caught.value.attempt
    assert sum(critical_layout(MLP, told).counts) >= sum(least.least)
    assert told < 1.01 * least.smallest_density
    assert least.smallest_density == sum(least.least) / size
    with pytest.raises(UserError, match="coverage binds in layer '0' and 1 more") as caught:
        critical_layout([(4, 100), (100, 100)], 0.001, extinction=0.9, participation=0.01, spread=100)
    assert "sign" not in caught.value.attempt


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extinction": 0.0}, "extinction is out of range"),
        ({"participation": 0.2}, "participation is out of range"),
        ({"spread": -1}, "spread is out of range"),
        ({"weights": "cauchy"}, "the name of their law"),
        ({"density": 1.5}, "share of weights kept"),
        ({"shapes": {}}, "needs layers"),
        ({"shapes": {"a": (3,)}}, "shape of 'a' is none"),
        ({"shapes": [(3, 0)]}, "shape of '0' is none"),
    ],
)
def test_what_is_refused(change: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        critical_layout(**{"shapes": MLP, **change})
